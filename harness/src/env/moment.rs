//! Moments of a whole environment: kept while it goes on, and gone back to, as often as wanted. What a scenario begins in that
//! is `from` another. Unlike snapshots they have no names for people, and are gone with the environment.
//!
//! There are two ways. **In place**: emulators keep memory, devices and disks in the disk images and load them again in the
//! same processes, whose taps and sockets stay. **By snapshot**, where that cannot be: a disk that is no qcow2 image, UEFI,
//! NICs that were plugged in, a machine that is off.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use super::{
    Env, EnvError, Progress, SnapshotOptions, Vm, error::chain, host::limits, parallel, site::Running,
    start::Memory, stop, turn::Turn,
};
use crate::{
    base::id::{MachineName, NetName},
    net::Extra,
    provider::{
        ProviderError,
        libvirt::DomainState,
        spec::{Access, Boot, ImageFormat},
    },
};

/// A moment of an environment, to which it can go back.
#[derive(Debug)]
pub struct Moment {
    name: String,
    way: Way,
    /// Names that nets had beside those of the plan.
    names: BTreeMap<NetName, Extra>,
    /// Up to where journals were followed: what came later is not in them when they are gone back to.
    heard: BTreeMap<MachineName, String>,
}

#[derive(Debug)]
enum Way {
    /// In the images of the disks.
    InPlace(Inside),
    /// A snapshot of the same name.
    Snapshot,
}

/// What is noted of machines whose moment is in their disks.
#[derive(Debug)]
struct Inside {
    /// Whether each ran; else it was paused.
    ran: BTreeMap<MachineName, bool>,
    /// What their disks wrote to.
    tops: BTreeMap<MachineName, BTreeMap<String, PathBuf>>,
    deployed: BTreeMap<MachineName, BTreeSet<String>>,
    set_up: BTreeSet<MachineName>,
    /// By what each is told that it goes on.
    wakes: BTreeMap<MachineName, String>,
}

/// What emulators are asked for.
#[derive(Clone, Copy)]
enum Ask {
    Keep,
    Return,
    Forget,
}

impl Env {
    /// Keeps the moment in which all machines are, their memory and disks; all are stopped for it at the same time and go
    /// on. Faults are to be healed before.
    ///
    /// # Errors
    /// A machine is not made by libvirt, or neither runs, nor is paused, nor off; or it cannot be kept. Nothing is kept
    /// then, and all go on.
    pub async fn keep_moment(&self, progress: &Progress) -> Result<Moment, EnvError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let others = self.vms().into_iter().filter(|vm| !vm.is_made());
        EnvError::all(others.map(|vm| vm.cannot("keep the state of")).collect())?;
        let name = format!("moment-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let names = self.state().names;
        let heard = |vm: &Vm| Some((vm.name().clone(), vm.heard().clone()?));
        let heard = self.vms().iter().filter_map(heard).collect();
        let start = Instant::now();
        let way = match self.keep_in_place(&name).await? {
            Ok(inside) => Way::InPlace(inside),
            Err(why) => {
                tracing::debug!(target: "polder", "a snapshot is taken, because {why}");
                let options = SnapshotOptions { memory: true, ..SnapshotOptions::default() };
                self.snapshot(&name, &options, progress).await?;
                Way::Snapshot
            }
        };
        tracing::debug!(target: "polder", "{name} is kept after {:.2} s", start.elapsed().as_secs_f64());
        Ok(Moment { name, way, names, heard })
    }

