//! Waits until a machine that was started is ready: until it answers by the way it can, or has ended while it booted.

use std::time::{Duration, Instant};

use super::{Env, EnvError, Progress, Vm, host::limits, site::Running};
use crate::{image::Ability, provider::libvirt::DomainState};

/// Waits until a machine that runs answers.
pub(super) async fn ready(
    env: &Env,
    running: Option<&Running>,
    vm: &Vm,
    since: Instant,
    progress: &Progress,
) -> Result<(), EnvError> {
    let abilities = &vm.plan().abilities;
    if !vm.plan().awaited {
        progress.say(&format!("{} is not waited for: it is of the vm-type `{}`", vm.name(), vm.vm_type()));
        return Ok(());
    }
    let limit = vm.plan().boot_time.unwrap_or(limits::READY);
    let answer = async {
        // The guest stretches its deadlines itself.
        let answer = match (abilities.has(Ability::Ssh) && vm.ip().is_some(), abilities.has(Ability::Agent)) {
            (true, _) => vm.wait_for_ssh(limit).await,
            (false, true) => vm.wait_for_agent(limit).await,
            (false, false) => Ok(()),
        };
        answer.map_err(|source| EnvError::NotReady { machine: vm.name().clone(), source: Box::new(source) })
    };
    tokio::select! {
        result = answer => result?,
        error = ended(env, running, vm) => return Err(error),
    }
    progress.say(&format!("{} answers after {:.1} s", vm.name(), since.elapsed().as_secs_f64()));
    Ok(())
}

/// Comes back only when a machine of the lab that should be booting has ended.
async fn ended(env: &Env, running: Option<&Running>, vm: &Vm) -> EnvError {
    let Some(running) = running.filter(|_| vm.is_made()) else { return std::future::pending().await };
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let what = match env.state_of(vm).await {
            Ok(DomainState::Off | DomainState::Absent) => "was switched off while it booted",
            Ok(DomainState::Crashed) => "crashed while it booted",
            Ok(_) => continue,
            Err(EnvError::Provider { error, .. }) => return running.explain(error),
            Err(error) => return error,
        };
        let console = vm.console_tail(5).await.join("\n");
        let what = if console.is_empty() {
            what.to_owned()
        } else {
            format!("{what}; its console ends with:\n{console}")
        };
        return EnvError::MachineEnded { machine: vm.name().clone(), what };
    }
}
