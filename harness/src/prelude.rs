//! What a suite imports: `use polder::prelude::*;`.
pub use crate::Result;
