//! A run as a whole: its events, folded into suites and what each of their entries did. Pure.

use serde::Serialize;

use crate::event::{Fault, MachineFacts, Outcome, Recording, Usage, WaitEnd};

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Account {
    /// Its name.
    pub(crate) run: String,
    /// The version of Polder that ran it.
    pub(crate) polder: String,
    /// The number from which its seeds are.
    pub(crate) seed: Option<u64>,
    /// When it began, in seconds since 1970.
    pub(crate) began: f64,
    /// Seconds to its end, or to the last thing known of it.
    pub(crate) seconds: f64,
    /// Whether its end is known.
    pub(crate) finished: bool,
    /// Whether the operator ended it early.
    pub(crate) stopped: bool,
    /// In the order in which they are selected.
    pub(crate) suites: Vec<SuiteAccount>,
}

/// A suite.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SuiteAccount {
    pub(crate) name: String,
    pub(crate) place: Option<String>,
    /// Seconds after the run's begin; nothing of one that did not begin.
    pub(crate) began: Option<f64>,
    pub(crate) seconds: f64,
    /// The folder of its environment.
    pub(crate) prefix: Option<String>,
    pub(crate) machines: Vec<MachineFacts>,
    /// The portal's address.
    pub(crate) portal: Option<String>,
    pub(crate) usage: Option<Usage>,
    /// Its scenarios, and what it did beside them, in the order in which they began.
    pub(crate) entries: Vec<Entry>,
}

/// A scenario, or what a suite does beside its scenarios.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Where it is written.
    pub(crate) place: Option<String>,
    /// Seconds after the run's begin; nothing of one that was not run.
    pub(crate) began: Option<f64>,
    /// Seconds of all attempts.
    pub(crate) seconds: f64,
    pub(crate) prerequisite: bool,
    /// How it ended; nothing if it did not.
    pub(crate) outcome: Option<Outcome>,
    /// Attempts that failed before the last one.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) phases: Vec<PhaseOf>,
    pub(crate) changes: Vec<ChangeOf>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Attempt {
    pub(crate) attempt: u32,
    pub(crate) fault: Fault,
    pub(crate) error: String,
    pub(crate) seconds: f64,
}

/// Something in the log of an entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Node {
    /// Seconds after the run's begin when it was told; of operations, when they began.
    pub(crate) at: f64,
    /// The operation to which it belongs, as its place in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
    pub(crate) text: String,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum What {
    /// A line.
    Line,
    /// Something a suite does before its scenarios.
    Progress,
    /// An operation; without `took` it did not end.
    Span { took: Option<f64> },
    /// A wait, that was over at that time.
    Wait { took: f64, end: WaitEnd, seen: String, history: String, looks: u32 },
    /// A fault that was made on purpose; without `took` it was not set back.
    Fault { took: Option<f64> },
    /// A machine's trouble.
    Trouble { expected: bool },
    /// The begin of an attempt after the first.
    Attempt,
}

/// A phase of a change on a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PhaseOf {
    pub(crate) at: f64,
    pub(crate) change: String,
    pub(crate) device: String,
    pub(crate) phase: String,
    pub(crate) error: Option<String>,
    pub(crate) took: f64,
    /// The file with what was said, below the run's folder.
    pub(crate) transcript: String,
}

/// A change with a page of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ChangeOf {
    pub(crate) change: String,
    pub(crate) state: String,
    /// The page, below the run's folder.
    pub(crate) report: String,
}

/// How an entry went, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Failed,
    /// Its end is not known.
    Unfinished,
    /// It passed after attempts that failed.
    Flaky,
    Passed,
    /// It failed, as was expected.
    Expected,
    NotRun,
    Ignored,
}

impl Verdict {
    /// In words.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unfinished => "did not end",
            Self::Flaky => "flaky",
            Self::Passed => "passed",
            Self::Expected => "failed as expected",
            Self::NotRun => "not run",
            Self::Ignored => "ignored",
        }
    }

    /// Whether somebody has to look at it.
    pub(crate) const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Unfinished)
    }
}

