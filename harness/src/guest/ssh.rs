//! One ssh connection a guest: opened when first needed, shared by all commands, opened anew after it broke.
//! Runs finished command lines; knows nothing of verbs.

use std::{
    borrow::Cow,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use russh::{
    ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client, kex,
    keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate},
};
use tokio::sync::Mutex;

use super::{
    limits,
    output::Status,
    run::{RunError, Source, Stage, Streams, kill_script},
    spec::SshSpec,
};
use crate::base::wait::{Deadline, Look, wait_for};

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
        source: std::io::Error,
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
    /// The key is not accepted.
    #[error("{addr} refuses the key {key} for the user `{user}`")]
    Auth {
        /// The address.
        addr: SocketAddr,
        /// The user.
        user: String,
        /// Fingerprint of the key offered.
        key: String,
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

/// The ssh side of a guest.
#[derive(Debug)]
pub(super) struct Ssh {
    spec: SshSpec,
    config: Arc<client::Config>,
    time_factor: f64,
    link: Mutex<Option<Arc<Link>>>,
    attempts: Attempts,
    /// Held by whoever asks again for a session the server had no room for: one at a time, in order.
    turn: Mutex<()>,
}

/// The attempts to connect that failed, so that all who waited for one share its outcome.
#[derive(Debug, Default)]
struct Attempts {
    failed: AtomicU64,
    last: std::sync::Mutex<Option<Arc<SshError>>>,
}

/// One connection.
struct Link {
    handle: client::Handle<HostKeyCheck>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link(closed: {})", self.handle.is_closed())
    }
}

impl Ssh {
    pub(super) fn new(spec: SshSpec, time_factor: f64) -> Self {
        let config = Arc::new(config(&spec, time_factor));
        Self { spec, config, time_factor, link: Mutex::new(None), attempts: Attempts::default(), turn: Mutex::new(()) }
    }

    pub(super) fn spec(&self) -> &SshSpec {
        &self.spec
    }

    /// Gives the connection up; the next command opens another.
    pub(super) async fn forget(&self) {
        self.link.lock().await.take();
    }

    /// Runs `line` to its end. Everything it starts is marked with `mark` and killed when the deadline passes, or
    /// when this future is dropped.
    pub(super) async fn run(
        self: &Arc<Self>,
        line: &str,
        mark: &str,
        streams: &mut Streams,
        deadline: Deadline,
    ) -> Result<Status, RunError> {
        let mut stage = Stage::Connecting;
        let mut session = None;
        let work = self.work(line, mark, streams, &mut stage, &mut session);
        match tokio::time::timeout(deadline.left(), work).await {
            Ok(Ok(status)) => {
                session.into_iter().for_each(Session::is_over);
                Ok(status)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let killed = match session {
                    Some(session) => session.kill().await,
                    None => {
                        // A server that accepts no session in time may be dead without our knowing.
                        if stage != Stage::Queueing {
                            self.forget().await;
                        }
                        true
                    }
                };
                Err(RunError::Deadline { stage, killed })
            }
        }
    }

