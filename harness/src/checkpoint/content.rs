//! What is in the files of entries: reading it, and what of it is known without reading it again.
//!
//! To read what machines had in memory takes about as long as to use it. So what was read is noted, with everything that
//! changes when a file does: among it the time of its last change of any kind, which no program can set. As long as all
//! of that is the same, so is the content. A note holds until the host boots again, because only then can somebody have
//! written a disk behind the back of the system that keeps these times; by then nothing is in the page cache either. What
//! was noted had been brought to disk before. Notes lie in the store and not in an entry: a copied store has other inodes,
//! and is read.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Mutex,
    thread,
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    damage::{Damage, Manifest, Sum, is_ours, plain, unreadable},
    key::digits,
};
use crate::base::{
    owner::boot_id,
    store::{self, Document},
};

/// The notes, in the folder of the store, and what is about to be them.
pub(super) const NOTES: &str = ".read.json";
pub(super) const NEW_NOTES: &str = ".read.new";
/// Within this time a file may change twice and have changed at the same time: no kernel's clock ticks slower, but some
/// file systems count whole seconds.
const TICK: Duration = Duration::from_millis(20);
const WHOLE: Duration = Duration::from_secs(1);

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds, as in the next.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// That of `file` once any further change of it would change this.
    fn settled(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        let since = Duration::new(
            u64::try_from(found.ctime()).unwrap_or_default(),
            u32::try_from(found.ctime_nsec()).unwrap_or_default(),
        );
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let tick = if found.ctime_nsec() == 0 { WHOLE } else { TICK };
        thread::sleep(tick.saturating_sub(now.saturating_sub(since)));
        Ok(Self::of(&file.metadata()?))
    }

    /// Whether only the number of the file's names differs, as far as can be seen.
    fn is_but_for_names(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }
}

/// What a file had when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    stamp: Stamp,
    sha256: String,
}

/// What is known of files of a store, by `ENTRY/FILE`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The boot they are of.
    boot: String,
    files: BTreeMap<String, Seen>,
}

impl Document for Notes {
    const VERSION: u32 = 1;
}

impl Notes {
    /// Those of the store in `folder`, as far as they can be read and are of this boot.
    pub(super) fn load(folder: &Path) -> Self {
        let boot = boot_id().unwrap_or_default();
        let found = plain_notes(folder).and_then(|()| store::read::<Self>(&folder.join(NOTES)).ok()?);
        found
            .filter(|notes| notes.boot == boot && !boot.is_empty())
            .unwrap_or(Self { boot, files: BTreeMap::new() })
    }

    /// Whoever calls this has the lock of the store. What cannot be noted is read again, so that this is no error; nor need
    /// it reach the disk: it is of no use after the next boot.
    pub(super) fn save(&self, folder: &Path) {
        let new = folder.join(NEW_NOTES);
        let _ = fs::remove_file(&new);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options.open(&new).and_then(|mut file| file.write_all(&store::text(self)?));
        let _ = written.and_then(|()| fs::rename(&new, folder.join(NOTES)));
    }

    pub(super) fn insert(&mut self, entry: &str, name: &str, reading: &Reading) {
        if let Some(stamp) = reading.stamp {
            let sha256 = reading.sum.sha256.clone();
            self.files.insert(format!("{entry}/{name}"), Seen { stamp, sha256 });
        }
    }

