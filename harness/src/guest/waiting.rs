//! The verbs that wait: each has a deadline, looks at the state (never at a change), says in its error what it saw, and
//! fails at once when the guest's kernel panics or what is waited for cannot come any more. Here are those that look from
//! outside and those that run a command of the caller; the others are in `wait_*`.

use std::{
    fmt,
    future::{Future, IntoFuture},
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{
    command::Command,
    error::{GuestError, Ran},
    handle::{Guest, timed, verb},
    limits,
    output::Output,
    pattern::Pattern,
    spec::Channel,
};
use crate::{
    base::{
        dial::BoxFuture,
        wait::{Deadline, Look, WaitError, wait_for, wait_for_news},
    },
    image::{Ability, info::Unsupported},
};

impl Guest {
    /// Waits until the guest runs commands over ssh.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; [`GuestError::Unsupported`] without ssh.
    pub async fn wait_for_ssh(&self, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_ssh"), async {
            self.require(Ability::Ssh, "wait for ssh")?;
            let look = self.scaled(limits::LOOK);
            let up = Command::new("true").over(Channel::Ssh);
            self.wait("an answer over ssh", limit, limits::SHORT_PAUSE, || async {
                match self.look(&up, look).await {
                    Ok(_) => Seen::Ready(()),
                    // Waiting does not change the key of a machine.
                    Err(error) if is_final(&error) => Seen::Failed(error.brief()),
                    Err(error) => Seen::Away(error.brief()),
                }
            })
            .await
            .inspect(|()| self.is_now("up"))
        })
        .await
    }

    /// Waits until the guest agent answers.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; [`GuestError::Unsupported`] without an agent.
    pub async fn wait_for_agent(&self, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_agent"), async {
            self.require(Ability::Agent, "wait for the guest agent")?;
            self.wait("an answer of the guest agent", limit, limits::SHORT_PAUSE, || async {
                match self.agent() {
                    None => Seen::Failed("there is no way to the guest agent".to_owned()),
                    Some(agent) => match agent.ping().await {
                        Ok(()) => Seen::Ready(()),
                        Err(error) => Seen::Away(format!("{error}: {}", cause(&error))),
                    },
                }
            })
            .await
            .inspect(|()| self.is_now("up"))
        })
        .await
    }

    /// Waits until a TCP port of the guest takes connections from outside.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; [`GuestError::Unsupported`] without an address.
    pub async fn wait_for_port(&self, port: u16, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_port", port = port), async {
            let Some(ssh) = &self.0.ssh else {
                let (machine, image) = (self.name().clone(), self.0.spec.image.clone());
                let source = Unsupported { image, ability: Ability::Ssh };
                return Err(GuestError::Unsupported { machine, what: "wait for a port".to_owned(), source });
            };
            let addr = SocketAddr::new(ssh.spec().addr.ip(), port);
            self.wait(&format!("a connection to {addr}"), limit, limits::SHORT_PAUSE, || async {
                match ssh.spec().dial.dial(addr, limits::DIAL_ONCE).await {
                    Ok(_) => Seen::Ready(()),
                    Err(error) => Seen::NotYet(error.to_string()),
                }
            })
            .await
        })
        .await
    }

    /// Runs a command again and again until it succeeds; returns its standard output then.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; as [`Guest::execute`] when no guest can run it.
    pub async fn wait_until_succeeds(
        &self,
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<String, GuestError> {
        let command = command.into();
        timed(verb!(self, "wait_until_succeeds", command = command), async {
            self.wait_for_output(&format!("success of `{command}`"), &command, limit, success).await
        })
        .await
    }

    /// Runs a command again and again until it succeeds with an output that `holds`; returns that output.
    ///
    /// Give a deadline by [`Until::within`] and `.await` it; an error is as that of [`Guest::wait_until_succeeds`].
    pub fn until<'a>(
        &self,
        command: impl Into<Command>,
        holds: impl Fn(&str) -> bool + Send + Sync + 'a,
    ) -> Until<'a> {
        Until { guest: self.clone(), command: command.into(), holds: Box::new(holds), limit: limits::UNTIL }
    }

    /// Runs a command again and again until it fails; returns what it left then.
    ///
    /// # Errors
    /// As [`Guest::wait_until_succeeds`].
    pub async fn wait_until_fails(
        &self,
        command: impl Into<Command>,
        limit: Duration,
    ) -> Result<Output, GuestError> {
        let command = command.into();
        timed(verb!(self, "wait_until_fails", command = command), async {
            let judge = |output: &Output| match success(output) {
                Look::Ready(out) => Look::NotYet(format!("it succeeded and printed: {}", shorten(&out))),
                _ => Look::Ready(output.clone()),
            };
            self.wait_for_output(&format!("failure of `{command}`"), &command, limit, judge).await
        })
        .await
    }

    /// Waits until the console has a line that fits, from the first start on; returns the line.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`].
    pub async fn wait_for_console(
        &self,
        pattern: impl Into<Pattern>,
        limit: Duration,
    ) -> Result<String, GuestError> {
        let pattern = pattern.into();
        timed(verb!(self, "wait_for_console", pattern = pattern), async {
            self.wait(&format!("{pattern} on the console"), limit, limits::SHORT_PAUSE, || async {
                match self.0.console.find(|line| pattern.is_in(line)).await {
                    Ok(Some(line)) => Seen::Ready(line),
                    Ok(None) => Seen::NotYet(match self.0.console.tail(1).await.pop() {
                        Some(line) => format!("no such line, the last one is: {line}"),
                        None => "no line at all".to_owned(),
                    }),
                    Err(error) => Seen::NotYet(format!("the console cannot be read: {error}")),
                }
            })
            .await
        })
        .await
    }

    /// Waits until `judge` is content with what `command` leaves.
    pub(super) async fn wait_for_output<T>(
        &self,
        what: &str,
        command: &Command,
        limit: Duration,
        judge: impl Fn(&Output) -> Look<T>,
    ) -> Result<T, GuestError> {
        // What cannot be tried at all is not waited for.
        self.channels("run a command")?;
        let deadline = Deadline::within(self.scaled(limit));
        let one = command.limit.map(|limit| self.scaled(limit));
        self.wait(what, limit, limits::PAUSE, || async {
            let left = deadline.left();
            match self.look(command, one.map_or(left, |one| one.min(left))).await {
                Ok(Ran { output, .. }) => Seen::of(judge(&output)),
                Err(error) if is_final(&error) => Seen::Failed(error.brief()),
                Err(error @ GuestError::Deadline { started: true, .. }) => Seen::NotYet(error.brief()),
                Err(error) => Seen::Away(error.brief()),
            }
        })
        .await
    }

    /// Looks until it is ready; `limit` is not scaled yet.
    pub(super) async fn wait<T, F, Fut>(
        &self,
        what: &str,
        limit: Duration,
        pause: Duration,
        mut look: F,
    ) -> Result<T, GuestError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Seen<T>>,
    {
        let answered = AtomicBool::new(true);
        // On the heap: who waits for many things would have all of them on the stack.
        let looks = Box::pin(wait_for(what, self.scaled(limit), pause, || noting(&answered, look())));
        Box::pin(self.waited(what, looks, &answered)).await
    }

    /// Takes news until it is ready; `limit` is not scaled yet.
    pub(super) async fn wait_for_news<T, F, Fut>(
        &self,
        what: &str,
        limit: Duration,
        mut next: F,
    ) -> Result<T, GuestError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Seen<T>>,
    {
        let answered = AtomicBool::new(true);
        let news = Box::pin(wait_for_news(what, self.scaled(limit), || noting(&answered, next())));
        Box::pin(self.waited(what, news, &answered)).await
    }

    async fn waited<T>(
        &self,
        what: &str,
        wait: impl Future<Output = Result<T, WaitError>>,
        answered: &AtomicBool,
    ) -> Result<T, GuestError> {
        match self.unless_panicked(&format!("wait for {what}"), wait).await? {
            Ok(value) => Ok(value),
            Err(source) => Err(GuestError::Wait {
                machine: self.name().clone(),
                console: self.console().await,
                answered: answered.load(Ordering::Relaxed),
                source,
            }),
        }
    }
}

