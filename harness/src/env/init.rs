//! Makes the environment of a prefix: keys, disks, and what is written down of it. Nothing runs yet.

use super::{
    Env, EnvError, Host, Progress, asked,
    daemon::Identity,
    deploy, disk, elsewhere,
    error::chain,
    lease,
    prepare::{Place, Prepared, prepare},
    state::{EnvState, LabState},
    turn::Home,
};
use crate::{
    initfile::{EnvSpec, Loaded},
    lab::LabKind,
    workdir::{LockedPrefix, Prefix, Workdir},
};

impl Env {
    /// Makes a prefix `name` in a workdir, and in it what an init file asks for; when that fails, or the operator asks
    /// us to stop, nothing of it is left.
    ///
    /// # Errors
    /// There is one of that name, or whatever fails first, with what could not be removed again.
    pub async fn create(
        host: &Host,
        workdir: &Workdir,
        name: &str,
        asked: &Loaded,
        progress: &Progress,
    ) -> Result<Self, EnvError> {
        let prefix = workdir.add(name)?;
        let locked = prefix.lock("init", host.lock_timeout).await?;
        let work = async {
            let env = Self::init(host, &locked, &asked.spec, progress).await?;
            asked::copy(&prefix, asked)?;
            Ok(env)
        };
        let made = tokio::select! {
            biased;
            made = work => made,
            stopped = host.told_to_stop() => Err(stopped),
        };
        let error = match made {
            Ok(env) => return Ok(env),
            Err(error) => error,
        };
        drop(locked);
        let left = match Self::destroy(host, &prefix, true, progress).await {
            Ok(destroyed) if destroyed.left.is_empty() => return Err(error),
            Ok(destroyed) => EnvError::several(destroyed.left),
            Err(error) => error,
        };
        Err(EnvError::NotUndone { error: Box::new(error), left: chain(&left) })
    }

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
        let who = Identity::of(folder, &uuid)?;
        let (prepared, lab) = match host.kind {
            LabKind::Hermetic => {
                let prepared = prepare(host, spec, Place::Prefix(&who), progress).await?;
                (prepared, LabState::Hermetic { folder: None })
            }
            LabKind::System => {
                elsewhere::note(folder, &host.daemon.uri);
                prefix.journal().making(&who.lease_of(&host.daemon))?;
                let prepared = prepare(host, spec, Place::Shared(&who), progress).await?;
                (prepared, LabState::System { uri: host.daemon.uri.clone(), folder: who.folder })
            }
        };
        let Prepared { plan, keys, factor, .. } = prepared;
        let state = EnvState::new(uuid, lab, plan, keys.hosts().clone(), factor);
        asked::keep(prefix, spec)?;
        keys.save(folder)?;
        state.save(folder)?;
        let env = Self::assemble(host, Home::Prefix(Prefix::at(folder)), state, &keys)?;
        deploy::copy(&env, progress)?;
        disk::make(&env).await?;
        if host.kind == LabKind::System {
            lease::renew(host, &Identity::of(folder, &env.state().uuid)?, &env.plan().nets).await?;
        }
        prefix.mark_initialized()?;
        progress.say(&format!("{} is made", folder.display()));
        Ok(env)
    }
}
