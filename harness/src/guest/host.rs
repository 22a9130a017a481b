//! A host that is no machine of an environment, such as a switch: one ssh connection, commands as they are, and a shell in a
//! terminal. Nothing is asked of the host but an ssh server: it need not have a shell, nor files.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use russh::{
    ChannelMsg, Sig,
    keys::{self, PublicKey, known_hosts},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    limits,
    link::{Link, SshError, config},
    spec::SshSpec,
};
use crate::{base::wait::Deadline, change::Heard};

/// For ending what runs, and the connection.
const END: Duration = Duration::from_secs(1);
/// What shells take for a terminal that understands nothing but lines.
const TERMINAL: &str = "dumb";
/// Long lines have no breaks, and nothing waits for a key in between.
const COLUMNS: u32 = 1000;

/// A connection to a host.
pub(crate) struct Host {
    link: Arc<Link>,
    spec: SshSpec,
}

/// How a command on a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with a status; `None`: by a signal, or without saying.
    Status(Option<i32>),
    /// Not in time. It was told to end, and whether it did is not known.
    Late,
}

impl Host {
    /// Opens a connection and logs in.
    ///
    /// # Errors
    /// [`SshError`].
    pub(crate) async fn connect(spec: SshSpec) -> Result<Self, SshError> {
        let config = Arc::new(config(&spec, 1.0));
        let link = Arc::new(Link::connect(&spec, config, 1.0).await?);
        Ok(Self { link, spec })
    }

    /// Runs a command, as the host understands it; what it says goes to `heard`.
    ///
    /// # Errors
    /// The host does not take it, or the connection broke meanwhile.
    pub(crate) async fn run(
        &self,
        line: &str,
        heard: &mut Heard,
        deadline: Deadline,
    ) -> Result<Ended, SshError> {
        let opening = tokio::time::timeout(deadline.left().min(limits::HANDSHAKE), self.session()).await;
        let (mut reader, writer) = match opening {
            Ok(channel) => channel?.split(),
            Err(_) => return Ok(Ended::Late),
        };
        let work = async {
            writer.exec(true, line).await.map_err(|source| self.broken(Some(source)))?;
            let (mut status, mut was_taken) = (None, false);
            loop {
                match reader.wait().await {
                    Some(ChannelMsg::Data { data }) => heard.stdout(&data),
                    Some(ChannelMsg::ExtendedData { data, .. }) => heard.stderr(&data),
                    Some(ChannelMsg::Success) => {
                        was_taken = true;
                        // There is nothing that it could read.
                        let _ = writer.eof().await;
                    }
                    Some(ChannelMsg::Failure) if !was_taken => {
                        return Err(SshError::Refused { addr: self.spec.addr });
                    }
                    Some(ChannelMsg::ExitStatus { exit_status }) => {
                        status = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
                    }
                    Some(ChannelMsg::Close) => return Ok(Ended::Status(status)),
                    None => return Err(self.broken(None)),
                    Some(_) => {}
                }
            }
        };
        match tokio::time::timeout(deadline.left(), work).await {
            Ok(ended) => ended,
            Err(_) => {
                let end = async {
                    writer.signal(Sig::KILL).await?;
                    writer.close().await
                };
                let _ = tokio::time::timeout(END, end).await;
                Ok(Ended::Late)
            }
        }
    }

    /// A shell in a terminal of the host.
    ///
    /// # Errors
    /// The host has none for us.
    pub(crate) async fn shell(&self) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, SshError> {
        let mut channel = self.session().await?;
        let sent = |sent: Result<(), russh::Error>| sent.map_err(|source| self.broken(Some(source)));
        sent(channel.request_pty(true, TERMINAL, COLUMNS, 0, 0, 0, &[]).await)?;
        self.granted(&mut channel).await?;
        sent(channel.request_shell(true).await)?;
        self.granted(&mut channel).await?;
        Ok(channel.into_stream())
    }

    /// Waits until what was asked for is granted.
    async fn granted(&self, channel: &mut russh::Channel<russh::client::Msg>) -> Result<(), SshError> {
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure) => return Err(SshError::Refused { addr: self.spec.addr }),
                Some(ChannelMsg::Close | ChannelMsg::Eof) | None => return Err(self.broken(None)),
                Some(_) => {}
            }
        }
    }

    /// Ends the connection, and with it what runs over it.
    pub(crate) async fn leave(self) {
        let _ = tokio::time::timeout(END, self.link.end()).await;
    }

    async fn session(&self) -> Result<russh::Channel<russh::client::Msg>, SshError> {
        self.link.open().await.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => SshError::Refused { addr: self.spec.addr },
            other => self.broken(Some(other)),
        })
    }

    fn broken(&self, source: Option<russh::Error>) -> SshError {
        SshError::Broken { addr: self.spec.addr, source }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({:?})", self.spec)
    }
}

/// The key that a file in OpenSSH's form has for a host, by any of its names; the first one, if there are several. A file
/// that is not there has none.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn known_key(
    file: &Path,
    names: &[&str],
    port: u16,
) -> Result<Option<PublicKey>, Box<keys::Error>> {
    for name in names {
        let known = known_hosts::known_host_keys_path(name, port, file)?;
        if let Some((_, key)) = known.into_iter().next() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}
