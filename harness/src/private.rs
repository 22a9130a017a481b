//! Names for code the macros generate; not for people, no promise of stability.

use std::fmt::Arguments;

pub use linkme;

pub use crate::suite::{
    extract::{FromSuite, extract, verdict},
    registry::{
        EnvFile, ExpectFail, Ignore, Param, PortalDef, Requirement, SUITES, ScenarioDef, StepDef, SuiteDef,
    },
    task::blocking,
};

/// Body of the libtest functions the macro leaves: they run only where libtest took over `main`.
///
/// # Panics
/// Always.
#[expect(clippy::panic, reason = "the way a libtest function fails")]
pub fn forgotten_harness() {
    panic!(
        "this is a polder suite: add `harness = false` to its `[[test]]` in Cargo.toml, and end it with `polder::main!();`"
    );
}

/// What `log!` calls.
pub fn log(text: Arguments<'_>) {
    tracing::info!(target: crate::trace::layer::LOG, "{text}");
}
