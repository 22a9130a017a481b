//! The folder of claims: a file for each, locked by whoever made it for as long as it lives. One lock is held while claims are
//! read and made. Others may write here, too: nothing is followed, waited for or believed without need.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::model::{Capacity, Claim, Demand, Who, judge};
use crate::{base::id::random_uuid, lab::user_name};

/// The file of the lock that is held for moments only, and how long it is waited for.
const LOCK: &str = "lock";
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(5);
/// What the files of claims are called.
const CLAIM: &str = "claim-";
/// The longest one that is read, in bytes.
const LONGEST: u64 = 4096;
/// Everybody makes files here, and nobody removes those of others.
const SHARED: u32 = 0o1777;

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub(crate) struct LedgerError {
    /// What was tried.
    what: &'static str,
    /// With what.
    path: PathBuf,
    /// What the system said.
    #[source]
    source: io::Error,
}

impl LedgerError {
    /// Whoever was at it did not come back.
    pub(super) fn cut_short(error: tokio::task::JoinError) -> Self {
        failed("use", Path::new("the budget's folder"))(io::Error::other(error))
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError + use<> {
    let path = path.to_owned();
    move |source| LedgerError { what, path, source }
}

/// A claim of ours. When it goes, so does the claim.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    path: PathBuf,
    claim: Claim,
}

/// How a claim stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Taken,
    /// What it waits for, and who has that.
    Waits(String),
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    pub(super) folder: PathBuf,
}

impl Ledger {
    /// Notes what somebody wants, after all others.
    pub(super) fn claim(&self, demand: &Demand, who: &Who) -> Result<Held, LedgerError> {
        self.prepare()?;
        let _busy = self.lock()?;
        let last = self.claims(None)?.iter().map(|claim| claim.order).max().unwrap_or(0);
        let claim =
            Claim { order: last.saturating_add(1), taken: false, demand: demand.clone(), who: who.clone() };
        let path = self.folder.join(format!("{CLAIM}{}", random_uuid()));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(failed("make", &path))?;
        let mut held = Held { file, path, claim };
        // From here on it is removed again.
        flock(&held.file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| failed("lock", &held.path)(errno.into()))?;
        // Whatever our mask is: others are to see who they wait for.
        held.file.set_permissions(Permissions::from_mode(0o644)).map_err(failed("show", &held.path))?;
        held.write()?;
        Ok(held)
    }

    /// Takes what `held` wants if that can be had now.
    pub(super) fn try_to_take(&self, held: &mut Held, capacity: &Capacity) -> Result<Standing, LedgerError> {
        let _busy = self.lock()?;
        match judge(&held.claim, &self.claims(Some(&held.path))?, capacity) {
            Ok(()) => {
                held.claim.taken = true;
                held.write()?;
                Ok(Standing::Taken)
            }
            Err(what) => Ok(Standing::Waits(what)),
        }
    }

    /// Makes the folder, and refuses one in which others could do to our files what they want.
    fn prepare(&self) -> Result<(), LedgerError> {
        let folder = &self.folder;
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {
                let shared = fs::set_permissions(folder, Permissions::from_mode(SHARED));
                shared.map_err(failed("share", folder))?;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed("make", folder)(e)),
        }
        let is = folder.symlink_metadata().map_err(failed("look at", folder))?;
        if !is.is_dir() {
            return Err(failed("use", folder)(io::Error::other("it is no folder")));
        }
        let is_ours = is.uid() == rustix::process::geteuid().as_raw();
        // One that is just being made is not shared yet.
        if !is_ours && is.mode() & 0o7777 != SHARED {
            let why = io::Error::new(io::ErrorKind::PermissionDenied, "it is not shared by all (mode 1777)");
            return Err(failed("use", folder)(why));
        }
        Ok(())
    }

    fn lock(&self) -> Result<File, LedgerError> {
        let path = self.folder.join(LOCK);
        let lock = match open(&path) {
            // Not in one step: the system forbids that for files of others in a folder like this one.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path);
                match made.and_then(|made| made.set_permissions(Permissions::from_mode(0o644))) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(failed("make", &path)(e));
                    }
                    _ => open(&path),
                }
            }
            opened => opened,
        };
        let lock = lock.map_err(failed("open", &path))?;
        let begun = Instant::now();
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(lock),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)
                    if begun.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(AGAIN);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let long = format!("somebody has held it for {} s", PATIENCE.as_secs());
                    return Err(failed("lock", &path)(io::Error::new(io::ErrorKind::TimedOut, long)));
                }
                Err(errno) => return Err(failed("lock", &path)(errno.into())),
            }
        }
    }

    /// All claims of those who live, but one; what dead ones left is removed as far as it is ours to remove.
    fn claims(&self, but: Option<&Path>) -> Result<Vec<Claim>, LedgerError> {
        let entries = fs::read_dir(&self.folder).map_err(failed("list", &self.folder))?.flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(CLAIM));
        let paths = named.map(|entry| entry.path()).filter(|path| Some(path.as_path()) != but);
        Ok(paths.filter_map(|path| read(&path)).collect())
    }
}

