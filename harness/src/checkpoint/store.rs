//! Files under keys, in a folder that processes share: an entry is there whole or not at all, whoever is killed when.
//!
//! An entry is a folder named like its key, with a manifest that was written last. It is made under another name and
//! renamed. Whoever makes one holds a lock in it, whoever uses one a shared lock; what is locked is not removed, and what
//! nobody makes any more is. One lock of the whole store orders beginnings, renamings and removals.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::SystemTime,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    damage::{Damage, MANIFEST, Manifest, USED, examine, sum},
    key::Key,
};
use crate::base::store::{self, StoreError};

/// How names begin of what is being made, and of what is being removed.
const DRAFT: &str = ".draft-";
const GONE: &str = ".gone-";
/// The lock of the store.
const LOCK: &str = ".lock";

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried, as a verb.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] StoreError),
    /// There is none of that name, or several.
    #[error(
        "`{key}` begins the keys of {found} checkpoints, not of one; `polder checkpoints list` lists them"
    )]
    Which {
        /// What was named.
        key: String,
        /// How many.
        found: usize,
    },
    /// What was put into an entry is none.
    #[error("a checkpoint has plain files only, and `{name}` is none")]
    NotAFile {
        /// What it is called.
        name: String,
    },
}

type Result<T> = std::result::Result<T, CheckpointError>;

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::File { what, path, source }
}

/// Checkpoints in one folder.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// What the store says of a key.
#[derive(Debug)]
pub enum Found {
    /// It has that.
    There(Entry),
    /// It has nothing.
    Nothing,
    /// It had something that was no good, and has removed it.
    Dropped(Damage),
}

/// An entry that is in use: as long as this is there, it is.
#[derive(Debug)]
pub struct Entry {
    /// Its folder.
    pub folder: PathBuf,
    /// What it has.
    pub manifest: Manifest,
    _used: File,
}

/// An entry that is being made; nothing is left of it when this is dropped.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    folder: PathBuf,
    is_done: bool,
    /// Locked: somebody makes this.
    owner: File,
}

/// An entry as it lies there.
#[derive(Debug)]
pub struct Listed {
    /// Its name: the digest of its key.
    pub key: String,
    /// What it has, or what is wrong with it.
    pub content: std::result::Result<Manifest, Damage>,
    /// The bytes it takes.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
}

/// What was removed to make room.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Keys of entries that nobody had used for longest.
    pub removed: Vec<String>,
    /// How much that freed, in bytes.
    pub bytes: u64,
    /// How many were removed that nobody was left to complete.
    pub unfinished: usize,
}

impl Store {
    /// The store in `folder`, which need not be there yet.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Begins an entry: files are put into [`Draft::folder`], and then it is [finished](Draft::finish).
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn begin(&self) -> Result<Draft> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let _lock = self.lock()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("{DRAFT}{}-{number}", std::process::id()));
        // One of the same name was made by a process that had our number.
        let _ = fs::remove_dir_all(&folder);
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(at("make", &folder))?;
        let owner = create(&folder.join(USED))?;
        flock(&owner, FlockOperation::NonBlockingLockExclusive).map_err(|e| at("lock", &folder)(e.into()))?;
        Ok(Draft { store: self.clone(), folder, is_done: false, owner })
    }

    /// What there is for `key`, looked at but not read. It is in use from then on.
    ///
    /// # Errors
    /// The store cannot be looked at. What is wrong with an entry is no error: it is removed.
    pub fn find(&self, key: &Key) -> Result<Found> {
        let (digest, _lock) = (key.digest(), self.lock()?);
        let folder = self.folder.join(&digest);
        if fs::symlink_metadata(&folder).is_err() {
            return Ok(Found::Nothing);
        }
        match examine(&folder, &digest, false) {
            Ok(manifest) => {
                let used = OpenOptions::new().write(true).open(folder.join(USED));
                let used = used.map_err(at("open", &folder))?;
                flock(&used, FlockOperation::LockShared).map_err(|e| at("lock", &folder)(e.into()))?;
                used.set_modified(SystemTime::now()).map_err(at("touch", &folder))?;
                Ok(Found::There(Entry { folder, manifest, _used: used }))
            }
            Err(damage) => self.remove(&digest).map(|()| Found::Dropped(damage)),
        }
    }

    /// Removes what there is for `key`; who uses it has it all the same.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self, key: &Key) -> Result<()> {
        let _lock = self.lock()?;
        self.remove(&key.digest())
    }

    /// All there is, the last used first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut all: Vec<Listed> = self
            .names()?
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .map(|key| {
                let folder = self.folder.join(&key);
                let used = fs::symlink_metadata(folder.join(USED)).and_then(|meta| meta.modified());
                let (bytes, content) = (size(&folder), examine(&folder, &key, false));
                Listed { bytes, used: used.unwrap_or(SystemTime::UNIX_EPOCH), content, key }
            })
            .collect();
        all.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.key.cmp(&b.key)));
        Ok(all)
    }

    /// The entry whose key begins with `key`.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn named(&self, key: &str) -> Result<Listed> {
        let mut all: Vec<Listed> = self.list()?.into_iter().filter(|one| one.key.starts_with(key)).collect();
        match (all.pop(), all.len()) {
            (Some(one), 0) if !key.is_empty() => Ok(one),
            (found, others) => {
                let found = usize::from(found.is_some()) + others;
                Err(CheckpointError::Which { key: key.to_owned(), found })
            }
        }
    }

    /// Reads all of an entry; what is wrong with it, if something is. It is removed then.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn verify(&self, key: &str) -> Result<Option<Damage>> {
        let Err(damage) = examine(&self.folder.join(key), key, true) else { return Ok(None) };
        let _lock = self.lock()?;
        self.remove(key).map(|()| Some(damage))
    }

    /// Removes what nobody is left to complete, what is damaged, and then what was not used for longest, until no more than
    /// `bytes` are taken. What is in use stays.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn prune(&self, bytes: u64) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        let _lock = self.lock()?;
        for name in self.names()? {
            let folder = self.folder.join(&name);
            let is_left = name.starts_with(GONE) || (name.starts_with(DRAFT) && !is_locked(&folder));
            if is_left {
                fs::remove_dir_all(&folder).map_err(at("remove", &folder))?;
                pruned.unfinished += 1;
            }
        }
        let mut all = self.list()?;
        let mut taken: u64 = all.iter().map(|one| one.bytes).sum();
        while let Some(oldest) = all.pop() {
            let is_good = oldest.content.is_ok();
            let stays = taken <= bytes || is_locked(&self.folder.join(&oldest.key));
            if is_good && stays {
                continue;
            }
            self.remove(&oldest.key)?;
            taken = taken.saturating_sub(oldest.bytes);
            pruned.bytes += oldest.bytes;
            pruned.removed.push(oldest.key);
        }
        Ok(pruned)
    }

    /// The lock of the whole store, which is there from then on.
    fn lock(&self) -> Result<File> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(at("make", &self.folder))?;
        let path = self.folder.join(LOCK);
        let lock = create(&path)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| at("lock", &path)(e.into()))?;
        Ok(lock)
    }

    /// Removes an entry, or whatever has its name; it is gone at once.
    fn remove(&self, key: &str) -> Result<()> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let from = self.folder.join(key);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let to = self.folder.join(format!("{GONE}{}-{number}", std::process::id()));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(at("remove", &from))?,
        }
        let removed = match fs::symlink_metadata(&to) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&to),
            _ => fs::remove_file(&to),
        };
        removed.map_err(at("remove", &to))
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(at("read", &self.folder))?,
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| name != LOCK).collect())
    }
}

