//! What became of jobs: a value for people and programs to read.

use serde::Serialize;

use crate::cvp::TaskId;

/// What became of all jobs of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// One for each job, in the file's order.
    pub jobs: Vec<JobReport>,
    /// Whether the operator stopped it.
    pub stopped: bool,
}

impl Report {
    /// Whether everything was done that was asked for.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.stopped && self.jobs.iter().all(|job| job.outcome == Outcome::Done)
    }
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobReport {
    /// What people call it.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its action; a change control has none.
    pub action: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What else there is to know.
    pub note: Option<String>,
    /// What became of each device it is about.
    pub devices: Vec<DeviceReport>,
    /// All tasks it made, executed or not.
    pub tasks: Vec<TaskId>,
    /// The change control it made.
    pub change_control: Option<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// All of it was done, or was so already.
    Done,
    /// Something of it was not done.
    Failed {
        /// Why.
        why: String,
    },
    /// It was not begun.
    Skipped {
        /// Why.
        why: String,
    },
    /// The operator stopped it half way.
    Stopped {
        /// What was not done.
        why: String,
    },
}

/// What became of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceReport {
    /// Its host name.
    pub device: String,
    /// Its tasks in this job, executed or not.
    pub tasks: Vec<TaskId>,
    /// How it ended.
    #[serde(flatten)]
    pub result: DeviceResult,
}

/// How it ended with a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum DeviceResult {
    /// It runs what is designed for it.
    Completed,
    /// It does not.
    Failed {
        /// Why.
        reason: String,
    },
    /// Time was up.
    TimedOut {
        /// What was seen last.
        last: String,
    },
    /// Nothing was executed.
    Skipped {
        /// Why.
        why: String,
    },
}

impl DeviceResult {
    /// What to tell beside its name.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Completed => "",
            Self::Failed { reason } => reason,
            Self::TimedOut { last } => last,
            Self::Skipped { why } => why,
        }
    }

    /// Its name.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed out",
            Self::Skipped { .. } => "skipped",
        }
    }
}

impl Outcome {
    /// Its name.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Why, if there is something to say.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Done => "",
            Self::Failed { why } | Self::Skipped { why } | Self::Stopped { why } => why,
        }
    }
}

/// Something worth telling while jobs are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// A job begins.
    Begins {
        /// Its number, counted from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What people call it.
        name: String,
    },
    /// A device's task is in another state.
    Device {
        /// The device.
        device: String,
        /// The state, in words.
        state: String,
    },
    /// A change control got further.
    Change {
        /// How far it is.
        progress: String,
    },
    /// The job is over.
    Ends {
        /// What became of it.
        report: JobReport,
    },
}
