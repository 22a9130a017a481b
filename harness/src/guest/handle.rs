//! The front of a guest: running commands. The other verbs are in files of their own; transports are below.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::Instrument;

use super::{
    agent::Agent,
    command::{Command, Input},
    console::Console,
    error::{CONSOLE_LINES, ConsoleTail, GuestError, Ran},
    limits,
    output::{Capture, Output, Status},
    run::{Sink, Source, Streams, call_mark},
    serial::Serial,
    spec::{Channel, GuestSpec},
    ssh::Ssh,
};
use crate::{
    base::id::MachineName,
    image::{Ability, info::Unsupported},
    trace::MACHINE,
};

/// A running machine, to do things in. Cheap to clone; all clones share one ssh connection.
///
/// Deadlines given to its methods are multiplied by the guest's time factor, which is 1 with hardware
/// virtualisation. Errors show the deadline that was really meant.
#[derive(Clone)]
pub struct Guest(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) spec: GuestSpec,
    pub(super) ssh: Option<Arc<Ssh>>,
    pub(super) agent: Option<Agent>,
    pub(super) serial: Option<Serial>,
    pub(super) console: Console,
    /// Tells what goes on beside everything else that the guest starts anew.
    pub(super) restarted: tokio::sync::Notify,
    /// Whether what others have left in it is gone.
    pub(super) cleared: tokio::sync::OnceCell<()>,
}

/// Opens the span of a verb.
macro_rules! verb {
    ($guest:expr, $name:literal $(, $field:ident = $value:expr)*) => {
        tracing::info_span!(target: "polder", $name, machine = %$guest.name() $(, $field = %$value)*)
    };
}
pub(super) use verb;

impl AsRef<Self> for Guest {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Guest {
    /// A guest; nothing is opened before it is needed.
    #[must_use]
    pub fn new(spec: GuestSpec) -> Self {
        let factor = spec.time_factor;
        let ssh = spec.ssh.clone().map(|ssh| Arc::new(Ssh::new(ssh, factor)));
        let agent = spec.agent.clone().map(|port| Agent::new(port, factor));
        let serial = spec.machine.clone().map(|port| Serial::new(port, spec.login.clone(), factor));
        let console = Console::new(spec.console.clone());
        let (restarted, cleared) = Default::default();
        Self(Arc::new(Inner { spec, ssh, agent, serial, console, restarted, cleared }))
    }

    /// The machine's name.
    #[must_use]
    pub fn name(&self) -> &MachineName {
        &self.0.spec.name
    }

    /// What this guest was made from.
    #[must_use]
    pub fn spec(&self) -> &GuestSpec {
        &self.0.spec
    }

    /// Its guest agent, for what only an agent can do.
    #[must_use]
    pub fn agent(&self) -> Option<&Agent> {
        self.0.agent.as_ref()
    }

    /// Tells those who watch how it is: `starting`, `up`, `rebooting`, `paused`, `off`.
    pub(crate) fn is_now(&self, state: &str) {
        tracing::debug!(target: MACHINE, machine = %self.name(), state, "{} is {state}", self.name());
    }

    /// Runs a command and returns whatever it left, a failure too.
    ///
    /// # Errors
    /// [`GuestError`] when it could not be run to its end.
    pub async fn execute(&self, command: impl Into<Command>) -> Result<Output, GuestError> {
        let command = command.into();
        timed(verb!(self, "execute", command = command), self.logged(&command)).await.map(|ran| ran.output)
    }

    /// Runs a command that has to succeed and returns its standard output.
    ///
    /// # Errors
    /// [`GuestError::Failed`] with both outputs when its exit status is not 0; otherwise as [`Guest::execute`].
    pub async fn succeed(&self, command: impl Into<Command>) -> Result<String, GuestError> {
        let command = command.into();
        timed(verb!(self, "succeed", command = command), async {
            let ran = self.logged(&command).await?;
            if ran.output.status.success() {
                Ok(ran.output.stdout.text().into_owned())
            } else {
                Err(GuestError::Failed(Box::new(self.with_console(ran).await)))
            }
        })
        .await
    }

    /// Runs a command that has to fail and returns what it left.
    ///
    /// # Errors
    /// [`GuestError::Succeeded`] with both outputs when it succeeds; otherwise as [`Guest::execute`].
    pub async fn fails(&self, command: impl Into<Command>) -> Result<Output, GuestError> {
        let command = command.into();
        timed(verb!(self, "fails", command = command), async {
            let ran = self.logged(&command).await?;
            if ran.output.status.success() {
                Err(GuestError::Succeeded(Box::new(self.with_console(ran).await)))
            } else {
                Ok(ran.output)
            }
        })
        .await
    }

    /// The last `lines` lines of the console, without control characters and empty lines.
    pub async fn console_tail(&self, lines: usize) -> Vec<String> {
        self.0.console.tail(lines).await
    }

