//! The root file system among the disks of a machine, and what is wanted of it.

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ext4_view::{Ext4, Ext4Error};

use super::{
    copy::{Copying, Copied},
    disk::{Disk, Opened},
    partitions::{self, SECTOR},
};
use crate::{artifact::Part, base::text::flat_names};

/// Bytes that tell what a partition holds.
const START: usize = 0x1_0050;
/// Paths a pattern may stand for.
const MOST: usize = 10_000;

/// Why nothing can be read from the disks of a machine.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// An image cannot be read.
    #[error("cannot read the disk {}", disk.display())]
    Image {
        /// The image.
        disk: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// No root file system that can be read without the machine.
    #[error("no disk has a root file system that can be read without the machine: {}", found.join(", "))]
    NoRoot {
        /// What there is instead, for people.
        found: Vec<String>,
    },
}

/// The root file system of a machine, without the machine.
pub struct RootDisk {
    fs: Ext4,
    how: String,
}

impl RootDisk {
    /// Finds it: the first file system with a folder `/etc`.
    ///
    /// # Errors
    /// There is none that can be read; what there is.
    pub fn find(disks: &[Disk]) -> Result<Self, OfflineError> {
        let mut found = Vec::new();
        for disk in disks {
            let failed = |source| OfflineError::Image { disk: disk.image.clone(), source };
            let opened = disk.open().map_err(failed)?;
            let sector = |at: u64| {
                let mut sector = [0; SECTOR as usize];
                opened.read(at.saturating_mul(SECTOR), &mut sector).map(|()| sector)
            };
            let offsets = partitions::offsets(sector).map_err(failed)?;
            let name = disk.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for (number, &offset) in offsets.iter().enumerate() {
                let part = if number == 0 { name.clone() } else { format!("partition {number} of {name}") };
                match Ext4::load(Box::new(opened.from(offset))) {
                    Ok(fs) if fs.metadata("/etc").is_ok_and(|meta| meta.is_dir()) => {
                        return Ok(Self { fs, how: format!("read from {part}, without the machine") });
                    }
                    Ok(_) => found.push(format!("{part} has no /etc")),
                    // The disk itself, where it is divided.
                    Err(_) if number == 0 && offsets.len() > 1 => {}
                    Err(error) => found.push(format!("{part}: {}", contents(&opened, offset, &error))),
                }
            }
        }
        if disks.is_empty() {
            found.push("there are no disks".to_owned());
        }
        Err(OfflineError::NoRoot { found })
    }

    /// A file of it that is a text, if it is there.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        self.fs.read_to_string(path).ok()
    }

    /// Copies `wanted`, paths or patterns, to `dest`: `/a/b` is called `_a_b` there. Of each path at most `cap` bytes,
    /// of all of them `all`. Each has a result; `dest` has nothing of a path before all of it is there.
    #[must_use]
    pub fn extract(&self, wanted: &[String], dest: &Path, (cap, all): (u64, u64)) -> Vec<Part> {
        let mut paths = Vec::new();
        for wanted in wanted {
            let found = self.expand(wanted.trim_end_matches('/'));
            if found.is_empty() {
                paths.push((wanted, None));
            }
            paths.extend(found.into_iter().map(|path| (wanted, Some(path))));
        }
        let mut known = std::collections::BTreeSet::new();
        paths.retain(|(_, path)| path.as_ref().is_none_or(|path| known.insert(path.clone())));
        let shown = |(wanted, path): &(&String, Option<PathBuf>)| path.clone().unwrap_or_else(|| PathBuf::from(wanted));
        let names: Vec<PathBuf> = paths.iter().map(shown).collect();
        let places = flat_names(names.iter().map(PathBuf::as_path));
        let mut left = all;
        let mut parts = Vec::new();
        for (((wanted, path), shown), place) in paths.iter().zip(&names).zip(places) {
            let (bytes, missing) = match path {
                None => (None, Some("there is no such file or folder on its root file system".to_owned())),
                Some(path) => {
                    let copied = self.copy(path, &dest.join(&place), cap.min(left));
                    left = left.saturating_sub(copied.bytes);
                    (copied.came.then_some(copied.bytes), copied.trouble())
                }
            };
            let how = bytes.map(|_| self.how.clone());
            let (path, source) = (place.into(), shown.display().to_string());
            parts.push(Part { path, source, wanted: Some((*wanted).clone()), how, bytes, missing });
        }
        parts
    }

    fn copy(&self, path: &Path, place: &Path, cap: u64) -> Copied {
        let Some(folder) = place.parent() else { return Copied::default() };
        let staging = std::fs::create_dir_all(folder)
            .and_then(|()| tempfile::Builder::new().prefix(".gathering-").tempdir_in(folder));
        let mut copied = match &staging {
            Ok(staging) => Copying::new(&self.fs, cap).all(path, &staging.path().join("x")),
            Err(error) => return Copied::failed(format!("cannot keep it: {error}")),
        };
        if let (true, Ok(staging)) = (copied.came, &staging)
            && let Err(error) = std::fs::rename(staging.path().join("x"), place)
        {
            copied = Copied::failed(format!("cannot keep it: {error}"));
        }
        copied
    }

    /// What there is of a path whose parts may be patterns, as a shell would find it.
    fn expand(&self, wanted: &str) -> Vec<PathBuf> {
        if self.exists(Path::new(wanted)) {
            return vec![PathBuf::from(wanted)];
        }
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
        let mut found = vec![PathBuf::from("/")];
        for part in wanted.split('/').filter(|part| !part.is_empty()) {
            let pattern = glob::Pattern::new(part).ok().filter(|_| part.contains(['*', '?', '[']));
            let mut next = Vec::new();
            for folder in found {
                let Some(pattern) = &pattern else {
                    next.push(folder.join(part));
                    continue;
                };
                let entries = self.fs.read_dir(folder.as_os_str().as_bytes()).into_iter().flatten().flatten();
                let names = entries.map(|entry| PathBuf::from(std::ffi::OsStr::from_bytes(entry.file_name().as_ref())));
                let fits = |name: &PathBuf| {
                    let text = name.to_string_lossy();
                    text != "." && text != ".." && pattern.matches_with(&text, options)
                };
                next.extend(names.filter(fits).map(|name| folder.join(name)));
            }
            next.sort();
            next.truncate(MOST);
            found = next;
        }
        found.retain(|path| self.exists(path));
        found
    }

    fn exists(&self, path: &Path) -> bool {
        self.fs.symlink_metadata(path.as_os_str().as_bytes()).is_ok()
    }
}

/// Why a part of a disk cannot be read, for people.
fn contents(disk: &Opened, offset: u64, error: &Ext4Error) -> String {
    if let Ext4Error::Incompatible(_) | Ext4Error::Corrupt(_) = error {
        let mut magic = [0; 2];
        let is_ext = disk.read(offset + 0x438, &mut magic).is_ok() && magic == [0x53, 0xef];
        if is_ext {
            return error.to_string();
        }
    }
    let mut start = vec![0; START];
    match disk.read(offset, &mut start) {
        Ok(()) => format!("{} cannot be read without the machine", partitions::other_contents(&start)),
        Err(error) => error.to_string(),
    }
}
