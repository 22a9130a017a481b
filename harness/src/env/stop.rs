//! Ends machines, each in the way asked for, then the networks nobody needs any more, then the lab; and what else
//! switches machines: reboot, pause, resume.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Env, EnvError, Progress, Selection, Vm,
    host::limits,
    network, ordered, parallel,
    select::made,
    site::{Ground, Running},
    state::LabState,
    turn::{Home, Turn, thing},
};
use crate::{
    base::{
        id::MachineName,
        wait::{Deadline, Look, wait_for},
    },
    image::Ability,
    lab::LabKind,
    provider::{
        Deed,
        libvirt::{Connection, DomainState},
    },
    workdir::Kind,
};

/// How often it is looked whether a machine has gone down.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a machine that was asked to go down is waited for before it is asked again, not scaled.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// A machine that was to be stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// Which.
    pub machine: MachineName,
    /// How it ended.
    pub how: How,
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was off already.
    Already,
    /// It went down by itself when it was asked to.
    Graceful,
    /// Its power was cut.
    Forced,
}

/// What happened to it, as in "web was off already".
impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Already => "was off already",
            Self::Graceful => "went down by itself",
            Self::Forced => "was switched off",
        })
    }
}

impl Env {
    /// Cuts the power of machines, then ends the networks no machine needs any more. The lab of a prefix ends with its
    /// last machine.
    ///
    /// # Errors
    /// Every machine and network that could not be ended.
    pub async fn stop(&self, selection: &Selection, progress: &Progress) -> Result<Vec<Stopped>, EnvError> {
        let vms = ordered::able(self.select(selection)?, &[Deed::Stop], selection)?;
        let turn = Turn::begin(self, "stop").await?;
        self.end(&turn, vms, Duration::ZERO, progress).await
    }

    /// Asks machines to switch themselves off, through their guest agent or the power button; one that is still on
    /// after `limit` (stretched by the time factor) is switched off. Networks and lab as with [`Env::stop`].
    ///
    /// # Errors
    /// As [`Env::stop`].
    pub async fn shutdown(
        &self,
        selection: &Selection,
        limit: Duration,
        progress: &Progress,
    ) -> Result<Vec<Stopped>, EnvError> {
        let vms = ordered::able(self.select(selection)?, &[Deed::Shutdown, Deed::Stop], selection)?;
        let turn = Turn::begin(self, "shutdown").await?;
        self.end(&turn, vms, self.scaled(limit), progress).await
    }

    /// Asks machines to start anew, over ssh, through their guest agent, or with the power button; does not wait until they
    /// do. Those that are off stay so.
    ///
    /// # Errors
    /// Every machine that could not be asked.
    pub async fn reboot(&self, selection: &Selection) -> Result<(), EnvError> {
        self.switch(Deed::Reboot, selection).await
    }

    /// Stops the processors of machines that run.
    ///
    /// # Errors
    /// Every machine that could not be paused.
    pub async fn pause(&self, selection: &Selection) -> Result<(), EnvError> {
        self.switch(Deed::Pause, selection).await
    }

    /// Lets paused machines go on.
    ///
    /// # Errors
    /// Every machine that could not be resumed.
    pub async fn resume(&self, selection: &Selection) -> Result<(), EnvError> {
        self.switch(Deed::Resume, selection).await
    }

    /// Stops all machines and takes its mark from the prefix: nobody finds it any more, but its files stay.
    ///
    /// # Errors
    /// As [`Env::stop`].
    pub async fn cleanup(&self, progress: &Progress) -> Result<(), EnvError> {
        let turn = Turn::begin(self, "cleanup").await?;
        let vms = ordered::able(self.vms(), &[Deed::Stop], &Selection::All)?;
        self.end(&turn, vms, Duration::ZERO, progress).await?;
        match turn.prefix() {
            Some(prefix) => Ok(prefix.unmark_initialized()?),
            None => Ok(()),
        }
    }

    /// Ends machines: those that are not off within `limit` at once.
    async fn end(
        &self,
        turn: &Turn<'_>,
        vms: Vec<Vm>,
        limit: Duration,
        progress: &Progress,
    ) -> Result<Vec<Stopped>, EnvError> {
        let (made, others) = ordered::split(vms);
        let ended = match made.is_empty() && !others.is_empty() {
            true => Ok(vec![]),
            false => self.end_made(turn, made, limit, progress).await,
        };
        match (ended, ordered::stop(self, others, limit, progress).await) {
            (Ok(made), Ok(others)) => Ok(made.into_iter().chain(others).collect()),
            (made, others) => Err(EnvError::several(made.err().into_iter().chain(others.err()).collect())),
        }
    }