    /// Says that the machine was reset or started again from outside: its connections are given up, and a panic
    /// of its former life does not count any more.
    pub async fn restarted(&self) {
        self.0.console.begin_anew().await;
        if let Some(ssh) = &self.0.ssh {
            ssh.forget().await;
        }
        self.0.restarted.notify_waiters();
    }

    /// The real deadline for one that was meant for a fast machine.
    pub(super) fn scaled(&self, limit: Duration) -> Duration {
        limits::scaled(limit, self.0.spec.time_factor)
    }

    /// Refuses what the image cannot do.
    pub(super) fn require(&self, ability: Ability, what: &str) -> Result<(), GuestError> {
        let spec = &self.0.spec;
        spec.abilities.require(&spec.image, ability).map_err(|source| self.unsupported(what, source))
    }

    /// The ways in which things are done that need no person, the best first; an error when there is none.
    pub(super) fn channels(&self, what: &str) -> Result<Vec<Channel>, GuestError> {
        let has = |ability| self.0.spec.abilities.has(ability);
        let ssh = (has(Ability::Ssh) && self.0.ssh.is_some()).then_some(Channel::Ssh);
        let agent = (has(Ability::AgentExec) && self.0.agent.is_some()).then_some(Channel::Agent);
        let channels: Vec<Channel> = ssh.into_iter().chain(agent).collect();
        if channels.is_empty() {
            let image = self.0.spec.image.clone();
            return Err(self.unsupported(what, Unsupported { image, ability: Ability::Ssh }));
        }
        Ok(channels)
    }

    /// Does `work`, unless the guest's kernel panics meanwhile; `what` follows "asked to".
    pub(super) async fn unless_panicked<T>(
        &self,
        what: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, GuestError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            line = self.0.console.panicked() => Err(GuestError::Panicked {
                machine: self.name().clone(),
                what: what.to_owned(),
                line,
                console: self.console().await,
            }),
        }
    }

    /// The end of the console, for an error.
    pub(super) async fn console(&self) -> ConsoleTail {
        ConsoleTail(self.0.console.tail(CONSOLE_LINES).await)
    }

    /// `ran` with the end of the console, for an error.
    pub(super) async fn with_console(&self, ran: Ran) -> Ran {
        Ran { console: self.console().await, ..ran }
    }

    /// An error of this host.
    pub(super) fn local(&self, what: impl Into<String>, source: std::io::Error) -> GuestError {
        GuestError::Local { machine: self.name().clone(), what: what.into(), source }
    }

    /// A place for an output, in a file when it grows too long.
    pub(super) fn capture(&self, stream: &str) -> Capture {
        let name = format!("{}-{}-{stream}", self.name(), call_mark());
        Capture::new(limits::IN_MEMORY, self.0.spec.outputs.join(name))
    }

    pub(super) async fn logged(&self, command: &Command) -> Result<Ran, GuestError> {
        let limit = self.scaled(command.limit.unwrap_or(limits::COMMAND));
        let told = |stream| Sink::Capture(self.capture(stream).told_as(stream));
        let streams =
            Streams { stdin: self.input(command).await?, stdout: told("stdout"), stderr: told("stderr") };
        let ran = self.run_between(command, streams, limit).await?;
        let (status, took) = (&ran.output.status, ran.output.took);
        tracing::info!(target: "polder", "{status} {} after {:.2} s", ran.way(), took.as_secs_f64());
        Ok(ran)
    }

    /// What a command is given to read.
    pub(super) async fn input(&self, command: &Command) -> Result<Source, GuestError> {
        match &command.stdin {
            Input::Bytes(bytes) => Ok(Source::Bytes(bytes.clone())),
            Input::File(path) => {
                let opened = tokio::fs::File::open(path).await;
                let opened = opened.map_err(|e| self.local(format!("read {}", path.display()), e))?;
                Ok(Source::reading(opened))
            }
        }
    }

    pub(super) async fn output(
        &self,
        streams: Streams,
        status: Status,
        took: Duration,
    ) -> Result<Output, GuestError> {
        let kept = |source| self.local("keep the output of a command", source);
        let [stdout, stderr] = [streams.stdout, streams.stderr].map(Sink::taken);
        Ok(Output { status, stdout: stdout.await.map_err(kept)?, stderr: stderr.await.map_err(kept)?, took })
    }

    pub(super) fn unsupported(&self, what: &str, source: Unsupported) -> GuestError {
        GuestError::Unsupported { machine: self.name().clone(), what: what.to_owned(), source }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guest({})", self.name())
    }
}

/// Does `work` in `span`, and says there how long it took when it failed.
pub(super) async fn timed<T>(
    span: tracing::Span,
    work: impl Future<Output = Result<T, GuestError>>,
) -> Result<T, GuestError> {
    async {
        let start = Instant::now();
        let result = Box::pin(work).await;
        if let Err(error) = &result {
            tracing::error!(target: "polder", "failed after {:.2} s: {}", start.elapsed().as_secs_f64(), error.brief());
        }
        result
    }
    .instrument(span)
    .await
}
