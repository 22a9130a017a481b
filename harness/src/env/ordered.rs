//! Machines that libvirt does not make: what is done with them is asked of their provider, each time with a deadline.
//! They need no lab.

use std::{collections::BTreeMap, time::Duration};

use anyhow::anyhow;
use tokio::time::timeout;

use super::{
    Destroyed, Env, EnvError, Host, Progress, Selection, Vm,
    error::chain,
    host::limits,
    parallel,
    plan::EnvPlan,
    state::EnvState,
    stop::{How, Stopped, state_for},
    turn::Turn,
};
use crate::{
    guest::Command,
    provider::{Answer, Deed, MachineError, MachineOrder, MachineState, ProviderCx},
    workdir::{Kind, Prefix, Thing},
};

/// Who keeps to a deadline is heard a little later.
const GRACE: Duration = Duration::from_secs(1);

/// Parts machines: those that libvirt makes, and those that a provider makes.
pub(super) fn split(vms: Vec<Vm>) -> (Vec<Vm>, Vec<Vm>) {
    let (made, others): (Vec<_>, Vec<_>) = vms.into_iter().partition(Vm::is_made);
    (made, others.into_iter().filter(|vm| vm.plan().order.is_some()).collect())
}

/// Refuses machines that somebody would have to remove, where nobody could if we are killed.
pub(super) fn require_lasting(host: &Host, plan: &EnvPlan) -> Result<(), EnvError> {
    let makes = |name: &str| host.providers.iter().any(|one| one.name() == name && one.makes());
    let refused = plan.machines.iter().filter(|one| one.order.is_some() && makes(&one.provider));
    let refused = refused
        .map(|one| EnvError::NotForSuites { machine: one.name.clone(), provider: one.provider.clone() });
    EnvError::all(refused.collect())
}

/// Of `vms` those that can do one of `deeds`: libvirt's can do all. One that cannot and was named is an error, before
/// anything is done to any of them.
pub(super) fn able(vms: Vec<Vm>, deeds: &[Deed], selection: &Selection) -> Result<Vec<Vm>, EnvError> {
    let mut able = Vec::new();
    let mut errors = Vec::new();
    for vm in vms {
        // A provider that this binary does not have is an error where it is asked.
        let cannot = vm
            .ordered()
            .ok()
            .flatten()
            .is_some_and(|(provider, _)| !deeds.iter().any(|deed| provider.deeds().contains(deed)));
        match deeds.first().filter(|_| cannot) {
            Some(deed) if selection.is_named() => errors.push(vm.cannot(deed.name())),
            Some(deed) => {
                let (name, provider) = (vm.name(), &vm.plan().provider);
                tracing::info!(target: "polder", "{name} is left as it is: `{provider}` cannot {deed} machines");
            }
            None => able.push(vm),
        }
    }
    EnvError::all(errors).map(|()| able)
}

/// How a machine is that has a provider. One that is there anyway is what it takes to log in to it.
pub(super) async fn state(env: &Env, vm: &Vm) -> Result<Option<MachineState>, EnvError> {
    let Some((provider, order)) = vm.ordered()? else { return Ok(None) };
    let cx = cx(env, vm, limits::COMMAND);
    let state = ask(order, &cx, provider.state(order, &cx)).await?;
    if provider.makes() || state != MachineState::Running {
        return Ok(Some(state));
    }
    Ok(Some(match reach(vm).await {
        Ok(()) => MachineState::Running,
        Err(error) => {
            tracing::warn!(target: "polder", "{}", chain(&error));
            MachineState::Unreachable
        }
    }))
}

/// Whether the machines from which one is reached, if any, are there anyway, too.
fn is_reached_now(env: &Env, vm: &Vm) -> bool {
    let jump = vm.plan().login.jump.as_ref().and_then(|name| env.vm(name));
    jump.is_none_or(|jump| jump.is_there_anyway() && is_reached_now(env, &jump))
}

