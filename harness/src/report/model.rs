//! A run as counts and failures: a pure fold over its events.

use std::collections::BTreeMap;

use crate::event::{Fault, Outcome, RunEvent};

/// What happened so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) not_run: usize,
    pub(crate) ignored: usize,
    pub(crate) expected_failures: usize,
    /// Those that passed at last, and how often they had failed.
    pub(crate) flaky: Vec<(String, usize)>,
    /// Errors of earlier attempts at scenarios under way, by suites and names.
    pub(crate) attempts: BTreeMap<(String, String), Vec<String>>,
    /// Whether the operator ended the run early.
    pub(crate) stopped: bool,
    /// In the order they happened.
    pub(crate) failures: Vec<Failure>,
    /// By suites, the files with what portals were asked.
    pub(crate) archives: BTreeMap<String, String>,
}

/// A failed scenario, set-up, teardown or environment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) suite: String,
    pub(crate) scenario: String,
    pub(crate) fault: Fault,
    pub(crate) error: String,
    /// Errors of its earlier attempts.
    pub(crate) attempts: Vec<String>,
    /// Its log as text, when there is any.
    pub(crate) log: String,
    /// What was collected: items, and items that could not be had.
    pub(crate) collected: Option<(usize, usize)>,
    /// The file with what the suite's portal was asked.
    pub(crate) archive: Option<String>,
}

impl Failure {
    /// Its full name, as tests are called.
    pub(crate) fn name(&self) -> String {
        format!("{}::{}", self.suite, self.scenario)
    }
}

/// Whether an entry of a suite is one of its scenarios; the others count only when they fail.
pub(crate) fn is_scenario(name: &str) -> bool {
    !matches!(name, "environment" | "portal" | "changes" | "setup" | "teardown" | "leaks")
}

impl Summary {
    /// Takes an event; `log` is that of the scenario it ends.
    pub(crate) fn take(&mut self, event: &RunEvent, log: &str) {
        match event {
            RunEvent::AttemptFailed { suite, scenario, error, .. } => {
                self.attempts.entry((suite.clone(), scenario.clone())).or_default().push(error.clone());
            }
            RunEvent::ScenarioFinished { suite, scenario, outcome, .. } => {
                self.count(scenario, outcome);
                let attempts = self.attempts.remove(&(suite.clone(), scenario.clone())).unwrap_or_default();
                if *outcome == Outcome::Passed && !attempts.is_empty() {
                    self.flaky.push((format!("{suite}::{scenario}"), attempts.len()));
                }
                if let Outcome::Failed { fault, error } = outcome {
                    self.failures.push(Failure {
                        suite: suite.clone(),
                        scenario: scenario.clone(),
                        fault: *fault,
                        error: error.clone(),
                        attempts,
                        log: log.to_owned(),
                        collected: None,
                        archive: self.archives.get(suite).cloned(),
                    });
                }
            }
            RunEvent::PortalReached { suite, archive, .. } => {
                self.archives.insert(suite.clone(), archive.clone());
            }
            RunEvent::Collected { suite, scenario, items, missing, .. } => {
                let failure =
                    self.failures.iter_mut().rev().find(|f| f.suite == *suite && f.scenario == *scenario);
                if let Some(failure) = failure {
                    failure.collected = Some((*items, *missing));
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, scenario: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Failed { .. } => self.failed += 1,
            _ if !is_scenario(scenario) => {}
            Outcome::Passed => self.passed += 1,
            Outcome::ExpectedFailure { .. } => self.expected_failures += 1,
            Outcome::NotRun { .. } => self.not_run += 1,
            Outcome::Ignored { .. } => self.ignored += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_scenarios_and_what_else_failed() {
        let finished = |scenario: &str, outcome: Outcome| RunEvent::ScenarioFinished {
            suite: "demo".into(),
            scenario: scenario.into(),
            outcome,
            seconds: 1.0,
        };
        let failed = || Outcome::Failed { fault: Fault::Product, error: "1 != 2".into() };
        let mut summary = Summary::default();
        let portal = "https://p".into();
        let reached = RunEvent::PortalReached { suite: "demo".into(), portal, archive: "x/cvp.har".into() };
        let failed_once = |scenario: &str| RunEvent::AttemptFailed {
            suite: "demo".into(),
            scenario: scenario.into(),
            attempt: 1,
            fault: Fault::Product,
            error: "2 != 3".into(),
            seconds: 0.5,
        };
        let known = Outcome::ExpectedFailure {
            error: "3 != 4".into(),
            reason: "bug 7".into(),
            until: "2027-01-31".into(),
        };
        for event in [
            reached,
            finished("environment", Outcome::Passed),
            finished("setup", Outcome::Passed),
            finished("portal", Outcome::Passed),
            failed_once("a"),
            finished("a", Outcome::Passed),
            failed_once("b"),
            finished("b", failed()),
            finished("known", known),
            finished("c", Outcome::NotRun { reason: "needs `b`, which failed".into() }),
            finished("d", Outcome::Ignored { reason: None }),
            finished("teardown", failed()),
        ] {
            summary.take(&event, "log");
        }
        let collected = RunEvent::Collected {
            suite: "demo".into(),
            scenario: "b".into(),
            folder: "x".into(),
            items: 3,
            missing: 1,
        };
        summary.take(&collected, "");
        let Summary { passed, failed, not_run, ignored, failures, .. } = summary;
        assert_eq!((summary.expected_failures, summary.flaky), (1, vec![("demo::a".to_owned(), 1)]));
        assert_eq!(
            (failures[0].attempts.as_slice(), failures[1].attempts.len()),
            (&["2 != 3".to_owned()][..], 0)
        );
        assert_eq!((passed, failed, not_run, ignored), (1, 2, 1, 1));
        assert_eq!(failures.iter().map(Failure::name).collect::<Vec<_>>(), ["demo::b", "demo::teardown"]);
        assert_eq!((failures[0].collected, failures[0].log.as_str()), (Some((3, 1)), "log"));
        assert_eq!(failures[1].archive.as_deref(), Some("x/cvp.har"));
    }
}
