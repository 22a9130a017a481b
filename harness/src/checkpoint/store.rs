//! Files under keys, in a folder that processes share: an entry is there whole or not at all, whoever is killed when.
//!
//! An entry is a folder named like its key, with a manifest that was written last. It is made under another name and
//! renamed. Whoever makes one holds a lock in it, whoever uses one a shared lock; what is locked is not removed, and what
//! nobody makes any more is. One lock of the whole store orders beginnings, renamings and removals; nobody has it while
//! contents are read. Files of several entries that are the same are one file with several names.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::SystemTime,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    content::{self, NEW_NOTES, NOTES, Notes},
    damage::{Damage, Manifest, USED, examine, is_ours},
    draft::Draft,
    key::Key,
};
use crate::base::store::StoreError;

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
    /// Somebody else could have put there what lies there.
    #[error(
        "{} belongs to the user {uid}, or others may write it, so that nothing in it can be trusted; remove it, or make \
         it yours alone",
        path.display()
    )]
    Open {
        /// The folder of the store.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
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
    /// Whoever writes a file into an entry has to be done before the entry is.
    #[error("somebody writes `{name}` while the checkpoint is made of it")]
    StillWritten {
        /// What it is called.
        name: String,
    },
}

pub(super) type Result<T> = std::result::Result<T, CheckpointError>;

pub(super) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::File { what, path, source }
}

/// Checkpoints in one folder.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) folder: PathBuf,
    /// How many bytes it may take.
    pub(super) limit: Option<u64>,
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
    pub(super) used: File,
}

/// An entry as it lies there.
#[derive(Debug)]
pub struct Listed {
    /// Its name: the digest of its key.
    pub key: String,
    /// What it has, or what is wrong with it.
    pub content: std::result::Result<Manifest, Damage>,
    /// The bytes it takes, with those that others have, too.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
    /// What takes them, by device and inode.
    pieces: BTreeMap<(u64, u64), u64>,
}

