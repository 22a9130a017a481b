//! Makes the boundary: namespaces, identity maps and process 1, in the one order that works.
//! Plain system calls in processes with one thread; every step has its own error.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    process::Command,
};

use rustix::process::{Pid, PidfdFlags, WaitOptions};
use serde::{Deserialize, Serialize};

use super::{
    paths::LabPaths,
    process1,
    spec::{LabSpec, Payload},
    wire::{self, Report, StepError},
};
use crate::base::sys::{self, Fork};

/// A running boundary, seen from its parent, the warden.
pub(super) struct Boundary {
    /// Readable once process 1 has ended.
    pub(super) pidfd: OwnedFd,
    /// Process 1, a child of ours.
    pub(super) init: Pid,
    /// Its [`Report`]s.
    pub(super) reports: OwnedFd,
}

/// What the warden's child says while it walks into the boundary.
#[derive(Serialize, Deserialize)]
enum Progress {
    /// It is in a user namespace that has no identities yet.
    Unmapped,
    /// Process 1 was forked.
    Forked(i32),
    Failed(StepError),
}

/// Makes namespaces and process 1.
///
/// With or without a user namespace is decided by trying: without first, since only a privileged caller can.
pub(super) fn make(spec: &LabSpec, paths: &LabPaths) -> Result<Boundary, StepError> {
    let pair = |what| wire::pair().map_err(|e| StepError::new(what, e));
    let (progress, progress_child) = pair("open the progress channel")?;
    let (reports, reports_init) = pair("open the report channel")?;
    let walker = match sys::fork().map_err(|e| StepError::new("fork", e))? {
        Fork::Child => {
            drop((progress, reports));
            walk_in(spec, paths, &progress_child, &reports_init)
        }
        Fork::Parent(pid) => pid,
    };
    drop((progress_child, reports_init));
    let init = loop {
        match wire::receive(&progress) {
            Ok(Some((Progress::Unmapped, _))) => {
                map_identities(walker)?;
                wire::send(&progress, &(), &[]).map_err(|e| StepError::new("answer the boundary", e))?;
            }
            Ok(Some((Progress::Forked(pid), _))) => break pid,
            Ok(Some((Progress::Failed(error), _))) => return Err(error),
            Ok(None) => {
                return Err(StepError::new("enter the boundary", "its first process ended without a word"));
            }
            Err(e) => return Err(StepError::new("listen to the boundary", e)),
        }
    };
    let _ = rustix::process::waitpid(Some(walker), WaitOptions::empty());
    let init = Pid::from_raw(init).ok_or_else(|| StepError::new("fork process 1", "no process number"))?;
    let pidfd = rustix::process::pidfd_open(init, PidfdFlags::empty())
        .map_err(|e| StepError::new("watch process 1", e))?;
    Ok(Boundary { pidfd, init, reports })
}

/// The warden's child: enters the namespaces, forks process 1 as its own sibling, and ends.
fn walk_in(spec: &LabSpec, paths: &LabPaths, progress: &OwnedFd, reports: &OwnedFd) -> ! {
    let say = |message: &Progress| wire::send(progress, message, &[]).is_ok();
    let result = enter(spec, progress)
        .and_then(|()| sys::fork_sibling().map_err(|e| StepError::new("fork process 1", e)));
    match result {
        Ok(Fork::Child) => {
            sys::close_all_but(&[reports.as_raw_fd()]);
            process1::main(spec, paths, reports)
        }
        Ok(Fork::Parent(pid)) => say(&Progress::Forked(pid.as_raw_nonzero().get())),
        Err(error) => say(&Progress::Failed(error)),
    };
    sys::exit_now(0)
}

const CHROOT: &str = "`/` is no mount point, as in a plain chroot: before it is entered, its folder has to be bound on \
    itself (`mount --bind DIR DIR`); containers and systemd-nspawn do so";

