//! Many paths of a guest at once, as one stream: patterns are expanded there, what is too long is cut, and each path has
//! a result of its own. `plan` decides what is asked for and what an answer means, `exec` asks, `taken` keeps what comes.

mod exec;
mod plan;
mod taken;

pub use plan::Caps;
pub use plan::Gathered;
pub(super) use plan::{SEND_LISTED, SEND_NAMED, batches};
