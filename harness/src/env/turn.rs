//! The right to change an environment: one at a time in this process, and of all processes on its prefix.

use std::{path::{Path, PathBuf}, time::Duration};

use super::{Env, EnvError, state::EnvState};
use crate::workdir::{LockedPrefix, Prefix};

/// How long to wait for another command on the same prefix.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an environment keeps its files.
#[derive(Debug)]
pub(super) enum Home {
    /// In its lab's own folder: it goes with the lab, and nobody else changes it.
    Lab(PathBuf),
    /// In a prefix, which stays when its lab ends.
    Prefix(Prefix),
}

impl Home {
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Lab(folder) => folder,
            Self::Prefix(prefix) => prefix.path(),
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
            Home::Lab(_) => None,
            Home::Prefix(prefix) => Some(prefix.lock(verb, PATIENCE).await?),
        };
        env.refresh().await?;
        Ok(Self { env, lock, _one: one })
    }

    /// Where it is noted what is about to be made.
    pub(super) fn journal(&self) -> Journal<'_> {
        Journal(self.lock.as_ref())
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

/// The journal of a prefix. What is made inside a boundary that dies with us needs none.
#[derive(Clone, Copy)]
pub(super) struct Journal<'a>(pub(super) Option<&'a LockedPrefix>);

impl Journal<'_> {
    /// Notes that something outside of this process is about to be made.
    pub(super) fn makes(self, kind: &str, name: &str) -> Result<(), EnvError> {
        match self.0 {
            None => Ok(()),
            Some(prefix) => Ok(prefix.makes(kind, name)?),
        }
    }
}
