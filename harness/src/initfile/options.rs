//! What goes into reading an init file besides its text, and what comes out when it holds.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{diagnostic::Diagnostic, spec::EnvSpec};

/// What an init file is read with.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Environment variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Values for the file's own variables; they win over the environment, which wins over the file's defaults.
    pub variables: &'a BTreeMap<String, String>,
    /// Whether a key nobody knows is worth a warning only.
    pub allow_unknown: bool,
}

impl<'a> Options<'a> {
    /// The usual: no values from outside but the environment's, unknown keys are errors.
    #[must_use]
    pub fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        Self { env, variables: &NONE, allow_unknown: false }
    }
}

/// What an init file may refer to, for a text that need not lie anywhere.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// What it is read with.
    pub options: Options<'a>,
    /// Absolute folder of the init file: where relative paths start.
    pub folder: &'a Path,
    /// Whether a path is a file that can be read.
    pub check_file: &'a dyn Fn(&Path) -> io::Result<()>,
    /// The text of a file.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// An init file that holds, and what is worth saying about it all the same.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it asks for.
    pub spec: EnvSpec,
    /// What needs no action, in the file's order.
    pub warnings: Vec<Diagnostic>,
    /// The files it includes, as it names them, with what is in them.
    pub included: Vec<(PathBuf, String)>,
}
