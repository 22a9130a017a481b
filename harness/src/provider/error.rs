//! What can go wrong between us and whoever makes the machines.

use std::time::Duration;

/// A call to libvirt failed or did not come back.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The daemon could not be reached.
    #[error("cannot connect to libvirt at {uri}: {}", source.message())]
    Connect {
        /// Where it should be.
        uri: String,
        /// What libvirt said.
        source: virt::error::Error,
    },
    /// A call failed.
    #[error("libvirt cannot {what}: {}", source.message())]
    Call {
        /// What was tried, with which machine or network.
        what: String,
        /// What libvirt said.
        source: virt::error::Error,
    },
    /// A domain's emulator refused.
    #[error("cannot {what}: {why}")]
    Emulator {
        /// What was tried, with which machine.
        what: String,
        /// What it said.
        why: String,
    },
    /// A call did not come back; the connection is given up with it.
    #[error("libvirt did not {what} within {:.1} s", limit.as_secs_f64())]
    TimedOut {
        /// What was tried.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// An earlier call on this connection never came back.
    #[error("cannot {what}: libvirt did not come back from an earlier call ({earlier})")]
    Poisoned {
        /// What was tried now.
        what: String,
        /// What it did not come back from.
        earlier: String,
    },
}

impl ProviderError {
    /// Whether the daemon itself hangs, so that only ending the lab helps.
    #[must_use]
    pub fn hangs(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Poisoned { .. })
    }
}
