//! A prefix: one environment's folder. What it says of itself, its protection, its end.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::rand::GetRandomFlags;
use serde::{Deserialize, Serialize};

use super::{
    Holder, Workdir, WorkdirError,
    error::file,
    folder::has_marks,
    journal::{self, Journal, Record},
    lock::{Lock, now},
    paths::PrefixPaths,
};
use crate::base::store::{self, Document, StoreError};

/// One environment's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    paths: PrefixPaths,
}

/// Which program made a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// This one; also when another one made it and this one has taken it over.
    Polder,
    /// Lago: [`lago::read`](super::lago::read) reads it.
    Lago,
}

/// That a prefix must not be destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Why, in the words of who asked for it.
    pub reason: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.reason.is_empty() { "no reason was given" } else { &self.reason })
    }
}

/// What a file `locked` says; any such file protects, whatever it holds.
pub(super) fn parse_protection(bytes: &[u8]) -> Protection {
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let reason = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
        Protection { reason, since: 0 }
    })
}

/// The uuid in a file: 32 hexadecimal digits, blanks around them forgiven.
pub(super) fn parse_uuid(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text)
}

impl Prefix {
    /// The prefix at `path` (absolute); nothing is looked at.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { paths: PrefixPaths { root: path.to_owned() } }
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.paths.root
    }

    /// Everything in it.
    #[must_use]
    pub fn paths(&self) -> &PrefixPaths {
        &self.paths
    }

    /// Its name, which is its folder's.
    #[must_use]
    pub fn name(&self) -> String {
        self.paths.name()
    }

    /// The workdir it is in, if it is in one.
    #[must_use]
    pub fn workdir(&self) -> Option<Workdir> {
        let folder = self.paths.root.parent().filter(|folder| Workdir::is_one(folder))?;
        Workdir::at(folder).ok()
    }

    /// Gives a folder that is there what every prefix has: a uuid and its folders.
    ///
    /// # Errors
    /// Something could not be made.
    pub fn furnish(&self) -> Result<(), WorkdirError> {
        self.claim()?;
        for folder in self.paths.made() {
            fs::create_dir_all(&folder).map_err(file("make", &folder))?;
        }
        Ok(())
    }

    /// Makes it a prefix, which it is by its uuid; false when it was one. Of several processes, one does it.
    pub(super) fn claim(&self) -> Result<bool, WorkdirError> {
        let path = self.paths.uuid();
        // First of all and in place: it marks the folder as a prefix, however early we are killed.
        match fs::File::options().write(true).create_new(true).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            opened => {
                let written = opened.and_then(|mut open| open.write_all(new_uuid().as_bytes()));
                written.map(|()| true).map_err(file("write", &path))
            }
        }
    }

    /// Its uuid: 32 hexadecimal digits.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold one.
    pub fn uuid(&self) -> Result<String, WorkdirError> {
        let path = self.paths.uuid();
        let bytes = fs::read(&path).map_err(file("read", &path))?;
        parse_uuid(&bytes).map(str::to_owned).ok_or(WorkdirError::BadUuid { path })
    }

    /// Whether its making came to an end and it was not cleaned up since.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        self.paths.initialized().is_file()
    }

    /// Refuses a prefix that is not initialized.
    ///
    /// # Errors
    /// It is not.
    pub fn require_initialized(&self) -> Result<(), WorkdirError> {
        if self.is_initialized() {
            return Ok(());
        }
        let path = self.paths.root.clone();
        Err(if path.is_dir() { WorkdirError::NotInitialized { path } } else { WorkdirError::Gone { path } })
    }

    /// Refuses a folder that has nothing of a prefix, so that nobody's files are taken for ours.
    ///
    /// # Errors
    /// It has nothing.
    pub fn require_marks(&self) -> Result<(), WorkdirError> {
        let listed = || self.workdir()?.prefixes().ok()?.contains(&self.name()).then_some(());
        if has_marks(&self.paths.root) || listed().is_some() {
            Ok(())
        } else {
            Err(WorkdirError::NotAPrefix { path: self.paths.root.clone() })
        }
    }

    /// Who made it.
    #[must_use]
    pub fn maker(&self) -> Maker {
        let is = |path: PathBuf| path.symlink_metadata().is_ok();
        let ours = is(self.paths.state()) || is(self.paths.journal());
        if !ours && is(self.paths.virt()) { Maker::Lago } else { Maker::Polder }
    }

    /// A versioned document of it; `None` when it has none of that name.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or has another format.
    pub fn read<T: Document>(&self, name: &str) -> Result<Option<T>, StoreError> {
        store::read(&self.paths.root.join(name))
    }

    /// What it made outside its folder.
    ///
    /// # Errors
    /// The journal is there, but cannot be read at all.
    pub fn record(&self) -> Result<Record, WorkdirError> {
        journal::read(&self.paths.journal())
    }

    /// Who changes it now: nobody, or somebody who need not have said who that is.
    #[must_use]
    pub fn holder(&self) -> Option<Option<Holder>> {
        Lock::holder(&self.paths)
    }

    /// That it must not be destroyed, if so.
    #[must_use]
    pub fn protection(&self) -> Option<Protection> {
        match fs::read(self.paths.locked()) {
            Ok(bytes) => Some(parse_protection(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => None,
            Err(e) => Some(Protection { reason: format!("cannot read why: {e}"), since: 0 }),
        }
    }

    /// Takes its lock, waiting at most `limit` for whoever holds it.
    ///
    /// # Errors
    /// [`WorkdirError::InUse`] says by whom; or the lock file cannot be used.
    pub async fn lock(&self, verb: &str, limit: Duration) -> Result<LockedPrefix, WorkdirError> {
        let lock = Lock::take(&self.paths, verb, limit).await?;
        Ok(LockedPrefix { prefix: self.clone(), _lock: lock })
    }

    /// Environment variables that tell child processes where they are, under our names and under Lago's.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let prefix = self.paths.root.canonicalize().unwrap_or_else(|_| self.paths.root.clone());
        let workdir = self.workdir().map(|w| w.path().to_owned()).unwrap_or_default();
        vec![
            ("POLDER_PREFIX_PATH", prefix.clone()),
            ("POLDER_WORKDIR_PATH", workdir.clone()),
            ("LAGO_PREFIX_PATH", prefix),
            ("LAGO_WORKDIR_PATH", workdir),
        ]
    }
}

