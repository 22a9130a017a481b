//! States that a run of suites has kept at failures: choosing one, and having its machines go on from there.

use std::path::Path;

use crate::{
    checkpoint::Store,
    cli::{context::Cx, exit::BadInput},
    env::{Env, Progress, Stage},
    event::STATES,
    workdir::{
        Workdir,
        paths::{DEFAULT, FOLDER},
    },
};

/// A state and the step it is of.
pub(super) struct Kept {
    step: String,
    key: String,
}

/// All that are kept of a suite.
pub(super) fn kept(suite: &Path) -> anyhow::Result<Vec<Kept>> {
    let mut all = Vec::new();
    for one in Store::at(&suite.join(STATES)).list()? {
        let step = one.content.as_ref().ok().and_then(Stage::of).map(|stage| stage.step);
        all.extend(step.map(|step| Kept { step, key: one.key }));
    }
    all.sort_by(|a, b| a.step.cmp(&b.step));
    Ok(all)
}

/// Has the machines of a suite go on from the state of `step`, or the only one there is; they stay then.
pub(super) async fn go_on(
    cx: &Cx,
    suite: &Path,
    states: Vec<Kept>,
    step: Option<&str>,
) -> anyhow::Result<Env> {
    let names: Vec<&str> = states.iter().map(|one| one.step.as_str()).collect();
    let names = names.join(", ");
    let mut meant = states.iter().filter(|one| step.is_none_or(|step| one.step == step));
    let key = match (meant.next(), meant.next(), step) {
        (Some(one), None, _) => one.key.clone(),
        (Some(_), Some(_), _) => {
            return Err(
                BadInput(format!("several states are kept; name one with --scenario: {names}")).into()
            );
        }
        (None, _, step) => {
            let step = step.unwrap_or_default();
            let there = if names.is_empty() { "none" } else { &names };
            return Err(BadInput(format!("no state of `{step}` is kept; those there are: {there}")).into());
        }
    };
    let workdir = Workdir::create(&suite.join(FOLDER))?;
    let progress = Progress::new(|_| {});
    let env = Env::reopen(&cx.host()?, &workdir, DEFAULT, &suite.join(STATES), &key, &progress).await;
    match env {
        Ok(env) => {
            env.detach()?;
            Ok(env)
        }
        Err(error) => {
            // Nothing is in it any more; it would be taken for machines that stay.
            let _ = std::fs::remove_dir_all(suite.join(FOLDER));
            Err(error.into())
        }
    }
}
