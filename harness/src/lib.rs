//! System tests on real machines, written in Rust and run by `cargo test`.
//!
//! The modules below stand in the order of the ladder: each uses only groups above its own (see `ARCHITECTURE.md`).

// -- base: more of the domain than names is not known here
pub mod base;
pub mod event;
pub mod trace;
// -- values: not one another
pub mod image;
pub mod initfile;
pub mod net;
// -- where an environment lives
pub mod lab;
// -- adapters: not one another
pub mod artifact;
pub mod guest;
pub mod provider;
// -- assembly
pub mod env;
// -- running
pub mod report;
pub mod suite;
// -- wiring: the only place that knows everybody
pub mod cli;
pub mod front;

pub mod prelude;
#[doc(hidden)]
pub mod private;

pub use polder_macros::suite;

/// What a scenario returns; any error fits through `?`.
pub type Result<T = ()> = anyhow::Result<T>;
