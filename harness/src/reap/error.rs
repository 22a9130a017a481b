//! What can go wrong with looking and removing.

use crate::{base::process::ProcessError, lab::LabError, net::lease::LeaseError, provider::ProviderError};

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
}
