//! States that steps marked `cached` leave, for later runs of the same executable: where this run may begin, and what it need
//! not do then. A state is known by all that was done until then, in order: a run never begins in one that it would not have
//! come to itself.

use std::{io, path::Path, sync::OnceLock};

use tracing::Span;

use crate::{
    base::text::chain,
    checkpoint,
    cvp::{PlaceError, SavedStay},
    env::{Documents, Env, Stage},
    event::{Outcome, RunEvent},
    guest::Guest,
};

use super::{
    order::Planned,
    points::{self, UNBOUNDED},
    registry::{ScenarioDef, StepDef, Suite},
    session::{Session, SoFar},
    task,
};

/// What set-up is called among steps.
pub(super) const SETUP: &str = "setup";

/// A state in which a run may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// The steps after which it is, in order.
    pub(super) path: Vec<&'static str>,
    /// How many of the planned scenarios are done then.
    pub(super) done: usize,
}

/// The states in which a run of `planned` may begin, the latest first. Scenarios that were asked for run; only those before
/// them, that are there for their end state, need not.
pub(super) fn starts(suite: &Suite, planned: &[Planned]) -> Vec<Start> {
    let def = |one: &Planned| suite.def.scenarios.get(one.index);
    let setup = suite.def.setup.first();
    let mut path: Vec<&'static str> = setup.map(|_| SETUP).into_iter().collect();
    let mut all = Vec::new();
    if setup.is_some_and(|step| step.cached) {
        all.push(Start { path: path.clone(), done: 0 });
    }
    for (at, one) in planned.iter().enumerate().take_while(|(_, one)| one.prerequisite) {
        let Some(scenario) = def(one) else { break };
        let name = scenario.step.name;
        path.push(name);
        let next = planned.get(at + 1).and_then(def);
        let is_end = next.is_some_and(|next| next.from == Some(name));
        let before = planned.iter().take(at).filter_map(def);
        if scenario.step.cached && is_end && before.into_iter().all(|one| is_needed(suite, scenario, one)) {
            all.push(Start { path: path.clone(), done: at + 1 });
        }
    }
    all.reverse();
    all
}

/// Whether `scenario` needs that `other` has passed, itself or by what it needs.
fn is_needed(suite: &Suite, scenario: &ScenarioDef, other: &ScenarioDef) -> bool {
    if scenario.needs_passed(other.step.name) {
        return true;
    }
    let mut between = suite.def.scenarios.iter().filter(|one| scenario.needs_passed(one.step.name));
    between.any(|one| is_needed(suite, one, other))
}

/// All of them, as they are kept; none where this executable cannot be read.
pub(super) async fn all(suite: &Suite, starts: &[Start]) -> Vec<Stage> {
    let mut known = Vec::new();
    for start in starts {
        known.extend(kept(suite, &start.path).await.ok());
    }
    known
}

/// The state after the steps of `path`, as it is kept.
///
/// # Errors
/// This executable cannot be read.
pub(super) async fn kept(suite: &Suite, path: &[&'static str]) -> io::Result<Stage> {
    let (suite, path) = (suite.clone(), path.to_vec());
    // It is large.
    tokio::task::spawn_blocking(move || stage(&suite, &path)).await.map_err(io::Error::other)?
}

fn stage(suite: &Suite, path: &[&str]) -> io::Result<Stage> {
    static EXECUTABLE: OnceLock<String> = OnceLock::new();
    let executable = match EXECUTABLE.get() {
        Some(known) => known.clone(),
        None => {
            let read = checkpoint::sum(Path::new("/proc/self/exe"))?.sha256;
            EXECUTABLE.get_or_init(|| read).clone()
        }
    };
    Ok(Stage { executable, suite: suite.name.clone(), step: path.join(" > ") })
}

impl Session<'_> {
    /// Goes on where an earlier run was after some steps; returns how many of the planned scenarios are done by that.
    pub(super) async fn begin_at(&self, start: Start, planned: &[Planned], so_far: &mut SoFar) -> usize {
        let Start { path, done } = start;
        let steps: Vec<String> = path.iter().map(|step| format!("`{step}`")).collect();
        self.runner.emit(RunEvent::SuiteProgress {
            suite: self.suite.name.clone(),
            text: format!("not run again, because an earlier run kept what they left: {}", steps.join(", ")),
        });
        so_far.path = Some(path.clone());
        if let (Some(place), Some(last)) = (done.checked_sub(1), path.last()) {
            let is_wanted = points::is_wanted(self.suite, planned, place);
            self.left(&mut so_far.points, last, Some(path.clone()), is_wanted).await;
        }
        done
    }

    /// Takes note that a step has been run, and keeps what it left for later runs, if it is `cached`.
    pub(super) async fn passed_through(
        &self,
        name: &'static str,
        step: &StepDef,
        outcome: &Outcome,
        so_far: &mut SoFar,
    ) {
        if *outcome != Outcome::Passed {
            so_far.path = None;
        }
        let Some(path) = &mut so_far.path else { return };
        path.push(name);
        let Some(env) = self.env.clone().filter(|env| step.cached && env.keeps_checkpoints()) else { return };
        let left = match (self.changes.made(), kept(self.suite, path).await) {
            (0, Ok(stage)) => match self.documents(&env).await {
                Ok(documents) => {
                    let work = async move { Ok(env.keep_for_others(Some((&stage, &documents))).await?) };
                    self.done(task::run(&self.runner.work, Span::none(), UNBOUNDED, work).await)
                }
                Err(error) => Err(chain(&error)),
            },
            (0, Err(error)) => Err(format!("this executable cannot be read: {error}")),
            (_, _) => Err("changes are to be undone".to_owned()),
        };
        if let Err(why) = left {
            self.runner.emit(RunEvent::SuiteProgress {
                suite: self.suite.name.clone(),
                text: format!("what `{name}` left is not kept for later runs: {why}"),
            });
        }
    }

    /// What is to be kept beside machines.
    async fn documents(&self, env: &Env) -> Result<Documents, PlaceError> {
        match &self.portal {
            Some(stay) => stay.save(&guests(env)).await,
            None => Ok(Documents::new()),
        }
    }
}

