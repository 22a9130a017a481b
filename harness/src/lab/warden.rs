//! The warden: parent of process 1, watches the owner, ends the lab and removes its folder. One thread, no tokio.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd, RawFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::FlockOperation,
};
use serde::{Deserialize, Serialize};

use super::{
    boundary::{self, Boundary},
    paths::LabPaths,
    spec::LabSpec,
    wire::{self, Order, Report, StepError},
};
use crate::base::{owner::start_time, sys};

/// How long the lock of all labs is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the warden looks whether the lab's folder is still there.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Who a lab's warden is, in `warden.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WardenId {
    pub(super) pid: i32,
    pub(super) started: u64,
    /// Folder of the environment, when it is not in the lab's own.
    #[serde(default)]
    pub(super) env: Option<PathBuf>,
}

/// Entered through the door, before `main`; returns the exit code.
pub(super) fn main(control: RawFd, owner: RawFd) -> i32 {
    sys::ignore_sigpipe();
    sys::close_all_but(&[control, owner]);
    let (control, owner) = (sys::inherited(control), sys::inherited(owner));
    let Ok(signals) = sys::signal_fd(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]) else { return 1 };
    let (folder, spec) = match wire::receive(&control) {
        Ok(Some((Order::Make { folder, spec }, _))) => (folder, spec),
        _ => return 1, // the owner died before it said what to make
    };
    let paths = LabPaths { folder };
    let code = match guard(&paths, &spec, &control, owner, &signals) {
        Ok(()) => 0,
        Err(error) => {
            let _ = wire::send(&control, &Report::Failed(error), &[]);
            1
        }
    };
    remove_folder(&paths.folder);
    code
}

fn guard(
    paths: &LabPaths,
    spec: &LabSpec,
    control: &OwnedFd,
    owner: OwnedFd,
    signals: &OwnedFd,
) -> Result<(), StepError> {
    let lock = make_folder(paths, spec)
        .map_err(|e| StepError::new(format!("make {}", paths.folder.display()), e))?;
    let boundary = boundary::make(spec, paths)?;
    let result = watch(&boundary, &lock, control, owner, signals);
    boundary.kill();
    result
}

/// Makes a folder among those of labs and locks it. The root's lock is held meanwhile, so that nobody sweeps what is not locked
/// yet.
pub(super) fn claim(paths: &LabPaths) -> io::Result<OwnedFd> {
    let root = paths.folder.parent().unwrap_or(Path::new("/"));
    let _busy = lock_root(root)?;
    fs::DirBuilder::new().mode(0o700).create(&paths.folder)?;
    let lock = OwnedFd::from(fs::File::create(paths.lock())?);
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok(lock)
}

/// Makes the lab's folder with what belongs there.
fn make_folder(paths: &LabPaths, spec: &LabSpec) -> io::Result<OwnedFd> {
    let lock = claim(paths)?;
    for dir in paths.made() {
        fs::create_dir(dir)?;
    }
    let log = fs::File::create(paths.log().join("warden.log"))?;
    sys::redirect(&log, 1)?;
    sys::redirect(&log, 2)?;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let id = WardenId { pid, started: start_time(pid).unwrap_or(0), env: spec.env.clone() };
    fs::write(paths.warden(), serde_json::to_vec(&id)?)?;
    std::env::set_current_dir("/")?;
    Ok(lock)
}

/// Holds the lock of the folder of all labs, which others hold for moments only. Blocks until it is had.
pub(super) fn lock_root(root: &Path) -> io::Result<OwnedFd> {
    let lock =
        OwnedFd::from(fs::File::options().create(true).truncate(false).write(true).open(root.join(".lock"))?);
    let begun = Instant::now();
    loop {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let long = format!("somebody has held it for {} s", PATIENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, long));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Returns when the lab is to end: the owner died or said so, somebody sent SIGTERM, or its folder was removed, after
/// which nobody could find it to end it.
fn watch(
    boundary: &Boundary,
    lock: &OwnedFd,
    control: &OwnedFd,
    owner: OwnedFd,
    signals: &OwnedFd,
) -> Result<(), StepError> {
    let mut owner = Some(owner);
    let mut talking = true; // the control socket is open
    let mut running = true; // process 1 lives
    loop {
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        let mut slots = Vec::new();
        let mut watch = |slot, fd| {
            slots.push(slot);
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        };
        // First the orders: an owner may detach the lab and end before we look.
        if talking {
            watch(Slot::Control, control.as_fd());
        }
        if let Some(owner) = &owner {
            watch(Slot::Owner, owner.as_fd());
        }
        if running {
            watch(Slot::Report, boundary.reports.as_fd());
        }
        match rustix::event::poll(&mut fds, Some(&LOOK)) {
            // The open lock itself is asked: the folder may have been moved with it, and still be used.
            Ok(_) if rustix::fs::fstat(lock).is_ok_and(|is| is.st_nlink == 0) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(StepError::new("watch the lab", e)),
        }
        let seen: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
        drop(fds);
        let mut seen = seen.into_iter();
        if seen.next() == Some(true) {
            return Ok(());
        }
        for slot in slots.into_iter().zip(seen).filter_map(|(slot, seen)| seen.then_some(slot)) {
            match slot {
                Slot::Owner if owner.is_some() => return Ok(()),
                Slot::Owner => {}
                Slot::Control => match wire::receive(control) {
                    Ok(Some((Order::Detach, _))) => {
                        owner = None;
                        let _ = wire::send(control, &Report::Detached, &[]);
                    }
                    Ok(Some((Order::End, _))) => return Ok(()),
                    Ok(Some((Order::Make { .. }, _))) => {}
                    // The owner's own end is told by its pidfd; a closed socket alone means nothing.
                    Ok(None) | Err(_) => talking = false,
                },
                Slot::Report => match boundary.report() {
                    Some(Report::Failed(error)) => return Err(error),
                    Some(report) => {
                        let _ = wire::send(control, &report, &[]);
                    }
                    None => {
                        running = false;
                        let _ = wire::send(control, &Report::Gone(0), &[]);
                    }
                },
            }
        }
        if owner.is_none() && !running {
            return Ok(()); // nobody is left who could want the files
        }
    }
}

enum Slot {
    Owner,
    Control,
    Report,
}

/// Removes a lab's folder; the processes that wrote into it are gone, stragglers of the kernel get a moment.
pub(super) fn remove_folder(folder: &Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(folder) {
            Ok(()) => return,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => eprintln!("cannot remove {}: {e}", folder.display()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