    /// Brings all machines back to a moment: they go on from there, with their clocks set to what it is now; names that nets
    /// were given since then are gone. Connections to machines are made anew.
    ///
    /// # Errors
    /// A machine could not be brought back, or its clock not be set: what machines do then is not known.
    pub async fn return_to(&self, moment: &Moment, progress: &Progress) -> Result<(), EnvError> {
        let start = Instant::now();
        match &moment.way {
            Way::InPlace(inside) => self.return_in_place(&moment.name, inside, progress).await?,
            Way::Snapshot => self.revert(&moment.name, progress).await?,
        }
        for net in self.plan().nets.iter().filter_map(|net| self.net(net.name.as_str())) {
            net.set_names(moment.names.get(net.name()).cloned().unwrap_or_default()).await?;
        }
        let mut running = Vec::new();
        for vm in self.vms() {
            vm.restarted().await;
            *vm.heard() = moment.heard.get(vm.name()).cloned();
            if self.state_of(&vm).await? == DomainState::Running {
                running.push(vm);
            }
        }
        let wakes = match &moment.way {
            Way::InPlace(inside) => inside.wakes.clone(),
            Way::Snapshot => BTreeMap::new(),
        };
        self.wake(running, &wakes).await?;
        tracing::debug!(target: "polder", "{} is gone back to after {:.2} s", moment.name, start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Forgets a moment, and frees what it took.
    ///
    /// # Errors
    /// libvirt or an emulator refuses.
    pub async fn forget_moment(&self, moment: &Moment) -> Result<(), EnvError> {
        match &moment.way {
            Way::Snapshot => self.delete_snapshot(&moment.name).await,
            Way::InPlace(_) => {
                let _turn = Turn::begin(self, "snapshot").await?;
                let running = self.site().running()?;
                let mut there = Vec::new();
                for vm in self.vms() {
                    if matches!(self.state_of(&vm).await?, DomainState::Running | DomainState::Paused) {
                        there.push(vm);
                    }
                }
                ask(self, &running, there, &moment.name, Ask::Forget).await
            }
        }
    }

    /// Keeps a moment in the disk images, or says why that cannot be.
    async fn keep_in_place(&self, name: &str) -> Result<Result<Inside, String>, EnvError> {
        let _turn = Turn::begin(self, "snapshot").await?;
        let state = self.state();
        let mut ran = BTreeMap::new();
        for vm in self.vms() {
            let is_running = match self.state_of(&vm).await? {
                DomainState::Running => true,
                DomainState::Paused => false,
                other => return Ok(Err(format!("{} is {other:?}", vm.name()))),
            };
            let attached = state.attached.get(vm.name()).is_some_and(|nics| !nics.is_empty());
            let why =
                if attached { Some("has NICs that were plugged in") } else { unfit(&vm, &state.chains.tops) };
            if let Some(why) = why {
                return Ok(Err(format!("{} {why}", vm.name())));
            }
            ran.insert(vm.name().clone(), is_running);
        }
        let running = self.site().running()?;
        let (vms, on) = (self.vms(), self.those(&ran));
        self.host().require_wanted()?;
        let wakes = self.made_wakeable(on.clone()).await?;
        let kept = async {
            pause(&running, &on).await?;
            ask(self, &running, vms.clone(), name, Ask::Keep).await
        };
        let kept = kept.await;
        let refused = match &kept {
            Err(error) if is_refusal(error) => {
                // What one has kept is of no use without the others.
                let _ = ask(self, &running, vms, name, Ask::Forget).await;
                Some(chain(error))
            }
            _ => None,
        };
        let resumed = go_on(&running, &on).await;
        match refused {
            Some(why) => resumed.map(|()| Err(why)),
            None => EnvError::all(kept.err().into_iter().chain(resumed.err()).collect()).map(|()| {
                let (tops, deployed, set_up) = (state.chains.tops, state.deployed, state.set_up);
                Ok(Inside { ran, tops, deployed, set_up, wakes })
            }),
        }
    }

    async fn return_in_place(
        &self,
        name: &str,
        inside: &Inside,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        let turn = Turn::begin(self, "revert").await?;
        self.host().require_wanted()?;
        if self.state().chains.tops != inside.tops {
            return Err(EnvError::MomentMoved);
        }
        let running = self.site().running()?;
        let loaded = match self.is_as_kept().await? {
            true => self.load_moment(&running, name, inside).await,
            false => Err(EnvError::MomentMoved),
        };
        if loaded.is_err() {
            // Another machine than the one whose moment it was: with a device more, or ended. It is made as it was.
            stop::destroy_all(&turn, &running, self.vms()).await?;
            self.start_from(&turn, self.vms(), Memory::new(), progress).await?;
            self.load_moment(&running, name, inside).await?;
        }
        turn.update(|state| {
            state.deployed.clone_from(&inside.deployed);
            state.set_up.clone_from(&inside.set_up);
        })
    }

    /// Whether all machines are there, with nothing that was plugged in.
    async fn is_as_kept(&self) -> Result<bool, EnvError> {
        if self.state().attached.values().any(|nics| !nics.is_empty()) {
            return Ok(false);
        }
        for vm in self.vms() {
            if !matches!(self.state_of(&vm).await?, DomainState::Running | DomainState::Paused) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Loads a moment in all machines, none of which goes on before all have it.
    async fn load_moment(&self, running: &Arc<Running>, name: &str, inside: &Inside) -> Result<(), EnvError> {
        pause(running, &self.vms()).await?;
        ask(self, running, self.vms(), name, Ask::Return).await?;
        go_on(running, &self.those(&inside.ran)).await
    }

    /// Has machines ready to be told that they go on from the moment that is kept next: by what, for each that can be.
    pub(super) async fn made_wakeable(
        &self,
        vms: Vec<Vm>,
    ) -> Result<BTreeMap<MachineName, String>, EnvError> {
        let each = |vm: Vm| async move { Ok(vm.make_wakeable().await.map(|by| (vm.name().clone(), by))) };
        let able = vms.into_iter().filter(can_be_told).collect();
        Ok(parallel::each(able, each).await?.into_iter().flatten().collect())
    }

    /// Tells machines that they have gone on from an earlier moment, so that their clocks and what they draw are of now.
    pub(super) async fn wake(
        &self,
        vms: Vec<Vm>,
        by: &BTreeMap<MachineName, String>,
    ) -> Result<(), EnvError> {
        let each = |vm: Vm| {
            let by = by.get(vm.name()).cloned();
            async move { vm.wake(by.as_deref()).await.map_err(|source| vm.inside("wake", source)) }
        };
        parallel::each(vms.into_iter().filter(can_be_told).collect(), each).await.map(drop)
    }

    /// Machines of which it is true.
    fn those(&self, ran: &BTreeMap<MachineName, bool>) -> Vec<Vm> {
        self.vms().into_iter().filter(|vm| ran.get(vm.name()) == Some(&true)).collect()
    }
}

/// Why a machine's emulator cannot keep a moment in its disks.
fn unfit(vm: &Vm, tops: &BTreeMap<MachineName, BTreeMap<String, PathBuf>>) -> Option<&'static str> {
    let domain = vm.plan().domain.as_ref()?;
    if matches!(domain.boot, Boot::Uefi { .. }) {
        return Some("has UEFI variables");
    }
    let moved = |dev: &str| tops.get(vm.name()).is_some_and(|disks| disks.contains_key(dev));
    let mut written = domain.disks.iter().filter(|disk| disk.access == Access::ReadWrite).peekable();
    if written.peek().is_none() {
        return Some("has no disk it writes to");
    }
    let plain = written.any(|disk| disk.format != ImageFormat::Qcow2 && !moved(&disk.dev));
    plain.then_some("has a disk that is no qcow2 image")
}

/// Whether it is the emulator that said no.
fn is_refusal(error: &EnvError) -> bool {
    match error {
        EnvError::Provider { error, .. } => matches!(error, ProviderError::Emulator { .. }),
        EnvError::Several(all) => all.iter().all(is_refusal),
        _ => false,
    }
}

/// Has all emulators do something at the same time.
async fn ask(env: &Env, running: &Arc<Running>, vms: Vec<Vm>, tag: &str, what: Ask) -> Result<(), EnvError> {
    let limit = env.scaled(limits::SAVE);
    let each = |vm: Vm| {
        let (running, tag) = (Arc::clone(running), tag.to_owned());
        async move {
            let connection = running.connection.another(limits::CONNECT).await?;
            let asked = match what {
                Ask::Keep => connection.keep_inside(vm.domain(), &tag, limit).await,
                Ask::Return => connection.return_inside(vm.domain(), &tag, limit).await,
                Ask::Forget => connection.forget_inside(vm.domain(), &tag, limit).await,
            };
            asked.map_err(|error| running.explain(error))
        }
    };
    parallel::each(vms, each).await.map(drop)
}

pub(super) async fn pause(running: &Running, vms: &[Vm]) -> Result<(), EnvError> {
    for vm in vms {
        let paused = running.connection.suspend_domain(vm.domain(), limits::DOMAIN).await;
        paused.map_err(|e| running.explain(e))?;
    }
    Ok(())
}

pub(super) async fn go_on(running: &Running, vms: &[Vm]) -> Result<(), EnvError> {
    let mut errors = Vec::new();
    for vm in vms {
        let resumed = running.connection.resume_domain(vm.domain(), limits::DOMAIN).await;
        errors.extend(resumed.map_err(|e| running.explain(e)).err());
    }
    EnvError::all(errors)
}

/// Whether there is a way to tell a machine anything; the clock of others stays at the moment they came back to.
pub(super) fn can_be_told(vm: &Vm) -> bool {
    vm.spec().ssh.is_some() || vm.agent().is_some()
}
