//! Labs: a boundary (or, in a system lab, names and leases in its place), a libvirt daemon, and a way to reach guest
//! addresses. Knows no init files, domains or guests.
//!
//! A hermetic lab: owner (the test binary or command) -> `warden` (own session, watches the owner) -> `process1` (first process of
//! the boundary; mounts, runs the daemon, answers requests). Whatever dies, everything below it dies with it.

pub mod accel;
mod access;
mod acl;
mod boundary;
mod control;
pub mod doctor;
mod door;
mod error;
mod hermetic;
mod host;
pub mod keeper;
mod mounts;
mod offline;
pub mod paths;
mod place;
mod plot;
mod process1;
mod spec;
mod state;
mod system;
mod warden;
mod way_out;
mod wire;

pub use access::EmulatorUser;
pub(crate) use boundary::user_name;
pub use error::LabError;
pub use hermetic::Hermetic;
pub use host::{LabFolder, LabHost, labs, serving, sweep, warden_of};
pub use paths::View;
pub use place::{Lab, LabKind};
pub use plot::Plot;
pub use spec::{Bind, LabSpec, Payload};
pub use state::LabState;
pub use system::SystemLab;
pub use way_out::pasta;
