//! Folders kept the same here and in a guest by sending what differs: `plan` compares two listings, `exec` lists, sends
//! and removes. One that was interrupted goes on where it stopped, because what has arrived is the same then.

mod exec;
mod plan;

pub use plan::SyncOptions;
pub use plan::Synced;