/// Those that end with it.
pub(super) fn made(env: &Env) -> Vec<Guest> {
    env.vms().iter().filter(|vm| vm.is_made()).map(|vm| vm.as_ref().clone()).collect()
}

/// The machines of an environment.
pub(super) fn guests(env: &Env) -> Vec<Guest> {
    env.vms().iter().map(|vm| vm.as_ref().clone()).collect()
}

/// Whether what was kept beside machines is a stay at a portal.
pub(super) fn judge_stay(documents: &Documents) -> Result<(), String> {
    SavedStay::read(documents).map(drop).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::super::registry::{StepDef, SuiteDef};
    use super::*;

    const fn step(name: &'static str, cached: bool) -> StepDef {
        let run = |_| -> crate::base::dial::BoxFuture<'static, crate::Result> { Box::pin(async { Ok(()) }) };
        StepDef { name, line: 1, params: &[], timeout: None, plain: false, cached, run }
    }

    const fn scenario(
        name: &'static str,
        cached: bool,
        after: &'static [&'static str],
        from: Option<&'static str>,
    ) -> ScenarioDef {
        ScenarioDef { after, from, ..ScenarioDef::plain(step(name, cached)) }
    }

    static DEF: SuiteDef = SuiteDef {
        setup: &[step("prepare", true)],
        ..SuiteDef::plain(
            "t::s",
            "t.rs",
            1,
            &[
                scenario("a", false, &[], None),
                scenario("x", true, &["a"], None),
                scenario("y", false, &[], Some("x")),
                scenario("z", false, &["a"], Some("x")),
            ],
        )
    };

    fn found(planned: &[(usize, bool)]) -> Vec<String> {
        let suite = Suite { name: "s".into(), def: &DEF };
        let planned: Vec<Planned> =
            planned.iter().map(|&(index, prerequisite)| Planned { index, prerequisite }).collect();
        starts(&suite, &planned)
            .iter()
            .map(|start| format!("{} ({})", start.path.join(" > "), start.done))
            .collect()
    }

    #[test]
    fn a_run_begins_as_late_as_it_may() {
        let setup = "setup (0)";
        assert_eq!(found(&[(0, true), (1, true), (2, false)]), ["setup > a > x (2)", setup]);
        assert_eq!(found(&[(0, false), (1, true), (2, false)]), [setup], "what was asked for runs");
        assert_eq!(found(&[(0, false), (1, false), (2, false)]), [setup]);
        assert_eq!(found(&[(0, true), (1, false)]), [setup]);
    }

    #[test]
    fn a_state_is_that_of_its_executable_suite_and_path() {
        let suite = Suite { name: "s".into(), def: &DEF };
        let one = stage(&suite, &["setup", "a"]).unwrap();
        assert_eq!((one.step.as_str(), one.executable.len()), ("setup > a", 64));
        assert_eq!(stage(&suite, &["setup", "a"]).unwrap(), one);
        assert_ne!(stage(&suite, &["a"]).unwrap(), one);
    }
}
