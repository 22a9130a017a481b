//! An entry of the store that is being made, and how it becomes one.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    content::{Notes, Reading, read_all},
    damage::{MANIFEST, Manifest, USED},
    key::Key,
    store::{CheckpointError, Entry, Found, Result, Store, at},
};
use crate::base::store;

/// What a file is called before it takes the place of another one with the same content.
const TWIN: &str = ".twin";

/// An entry that is being made; nothing is left of it when this is dropped.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    folder: PathBuf,
    is_done: bool,
    /// Locked: somebody makes this.
    owner: File,
}

impl Draft {
    pub(super) fn new(store: Store, folder: PathBuf, owner: File) -> Self {
        Self { store, folder, is_done: false, owner }
    }

    /// Where its files are to be put.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes it the entry of `key`, and uses it. If somebody else was quicker, theirs is kept: it is of the same. Files
    /// that the store has already take no more room; then room is made, if the store has a limit.
    ///
    /// # Errors
    /// A file cannot be read or brought to disk, is none, or is still written.
    pub fn finish(mut self, key: &Key) -> Result<Entry> {
        let names = self.guard()?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut read = BTreeMap::new();
        for (name, reading) in read_all(&self.folder, &names) {
            let reading = reading.map_err(at("read", &self.folder.join(name)))?;
            if reading.stamp.is_none() {
                return Err(CheckpointError::StillWritten { name: name.to_owned() });
            }
            read.insert(name, reading);
        }
        let files = read.iter().map(|(name, reading)| ((*name).to_owned(), reading.sum.clone())).collect();
        let path = self.folder.join(MANIFEST);
        let manifest = Manifest::new(key, files).map_err(|error| at("write", &path)(error.into()))?;
        store::write(&path, &manifest)?;
        let folder = self.store.folder.join(&manifest.key);
        loop {
            if let Found::There(theirs) = self.store.find(key)? {
                return Ok(theirs);
            }
            let _lock = self.store.lock()?;
            if fs::symlink_metadata(&folder).is_ok() {
                // Somebody was quicker just now.
                continue;
            }
            let mut notes = Notes::load(&self.store.folder);
            for (name, reading) in &mut read {
                self.share(name, reading, &mut notes);
            }
            sync(&self.folder)?;
            fs::rename(&self.folder, &folder).map_err(at("put in place", &folder))?;
            self.is_done = true;
            sync(&self.store.folder)?;
            // Who made it uses it: the lock is the same file's.
            flock(&self.owner, FlockOperation::LockShared).map_err(|e| at("lock", &folder)(e.into()))?;
            let used = self.owner.try_clone().map_err(at("lock", &folder))?;
            read.iter().for_each(|(name, reading)| notes.insert(&manifest.key, name, reading));
            notes.save(&self.store.folder);
            if let Some(limit) = self.store.limit {
                // What cannot be removed is told whoever prunes; this entry is none the worse for it.
                let _ = self.store.make_room(limit);
            }
            return Ok(Entry { folder, manifest, used });
        }
    }

    /// Its files, which nobody else can write from now on.
    fn guard(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(at("read", &self.folder))?.flatten() {
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if name == USED {
                continue;
            }
            let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
            if !is_file || name == MANIFEST || name.starts_with('.') {
                return Err(CheckpointError::NotAFile { name });
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(at("guard", &path))?;
            names.push(name);
        }
        Ok(names)
    }

    /// Puts a file of another entry in the place of one with the same content, if there is one. Where that cannot be done,
    /// ours stays.
    fn share(&self, name: &str, reading: &mut Reading, notes: &mut Notes) {
        let store = &self.store.folder;
        let Some((entry, twin)) = notes.twin(store, &reading.sum) else { return };
        let (ours, new) = (self.folder.join(name), self.folder.join(TWIN));
        let theirs = store.join(&entry).join(&twin);
        // Another name of a file counts as a change of it, be it a new one or an old one.
        let linked =
            notes.keeping(store, || fs::hard_link(&theirs, &new).and_then(|()| fs::rename(&new, &ours)));
        match linked {
            Ok(()) => reading.stamp = notes.stamp(&entry, &twin),
            Err(_) => {
                let _ = fs::remove_file(&new);
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done {
            // What stays is removed by whoever prunes.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Brings names in a folder to disk.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at("write", folder))
}
