//! Whether the init file has what the scenarios' parameters name; every problem at once. Pure.

use crate::{base::text::did_you_mean, env::Names};

use super::{
    extract::Need,
    registry::{StepDef, Suite},
};

/// A parameter that names nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: suite `{suite}`: {problem}")]
pub(crate) struct Missing {
    place: String,
    suite: String,
    problem: String,
}

/// Checks every step of `suite` against the names of its init file (nothing when it has none).
pub(crate) fn check(suite: &Suite, names: Option<&Names>) -> Vec<Missing> {
    let def = suite.def;
    let scenarios = def.scenarios.iter().map(|scenario| &scenario.step);
    let steps = def.setup.iter().chain(scenarios).chain(def.teardown);
    steps
        .flat_map(|step| step_problems(suite, step, names).into_iter().map(move |problem| (step, problem)))
        .map(|(step, problem)| Missing {
            place: format!("{}:{}", def.file, step.line),
            suite: suite.name.clone(),
            problem,
        })
        .collect()
}

fn step_problems(suite: &Suite, step: &StepDef, names: Option<&Names>) -> Vec<String> {
    let file = suite.def.env.map_or("", |env| env.path);
    let file = file.rsplit('/').next().unwrap_or(file);
    let problem = |param: &super::registry::Param| {
        let name = param.name;
        let Some(names) = names else {
            return (param.need != Need::Nothing).then(|| {
                format!("`{}` asks for `{name}`, but the suite names no init file (`env = ..`)", step.name)
            });
        };
        let (what, known, found) = match param.need {
            Need::Nothing | Need::Environment => return None,
            Need::Machine => ("machine", &names.machines, names.machine(name)),
            Need::Net => ("net", &names.nets, names.net(name)),
        };
        if found.is_some() {
            return None;
        }
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        let hint = hint.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        Some(format!("no {what} `{name}` in {file}{hint}"))
    };
    step.params.iter().filter_map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::super::registry::{EnvFile, Ignore, Param, ScenarioDef, SuiteDef};
    use super::*;

    const PARAMS: &[Param] = &[
        Param { name: "r3", need: Need::Machine },
        Param { name: "web_1", need: Need::Machine },
        Param { name: "lan", need: Need::Net },
        Param { name: "r1", need: Need::Net },
        Param { name: "env", need: Need::Environment },
        Param { name: "whatever", need: Need::Nothing },
    ];
    const STEP: StepDef = StepDef {
        name: "routes",
        line: 12,
        params: PARAMS,
        timeout: None,
        plain: false,
        run: |_| Box::pin(async { Ok(()) }),
    };
    static DEF: SuiteDef = SuiteDef {
        module: "t::demo",
        file: "tests/demo.rs",
        line: 3,
        env: Some(EnvFile { path: "/src/tests/demo.yaml", text: "" }),
        timeout: None,
        if_var: None,
        setup: &[],
        teardown: &[],
        scenarios: &[ScenarioDef { step: STEP, after: &[], ignore: Ignore::No }],
    };

    #[test]
    fn names_what_is_not_in_the_file() {
        let suite = Suite { name: "demo".into(), def: &DEF };
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let names = Names { machines: owned(&["r1", "r2", "web-1"]), nets: owned(&["lan"]) };
        let problems: Vec<String> = check(&suite, Some(&names)).iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "tests/demo.rs:12: suite `demo`: no machine `r3` in demo.yaml; did you mean `r1`?",
                "tests/demo.rs:12: suite `demo`: no net `r1` in demo.yaml",
            ]
        );
        assert_eq!(check(&suite, None).len(), 5, "without a file nothing can be named");
    }
}
