//! Holds changes against one another: every name has to name something, prerequisites must not go in a circle, every
//! variable has to be set. Notes all of it with its place. Pure.

use std::collections::HashSet;

use super::{
    file::Given,
    model::{Changes, DriverKind, Rollback, Step, Word},
    order::order,
    read::MACHINE,
    scope::{Missing, Named, Seen, each},
    text::Vars,
};
use crate::{base::text::did_you_mean, initfile::Problems};

/// Notes everything that is wrong between changes.
pub(super) fn check(changes: &Changes, given: &Given, problems: &mut Problems) {
    if let Err(troubles) = order(&changes.scenario) {
        for trouble in troubles {
            problems.add(trouble.code, &trouble.at.span(), trouble.message, trouble.help);
        }
    }
    for matrix in changes.matrices.iter().filter(|matrix| matrix.rows.is_empty()) {
        let message =
            format!("the matrix `{}` has no rows: what is repeated over it does nothing", matrix.name);
        problems.warn("iter.empty", &matrix.name.at.span(), message, None);
    }
    let named = Named::new(changes, &given.environment);
    each(&changes.scenario, &[], &mut |seen, sets| match seen {
        Seen::Step(step) => {
            names(step, &named, changes, problems);
            machines(step, &named, given, problems);
            rollbacks(&step.rollback, step, problems);
            variables(step, sets, &named, problems);
        }
        Seen::Set(set) => unresolved(named.set_vars(set, sets).err().unwrap_or_default(), problems),
    });
}

fn names(step: &Step, named: &Named<'_>, changes: &Changes, problems: &mut Problems) {
    if step.targets.is_empty() && !step.policy.noop {
        let message = format!("`{}` has no device", step.name);
        let help = Some("name its `targets`, or mark its policy `noop`".to_owned());
        problems.add("change.no-target", &step.name.at.span(), message, help);
    }
    let devices = || changes.devices.iter().map(|device| device.name.as_str());
    for target in step.targets.iter().filter(|target| named.device(target).is_none()) {
        unknown("device.unknown", "device", target, devices(), problems);
    }
    if let Some(word) = step.matrix.as_ref().filter(|word| named.matrix(word).is_none()) {
        let known = changes.matrices.iter().map(|matrix| matrix.name.as_str());
        unknown("iter.unknown", "matrix", word, known, problems);
    }
    let drivers = || changes.drivers.iter().map(|driver| driver.name.as_str());
    match (&step.driver, changes.drivers.as_slice()) {
        (Some(word), _) if named.driver(word).is_none() => {
            unknown("prov.unknown", "driver", word, drivers(), problems);
        }
        (None, []) => {
            let message = format!("there is no driver that could carry the commands of `{}`", step.name);
            let help = Some("name one under `drivers`; `local` runs them on this machine".to_owned());
            problems.add("prov.none", &step.name.at.span(), message, help);
        }
        (None, [first, _, ..]) => {
            let message = format!("`{}` names no driver, the first is taken", step.name);
            let help = Some(format!("say `driver: {}`", first.name));
            problems.warn("prov.ambiguous", &step.name.at.span(), message, help);
        }
        _ => {}
    }
}

/// Devices that are to be reached over ssh as machines of the environment have to be machines of it.
fn machines(step: &Step, named: &Named<'_>, given: &Given, problems: &mut Problems) {
    let Some(Ok(rows)) = &given.machines else { return };
    let resolved = named.resolved(step);
    let Some(driver) = resolved.driver else { return };
    if driver.kind != DriverKind::Ssh || driver.options.contains_key("user") {
        return;
    }
    let known: Vec<&str> = rows.iter().filter_map(|row| row.get(MACHINE)).map(String::as_str).collect();
    for target in step.targets.iter().filter(|target| named.device(target).is_some()) {
        if known.contains(&target.as_str()) {
            continue;
        }
        let message = format!(
            "`{target}` is no machine of the environment, and its driver says no `user` to log in as"
        );
        let near = did_you_mean(target.as_str(), known.iter().copied());
        let help = near.map(|near| format!("did you mean `{near}`?"));
        problems.add("device.no-machine", &target.at.span(), message, help);
    }
}

fn unknown<'k>(
    code: &'static str,
    what: &str,
    word: &Word,
    known: impl Iterator<Item = &'k str>,
    problems: &mut Problems,
) {
    let help = did_you_mean(word.as_str(), known).map(|near| format!("did you mean `{near}`?"));
    problems.add(code, &word.at.span(), format!("there is no {what} `{word}`"), help);
}

/// The one without a condition takes all that is left, so it is the last.
fn rollbacks(all: &[Rollback], step: &Step, problems: &mut Problems) {
    let unconditional = all.iter().position(|rollback| rollback.when.is_none());
    if unconditional.is_some_and(|at| at + 1 < all.len()) {
        let message = format!("`{}` has a rollback after one that fits every failure", step.name);
        let help = Some("put the one without `when` last".to_owned());
        problems.add("change.bad-phase-child", &step.name.at.span(), message, help);
    }
}

/// Every variable that has no value for some device and row, once.
fn variables(step: &Step, sets: &[&Vars], named: &Named<'_>, problems: &mut Problems) {
    let resolved = named.resolved(step);
    let rows: Vec<Option<usize>> = match resolved.matrix {
        Some(matrix) => (0..matrix.rows.len()).map(Some).collect(),
        None => vec![None],
    };
    let mut seen = HashSet::new();
    for device in &resolved.devices {
        for row in &rows {
            let missing = named.vars(step, sets, &resolved, device, *row).err().unwrap_or_default();
            unresolved(missing.into_iter().filter(|missing| seen.insert(missing.key.clone())), problems);
        }
    }
}

fn unresolved(all: impl IntoIterator<Item = Missing>, problems: &mut Problems) {
    for missing in all {
        let message = format!("there is no variable `{}` for {}", missing.key, missing.unit);
        problems.add("subst.unresolved", &missing.at.span(), message, None);
    }
}
