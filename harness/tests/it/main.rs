//! Tests of the harness from outside, on the real thing: labs and environments, and suite binaries as people run them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail that way")]

mod ansible;
mod arena;
mod binary;
mod command;
mod damage;
mod devices;
mod export;
mod extension;
mod faults;
mod gc;
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
mod provider;
mod runners;
mod script;
mod selection;
mod stopping;
mod system;
mod templates;
mod typed;
mod types;
mod ui;