    async fn work(
        self: &Arc<Self>,
        line: &str,
        mark: &str,
        streams: &mut Streams,
        stage: &mut Stage,
        session: &mut Option<Session>,
    ) -> Result<Status, RunError> {
        let before = |error: Arc<SshError>| RunError::Before(error.into());
        let (mut reader, writer) = self.open(stage).await.map_err(before)?;
        let writer = Arc::new(writer);
        *session = Some(Session { writer: Some(Arc::clone(&writer)), ssh: Arc::clone(self), mark: mark.to_owned() });
        writer.exec(true, line).await.map_err(|source| before(self.broken(Some(source))))?;

        let Streams { stdin, stdout, stderr } = streams;
        let feed = feed(stdin, &writer);
        let read = async {
            let mut status = None;
            loop {
                match reader.wait().await {
                    Some(ChannelMsg::Data { data }) => stdout.write(&data).await.map_err(RunError::Local)?,
                    Some(ChannelMsg::ExtendedData { data, .. }) => stderr.write(&data).await.map_err(RunError::Local)?,
                    Some(ChannelMsg::ExitStatus { exit_status }) => {
                        let code = Status::Code(i32::try_from(exit_status).unwrap_or(i32::MAX));
                        *stage = Stage::Draining(code.clone());
                        status = Some(code);
                    }
                    Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                        let signal = Status::Signal(format!("{signal_name:?}"));
                        *stage = Stage::Draining(signal.clone());
                        status = Some(signal);
                    }
                    Some(ChannelMsg::Success) => *stage = Stage::Running,
                    Some(ChannelMsg::Failure) if *stage == Stage::Starting => {
                        return Err(before(Arc::new(SshError::Refused { addr: self.spec.addr })));
                    }
                    Some(ChannelMsg::Close) => return Ok(status.unwrap_or(Status::Unknown)),
                    None => return Err(RunError::During(self.broken(None).into())),
                    Some(_) => {}
                }
            }
        };
        // The command may end without reading its input, and go on after it: reading decides, unless the input breaks.
        tokio::pin!(feed, read);
        tokio::select! {
            status = &mut read => status,
            fed = &mut feed => { fed?; read.await }
        }
    }

    /// A session for one command, on the connection there is or on a new one.
    pub(super) async fn open(
        self: &Arc<Self>,
        stage: &mut Stage,
    ) -> Result<(ChannelReadHalf, ChannelWriteHalf<client::Msg>), Arc<SshError>> {
        let mut known = self.link().await?;
        let mut tried_again = false;
        loop {
            *stage = Stage::Starting;
            match known.open().await {
                Ok(channel) => return Ok(channel.split()),
                Err(russh::Error::ChannelOpenFailure(_)) => {
                    *stage = Stage::Queueing;
                    let channel = self.open_when_there_is_room(&known).await;
                    *stage = Stage::Starting;
                    return channel;
                }
                // The connection had broken unnoticed; nothing was run, so another attempt is safe.
                Err(_) if !tried_again => {
                    tried_again = true;
                    self.forget_this(&known).await;
                    *stage = Stage::Connecting;
                    known = self.link().await?;
                }
                Err(source) => return Err(self.broken(Some(source))),
            }
        }
    }

    /// Servers limit the sessions of a connection (OpenSSH: 10); asks again until one of ours has ended.
    async fn open_when_there_is_room(
        &self,
        link: &Arc<Link>,
    ) -> Result<(ChannelReadHalf, ChannelWriteHalf<client::Msg>), Arc<SshError>> {
        let _turn = self.turn.lock().await;
        // Ends with the deadline of the command, which drops this future.
        let forever = Duration::from_secs(u64::from(u32::MAX));
        wait_for("room for a session", forever, limits::SHORT_PAUSE, async || match link.open().await {
            Ok(channel) => Look::Ready(Ok(channel.split())),
            Err(russh::Error::ChannelOpenFailure(reason)) => Look::NotYet(format!("{reason:?}")),
            Err(source) => Look::Ready(Err(self.broken(Some(source)))),
        })
        .await
        .unwrap_or_else(|_| Err(Arc::new(SshError::Refused { addr: self.spec.addr })))
    }

    async fn link(&self) -> Result<Arc<Link>, Arc<SshError>> {
        let failed_before = self.attempts.failed();
        let mut link = self.link.lock().await;
        match &*link {
            Some(link) if !link.handle.is_closed() => return Ok(Arc::clone(link)),
            _ if self.attempts.failed() != failed_before => {
                if let Some(error) = self.attempts.last() {
                    return Err(error);
                }
            }
            _ => {}
        }
        let new = self.connect().await.map(Arc::new).map_err(|error| self.attempts.note(error))?;
        *link = Some(Arc::clone(&new));
        Ok(new)
    }

    async fn forget_this(&self, broken: &Arc<Link>) {
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, broken)) {
            *link = None;
        }
    }

    async fn connect(&self) -> Result<Link, SshError> {
        let SshSpec { dial, addr, user, key, host_key } = &self.spec;
        let addr = *addr;
        let limit = limits::DIAL.mul_f64(self.time_factor);
        let stream = dial.dial(addr, limit).await.map_err(|source| SshError::Dial { addr, source })?;
        let _ = stream.set_nodelay(true);

        let check = HostKeyCheck { addr, pinned: host_key.clone() };
        let limit = limits::HANDSHAKE.mul_f64(self.time_factor);
        let slow = |step| move |_| SshError::Slow { addr, step, limit };
        let connecting = client::connect_stream(Arc::clone(&self.config), stream, check);
        let mut handle = tokio::time::timeout(limit, connecting)
            .await
            .map_err(slow("finish the ssh handshake"))?
            .map_err(|error| match error {
                LinkError::Protocol(source) => SshError::Handshake { addr, source },
                LinkError::HostKey(error) => *error,
            })?;
        let offered = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
        let result = tokio::time::timeout(limit, handle.authenticate_publickey(user, offered))
            .await
            .map_err(slow("answer to the ssh key"))?
            .map_err(|source| SshError::Handshake { addr, source })?;
        if result.success() {
            tracing::debug!(target: "polder", %addr, "opened an ssh connection");
            Ok(Link { handle })
        } else {
            let key = fingerprint(key.public_key());
            Err(SshError::Auth { addr, user: user.clone(), key })
        }
    }

    pub(super) fn broken(&self, source: Option<russh::Error>) -> Arc<SshError> {
        Arc::new(SshError::Broken { addr: self.spec.addr, source })
    }
}