    /// Forgets what is known of entries of which `is_there` says that they are not.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.files.retain(|name, _| name.split_once('/').is_some_and(|(entry, _)| is_there(entry)));
    }

    /// Whether `file`, which is there under this name, is known to have that content.
    fn knows(&self, entry: &str, name: &str, file: &Metadata, sum: &Sum) -> bool {
        let seen = self.files.get(&format!("{entry}/{name}"));
        seen.is_some_and(|seen| seen.stamp == Stamp::of(file) && seen.sha256 == sum.sha256)
    }

    /// A file of the store in `folder` that is known to have the same content: its entry and name.
    pub(super) fn twin(&self, folder: &Path, sum: &Sum) -> Option<(String, String)> {
        let same = self.files.iter().filter(|(_, seen)| seen.sha256 == sum.sha256);
        let mut named = same.filter_map(|(name, _)| name.split_once('/'));
        let (entry, name) = named.find(|(entry, name)| {
            plain(&folder.join(entry), name).is_ok_and(|found| self.knows(entry, name, &found, sum))
        })?;
        Some((entry.to_owned(), name.to_owned()))
    }

    /// What is noted of a file.
    pub(super) fn stamp(&self, entry: &str, name: &str) -> Option<Stamp> {
        self.files.get(&format!("{entry}/{name}")).map(|seen| seen.stamp)
    }

    /// Gives files further names, or takes names from them, which counts as a change of them: notes what was known and has
    /// not changed otherwise.
    pub(super) fn keeping<T>(&mut self, folder: &Path, work: impl FnOnce() -> T) -> T {
        let stamp = |name: &str| fs::symlink_metadata(folder.join(name)).map(|found| Stamp::of(&found));
        let known: Vec<(String, Stamp)> = self
            .files
            .iter()
            .filter(|(name, seen)| stamp(name).is_ok_and(|stamp| stamp == seen.stamp))
            .map(|(name, seen)| (name.clone(), seen.stamp))
            .collect();
        let done = work();
        for (name, before) in known {
            let after = stamp(&name).ok().filter(|after| after.is_but_for_names(&before));
            if let (Some(after), Some(seen)) = (after, self.files.get_mut(&name)) {
                seen.stamp = after;
            }
        }
        done
    }
}

/// That the notes are a file, and ours.
fn plain_notes(folder: &Path) -> Option<()> {
    let found = fs::symlink_metadata(folder.join(NOTES)).ok()?;
    (found.is_file() && is_ours(&found)).then_some(())
}

/// What was read of a file.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) sum: Sum,
    /// Nothing if the file changed meanwhile.
    pub(super) stamp: Option<Stamp>,
}

/// Reads what is not known of the entry in `folder`. Returns what was read.
pub(super) fn check<'a>(
    folder: &Path,
    manifest: &'a Manifest,
    notes: &Notes,
) -> Result<Vec<(&'a str, Reading)>, Damage> {
    let mut unknown = Vec::new();
    for (name, sum) in &manifest.files {
        if !notes.knows(&manifest.key, name, &plain(folder, name)?, sum) {
            unknown.push(name.as_str());
        }
    }
    let read = read_all(folder, &unknown);
    let read = read.into_iter().map(|(name, reading)| {
        let reading = reading.map_err(|error| unreadable(name, &error))?;
        let is_same = manifest.files.get(name) == Some(&reading.sum);
        if is_same { Ok((name, reading)) } else { Err(Damage::Content(name.to_owned())) }
    });
    read.collect()
}

/// Reads files side by side, and brings them to disk.
pub(super) fn read_all<'a>(folder: &Path, names: &[&'a str]) -> Vec<(&'a str, io::Result<Reading>)> {
    let (next, read) = (Mutex::new(names.iter()), Mutex::new(Vec::with_capacity(names.len())));
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        // A poisoned lock would mean that a thread panicked, which ends the scope too.
        while let Some(name) = next.lock().ok().and_then(|mut next| next.next().copied()) {
            let reading = read_one(&folder.join(name));
            if let Ok(mut read) = read.lock() {
                read.push((name, reading));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..processors.min(names.len()) {
            scope.spawn(work);
        }
        work();
    });
    read.into_inner().unwrap_or_default()
}

/// Opens what should be a file: no link is followed, and nobody is waited for at the other end of a pipe.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.custom_flags(i32::try_from(flags).unwrap_or_default()).open(path)
}

fn read_one(path: &Path) -> io::Result<Reading> {
    let mut file = open(OpenOptions::new().read(true), path)?;
    // What has not reached the disk could be lost with its times kept, and written through a mapping without a new time.
    file.sync_all()?;
    let before = Stamp::settled(&file)?;
    let sum = hash(&mut file)?;
    let after = Stamp::of(&file.metadata()?);
    Ok(Reading { sum, stamp: (before == after).then_some(after) })
}

/// What a file has.
///
/// # Errors
/// It cannot be read.
pub fn sum(path: &Path) -> io::Result<Sum> {
    hash(&mut File::open(path)?)
}

fn hash(file: &mut File) -> io::Result<Sum> {
    let (mut hash, mut room, mut bytes) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut room)?;
        if read == 0 {
            return Ok(Sum { bytes, sha256: digits(&hash.finalize()) });
        }
        bytes += u64::try_from(read).unwrap_or_default();
        hash.update(room.get(..read).unwrap_or_default());
    }
}
