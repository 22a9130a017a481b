//! Running a host command so that nothing of it outlives us: the trait; labs implement it.

use std::{
    fmt::Debug,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::dial::BoxFuture;

/// A command for a sandbox; argv, never a shell line of the user's.
#[derive(Debug, Clone)]
pub struct BoxedCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment, added to a minimal one (`PATH`, `HOME=/root`, `LC_ALL=C.UTF-8`).
    pub env: Vec<(String, String)>,
    /// Folders of the host to which the command may write; all else it creates belongs into `/tmp`, which is fresh.
    pub writable: Vec<PathBuf>,
    /// File that receives standard output and standard error.
    pub log: PathBuf,
    /// The command and all it started are killed after this time.
    pub limit: Duration,
}

/// Runs a command as (mapped) root in namespaces of its own, host network included; all of it dies with us.
pub trait Sandbox: Debug + Send + Sync {
    /// Runs `command` to its end and returns its exit status (128 + signal for a signal).
    ///
    /// # Errors
    /// The sandbox could not be made, or the time was up (`TimedOut`).
    fn run(&self, command: BoxedCommand) -> BoxFuture<'_, io::Result<i32>>;
}

/// The last `lines` lines of a log, for an error message.
#[must_use]
pub fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
}
