//! The way a command takes to its guest: the first that answers, and none twice once the command may have begun. A guest
//! that is away (it starts anew, is paused, goes back to a snapshot) is waited for.

use std::time::{Duration, Instant};

use super::{
    command::Command,
    error::{ConsoleTail, GuestError, Ran, TransportError, brief},
    handle::Guest,
    limits,
    machine::Standstill,
    output::{Output, Status},
    run::{Call, RunError, Sink, Source, Streams, Transport, call_mark},
    spec::Channel,
};
use crate::{
    base::wait::Deadline,
    image::{Ability, info::Unsupported},
};

/// How long something may take.
#[derive(Clone, Copy)]
struct Upto {
    /// What is told of it.
    limit: Duration,
    deadline: Deadline,
    /// How much of it a guest that is away may take.
    patience: Duration,
}

/// How a command went on the ways that were tried.
enum Went {
    /// It began, over this one; why not over a better one.
    Begun(Channel, Option<String>, Result<Status, RunError>),
    /// It began nowhere.
    Nowhere(Vec<(Channel, TransportError)>, Option<Standstill>),
}

impl Guest {
    /// Runs `command` without a word in the log.
    pub(super) async fn run(&self, command: &Command, limit: Duration) -> Result<Ran, GuestError> {
        let streams = self.captured(command).await?;
        self.run_between(command, streams, limit).await
    }

    /// The same, once, without waiting for a guest that is away: for who looks again and again.
    pub(super) async fn look(&self, command: &Command, limit: Duration) -> Result<Ran, GuestError> {
        self.clear_up().await;
        self.look_once(command, limit).await
    }

    /// The same, whatever others have left there.
    pub(super) async fn look_once(&self, command: &Command, limit: Duration) -> Result<Ran, GuestError> {
        let streams = self.captured(command).await?;
        let upto = Upto { limit, deadline: Deadline::within(limit), patience: Duration::ZERO };
        Box::pin(self.run_placed(command, streams, upto)).await
    }

    /// Runs a command that needs no file there, without a word in the log.
    pub(super) async fn run_line(&self, command: &Command, limit: Duration) -> Result<Ran, GuestError> {
        let streams = self.captured(command).await?;
        Box::pin(self.run_placed(command, streams, self.upto(limit))).await
    }

    async fn captured(&self, command: &Command) -> Result<Streams, GuestError> {
        let captured = |stream| Sink::Capture(self.capture(stream));
        Ok(Streams {
            stdin: self.input(command).await?,
            stdout: captured("stdout"),
            stderr: captured("stderr"),
        })
    }

    /// Runs `command` between `streams`; `limit` is real.
    pub(super) async fn run_between(
        &self,
        command: &Command,
        streams: Streams,
        limit: Duration,
    ) -> Result<Ran, GuestError> {
        self.clear_up().await;
        let upto = self.upto(limit);
        let uploaded = self.upload(command, upto.deadline).await?;
        let placed = uploaded.as_ref().map_or(command, |(_, placed)| placed);
        // On the heap: the transports' futures are large, and every verb nests this one several deep.
        let ran = Box::pin(self.run_placed(placed, streams, upto)).await;
        if let Some((file, _)) = uploaded {
            file.remove().await;
        }
        ran
    }

    async fn run_placed(
        &self,
        command: &Command,
        mut streams: Streams,
        upto: Upto,
    ) -> Result<Ran, GuestError> {
        let Upto { limit, deadline, patience } = upto;
        let ways = self.ways(command)?;
        let mut call = self.call(command, deadline)?;
        let start = Instant::now();
        let work = self.over_first(&ways, &mut call, &mut streams, patience);
        let what = format!("run `{command}`");
        let (over, because, result) = match self.unless_panicked(&what, work).await? {
            Went::Begun(over, because, result) => (over, because, result),
            Went::Nowhere(tried, standstill) => return Err(self.nowhere(&what, tried, standstill).await),
        };
        let status = result.as_ref().ok().cloned().unwrap_or(Status::Unknown);
        let output = self.output(streams, status, start.elapsed()).await?;
        let ran = Ran { because, ..self.ran(command, over, output) };
        match result {
            Ok(_) => Ok(ran),
            Err(error) => Err(self.run_error(error, ran, limit).await),
        }
    }