/// Notes whether the guest answered to a look.
async fn noting<T>(answered: &AtomicBool, look: impl Future<Output = Seen<T>>) -> Look<T> {
    let seen = look.await;
    answered.store(!matches!(seen, Seen::Away(_)), Ordering::Relaxed);
    match seen {
        Seen::Ready(value) => Look::Ready(value),
        Seen::NotYet(status) | Seen::Away(status) => Look::NotYet(status),
        Seen::Failed(status) => Look::Failed(status),
    }
}

/// What a look found.
pub(super) enum Seen<T> {
    Ready(T),
    /// Not yet; the guest answered.
    NotYet(String),
    /// Not yet; the guest did not even answer.
    Away(String),
    /// Never.
    Failed(String),
}

impl<T> Seen<T> {
    /// A look at which the guest answered.
    pub(super) fn of(look: Look<T>) -> Self {
        match look {
            Look::Ready(value) => Self::Ready(value),
            Look::NotYet(status) => Self::NotYet(status),
            Look::Failed(status) => Self::Failed(status),
        }
    }
}

/// A wait for an output, made by [`Guest::until`].
#[must_use = "nothing is waited for before it is awaited"]
pub struct Until<'a> {
    guest: Guest,
    command: Command,
    holds: Box<dyn Fn(&str) -> bool + Send + Sync + 'a>,
    limit: Duration,
}

