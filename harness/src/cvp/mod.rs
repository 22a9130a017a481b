//! Arista's CloudVision Portal. What goes over the wire is in `wire`, which both sides share; the portal of our own, for
//! those who have none, is in `server`.

pub mod server;
pub(crate) mod wire;
