//! What failed when it was run last, from the events of earlier runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{
    event::{Outcome, Recording, RunEvent, read},
    report::{retention::is_run_id, sink::EVENTS},
    suite::registry::Suite,
};

/// The full names of those scenarios of `suites` that did not go well when they were last run, by the runs in `root`; nothing
/// when none of them was ever run.
pub(super) fn failed(root: &Path, suites: &[Suite]) -> Option<BTreeSet<String>> {
    let mut runs: Vec<String> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok().filter(|name| is_run_id(name)))
        .collect();
    runs.sort_by(|a, b| b.cmp(a));
    // What cannot be read, such as a run of a later version, tells nothing.
    let recordings = runs.iter().filter_map(|run| read(&fs::read(root.join(run).join(EVENTS)).ok()?).ok());
    last_failed(recordings, &names(suites))
}

fn names(suites: &[Suite]) -> BTreeSet<String> {
    let of = |suite: &Suite| {
        let full = |step: &str| format!("{}::{step}", suite.name);
        suite.def.scenarios.iter().map(|scenario| full(scenario.step.name)).collect::<Vec<_>>()
    };
    suites.iter().flat_map(of).collect()
}

/// Of `names`, those whose newest outcome was not a good one; `recordings` are newest first.
fn last_failed(
    recordings: impl Iterator<Item = Recording>,
    names: &BTreeSet<String>,
) -> Option<BTreeSet<String>> {
    let mut last: BTreeMap<String, bool> = BTreeMap::new();
    for recording in recordings {
        for (name, went_well) in outcomes(&recording, names) {
            last.entry(name).or_insert(went_well);
        }
        if last.len() == names.len() {
            break;
        }
    }
    let failed = |(name, went_well): (&String, &bool)| (!went_well).then(|| name.clone());
    (!last.is_empty()).then(|| last.iter().filter_map(failed).collect())
}

/// Which of `names` were run, or should have been, and whether that went well.
fn outcomes(recording: &Recording, names: &BTreeSet<String>) -> BTreeMap<String, bool> {
    let (mut outcomes, mut failed_suites) = (BTreeMap::new(), BTreeSet::new());
    for stamped in &recording.events {
        match &stamped.event {
            // Of a run that was killed there may be no more.
            RunEvent::ScenarioStarted { suite, scenario, .. } => {
                outcomes.insert((suite, scenario), false);
            }
            RunEvent::ScenarioFinished { suite, scenario, outcome, .. } => {
                let failed = matches!(outcome, Outcome::Failed { .. } | Outcome::NotRun { .. });
                if failed && !names.contains(&format!("{suite}::{scenario}")) {
                    // What failed beside the scenarios, such as the teardown, takes all of them to be seen again.
                    failed_suites.insert(suite);
                }
                if !matches!(outcome, Outcome::Ignored { .. }) {
                    outcomes.insert((suite, scenario), !failed);
                }
            }
            _ => {}
        }
    }
    let all = outcomes.into_iter().map(|((suite, scenario), went_well)| {
        (format!("{suite}::{scenario}"), went_well && !failed_suites.contains(suite))
    });
    all.filter(|(name, _)| names.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fault, Stamped};

    fn recording(events: Vec<RunEvent>) -> Recording {
        let stamped = |event| Stamped { time: 0.0, since_start: 0.0, event };
        Recording { events: events.into_iter().map(stamped).collect(), ..Recording::default() }
    }

    fn started(scenario: &str) -> RunEvent {
        RunEvent::ScenarioStarted {
            suite: "s".into(),
            scenario: scenario.into(),
            prerequisite: false,
            attempt: 1,
            place: None,
        }
    }

    fn finished(scenario: &str, outcome: Outcome) -> RunEvent {
        RunEvent::ScenarioFinished { suite: "s".into(), scenario: scenario.into(), outcome, seconds: 0.0 }
    }

    fn bad() -> Outcome {
        Outcome::Failed { fault: Fault::Product, error: "no".into() }
    }

    /// What is run again after `runs`, newest first.
    fn again(runs: Vec<Vec<RunEvent>>) -> Option<Vec<String>> {
        let names = ["s::a", "s::b", "s::c"].map(str::to_owned).into();
        last_failed(runs.into_iter().map(recording), &names).map(|failed| failed.into_iter().collect())
    }

    #[test]
    fn the_newest_outcome_of_each_scenario_counts() {
        assert_eq!(again(vec![]), None);
        assert_eq!(again(vec![vec![finished("other", bad())]]), None);
        let old = || vec![finished("a", bad()), finished("b", bad()), finished("c", Outcome::Passed)];
        assert_eq!(again(vec![old()]).unwrap(), ["s::a", "s::b"]);
        let newer = vec![finished("a", Outcome::Passed), finished("b", Outcome::Ignored { reason: None })];
        assert_eq!(again(vec![newer, old()]).unwrap(), ["s::b"]);
        let good = ["a", "b", "c"].map(|name| finished(name, Outcome::Passed)).to_vec();
        assert_eq!(again(vec![good, old()]).unwrap(), [""; 0]);
    }

    #[test]
    fn what_did_not_end_or_begin_is_run_again_and_all_of_a_suite_that_failed_otherwise() {
        let not_run = Outcome::NotRun { reason: "needs `a`, which failed".into() };
        let killed = vec![finished("a", Outcome::Passed), finished("b", not_run), started("c")];
        assert_eq!(again(vec![killed]).unwrap(), ["s::b", "s::c"]);
        let teardown = vec![finished("a", Outcome::Passed), finished("teardown", bad())];
        assert_eq!(again(vec![teardown]).unwrap(), ["s::a"]);
    }
}
