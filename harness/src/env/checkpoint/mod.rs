//! States of whole environments that outlast them, kept in the store of checkpoints: what runs is `save`d there while it goes
//! on, and an environment of the same key is `restore`d from there instead of booting. `origin` says under which keys, and
//! what there is. `saved` is what is written down of one beside memory and disks.
//!
//! Other than a moment ([`super::Moment`]), a checkpoint needs nothing of the environment it was kept of: no process, no lab
//! and no folder.

mod moved;
mod origin;
mod reopen;
mod restore;
mod save;
mod saved;

pub use origin::Began;
pub(super) use origin::Origin;
pub use origin::Stage;
pub use origin::Stages;
pub use saved::Documents;
