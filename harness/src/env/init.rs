//! Makes the environment of a prefix: keys, disks, and what is written down of it. Nothing runs yet.

use super::{
    Env, EnvError, Host, Progress, disk,
    prepare::{Prepared, prepare},
    state::{EnvState, LabState},
    turn::{Home, Journal},
};
use crate::{initfile::EnvSpec, workdir::LockedPrefix};

impl Env {
    /// Makes what `spec` asks for in a prefix that has nothing yet, and marks it as usable.
    ///
    /// # Errors
    /// Whatever fails first; what was made until then is in the journal, for [`Env::destroy`].
    pub async fn init(
        host: &Host,
        prefix: &LockedPrefix,
        spec: &EnvSpec,
        progress: &Progress,
    ) -> Result<Self, EnvError> {
        let Prepared { plan, keys, factor } = prepare(host, spec, progress).await?;
        let folder = prefix.prefix().path();
        let lab = LabState::Hermetic { folder: None };
        let state = EnvState::new(prefix.prefix().uuid()?, lab, plan, keys.hosts().clone(), factor);
        keys.save(folder)?;
        state.save(folder)?;
        let env = Self::assemble(host, Home::Prefix(prefix.prefix().clone()), state, &keys)?;
        disk::make(&env, Journal(Some(prefix))).await?;
        prefix.mark_initialized()?;
        progress.say(&format!("{} is made", folder.display()));
        Ok(env)
    }
}
