//! Environments that this process has made on daemons which go on without it: their machines, networks and leases end only with
//! [`Env::destroy`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Env;

/// By their folders: where they are, and since when. Of the process, because whoever asks has none of them.
static MADE: Mutex<BTreeMap<PathBuf, (String, Instant)>> = Mutex::new(BTreeMap::new());

fn made() -> MutexGuard<'static, BTreeMap<PathBuf, (String, Instant)>> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes note of one, before anything of it is there.
pub(super) fn note(folder: &Path, uri: &str) {
    made().insert(folder.to_owned(), (uri.to_owned(), Instant::now()));
}

/// An environment on a daemon that goes on without this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its prefix.
    pub folder: PathBuf,
    /// The daemon.
    pub uri: String,
    /// How long ago it was made.
    pub age: Duration,
}

impl Env {
    /// Those that this process has made and nobody has destroyed.
    #[must_use]
    pub fn elsewhere() -> Vec<Elsewhere> {
        let mut made = made();
        made.retain(|folder, _| folder.symlink_metadata().is_ok());
        let one = |(folder, (uri, since)): (&PathBuf, &(String, Instant))| Elsewhere {
            folder: folder.clone(),
            uri: uri.clone(),
            age: since.elapsed(),
        };
        made.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_until_its_folder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("prefix");
        let found = || Env::elsewhere().into_iter().find(|one| one.folder == folder);
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(found(), None);
        note(&folder, "qemu:///system");
        assert_eq!(found().unwrap().uri, "qemu:///system");
        std::fs::remove_dir(&folder).unwrap();
        assert_eq!(found(), None);
    }
}