impl Listed {
    /// The bytes that all of these take. What several have counts once.
    #[must_use]
    pub fn total(all: &[Self]) -> u64 {
        let pieces: BTreeMap<_, _> = all.iter().flat_map(|one| &one.pieces).collect();
        pieces.into_values().sum()
    }
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
        Self { folder: folder.to_owned(), limit: None }
    }

    /// The same, that may take so many bytes: whoever adds an entry then [prunes](Self::prune) it.
    #[must_use]
    pub fn with_limit(self, bytes: u64) -> Self {
        Self { limit: Some(bytes), ..self }
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
        Ok(Draft::new(self.clone(), folder, owner))
    }

    /// What there is for `key`, as it was written: what is not known to be is read, which the first use of an entry after
    /// the host has booted waits for. It is in use from then on.
    ///
    /// # Errors
    /// The store cannot be looked at. What is wrong with an entry is no error: it is removed.
    pub fn find(&self, key: &Key) -> Result<Found> {
        let found = self.look(&key.digest(), &Notes::load(&self.folder))?;
        if let Found::There(entry) = &found {
            entry.used.set_modified(SystemTime::now()).map_err(at("touch", &entry.folder))?;
        }
        Ok(found)
    }

    /// Looks at an entry, and reads what is not known of it.
    fn look(&self, digest: &str, notes: &Notes) -> Result<Found> {
        let folder = self.folder.join(digest);
        let lock = self.lock()?;
        if fs::symlink_metadata(&folder).is_err() {
            return Ok(Found::Nothing);
        }
        let manifest = match examine(&folder, digest) {
            Ok(manifest) => manifest,
            Err(damage) => return self.remove(digest).map(|()| Found::Dropped(damage)),
        };
        let path = folder.join(USED);
        let used = content::open(OpenOptions::new().write(true), &path).map_err(at("open", &path))?;
        flock(&used, FlockOperation::NonBlockingLockShared).map_err(|e| at("lock", &path)(e.into()))?;
        // In use, and so not removed while it is read.
        drop(lock);
        let read = content::check(&folder, &manifest, notes);
        if matches!(&read, Ok(read) if read.is_empty()) {
            return Ok(Found::There(Entry { folder, manifest, used }));
        }
        let _lock = self.lock()?;
        if !fs::symlink_metadata(&path).is_ok_and(|now| is_same(&now, &used)) {
            // Somebody removed it meanwhile, whatever became of reading it.
            return Ok(Found::Nothing);
        }
        match read {
            Ok(read) => {
                let mut notes = Notes::load(&self.folder);
                read.iter().for_each(|(name, reading)| notes.insert(digest, name, reading));
                notes.save(&self.folder);
                Ok(Found::There(Entry { folder, manifest, used }))
            }
            Err(damage) => self.remove(digest).map(|()| Found::Dropped(damage)),
        }
    }

    /// Removes what there is for `key`; files that are open stay readable.
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
                let (pieces, content) = (pieces(&folder), examine(&folder, &key));
                let (bytes, used) = (pieces.values().sum(), used.unwrap_or(SystemTime::UNIX_EPOCH));
                Listed { bytes, used, content, key, pieces }
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

    /// Reads all of an entry, whatever is known of it; what is wrong with it, if something is. It is removed then.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn verify(&self, key: &str) -> Result<Option<Damage>> {
        match self.look(key, &Notes::default())? {
            Found::Dropped(damage) => Ok(Some(damage)),
            Found::There(_) | Found::Nothing => Ok(None),
        }
    }

    /// Removes what nobody is left to complete, what is damaged, and then what was not used for longest, until no more than
    /// `bytes` are taken. What is in use stays, and what another version of Polder made is for that one to judge.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn prune(&self, bytes: u64) -> Result<Pruned> {
        let _lock = self.lock()?;
        self.make_room(bytes)
    }

    /// The same, by who has the lock of the store.
    pub(super) fn make_room(&self, bytes: u64) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for name in self.names()? {
            let folder = self.folder.join(&name);
            let is_left = name.starts_with(GONE) || (name.starts_with(DRAFT) && !is_locked(&folder));
            if is_left {
                self.delete(&folder)?;
                pruned.unfinished += 1;
            }
        }
        let mut all = self.list()?;
        // How many have each piece, for it is gone with the last of them.
        let mut had: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        all.iter().flat_map(|one| one.pieces.keys()).for_each(|piece| *had.entry(*piece).or_default() += 1);
        let mut taken = Listed::total(&all);
        while let Some(oldest) = all.pop() {
            let stays = taken <= bytes || is_locked(&self.folder.join(&oldest.key));
            let is_good = matches!(oldest.content, Ok(_) | Err(Damage::Version { .. }));
            if is_good && stays {
                continue;
            }
            self.remove(&oldest.key)?;
            for (piece, bytes) in oldest.pieces {
                let left = had.get_mut(&piece).map_or(0, |had| {
                    *had -= 1;
                    *had
                });
                if left == 0 {
                    taken -= bytes;
                    pruned.bytes += bytes;
                }
            }
            pruned.removed.push(oldest.key);
        }
        Ok(pruned)
    }

    /// The lock of the whole store, which is there from then on.
    pub(super) fn lock(&self) -> Result<File> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(at("make", &self.folder))?;
        let found = fs::metadata(&self.folder).map_err(at("look at", &self.folder))?;
        if !is_ours(&found) {
            return Err(CheckpointError::Open { path: self.folder.clone(), uid: found.uid() });
        }
        let path = self.folder.join(LOCK);
        let lock = create(&path)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| at("lock", &path)(e.into()))?;
        Ok(lock)
    }

    /// Removes an entry, or whatever has its name; it is gone at once.
    pub(super) fn remove(&self, key: &str) -> Result<()> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let from = self.folder.join(key);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let to = self.folder.join(format!("{GONE}{}-{number}", std::process::id()));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(at("remove", &from))?,
        }
        self.delete(&to)
    }

    /// Deletes what is no entry (any more); others may have the same files, and who has begun a draft may give it up meanwhile.
    fn delete(&self, path: &Path) -> Result<()> {
        let mut notes = Notes::load(&self.folder);
        let deleted = notes.keeping(&self.folder, || match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path).or_else(|_| {
                open_up(path);
                fs::remove_dir_all(path)
            }),
            _ => fs::remove_file(path),
        });
        notes.retain(|entry| fs::symlink_metadata(self.folder.join(entry)).is_ok());
        notes.save(&self.folder);
        match deleted {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted.map_err(at("remove", path)),
        }
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(at("read", &self.folder))?,
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| ![LOCK, NOTES, NEW_NOTES].contains(&name.as_str())).collect())
    }
}

/// A file of ours alone, made if it is not there.
fn create(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    content::open(&mut options, path).map_err(at("open", path))
}

/// Gives us back what was taken from us in a folder of ours.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    let inside = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = inside.filter(|inside| inside.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.for_each(|folder| open_up(&folder.path()));
}

/// Whether somebody makes or uses what is in a folder.
fn is_locked(folder: &Path) -> bool {
    content::open(OpenOptions::new().read(true), &folder.join(USED))
        .is_ok_and(|used| flock(&used, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Whether that is the file that we have open.
fn is_same(found: &Metadata, open: &File) -> bool {
    open.metadata().is_ok_and(|open| (open.dev(), open.ino()) == (found.dev(), found.ino()))
}

/// The bytes that files in a folder take on disk, by device and inode.
fn pieces(folder: &Path) -> BTreeMap<(u64, u64), u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| entry.metadata().ok());
    found.map(|found| ((found.dev(), found.ino()), found.blocks() * 512)).collect()
}
