//! What a portal is: its state, what changes it, and what must hold of it. Time comes in, work goes out as jobs;
//! no HTTP, no tokio, no files.

mod account;
mod change;
mod check;
mod clock;
mod configlet;
mod container;
mod decommission;
mod device;
mod enrolment;
mod eos;
mod image;
mod imitated;
mod job;
mod legacy;
mod refused;
mod snapshot;
mod state;
mod task;
mod topology;
mod user;
mod workspace;

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod tests;

pub(super) use account::{Account, Token};
pub(super) use change::{ChangeControl, Flag, Phase, Stage, What};
pub(super) use clock::{Ms, parse_rfc3339, parse_wall_clock, rfc3339};
pub(super) use configlet::{Configlet, Uses};
pub(super) use container::{Container, ROOT, UNDEFINED};
pub(super) use decommission::Decommissioning;
pub(super) use device::{Device, Faults, Held, Placement};
pub(super) use eos::{Comparison, Invalid, Kind as LineKind, Lines, Row, warnings};
pub(super) use image::{Bundle, Image};
pub use imitated::{Imitated, NotImitated};
pub(super) use job::Job;
pub(super) use legacy::{Legacy, LegacyTask};
pub(super) use refused::{About, Refused, Why};
pub(super) use snapshot::{INITIAL, Snapshot, Template};
pub use state::Unmanaged;
pub(super) use state::{Entry, Model, Settings};
pub(super) use task::{Kind as TaskKind, State as TaskState, Task};
pub(super) use topology::{Sent, TempAction};
pub(super) use user::{ADMIN, Role, User, Who, absent_role, absent_user};
pub(super) use workspace::{Assignment, Build, Tag, Workspace};