    /// Runs `command` over `over` between `stdin` and `stdout`, without waiting for a guest that is away; `limit` is
    /// real.
    pub(super) async fn run_over(
        &self,
        over: Channel,
        command: &Command,
        stdin: Source,
        stdout: Sink,
        limit: Duration,
    ) -> Result<Ran, GuestError> {
        self.clear_up().await;
        let call = self.call(command, Deadline::within(limit))?;
        let mut streams = Streams { stdin, stdout, stderr: Sink::Capture(self.capture("stderr")) };
        let start = Instant::now();
        let running = Box::pin(self.over(over, &call, &mut streams));
        let result = self.unless_panicked(&format!("run `{command}`"), running).await?;
        let status = result.as_ref().ok().cloned().unwrap_or(Status::Unknown);
        let ran = self.ran(command, over, self.output(streams, status, start.elapsed()).await?);
        match result {
            Ok(_) => Ok(ran),
            Err(error) => Err(self.run_error(error, ran, limit).await),
        }
    }

    fn upto(&self, limit: Duration) -> Upto {
        let patience = limit.min(self.scaled(limits::BEGIN));
        Upto { limit, deadline: Deadline::within(limit), patience }
    }

    /// The ways on which `command` may be run, the best first.
    pub(super) fn ways(&self, command: &Command) -> Result<Vec<Channel>, GuestError> {
        let mut ways = self.channels("run a command").unwrap_or_default();
        ways.extend(self.0.serial.is_some().then_some(Channel::Console));
        ways.retain(|way| command.over.is_none_or(|only| only == *way));
        if ways.is_empty() {
            let ability = match command.over {
                None | Some(Channel::Ssh) => Ability::Ssh,
                Some(Channel::Agent) => Ability::AgentExec,
                Some(Channel::Console) => Ability::Console,
            };
            let image = self.0.spec.image.clone();
            return Err(self.unsupported("run a command", Unsupported { image, ability }));
        }
        Ok(ways)
    }

    pub(super) fn call(&self, command: &Command, deadline: Deadline) -> Result<Call, GuestError> {
        let mark = command.mark.clone().unwrap_or_else(call_mark);
        let line = command.line(&mark).map_err(|source| GuestError::Command {
            machine: self.name().clone(),
            command: command.to_string(),
            source,
        })?;
        Ok(Call { line, mark, opening: deadline.left(), deadline })
    }

    async fn over(&self, over: Channel, call: &Call, streams: &mut Streams) -> Result<Status, RunError> {
        let inner = &*self.0;
        let transport: Option<&dyn Transport> = match over {
            Channel::Ssh => inner.ssh.as_ref().map(|ssh| ssh as _),
            Channel::Agent => inner.agent.as_ref().map(|agent| agent as _),
            Channel::Console => inner.serial.as_ref().map(|serial| serial as _),
        };
        match transport {
            Some(transport) => transport.run(call, streams).await,
            // `ways` names only what is there.
            None => Err(RunError::Local(std::io::ErrorKind::NotConnected.into())),
        }
    }

