//! One ssh connection a guest: opened when first needed, shared by all commands, opened anew after it broke.
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
    link::{Link, SshError, config},
    output::Status,
    run::{RunError, Running, Source, Stage, Streams, kill_script},
    spec::SshSpec,
};
use crate::base::wait::{Deadline, Look, wait_for};

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

impl Ssh {
    pub(super) fn new(spec: SshSpec, time_factor: f64) -> Self {
        let config = Arc::new(config(&spec, time_factor));
        Self {
            spec,
            config,
            time_factor,
            link: Mutex::new(None),
            attempts: Attempts::default(),
            turn: Mutex::new(()),
        }
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
        let mut running = None;
        let work = self.work(line, mark, streams, &mut stage, &mut running);
        match tokio::time::timeout(deadline.left(), work).await {
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
        line: &str,
        mark: &str,
        streams: &mut Streams,
        stage: &mut Stage,
        running: &mut Option<Running>,
    ) -> Result<Status, RunError> {
        let before = |error: Arc<SshError>| RunError::Before(error.into());
        let (mut reader, writer) = self.open(stage).await.map_err(before)?;
        let writer = Arc::new(writer);
        *running = Some(Running::new(kill(Arc::clone(self), mark.to_owned(), Arc::clone(&writer))));
        writer.exec(true, line).await.map_err(|source| before(self.broken(Some(source))))?;

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

    pub(super) async fn link(&self) -> Result<Arc<Link>, Arc<SshError>> {
        let failed_before = self.attempts.failed();
        let mut link = self.link.lock().await;
        match &*link {
            Some(link) if !link.is_closed() => return Ok(Arc::clone(link)),
            _ if self.attempts.failed() != failed_before => {
                if let Some(error) = self.attempts.last() {
                    return Err(error);
                }
            }
            _ => {}
        }
        let new = Link::connect(&self.spec, Arc::clone(&self.config), self.time_factor)
            .await
            .map(Arc::new)
            .map_err(|error| self.attempts.note(error))?;
        *link = Some(Arc::clone(&new));
        Ok(new)
    }

    async fn forget_this(&self, broken: &Arc<Link>) {
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|link| Arc::ptr_eq(link, broken)) {
            *link = None;
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

/// Closes the channel and kills what runs under `mark`; false when that is not certain.
///
/// Closing alone leaves the processes, and OpenSSH ignores signals for sessions of root.
async fn kill(ssh: Arc<Ssh>, mark: String, writer: Arc<ChannelWriteHalf<client::Msg>>) -> bool {
    let kill = async {
        writer.close().await.ok()?;
        let link = ssh.link.lock().await.clone()?;
        let mut channel = link.open().await.ok()?;
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
