//! The first process of a boundary: mounts, starts the payload, reaps at once, answers requests.
//! One thread, one poll loop, nothing that blocks.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{
    control::Control,
    mounts,
    paths::LabPaths,
    spec::{LabSpec, Payload},
    way_out::WayOut,
    wire::{self, Report, StepError},
};
use crate::base::sys;

/// How long the daemon may take to open its socket.
const DAEMON_LIMIT: Duration = Duration::from_secs(20);
/// How often memory is looked at, and how soon after it appears the daemon's socket is noticed.
const TICK: Duration = Duration::from_secs(1);
const START_TICK: Duration = Duration::from_millis(5);

const QEMU_CONF: &str = r#"user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
seccomp_sandbox = 0
"#;

const LIBVIRTD_CONF: &str = r#"unix_sock_dir = "/run/polder/sock"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_rw_perms = "0700"
log_outputs = "2:stderr"
max_clients = 500
max_workers = 64
"#;

/// Never returns: when process 1 ends, so does everything inside.
pub(super) fn main(spec: &LabSpec, paths: &LabPaths, reports: &OwnedFd) -> ! {
    let code = match run(spec, paths, reports) {
        Ok(code) => code,
        Err(error) => {
            let _ = wire::send(reports, &Report::Failed(error), &[]);
            1
        }
    };
    sys::exit_now(code)
}

fn run(spec: &LabSpec, paths: &LabPaths, reports: &OwnedFd) -> Result<i32, StepError> {
    let step = |name: &'static str| move |e: io::Error| StepError::new(name, e);
    sys::die_with_forker().map_err(step("follow the warden"))?;
    if hung_up(reports) {
        return Ok(0); // it ended before we could follow it
    }
    // SIGCHLD from the inherited mask of the warden is replaced by our own descriptor.
    let signals = sys::signal_fd(&[libc::SIGCHLD]).map_err(step("watch children"))?;
    // Opened before its folder may be hidden.
    let (out, err) = match &spec.payload {
        Payload::Libvirtd { .. } => shared_log(&paths.libvirtd_log())?,
        Payload::Command { log: Some(log), .. } => shared_log(log)?,
        Payload::Command { log: None, .. } => {
            (open_log(&paths.command_out())?, open_log(&paths.command_err())?)
        }
    };
    // Before anything is hidden, and before the network is another one.
    let way_out = match &spec.payload {
        Payload::Libvirtd { way_out: true, .. } => Some(WayOut::open(paths)?),
        _ => None,
    };
    mounts::mount_all(spec, paths)?;
    // libvirt looks up a name without a dot whenever a domain goes on from a file, and keeps whoever looks at that domain
    // waiting for as long as a name server that is out of reach takes to be given up.
    sys::set_hostname("polder.internal").map_err(step("set the host name"))?;
    std::env::set_current_dir("/").map_err(step("enter the root folder"))?;
    match &spec.payload {
        Payload::Libvirtd { .. } => daemon(reports, &signals, out, err, way_out.as_ref()),
        Payload::Command { argv, env, offline, .. } => {
            if *offline {
                loopback_up()?;
            }
            let child = spawn(argv, env, out, err)?;
            let _ = wire::send(reports, &Report::Ready, &[]);
            command(reports, &signals, child)
        }
    }
}

fn open_log(path: &Path) -> Result<fs::File, StepError> {
    let opened = fs::File::options().create(true).append(true).open(path);
    opened.map_err(|e| StepError::new(format!("open the log {}", path.display()), e))
}

/// One file for output and errors.
fn shared_log(path: &Path) -> Result<(fs::File, fs::File), StepError> {
    let out = open_log(path)?;
    let err = out.try_clone().map_err(|e| StepError::new(format!("open the log {}", path.display()), e))?;
    Ok((out, err))
}

fn hung_up(reports: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(reports, PollFlags::empty())];
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&zero)).is_ok()
        && fds.iter().any(|f| f.revents().contains(PollFlags::HUP))
}