impl Attempts {
    fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    fn last(&self) -> Option<Arc<SshError>> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn note(&self, error: SshError) -> Arc<SshError> {
        let error = Arc::new(error);
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::clone(&error));
        self.failed.fetch_add(1, Ordering::Release);
        error
    }
}

impl Link {
    /// Opens a session. In a task of its own: when the caller gives up meanwhile, the session is closed instead of
    /// taking a place on the server for good.
    async fn open(self: &Arc<Self>) -> Result<russh::Channel<client::Msg>, russh::Error> {
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

/// A command under way; what it started in the guest is killed when this goes before it is over.
struct Session {
    writer: Option<Arc<ChannelWriteHalf<client::Msg>>>,
    ssh: Arc<Ssh>,
    mark: String,
}

impl Session {
    fn is_over(mut self) {
        self.writer = None;
    }

    async fn kill(mut self) -> bool {
        match self.writer.take() {
            Some(writer) => kill(&self.ssh, &self.mark, &writer).await,
            None => true,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Some(writer), Ok(runtime)) = (self.writer.take(), tokio::runtime::Handle::try_current()) {
            let (ssh, mark) = (Arc::clone(&self.ssh), std::mem::take(&mut self.mark));
            runtime.spawn(async move { kill(&ssh, &mark, &writer).await });
        }
    }
}

/// Closes the channel and kills what runs under `mark`; false when that is not certain.
///
/// Closing alone leaves the processes, and OpenSSH ignores signals for sessions of root.
async fn kill(ssh: &Arc<Ssh>, mark: &str, writer: &ChannelWriteHalf<client::Msg>) -> bool {
    let kill = async {
        writer.close().await.ok()?;
        let link = ssh.link.lock().await.clone()?;
        let mut channel = link.open().await.ok()?;
        channel.exec(false, kill_script(mark)).await.ok()?;
        loop {
            match channel.wait().await? {
                ChannelMsg::ExitStatus { exit_status } => return Some(exit_status == 0),
                ChannelMsg::Close => return None,
                _ => {}
            }
        }
    };
    let limit = limits::KILL.mul_f64(ssh.time_factor);
    matches!(tokio::time::timeout(limit, kill).await, Ok(Some(true)))
}

/// Sends standard input and then its end; an error only when the input itself broke.
async fn feed(stdin: &mut Source, writer: &ChannelWriteHalf<client::Msg>) -> Result<(), RunError> {
    while let Some(chunk) = stdin.next().await {
        let chunk = chunk.map_err(RunError::Local)?;
        if writer.data_bytes(chunk).await.is_err() {
            return Ok(());
        }
    }
    let _ = writer.eof().await;
    Ok(())
}

fn config(spec: &SshSpec, time_factor: f64) -> client::Config {
    let mut preferred = russh::Preferred::DEFAULT;
    // Post-quantum exchanges cost an emulated guest 0.4 s a connection and protect nothing inside a lab.
    let first = [kex::CURVE25519, kex::CURVE25519_PRE_RFC_8731];
    let others = preferred.kex.iter().filter(|name| !first.contains(name)).cloned();
    preferred.kex = Cow::Owned(first.iter().cloned().chain(others).collect());
    if let Some(pinned) = &spec.host_key {
        // A server with several host keys shows the pinned one.
        let pinned = pinned.algorithm();
        let others = preferred.key.iter().filter(|name| **name != pinned).cloned();
        preferred.key = Cow::Owned(std::iter::once(pinned.clone()).chain(others).collect());
    }
    client::Config {
        preferred,
        keepalive_interval: Some(limits::KEEPALIVE.mul_f64(time_factor)),
        keepalive_max: limits::KEEPALIVE_MISSES,
        ..client::Config::default()
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

struct HostKeyCheck {
    addr: SocketAddr,
    pinned: Option<PublicKey>,
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

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, LinkError> {
        let Some(pinned) = &self.pinned else { return Ok(true) };
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
