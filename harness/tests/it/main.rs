//! Integration tests of the harness on the real thing; a module each for lab, environment and command.
#![expect(clippy::unwrap_used, reason = "tests")]

mod arena;
mod images;
mod kills;
mod lab;
