//! One ssh connection: key exchange, the pinned host key, authentication, opening sessions.
//! Does not know what sessions are for, nor when to connect anew.

use std::{
    borrow::Cow,
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use russh::{
    client, kex,
    keys::{self, HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, known_hosts},
};

use super::{limits, spec::SshSpec};
use crate::base::wait::{Look, wait_for};

/// Why there is no ssh connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// No TCP connection.
    #[error("cannot open a connection to {addr}")]
    Dial {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No ssh connection on the TCP connection.
    #[error("cannot agree on an ssh connection with {addr}")]
    Handshake {
        /// The address.
        addr: SocketAddr,
        /// What went wrong.
        #[source]
        source: russh::Error,
    },
    /// The server took too long.
    #[error("{addr} did not {step} within {:.1} s", limit.as_secs_f64())]
    Slow {
        /// The address.
        addr: SocketAddr,
        /// What it did not do.
        step: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// Another machine, or one that was made anew.
    #[error("{addr} has another host key than the pinned one: it shows {shown}, pinned is {pinned}")]
    HostKey {
        /// The address.
        addr: SocketAddr,
        /// Fingerprint of the key it showed.
        shown: String,
        /// Fingerprint of the key it should have.
        pinned: String,
    },
    /// What is known of host keys cannot be read or noted.
    #[error("cannot {what} the host key of {addr} in {}", path.display())]
    KnownHosts {
        /// The address.
        addr: SocketAddr,
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<keys::Error>,
    },
    /// The key is not accepted, nor a password if there is one.
    #[error("{addr} refuses {offered} for the user `{user}`")]
    Auth {
        /// The address.
        addr: SocketAddr,
        /// The user.
        user: String,
        /// The key, by its fingerprint, and whether there was a password.
        offered: String,
    },
    /// No session on the ssh connection.
    #[error("{addr} refuses to run a command")]
    Refused {
        /// The address.
        addr: SocketAddr,
    },
    /// The connection broke.
    #[error("the ssh connection to {addr} broke")]
    Broken {
        /// The address.
        addr: SocketAddr,
        /// What was noticed, when it was.
        #[source]
        source: Option<russh::Error>,
    },
}

/// One connection.
pub(super) struct Link {
    handle: client::Handle<HostKeyCheck>,
    /// Whether the server bears no second session beside the first.
    is_narrow: bool,
    /// Whether it has one.
    is_taken: AtomicBool,
    /// A session was given up that a narrow one may still have.
    is_retired: AtomicBool,
}

/// Room for one session on a connection.
pub(super) struct Room {
    link: Arc<Link>,
    is_over: bool,
}

impl Room {
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The session is over on both sides; the connection can take another one.
    pub(super) fn leave(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let given_back = if self.is_over { &self.link.is_taken } else { &self.link.is_retired };
        given_back.store(!self.is_over, Ordering::Release);
    }
}

/// How the server calls itself that bears only one session at a time: with a second one beside it, dropbear 2022.83 dies of
/// an assertion of its own (`!channel->sent_close`) when one of them ends.
const NARROW: &[u8] = b"dropbear";

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link(closed: {})", self.handle.is_closed())
    }
}

impl Link {
    /// Opens a connection and logs in.
    pub(super) async fn connect(
        spec: &SshSpec,
        config: Arc<client::Config>,
        time_factor: f64,
    ) -> Result<Self, SshError> {
        let SshSpec { dial, addr, user, key, password, .. } = spec;
        let addr = *addr;
        let limit = limits::scaled(limits::DIAL, time_factor);
        let dialled = wait_for("a connection", limit, limits::SHORT_PAUSE, async || {
            match dial.dial(addr, limits::DIAL_ONCE.min(limit)).await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Look::NotYet(error.to_string()),
                done => Look::Ready(done),
            }
        });
        let late = |_| Err(io::ErrorKind::TimedOut.into());
        let stream = dialled.await.unwrap_or_else(late).map_err(|source| SshError::Dial { addr, source })?;
        let _ = stream.set_nodelay(true);

