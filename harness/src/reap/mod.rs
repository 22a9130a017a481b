//! What dead owners left behind: found by labels, leases and folders, shown, and removed. Never touches what is not
//! marked as ours, and nothing whose owner may still be there.

mod error;
mod exec;
mod look;
pub mod plan;

pub use error::ReapError;
pub use exec::{Reaped, reap};
pub use look::{Ground, look};
