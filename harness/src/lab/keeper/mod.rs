//! Keepers: processes where the daemon runs that do something to the network and undo it when whoever asked for it lets
//! go, or dies. What they do: hold (something is set, and set back), relay (a link that delays, loses, duplicates or
//! corrupts, and sorts VLANs), capture (packets into a file).
//!
//! A keeper's standard input is one end of a socket pair, the other is the asker's: each side sees when the other one
//! closes its end. It is this binary again, entered through the door, with one thread and nothing that blocks.
//!
//! The relay carries frames in this process, not in the kernel's queueing disciplines: those that impair are missing from
//! many kernels, act in one direction only, and cannot be repeated; nor does every kernel's bridge know VLANs.

mod hold;
mod kept;
mod model;
mod relay;
pub mod spec;

pub use kept::{Kept, keep};

pub(super) use hold::main;
