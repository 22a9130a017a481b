//! What files are copied from: a file system of a disk, whoever reads it.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A file system that is read; paths are absolute and lead through no links, if not said otherwise.
pub(super) trait Tree {
    /// Where a path really leads, through all links.
    fn real(&self, path: &Path) -> io::Result<PathBuf>;
    /// What is there, which may be a link.
    fn look(&self, path: &Path) -> io::Result<Seen>;
    /// What lies in a folder.
    fn names(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Where a link leads.
    fn target(&self, link: &Path) -> io::Result<PathBuf>;
    /// Copies the bytes of a file, those from `skip` on, into a new one here; returns how many.
    fn copy(&self, file: &Path, skip: u64, to: &Path) -> io::Result<u64>;
    /// A file that is a text, also through links.
    fn text(&self, file: &Path) -> io::Result<String>;
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    /// Permissions.
    pub(super) mode: u32,
    /// Bytes.
    pub(super) len: u64,
    pub(super) modified: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Other,
}
