//! Labs: a boundary, a libvirt daemon inside it, and a way to reach guest addresses.
//! Knows no init files, domains or guests.
//!
//! Owner (the test binary or command) -> `warden` (own session, watches the owner) -> `process1` (first process of
//! the boundary; mounts, runs the daemon, answers requests). Whatever dies, everything below it dies with it.

pub mod accel;
mod boundary;
mod control;
pub mod doctor;
mod door;
mod error;
mod hermetic;
mod mounts;
pub mod paths;
mod process1;
mod spec;
mod warden;
mod wire;

pub use error::LabError;
pub use hermetic::{Hermetic, LabHost, LabState, sweep};
pub use spec::{Bind, LabSpec, Payload};
