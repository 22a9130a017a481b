//! What there is to collect of an environment: consoles, journals, kernel logs, the init file's artifacts, XML, the
//! state of the networks, and the logs of lab and daemon. Also of one that came up only in part.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Env, Vm};
use crate::artifact::{self, Fetched, Item, Manifest};

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
        let mut items: Vec<Item> = self.vms().into_iter().flat_map(|vm| of_machine(self, &vm, dir)).collect();
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
    item(format!("{}/console.log", vm.name()), "what the machine wrote to its serial console", async move {
        Ok(Fetched::File(file))
    })
}

fn of_machine(env: &Env, vm: &Vm, dir: &Path) -> Vec<Item> {
    let name = vm.name();
    let mut items = vec![console(vm)];
    let place = |file: &str| (format!("{name}/{file}"), dir.join(name.as_str()).join(file));

    let (path, to) = place("journal.txt");
    let guest = vm.clone();
    items.push(item(path, "journalctl in the machine", async move {
        Ok(Fetched::InPlace { how: guest.journal(&to).await?.to_string() })
    }));
    let (path, to) = place("dmesg.txt");
    let guest = vm.clone();
    items.push(item(path, "dmesg in the machine", async move {
        Ok(Fetched::InPlace { how: guest.dmesg(&to).await?.to_string() })
    }));
    for remote in &vm.plan().artifacts {
        let (path, to) = place(&format!("files/{}", remote.trim_start_matches('/')));
        let (guest, remote) = (vm.clone(), remote.clone());
        items.push(item(
            path,
            &format!("{remote} in the machine (`artifacts` of the init file)"),
            async move { Ok(Fetched::InPlace { how: guest.fetch(&remote, &to).await?.to_string() }) },
        ));
    }
    let Ok(running) = env.site().running() else { return items };
    if vm.has_screen() {
        let guest = vm.clone();
        items.push(item(place("screen.png").0, "what its screen showed", async move {
            Ok(Fetched::Bytes(guest.screenshot().await?))
        }));
    }
    let (at, domain) = (Arc::clone(&running), vm.domain().to_owned());
    items.push(item(place("domain.xml").0, "libvirt", async move {
        Ok(Fetched::Bytes(at.connection.domain_xml(&domain, CALL).await?.into_bytes()))
    }));
    if let Some(runtime) = running.lab.runtime() {
        let log = runtime.log().join(format!("qemu/{}.log", vm.domain()));
        items.push(item(place("qemu.log").0, "the emulator's log", async move { Ok(Fetched::File(log)) }));
    }
    items
}

fn of_lab(env: &Env) -> Vec<Item> {
    let mut items = Vec::new();
    let Ok(running) = env.site().running() else { return items };
    for net in &env.plan().nets {
        let (at, known) = (Arc::clone(&running), net.libvirt_name.clone());
        items.push(item(format!("lab/network-{}.xml", net.name), "libvirt", async move {
            Ok(Fetched::Bytes(at.connection.network_xml(&known, CALL).await?.into_bytes()))
        }));
    }
    for (file, argv) in [
        ("addresses.txt", ["ip", "-s", "address"].as_slice()),
        ("routes.txt", ["ip", "route"].as_slice()),
        ("neighbours.txt", ["ip", "neigh"].as_slice()),
    ] {
        let at = Arc::clone(&running);
        items.push(item(format!("lab/{file}"), &format!("`{}` in the lab", argv.join(" ")), async move {
            Ok(Fetched::Bytes(at.run(argv, "").await?.into_bytes()))
        }));
    }
    for log in ["libvirtd.log", "warden.log"] {
        let Some(file) = running.lab.runtime().map(|runtime| runtime.log().join(log)) else { continue };
        items.push(item(format!("lab/{log}"), "the lab's own logs", async move { Ok(Fetched::File(file)) }));
    }
    items
}

fn item(
    path: impl Into<PathBuf>,
    source: &str,
    fetch: impl Future<Output = Result<Fetched, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
) -> Item {
    Item { path: path.into(), source: source.to_owned(), fetch: Box::pin(fetch) }
}