fn loopback_up() -> Result<(), StepError> {
    let output = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .output()
        .map_err(|e| StepError::new("run `ip`", e).advise("install the package `iproute2`"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(StepError::new("bring up the loopback interface", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Nobody else has the addresses of a lab's nets: without this, an IPv6 one is held back until a machine is plugged in
/// and for a second more. A kernel without IPv6 has nothing to set.
fn addresses_at_once() {
    for interfaces in ["all", "default"] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interfaces}/accept_dad"), "0");
    }
}

fn spawn(argv: &[String], env: &[(String, String)], out: fs::File, err: fs::File) -> Result<u32, StepError> {
    let failed = |e| StepError::new(format!("start `{}`", argv.join(" ")), e);
    let (program, args) = argv.split_first().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root"), ("LC_ALL", "C.UTF-8")])
        .envs(env.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    sys::fresh_session(&mut command);
    command.spawn().map(|child| child.id()).map_err(failed)
}

/// Waits for one command; its end is the lab's.
fn command(reports: &OwnedFd, signals: &OwnedFd, child: u32) -> Result<i32, StepError> {
    loop {
        while let Some((pid, status)) = sys::reap() {
            if u32::try_from(pid.as_raw_nonzero().get()) == Ok(child) {
                let _ = wire::send(reports, &Report::PayloadEnded(status), &[]);
                return Ok(status);
            }
        }
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(reports, PollFlags::empty())];
        rustix::event::poll(&mut fds, None).map_err(|e| StepError::new("wait for the command", e))?;
        if fds.iter().any(|f| f.revents().contains(PollFlags::HUP)) {
            return Ok(0);
        }
        sys::pending_signals(signals);
    }
}

/// Runs libvirtd and answers requests until the warden ends it all.
fn daemon(
    reports: &OwnedFd,
    signals: &OwnedFd,
    out: fs::File,
    err: fs::File,
    way_out: Option<&WayOut>,
) -> Result<i32, StepError> {
    loopback_up()?;
    addresses_at_once();
    lay_out().map_err(|e| StepError::new("lay out the daemon's folders", e))?;
    identities()?;
    let argv = ["libvirtd", "--config", "/etc/libvirt/libvirtd.conf"].map(str::to_owned);
    let child = spawn(&argv, &[], out, err).map_err(|e| e.advise("install the package `libvirt-daemon`"))?;
    let mut control = Control::open(Path::new("/run/polder/sock/lab.sock"), child)
        .map_err(|e| StepError::new("open the control socket", e))?;
    let started = Instant::now();
    let mut ready = false;
    loop {
        while let Some((pid, status)) = sys::reap() {
            if u32::try_from(pid.as_raw_nonzero().get()) == Ok(child) {
                if !ready {
                    let error = format!(
                        "it ended with status {status}: {}",
                        last_line(Path::new("/run/polder/log/libvirtd.log"))
                    );
                    return Err(StepError::new("start libvirtd", error));
                }
                let _ = wire::send(reports, &Report::PayloadEnded(status), &[]);
            }
            if let Some(way_out) = way_out.filter(|way_out| way_out.is(pid)) {
                let ended = way_out.ended(status);
                if !ready {
                    return Err(ended);
                }
                // Into the warden's log; machines that run may do without.
                eprintln!("{}: {}", ended.step, ended.error);
            }
            control.child_ended(pid, status);
        }
        let leads_out = || way_out.is_none_or(|_| WayOut::is_up());
        if !ready && listens("/run/polder/sock/libvirt-sock") && leads_out() {
            ready = true;
            let _ = wire::send(reports, &Report::Ready, &[]);
        }
        if !ready && started.elapsed() > DAEMON_LIMIT {
            let late = format!("within {} s", DAEMON_LIMIT.as_secs());
            return Err(match leads_out() {
                true => StepError::new("start libvirtd", format!("it did not listen {late}")),
                false => StepError::new("lead out", format!("`pasta` made no way {late}")),
            });
        }
        let tick = if ready { TICK } else { START_TICK };
        if !control
            .turn(signals.as_fd(), reports.as_fd(), tick)
            .map_err(|e| StepError::new("serve the lab", e))?
        {
            return Ok(0);
        }
        sys::pending_signals(signals);
    }
}

/// Whether somebody takes connections at `path`. The file alone does not say so: between its being bound and that,
/// connections are refused. The kernel is asked, because a connection made to try would stand in the daemon's log.
fn listens(path: &str) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    sockets.lines().any(|line| accepts_at(line, path))
}

/// Whether a line of `/proc/net/unix` is of a socket at `path` that takes connections: its flags are the fourth word, and
/// the one for that is all a listening socket has (proc(5)).
fn accepts_at(line: &str, path: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    words.nth(3) == Some("00010000") && words.nth(3) == Some(path)
}

fn lay_out() -> io::Result<()> {
    for dir in [
        "/run/libvirt/network",
        "/run/lock",
        "/var/lib/misc",
        "/var/lib/libvirt/qemu",
        "/var/lib/libvirt/network",
        "/var/lib/libvirt/dnsmasq",
        "/var/lib/libvirt/images",
        "/var/lib/libvirt/boot",
        "/etc/libvirt/qemu/networks",
        "/var/cache/libvirt/qemu",
    ] {
        fs::create_dir_all(dir)?;
    }
    fs::write("/etc/libvirt/qemu.conf", QEMU_CONF)?;
    fs::write("/etc/libvirt/libvirtd.conf", LIBVIRTD_CONF)
}

/// The daemon looks up accounts that only its system package makes; where they are missing, the lab has its own copy
/// of the account files with them.
fn identities() -> Result<(), StepError> {
    for (file, entry) in [
        ("passwd", "libvirt-qemu:x:64055:64055:Libvirt Qemu:/var/lib/libvirt:/usr/sbin/nologin\n"),
        ("group", "libvirt-qemu:x:64055:\n"),
    ] {
        let path = Path::new("/etc").join(file);
        let step =
            |e: io::Error| StepError::new(format!("add the daemon's account to {}", path.display()), e);
        let mut text = fs::read_to_string(&path).map_err(step)?;
        if !text.lines().any(|line| line.starts_with("libvirt-qemu:")) {
            text.push_str(entry);
            let own = Path::new("/run").join(file);
            fs::write(&own, text).map_err(step)?;
            rustix::mount::mount_bind(&own, &path).map_err(|e| step(e.into()))?;
        }
    }
    Ok(())
}

pub(super) fn last_line(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default().lines().last().unwrap_or("its log is empty").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_only_bound_does_not_listen() {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let at = path.to_str().unwrap();
        let open = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        assert!(!listens(at));
        bind(&open, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        assert!(path.exists() && !listens(at));
        listen(&open, 1).unwrap();
        assert!(listens(at) && !listens(&at[1..]));
    }
}