/// A prefix that nobody else changes while this value lives.
#[derive(Debug)]
pub struct LockedPrefix {
    prefix: Prefix,
    _lock: Lock,
}

impl std::ops::Deref for LockedPrefix {
    type Target = Prefix;
    fn deref(&self) -> &Prefix {
        &self.prefix
    }
}

impl LockedPrefix {
    /// Writes a versioned document in place of the one of that name.
    ///
    /// # Errors
    /// The file cannot be written, or what is there has a newer format.
    pub fn write<T: Document>(&self, name: &str, document: &T) -> Result<(), StoreError> {
        store::write(&self.paths.root.join(name), document)
    }

    /// The journal, to write to.
    #[must_use]
    pub fn journal(&self) -> Journal {
        Journal::of(self.paths.journal())
    }

    /// Marks it as one that can be used; the log of its making becomes its own log.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn mark_initialized(&self) -> Result<(), WorkdirError> {
        let (from, to) = (self.paths.init_log(), self.paths.log());
        match fs::rename(&from, &to) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(file("move", &from)(e)),
            _ => {}
        }
        let path = self.paths.initialized();
        fs::File::create(&path).and_then(|mark| mark.sync_all()).map_err(file("write", &path))
    }

    /// Takes the mark away; its files stay.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn unmark_initialized(&self) -> Result<(), WorkdirError> {
        absent(&self.paths.initialized())
    }

    /// From now on it must not be destroyed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn protect(&self, reason: &str) -> Result<(), WorkdirError> {
        let path = self.paths.locked();
        let text =
            serde_json::to_vec(&Protection { reason: reason.into(), since: now() }).unwrap_or_default();
        store::replace(&path, &text).map_err(file("write", &path))
    }

    /// It may be destroyed again.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn unprotect(&self) -> Result<(), WorkdirError> {
        absent(&self.paths.locked())
    }

    /// Refuses a prefix that must not be destroyed.
    ///
    /// # Errors
    /// It must not.
    pub fn require_unprotected(&self) -> Result<(), WorkdirError> {
        match self.protection() {
            None => Ok(()),
            Some(protection) => Err(WorkdirError::Protected {
                path: self.paths.root.clone(),
                protection: Box::new(protection),
            }),
        }
    }

    /// Removes all its files, once everything it made elsewhere has gone, and puts its workdir in order. What says
    /// that it is a prefix goes last, so that it can be destroyed again when this is cut short.
    ///
    /// # Errors
    /// Something cannot be removed; everything else is.
    pub fn remove(self) -> Result<(), WorkdirError> {
        // Asked before the folder goes, which may be all that makes the one above a workdir.
        let workdir = self.workdir();
        let root = self.paths.root.clone();
        let last = [self.paths.journal(), self.paths.uuid(), self.paths.lock()];
        let entries = fs::read_dir(&root).map_err(file("read", &root))?;
        let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let mut first_error = None;
        for path in paths.iter().filter(|path| !last.contains(path)) {
            if let Err(error) = absent(path) {
                first_error.get_or_insert(error);
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        last.iter().try_for_each(|path| absent(path))?;
        fs::remove_dir(&root).map_err(file("remove", &root))?;
        workdir.map_or(Ok(()), |workdir| workdir.removed())
    }
}

/// Removes a file, a link or a whole folder, if there is one; links are not followed.
pub(super) fn absent(path: &Path) -> Result<(), WorkdirError> {
    let is_folder = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    match if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file("remove", path)(e)),
        _ => Ok(()),
    }
}

/// 32 random hexadecimal digits, marked as a random uuid where libvirt and others look for that.
fn new_uuid() -> String {
    let mut bytes = [0_u8; 16];
    // Cannot fail: so few bytes come at once, and the pool is filled long before any program of ours runs.
    let _ = rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