/// Logs in to a machine that is there anyway: what keeps us out will not go away by waiting.
async fn reach(vm: &Vm) -> Result<(), EnvError> {
    if vm.spec().ssh.is_none() {
        return Ok(());
    }
    let login = vm.execute(Command::new("true").timeout(limits::COMMAND)).await;
    let failed = |source| EnvError::NotReady { machine: vm.name().clone(), source: Box::new(source) };
    login.map(drop).map_err(failed)
}

/// How those machines are that have a provider here.
pub(super) async fn states(env: &Env) -> Result<BTreeMap<String, MachineState>, EnvError> {
    let (_, vms) = split(env.vms());
    let each = |vm: Vm| {
        let env = env.clone();
        async move {
            let state = match env.state_of(&vm).await {
                Err(EnvError::NoProvider { .. }) => MachineState::Other,
                state => state?,
            };
            Ok((vm.name().to_string(), state))
        }
    };
    Ok(parallel::each(vms, each).await?.into_iter().collect())
}

/// Starts those of `vms` that do not run; `begun` hears of each before it is asked for. Those that are there anyway only
/// have to be.
pub(super) async fn start(
    env: &Env,
    turn: &Turn<'_>,
    vms: Vec<Vm>,
    begun: impl FnOnce(&[Vm]),
    progress: &Progress,
) -> Result<(), EnvError> {
    let (mut there, vms): (Vec<_>, Vec<_>) = vms.into_iter().partition(Vm::is_there_anyway);
    // Others cannot be looked at before what leads to them is started.
    there.retain(|vm| is_reached_now(env, vm));
    let each = |vm: Vm| {
        let (env, progress) = (env.clone(), progress.clone());
        async move {
            let Some((provider, order)) = vm.ordered()? else { return Ok(()) };
            let cx = cx(&env, &vm, limits::COMMAND);
            ask(order, &cx, provider.start(order, &cx)).await?;
            reach(&vm).await?;
            // What can be stopped was not running before.
            let how = if provider.deeds().contains(&Deed::Stop) { "is started" } else { "is there" };
            progress.say(&format!("{} {how}", vm.name()));
            Ok(())
        }
    };
    parallel::each(there, each).await?;
    let mut off = Vec::new();
    for vm in vms {
        match env.state_of(&vm).await? {
            MachineState::Running | MachineState::Paused => {
                progress.say(&format!("{} runs already", vm.name()));
            }
            _ => off.push(vm),
        }
    }
    for vm in &off {
        turn.making(&thing(vm))?;
    }
    begun(&off);
    let each = |vm: Vm| {
        let (env, progress) = (env.clone(), progress.clone());
        async move {
            let Some((provider, order)) = vm.ordered()? else { return Ok(()) };
            vm.restarted().await;
            let cx = cx(&env, &vm, limits::PROVIDER);
            ask(order, &cx, provider.start(order, &cx)).await?;
            progress.say(&format!("{} is started", vm.name()));
            Ok(())
        }
    };
    parallel::each(off, each).await.map(drop)
}

/// Ends machines; those that have time may do it themselves.
pub(super) async fn stop(
    env: &Env,
    vms: Vec<Vm>,
    limit: Duration,
    progress: &Progress,
) -> Result<Vec<Stopped>, EnvError> {
    let each = |vm: Vm| {
        let (env, progress) = (env.clone(), progress.clone());
        async move {
            let how = end(&env, &vm, limit).await?;
            progress.say(&format!("{} {how}", vm.name()));
            Ok(Stopped { machine: vm.name().clone(), how })
        }
    };
    parallel::each(vms, each).await
}

async fn end(env: &Env, vm: &Vm, limit: Duration) -> Result<How, EnvError> {
    let Some((provider, order)) = vm.ordered()? else { return Ok(How::Already) };
    let state = env.state_of(vm).await?;
    if matches!(state, MachineState::Absent | MachineState::Off) {
        return Ok(How::Already);
    }
    let can = |deed| provider.deeds().contains(&deed);
    if can(Deed::Shutdown) && state == MachineState::Running && !limit.is_zero() {
        let cx = cx(env, vm, limit);
        let done = ask(order, &cx, provider.act(Deed::Shutdown, order, &cx)).await;
        if done.is_ok() || !can(Deed::Stop) {
            return done.map(|()| How::Graceful);
        }
    }
    let cx = cx(env, vm, limits::PROVIDER);
    ask(order, &cx, provider.act(Deed::Stop, order, &cx)).await?;
    Ok(How::Forced)
}

