//! What suites leave when they have ended, while this process goes on: host processes, labs, mounts, faults, and what is still at
//! a portal. Only what is surely theirs: children of this process by the time at which they began, mounts by their place. The
//! host's interfaces and temporary files belong to everybody and are not looked at; what is in a lab dies with it.
//! `model` decides, `look` reads what there is, `audit` keeps the suites' times.

mod audit;
mod look;
mod model;

pub(crate) use audit::Audit;
pub(super) use model::{Leak, PORTAL};
