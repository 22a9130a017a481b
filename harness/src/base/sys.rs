//! The system calls std and rustix do not offer safely; the only file with `unsafe`.
#![expect(unsafe_code, reason = "fork, clone and pre-exec hooks have no safe form")]

use std::{os::unix::process::CommandExt, process::Command};

/// Makes the child of `command` die by SIGKILL when the thread that spawns it ends.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Sends SIGKILL to a child of ours that has not been waited for.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
