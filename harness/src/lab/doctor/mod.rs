//! `polder doctor`: would a hermetic lab work here, what is missing, and the command that fixes it.

mod judge;
mod observe;

pub use judge::{Finding, Grade, judge};
pub use observe::{Observations, Sandboxed, observe};