/// A file that is there, and one.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// The claim in a file, if somebody holds it and it is one.
fn read(path: &Path) -> Option<Claim> {
    let file = open(path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Who has died. Of others' files, only theirs may be removed.
        let _ = fs::remove_file(path);
        return None;
    }
    let mut text = Vec::new();
    (&file).take(LONGEST).read_to_end(&mut text).ok()?;
    let mut claim: Claim = serde_json::from_slice(&text).ok()?;
    let word = |text: &str| crate::base::text::plain(text).chars().take(80).collect::<String>();
    claim.who.user = user_name(file.metadata().ok()?.uid());
    (claim.who.run, claim.who.suite) = (word(&claim.who.run), word(&claim.who.suite));
    claim.demand.portal = claim.demand.portal.filter(|portal| portal.len() <= 1000);
    Some(claim)
}

impl Held {
    fn write(&mut self) -> Result<(), LedgerError> {
        let text = serde_json::to_vec(&self.claim).unwrap_or_default();
        let written = self.file.rewind().and_then(|()| self.file.write_all(&text));
        let cut = written.and_then(|()| self.file.set_len(text.len() as u64));
        cut.map_err(failed("write", &self.path))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        // By name: a child that is just being started has the file, too.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const CAPACITY: Capacity = Capacity { memory_mib: Some(1000), cpus: None, seats: None };

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("budget");
        (dir, Ledger { folder })
    }

    fn who(suite: &str) -> Who {
        Who { pid: std::process::id(), run: "r".into(), suite: suite.into(), user: String::new() }
    }

    fn claim(ledger: &Ledger, memory_mib: u64, suite: &str) -> Held {
        ledger.claim(&Demand { memory_mib, ..Demand::default() }, &who(suite)).unwrap()
    }

    #[test]
    fn what_goes_can_be_taken_by_the_next() {
        let (_dir, ledger) = ledger();
        let mut first = claim(&ledger, 700, "first");
        assert_eq!(ledger.try_to_take(&mut first, &CAPACITY).unwrap(), Standing::Taken);
        let mut second = claim(&ledger, 700, "second");
        let Standing::Waits(what) = ledger.try_to_take(&mut second, &CAPACITY).unwrap() else { panic!() };
        assert!(what.contains("`first`") && what.contains(&std::process::id().to_string()), "{what}");
        assert_eq!(fs::metadata(&ledger.folder).unwrap().mode() & 0o7777, SHARED);
        drop(first);
        assert_eq!(ledger.try_to_take(&mut second, &CAPACITY).unwrap(), Standing::Taken);
        drop(second);
        let left: Vec<_> =
            fs::read_dir(&ledger.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
    }

    #[test]
    fn what_others_leave_there_is_neither_followed_nor_waited_for_nor_believed() {
        let (dir, ledger) = ledger();
        drop(claim(&ledger, 1, "makes the folder"));
        let at = |name: &str| ledger.folder.join(format!("{CLAIM}{name}"));
        let target = dir.path().join("target");
        fs::write(&target, "kept").unwrap();
        symlink(&target, at("link")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o666),
            0,
        )
        .unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("dead"), "{}").unwrap();
        // Files that are held, with what is no claim in them.
        let held: Vec<File> = ["", "{", "[1]", "{\"order\": -1}", &"x".repeat(100_000)]
            .iter()
            .enumerate()
            .map(|(n, text)| {
                fs::write(at(&format!("held{n}")), text).unwrap();
                let file = File::open(at(&format!("held{n}"))).unwrap();
                flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
                file
            })
            .collect();
        let mut mine = claim(&ledger, 1000, "mine");
        assert_eq!(ledger.try_to_take(&mut mine, &CAPACITY).unwrap(), Standing::Taken);
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert!(!at("dead").exists() && at("link").is_symlink() && at("held0").exists());
        drop(held);
    }

    #[test]
    fn a_folder_or_lock_that_is_none_is_named() {
        let (dir, ledger) = ledger();
        let refused = |ledger: &Ledger| {
            let error = ledger.claim(&Demand::default(), &who("x")).unwrap_err();
            format!("{:#}", anyhow::Error::from(error))
        };
        symlink(dir.path(), &ledger.folder).unwrap();
        assert!(refused(&ledger).contains("budget: it is no folder"), "{}", refused(&ledger));
        fs::remove_file(&ledger.folder).unwrap();
        fs::create_dir(&ledger.folder).unwrap();
        symlink("/dev/zero", ledger.folder.join(LOCK)).unwrap();
        assert!(refused(&ledger).contains("cannot open"), "{}", refused(&ledger));
        fs::remove_file(ledger.folder.join(LOCK)).unwrap();
        drop(claim(&ledger, 1, "x"));
    }
}
