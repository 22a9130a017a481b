//! Over ssh: a command for each exchange, or a shell in a terminal that is talked to. To machines of an environment by the way
//! that goes there, to any other host by its address; whose key is not known there is not talked to.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use russh::keys::PrivateKey;

use super::{
    known::{Known, address, name},
    session::{End, Talk},
};
use crate::{
    base::{
        dial::{BoxFuture, Plain},
        dialogue::Dialogue,
        text::chain,
        wait::Deadline,
    },
    change::{Driver, DriverError, Heard, Request, Said, Session, Target, Text},
    guest::{Command, Ended, Guest, GuestError, Host, Ran, SshError, SshSpec, Status, known_key},
};

/// The port of ssh servers.
const PORT: u16 = 22;

/// Connects to devices.
#[derive(Debug)]
pub(super) struct Ssh {
    pub(super) user: Option<Text>,
    pub(super) port: Option<Text>,
    pub(super) login: Login,
    pub(super) known_hosts: PathBuf,
    pub(super) host_key: HostKey,
    /// Whether a shell is talked to.
    pub(super) is_terminal: bool,
    /// The devices that are machines of an environment.
    pub(super) machines: BTreeMap<String, Guest>,
}

/// What a user logs in with.
#[derive(Default)]
pub(super) struct Login {
    pub(super) key: Option<Arc<PrivateKey>>,
    pub(super) password: Option<String>,
}

/// Leaves both out.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, password } = self;
        write!(f, "Login(key: {}, password: {})", key.is_some(), password.is_some())
    }
}

/// Which keys of hosts are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostKey {
    /// Those of the file.
    Known,
    /// These, and any of a host that has none there; it is noted.
    AcceptNew,
    Any,
}

impl Driver for Ssh {
    fn secrets(&self) -> Vec<String> {
        self.login.password.iter().cloned().collect()
    }

    fn open<'a>(
        &'a self,
        target: Target<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async move {
            let known = Known::of(target, self.user.iter().chain(&self.port), deadline).await?;
            let machine = self.machines.get(&known.device);
            if let Some(guest) = machine.filter(|_| !self.is_terminal) {
                return Ok(Box::new(Machine { known, guest: guest.clone() }) as Box<dyn Session>);
            }
            let spec = match machine {
                Some(guest) => guest.spec().ssh.clone().ok_or_else(|| known.unconnected("it has no ssh"))?,
                None => self.spec(target, &known, deadline).await?,
            };
            let connecting = async {
                let host = Host::connect(spec).await?;
                match self.is_terminal {
                    false => Ok((host, None)),
                    true => host.shell().await.map(|shell| (host, Some(Dialogue::new(shell)))),
                }
            };
            let (host, shell) = tokio::time::timeout(deadline.left(), connecting)
                .await
                .map_err(|_| DriverError::TimedOut {
                    device: known.device.clone(),
                    what: "it did not let us in".to_owned(),
                    said: Box::default(),
                })?
                .map_err(|error| known.unconnected(chain(&error)))?;
            Ok(match shell {
                Some(dialogue) => Box::new(Talk { known, dialogue, end: End::Host(Box::new(host)) }),
                None => Box::new(Commands { known, host }),
            })
        })
    }
}

