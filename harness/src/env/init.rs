//! Makes the environment of a prefix: keys, disks, and what is written down of it. Nothing runs yet.

use super::{
    Env, EnvError, Host, Progress, disk,
    prepare::{Prepared, prepare},
    state::{EnvState, LabState},
    turn::Home,
};
use crate::{initfile::EnvSpec, workdir::{LockedPrefix, Prefix}};

impl Env {
    /// Makes what `spec` asks for in a prefix that has only been added to its workdir, and marks it as usable.
    ///
    /// # Errors
    /// Whatever fails first; what was made until then, [`Env::destroy`] finds.
    pub async fn init(
        host: &Host,
        prefix: &LockedPrefix,
        spec: &EnvSpec,
        progress: &Progress,
    ) -> Result<Self, EnvError> {
        let (folder, uuid) = (prefix.path(), prefix.uuid()?);
        let Prepared { plan, keys, factor } = prepare(host, spec, &uuid, progress).await?;
        let lab = LabState::Hermetic { folder: None };
        let state = EnvState::new(uuid, lab, plan, keys.hosts().clone(), factor);
        keys.save(folder)?;
        state.save(folder)?;
        let env = Self::assemble(host, Home::Prefix(Prefix::at(folder)), state, &keys)?;
        disk::make(&env).await?;
        prefix.mark_initialized()?;
        progress.say(&format!("{} is made", folder.display()));
        Ok(env)
    }
}
