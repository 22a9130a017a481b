//! Tests of the harness from outside: real binaries, run as cargo and people run them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail that way"
)]

mod binary;
mod outcomes;
mod runners;
mod selection;
mod stopping;
mod ui;