impl Ssh {
    /// How a host is reached that is no machine of an environment.
    async fn spec(
        &self,
        target: Target<'_>,
        known: &Known,
        deadline: Deadline,
    ) -> Result<SshSpec, DriverError> {
        let Some(user) = &self.user else {
            let why = "it is no machine of the environment, and its driver says no `user` to log in as";
            return Err(known.unconnected(why));
        };
        let port = match &self.port {
            None => PORT,
            Some(port) => {
                let said = known.fill(port)?;
                said.parse().map_err(|_| known.unconnected(format!("`{said}` is no port")))?
            }
        };
        let addr = SocketAddr::new(address(target, deadline).await?, port);
        let host_key = match self.host_key {
            HostKey::Any => None,
            HostKey::Known | HostKey::AcceptNew => {
                let names = [name(target), &addr.ip().to_string()].map(str::to_owned);
                let (file, shown) = (self.known_hosts.clone(), self.known_hosts.display());
                let asked = names.clone();
                let look = move || known_key(&file, &asked.each_ref().map(String::as_str), port);
                let found = tokio::task::spawn_blocking(look).await;
                let unread = |error: &dyn std::error::Error| {
                    known.unconnected(format!("cannot look its host key up in {shown}: {}", chain(error)))
                };
                let found = found.map_err(|error| unread(&error))?.map_err(|error| unread(&error))?;
                if found.is_none() && self.host_key == HostKey::Known {
                    let names = names.join(" or ");
                    return Err(known.unconnected(format!(
                        "no line of {shown} has a host key of {names}, port {port}; `ssh-keyscan` prints it for \
                         whoever can compare it, `host_key: accept-new` takes the first that is shown"
                    )));
                }
                found
            }
        };
        Ok(SshSpec {
            dial: Arc::new(Plain),
            addr,
            user: known.fill(user)?,
            key: self.login.key.clone(),
            password: self.login.password.clone(),
            known_hosts: (host_key.is_none() && self.host_key == HostKey::AcceptNew)
                .then(|| self.known_hosts.clone()),
            host_key,
        })
    }
}

/// A host that runs commands.
struct Commands {
    known: Known,
    host: Host,
}

impl Session for Commands {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.known.device)?;
            let Some(send) = request.send else { return Ok(Said::default()) };
            let device = || self.known.device.clone();
            command(&self.known, send)?;
            let mut heard = Heard::default();
            let ended = self.host.run(send, &mut heard, deadline).await;
            let said = heard.said();
            match ended {
                Ok(Ended::Status(status)) => Ok(said.ended(status)),
                Ok(Ended::Late) => {
                    let what = "the command did not end, and was told to".to_owned();
                    Err(DriverError::TimedOut { device: device(), what, said: Box::new(said) })
                }
                Err(error @ SshError::Refused { .. }) => Err(self.known.refused(chain(&error))),
                Err(error) => {
                    Err(DriverError::Lost { device: device(), why: chain(&error), said: Box::new(said) })
                }
            }
        })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async move {
            self.host.leave().await;
            Ok(())
        })
    }
}

/// A machine of an environment; its shell runs commands.
struct Machine {
    known: Known,
    guest: Guest,
}

impl Session for Machine {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.known.device)?;
            let Some(send) = request.send else { return Ok(Said::default()) };
            command(&self.known, send)?;
            // Machines stretch their deadlines themselves.
            let limit = deadline.left().div_f64(self.guest.spec().time_factor.max(0.01));
            let device = self.known.device.clone();
            match self.guest.execute(Command::script(send).timeout(limit)).await {
                Ok(output) => {
                    let status = match output.status {
                        Status::Code(code) => Some(code),
                        Status::Signal(_) | Status::Unknown => None,
                    };
                    Ok(what_came(&output).ended(status))
                }
                Err(GuestError::Deadline { ran, stage, started: true, .. }) => {
                    let what = format!("the command did not end; {stage}");
                    Err(DriverError::TimedOut { device, what, said: Box::new(so_far(&ran)) })
                }
                Err(GuestError::Lost { ran, source }) => {
                    let (why, said) = (chain(&source), Box::new(so_far(&ran)));
                    Err(DriverError::Lost { device, why, said })
                }
                Err(error @ (GuestError::Command { .. } | GuestError::Unsupported { .. })) => {
                    Err(self.known.refused(error.brief()))
                }
                Err(GuestError::Deadline { stage, .. }) => Err(self.known.unconnected(stage)),
                Err(error @ (GuestError::Unreachable { .. } | GuestError::NoWay { .. })) => {
                    Err(self.known.unconnected(error.brief()))
                }
                // It may have begun.
                Err(error) => Err(DriverError::Lost { device, why: error.brief(), said: Box::default() }),
            }
        })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }
}

fn so_far(ran: &Ran) -> Said {
    what_came(&ran.output)
}

fn what_came(output: &crate::guest::Output) -> Said {
    let mut heard = Heard::default();
    heard.stdout(&output.stdout.bytes);
    heard.stderr(&output.stderr.bytes);
    heard.said()
}

/// An empty command is none: some servers begin a shell for it.
fn command(known: &Known, send: &str) -> Result<(), DriverError> {
    if send.trim().is_empty() { Err(known.refused("there is no command to run")) } else { Ok(()) }
}
