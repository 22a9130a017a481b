//! Tests of the harness from outside, on the real thing: labs and environments, and suite binaries as people run them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail that way")]

mod arena;
mod binary;
mod command;
mod faults;
mod images;
mod keepers;
mod kills;
mod lab;
mod links;
mod lives;
mod nets;
mod outcomes;
mod own_host;
mod prefix;
mod runners;
mod selection;
mod stopping;
mod ui;
