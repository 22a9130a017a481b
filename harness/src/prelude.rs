//! What a suite imports: `use polder::prelude::*;`.
pub use anyhow::{Context as _, bail, ensure};

pub use crate::Result;
pub use crate::env::{Env, Net, Vm};
pub use crate::suite::Artifacts;
