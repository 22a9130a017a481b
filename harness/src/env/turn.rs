//! The right to change an environment: one at a time in this process, and of all processes on its prefix.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Env, EnvError, Host, daemon, snapshot, state::EnvState};
use crate::{
    lab::{Lab, LabKind, Plot},
    workdir::{Journal, Kind, LockedPrefix, Maker, Prefix, Thing, WorkdirError},
};

/// How long others may be busy with a prefix before it is said who they are.
const QUIET: Duration = Duration::from_secs(1);

/// Where an environment keeps its files.
#[derive(Debug)]
pub(super) enum Home {
    /// In its lab's own folder: it goes with the lab, and nobody else changes it.
    Lab(PathBuf),
    /// In a prefix, which stays when its lab ends.
    Prefix(Prefix),
    /// Nothing of it needs a lab, and nobody else changes it: in a folder that goes with it.
    Alone(Plot),
}

impl Home {
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Lab(folder) => folder,
            Self::Prefix(prefix) => prefix.path(),
            Self::Alone(plot) => plot.env(),
        }
    }
}

/// Somebody's turn: what changes an environment needs one.
pub(super) struct Turn<'a> {
    env: &'a Env,
    lock: Option<LockedPrefix>,
    _one: tokio::sync::MutexGuard<'a, ()>,
}

impl<'a> Turn<'a> {
    /// Takes the turn of `verb`, with the state as others left it.
    pub(super) async fn begin(env: &'a Env, verb: &str) -> Result<Self, EnvError> {
        let one = env.turns().lock().await;
        let lock = match env.home() {
            Home::Lab(_) | Home::Alone(_) => None,
            Home::Prefix(prefix) => Some(hold(env.host(), prefix, verb).await?),
        };
        env.refresh().await?;
        let turn = Self { env, lock, _one: one };
        if turn.lock.as_ref().is_some_and(|prefix| prefix.maker() == Maker::Lago) {
            // From now on it is one of ours; a journal without a state would be nobody's.
            env.state().save(env.folder())?;
        }
        daemon::follow(env).await?;
        if env.state().chains.is_unsettled() {
            snapshot::settle(env, &turn).await?;
        }
        Ok(turn)
    }

    /// Notes that something outside of the prefix is about to be made. What is made inside a boundary that dies with
    /// us, or is itself noted, needs no note.
    pub(super) fn making(&self, thing: &Thing) -> Result<(), EnvError> {
        self.note(thing, Journal::making)
    }

    /// Notes that something is gone.
    pub(super) fn gone(&self, thing: &Thing) -> Result<(), EnvError> {
        self.note(thing, Journal::gone)
    }

    fn note(
        &self,
        thing: &Thing,
        note: fn(&Journal, &Thing) -> Result<(), WorkdirError>,
    ) -> Result<(), EnvError> {
        let within = matches!(thing.kind, Kind::Domain | Kind::Network) && thing.place.is_empty();
        match &self.lock {
            Some(lock) if !within => Ok(note(&lock.journal(), thing)?),
            _ => Ok(()),
        }
    }

    /// The prefix, where there is one.
    pub(super) fn prefix(&self) -> Option<&LockedPrefix> {
        self.lock.as_ref()
    }

    /// Changes the state, on disk first.
    pub(super) fn update(&self, change: impl FnOnce(&mut EnvState)) -> Result<(), EnvError> {
        let mut state = self.env.state();
        change(&mut state);
        state.save(self.env.folder())?;
        self.env.set_state(state);
        Ok(())
    }
}

/// Takes the lock of a prefix, as soon as others let go of it.
pub(super) async fn hold(host: &Host, prefix: &Prefix, verb: &str) -> Result<LockedPrefix, EnvError> {
    let told = async {
        tokio::time::sleep(QUIET).await;
        let holder = prefix.holder().flatten().map_or_else(|| "somebody".to_owned(), |who| who.to_string());
        tracing::info!(target: "polder", "waiting for {holder}, busy with {}", prefix.path().display());
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        biased;
        lock = prefix.lock(verb, host.lock_timeout) => Ok(lock?),
        error = host.told_to_stop() => Err(error),
        never = told => match never {},
    }
}

/// A thing for the journal; what lives in a hermetic lab goes with the lab.
pub(super) fn thing(kind: Kind, name: &str, lab: &dyn Lab) -> Thing {
    let place = match lab.kind() {
        LabKind::System => lab.libvirt_uri(),
        LabKind::Hermetic => String::new(),
    };
    Thing { kind, name: name.to_owned(), place }
}