        let is_narrow = Arc::new(AtomicBool::new(false));
        let check = HostKeyCheck {
            addr,
            pinned: pinned(spec)?,
            note: spec.known_hosts.clone(),
            is_narrow: Arc::clone(&is_narrow),
        };
        let limit = limits::scaled(limits::HANDSHAKE, time_factor);
        let slow = |step| move |_| SshError::Slow { addr, step, limit };
        let connecting = client::connect_stream(config, stream, check);
        let mut handle = tokio::time::timeout(limit, connecting)
            .await
            .map_err(slow("finish the ssh handshake"))?
            .map_err(|error| match error {
                LinkError::Protocol(source) => SshError::Handshake { addr, source },
                LinkError::HostKey(error) => *error,
            })?;
        let mut accepted = false;
        if let Some(key) = key {
            let offered = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
            let result = tokio::time::timeout(limit, handle.authenticate_publickey(user, offered))
                .await
                .map_err(slow("answer to the ssh key"))?
                .map_err(|source| SshError::Handshake { addr, source })?;
            accepted = result.success();
        }
        if let (false, Some(password)) = (accepted, password) {
            let asking = by_password(&mut handle, user, password);
            accepted = tokio::time::timeout(limit, asking)
                .await
                .map_err(slow("answer to the password"))?
                .map_err(|source| SshError::Handshake { addr, source })?;
        }
        if accepted {
            tracing::debug!(target: "polder", %addr, "opened an ssh connection");
            let is_narrow = is_narrow.load(Ordering::Acquire);
            Ok(Self { handle, is_narrow, is_taken: false.into(), is_retired: false.into() })
        } else {
            let key = key.as_ref().map(|key| format!("the key {}", fingerprint(key.public_key())));
            let password = password.as_ref().map(|_| "the password".to_owned());
            let offered: Vec<String> = key.into_iter().chain(password).collect();
            let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(" and ") };
            Err(SshError::Auth { addr, user: user.clone(), offered })
        }
    }

    /// Opens a stream to where the server sees `addr`.
    pub(super) async fn forward(
        &self,
        addr: SocketAddr,
    ) -> Result<russh::ChannelStream<client::Msg>, russh::Error> {
        let (host, port) = (addr.ip().to_string(), u32::from(addr.port()));
        let channel = self.handle.channel_open_direct_tcpip(host, port, "127.0.0.1", 0).await?;
        Ok(channel.into_stream())
    }

    /// Ends it; what runs over it is told.
    pub(super) async fn end(&self) {
        let _ = self.handle.disconnect(russh::Disconnect::ByApplication, "", "").await;
    }

    /// Whether it is of no use any more.
    pub(super) fn is_over(&self) -> bool {
        self.handle.is_closed() || (self.is_narrow && self.is_retired.load(Ordering::Acquire))
    }

    /// Room for a session, if there is any as far as is known here.
    pub(super) fn room(self: &Arc<Self>) -> Option<Room> {
        let is_free = !self.is_narrow || !self.is_taken.swap(true, Ordering::AcqRel);
        is_free.then(|| Room { link: Arc::clone(self), is_over: false })
    }

    /// Opens a session. In a task of its own: when the caller gives up meanwhile, the session is closed instead of
    /// taking a place on the server for good.
    pub(super) async fn open(self: &Arc<Self>) -> Result<russh::Channel<client::Msg>, russh::Error> {
        struct CloseOnDrop(Option<russh::Channel<client::Msg>>);
        impl Drop for CloseOnDrop {
            fn drop(&mut self) {
                if let (Some(channel), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
                    runtime.spawn(async move { channel.close().await });
                }
            }
        }
        let link = Arc::clone(self);
        let opening = tokio::spawn(async move {
            link.handle.channel_open_session().await.map(|channel| CloseOnDrop(Some(channel)))
        });
        opening.await.map_err(std::io::Error::other)??.0.take().ok_or(russh::Error::Disconnect)
    }
}

/// Questions a server may ask before it has to let a user in.
const QUESTIONS: usize = 5;

/// Tells the password, in answer to questions where the server will not simply be told.
async fn by_password(
    handle: &mut client::Handle<HostKeyCheck>,
    user: &str,
    password: &str,
) -> Result<bool, russh::Error> {
    use client::KeyboardInteractiveAuthResponse as Reply;
    if handle.authenticate_password(user, password).await?.success() {
        return Ok(true);
    }
    let mut reply = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..QUESTIONS {
        reply = match reply {
            Reply::Success => return Ok(true),
            Reply::Failure { .. } => return Ok(false),
            Reply::InfoRequest { prompts, .. } => {
                let answers = prompts.iter().map(|_| password.to_owned()).collect();
                handle.authenticate_keyboard_interactive_respond(answers).await?
            }
        };
    }
    Ok(matches!(reply, Reply::Success))
}

