//! Everything a [`Guest`](super::Guest) is given: finished values, nothing to decide.

use std::{
    fmt::{self, Debug},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use russh::keys::{PrivateKey, PublicKey};

use super::machine::MachinePort;
use crate::{
    base::{
        dial::{BoxFuture, Dial},
        id::MachineName,
    },
    image::Abilities,
};

/// One machine, ready to be talked to.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// Its name.
    pub name: MachineName,
    /// The name of its image, for errors.
    pub image: String,
    /// What its image can do.
    pub abilities: Abilities,
    /// How it is reached over ssh, if it is.
    pub ssh: Option<SshSpec>,
    /// How its guest agent is reached, if it is.
    pub agent: Option<Arc<dyn AgentPort>>,
    /// The machine it runs in, where somebody makes it for us.
    pub machine: Option<Arc<dyn MachinePort>>,
    /// Who logs in on its console, and with which password if one is asked for.
    pub login: Login,
    /// The file into which the hypervisor records its console.
    pub console: PathBuf,
    /// Folder of this host for outputs that do not fit into memory; made when needed.
    pub outputs: PathBuf,
    /// Folder of this host for notes of what outlasts a command in the guest; made when needed.
    pub notes: PathBuf,
    /// Deadlines are multiplied by this.
    pub time_factor: f64,
}

/// How a machine is reached over ssh.
#[derive(Clone)]
pub struct SshSpec {
    /// Opens connections to the machine's network.
    pub dial: Arc<dyn Dial>,
    /// Address and port of its ssh server.
    pub addr: SocketAddr,
    /// The user to log in as.
    pub user: String,
    /// The user's private key (Ed25519 or ECDSA), if there is one.
    pub key: Option<Arc<PrivateKey>>,
    /// The user's password, for a server that refuses the key.
    pub password: Option<String>,
    /// The only host key that is accepted; without it any is, unless `known_hosts` says otherwise.
    pub host_key: Option<PublicKey>,
    /// A file of host keys in OpenSSH's form: where no key is pinned, the one that is shown first is noted there, and no
    /// other is accepted from then on.
    pub known_hosts: Option<PathBuf>,
}

/// Leaves the private key and the password out.
impl Debug for SshSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshSpec({}@{} through {:?})", self.user, self.addr, self.dial)
    }
}

/// A way to a guest agent: one request and its reply at a time, both JSON texts of the QEMU guest agent protocol.
pub trait AgentPort: Debug + Send + Sync {
    /// Sends `request` and returns the reply, giving up after `limit`.
    ///
    /// # Errors
    /// [`AgentPortError`]; an `{"error": ..}` reply may be returned as a reply as well as an error.
    fn call(&self, request: String, limit: Duration) -> BoxFuture<'_, Result<String, AgentPortError>>;
}

/// Why a guest agent could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentPortError {
    /// No agent runs in the guest, or the machine does not.
    #[error("the guest agent is not connected: {0}")]
    NotConnected(String),
    /// It did not answer in time.
    #[error("the guest agent did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It, or the way to it, answered with an error.
    #[error("the guest agent refused: {0}")]
    Failed(String),
}

/// Who logs in on a console.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; without one, only a console that asks for none can be used.
    pub password: Option<String>,
}

/// Leaves the password out.
impl Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// How something was done in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Over ssh.
    Ssh,
    /// Over the guest agent.
    Agent,
    /// Typed on its serial console.
    Console,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssh => "ssh",
            Self::Agent => "guest agent",
            Self::Console => "console",
        })
    }
}
