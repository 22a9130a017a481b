//! Where an environment lives: the trait everything above works with, whatever kind of lab is behind it.

use std::{
    fmt::{self, Debug},
    net::SocketAddr,
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::{
    LabError,
    paths::{LabPaths, View},
};
use crate::{
    base::{
        credentials::Credentials,
        dial::{BoxFuture, Dial},
    },
    event::Usage,
};

/// The kinds of labs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabKind {
    /// A boundary of namespaces with a libvirt daemon of its own.
    #[default]
    Hermetic,
    /// A libvirt daemon that is there anyway; names, labels and leases keep environments apart.
    System,
}

impl fmt::Display for LabKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hermetic => "hermetic",
            Self::System => "system",
        })
    }
}

/// A boundary or its substitute, a libvirt daemon, and a way to reach guests.
pub trait Lab: Dial + Debug + Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> LabKind;

    /// Where its libvirt daemon is reached.
    fn libvirt_uri(&self) -> String;

    /// Who we are to that daemon, if it wants to know.
    fn credentials(&self) -> Option<&Credentials>;

    /// How its daemon and emulator see the paths of the host.
    fn view(&self) -> View;

    /// The environment's folder on the host: disks, consoles, keys.
    fn env(&self) -> &Path;

    /// Its runtime folder with sockets and the logs of daemon and emulator; absent: they are not ours.
    fn runtime(&self) -> Option<&LabPaths>;

    /// Runs a command where the daemon runs, on the given standard streams; it is killed, with its process group, after
    /// `limit`.
    ///
    /// # Errors
    /// It could not be started, or took too long.
    fn exec<'a>(
        &'a self,
        argv: &'a [&'a str],
        streams: [OwnedFd; 3],
        env: Vec<(String, String)>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<i32, LabError>>;

    /// Listens where the daemon runs, at an address of the lab. The socket is of no use once the lab has ended.
    ///
    /// # Errors
    /// There is no such address, it is in use, or the lab does not answer.
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, Result<TcpListener, LabError>>;

    /// What its processes used so far.
    ///
    /// # Errors
    /// The lab does not answer, or its processes are not ours to measure.
    fn usage(&self) -> BoxFuture<'_, Result<Usage, LabError>>;

    /// Why it cannot be used any more, if that is so and known.
    fn failure(&self) -> Option<LabError>;

    /// Comes back only when the lab has broken.
    fn broken(&self) -> BoxFuture<'_, LabError>;

    /// Kills its daemon, so that every call it did not answer comes back with an error. The lab is of no use then but
    /// for what can be collected.
    ///
    /// # Errors
    /// The lab does not answer, or the daemon is not ours to kill.
    fn kill_daemon(&self) -> BoxFuture<'_, Result<(), LabError>>;

    /// Leaves it running when this process ends.
    ///
    /// # Errors
    /// It is gone.
    fn detach(&self) -> Result<(), LabError>;

    /// Ends it, with everything that runs in it, and waits until nothing is left; by force after `limit`. The folder of
    /// the environment stays where it is not part of the lab. A daemon that is not ours, and what runs there, is left
    /// alone.
    ///
    /// # Errors
    /// Something could not be removed.
    fn end(&self, limit: Duration) -> BoxFuture<'_, Result<(), LabError>>;
}
