//! Makes the environment of a prefix: keys, disks, and what is written down of it. Nothing runs yet.

use super::{
    Env, EnvError, Host, Progress, Stages, asked,
    checkpoint::Origin,
    daemon::Identity,
    deploy, disk, elsewhere,
    error::chain,
    lease, ordered,
    prepare::{Place, gather},
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
        Self::create_at(host, workdir, name, asked, None, progress).await.map(|(env, _)| env)
    }

    /// The same, for machines that are to go on from a checkpoint where there is one: from the end of the first of `stages`
    /// of which there is.
    pub(super) async fn create_at(
        host: &Host,
        workdir: &Workdir,
        name: &str,
        asked: &Loaded,
        stages: Option<Stages<'_>>,
        progress: &Progress,
    ) -> Result<(Self, Option<Origin>), EnvError> {
        let prefix = workdir.add(name)?;
        let locked = prefix.lock("init", host.lock_timeout).await?;
        let work = async {
            let made = Self::init_at(host, &locked, &asked.spec, stages, progress).await?;
            asked::copy(&prefix, asked)?;
            Ok(made)
        };
        let made = tokio::select! {
            biased;
            made = work => made,
            stopped = host.told_to_stop() => Err(stopped),
        };
        let error = match made {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        drop(locked);
        // What is found of a prefix that was only begun is no news; what stays is in the error.
        let left = match Self::destroy(host, &prefix, true, &progress.quiet()).await {
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
        Self::init_at(host, prefix, spec, None, progress).await.map(|(env, _)| env)
    }

    async fn init_at(
        host: &Host,
        prefix: &LockedPrefix,
        spec: &EnvSpec,
        stages: Option<Stages<'_>>,
        progress: &Progress,
    ) -> Result<(Self, Option<Origin>), EnvError> {
        let (folder, uuid) = (prefix.path(), prefix.uuid()?);
        let who = Identity::of(folder, &uuid)?;
        let place = match host.kind {
            LabKind::Hermetic => Place::Prefix(&who),
            LabKind::System => {
                elsewhere::note(folder, &host.daemon.uri);
                prefix.journal().making(&who.lease_of(&host.daemon))?;
                Place::Shared(&who)
            }
        };
        let gathered = gather(host, spec, place, progress).await?;
        let mut keys = gathered.new_keys()?;
        let mut plan = gathered.decide(host, &keys)?;
        if stages.is_some() {
            ordered::require_lasting(host, &plan)?;
        }
        gathered.lay(host, &plan, place, progress).await?;
        let mut origin = None;
        if let Some(stages) = stages
            && let Some((found, known)) =
                Origin::find(host, &gathered, (&plan, &keys), stages, progress).await
        {
            origin = Some(found);
            (plan, keys) = gathered.decide_again(host, known, (plan, keys))?;
        }
        let lab = match host.kind {
            LabKind::Hermetic => LabState::Hermetic { folder: None },
            LabKind::System => LabState::System { uri: host.daemon.uri.clone(), folder: who.folder.clone() },
        };
        let state = EnvState::new(uuid, lab, plan, keys.hosts().clone(), gathered.factor);
        asked::keep(prefix, spec)?;
        keys.save(folder)?;
        state.save(folder)?;
        let env = Self::assemble(host, Home::Prefix(Prefix::at(folder)), state, &keys)?;
        deploy::copy(&env, progress)?;
        if !origin.as_ref().is_some_and(Origin::is_found) {
            disk::make(&env).await?;
        }
        if host.kind == LabKind::System {
            lease::renew(host, &Identity::of(folder, &env.state().uuid)?, &env.plan().nets).await?;
        }
        prefix.mark_initialized()?;
        progress.say(&format!("{} is made", folder.display()));
        Ok((env, origin))
    }
}
