//! The machine around a guest, as whoever makes it lets us see it. What runs inside is not its business.

use std::{
    fmt::{self, Debug},
    io,
    time::Duration,
};

use tokio::net::UnixStream;

use crate::base::dial::BoxFuture;

/// The machine around a guest, from outside.
pub trait MachinePort: Debug + Send + Sync {
    /// Opens its serial console: what is written is typed there, what is read was printed since.
    ///
    /// # Errors
    /// It has none, it is off, or somebody else has it open; nothing answered within `limit`.
    fn console(&self, limit: Duration) -> BoxFuture<'_, io::Result<UnixStream>>;

    /// Why nothing inside can answer at the moment, as far as that can be told within `limit`.
    fn standstill(&self, limit: Duration) -> BoxFuture<'_, Option<Standstill>>;
}

/// Why nothing in a machine can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standstill {
    /// It is paused.
    Paused,
    /// It is off, or was never started.
    Off,
    /// Its kernel panicked, or its emulator died.
    Crashed,
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paused => "it is paused",
            Self::Off => "it is off",
            Self::Crashed => "it has crashed",
        })
    }
}
