//! Arista's CloudVision Portal: a client that never lies, sessions that leave nothing behind, and, for those who have none, a
//! portal of our own in `server`. Client and server share nothing but what goes over the wire.

mod action;
mod answer;
mod ask;
mod change_control;
mod client;
mod configlet;
mod error;
mod har;
mod inventory;
mod journal;
mod lease;
mod provisioning;
pub mod server;
mod session;
mod spec;
mod task;
mod tls;
mod transport;
mod undo;
mod version;

pub use change_control::{Change, ChangeControl, ChangeStatus, Legacy, Stage, StageState, StageStatus};
pub use client::Client;
pub use configlet::{Configlet, ConfigletChange, ConfigletKind, Holder, Validation};
pub use error::{CvpError, NoAnswer, Refusal, Refusals, Why};
pub use har::Recorder;
pub use inventory::{ComplianceCode, Container, Device, Inventory, ROOT, UNDEFINED};
pub use journal::{Found, Head, Journal, Undo, journals};
pub use lease::Lease;
pub use provisioning::{Comparison, Held};
pub use session::{Cvp, Deployed, Draft, RUN, SessionError};
pub use spec::{CvpSpec, Limits, Login, Node, NotANode, Trust};
pub use task::{LogLine, Task, TaskId, TaskState};
pub use tls::TrustError;
pub use undo::Undone;
pub use version::{Level, NotAVersion, Version};
#[cfg(test)]
mod tests;
