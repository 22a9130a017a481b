//! What a run needs of the world around it: who is asked, who is alerted, who is told what happens, what time it is.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::{
    model::Phase,
    state::State,
    state_machine::{Entry, Key},
};
use crate::base::dial::BoxFuture;

/// Decides for the operator.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Answers a question. Nothing else waits for it but what it is about.
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer>;
}

/// Something the operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub key: Key,
    /// In which phase.
    pub phase: Phase,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Whether to go on where the file says that one should be asked.
    Pause,
    /// Whether to send this; secrets are not in it.
    Command(String),
    /// Whether to undo a change after this failure.
    Rollback(String),
}

/// What the operator decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Go on, and do not ask again for what is alike.
    All,
    /// Give up this change on this device; others go on.
    Skip,
    /// Begin nothing more at all.
    No,
}

/// An operator who says the same to everything.
#[derive(Debug, Clone, Copy)]
pub struct Operator(pub Answer);

impl Authorizer for Operator {
    fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async { self.0 })
    }
}

/// For people: what is about to be done, and where.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, phase, ask } = self;
        match ask {
            Ask::Pause => write!(f, "{key}: go on with {phase}?"),
            Ask::Command(text) => write!(f, "{key}, {phase}: send {text:?}?"),
            Ask::Rollback(why) if why.is_empty() => write!(f, "{key}: undo it?"),
            Ask::Rollback(why) => write!(f, "{key}: undo it, after: {why}?"),
        }
    }
}

/// Something is changed, and only a person can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What.
    pub key: Key,
    /// Why.
    pub why: String,
}

/// Where alerts go.
pub trait Alerts: fmt::Debug + Send + Sync {
    /// Tells a person.
    fn alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()>;
}

/// Alerts as errors in the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogAlerts;

impl Alerts for LogAlerts {
    fn alert<'a>(&'a self, Alert { key, why }: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async move { tracing::error!(target: "polder", "{key} is left changed: {why}") })
    }
}

/// Who is told what happens, as it happens.
pub trait Progress: fmt::Debug + Send + Sync {
    /// It has happened, and is on disk.
    fn happened(&self, entry: &Entry);

    /// A change failed and is tried again: later ([`State::RetryPending`]), or now ([`State::Retry`]).
    fn retries(&self, _step: &str, _state: State) {}
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn happened(&self, _: &Entry) {}
}

/// What time it is.
pub trait Clock: fmt::Debug + Send + Sync {
    /// In milliseconds since 1970.
    fn now(&self) -> u64;

    /// Lets time pass.
    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()>;
}

/// The time of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        since.as_millis().try_into().unwrap_or(u64::MAX)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// What the operator is asked for; pauses always, unless they are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heed {
    /// Before each command.
    pub commands: bool,
    /// Before each device is rolled back.
    pub rollbacks: bool,
    /// Not where files have a pause.
    pub no_pause: bool,
}
