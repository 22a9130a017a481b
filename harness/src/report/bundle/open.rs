//! Opening a bundle that somebody else made: files go into one new folder or nowhere, and nothing in it is believed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::{BundleError, at, write::is_run};
use crate::report::run::{self, Written};

/// What a bundle may have: more is no run, but somebody's joke.
const LIMITS: Limits = Limits { whole: 2 << 30, files: 50_000, depth: 32 };

/// The most that is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of all files together, and of what is between them.
    pub(super) whole: u64,
    pub(super) files: usize,
    pub(super) depth: usize,
}

/// Makes the folder `into` of the bundle `from`, and its reports.
///
/// # Errors
/// [`BundleError`]; then the folder is not there.
pub(crate) fn open(from: &Path, into: &Path) -> Result<Written, BundleError> {
    open_within(from, into, LIMITS)
}

pub(super) fn open_within(from: &Path, into: &Path, limits: Limits) -> Result<Written, BundleError> {
    if into.symlink_metadata().is_ok() {
        return Err(BundleError::Exists(into.to_owned()));
    }
    let file = File::open(from).map_err(at("read", from))?;
    let beside = into.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stage = tempfile::Builder::new().prefix(".polder-open-").tempdir_in(beside);
    let stage = stage.map_err(at("make a folder in", beside))?;
    let strange = |why: String| BundleError::Strange { path: from.to_owned(), why };
    let name = unpack(file, stage.path(), limits).map_err(|problem| match problem {
        Problem::Strange(why) => strange(why),
        Problem::Write(path, source) => BundleError::File { what: "write", path, source },
    })?;
    let folder = stage.path().join(name);
    if !is_run(&folder) {
        return Err(strange("there are no events in it".to_owned()));
    }
    fs::rename(&folder, into).map_err(at("write", into))?;
    Ok(run::write(into)?)
}

enum Problem {
    /// With the bundle.
    Strange(String),
    /// With this host.
    Write(PathBuf, io::Error),
}

/// Puts the files of an archive below `stage`, and says in which folder they all are.
fn unpack(file: File, stage: &Path, limits: Limits) -> Result<PathBuf, Problem> {
    let unreadable = |error: io::Error| Problem::Strange(error.to_string());
    // One byte more than there may be, so that more is known from as much.
    let mut archive = Archive::new(MultiGzDecoder::new(file).take(limits.whole + 1));
    let (mut top, mut left, mut seen) = (None, limits.whole, BTreeSet::new());
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let wrong = |why: &str| Problem::Strange(format!("`{}` {why}", shown.escape_debug()));
        match entry.header().entry_type() {
            EntryType::Regular => {}
            EntryType::Directory => continue,
            _ => return Err(wrong("is neither a file nor a folder")),
        }
        let path =
            plain(&entry.path().map_err(unreadable)?).ok_or_else(|| wrong("leads out of its folder"))?;
        let mut parts = path.components();
        let first = parts.next().map(|part| PathBuf::from(part.as_os_str())).unwrap_or_default();
        if parts.next().is_none() {
            return Err(wrong("is in no folder"));
        }
        if *top.get_or_insert_with(|| first.clone()) != first {
            return Err(wrong("is in another folder than the files before it"));
        }
        if path.components().count() > limits.depth {
            return Err(wrong("is too deep"));
        }
        if !seen.insert(path.clone()) {
            return Err(wrong("is there twice"));
        }
        if seen.len() > limits.files {
            return Err(Problem::Strange(format!("it has more than {} files", limits.files)));
        }
        let size = entry.size();
        left = left.checked_sub(size).ok_or_else(|| {
            Problem::Strange(format!("unpacked, it has more than {} MiB", limits.whole >> 20))
        })?;
        let target = stage.join(&path);
        let failed = |error| Problem::Write(target.clone(), error);
        target.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        let mut out = File::create_new(&target).map_err(failed)?;
        // Reading and writing fail with the same type; only one of them is the bundle's fault.
        let mut piece = vec![0; 64 << 10];
        let mut written = 0;
        loop {
            let count = entry.read(&mut piece).map_err(unreadable)?;
            let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
            io::Write::write_all(&mut out, read).map_err(failed)?;
            written += u64::try_from(count).unwrap_or(u64::MAX);
        }
        if written != size {
            return Err(wrong("is cut short"));
        }
    }
    // What comes after the files tells whether all of it is as it was made.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(unreadable)?;
    top.ok_or_else(|| Problem::Strange("there is nothing in it".to_owned()))
}

/// A path of names alone.
fn plain(path: &Path) -> Option<PathBuf> {
    let parts = || path.components().filter(|part| *part != Component::CurDir);
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(name) if name.to_str().is_some());
    parts().all(is_name).then(|| parts().collect())
}
