//! The vocabulary of a run: everything that can happen, as it is written to `events.jsonl`.
//! Does not know who reads it.

mod folder;
mod trouble;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::base::id::MachineName;

pub use folder::scenario_folder;
pub use trouble::Trouble;

/// One event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// Wall-clock time, seconds since the epoch.
    pub time: f64,
    /// Seconds since the run began (monotonic).
    pub since_start: f64,
    /// What happened.
    pub event: RunEvent,
}

impl Stamped {
    /// Stamps an event that happened `since_start` after the run's begin.
    #[must_use]
    pub fn new(since_start: Duration, event: RunEvent) -> Self {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { time, since_start: since_start.as_secs_f64(), event }
    }
}

/// What can happen in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunEvent {
    /// The run began.
    RunStarted {
        /// Its identifier, the name of its folder below `target/polder`.
        run: String,
        /// Selected suites, in order.
        suites: Vec<String>,
        /// Number of selected scenarios, prerequisites included.
        scenarios: usize,
    },
    /// A suite began.
    SuiteStarted {
        /// Its name.
        suite: String,
    },
    /// Something a suite waits for or does before its scenarios, in words.
    SuiteProgress {
        /// Its name.
        suite: String,
        /// Such as "building image debian12" or "web: answers over ssh".
        text: String,
    },
    /// A suite has a session at a portal.
    PortalReached {
        /// Its name.
        suite: String,
        /// The portal's address.
        portal: String,
        /// The file in which is what is asked and answered.
        archive: String,
    },
    /// A scenario (or `setup`/`teardown`) began.
    ScenarioStarted {
        /// Its suite.
        suite: String,
        /// Its name.
        scenario: String,
        /// Whether it only runs because a selected one needs it.
        prerequisite: bool,
    },
    /// A line written by the scenario or by an operation it made.
    Log {
        /// Its suite.
        suite: String,
        /// Its scenario, `environment` before and after them.
        scenario: String,
        /// The text.
        text: String,
    },
    /// A fault was made on purpose, or set back.
    Fault {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// Which, of what, and its seed where chance has a part in it.
        text: String,
    },
    /// A phase of a change is over on a device.
    Change {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// The change.
        change: String,
        /// The device; empty for what is done once for several.
        device: String,
        /// The phase, such as `apply` or `rollback`.
        phase: String,
        /// What went wrong, if something did.
        error: Option<String>,
        /// How long it took, in seconds.
        seconds: f64,
        /// The file with everything that was sent and said.
        transcript: String,
    },
    /// What became of a change is written down: it was done, failed, or was undone.
    ChangeReported {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// The change.
        change: String,
        /// What became of it, such as `success` or `backout_ok`.
        state: String,
        /// The page with every phase on every device; beside it is the same for programs.
        report: String,
    },
    /// A machine is in trouble.
    Trouble {
        /// Its suite.
        suite: String,
        /// The scenario (or `setup`/`teardown`) in which it was noticed.
        scenario: String,
        /// The machine.
        machine: MachineName,
        /// What kind.
        trouble: Trouble,
        /// What the machine said.
        text: String,
        /// Whether it was to be: the scenario is not to blame then.
        expected: bool,
    },
    /// A scenario (or `setup`/`teardown`) ended.
    ScenarioFinished {
        /// Its suite.
        suite: String,
        /// Its name.
        scenario: String,
        /// How.
        outcome: Outcome,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// What a failure left was collected.
    Collected {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// The folder.
        folder: String,
        /// Items that could be had.
        items: usize,
        /// Items that could not.
        missing: usize,
    },
    /// A suite ended and its environment is gone (or kept).
    SuiteFinished {
        /// Its name.
        suite: String,
        /// What its environment used.
        usage: Option<Usage>,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// The run ended.
    RunFinished {
        /// Scenarios by outcome.
        passed: usize,
        /// Failed assertions, panics and time-outs.
        failed: usize,
        /// Not run, for a reason.
        not_run: usize,
        /// Marked `#[ignore]` and not selected.
        ignored: usize,
        /// How long it took, in seconds.
        seconds: f64,
    },
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It did.
    Passed,
    /// It did not.
    Failed {
        /// Whose fault.
        fault: Fault,
        /// The whole error, its causes on lines of their own.
        error: String,
    },
    /// It never began.
    NotRun {
        /// Such as "`boots` failed".
        reason: String,
    },
    /// Marked to be ignored and not selected, or machines are not capable of it.
    Ignored {
        /// The author's reason, or what is lacking.
        reason: Option<String>,
    },
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// What was tested: a failed assertion, an error the scenario returned, a panic.
    Product,
    /// Machines, networks, the lab or the host.
    Environment,
    /// Polder itself.
    Harness,
}

/// What the processes of a lab used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU seconds, user and system, ended processes included.
    pub cpu_seconds: f64,
    /// Highest sum seen, in MiB, of the memory processes have of their own (anonymous and shared memory, no files).
    pub peak_memory_mib: f64,
}
