//! How a hermetic lab fares, as its warden reports it.

use super::{
    error::LabError,
    wire::{Report, StepError},
};

/// How a lab fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabState {
    /// Being made.
    Starting,
    /// Its payload runs.
    Running,
    /// Its payload (the daemon, or the command) ended with this status; files and other processes are still there.
    PayloadEnded(i32),
    /// It could not be made.
    Failed {
        /// The step.
        step: String,
        /// What the system said.
        error: String,
        /// What to do about it.
        advice: Option<String>,
    },
    /// Process 1 is gone, and everything inside with it; files are still there.
    Gone,
    /// Nothing is left of it.
    Ended,
}

impl LabState {
    pub(super) fn after(report: Report) -> Option<Self> {
        match report {
            Report::Ready => Some(Self::Running),
            Report::Failed(StepError { step, error, advice }) => Some(Self::Failed { step, error, advice }),
            Report::PayloadEnded(status) => Some(Self::PayloadEnded(status)),
            Report::Gone(_) => Some(Self::Gone),
            Report::Detached => None,
        }
    }

    /// What this state means for somebody who needs the lab.
    #[must_use]
    pub fn as_error(&self) -> LabError {
        match self.clone() {
            Self::Failed { step, error, advice } => LabError::Step { step, error, advice },
            Self::PayloadEnded(status) => {
                LabError::Ended { why: format!("its daemon ended with status {status}") }
            }
            Self::Gone => LabError::Ended { why: "its process 1 is gone".into() },
            Self::Starting | Self::Running | Self::Ended => {
                LabError::Ended { why: "its warden is gone".into() }
            }
        }
    }
}
