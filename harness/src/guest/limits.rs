//! Default deadlines and pauses of everything a [`Guest`](super::Guest) does, in one place.
//!
//! Deadlines hold for a machine with hardware virtualisation; they are multiplied by the guest's time factor.
//! Pauses between two looks are not.

use std::time::Duration;

/// A command without a deadline of its own.
pub const COMMAND: Duration = Duration::from_secs(60);
/// Copying a file or folder in either direction.
pub const COPY: Duration = Duration::from_secs(300);
/// [`Guest::until`](super::Guest::until) without `within`.
pub const UNTIL: Duration = Duration::from_secs(60);
/// Fetching one piece of evidence (journal, kernel log, a path).
pub const EVIDENCE: Duration = Duration::from_secs(60);
/// One call of the guest agent.
pub const AGENT_CALL: Duration = Duration::from_secs(10);
/// Opening the TCP connection of ssh, or a port that is waited for.
pub(super) const DIAL: Duration = Duration::from_secs(5);
/// Key exchange and authentication of ssh.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(15);
/// One look whether the guest is there.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// Killing in the guest what a command past its deadline left.
pub(super) const KILL: Duration = Duration::from_secs(2);
/// An ssh connection silent for this long is asked whether it lives.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
/// Questions without an answer after which an ssh connection is dead.
pub(super) const KEEPALIVE_MISSES: usize = 3;

/// Between two looks at something inside the guest.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at something cheap: a port, the console file, a refused ssh session.
pub(super) const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at a command of the guest agent.
pub(super) const AGENT_PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a command's standard output, and of its standard error, that are kept in memory.
pub const IN_MEMORY: usize = 16 * 1024 * 1024;
