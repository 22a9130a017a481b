//! The ssh connection to a guest: opened when first needed, shared by all commands, opened anew after it broke; several of
//! them only where the server bears no second session on one.
//! Runs finished command lines; knows nothing of verbs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client};
use tokio::sync::Mutex;

use super::{
    limits,
    link::{Link, Room, SshError, config},
    output::Status,
    run::{Call, RunError, Running, Source, Stage, Streams, Transport, kill_script},
    spec::SshSpec,
};
use crate::base::{
    dial::BoxFuture,
    wait::{Deadline, Look, wait_for},
};

/// The ssh side of a guest.
#[derive(Debug)]
pub(super) struct Ssh {
    spec: SshSpec,
    config: Arc<client::Config>,
    time_factor: f64,
    links: Mutex<Vec<Arc<Link>>>,
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

impl Ssh {
    pub(super) fn new(spec: SshSpec, time_factor: f64) -> Self {
        let config = Arc::new(config(&spec, time_factor));
        Self {
            spec,
            config,
            time_factor,
            links: Mutex::default(),
            attempts: Attempts::default(),
            turn: Mutex::new(()),
        }
    }

    pub(super) fn spec(&self) -> &SshSpec {
        &self.spec
    }

    /// Whether there is a connection that is not known to be broken.
    pub(super) async fn is_connected(&self) -> bool {
        self.links.lock().await.iter().any(|link| !link.is_over())
    }

    /// Gives the connection up; the next command opens another.
    pub(super) async fn forget(&self) {
        self.links.lock().await.clear();
    }

    async fn begin_and_end(self: &Arc<Self>, call: &Call, streams: &mut Streams) -> Result<Status, RunError> {
        let mut stage = Stage::Connecting;
        let mut running = None;
        let work = self.work(call, streams, &mut stage, &mut running);
        match tokio::time::timeout(call.deadline.left(), work).await {
            Ok(Ok(status)) => {
                running.into_iter().for_each(Running::disarm);
                Ok(status)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let queued = stage == Stage::Queueing;
                let started = running.is_some();
                let killed = match running {
                    Some(running) => running.kill().await,
                    None => true,
                };
                // A connection that answers no more may be dead without our knowing: the next command takes a new one.
                if !killed || !(started || queued) {
                    self.forget().await;
                }
                Err(RunError::Deadline { stage, killed })
            }
        }
    }