impl Until<'_> {
    /// Its deadline instead of [`UNTIL`](limits::UNTIL).
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl<'a> IntoFuture for Until<'a> {
    type Output = Result<String, GuestError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { guest, command, holds, limit } = self;
        Box::pin(async move {
            timed(verb!(guest, "until", command = command), async {
                let what = format!("the right output of `{command}`");
                let judge = |output: &Output| match success(output) {
                    Look::Ready(out) if holds(&out) => Look::Ready(out),
                    Look::Ready(out) => Look::NotYet(format!("it printed: {}", shorten(&out))),
                    other => other,
                };
                guest.wait_for_output(&what, &command, limit, judge).await
            })
            .await
        })
    }
}

impl fmt::Debug for Until<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Until({:?}, {:?}, {:?})", self.guest, self.command, self.limit)
    }
}

fn success(output: &Output) -> Look<String> {
    if output.status.success() {
        return Look::Ready(output.stdout.text().into_owned());
    }
    let said = [&output.stderr, &output.stdout].map(|stream| shorten(&stream.text()));
    let said = said.iter().find(|text| !text.is_empty()).map(|text| format!(", it printed: {text}"));
    Look::NotYet(format!("{}{}", output.status, said.unwrap_or_default()))
}

/// The end of a text, short enough for a status.
pub(super) fn shorten(text: &str) -> String {
    const CHARS: usize = 400;
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(CHARS);
    if skip == 0 { text.to_owned() } else { format!("...{}", text.chars().skip(skip).collect::<String>()) }
}

/// Whether another attempt cannot end otherwise.
pub(super) fn is_final(error: &GuestError) -> bool {
    use super::{error::TransportError, link::SshError};
    match error {
        GuestError::Unsupported { .. } | GuestError::Command { .. } | GuestError::Local { .. } => true,
        GuestError::Unreachable { source: TransportError::Ssh(source), .. } => {
            matches!(**source, SshError::HostKey { .. })
        }
        _ => false,
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