    /// Ends machines that libvirt makes, and what of the lab is not needed any more.
    async fn end_made(
        &self,
        turn: &Turn<'_>,
        vms: Vec<Vm>,
        limit: Duration,
        progress: &Progress,
    ) -> Result<Vec<Stopped>, EnvError> {
        let running = match self.site().ground() {
            Ground::Up(running) => running,
            Ground::Broken { lab, why } if lab.kind() == LabKind::System => {
                return Err(EnvError::Unanswered { uri: lab.libvirt_uri(), why });
            }
            ground => {
                // Whatever is left of a lab that cannot be asked any more goes with it.
                let how = if matches!(ground, Ground::Down) { How::Already } else { How::Forced };
                self.end_lab(turn).await?;
                return Ok(vms.iter().map(|vm| Stopped { machine: vm.name().clone(), how }).collect());
            }
        };
        let each = |vm: Vm| {
            let (running, progress) = (Arc::clone(&running), progress.clone());
            async move {
                let how = end_machine(&running, &vm, limit).await?;
                vm.is_now("off");
                progress.say(&format!("{} {how}", vm.name()));
                Ok(Stopped { machine: vm.name().clone(), how })
            }
        };
        let domains: Vec<_> = vms.iter().map(|vm| thing(Kind::Domain, vm.domain(), &*running.lab)).collect();
        let stopped = parallel::each(vms, each).await;
        if stopped.is_ok() {
            domains.iter().try_for_each(|domain| turn.gone(domain))?;
        }
        let idle = self.end_idle(turn, &running).await;
        match (stopped, idle) {
            (Ok(stopped), Ok(())) => Ok(stopped),
            (stopped, idle) => Err(EnvError::several(stopped.err().into_iter().chain(idle.err()).collect())),
        }
    }

    /// As [`Env::end_idle`], if there is a lab at all.
    pub(super) async fn end_unneeded(&self, turn: &Turn<'_>) -> Result<(), EnvError> {
        match self.site().ground() {
            Ground::Up(running) => self.end_idle(turn, &running).await,
            _ => Ok(()),
        }
    }

    /// Ends the networks that no machine needs any more, and the lab of a prefix when there is no machine any more.
    async fn end_idle(&self, turn: &Turn<'_>, running: &Running) -> Result<(), EnvError> {
        let mut alive = Vec::new();
        for vm in made(self.vms()) {
            let state = running.connection.domain_state(vm.domain(), limits::COMMAND).await;
            if state.map_err(|e| running.explain(e))? != DomainState::Absent {
                alive.push(vm);
            }
        }
        if alive.is_empty() && running.lab.runtime().is_some() && matches!(self.home(), Home::Prefix(_)) {
            return self.end_lab(turn).await;
        }
        let active = network::active(running, &self.plan().nets).await?;
        let idle =
            self.plan().nets.iter().filter(|net| !alive.iter().any(|vm| network::needs(self, vm, net)));
        let names = idle.map(|net| net.libvirt_name.clone()).filter(|name| active.contains(name));
        network::destroy_all(turn, running, names.collect()).await?;
        if alive.is_empty() && running.lab.kind() == LabKind::System {
            self.site().set(Ground::Down);
        }
        Ok(())
    }

    /// Ends the lab, with everything in it.
    pub(super) async fn end_lab(&self, turn: &Turn<'_>) -> Result<(), EnvError> {
        let lab = match self.site().set(Ground::Down) {
            Ground::Up(running) => Some(Arc::clone(&running.lab)),
            Ground::Broken { lab, .. } => Some(lab),
            Ground::Down => None,
        };
        if let Some(lab) = lab {
            let runtime = lab.runtime().map(|runtime| runtime.folder.display().to_string());
            lab.end(limits::DOWN).await?;
            runtime.map_or(Ok(()), |folder| turn.gone(&thing(Kind::Lab, &folder, &*lab)))?;
        }
        match self.state().lab {
            LabState::Hermetic { folder: Some(_) } => {
                turn.update(|state| state.lab = LabState::Hermetic { folder: None })
            }
            LabState::Hermetic { folder: None } | LabState::System { .. } => Ok(()),
        }
    }

    async fn switch(&self, deed: Deed, selection: &Selection) -> Result<(), EnvError> {
        let (vms, others) = ordered::split(ordered::able(self.select(selection)?, &[deed], selection)?);
        let _turn = Turn::begin(self, &deed.to_string()).await?;
        let made = match vms.is_empty() && !others.is_empty() {
            true => Ok(()),
            false => self.switch_made(deed, vms).await,
        };
        let others = ordered::switch(self, deed, others).await;
        EnvError::all(made.err().into_iter().chain(others.err()).collect())
    }