    /// Tries `ways` in turn until the command has begun, or no time is left in which the guest might come back.
    async fn over_first(
        &self,
        ways: &[Channel],
        call: &mut Call,
        streams: &mut Streams,
        patience: Duration,
    ) -> Went {
        let half = Deadline::within(patience / 2);
        let looks_once = patience.is_zero();
        let patience = Deadline::within(patience);
        let mut off: Option<Instant> = None;
        let mut standstill;
        let mut told = false;
        loop {
            let mut tried: Vec<(Channel, TransportError)> = Vec::new();
            for (nth, &over) in ways.iter().enumerate() {
                // Whoever types at a machine that only starts up may stop it there.
                let others_may_come = nth > 0 && !tried.iter().all(|(_, error)| error.is_final());
                let is_early = looks_once || !half.passed();
                if over == Channel::Console && others_may_come {
                    if is_early {
                        continue;
                    }
                    standstill = self.standstill().await;
                    if standstill.is_some() {
                        continue;
                    }
                }
                let others = nth + 1 < ways.len();
                let left = if looks_once { call.deadline.left() } else { patience.left() };
                call.opening = if others { left / 2 } else { left };
                match self.over(over, call, streams).await {
                    Err(RunError::Before(source)) => tried.push((over, source)),
                    result => return Went::Begun(over, why(&tried), result),
                }
                // Another machine is there, or one that was made anew: that is for people to know, not to get around.
                if tried.last().is_some_and(|(_, error)| error.is_another_machine()) {
                    return Went::Nowhere(tried, None);
                }
            }
            standstill = self.standstill().await;
            off = match standstill {
                Some(Standstill::Off | Standstill::Crashed) => off.or_else(|| Some(Instant::now())),
                Some(Standstill::Paused) | None => None,
            };
            let stays_off = off.is_some_and(|since| since.elapsed() >= self.scaled(limits::OFF));
            if patience.passed() || stays_off || tried.iter().all(|(_, error)| error.is_final()) {
                return Went::Nowhere(tried, standstill);
            }
            if !std::mem::replace(&mut told, true) {
                let why = why(&tried).unwrap_or_default();
                tracing::info!(target: "polder", "waiting for {}: {why}", self.name());
            }
            tokio::time::sleep(limits::PAUSE.min(patience.left())).await;
        }
    }

    /// Why nothing in the machine can answer, as far as somebody knows.
    pub(super) async fn standstill(&self) -> Option<Standstill> {
        self.0.spec.machine.as_ref()?.standstill(limits::STANDSTILL).await
    }

    async fn nowhere(
        &self,
        what: &str,
        tried: Vec<(Channel, TransportError)>,
        standstill: Option<Standstill>,
    ) -> GuestError {
        let console = self.console().await;
        let unreachable = |source| GuestError::Unreachable {
            machine: self.name().clone(),
            what: what.to_owned(),
            standstill,
            console: console.clone(),
            source,
        };
        let mut tried: Vec<_> = tried.into_iter().map(|(over, source)| (over, unreachable(source))).collect();
        match tried.pop() {
            Some((_, error)) if tried.is_empty() => error,
            last => {
                tried.extend(last);
                GuestError::NoWay { machine: self.name().clone(), what: what.to_owned(), tried }
            }
        }
    }

    pub(super) fn ran(&self, command: &Command, over: Channel, output: Output) -> Ran {
        let console = ConsoleTail(Vec::new());
        Ran {
            machine: self.name().clone(),
            command: command.to_string(),
            over,
            because: None,
            output,
            console,
        }
    }

    /// That a command, run in the background, has not ended in time.
    pub(super) async fn still_runs(&self, command: &str, output: Output, limit: Duration) -> GuestError {
        let over = self.channels("run a command").ok().and_then(|ways| ways.first().copied());
        let console = self.console().await;
        let (machine, over) = (self.name().clone(), over.unwrap_or(Channel::Console));
        let ran = Ran { machine, command: command.to_owned(), over, because: None, output, console };
        let stage = "it ran in the background, where it goes on".to_owned();
        GuestError::Deadline { ran: Box::new(ran), limit, stage, started: true, killed: true }
    }

    pub(super) async fn run_error(&self, error: RunError, ran: Ran, limit: Duration) -> GuestError {
        let ran = self.with_console(ran).await;
        match error {
            RunError::Before(source) => GuestError::Unreachable {
                what: format!("run `{}`", ran.command),
                machine: ran.machine,
                standstill: None,
                console: ran.console,
                source,
            },
            RunError::During(source) => GuestError::Lost { ran: Box::new(ran), source },
            RunError::Deadline { stage, killed } => {
                let (stage, started) = (stage.to_string(), stage.started());
                GuestError::Deadline { ran: Box::new(ran), limit, stage, started, killed }
            }
            RunError::Local(source) => {
                self.local(format!("provide the input or take the output of `{}`", ran.command), source)
            }
        }
    }
}

/// Why a better way was not taken.
fn why(tried: &[(Channel, TransportError)]) -> Option<String> {
    let reasons: Vec<_> =
        tried.iter().map(|(over, error)| format!("{over} failed: {}", brief(error))).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}
