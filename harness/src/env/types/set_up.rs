//! Makes machines what their types say, once, and waits until they are.

use super::MachineType;
use crate::{
    base::dial::BoxFuture,
    env::{Env, EnvError, Progress, Selection, Vm, parallel, plan::TYPE, turn::Turn},
};

/// Something a type does with a machine.
type Work = for<'a> fn(&'a dyn MachineType, &'a Vm) -> BoxFuture<'a, anyhow::Result<()>>;

impl Env {
    /// Lets the types of machines set them up that are not yet, and waits until they are up as their types mean it. The
    /// machines must answer, and what is deployed on them must be.
    ///
    /// # Errors
    /// Every machine that could not be set up; else every one that is not up in time.
    pub async fn set_up(&self, selection: &Selection, progress: &Progress) -> Result<(), EnvError> {
        let vms = self.select(selection)?;
        let turn = Turn::begin(self, "set-up").await?;
        self.set_up_in(&turn, vms, progress).await
    }

    /// The same within somebody's turn.
    pub(in crate::env) async fn set_up_in(
        &self,
        turn: &Turn<'_>,
        vms: Vec<Vm>,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        let done = self.state().set_up;
        let new: Vec<Vm> = vms.iter().filter(|vm| !done.contains(vm.name())).cloned().collect();
        let each = |vm: Vm| async move {
            let done = work(&vm, "set up", |kind, vm| kind.set_up(vm)).await;
            Ok((vm, done))
        };
        let tried = parallel::each(new, each).await?;
        let (good, bad): (Vec<_>, Vec<_>) = tried.into_iter().partition(|(_, done)| done.is_ok());
        if !good.is_empty() {
            turn.update(|state| state.set_up.extend(good.into_iter().map(|(vm, _)| vm.name().clone())))?;
        }
        EnvError::all(bad.into_iter().filter_map(|(_, done)| done.err()).collect())?;
        let each = |vm: Vm| {
            let progress = progress.clone();
            async move {
                work(&vm, "up", |kind, vm| kind.up(vm)).await?;
                if vm.vm_type() != TYPE {
                    progress.say(&format!("{} is up as `{}`", vm.name(), vm.vm_type()));
                }
                Ok(())
            }
        };
        parallel::each(vms, each).await.map(drop)
    }
}

async fn work(vm: &Vm, what: &'static str, work: Work) -> Result<(), EnvError> {
    let (machine, vm_type) = (vm.name().clone(), vm.vm_type().to_owned());
    match vm.machine_type() {
        None => Err(EnvError::NoType { machine, vm_type }),
        Some(kind) => {
            work(kind, vm).await.map_err(|source| EnvError::NotUp { machine, vm_type, what, source })
        }
    }
}
