//! Default deadlines and pauses of everything a [`Guest`](super::Guest) does, in one place.
//!
//! Deadlines hold for a machine with hardware virtualisation; they are multiplied by the guest's time factor.
//! Pauses between two looks are not.

use std::time::Duration;

/// A command without a deadline of its own.
pub const COMMAND: Duration = Duration::from_secs(60);
/// How long a guest that does not answer may take to come back, before a command that has not begun is given up.
pub const BEGIN: Duration = Duration::from_secs(60);
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
/// One attempt at that, not scaled: the kernel repeats a lost first packet only after a second, a new attempt sends
/// one at once.
pub(super) const DIAL_ONCE: Duration = Duration::from_millis(500);
/// Key exchange and authentication of ssh.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(15);
/// Until a guest takes a command on a connection that is there, or on its console.
pub(super) const OPEN: Duration = Duration::from_secs(5);
/// How long a machine has to be off before a command for it is given up; one that goes back to a snapshot is, for a moment.
pub(super) const OFF: Duration = Duration::from_secs(5);
/// Finding out whether a machine is paused or off, not scaled: it is not asked itself, and a deadline may be over.
pub(super) const STANDSTILL: Duration = Duration::from_secs(1);
/// One look whether the guest is there.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// To end a job that nobody has any more. Nobody waits for that, so a machine that is busy gets its time.
pub(super) const DROPPED: Duration = Duration::from_secs(60);
/// One look whether the guest has rebooted: short, because it hangs on the connection to the kernel that went.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Killing in the guest what a command past its deadline left.
pub(super) const KILL: Duration = Duration::from_secs(2);
/// An ssh connection silent for this long is asked whether it lives.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
/// Questions without an answer after which an ssh connection is dead.
pub(super) const KEEPALIVE_MISSES: usize = 3;

/// No deadline but that of whoever waits for it.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Between two looks at something inside the guest.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at something cheap: a port, the console file, a refused ssh session.
pub(super) const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at a command of the guest agent.
pub(super) const AGENT_PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a command's standard output, and of its standard error, that are kept in memory.
pub const IN_MEMORY: usize = 16 * 1024 * 1024;

/// `limit` for a machine that is `factor` times slower; what no clock can hold is cut to a century.
pub(super) fn scaled(limit: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(limit.as_secs_f64() * factor).map_or(FOREVER, |scaled| scaled.min(FOREVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(Duration::from_secs(2), 1.5, Duration::from_secs(3))]
    #[case(Duration::MAX, 1.0, Duration::from_secs(3_153_600_000))]
    #[case(Duration::from_secs(2), f64::NAN, Duration::from_secs(3_153_600_000))]
    fn no_deadline_overflows(#[case] limit: Duration, #[case] factor: f64, #[case] expected: Duration) {
        assert_eq!(scaled(limit, factor), expected);
    }
}
