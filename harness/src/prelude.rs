//! What a suite imports: `use polder::prelude::*;`.
pub use anyhow::{Context as _, bail, ensure};

pub use crate::Result;
pub use crate::env::{Env, Net, Vm};
pub use crate::guest::Command;
pub use crate::suite::Artifacts;
pub use crate::suite::Vms;

/// `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n)
}
