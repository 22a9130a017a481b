//! What a suite imports: `use polder::prelude::*;`.
pub use anyhow::{Context as _, bail, ensure};

pub use crate::Result;
pub use crate::base::within::{
    assert_equals_within, assert_equals_within_long, assert_equals_within_short, assert_true_within,
    assert_true_within_long, assert_true_within_short, consistently, eventually,
};
pub use crate::cvp::Cvp;
pub use crate::env::{Env, Net, Vm};
pub use crate::event::{Outcome, Trouble};
pub use crate::guest::{Command, Http, Log, Pattern};
pub use crate::suite::Artifacts;
pub use crate::suite::Chance;
pub use crate::suite::Change;
pub use crate::suite::Changes;
pub use crate::suite::NamedChange;
pub use crate::suite::Vms;

/// `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n)
}
