//! Snapshots of environments: all machines of one at the same moment, their disks and, if wanted, their memory.
//!
//! The images machines write to are frozen and new ones laid over them; a frozen image is never written to again, so
//! every snapshot can be gone back to any number of times. What is about to happen to images is written down before it
//! does: a command that is killed leaves an environment that knows where its machines write to.

mod create;
mod model;
mod revert;
mod tree;

pub use create::SnapshotOptions;
pub(super) use create::settle;
pub(super) use model::Chains;
pub use model::Frozen;
pub use model::Snapshot;