    async fn work(
        self: &Arc<Self>,
        call: &Call,
        streams: &mut Streams,
        stage: &mut Stage,
        running: &mut Option<Running>,
    ) -> Result<Status, RunError> {
        let before = |error: Arc<SshError>| RunError::Before(error.into());
        let Session { mut reader, writer, mut room } =
            self.open(call.opening, stage).await.map_err(before)?;
        let writer = Arc::new(writer);
        *running = Some(Running::new(kill(Arc::clone(self), call.mark.clone(), Arc::clone(&writer))));
        writer.exec(true, call.line.as_str()).await.map_err(|source| before(self.broken(Some(source))))?;

        let Streams { stdin, stdout, stderr } = streams;
        let feed = feed(stdin, &writer);
        let read = async {
            let mut status = None;
            loop {
                match reader.wait().await {
                    Some(ChannelMsg::Data { data }) => stdout.write(&data).await.map_err(RunError::Local)?,
                    Some(ChannelMsg::ExtendedData { data, .. }) => {
                        stderr.write(&data).await.map_err(RunError::Local)?
                    }
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
                    Some(ChannelMsg::Close) => {
                        room.leave();
                        return Ok(status.unwrap_or(Status::Unknown));
                    }
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

    /// A session for one command, on the connection there is or on a new one; no later than `limit` from now, unless
    /// it is only the server's limit of sessions that is waited for.
    pub(super) async fn open(
        self: &Arc<Self>,
        limit: Duration,
        stage: &mut Stage,
    ) -> Result<Session, Arc<SshError>> {
        let deadline = Deadline::within(limit);
        let slow = |step| move |_| Arc::new(SshError::Slow { addr: self.spec.addr, step, limit });
        let mut tried_again = false;
        loop {
            *stage = Stage::Connecting;
            let room = tokio::time::timeout(deadline.left(), self.room()).await;
            let Some(room) = room.map_err(slow("open a connection"))?? else {
                return self.open_when_there_is_room(stage).await;
            };
            *stage = Stage::Starting;
            let patience = limits::scaled(limits::OPEN, self.time_factor).min(deadline.left());
            match tokio::time::timeout(patience, room.link().open()).await {
                Ok(Ok(channel)) => return Ok(Session::new(channel, room)),
                Ok(Err(russh::Error::ChannelOpenFailure(_))) => {
                    return self.open_when_there_is_room(stage).await;
                }
                // The connection had broken unnoticed; nothing was run, so another attempt is safe.
                Ok(Err(_)) | Err(_) if !tried_again => {
                    tried_again = true;
                    self.forget_this(room.link()).await;
                }
                Ok(Err(source)) => return Err(self.broken(Some(source))),
                Err(late) => {
                    self.forget_this(room.link()).await;
                    return Err(slow("open a session")(late));
                }
            }
        }
    }

    /// Servers limit the sessions of a connection (OpenSSH: 10); asks again until one of ours has ended.
    async fn open_when_there_is_room(&self, stage: &mut Stage) -> Result<Session, Arc<SshError>> {
        *stage = Stage::Queueing;
        let _turn = self.turn.lock().await;
        // Ends with the deadline of the command, which drops this future.
        let forever = Duration::from_secs(u64::from(u32::MAX));
        let opened = wait_for("room for a session", forever, limits::SHORT_PAUSE, async || {
            let room = match self.room().await {
                Ok(Some(room)) => room,
                Ok(None) => return Look::NotYet("all connections are in use".to_owned()),
                Err(error) => return Look::Ready(Err(error)),
            };
            match room.link().open().await {
                Ok(channel) => Look::Ready(Ok(Session::new(channel, room))),
                Err(russh::Error::ChannelOpenFailure(reason)) => Look::NotYet(format!("{reason:?}")),
                Err(source) => Look::Ready(Err(self.broken(Some(source)))),
            }
        });
        let opened =
            opened.await.unwrap_or_else(|_| Err(Arc::new(SshError::Refused { addr: self.spec.addr })));
        *stage = Stage::Starting;
        opened
    }

    /// The connection there is, else a new one.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Arc<SshError>> {
        let failed_before = self.attempts.failed();
        let mut links = self.links.lock().await;
        links.retain(|link| !link.is_over());
        match links.first() {
            Some(link) => Ok(Arc::clone(link)),
            None => self.connect(&mut links, failed_before).await,
        }
    }

    /// Room for a session on a connection there is or on a new one; none, when there are enough of them.
    async fn room(&self) -> Result<Option<Room>, Arc<SshError>> {
        let failed_before = self.attempts.failed();
        let mut links = self.links.lock().await;
        links.retain(|link| !link.is_over());
        if let Some(room) = links.iter().find_map(Link::room) {
            return Ok(Some(room));
        }
        if links.len() >= MAX_LINKS {
            return Ok(None);
        }
        Ok(self.connect(&mut links, failed_before).await?.room())
    }

    /// One more connection. Whoever waited while others failed to make one shares their failure.
    async fn connect(
        &self,
        links: &mut Vec<Arc<Link>>,
        failed_before: u64,
    ) -> Result<Arc<Link>, Arc<SshError>> {
        if self.attempts.failed() != failed_before
            && let Some(error) = self.attempts.last()
        {
            return Err(error);
        }
        let new = Link::connect(&self.spec, Arc::clone(&self.config), self.time_factor)
            .await
            .map(Arc::new)
            .map_err(|error| self.attempts.note(error))?;
        links.push(Arc::clone(&new));
        Ok(new)
    }

    async fn forget_this(&self, broken: &Arc<Link>) {
        self.links.lock().await.retain(|link| !Arc::ptr_eq(link, broken));
    }

    pub(super) fn broken(&self, source: Option<russh::Error>) -> Arc<SshError> {
        Arc::new(SshError::Broken { addr: self.spec.addr, source })
    }
}

/// An open session, for one command.
pub(super) struct Session {
    pub(super) reader: ChannelReadHalf,
    pub(super) writer: ChannelWriteHalf<client::Msg>,
    pub(super) room: Room,
}

impl Session {
    fn new(channel: russh::Channel<client::Msg>, room: Room) -> Self {
        let (reader, writer) = channel.split();
        Self { reader, writer, room }
    }
}

/// Connections to a server that bears one session on each.
const MAX_LINKS: usize = 16;

impl Transport for Arc<Ssh> {
    fn run<'a>(
        &'a self,
        call: &'a Call,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<Status, RunError>> {
        Box::pin(self.begin_and_end(call, streams))
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

/// Closes the channel and kills what runs under `mark`; false when that is not certain.
///
/// Closing alone leaves the processes, and OpenSSH ignores signals for sessions of root.
async fn kill(ssh: Arc<Ssh>, mark: String, writer: Arc<ChannelWriteHalf<client::Msg>>) -> bool {
    let kill = async {
        writer.close().await.ok()?;
        let room = ssh.room().await.ok()??;
        let mut channel = room.link().open().await.ok()?;
        channel.exec(false, kill_script(&mark)).await.ok()?;
        loop {
            match channel.wait().await? {
                ChannelMsg::ExitStatus { exit_status } => return Some(exit_status == 0),
                ChannelMsg::Close => return None,
                _ => {}
            }
        }
    };
    let limit = limits::scaled(limits::KILL, ssh.time_factor);
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
