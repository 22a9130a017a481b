//! The system calls std and rustix do not offer safely; the only file with `unsafe` besides the door of the lab.
//! No policy: who forks, kills or unshares what is decided elsewhere.
#![expect(unsafe_code, reason = "fork, clone, prctl, signalfd and pre-exec hooks have no safe form")]

use std::{
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use rustix::process::{Pid, Signal, WaitOptions};

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes the child of `command` die by SIGKILL when the thread that spawns it ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Puts the child of `command` into a session of its own and lets it inherit `fds` besides its standard streams.
pub(crate) fn own_session(command: &mut Command, fds: &[RawFd]) {
    let fds = fds.to_vec();
    // SAFETY: only async-signal-safe calls between fork and exec; the descriptors are open in the parent.
    unsafe {
        command.pre_exec(move || {
            check(libc::setsid().into())?;
            for &fd in &fds {
                check(libc::fcntl(fd, libc::F_SETFD, 0).into())?;
            }
            Ok(())
        });
    }
}

/// Sends SIGKILL to a child of ours that has not been waited for.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Which side of a fork we are on.
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's number.
    Parent(Pid),
}

fn only_thread() -> io::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads == 1 {
        Ok(())
    } else {
        Err(io::Error::other(format!("{threads} threads, a fork needs exactly one")))
    }
}

fn forked(result: libc::c_long) -> io::Result<Fork> {
    let pid = check(result)?;
    Ok(match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) => Fork::Parent(pid),
        None => Fork::Child,
    })
}

/// `fork(2)`, refused in a process with more than one thread.
pub(crate) fn fork() -> io::Result<Fork> {
    only_thread()?;
    // SAFETY: there is no other thread whose locks the child could inherit.
    forked(unsafe { libc::fork() }.into())
}

/// A fork whose child is a sibling: its parent is *our* parent. Refused with more than one thread.
pub(crate) fn fork_sibling() -> io::Result<Fork> {
    only_thread()?;
    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: without a new stack this behaves as fork; there is no other thread.
    forked(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
}

/// `unshare(2)`.
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: plain system call without pointers; CLONE_FILES and the like are not used by callers.
    check(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Becomes user and group 0 of the current user namespace, without supplementary groups where that is allowed.
pub(crate) fn become_root() -> io::Result<()> {
    // SAFETY: plain system calls.
    unsafe {
        libc::setgroups(0, std::ptr::null());
        check(libc::setresgid(0, 0, 0).into())?;
        check(libc::setresuid(0, 0, 0).into())?;
    }
    Ok(())
}

/// Asks for SIGKILL when the parent (its thread that forked us) ends.
pub(crate) fn die_with_forker() -> io::Result<()> {
    // SAFETY: plain system call.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into()).map(drop)
}

/// Ends at once: no destructors, no exit handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: never returns.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from 3 on except `keep`.
pub(crate) fn close_all_but(keep: &[RawFd]) {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|&fd| u32::try_from(fd).ok()).filter(|&fd| fd > 2).collect();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if from < fd {
            let to = if fd == u32::MAX { fd } else { fd - 1 };
            // SAFETY: called right after process start, when nothing of ours owns a descriptor above 2 but `keep`.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
        from = fd.saturating_add(1);
    }
}

/// Takes over a descriptor handed to this process at its start.
pub(crate) fn inherited(fd: RawFd) -> OwnedFd {
    // SAFETY: the number comes from our own parent, which left the descriptor open for us alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let _ = rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC);
    fd
}

/// Blocks `signals` and returns a descriptor that is readable when one of them is pending.
pub(crate) fn signal_fd(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use; the descriptor is fresh.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()).into())?;
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(io::Error::other)?))
    }
}

/// Reads all pending signals of a [`signal_fd`].
pub(crate) fn pending_signals(fd: &OwnedFd) -> Vec<u32> {
    let mut signals = Vec::new();
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    while rustix::io::read(fd, &mut info).is_ok_and(|n| n == info.len()) {
        let [a, b, c, d, ..] = info;
        signals.push(u32::from_ne_bytes([a, b, c, d]));
    }
    signals
}

/// What a terminal sends, and what a shell ignores for what it starts in the background.
const OF_TERMINALS: [libc::c_int; 6] =
    [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Clears the signal mask in the child of `command` (a forked process hands its blocked signals on), has it heed what a
/// terminal sends, whatever we were started to ignore, and gives it a session of its own, whose terminal its standard input
/// is, if that is one that no other session has.
pub(crate) fn fresh_session(command: &mut Command) {
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
            for signal in OF_TERMINALS {
                libc::signal(signal, libc::SIG_DFL);
            }
            check(libc::setsid().into())?;
            libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
}

/// Ignores SIGPIPE, as Rust's own start-up code (which has not run before `main`) would.
pub(crate) fn ignore_sigpipe() {
    // SAFETY: setting a disposition has no preconditions.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Reaps one ended child, if there is one: its number and exit status (128 + signal for a signal).
pub(crate) fn reap() -> Option<(Pid, i32)> {
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok()??;
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|s| 128 + s)).unwrap_or(255);
    Some((pid, code))
}

/// CPU seconds of all children that have been waited for, and theirs.
pub(crate) fn reaped_cpu_seconds() -> f64 {
    // SAFETY: getrusage fills the zeroed struct.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Makes a tap interface, which lasts as long as the descriptor; reading and writing frames does not block.
pub(crate) fn open_tap(name: &str) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let tap = rustix::fs::open("/dev/net/tun", flags, rustix::fs::Mode::empty())?;
    // SAFETY: all zeroes are a valid request; the kernel reads it and writes the name into it.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        // The last byte stays zero.
        let room = request.ifr_name.len() - 1;
        for (to, from) in request.ifr_name.iter_mut().take(room).zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        check(libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request).into())?;
    }
    Ok(tap)
}

/// Sets the host name of the current UTS namespace.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    rustix::system::sethostname(name.as_bytes()).map_err(Into::into)
}

/// Makes `to` (a standard stream's number) refer to `from`.
pub(crate) fn redirect(from: &impl AsRawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: dup2 onto a standard stream; nothing in Rust owns it as an OwnedFd.
    check(unsafe { libc::dup2(from.as_raw_fd(), to) }.into()).map(drop)
}
