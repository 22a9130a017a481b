//! What dead owners left behind: found by labels, leases, folders and journals, shown, and removed or set back. Never touches what is not
//! marked as ours, and nothing whose owner may still be there.

mod error;
mod exec;
mod look;
pub mod plan;
mod run;
mod session;

pub use error::ReapError;
pub use exec::{Reaped, reap};
pub use look::{Ground, look};
pub use run::Run;
pub use session::Session;
