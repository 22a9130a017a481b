//! Machines that go on somewhere else than where they were kept: under another name in libvirt, on other networks, at other
//! addresses. What libvirt saved is written anew for them; they themselves are told once they go on.

use std::path::{Path, PathBuf};

use super::{origin::From, saved};
use crate::{
    base::id::MachineName,
    env::{
        Env, EnvError, Vm,
        plan::{Backing, EnvPlan, IdentityFrom, MachinePlan, Made},
    },
    image,
    provider::{
        libvirt::{SaveImage, SaveImageError, xml},
        spec::DomainSpec,
    },
};

/// The part of a machine's identity that says where it is: its NICs, and whom it asks for names.
fn whereabouts(machine: &MachinePlan) -> Vec<&str> {
    const KEYS: [&str; 4] = ["polder.nic=", "polder.nic6=", "polder.dns=", "polder.search="];
    let strings = machine.domain.iter().flat_map(|domain| &domain.oem_strings).map(String::as_str);
    strings.filter(|string| KEYS.iter().any(|key| string.starts_with(key))).collect()
}

/// The machine of a plan that has this name.
fn of<'a>(plan: &'a EnvPlan, name: &MachineName) -> Option<&'a MachinePlan> {
    plan.machines.iter().find(|machine| machine.name == *name)
}

/// Whether a machine that was kept as `then` is at other addresses now.
fn is_moved(then: &MachinePlan, now: &MachinePlan) -> bool {
    let cards = |machine: &MachinePlan| -> Vec<_> {
        machine.nics.iter().map(|nic| (nic.mac, nic.ip, nic.ip6)).collect()
    };
    cards(then) != cards(now) || whereabouts(then) != whereabouts(now)
}

/// The first machine that is at other addresses than where it was kept, and that can only be told so when it boots.
pub(super) fn stays(then: &EnvPlan, now: &EnvPlan) -> Option<MachineName> {
    let pairs = now.machines.iter().filter_map(|machine| Some((of(then, &machine.name)?, machine)));
    let mut unmovable = pairs.filter(|(then, now)| {
        is_moved(then, now)
            && (now.identity != IdentityFrom::Smbios || !now.abilities.has(image::Ability::AgentExec))
    });
    unmovable.next().map(|(_, now)| now.name.clone())
}

/// What a disk of a machine lies over now, where that is elsewhere than it was.
pub(super) fn base<'a>(
    then: &EnvPlan,
    now: &'a EnvPlan,
    machine: &MachineName,
    dev: &str,
) -> Option<&'a Backing> {
    let now = backing(now, machine, dev)?;
    (backing(then, machine, dev) != Some(now)).then_some(now)
}

fn backing<'a>(plan: &'a EnvPlan, machine: &MachineName, dev: &str) -> Option<&'a Backing> {
    let machine = of(plan, machine)?;
    let mut disks = machine.disks.iter().zip(machine.domain.iter().flat_map(|domain| &domain.disks));
    match &disks.find(|(_, domain)| domain.dev == dev)?.0.image.as_ref()?.made {
        Made::Over(backing) => Some(backing),
        Made::Copy(_) | Made::Empty { .. } | Made::Seed(_) => None,
    }
}

/// Whether libvirt has to be told that what it saved as `then` is `now`.
fn is_another(then: &DomainSpec, now: &DomainSpec) -> bool {
    (&then.name, &then.uuid, &then.nics, &then.label.is_some())
        != (&now.name, &now.uuid, &now.nics, &now.label.is_some())
}

/// A file of memory, and whether it is only there to be read once.
pub(super) struct Memory {
    /// As the emulator sees it.
    pub(super) path: PathBuf,
    written: Option<PathBuf>,
}

impl Memory {
    /// That from which `vm`, made as `spec`, goes on: what was kept, or what libvirt saved written anew for it, in the folder
    /// of its environment.
    pub(super) async fn of(env: &Env, vm: &Vm, spec: &DomainSpec, from: &From) -> Result<Self, EnvError> {
        let view = env.site().running()?.lab.view();
        let then = of(&from.saved.state.plan, vm.name()).and_then(|machine| machine.domain.as_ref());
        if !then.is_some_and(|then| is_another(then, spec)) {
            return Ok(Self {
                path: super::Origin::inside(from, &saved::memory(vm.name()), &view),
                written: None,
            });
        }
        let kept = from.entry.folder.join(saved::memory(vm.name()));
        let name = saved::memory(vm.name());
        let to = saved::copied(env.folder(), &name);
        let memory = Self { path: saved::copied(&view.env, &name), written: Some(to.clone()) };
        let spec = spec.clone();
        let write = tokio::task::spawn_blocking(move || write_anew(&kept, &spec, &to));
        let written = write.await.unwrap_or_else(|error| Err(error.to_string()));
        written.map_err(|error| EnvError::SavedXml { machine: vm.name().clone(), error })?;
        Ok(memory)
    }
}

/// What was written for one machine is of no use to another.
impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(written) = &self.written {
            // It goes with the environment otherwise.
            let _ = std::fs::remove_file(written);
        }
    }
}

fn write_anew(kept: &Path, spec: &DomainSpec, to: &Path) -> Result<(), String> {
    let told = |error: SaveImageError| crate::env::error::chain(&error);
    let mut image = SaveImage::read(kept).map_err(told)?;
    image.xml = xml::as_other(&image.xml, spec).map_err(|error| error.to_string())?;
    image.write(kept, to).map_err(told)
}

impl Env {
    /// Tells machines that have just gone on where they are now, where that is another place than they were kept at. Returns
    /// when they have their addresses.
    pub(super) async fn tell_where(&self, from: &From) -> Result<(), EnvError> {
        let then = &from.saved.state.plan;
        let is_elsewhere = |vm: &Vm| of(then, vm.name()).is_some_and(|then| is_moved(then, vm.plan()));
        let each = |vm: Vm| async move {
            let strings =
                vm.plan().domain.as_ref().map(|domain| domain.oem_strings.clone()).unwrap_or_default();
            vm.tell_identity(&strings).await.map_err(|source| vm.inside("tell its addresses", source))
        };
        crate::env::parallel::each(self.vms().into_iter().filter(is_elsewhere).collect(), each)
            .await
            .map(drop)
    }
}
