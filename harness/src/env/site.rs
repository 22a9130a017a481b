//! The running part of an environment: its lab and a connection to its daemon, absent while the environment is down.
//! Guests reach their machines through it, so that they stay the same ones when the lab is another.

use std::{
    convert::Infallible,
    fmt, fs,
    io::{self, Read, Seek, Write},
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::net::TcpStream;

use super::{Env, EnvError, Served, fault::Healing, handle::WeakEnv, host::limits};
use crate::{
    base::{
        dial::{BoxFuture, Dial},
        random::Seeds,
    },
    lab::{Lab, LabKind},
    provider::{ProviderError, libvirt::Connection},
};

/// How often a daemon is asked whether it is still there.
const ASK: Duration = Duration::from_secs(1);

/// A lab that is up.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) lab: Arc<dyn Lab>,
    pub(super) connection: Connection,
    /// The repository of packages that is served into it, once one is.
    pub(super) repo: tokio::sync::Mutex<Option<Served>>,
}

impl Running {
    /// Connects to the daemon of `lab`.
    pub(super) async fn connect(lab: Arc<dyn Lab>) -> Result<Self, EnvError> {
        match Connection::open_as(&lab.libvirt_uri(), lab.credentials(), limits::CONNECT).await {
            Ok(connection) => Ok(Self { lab, connection, repo: tokio::sync::Mutex::default() }),
            Err(error) => Err(explain(&*lab, error)),
        }
    }

    /// A provider's failure, with the end of its daemon when that is the cause.
    pub(super) fn explain(&self, error: ProviderError) -> EnvError {
        explain(&*self.lab, error)
    }

    /// Comes back only when the daemon does not answer any more, which is ended then: what it is asked for may take long, and
    /// nobody need wait for one that hangs.
    pub(super) async fn hangs(&self) -> EnvError {
        let asked = async || -> Result<Infallible, ProviderError> {
            let connection = self.connection.another(limits::CONNECT).await?;
            loop {
                tokio::time::sleep(ASK).await;
                connection.answers(limits::COMMAND).await?;
            }
        };
        loop {
            let Err(error) = asked().await;
            if error.hangs() {
                // Else everything that is still to be asked of it runs into a deadline of its own.
                let _ = self.lab.kill_daemon().await;
            } else if self.lab.kind() != LabKind::Hermetic {
                // One that is not ours may begin anew.
                tokio::time::sleep(ASK).await;
                continue;
            }
            return self.explain(error);
        }
    }

    /// Runs a command inside the lab on the given input and returns what it printed.
    pub(super) async fn run(&self, argv: &[&str], input: &str) -> Result<String, EnvError> {
        let piped = |e: io::Error| EnvError::Command {
            command: argv.join(" "),
            status: -1,
            output: format!("no place for its input and output: {e}"),
        };
        let (mut from, mut to) = (tempfile::tempfile().map_err(piped)?, tempfile::tempfile().map_err(piped)?);
        from.write_all(input.as_bytes()).and_then(|()| from.rewind()).map_err(piped)?;
        let cloned = |f: &fs::File| f.try_clone().map(OwnedFd::from).map_err(piped);
        let streams = [cloned(&from)?, cloned(&to)?, cloned(&to)?];
        let status = self.lab.exec(argv, streams, vec![], limits::COMMAND).await?;
        let mut output = String::new();
        to.rewind().and_then(|()| to.read_to_string(&mut output)).map_err(piped)?;
        if status == 0 {
            Ok(output)
        } else {
            Err(EnvError::Command { command: argv.join(" "), status, output: output.trim().to_owned() })
        }
    }
}

fn explain(lab: &dyn Lab, error: ProviderError) -> EnvError {
    let daemon = if error.hangs() { None } else { lab.failure().map(|e| e.to_string()) };
    EnvError::Provider { error, daemon }
}

/// Whether there is a lab at the moment.
#[derive(Debug, Clone, Default)]
pub(super) enum Ground {
    /// None.
    #[default]
    Down,
    /// It is up.
    Up(Arc<Running>),
    /// Something of it is there, but it cannot be used.
    Broken {
        /// What is there.
        lab: Arc<dyn Lab>,
        /// Why it cannot be used.
        why: String,
    },
}

/// Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Site {
    ground: Arc<Mutex<Ground>>,
    healing: Healing,
    env: Arc<OnceLock<WeakEnv>>,
    seeds: Arc<Mutex<Option<Seeds>>>,
}

impl Site {
    /// What there is.
    pub(super) fn ground(&self) -> Ground {
        self.ground.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what there is and returns what there was.
    pub(super) fn set(&self, ground: Ground) -> Ground {
        std::mem::replace(&mut *self.ground.lock().unwrap_or_else(PoisonError::into_inner), ground)
    }

    /// What of it is being set back.
    pub(super) fn healing(&self) -> &Healing {
        &self.healing
    }

    /// Where seeds of faults are from; without any, each link has one of its own.
    pub(super) fn seeds(&self) -> Option<Seeds> {
        self.seeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says where seeds of faults are from.
    pub(super) fn seed(&self, seeds: Seeds) {
        *self.seeds.lock().unwrap_or_else(PoisonError::into_inner) = Some(seeds);
    }

    /// Says whose part it is; machines know their environment by that.
    pub(super) fn belong_to(&self, env: &Env) {
        // It belongs to one for good.
        let _ = self.env.set(env.downgrade());
    }

    /// The environment, while somebody has it.
    pub(super) fn env(&self) -> Option<Env> {
        self.env.get()?.upgrade()
    }

    /// The lab, for who cannot do without.
    pub(super) fn running(&self) -> Result<Arc<Running>, EnvError> {
        match self.ground() {
            Ground::Up(running) => Ok(running),
            Ground::Down => Err(EnvError::NotStarted),
            Ground::Broken { why, .. } => Err(EnvError::Broken { why }),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({:?})", self.ground())
    }
}

impl Dial for Site {
    fn dial(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let running = self.running().map_err(|e| io::Error::new(io::ErrorKind::NotConnected, e))?;
            running.lab.dial(addr, limit).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_lab_it_says_what_to_do() {
        let site = Site::default();
        assert!(site.running().unwrap_err().to_string().contains("polder start"));
        let error = site.dial("10.0.0.1:22".parse().unwrap(), Duration::from_secs(1)).await.unwrap_err();
        assert!(error.to_string().contains("polder start"), "{error}");
    }
}
