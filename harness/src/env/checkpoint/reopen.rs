//! Goes back to a state that was kept for people ([`Env::keep_instant`]): in a prefix, where all verbs find it.

use std::path::Path;

use super::{Origin, Stage, Stages, saved::Saved};
use crate::{
    checkpoint::{Manifest, Store},
    config::Checkpoints,
    env::{Env, EnvError, Host, Progress, error::chain},
    initfile::Loaded,
    workdir::Workdir,
};

impl Stage {
    /// The stage that a checkpoint is of, if it is of one.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let line = |name: &str| manifest.lines.get(name).cloned();
        Some(Self { executable: line("executable")?, suite: line("suite")?, step: line("step")? })
    }
}

impl Env {
    /// Has machines go on, in a new prefix `name` of a workdir, from the state whose key is `key` in the folder `states`. The
    /// lab ends with this process unless it is told to stay by [`Env::detach`].
    ///
    /// # Errors
    /// The state is damaged, or is of images or versions that are others by now, and which; or machines do not go on. Nothing is
    /// left then, and the state stays.
    pub async fn reopen(
        host: &Host,
        workdir: &Workdir,
        name: &str,
        states: &Path,
        key: &str,
        progress: &Progress,
    ) -> Result<Self, EnvError> {
        let not = |why: String| EnvError::NotReopened { states: states.to_owned(), why };
        let store = Store::at(states);
        let listed = store.named(key)?;
        let manifest = listed.content.map_err(|damage| not(damage.to_string()))?;
        let stage = Stage::of(&manifest).ok_or_else(|| not("it is of no step of a suite".to_owned()))?;
        let (saved, _) = Saved::read(&states.join(&listed.key))?;
        let mut host = host.clone();
        (host.checkpoint_folder, host.checkpoints) = (states.to_owned(), Checkpoints::Auto);
        let asked = Loaded { spec: saved.asked, warnings: Vec::new(), included: Vec::new() };
        let stages = Stages { all: &[stage], ..Stages::NONE };
        let made = Self::create_at(&host, workdir, name, &asked, Some(stages), progress).await?;
        let error = match made {
            (env, Some(mut origin)) if origin.stage().is_some() => {
                origin.is_required = true;
                match env.come_up(Some(origin), progress).await {
                    Ok((env, _)) => return Ok(env),
                    Err(failure) => failure.error,
                }
            }
            (_, origin) => not(differences(&manifest, origin.as_ref())),
        };
        match Self::destroy(&host, &workdir.prefix(name)?, true, progress).await {
            Ok(destroyed) if destroyed.left.is_empty() => Err(error),
            Ok(destroyed) => Err(EnvError::NotUndone {
                error: Box::new(error),
                left: chain(&EnvError::several(destroyed.left)),
            }),
            Err(left) => Err(EnvError::NotUndone { error: Box::new(error), left: chain(&left) }),
        }
    }
}

/// What a state came from that is another now.
fn differences(manifest: &Manifest, now: Option<&Origin>) -> String {
    let Some(now) = now else { return "checkpoints cannot be used here".to_owned() };
    let now: std::collections::BTreeMap<&str, &str> = now.boot.lines().collect();
    let own = ["level", "executable", "suite", "step"];
    let changed = manifest.lines.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let changed = changed.filter(|(name, value)| now.get(name.as_str()) != Some(&value.as_str()));
    let told: Vec<String> = changed
        .map(|(name, then)| {
            format!("`{name}` was {then} and is {}", now.get(name.as_str()).unwrap_or(&"nothing"))
        })
        .collect();
    match told.as_slice() {
        [] => "it cannot be read".to_owned(),
        told => told.join("; "),
    }
}
