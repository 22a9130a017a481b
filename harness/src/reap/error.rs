//! What can go wrong with looking and removing.

use crate::{lab::LabError, net::LeaseError, provider::ProviderError};

/// Something could not be looked at or removed.
#[derive(Debug, thiserror::Error)]
pub enum ReapError {
    /// A lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A domain or network.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}