    async fn switch_made(&self, deed: Deed, vms: Vec<Vm>) -> Result<(), EnvError> {
        if matches!(self.site().ground(), Ground::Down) {
            return Ok(()); // all of them are off
        }
        let running = self.site().running()?;
        let each = |vm: Vm| {
            let running = Arc::clone(&running);
            async move {
                let (connection, domain) = (&running.connection, vm.domain());
                let state = connection.domain_state(domain, limits::COMMAND).await;
                if state.map_err(|e| running.explain(e))? != state_for(deed) {
                    return Ok(());
                }
                let done = match deed {
                    Deed::Reboot => {
                        // Not every guest hears its power button, none does while it comes up, and nobody can tell
                        // whether it did: whoever can be told otherwise is.
                        let abilities = &vm.plan().abilities;
                        let can_be_told = abilities.has(Ability::Ssh) || abilities.has(Ability::Agent);
                        if can_be_told && vm.ask_to_reboot().await.is_ok() {
                            vm.is_now("rebooting");
                            vm.restarted().await;
                            return Ok(());
                        }
                        vm.is_now("rebooting");
                        vm.restarted().await;
                        connection.reboot_domain(domain, limits::DOMAIN).await
                    }
                    Deed::Pause => connection.suspend_domain(domain, limits::DOMAIN).await,
                    Deed::Resume => connection.resume_domain(domain, limits::DOMAIN).await,
                    // Those end machines, in a way of their own.
                    Deed::Stop | Deed::Shutdown => return Ok(()),
                };
                done.map_err(|e| running.explain(e))?;
                match deed {
                    Deed::Pause => vm.is_now("paused"),
                    Deed::Resume => vm.is_now("up"),
                    Deed::Reboot | Deed::Stop | Deed::Shutdown => {}
                }
                Ok(())
            }
        };
        parallel::each(vms, each).await.map(drop)
    }
}

/// In which state a machine is for it.
pub(super) fn state_for(deed: Deed) -> DomainState {
    match deed {
        Deed::Resume => DomainState::Paused,
        Deed::Stop | Deed::Shutdown | Deed::Reboot | Deed::Pause => DomainState::Running,
    }
}

async fn end_machine(running: &Running, vm: &Vm, limit: Duration) -> Result<How, EnvError> {
    let connection = running.connection.another(limits::CONNECT).await?;
    let state =
        connection.domain_state(vm.domain(), limits::COMMAND).await.map_err(|e| running.explain(e))?;
    if state == DomainState::Absent {
        return Ok(How::Already);
    }
    // A paused or crashed machine cannot do anything by itself.
    if state == DomainState::Running && !limit.is_zero() && goes_down(&connection, vm, limit).await {
        return Ok(How::Graceful);
    }
    connection.destroy_domain(vm.domain(), limits::DOMAIN).await.map_err(|e| running.explain(e))?;
    Ok(How::Forced)
}

/// Asks a machine to switch itself off and waits at most `limit`; false when it is still on. One that only just came up may
/// answer over ssh before anybody in it hears its power button: it is asked again and again.
async fn goes_down(connection: &Connection, vm: &Vm, limit: Duration) -> bool {
    let deadline = Deadline::within(limit);
    while !deadline.passed() {
        let asked = match vm.agent().filter(|_| vm.plan().abilities.has(Ability::Agent)) {
            Some(agent) => agent.shutdown().await.is_ok(),
            None => false,
        };
        if !asked && connection.shutdown_domain(vm.domain(), limits::DOMAIN).await.is_err() {
            return connection
                .domain_state(vm.domain(), limits::COMMAND)
                .await
                .is_ok_and(|state| state == DomainState::Absent);
        }
        let off = wait_for("it to be off", deadline.left().min(ASK_AGAIN), PAUSE, async || match connection
            .domain_state(vm.domain(), limits::COMMAND)
            .await
        {
            Ok(DomainState::Absent) => Look::Ready(()),
            Ok(state) => Look::NotYet(format!("{state:?}")),
            Err(error) => Look::Failed(error.to_string()),
        });
        if off.await.is_ok() {
            return true;
        }
    }
    false
}

/// Cuts the power of machines; those that are off already are no failure.
pub(super) async fn destroy_all(
    turn: &Turn<'_>,
    running: &Arc<Running>,
    vms: Vec<Vm>,
) -> Result<(), EnvError> {
    let domains: Vec<_> = vms.iter().map(|vm| thing(Kind::Domain, vm.domain(), &*running.lab)).collect();
    let each = |vm: Vm| {
        let running = Arc::clone(running);
        async move { end_machine(&running, &vm, Duration::ZERO).await }
    };
    parallel::each(vms, each).await?;
    domains.iter().try_for_each(|domain| turn.gone(domain))
}
