//! The `polder` command: arguments as typed, one file per verb, errors printed once at the edge.

mod args;
mod cmd;
mod pointer;
mod run;

pub use run::main;
