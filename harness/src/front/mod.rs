//! The `main` of suite binaries: libtest's command line, selection, the runner, and the reports of its events.

mod again;
mod args;
mod entry;
mod observe;
mod pause;
mod reporter;
mod run;
mod select;
mod watch;

pub use args::command;
pub use entry::main;