fn enter(spec: &LabSpec, progress: &OwnedFd) -> Result<(), StepError> {
    let step = |name: &'static str| move |e: io::Error| StepError::new(name, e);
    sys::die_with_forker().map_err(step("follow the warden"))?;
    let mut namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWPID;
    // Process 1 makes its own network when something is to stay in ours, see `way_out`.
    let stays = matches!(spec.payload, Payload::Command { offline: false, .. })
        || matches!(spec.payload, Payload::Libvirtd { way_out: true, .. });
    if !stays {
        namespaces |= libc::CLONE_NEWNET;
    }
    match sys::unshare(namespaces) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
            sys::unshare(libc::CLONE_NEWUSER).map_err(|e| {
                StepError::new("make a user namespace", e).advise(
                    "unprivileged user namespaces seem to be forbidden, as they always are in a chroot; \
                     `polder doctor` names the setting to change",
                )
            })?;
            wire::send(progress, &Progress::Unmapped, &[]).map_err(step("ask for identities"))?;
            match wire::receive::<()>(progress) {
                Ok(Some(_)) => {}
                Ok(None) => sys::exit_now(0), // the warden is gone or has reported why
                Err(e) => return Err(StepError::new("wait for identities", e)),
            }
            sys::become_root().map_err(step("become root of the user namespace"))?;
            // A change of identity clears the parent-death signal.
            sys::die_with_forker().map_err(step("follow the warden"))?;
            sys::unshare(namespaces).map_err(step("make namespaces inside the user namespace"))?;
        }
        Err(e) => return Err(StepError::new("make namespaces", e)),
    }
    // Before any other mount call: else mounts below a shared `/` show up outside.
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::DOWNSTREAM | rustix::mount::MountPropagationFlags::REC,
    )
    .map_err(|e| {
        let error = StepError::new("cut mount propagation", e);
        // In a chroot whose folder is no mount point, nothing of what is above can be named.
        if e == rustix::io::Errno::INVAL { error.advise(CHROOT) } else { error }
    })
}

/// Gives the user namespace of `pid` its identities: 0 is us, 1 and above our subordinate range.
fn map_identities(pid: Pid) -> Result<(), StepError> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    for (program, file, own, what) in
        [("newuidmap", "/etc/subuid", uid, "user"), ("newgidmap", "/etc/subgid", gid, "group")]
    {
        let step = format!("map subordinate {what} ids");
        let (start, count) = subordinate_range(file, uid).ok_or_else(|| {
            StepError::new(&step, format!("{file} has no range for this user (uid {uid})")).advise(format!(
                "run as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}",
                user_name(uid)
            ))
        })?;
        let pid = pid.as_raw_nonzero().to_string();
        let args =
            [pid, "0".into(), own.to_string(), "1".into(), "1".into(), start.to_string(), count.to_string()];
        let output = Command::new(program).args(&args).output().map_err(|e| {
            StepError::new(&step, format!("{program}: {e}")).advise("install the package `uidmap`")
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(StepError::new(&step, format!("{program} {}: {said}", args.join(" "))));
        }
    }
    Ok(())
}

/// The first range of `uid` in a file such as `/etc/subuid`, by name or number.
pub(super) fn subordinate_range(file: &str, uid: u32) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string(file).ok()?;
    let (name, number) = (user_name(uid), uid.to_string());
    text.lines().find_map(|line| {
        let mut parts = line.trim().split(':');
        let owner = parts.next()?;
        let (start, count) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (owner == name || owner == number).then_some((start, count))
    })
}

/// The name of `uid` in `/etc/passwd`, else its number.
pub(crate) fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .find_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            (parts.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .unwrap_or_else(|| uid.to_string())
}

impl Boundary {
    /// Kills everything inside and waits until it is gone; returns the status of process 1.
    pub(super) fn kill(self) -> i32 {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        match rustix::process::waitpid(Some(self.init), WaitOptions::empty()) {
            Ok(Some((_, status))) => status.exit_status().unwrap_or(255),
            _ => 255,
        }
    }

    /// The next report of process 1; `None` when it is gone.
    pub(super) fn report(&self) -> Option<Report> {
        wire::receive(&self.reports).ok().flatten().map(|(report, _)| report)
    }
}
