//! `polder change check` and `polder change plan`: what is in a file, without doing anything.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::file::{chosen, given, load};
use crate::{
    base::exit::Exit,
    change::{
        ChangeFileError, Changes, Loaded, Plan, PlanError, Text,
        model::{Exchange, Phase, RollbackAction, Script},
        plan::{Planned, PlannedSet, PlannedStep, Unit},
    },
    cli::{
        change_args::{ChangeCheck, ChangePlan},
        context::Cx,
        log::colour,
        run::Said,
    },
    initfile::{self, Diagnostic},
};

/// What is wrong with a file, for people and for programs.
struct Wrong {
    told: String,
    all: Vec<Json>,
}

/// What is wrong, or what is there; a usage error when anything is wrong.
pub(super) async fn check(cx: &Cx, args: &ChangeCheck) -> anyhow::Result<Said> {
    let given = given(cx, args.reading.dialect.as_deref(), &args.reading.set).await?;
    let found = match load(&args.file, &given, args.reading.strict) {
        Ok(Loaded { changes, warnings }) => {
            let plan = crate::change::plan(&changes, &given.environment)?;
            let idle = args.reading.strict.then(|| plan.strict(&[])).and_then(Result::err);
            match idle {
                None => Ok((changes, plan, warnings)),
                Some(PlanError { problems }) => Err(Wrong::idle(&args.file, &problems)),
            }
        }
        Err(ChangeFileError::Invalid(diagnostics)) => Err(Wrong {
            told: initfile::render(&diagnostics, colour(&std::io::stdout())).trim_end().to_owned(),
            all: diagnostics.iter().map(diagnostic).collect(),
        }),
        Err(error @ ChangeFileError::Unreadable { .. }) => return Err(error.into()),
    };
    let as_json = || match &found {
        Ok((changes, plan, warnings)) => json!({
            "ok": true,
            "diagnostics": warnings.iter().map(diagnostic).collect::<Vec<_>>(),
            "counts": counts(changes, plan).into_iter().collect::<serde_json::Map<_, _>>(),
            "waves": waves(&plan.root),
        }),
        Err(Wrong { all, .. }) => json!({ "ok": false, "diagnostics": all }),
    };
    let text = match (args.json, cx.for_people(), &found) {
        (true, ..) => serde_json::to_string_pretty(&as_json())?,
        (false, false, _) => cx.print(&as_json())?,
        (false, true, Ok((changes, plan, warnings))) => {
            let counts = counts(changes, plan);
            let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{what}: {count}")).collect();
            let mut text = initfile::render(warnings, colour(&std::io::stdout()));
            text += &format!("{} is good: {}\n", args.file.display(), counts.join(", "));
            write_waves(&plan.root, "", &mut text);
            text.trim_end().to_owned()
        }
        (false, true, Err(Wrong { told, .. })) => told.clone(),
    };
    Ok(Said::from(text).with(if found.is_ok() { Exit::Done } else { Exit::Usage }))
}

impl Wrong {
    /// What looks like success without work. Nothing that is written in the file is wrong with it, so it has no line.
    fn idle(file: &Path, problems: &[String]) -> Self {
        let told: Vec<String> =
            problems.iter().map(|problem| format!("{}: {problem}", file.display())).collect();
        let one = |problem: &String| {
            json!({
                "severity": "error", "code": "change.idle", "message": problem, "file": file,
                "line": null, "column": null, "help": null,
            })
        };
        Self { told: told.join("\n"), all: problems.iter().map(one).collect() }
    }
}

fn counts(changes: &Changes, plan: &Plan) -> Vec<(String, Json)> {
    let counts = [
        ("devices", changes.devices.len()),
        ("drivers", changes.drivers.len()),
        ("iterators", changes.matrices.len()),
        ("templates", changes.templates.len()),
        ("changes", plan.steps().len()),
    ];
    counts.into_iter().map(|(what, count)| (what.to_owned(), count.into())).collect()
}

