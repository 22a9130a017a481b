//! What can go wrong with a lab.

use std::{io, path::PathBuf, time::Duration};

use super::wire::StepError;

/// A lab could not be made, reached or ended.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A step of making the boundary failed.
    #[error("cannot make the lab: {step}: {error}{}", advice.as_ref().map(|a| format!("; {a}")).unwrap_or_default())]
    Step {
        /// Which step.
        step: String,
        /// What the system said.
        error: String,
        /// What to do about it.
        advice: Option<String>,
    },
    /// Something of the host could not be used.
    #[error("cannot {what} {}", path.display())]
    Host {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A path is too long for a Unix socket below it.
    #[error("the lab's folder {} is {} bytes long, at most {max} leave room for its sockets; set POLDER_RUNTIME_DIR to a shorter one", path.display(), path.as_os_str().len())]
    PathTooLong {
        /// The folder.
        path: PathBuf,
        /// The longest that works, in bytes.
        max: usize,
    },
    /// The lab did not answer in time.
    #[error("the lab did not {what} within {:.1} s", limit.as_secs_f64())]
    TimedOut {
        /// What it should have done.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// The lab ended while it was needed.
    #[error("the lab has ended: {why}")]
    Ended {
        /// Why, as far as is known.
        why: String,
    },
    /// A request was refused inside the lab.
    #[error("the lab cannot {what}")]
    Request {
        /// What was asked.
        what: String,
        /// What the system said inside.
        #[source]
        source: io::Error,
    },
}

impl From<StepError> for LabError {
    fn from(error: StepError) -> Self {
        let StepError { step, error, advice } = error;
        Self::Step { step, error, advice }
    }
}