impl Entry {
    pub(crate) fn verdict(&self) -> Verdict {
        match &self.outcome {
            Some(Outcome::Failed { .. }) => Verdict::Failed,
            Some(Outcome::ExpectedFailure { .. }) => Verdict::Expected,
            Some(Outcome::NotRun { .. }) => Verdict::NotRun,
            Some(Outcome::Ignored { .. }) => Verdict::Ignored,
            None if self.began.is_some() => Verdict::Unfinished,
            // It was not told to begin, and would have been told to fail.
            None => Verdict::Passed,
            Some(Outcome::Passed) if self.attempts.is_empty() => Verdict::Passed,
            Some(Outcome::Passed) => Verdict::Flaky,
        }
    }

    /// Why it is bad, or was not run.
    pub(crate) fn why(&self) -> Option<&str> {
        match &self.outcome {
            Some(Outcome::Failed { error, .. } | Outcome::ExpectedFailure { error, .. }) => Some(error),
            Some(Outcome::NotRun { reason }) => Some(reason),
            Some(Outcome::Ignored { reason }) => reason.as_deref(),
            None => self.began.map(|_| UNFINISHED),
            Some(Outcome::Passed) => None,
        }
    }

    /// What is known of a failure that was expected, and the last day on which it is none.
    pub(crate) fn expected(&self) -> Option<String> {
        match &self.outcome {
            Some(Outcome::ExpectedFailure { reason, until, .. }) => {
                Some(format!("{reason}, expected until {until}"))
            }
            _ => None,
        }
    }

    /// Whose fault it is that it failed.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match &self.outcome {
            Some(Outcome::Failed { fault, .. }) => Some(*fault),
            None => self.began.map(|_| Fault::Harness),
            Some(_) => None,
        }
    }

    /// Its log as text, operations indented.
    pub(crate) fn log(&self) -> String {
        let mut depths: Vec<usize> = Vec::new();
        let mut text = String::new();
        for node in &self.nodes {
            let depth = node.parent.and_then(|parent| depths.get(parent)).map_or(0, |depth| depth + 1);
            depths.push(depth);
            let indent = "  ".repeat(depth);
            let mut at = format!("{:9.3} ", node.at - self.began.unwrap_or_default());
            for line in node.text.lines() {
                text += &format!("{at}{indent}{line}\n");
                at = " ".repeat(10);
            }
        }
        text
    }
}

/// Why something has no end.
const UNFINISHED: &str = "its end is not known: the run was killed, or goes on";

/// How many entries went how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) flaky: usize,
    pub(crate) failed: usize,
    pub(crate) unfinished: usize,
    pub(crate) expected: usize,
    pub(crate) not_run: usize,
    pub(crate) ignored: usize,
}

impl Counts {
    /// Of `entries`: scenarios, and what else is bad.
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut counts = Self::default();
        for entry in entries.into_iter().filter(|entry| is_counted(entry)) {
            let count = match entry.verdict() {
                Verdict::Passed => &mut counts.passed,
                Verdict::Flaky => &mut counts.flaky,
                Verdict::Failed => &mut counts.failed,
                Verdict::Unfinished => &mut counts.unfinished,
                Verdict::Expected => &mut counts.expected,
                Verdict::NotRun => &mut counts.not_run,
                Verdict::Ignored => &mut counts.ignored,
            };
            *count += 1;
        }
        counts
    }

    /// In words, without what there is none of.
    pub(crate) fn words(self) -> String {
        let Self { passed, flaky, failed, unfinished, expected, not_run, ignored } = self;
        let all = [
            (failed, "failed"),
            (unfinished, "did not end"),
            (flaky, "flaky"),
            (passed, "passed"),
            (expected, "failed as expected"),
            (not_run, "not run"),
            (ignored, "ignored"),
        ];
        let said: Vec<String> = all
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if said.is_empty() { "nothing was run".to_owned() } else { said.join(", ") }
    }
}

/// Whether an entry is one to count: all scenarios are, and of the others those that are bad.
pub(crate) fn is_counted(entry: &Entry) -> bool {
    crate::report::model::is_scenario(&entry.name) || entry.verdict().is_bad()
}

impl Account {
    /// What `recording` tells.
    pub(crate) fn new(recording: &Recording) -> Self {
        super::fold::account(&recording.events)
    }

    /// Every entry, with its suite.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&SuiteAccount, &Entry)> {
        self.suites.iter().flat_map(|suite| suite.entries.iter().map(move |entry| (suite, entry)))
    }
}