/// What is asked of every connection to a guest.
pub(super) fn config(spec: &SshSpec, time_factor: f64) -> client::Config {
    let mut preferred = russh::Preferred::DEFAULT;
    // Post-quantum exchanges cost an emulated guest 0.4 s a connection and protect nothing inside a lab.
    let first = [kex::CURVE25519, kex::CURVE25519_PRE_RFC_8731];
    let others = preferred.kex.iter().filter(|name| !first.contains(name)).cloned();
    preferred.kex = Cow::Owned(first.iter().cloned().chain(others).collect());
    // What cannot be read is said when it is connected.
    if let Ok(Some(pinned)) = pinned(spec) {
        // A server with several host keys shows the pinned one.
        let pinned = pinned.algorithm();
        let others = preferred.key.iter().filter(|name| **name != pinned).cloned();
        preferred.key = Cow::Owned(std::iter::once(pinned.clone()).chain(others).collect());
    }
    client::Config {
        preferred,
        keepalive_interval: Some(limits::scaled(limits::KEEPALIVE, time_factor)),
        keepalive_max: limits::KEEPALIVE_MISSES,
        ..client::Config::default()
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// The only host key that is accepted, as far as one is known.
fn pinned(spec: &SshSpec) -> Result<Option<PublicKey>, SshError> {
    let (SshSpec { addr, host_key: None, .. }, Some(path)) = (spec, &spec.known_hosts) else {
        return Ok(spec.host_key.clone());
    };
    let known = known_hosts::known_host_keys_path(&addr.ip().to_string(), addr.port(), path);
    let unreadable =
        |source| SshError::KnownHosts { addr: *addr, what: "look up", path: path.clone(), source };
    Ok(known.map_err(Box::new).map_err(unreadable)?.into_iter().next().map(|(_, key)| key))
}

struct HostKeyCheck {
    addr: SocketAddr,
    pinned: Option<PublicKey>,
    is_narrow: Arc<AtomicBool>,
    /// Where a key is noted that is shown first.
    note: Option<PathBuf>,
}

impl HostKeyCheck {
    /// Notes a key that was shown first.
    fn note(&self, key: &PublicKey) -> Result<(), SshError> {
        let (addr, Some(path)) = (self.addr, &self.note) else { return Ok(()) };
        known_hosts::learn_known_hosts_path(&addr.ip().to_string(), addr.port(), key, path)
            .map_err(Box::new)
            .map_err(|source| SshError::KnownHosts { addr, what: "note", path: path.clone(), source })?;
        let (key, path) = (fingerprint(key), path.display());
        tracing::info!(target: "polder", "{addr} is met for the first time: its host key {key} is noted in {path}");
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Protocol(#[from] russh::Error),
    #[error(transparent)]
    HostKey(Box<SshError>),
}

impl client::Handler for HostKeyCheck {
    type Error = LinkError;

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        _: &russh::Names,
        session: &mut client::Session,
    ) -> Result<(), LinkError> {
        let server = session.remote_sshid();
        let is_narrow = server.windows(NARROW.len()).any(|part| part == NARROW);
        self.is_narrow.store(is_narrow, Ordering::Release);
        Ok(())
    }

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, LinkError> {
        let Some(pinned) = &self.pinned else {
            if let PublicKeyOrCertificate::PublicKey { key, .. } = shown {
                self.note(key).map_err(|error| LinkError::HostKey(Box::new(error)))?;
            }
            return Ok(true);
        };
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } if key.key_data() == pinned.key_data() => Ok(true),
            shown => {
                let shown = match shown {
                    PublicKeyOrCertificate::PublicKey { key, .. } => fingerprint(key),
                    PublicKeyOrCertificate::Certificate(_) => "a certificate".to_owned(),
                };
                let pinned = fingerprint(pinned);
                Err(LinkError::HostKey(Box::new(SshError::HostKey { addr: self.addr, shown, pinned })))
            }
        }
    }
}
