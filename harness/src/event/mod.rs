//! The vocabulary of a run: everything that can happen, as it is written to `events.jsonl` and documented in `docs/events.md`.
//! Does not know who reads it.

mod folder;
mod kind;
mod outcome;
mod read;
#[cfg(test)]
mod tests;
mod trouble;

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::base::id::MachineName;

pub use folder::PORTAL_STATE;
pub use folder::STATES;
pub use folder::scenario_folder;
pub use folder::suite_folder;
pub use outcome::Fault;
pub use outcome::Outcome;
pub use outcome::WaitEnd;
pub use read::ReadError;
pub use read::Recording;
pub use read::read;
pub use trouble::Trouble;

/// The version of the vocabulary, in the first line of each file. It grows when a reader of the one before would read something
/// wrong; further kinds and fields do not make it grow.
pub const VERSION: u32 = 1;

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
    /// The run began. The first line of its file.
    RunStarted {
        /// The version of the vocabulary.
        #[serde(default = "first")]
        version: u32,
        /// The version of Polder.
        #[serde(default)]
        polder: String,
        /// Its identifier, the name of its folder below `target/polder`.
        run: String,
        /// Selected suites, in order.
        suites: Vec<String>,
        /// Number of selected scenarios, prerequisites included.
        scenarios: usize,
        /// The seed from which every seed of the run is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// A suite began.
    SuiteStarted {
        /// Its name.
        suite: String,
        /// Where it is written, as `file:line`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    /// Something a suite waits for or does before its scenarios, in words.
    SuiteProgress {
        /// Its name.
        suite: String,
        /// Such as "building image debian12" or "web: answers over ssh".
        text: String,
    },
    /// A suite waits for a part of the host that others have; told again when they change.
    SuiteWaiting {
        /// Its name.
        suite: String,
        /// For what, and who has it.
        text: String,
    },
    /// The machines of a suite are up.
    EnvironmentReady {
        /// Its name.
        suite: String,
        /// The folder of its environment.
        prefix: String,
        /// Its machines, in the init file's order.
        machines: Vec<MachineFacts>,
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
        /// Which attempt this is, from 1.
        #[serde(default = "first")]
        attempt: u32,
        /// Where it is written, as `file:line`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    /// An attempt at a scenario failed, and another one follows: only the last one is told as its end.
    AttemptFailed {
        /// Its suite.
        suite: String,
        /// Its name.
        scenario: String,
        /// Which attempt it was, from 1.
        attempt: u32,
        /// Whose fault.
        fault: Fault,
        /// The whole error, its causes on lines of their own.
        error: String,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// The state of everything a suite has was kept, to be gone back to.
    StateKept {
        /// Its suite.
        suite: String,
        /// The scenario that left it, or that is tried again from there.
        scenario: String,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A suite was brought back to a state that was kept.
    Restored {
        /// Its suite.
        suite: String,
        /// The scenario that begins in it.
        scenario: String,
        /// The scenario that left it; absent: the one in which it began the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// An operation of a scenario began, such as a command in a machine.
    SpanStarted {
        /// Its suite.
        suite: String,
        /// Its scenario, `environment` before and after them.
        scenario: String,
        /// Its number, which no other operation under way in the scenario has.
        span: u64,
        /// The operation of which it is a part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<u64>,
        /// The machine it is done with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
        /// What it is.
        text: String,
    },
    /// An operation of a scenario ended, however it did.
    SpanFinished {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// Its number.
        span: u64,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A scenario (or `setup`/`teardown`) has just failed. Whether that counts and what else comes of it is told by its end,
    /// which may be a while after.
    Failing {
        /// Its suite.
        suite: String,
        /// Its name.
        scenario: String,
        /// The error and its causes, a line each.
        error: String,
    },
    /// A line written by the scenario or by an operation it made.
    Log {
        /// Its suite.
        suite: String,
        /// Its scenario, `environment` before and after them.
        scenario: String,
        /// The operation that wrote it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<u64>,
        /// The text.
        text: String,
    },
    /// Something is waited for that is not there yet. Told again when something else is seen, though not for every look.
    Waiting {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// The operation that waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<u64>,
        /// What is waited for.
        what: String,
        /// What was seen last.
        seen: String,
    },
    /// A wait is over; those for what was there at once are not told.
    Waited {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// The operation that waited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<u64>,
        /// What was waited for.
        what: String,
        /// How it ended.
        end: WaitEnd,
        /// What was seen last before that.
        seen: String,
        /// All that was seen and when, a line each; empty when it was the same all the time.
        history: String,
        /// How often it was looked.
        looks: u32,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A fault was made on purpose, or set back.
    Fault {
        /// Its suite.
        suite: String,
        /// Its scenario.
        scenario: String,
        /// Which, of what, and its seed where chance has a part in it.
        text: String,
        /// The machine it is done to, or at whose link it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<String>,
        /// Its seed where chance has a part in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
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
    /// Something was done with a machine, and it is otherwise now.
    MachineState {
        /// Its suite.
        suite: String,
        /// The scenario (or `environment` and the like) that did it.
        scenario: String,
        /// The machine.
        machine: String,
        /// How it is, such as `starting`, `up`, `rebooting`, `paused` or `off`.
        state: String,
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
    /// Something is left of a suite that has ended, although this process goes on.
    Leak {
        /// Its suite.
        suite: String,
        /// The scenario (or another step) during which it came to be, as far as that is known.
        scenario: String,
        /// What kind: `process`, `lab`, `environment`, `mount`, `fault` or `portal`.
        leak: String,
        /// What it is, for people.
        what: String,
    },
    /// A suite stands still at a failure, with its machines up, until somebody says to go on.
    Paused {
        /// Its suite.
        suite: String,
        /// The scenario (or `setup`) that failed.
        scenario: String,
        /// The folder in which the verbs of the command find its environment, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
        /// Its machines.
        #[serde(default)]
        machines: Vec<MachineName>,
        /// A file for a shell with the way to the portal of our own that it has; it goes when the suite goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        portal: Option<String>,
    },
    /// A suite that stood still goes on.
    Resumed {
        /// Its suite.
        suite: String,
        /// How long it stood still, in seconds.
        seconds: f64,
    },
    /// The environment of a suite stays, until somebody destroys it.
    EnvironmentKept {
        /// Its suite.
        suite: String,
        /// The folder in which the verbs of the command find it.
        folder: String,
        /// Its machines.
        machines: Vec<MachineName>,
    },
    /// What a suite did at a portal stays: the state of a portal of our own, or a session at one that is there.
    PortalKept {
        /// Its suite.
        suite: String,
        /// The file with the state of a portal of our own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
        /// The address of one that is there; `polder gc` sets back what was done at it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        portal: Option<String>,
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
        /// Failed, as was expected.
        #[serde(default)]
        expected_failures: usize,
        /// Whether the operator ended it early.
        #[serde(default)]
        stopped: bool,
        /// How long it took, in seconds.
        seconds: f64,
    },
}

/// Number of the first attempt, and of the first version.
const fn first() -> u32 {
    1
}

/// A machine of an environment that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// Its name.
    pub name: MachineName,
    /// The image or template of its root disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// What the processes of a lab used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU seconds, user and system, ended processes included.
    pub cpu_seconds: f64,
    /// Highest sum seen, in MiB, of the memory processes have of their own (anonymous and shared memory, no files).
    pub peak_memory_mib: f64,
}
