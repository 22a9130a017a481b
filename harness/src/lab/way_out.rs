//! The way out of a lab: `pasta` (package `passt`) in the network of the host and in the lab's own process namespace, so
//! that it ends with the lab, whoever is killed. It translates what comes out of the lab's network into plain sockets of
//! the host. Nobody outside reaches in by it, and nobody inside what listens on the host's loopback alone.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{mount::MountFlags, process::Pid};

use super::{paths::LabPaths, process1::last_line, wire::StepError};
use crate::{
    base::sys::{self, Fork},
    net::spec::{WAY_OUT, WAY_OUT_ADDRESS, WAY_OUT_ADDRESS6, WAY_OUT_GATEWAY, WAY_OUT_GATEWAY6},
};

/// Where `pasta` is, if it is installed.
#[must_use]
pub fn pasta() -> Option<PathBuf> {
    super::doctor::find("pasta")
}

/// A way out, seen from process 1, whose child it is.
pub(super) struct WayOut {
    pid: Pid,
}

impl WayOut {
    /// Gives process 1, which is still in the network of the host, one of its own with a way out of it.
    pub(super) fn open(paths: &LabPaths) -> Result<Self, StepError> {
        let step = |e: io::Error| StepError::new("lead out", e);
        let program = pasta().ok_or_else(|| {
            StepError::new("lead out", "`pasta` is not installed").advise("install the package `passt`")
        })?;
        let (mut ours, mut theirs) = UnixStream::pair().map_err(step)?;
        let pid = match sys::fork().map_err(step)? {
            Fork::Parent(pid) => pid,
            Fork::Child => {
                drop(ours);
                // What process 1 mounts from now on is not for us.
                let apart = sys::unshare(libc::CLONE_NEWNS).and_then(|()| theirs.write_all(&[1]));
                // Until process 1 has its network.
                let told = apart.and_then(|()| theirs.read_exact(&mut [0]));
                let error = told.and_then(|()| lead(&program, paths)).err();
                let why = error.map(|e| e.to_string()).unwrap_or_default();
                let _ = fs::write(paths.way_out_log(), why);
                sys::exit_now(1)
            }
        };
        drop(theirs);
        // A child that ended instead is noticed by who waits for the way it makes, who knows what it said.
        let _ = ours.read_exact(&mut [0]);
        sys::unshare(libc::CLONE_NEWNET).map_err(|e| StepError::new("make a network", e))?;
        let _ = ours.write_all(&[1]);
        Ok(Self { pid })
    }

    /// Whether it is this child.
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.pid == pid
    }

    /// What it means that it has ended.
    pub(super) fn ended(&self, status: i32) -> StepError {
        let said = last_line(Path::new("/run/polder/log/pasta.log"));
        StepError::new("lead out", format!("`pasta` ended with status {status}: {said}"))
    }

    /// Whether the network we are in has its default route by it.
    pub(super) fn is_up() -> bool {
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        routes.lines().any(|line| {
            let mut words = line.split_ascii_whitespace();
            words.next() == Some(WAY_OUT) && words.next() == Some("00000000")
        })
    }
}

/// Becomes `pasta`; returns only when that fails.
fn lead(program: &Path, paths: &LabPaths) -> io::Result<()> {
    // In the old one nobody of this process namespace is seen.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None)?;
    // By a name of its own: it may not look at process 1, and closes descriptors it does not know.
    let network = paths.network();
    fs::File::create(&network)?;
    let first = Pid::INIT.as_raw_nonzero();
    rustix::mount::mount_bind(format!("/proc/{first}/ns/net"), &network)?;
    let log = fs::File::create(paths.way_out_log())?;
    let (address, len) = WAY_OUT_ADDRESS;
    let (address, len, gateway) = (address.to_string(), len.to_string(), WAY_OUT_GATEWAY.to_string());
    let (address6, gateway6) = (WAY_OUT_ADDRESS6.to_string(), WAY_OUT_GATEWAY6.to_string());
    let mut command = Command::new(program);
    command
        .args(["--foreground", "--stderr", "--quiet", "--netns-only", "--no-netns-quit", "--runas", "0"])
        .arg("--netns")
        .arg(&network)
        .args(["--config-net", "--ns-ifname", WAY_OUT])
        .args(["--address", &address, "--netmask", &len, "--gateway", &gateway, "--dns-forward", &gateway])
        // Nothing comes of these on a host without IPv6.
        .args(["--address", &address6, "--gateway", &gateway6])
        // No port of either side is one of the other, and the gateway is not the host.
        .args(["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"])
        .arg("--no-map-gw")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    sys::fresh_session(&mut command);
    Err(command.exec())
}
