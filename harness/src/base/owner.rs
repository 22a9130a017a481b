//! Which process something belongs to, told apart from later ones of the same number; and whether it still runs.

use std::{fmt, fs, io};

use serde::{Deserialize, Serialize};

/// A process of some host, for good: numbers come again, but not with the same start since the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// Id of that boot.
    pub boot: String,
    /// Name of the host.
    pub host: String,
}

impl Owner {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn current() -> io::Result<Self> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let started = start_time(pid).ok_or_else(|| io::Error::other(format!("no /proc/{pid}/stat")))?;
        Ok(Self { pid, started, boot: boot_id()?, host: host_name() })
    }

    /// Whether it still runs. One of another host counts as running: it cannot be asked from here.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        if self.host != host_name() {
            return true;
        }
        // A boot that cannot be told is not another one.
        let same_boot = boot_id().map_or(true, |boot| boot == self.boot);
        same_boot && start_time(self.pid) == Some(self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// Start time of a process in clock ticks since boot; `None` when there is none of that number, or only what is left
/// of one until its parent looks.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

/// Id of the boot that goes on.
///
/// # Errors
/// `/proc` cannot be read.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Name of this host.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_those_it_could_be_taken_for() {
        let me = Owner::current().unwrap();
        assert!(me.is_alive() && me.to_string().starts_with(&format!("process {}", me.pid)));
        assert!(!Owner { started: me.started + 1, ..me.clone() }.is_alive());
        assert!(!Owner { boot: "another".into(), ..me.clone() }.is_alive());
        assert!(Owner { host: "elsewhere".into(), started: 0, ..me }.is_alive());
    }

    #[test]
    fn one_that_has_ended_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let owner = Owner { pid, started: start_time(pid).unwrap(), ..Owner::current().unwrap() };
        assert!(owner.is_alive());
        child.kill().unwrap();
        // Killed, and not yet waited for, for as long as it takes.
        while owner.is_alive() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!owner.is_alive());
    }
}