/// Reboots, pauses or resumes machines that are in the state for it.
pub(super) async fn switch(env: &Env, deed: Deed, vms: Vec<Vm>) -> Result<(), EnvError> {
    let each = |vm: Vm| {
        let env = env.clone();
        async move {
            let Some((provider, order)) = vm.ordered()? else { return Ok(()) };
            let state = env.state_of(&vm).await?;
            if state != state_for(deed) && state != MachineState::Unreachable {
                return Ok(());
            }
            if deed == Deed::Reboot {
                vm.restarted().await;
            }
            let cx = cx(&env, &vm, limits::PROVIDER);
            ask(order, &cx, provider.act(deed, order, &cx)).await
        }
    };
    parallel::each(vms, each).await.map(drop)
}

/// Removes all of an environment that nobody will come back to.
pub(super) async fn remove(env: &Env) -> Result<(), EnvError> {
    let each = |vm: Vm| {
        let env = env.clone();
        async move {
            let Some((provider, order)) = vm.ordered()? else { return Ok(()) };
            let cx = cx(&env, &vm, limits::PROVIDER);
            ask(order, &cx, provider.remove(order, &cx)).await
        }
    };
    let made = split(env.vms()).1.into_iter().filter(|vm| !vm.is_there_anyway());
    parallel::each(made.collect(), each).await.map(drop)
}

/// Removes what providers may still have of the environment of a prefix: what its journal says was begun, and where the
/// journal is damaged, everything that was ever planned.
pub(super) async fn clear(
    host: &Host,
    prefix: &Prefix,
    state: Option<&EnvState>,
    destroyed: &mut Destroyed,
    progress: &Progress,
) {
    let machines = || state.into_iter().flat_map(|state| &state.plan.machines);
    let planned = |id: &str| {
        let order = machines().filter_map(|machine| machine.order.as_ref()).find(|order| order.id == id);
        order.cloned().unwrap_or_else(|| MachineOrder::lost(id))
    };
    let record = prefix.record();
    let damaged = record.as_ref().map_or(true, |record| !record.skipped.is_empty());
    let standing = record.unwrap_or_default().standing();
    let noted = standing.iter().filter(|thing| thing.kind == Kind::Machine);
    let mut begun: BTreeMap<String, String> =
        noted.map(|thing| (thing.name.clone(), thing.place.clone())).collect();
    if damaged {
        let all = machines().filter_map(|one| Some((one.order.as_ref()?.id.clone(), one.provider.clone())));
        begun.extend(all);
    }
    let folder = std::fs::canonicalize(prefix.path()).unwrap_or_else(|_| prefix.path().to_owned());
    for (id, maker) in begun {
        let order = planned(&id);
        let Some(provider) = host.providers.iter().find(|provider| provider.name() == maker) else {
            destroyed.try_to(Err(EnvError::NoProvider { provider: maker, machine: order.name }));
            continue;
        };
        // Those that are there anyway stay.
        if !provider.makes() {
            continue;
        }
        destroyed.found(progress, format!("the machine {id} of the vm-provider `{maker}`"));
        let cx = ProviderCx { folder: folder.clone(), deadline: limits::PROVIDER, dial: provider.dial() };
        destroyed.try_to(ask(&order, &cx, provider.remove(&order, &cx)).await);
    }
}

/// A machine for the journal.
fn thing(vm: &Vm) -> Thing {
    let id = vm.plan().order.as_ref().map(|order| order.id.clone());
    Thing { kind: Kind::Machine, name: id.unwrap_or_default(), place: vm.plan().provider.clone() }
}

