//! Goes back to a snapshot, and deletes one.

use std::{collections::BTreeMap, path::PathBuf};

use super::{Snapshot, create::remove};
use crate::{
    env::{
        Env, EnvError, Progress, Vm,
        disk::{self, Layer},
        error::chain,
        moment::can_be_told,
        parallel,
        site::Ground,
        stop,
        turn::Turn,
    },
    provider::libvirt::DomainState,
};

impl Env {
    /// Brings the machines of a snapshot back to its moment. Those whose memory was kept run again from there, with
    /// their clock set and randomness of their own; the others boot if they run now, and stay off if not.
    ///
    /// # Errors
    /// There is no such snapshot, or files of it are gone: nothing has changed then. Or a machine did not come back, or
    /// the operator has asked us to stop: all machines of the snapshot are off, their disks as they were before.
    pub async fn revert(&self, name: &str, progress: &Progress) -> Result<(), EnvError> {
        let turn = Turn::begin(self, "revert").await?;
        let snapshot = self.find_snapshot(name)?;
        self.require_files(&snapshot)?;
        let serial = self.state().chains.serial + 1;
        let mut layers = Vec::new();
        let mut alive = Vec::new();
        let mut back = Vec::new();
        let mut memory = BTreeMap::new();
        for (machine, frozen) in &snapshot.machines {
            let Some(vm) = self.vm(machine.as_str()) else { continue };
            layers.extend(disk::layers_over(&vm, frozen, serial));
            let runs = self.state_of(&vm).await? != DomainState::Absent;
            if let Some(file) = &frozen.memory {
                memory.insert(machine.clone(), file.clone());
            }
            if runs || frozen.memory.is_some() {
                back.push(vm.clone());
            }
            alive.extend(runs.then_some(vm));
        }
        self.host().require_wanted()?;
        self.lay(&layers).await?;
        let before = self.state();
        if let Ground::Up(running) = self.site().ground() {
            stop::destroy_all(&turn, &running, alive).await?;
        }
        turn.update(|state| {
            for (machine, frozen) in &snapshot.machines {
                state.attached.insert(machine.clone(), frozen.attached.clone());
                state.deployed.insert(machine.clone(), frozen.deployed.clone());
                match frozen.set_up {
                    true => state.set_up.insert(machine.clone()),
                    false => state.set_up.remove(machine),
                };
            }
            let chains = &mut state.chains;
            chains.serial = serial;
            for layer in &layers {
                chains.layers.extend([layer.pair()]);
                let tops = chains.tops.entry(layer.machine.clone()).or_default();
                tops.insert(layer.dev.clone(), layer.path.clone());
            }
            chains.current = Some(name.to_owned());
        })?;
        if back.is_empty() {
            self.sweep(&turn)?;
            return self.end_unneeded(&turn).await;
        }
        let awake: Vec<Vm> = back.iter().filter(|vm| memory.contains_key(vm.name())).cloned().collect();
        if let Err(error) = self.start_from(&turn, back, memory, progress).await {
            if matches!(error, EnvError::NotUndone { .. }) {
                // What still runs writes to the new images: they are what there is now.
                return Err(error);
            }
            turn.update(|state| {
                (state.chains.tops, state.chains.current) = (before.chains.tops, before.chains.current);
                state.deployed = before.deployed;
                state.set_up = before.set_up;
                snapshot.machines.keys().for_each(|machine| drop(state.attached.remove(machine)));
            })?;
            let tidied = self.sweep(&turn).and(self.end_unneeded(&turn).await);
            return Err(match tidied {
                Ok(()) => error,
                Err(left) => EnvError::NotUndone { error: Box::new(error), left: chain(&left) },
            });
        }
        // Only now is it known that nobody goes back to what was before.
        self.sweep(&turn)?;
        wake(awake, &snapshot, progress).await;
        Ok(())
    }

    /// Removes the images that nobody needs any more.
    fn sweep(&self, turn: &Turn<'_>) -> Result<(), EnvError> {
        let mut garbage = Vec::new();
        turn.update(|state| garbage = state.chains.take_garbage())?;
        remove(self.folder(), &garbage)
    }

    /// Forgets a snapshot. Its files go as far as nothing lies over them.
    ///
    /// # Errors
    /// There is no such snapshot, or a file cannot be removed.
    pub async fn delete_snapshot(&self, name: &str) -> Result<(), EnvError> {
        let turn = Turn::begin(self, "snapshot").await?;
        let snapshot = self.find_snapshot(name)?;
        let mut garbage: Vec<PathBuf> = snapshot.machines.into_values().filter_map(|m| m.memory).collect();
        turn.update(|state| {
            state.chains.take(name);
            garbage.extend(state.chains.take_garbage());
        })?;
        remove(self.folder(), &garbage)
    }

    /// Refuses a snapshot of which something is gone, with all that is.
    fn require_files(&self, snapshot: &Snapshot) -> Result<(), EnvError> {
        let machines = snapshot.machines.values();
        let files = machines.flat_map(|frozen| frozen.disks.values().chain(&frozen.memory));
        let gone: Vec<String> = files
            .map(|file| self.folder().join(file))
            .filter(|file| !file.exists())
            .map(|file| file.display().to_string())
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        Err(EnvError::SnapshotDamaged { name: snapshot.name.clone(), gone: gone.join(", ") })
    }

    /// Makes all these layers or none.
    async fn lay(&self, layers: &[Layer]) -> Result<(), EnvError> {
        let folder = self.folder().to_owned();
        let each = |layer: Layer| {
            let folder = folder.clone();
            async move { layer.make(&folder).await }
        };
        let made = parallel::each(layers.to_vec(), each).await;
        if made.is_err() {
            let files: Vec<PathBuf> = layers.iter().map(|layer| layer.path.clone()).collect();
            let _ = remove(&folder, &files);
        }
        made.map(drop)
    }
}

/// The clock of a machine that comes back stands at the moment of its snapshot, and what it draws next is what it drew then.
async fn wake(vms: Vec<Vm>, snapshot: &Snapshot, progress: &Progress) {
    let each = |vm: Vm| {
        let by = snapshot.machines.get(vm.name()).and_then(|frozen| frozen.wake.clone());
        let progress = progress.clone();
        async move {
            if let Err(error) = vm.wake(by.as_deref()).await {
                let (name, why) = (vm.name(), chain(&error));
                progress.say(&format!("the clock of {name} is still that of the snapshot: {why}"));
            }
            Ok(())
        }
    };
    let _ = parallel::each(vms.into_iter().filter(can_be_told).collect(), each).await;
}
