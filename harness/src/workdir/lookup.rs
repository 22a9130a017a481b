//! Which prefix a command means: by path, by name, or by where one stands.

use std::path::{Path, PathBuf};

use super::{
    Prefix, Workdir, WorkdirError,
    folder::{has_marks, prefixes_below},
    paths::{absolute, candidates},
};

/// What was said about the prefix to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// A path in a prefix.
    pub prefix_path: Option<PathBuf>,
    /// A workdir, or a path below the folder it lies in.
    pub workdir_path: Option<PathBuf>,
    /// The prefix's name in the workdir; `current` follows the link.
    pub prefix_name: String,
}

impl Choice {
    /// Finds it from `cwd` (absolute): the prefix of a given path; else the one that one stands in; else the one of
    /// that name in the workdir given or found.
    ///
    /// # Errors
    /// There is none; the places that were searched are named.
    pub fn find(&self, cwd: &Path) -> Result<Prefix, WorkdirError> {
        match (&self.prefix_path, &self.workdir_path) {
            (Some(path), _) => Prefix::find(&absolute(cwd, path)),
            (None, None) if stands_in_one(cwd) => Ok(Prefix::at(cwd)),
            (None, _) => self.workdir(cwd)?.prefix(&self.prefix_name),
        }
    }

    /// The workdir, given or found. Whether one can say which of its prefixes is current is another question.
    ///
    /// # Errors
    /// There is none; the places that were searched are named.
    pub fn workdir(&self, cwd: &Path) -> Result<Workdir, WorkdirError> {
        let Some(path) = &self.workdir_path else {
            return Workdir::find(cwd);
        };
        let path = absolute(cwd, path);
        // Named outright, it may also have lost its link.
        match Workdir::at(&path) {
            Err(WorkdirError::NoWorkdir { .. } | WorkdirError::File { .. }) => Workdir::find(&path),
            found => found,
        }
    }
}

/// Whether who stands in `cwd` means the prefix that this is: also a damaged one, lest another is taken for it. A project
/// that happens to have a file called as one of ours is none.
fn stands_in_one(cwd: &Path) -> bool {
    let prefix = Prefix::at(cwd);
    let listed = || prefix.workdir()?.prefixes().ok()?.contains(&prefix.name()).then_some(());
    prefix.is_initialized() || listed().is_some()
}

impl Workdir {
    /// The workdir someone means who stands in `start` (absolute): that folder itself, else `.polder` or `.lago` in it,
    /// else in the folders above it.
    ///
    /// # Errors
    /// There is none, with the places searched and prefixes in folders below.
    pub fn find(start: &Path) -> Result<Self, WorkdirError> {
        if Self::is_one(start) {
            return Self::at(start);
        }
        let mut searched = candidates(start);
        if let Some(found) = searched.iter().find(|path| Self::is_one(path)) {
            return Self::at(found);
        }
        searched.insert(0, start.to_owned());
        let hints = prefixes_below(start);
        Err(WorkdirError::NoWorkdir { start: start.to_owned(), searched, hints })
    }
}

impl Prefix {
    /// The prefix that `start` (absolute) is or lies in.
    ///
    /// # Errors
    /// There is none.
    pub fn find(start: &Path) -> Result<Self, WorkdirError> {
        let itself = Self::at(start);
        // Damaged ones are found when they are named outright: they are to be destroyed.
        if itself.is_initialized() || start.is_dir() && has_marks(start) {
            return Ok(itself);
        }
        let above = start.ancestors().skip(1).map(Self::at).find(Self::is_initialized);
        above.ok_or_else(|| WorkdirError::NoPrefixHere { start: start.to_owned() })
    }
}
