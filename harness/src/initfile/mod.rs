//! The init file: from text with spans to [`EnvSpec`], every problem at once.
//! Knows no addresses, paths of a lab, or libvirt words.

mod check;
mod diagnostic;
mod disk;
mod domain;
mod expand;
mod keys;
mod load;
mod network;
mod parse;
mod reader;
pub mod spec;
#[cfg(test)]
mod tests;

pub use check::{Loaded, Options, Surroundings};
pub use diagnostic::{Diagnostic, InitFileError};
pub use load::{load, load_text, parse};
pub use spec::EnvSpec;