fn cx(env: &Env, vm: &Vm, deadline: Duration) -> ProviderCx {
    ProviderCx { folder: env.folder().to_owned(), deadline, dial: vm.dial() }
}

/// What comes of a call, but not later than its deadline.
async fn ask<T>(order: &MachineOrder, cx: &ProviderCx, call: Answer<'_, T>) -> Result<T, EnvError> {
    let late = || MachineError::Failed(anyhow!("nothing came of it within {:?}", cx.deadline));
    let answer = timeout(cx.deadline + GRACE, call).await.unwrap_or_else(|_| Err(late()));
    answer.map_err(|source| EnvError::Machine { machine: order.name.clone(), source })
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::{
        initfile::{Options, load_text},
        provider::MachineProvider,
    };

    /// Nobody asks it anything.
    #[derive(Debug)]
    struct Cloud;

    impl MachineProvider for Cloud {
        fn name(&self) -> &str {
            "cloud"
        }
        fn start<'a>(&'a self, _: &'a MachineOrder, _: &'a ProviderCx) -> Answer<'a> {
            Box::pin(std::future::pending())
        }
        fn deeds(&self) -> &[Deed] {
            &[]
        }
        fn act<'a>(&'a self, _: Deed, _: &'a MachineOrder, _: &'a ProviderCx) -> Answer<'a> {
            Box::pin(std::future::pending())
        }
        fn state<'a>(&'a self, _: &'a MachineOrder, _: &'a ProviderCx) -> Answer<'a, MachineState> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn suites_have_no_machines_that_would_stay_when_they_are_killed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display().to_string();
        let mut host = Host::from_env(&|name| name.ends_with("_DIR").then(|| root.clone())).unwrap();
        host.providers.push(Arc::new(Cloud));
        let text =
            "domains: {a: {vm-provider: cloud, nics: [{net: n}]}, b: {vm-provider: cloud, nics: [{net: n}]}}
nets: {n: {management: true}}";
        let spec = load_text(Path::new("/x/lab.yaml"), text, &Options::new(&|_| None)).unwrap().spec;
        let failed = Env::up(&host, &spec, &Progress::new(|_| {})).await.unwrap_err();
        let said = failed.error.to_string();
        assert!(failed.env.is_none() && said.contains("machine a: suites cannot have machines"), "{said}");
        assert!(said.contains("machine b: ") && said.contains("`cloud`"), "{said}");
        assert!(host.providers.iter().any(|one| one.name() == "ssh" && !one.makes()));
    }

    #[tokio::test]
    async fn machines_of_memory_need_no_lab_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("labs").display().to_string();
        let host = Host::from_env(&|name| name.ends_with("_DIR").then(|| root.clone())).unwrap();
        let text = "domains: {a: {vm-provider: memory}, b: {vm-provider: memory}}\nnets: {lan: {management: true}}\n";
        let spec = load_text(Path::new("/x/lab.yaml"), text, &Options::new(&|_| None)).unwrap().spec;
        let up = async || Env::up(&host, &spec, &Progress::new(|_| {})).await.unwrap();
        let (one, two) = (up().await, up().await);
        let a = one.vm("a").unwrap();
        one.pause(&Selection::of(&["a".to_owned()])).await.unwrap();
        assert_eq!(one.state_of(&a).await.unwrap(), MachineState::Paused);
        for (env, name) in [(&one, "b"), (&two, "a"), (&two, "b")] {
            let vm = env.vm(name).unwrap();
            assert_eq!(env.state_of(&vm).await.unwrap(), MachineState::Running, "{name}");
        }
        assert!(one.runtime().is_none() && one.failure().is_none());
        let (folder, other) = (one.folder().to_owned(), two.folder().to_owned());
        assert!(folder.starts_with(&root) && folder.is_dir() && folder != other);
        drop(a);
        one.down().await.unwrap();
        assert!(!folder.exists() && other.is_dir());
        two.down().await.unwrap();
        assert!(!other.exists());
    }
}
