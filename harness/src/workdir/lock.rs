//! The lock on a prefix: a file lock, which the kernel frees when its holder dies, and in the file who that is.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{WorkdirError, error::file, paths::PrefixPaths, prefix::absent};
use crate::base::wait::Deadline;

/// How often a lock that somebody holds is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Who holds a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// What it does, such as `start`.
    pub verb: String,
    /// The host it runs on.
    pub host: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

impl Holder {
    fn now(verb: &str) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { pid: std::process::id(), verb: verb.into(), host, since: now() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, verb, host, since } = self;
        write!(f, "`{verb}` (process {pid} on {host}, for {} s)", now().saturating_sub(*since))
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What a lock file says.
pub(super) fn parse(bytes: &[u8]) -> Option<Holder> {
    serde_json::from_slice(bytes).ok()
}

/// A held lock; free again when this goes.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of a prefix within `limit`.
    pub(super) async fn take(paths: &PrefixPaths, verb: &str, limit: Duration) -> Result<Self, WorkdirError> {
        let path = paths.lock();
        let deadline = Deadline::within(limit);
        loop {
            let mut lock = open(&path, paths)?;
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                // The folder may have been removed, and even made again, between opening and locking.
                Ok(()) if is_at(&lock, &path) => {
                    let text = serde_json::to_vec(&Holder::now(verb)).unwrap_or_default();
                    lock.set_len(0).and_then(|()| lock.write_all(&text)).map_err(file("write", &path))?;
                    return Ok(Self(lock));
                }
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if !deadline.passed() => {
                    tokio::time::sleep(AGAIN.min(deadline.left())).await;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(WorkdirError::InUse {
                        path: paths.root.clone(),
                        holder: read(&mut lock).map(Box::new),
                    });
                }
                Err(e) => return Err(file("lock", &path)(e.into())),
            }
        }
    }

    /// Who holds the lock of a prefix now: nobody, or somebody who need not have said who that is.
    pub(super) fn holder(paths: &PrefixPaths) -> Option<Option<Holder>> {
        let mut lock = File::open(paths.lock()).ok()?;
        // Shared, so that two who ask do not take each other for a holder.
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(read(&mut lock)),
            _ => None,
        }
    }
}

/// Nobody is named who does not hold it. Let go of by name: a child that is just being started has the file, too, and
/// would hold the lock until it runs.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.set_len(0);
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn open(path: &Path, paths: &PrefixPaths) -> Result<File, WorkdirError> {
    // Not through a link: the file would be made wherever that leads.
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path)
    };
    // What is no file cannot be anybody's lock; a damaged prefix must still be one that can be destroyed.
    let opened = open().or_else(|error| match path.symlink_metadata() {
        Ok(meta) if !meta.is_file() && absent(path).is_ok() => open(),
        _ => Err(error),
    });
    opened.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            WorkdirError::Gone { path: paths.root.clone() }
        }
        _ => file("open", path)(e),
    })
}

fn is_at(lock: &File, path: &Path) -> bool {
    let place = |meta: &std::fs::Metadata| (meta.dev(), meta.ino());
    matches!((lock.metadata(), path.metadata()), (Ok(held), Ok(there)) if place(&held) == place(&there))
}

fn read(lock: &mut File) -> Option<Holder> {
    let mut text = vec![];
    lock.rewind().ok()?;
    lock.take(4096).read_to_end(&mut text).ok()?;
    parse(&text)
}
