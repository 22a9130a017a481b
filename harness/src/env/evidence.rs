//! What there is to collect of an environment: consoles, journals, kernel logs, the init file's artifacts, XML, the
//! state of the networks, and the logs of lab and daemon. Also of one that came up only in part.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    Env, Vm,
    collect::{Files, is_off},
    deploy,
};
use crate::{
    artifact::{self, Fetched, Item, Manifest},
    guest::Caps,
    image::Ability,
    provider::MachineState,
};

/// For one item, and for all of them, on a host whose time factor is 1.
const EACH: Duration = Duration::from_secs(20);
const TOTAL: Duration = Duration::from_secs(60);
/// For all of them when the environment has broken: what can be had at once.
const BROKEN: Duration = Duration::from_millis(1500);
/// For a call to libvirt or a command in the lab.
const CALL: Duration = Duration::from_secs(5);

impl Env {
    /// Collects everything into `dir`; what could not be had is in the manifest with the reason.
    pub async fn collect(&self, dir: &Path) -> Manifest {
        let files = Files { caps: Caps::default(), limit: EACH.mul_f64(0.9) };
        let mut items = Vec::new();
        for vm in self.vms() {
            let state = self.state_of(&vm).await;
            items.extend(of_machine(self, &vm, state.unwrap_or(MachineState::Other), dir, files));
        }
        items.extend(of_lab(self));
        let total = if self.failure().is_some() { BROKEN } else { self.scaled(TOTAL) };
        artifact::collect(items, dir, self.scaled(EACH), total).await
    }

    /// Keeps what a passing suite keeps: the consoles.
    pub async fn keep_consoles(&self, dir: &Path) -> Manifest {
        let consoles = self.vms().into_iter().map(|vm| console(&vm)).collect();
        artifact::collect(consoles, dir, CALL, CALL).await
    }
}

fn console(vm: &Vm) -> Item {
    let file = vm.spec().console.clone();
    item(
        format!("{}/console.log", vm.name()),
        "what the machine wrote to its serial console",
        |_| async move { Ok(Fetched::File(file)) },
    )
}

/// All there is of a machine: from within while it runs, else from its disks.
pub(super) fn of_machine(env: &Env, vm: &Vm, state: MachineState, dir: &Path, files: Files) -> Vec<Item> {
    let name = vm.name();
    let place = |file: &str| format!("{name}/{file}");
    let mut items = vec![files.item(env, vm, state, dir)];
    if vm.is_made() {
        items.push(console(vm));
        items.extend(emulator(env, vm));
    }
    items.extend(deployed(env, vm));
    if is_off(state) {
        return items;
    }
    if vm.spec().abilities.has(Ability::Journal) {
        let guest = vm.clone();
        items.push(item(place("journal.txt"), "journalctl in the machine", |to| async move {
            Ok(Fetched::InPlace { how: guest.journal(&to).await?.to_string() })
        }));
    }
    let guest = vm.clone();
    items.push(item(place("dmesg.txt"), "dmesg in the machine", |to| async move {
        Ok(Fetched::InPlace { how: guest.dmesg(&to).await?.to_string() })
    }));
    let Ok(running) = env.site().running() else { return items };
    if !vm.is_made() {
        return items;
    }
    if vm.has_screen() {
        let guest = vm.clone();
        items.push(item(place("screen.png"), "what its screen showed", |_| async move {
            Ok(Fetched::Bytes(guest.screenshot().await?))
        }));
    }
    let (at, domain) = (Arc::clone(&running), vm.domain().to_owned());
    items.push(item(place("domain.xml"), "libvirt", |_| async move {
        Ok(Fetched::Bytes(at.connection.domain_xml(&domain, CALL).await?.into_bytes()))
    }));
    items
}

/// What a machine's emulator said, and what libvirt notes of its end.
fn emulator(env: &Env, vm: &Vm) -> Option<Item> {
    let log = env.runtime()?.emulator_log(vm.domain());
    let path = format!("{}/qemu.log", vm.name());
    Some(item(path, "the emulator's log", |_| async move { Ok(Fetched::File(log)) }))
}

/// What the deploy scripts of a machine printed.
fn deployed(env: &Env, vm: &Vm) -> Vec<Item> {
    let kept = |file: PathBuf| {
        let path = Path::new(vm.name().as_str()).join("deploy").join(file.file_name()?);
        Some(item(path, "what a deploy script printed", |_| async move { Ok(Fetched::File(file)) }))
    };
    deploy::printed(env.folder(), vm.name()).into_iter().filter_map(kept).collect()
}

pub(super) fn of_lab(env: &Env) -> Vec<Item> {
    let mut items = Vec::new();
    let Ok(running) = env.site().running() else { return items };
    for net in &env.plan().nets {
        let (at, known) = (Arc::clone(&running), net.libvirt_name.clone());
        items.push(item(format!("lab/network-{}.xml", net.name), "libvirt", |_| async move {
            Ok(Fetched::Bytes(at.connection.network_xml(&known, CALL).await?.into_bytes()))
        }));
    }
    for (file, argv) in [
        ("addresses.txt", ["ip", "-s", "address"].as_slice()),
        ("routes.txt", ["ip", "route"].as_slice()),
        ("neighbours.txt", ["ip", "neigh"].as_slice()),
    ] {
        let at = Arc::clone(&running);
        items.push(item(
            format!("lab/{file}"),
            &format!("`{}` in the lab", argv.join(" ")),
            move |_| async move { Ok(Fetched::Bytes(at.run(argv, "").await?.into_bytes())) },
        ));
    }
    for log in ["libvirtd.log", "warden.log"] {
        let Some(file) = running.lab.runtime().map(|runtime| runtime.log().join(log)) else { continue };
        items.push(item(
            format!("lab/{log}"),
            "the lab's own logs",
            |_| async move { Ok(Fetched::File(file)) },
        ));
    }
    items
}

pub(super) fn item<F>(
    path: impl Into<PathBuf>,
    source: &str,
    fetch: impl FnOnce(PathBuf) -> F + Send + 'static,
) -> Item
where
    F: Future<Output = Result<Fetched, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    Item { path: path.into(), source: source.to_owned(), fetch: Box::new(|part| Box::pin(fetch(part))) }
}
