//! What can go wrong with looking and removing.

use std::{io, path::PathBuf};

use crate::{
    base::process::ProcessError,
    change::JournalError,
    cvp::{SessionError, TrustError},
    lab::LabError,
    net::lease::LeaseError,
    provider::ProviderError,
};

/// Something could not be looked at or removed.
#[derive(Debug, thiserror::Error)]
pub enum ReapError {
    /// A lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A domain or network.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Rules of the host's network.
    #[error(transparent)]
    Rules(#[from] ProcessError),
    /// A lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A journal of a session at a portal.
    #[error("cannot {what} {}", path.display())]
    Journal {
        /// What was tried.
        what: &'static str,
        /// The journal, or the folder of all.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nobody has said how to log in to a portal.
    #[error(
        "nobody is logged in to {portal}{}, where it was done: {wanted}",
        user.as_ref().map(|user| format!(" as `{user}`")).unwrap_or_default()
    )]
    NoLogin {
        /// The portal.
        portal: String,
        /// Who was logged in; absent with a token.
        user: Option<String>,
        /// What has to be set.
        wanted: String,
    },
    /// Runs of changes.
    #[error("cannot look for runs of changes in {}", path.display())]
    Runs {
        /// Where they are.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The journal of a run of changes.
    #[error(transparent)]
    Run(#[from] JournalError),
    /// Certificates of a portal.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What a session did could not be set back.
    #[error(transparent)]
    Session(#[from] SessionError),
}
