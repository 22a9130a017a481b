//! Under which keys the states of an environment are kept, and the one from which it goes on, if there is one.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use super::saved::{Documents, Saved, read_documents};
use crate::{
    checkpoint::{CheckpointError, Entry, Found, Key, Level, Store},
    config::Checkpoints,
    env::{
        EnvError, Host, Progress, error::chain, ingredients, keys::Keys, plan::EnvPlan, prepare::Gathered,
    },
    initfile::EnvSpec,
    lab::View,
};

/// The end of a step of a suite: a moment that a later run of the same test executable may begin in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The digest of the executable.
    pub executable: String,
    /// The suite.
    pub suite: String,
    /// The step: `setup`, or a scenario.
    pub step: String,
}

impl Stage {
    /// Its level of keys.
    pub(super) fn level(&self) -> Level<'_> {
        Level::Step { executable: &self.executable, suite: &self.suite, step: &self.step }
    }
}

/// The ends of steps in which an environment may begin.
#[derive(Debug, Clone, Copy)]
pub struct Stages<'a> {
    /// All of them, what is wanted most first.
    pub all: &'a [Stage],
    /// Whether what was kept beside machines is of use, and else why not.
    pub judge: fn(&Documents) -> Result<(), String>,
}

impl Stages<'_> {
    /// None: an environment begins where its machines have booted.
    pub const NONE: Self = Self { all: &[], judge: |_| Ok(()) };
}

/// The end of a step in which an environment has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Began {
    /// Its number among the stages that were asked for.
    pub stage: usize,
    /// What was kept beside machines.
    pub documents: Documents,
}

/// Where states of an environment are kept, and what it goes on from.
pub(in crate::env) struct Origin {
    pub(super) store: Store,
    /// What is asked for.
    pub(super) asked: EnvSpec,
    /// Whether one that is there of the same key is to be replaced.
    pub(super) is_refreshed: bool,
    /// That of the state in which it has booted.
    pub(super) boot: Key,
    pub(super) from: Option<Arc<From>>,
    /// Whether machines go on from that or not at all.
    pub(super) is_required: bool,
    /// Whether they did.
    pub(super) went_on: AtomicBool,
}

/// The state an environment goes on from.
pub(in crate::env) struct From {
    pub(super) key: Key,
    /// In use as long as this is there.
    pub(super) entry: Entry,
    pub(super) saved: Saved,
    pub(super) documents: Documents,
    /// Which of the stages that were asked for it is the end of; none: it has booted.
    pub(super) stage: Option<usize>,
}

impl Origin {
    /// Looks for what an environment may go on from: the first of `stages` that is there, or the state in which it has booted.
    /// Nothing where no checkpoints are wanted, or none of this can be.
    pub(in crate::env) async fn find(
        host: &Host,
        gathered: &Gathered,
        (plan, keys): (&EnvPlan, &Keys),
        stages: Stages<'_>,
        progress: &Progress,
    ) -> Option<(Self, Option<Keys>)> {
        if host.checkpoints == Checkpoints::Off || !plan.machines.iter().all(|m| m.domain.is_some()) {
            return None;
        }
        let boot = match boot_key(host, gathered, keys).await {
            Ok(key) => key,
            Err(error) => {
                progress.warn(&format!("no checkpoint is used: {}", chain(&error)));
                return None;
            }
        };
        let store = host.checkpoint_store();
        let is_refreshed = host.checkpoints == Checkpoints::Refresh;
        let asked = gathered.spec.clone();
        let mut origin = Self {
            store,
            asked,
            is_refreshed,
            boot,
            from: None,
            is_required: false,
            went_on: AtomicBool::new(false),
        };
        if is_refreshed {
            return Some((origin, None));
        }
        let levels = stages.all.iter().enumerate().map(|(number, stage)| (Some(number), stage.level()));
        for (stage, level) in levels.chain([(None, Level::Boot)]) {
            let key = origin.boot.at(level);
            let judge = if stage.is_some() { stages.judge } else { Stages::NONE.judge };
            match look(&origin.store, &key, judge).await {
                Ok(Ok(Some((entry, saved, documents, keys)))) => {
                    let then = &saved.state.plan;
                    if let Some(machine) = plan.unmovable_from(then) {
                        progress.say(&format!(
                            "machines boot: {machine} was kept at other addresses, and is told its own only when it boots"
                        ));
                        return Some((origin, None));
                    }
                    // Whoever put documents there knows machines by their addresses.
                    if plan.is_moved_from(then) && !documents.is_empty() {
                        continue;
                    }
                    origin.from = Some(Arc::new(From { key, entry, saved, documents, stage }));
                    return Some((origin, Some(keys)));
                }
                Ok(Ok(None)) => {}
                Ok(Err(why)) => progress.warn(&format!("a checkpoint was dropped: {why}")),
                Err(error) => progress.warn(&format!("checkpoints cannot be read: {}", chain(&error))),
            }
        }
        Some((origin, None))
    }

    /// The file of the state it goes on from, as the emulator sees it.
    pub(super) fn inside(from: &From, name: &Path, view: &View) -> PathBuf {
        view.checkpoints.join(from.key.digest()).join(name)
    }
}

/// The key of the state in which an environment has booted: the same wherever it is.
async fn boot_key(host: &Host, gathered: &Gathered, keys: &Keys) -> Result<Key, EnvError> {
    ingredients::key(gathered, &gathered.decide_anywhere(host, keys)?).await
}

/// What the store has of a key; or why it has it no more.
type Looked = Result<Option<(Entry, Saved, Documents, Keys)>, String>;

async fn look(
    store: &Store,
    key: &Key,
    judge: fn(&Documents) -> Result<(), String>,
) -> Result<Looked, CheckpointError> {
    let (store, key) = (store.clone(), key.clone());
    let read = move |entry: &Entry| {
        let (saved, keys) = Saved::read(&entry.folder).map_err(|error| chain(&error))?;
        let documents = read_documents(entry).map_err(|error| chain(&error))?;
        judge(&documents)?;
        Ok::<_, String>((saved, documents, keys))
    };
    let looked = tokio::task::spawn_blocking(move || {
        Ok(match store.find(&key)? {
            Found::Nothing => Ok(None),
            Found::Dropped(damage) => Err(damage.to_string()),
            Found::There(entry) => match read(&entry) {
                Ok((saved, documents, keys)) => Ok(Some((entry, saved, documents, keys))),
                Err(why) => {
                    drop(entry);
                    store.forget(&key)?;
                    Err(why)
                }
            },
        })
    });
    looked.await.unwrap_or_else(|error| Ok(Err(error.to_string())))
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.boot.digest())
    }
}
