//! Where this workspace and what is built from it lie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command;

/// The workspace's root folder.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// What cargo knows about the workspace.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
    /// The members.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// What it needs.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency of a member.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// The package needed.
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// Asks cargo, without the network.
pub(crate) fn metadata() -> Result<Metadata> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let text = command::output(command::cargo(&arguments).current_dir(root()))?;
    serde_json::from_str(&text).context("could not read what `cargo metadata` says")
}
