//! `polder doctor`: would labs work here, what is missing, and the command that fixes it.

mod daemon;
mod judge;
mod observe;

pub use daemon::{DaemonSeen, is_session, judge_daemon};
pub use judge::{Finding, Grade, judge};
pub(super) use observe::find;
pub use observe::{Observations, Sandboxed, observe};
