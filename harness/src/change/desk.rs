//! What the phases of a run share: who is asked, what is never told, and which sessions are being closed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    model::Phase,
    operator::{Answer, Ask, Authorizer, Clock, Heed, Question},
    secret::Secrets,
    state_machine::{Key, Kind},
};

/// Who is asked, and what is never told.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) authorizer: Arc<dyn Authorizer>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) heed: Heed,
    pub(super) secrets: Secrets,
    /// Questions of these kinds need no answer any more: pauses, commands, rollbacks.
    pub(super) answered: [AtomicBool; 3],
    /// Says when the operator wants to stop.
    pub(super) stop: Option<watch::Receiver<bool>>,
    /// The name of the run.
    pub(super) run: String,
    /// Sessions with each device that are being closed: who closes one holds the other end.
    pub(super) closing: Mutex<HashMap<String, Vec<watch::Receiver<()>>>>,
}

impl Desk {
    /// Announces that a session with a device is being closed, until what comes back goes.
    pub(super) fn closes(&self, device: &str) -> watch::Sender<()> {
        let (sender, receiver) = watch::channel(());
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        let closing = closing.entry(device.to_owned()).or_default();
        closing.retain(|other| other.has_changed().is_ok());
        closing.push(receiver);
        sender
    }

    /// Waits until every session with a device that is being closed is.
    pub(super) async fn closed(&self, device: &str) {
        let closing = {
            let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
            closing.get(device).cloned().unwrap_or_default()
        };
        for mut one in closing {
            // Nothing is ever sent: the other end goes.
            while one.changed().await.is_ok() {}
        }
    }

    /// Asks what comes up amid a change. Who wants to stop, or has wanted since it began, wants no more of it, but wants it undone.
    pub(super) async fn ask_amid(&self, key: &Key, phase: Phase, ask: Ask) -> Result<(), Fault> {
        tokio::select! {
            biased;
            answer = self.ask(key, phase, ask) => answer,
            () = stopped(self.stop.clone()) => Err(Fault::new(Kind::Denied, "the operator wanted to stop")),
        }
    }

    /// Asks, unless the same was answered for all.
    pub(super) async fn ask(&self, key: &Key, phase: Phase, ask: Ask) -> Result<(), Fault> {
        let kind = match &ask {
            Ask::Pause => 0,
            Ask::Command(_) => 1,
            Ask::Rollback(_) => 2,
        };
        let answered = self.answered.get(kind);
        if answered.is_some_and(|answered| answered.load(Ordering::Relaxed)) {
            return Ok(());
        }
        let question = Question { key: key.clone(), phase, ask };
        match self.authorizer.answer(&question).await {
            Answer::Yes => Ok(()),
            Answer::All => {
                answered.into_iter().for_each(|answered| answered.store(true, Ordering::Relaxed));
                Ok(())
            }
            Answer::Skip => Err(Fault::new(Kind::GivenUp, "given up by the operator")),
            Answer::No => Err(Fault::new(Kind::Denied, "the operator said no")),
        }
    }
}

/// Waits until the operator wants to stop; for ever where nobody can say so.
pub(super) async fn stopped(stop: Option<watch::Receiver<bool>>) {
    if let Some(mut stop) = stop
        && stop.wait_for(|stop| *stop).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// What went wrong, before it is written down.
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
