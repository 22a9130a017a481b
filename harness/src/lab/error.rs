//! What can go wrong with a lab.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

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
    /// A path cannot be told to the lab.
    #[error("the path {} is not UTF-8, which everything a lab uses has to be; rename what is odd in it", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// A lab on an existing daemon was asked for what only its owner may do.
    #[error("a system lab cannot {what}: that is not ours")]
    NotOurs {
        /// What was asked.
        what: &'static str,
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

/// Names the path in an input or output error.
pub(super) fn host(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LabError + use<> {
    let path = path.to_owned();
    move |source| LabError::Host { what, path, source }
}

impl From<StepError> for LabError {
    fn from(error: StepError) -> Self {
        let StepError { step, error, advice } = error;
        Self::Step { step, error, advice }
    }
}
