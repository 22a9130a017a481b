//! One verb a file; each returns what is to be printed.

pub(super) mod doctor;
pub(super) mod down;
pub(super) mod images;
pub(super) mod plan;
pub(super) mod schema;
pub(super) mod shell;
pub(super) mod status;
pub(super) mod templates;
pub(super) mod up;
pub(super) mod validate;

use std::path::Path;

use crate::{
    env::{EnvError, Progress},
    initfile::{self, EnvSpec},
};

/// Reads an init file with the process's environment.
fn load(file: &Path) -> Result<EnvSpec, EnvError> {
    let env = |name: &str| std::env::var(name).ok();
    Ok(initfile::load(file, &initfile::Options::new(&env))?.spec)
}

/// Progress on standard error, where it does not mix with what a verb prints.
fn progress() -> Progress {
    Progress::new(|text| eprintln!("{text}"))
}
