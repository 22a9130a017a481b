//! Machines that go on somewhere else than where they were kept: under another name in libvirt, on other networks, at other
//! addresses. What libvirt saved is written anew for them; they themselves are told once they go on.

use std::path::{Path, PathBuf};

use super::{origin::From, saved};
use crate::{
    env::{Env, EnvError, Vm, error::chain, parallel},
    provider::{
        libvirt::{SaveImage, SaveImageError, xml},
        spec::DomainSpec,
    },
};

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
        let then = from.saved.state.plan.machine(vm.name()).and_then(|machine| machine.domain.as_ref());
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
    let told = |error: SaveImageError| chain(&error);
    let mut image = SaveImage::read(kept).map_err(told)?;
    image.xml = xml::as_other(&image.xml, spec).map_err(|error| error.to_string())?;
    image.write(kept, to).map_err(told)
}

impl Env {
    /// Tells machines that have just gone on where they are now, where that is another place than they were kept at. Returns
    /// when they have their addresses.
    pub(super) async fn tell_where(&self, from: &From) -> Result<(), EnvError> {
        let then = &from.saved.state.plan;
        let is_elsewhere =
            |vm: &Vm| then.machine(vm.name()).is_some_and(|then| vm.plan().is_moved_from(then));
        let each = |vm: Vm| async move {
            let strings =
                vm.plan().domain.as_ref().map(|domain| domain.oem_strings.clone()).unwrap_or_default();
            vm.tell_identity(&strings).await.map_err(|source| vm.inside("tell its addresses", source))
        };
        parallel::each(self.vms().into_iter().filter(is_elsewhere).collect(), each).await.map(drop)
    }
}