impl Draft {
    /// Where its files are to be put.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes it the entry of `key`, and uses it. If somebody else was quicker, theirs is kept: it is of the same.
    ///
    /// # Errors
    /// A file cannot be read or brought to disk, or is none.
    pub fn finish(mut self, key: &Key) -> Result<Entry> {
        let digest = key.digest();
        let mut manifest = Manifest {
            key: digest.clone(),
            lines: key.lines().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            made: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            files: Default::default(),
        };
        for entry in fs::read_dir(&self.folder).map_err(at("read", &self.folder))?.flatten() {
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if name == USED {
                continue;
            }
            let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
            if !is_file || name == MANIFEST || name.starts_with('.') {
                return Err(CheckpointError::NotAFile { name });
            }
            close_to_others(&path).map_err(at("guard", &path))?;
            File::open(&path).and_then(|file| file.sync_all()).map_err(at("write", &path))?;
            manifest.files.insert(name, sum(&path).map_err(at("read", &path))?);
        }
        store::write(&self.folder.join(MANIFEST), &manifest)?;
        sync(&self.folder)?;
        let lock = self.store.lock()?;
        let folder = self.store.folder.join(&digest);
        if examine(&folder, &digest, false).is_err() {
            self.store.remove(&digest)?;
            fs::rename(&self.folder, &folder).map_err(at("put in place", &folder))?;
            self.is_done = true;
            sync(&self.store.folder)?;
            // Who made it uses it: the lock is the same file's.
            flock(&self.owner, FlockOperation::LockShared).map_err(|e| at("lock", &folder)(e.into()))?;
            let used = self.owner.try_clone().map_err(at("lock", &folder))?;
            return Ok(Entry { folder, manifest, _used: used });
        }
        // Theirs. Ours goes with this value.
        drop(lock);
        match self.store.find(key)? {
            Found::There(entry) => Ok(entry),
            Found::Nothing | Found::Dropped(_) => {
                Err(at("find again", &folder)(io::ErrorKind::NotFound.into()))
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

/// A file of ours alone, made if it is not there.
fn create(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(at("open", path))
}

/// What others may write, they could change.
fn close_to_others(path: &Path) -> io::Result<()> {
    let mut permissions = fs::symlink_metadata(path)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(path, permissions)
}

/// Brings names in a folder to disk.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at("write", folder))
}

/// Whether somebody makes or uses what is in a folder.
fn is_locked(folder: &Path) -> bool {
    File::open(folder.join(USED))
        .is_ok_and(|used| flock(&used, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// The bytes that files in a folder take on disk.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.blocks() * 512).sum()
}
