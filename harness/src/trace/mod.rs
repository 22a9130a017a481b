//! The log tree of each scenario: `tracing` spans and events, kept in memory, bounded, printed when it failed.

pub(crate) mod layer;
pub(crate) mod tree;

pub(crate) use layer::{CHANGE, FAULT, Recorder};