fn waves(set: &PlannedSet) -> Vec<Vec<Json>> {
    let member = |member: &Planned| match member {
        Planned::Step(step) => json!(step.step.name.as_str()),
        Planned::Set(inner) => json!({ "scenario": inner.name, "waves": waves(inner) }),
    };
    set.waves.iter().map(|wave| wave.iter().map(member).collect()).collect()
}

fn write_waves(set: &PlannedSet, indent: &str, text: &mut String) {
    for (number, wave) in set.waves.iter().enumerate() {
        let names: Vec<&str> = wave
            .iter()
            .map(|member| match member {
                Planned::Step(step) => step.step.name.as_str(),
                Planned::Set(inner) => inner.name.as_str(),
            })
            .collect();
        *text += &format!("{indent}wave {}: {}\n", number + 1, names.join(", "));
        for member in wave {
            if let Planned::Set(inner) = member {
                *text += &format!("{indent}  in {}:\n", inner.name);
                write_waves(inner, &format!("{indent}    "), text);
            }
        }
    }
}

fn diagnostic(d: &Diagnostic) -> Json {
    json!({
        "severity": d.severity.to_string(), "code": d.code, "message": d.message,
        "file": d.file, "line": d.line, "column": d.column, "help": d.help,
    })
}

/// What would be sent.
pub(super) async fn plan(cx: &Cx, args: &ChangePlan) -> anyhow::Result<Said> {
    let (_, plan, skipped) = chosen(cx, &args.file, &args.reading, &args.devices, &args.selection).await?;
    if args.json || !cx.for_people() {
        let units: Vec<Json> = plan
            .steps()
            .into_iter()
            .flat_map(|step| step.units.iter().map(move |unit| (step, unit)))
            .map(|(step, unit)| {
                one(&plan, step, unit, skipped.iter().any(|name| *name == step.step.name.as_str()))
            })
            .collect();
        let all = json!({ "digest": plan.digest(), "units": units });
        let text = if args.json { serde_json::to_string_pretty(&all)? } else { cx.print(&all)? };
        return Ok(text.into());
    }
    let mut text = plan.to_string();
    if !skipped.is_empty() {
        text += &format!("skipped: {}\n", skipped.join(", "));
    }
    Ok(text.trim_end().to_owned().into())
}

fn one(plan: &Plan, planned: &PlannedStep, unit: &Unit, skipped: bool) -> Json {
    let fill = |text: &Text| plan.secrets.hide(&text.fill(&unit.vars).unwrap_or_else(|_| text.to_string()));
    let script = |script: &Script| {
        let exchange = |exchange: &Exchange| json!({ "expect": exchange.expect.as_ref().map(&fill), "send": exchange.send.as_ref().map(&fill) });
        let checks = script.checks.iter().map(|check| check.condition.to_string());
        json!({
            "pause": script.pause,
            "exchanges": script.exchanges.iter().map(exchange).collect::<Vec<_>>(),
            "checks": checks.collect::<Vec<_>>(),
        })
    };
    let step = &planned.step;
    let phases = [
        (Phase::Precheck, &step.precheck),
        (Phase::Apply, &step.apply),
        (Phase::Verify, &step.verify),
        (Phase::PreRollback, &step.pre_rollback),
        (Phase::VerifyRollback, &step.verify_rollback),
    ];
    let mut found = serde_json::Map::new();
    for (phase, said) in phases {
        found.extend(said.as_ref().map(|said| (phase.name().to_owned(), script(said))));
    }
    let rollbacks = step.rollback.iter().map(|rollback| {
        let when = rollback.when.as_ref().map(|check| check.condition.to_string());
        match &rollback.action {
            RollbackAction::Alert(text) => json!({ "when": when, "alert": fill(text) }),
            RollbackAction::Script(said) => json!({ "when": when, "script": script(said) }),
        }
    });
    found.insert(Phase::Rollback.name().to_owned(), rollbacks.collect());
    json!({
        "step": step.name.as_str(), "driver": planned.driver, "device": unit.device,
        "row": unit.row.map(|row| row + 1), "skipped": skipped, "phases": found,
    })
}
