//! The log tree of each scenario: `tracing` spans and events, kept in memory, bounded, printed when it failed; and the way
//! on which all events of a run reach those who take them.

pub(crate) mod layer;
pub(crate) mod teller;
pub(crate) mod tree;

pub(crate) use layer::{CHANGE, FAULT, Log, MACHINE, Recorder};
pub(crate) use teller::{Teller, Told};
