//! Types of machines and machines that are there anyway, on one Debian that plays several parts: it is the engine, which
//! libvirt makes, and by way of a port of this host also machines that nobody makes. Services of oVirt are stand-ins.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use polder::{
    base::dial::BoxFuture,
    env::{Env, EnvError, Host, MachineType, Progress, Selection, SnapshotOptions, Vm},
    initfile::{self, Options, spec::MachineSpec},
    provider::MachineState,
    workdir::Workdir,
};
use tokio::net::TcpListener;

use crate::typed::Ground;

const OVIRT: &str = "
domains:
  engine:
    vm-type: ovirt-engine
    memory: 256
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: debian12, dev: vda, format: qcow2}]
    metadata: {ovirt-engine-password: s3cret, ovirt-capabilities: [snapshots, 4.4]}
  host-1:
    vm-type: ovirt-host
    vm-provider: ssh
    ssh-address: 127.0.0.1
    ssh-port: PORT
    capabilities: [snapshots]
  node:
    vm-type: ovirt-node
    memory: 128
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets: {lan: {management: true}}
";

/// Machines that are there, but do not let us in as they are described.
const STRANGERS: &str = "
x-there: &there {vm-provider: ssh, ssh-address: 127.0.0.1, ssh-port: PORT}
domains:
  locked: {<<: *there, ssh-key: opener}
  other: {<<: *there, ssh-host-key: other.pub}
  gone: {<<: *there, ssh-port: 1}
nets: {lan: {}}
";

/// Writes units and starts them, as an installation would.
const STAND_INS: &str = "for unit in ovirt-engine vdsmd; do
    printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > /etc/systemd/system/$unit.service
    systemctl start $unit
done";

/// Engines, and what makes them one; counted, and never done with it the first time.
#[derive(Debug)]
struct Installed(Arc<dyn MachineType>, Arc<AtomicUsize>);

impl MachineType for Installed {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn shape(&self, machine: &mut MachineSpec) -> anyhow::Result<()> {
        self.0.shape(machine)
    }
    fn set_up<'a>(&'a self, vm: &'a Vm) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
            vm.succeed(STAND_INS).await?;
            Ok(())
        })
    }
    fn up<'a>(&'a self, vm: &'a Vm) -> BoxFuture<'a, anyhow::Result<()>> {
        self.0.up(vm)
    }
}

/// A port of this host that leads to the ssh server of a machine, as soon as there is one.
struct Port {
    number: u16,
    leads_to: Arc<Mutex<Option<Vm>>>,
}

impl Port {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let number = listener.local_addr().unwrap().port();
        let leads_to = Arc::new(Mutex::<Option<Vm>>::default());
        let machine = Arc::clone(&leads_to);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let vm = machine.lock().unwrap().clone();
                tokio::spawn(async move {
                    let ssh = vm.as_ref()?.spec().ssh.as_ref()?;
                    let mut there = ssh.dial.dial(ssh.addr, Duration::from_secs(10)).await.ok()?;
                    tokio::io::copy_bidirectional(&mut here, &mut there).await.ok()
                });
            }
        });
        Self { number, leads_to }
    }

    fn lead_to(&self, vm: &Vm) {
        *self.leads_to.lock().unwrap() = Some(vm.clone());
    }
}

/// What is told of the environment's doings.
fn progress() -> Progress {
    Progress::new(|line| eprintln!("{line}"))
}

async fn create(host: &Host, ground: &Ground, name: &str, file: &str) -> Env {
    let asked = initfile::load(&ground.path(file), &Options::new(&|_| None)).unwrap();
    let workdir = Workdir::create(&ground.path(".polder")).unwrap();
    Env::create(host, &workdir, name, &asked, &progress()).await.unwrap()
}

fn named(names: &[&str]) -> Selection {
    Selection::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

fn new_key(path: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
}

fn names(vms: &[Vm]) -> Vec<&str> {
    vms.iter().map(|vm| vm.name().as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_machines_that_are_there_anyway() {
    let port = Port::open().await;
    let number = port.number.to_string();
    let ground = Ground::new(&OVIRT.replace("PORT", &number));
    let root = ground.path("labs").display().to_string();
    let vars = |name: &str| match name {
        "POLDER_RUNTIME_DIR" => Some(root.clone()),
        _ => std::env::var(name).ok(),
    };
    let (mut host, set_ups) = (Host::from_env(&vars).unwrap(), Arc::new(AtomicUsize::new(0)));
    for one in host.types.iter_mut().filter(|one| one.name() == "ovirt-engine") {
        *one = Arc::new(Installed(Arc::clone(one), Arc::clone(&set_ups)));
    }
    let env = create(&host, &ground, "default", "LagoInitFile").await;
    let progress = progress();

    assert_eq!(names(&env.with_role("host")), ["host-1", "node"]);
    assert_eq!(names(&env.with_capability("snapshots")), ["engine", "host-1"]);
    let (engine, there) = (env.vm("engine").unwrap(), env.vm("host-1").unwrap());
    assert_eq!(engine.capabilities(), ["snapshots", "4.4"]);

    // Nothing is started beside a machine that is not there.
    let error = told(env.start(&Selection::All, &progress).await.unwrap_err());
    assert!(error.contains(&format!("no ssh server answers at 127.0.0.1, port {number}")), "{error}");
    assert_eq!(env.state_of(&engine).await.unwrap(), MachineState::Absent);
    assert_eq!(env.state_of(&there).await.unwrap(), MachineState::Unreachable);

    let ours = named(&["engine", "node"]);
    env.start(&ours, &progress).await.unwrap();
    // It cannot answer, and need not.
    env.pause(&named(&["node"])).await.unwrap();
    let before = Instant::now();
    env.wait_ready(&named(&["node"]), &progress).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(5));
    env.wait_ready(&ours, &progress).await.unwrap();
    port.lead_to(&engine);
    env.start(&Selection::All, &progress).await.unwrap();
    assert_eq!(there.succeed("hostname").await.unwrap().trim(), "engine");
    let known = std::fs::read_to_string(env.folder().join("known_hosts")).unwrap();
    assert!(known.contains(&format!("[127.0.0.1]:{number} ssh-ed25519 ")), "{known}");

    cannot(&env, &ground).await;
    let memory = SnapshotOptions { machines: named(&["engine"]), memory: true, ..SnapshotOptions::default() };
    env.snapshot("bare", &memory, &progress).await.unwrap();

    // Before anything is installed, in a process of its own, which has no stand-ins.
    let status = ground.json(&["ovirt", "status"]);
    assert_eq!(status["engine"]["status"], "missing", "{status}");
    assert_eq!(status["hosts"], serde_json::json!({"host-1": "missing", "node": "paused"}), "{status}");
    let url = format!("https://{}/ovirt-engine", engine.ip().unwrap());
    let way_in = |key: &str| status["engine"][key].as_str().unwrap().to_owned();
    assert_eq!(["url", "user", "password"].map(way_in), [url.as_str(), "admin@internal", "s3cret"]);

    let bare = env.set_up(&named(&["host-1"]), &progress).await.unwrap_err();
    let error = told(bare);
    assert!(error.contains("machine host-1 of the vm-type `ovirt-host` is not up"), "{error}");
    assert!(error.contains("there is no such unit"), "{error}");
    let engine_only = named(&["engine"]);
    let cut_short = env.set_up(&engine_only, &progress);
    assert!(tokio::time::timeout(Duration::from_secs(1), cut_short).await.is_err());
    for _ in 0..2 {
        env.set_up(&Selection::All, &progress).await.unwrap();
    }
    assert_eq!(set_ups.load(Ordering::SeqCst), 2, "once more, and only once");
    let status = ground.json(&["ovirt", "start"]);
    assert_eq!(
        (&status["engine"]["status"], &status["hosts"]["host-1"]),
        (&"active".into(), &"active".into())
    );
    ground.polder(&["ovirt", "start", "--with-vms"]).fails(2, "needs the engine's SDK");
    ground.polder(&["ovirt", "engine-setup", "--config", "answers"]).fails(2, "needs the engine's SDK");

    // What comes back from before it was set up has to be set up again.
    env.revert("bare", &progress).await.unwrap();
    engine.fails("systemctl cat vdsmd").await.unwrap();
    // Of itself it cannot know.
    there.restarted().await;
    env.set_up(&Selection::All, &progress).await.unwrap();
    assert_eq!(set_ups.load(Ordering::SeqCst), 3);

    strangers(&host, &ground, &number, &engine).await;

    let inventory = ground.polder(&["ansible-hosts", "-k", "roles"]).ok();
    assert!(
        inventory.contains(&format!("host-1 ansible_host=127.0.0.1 ansible_port={number} ")),
        "{inventory}"
    );
    assert!(inventory.contains("[roles_host]"), "{inventory}");
    // Another machine than the one that was met first.
    new_key(&ground.path("changed"));
    let changed = std::fs::read_to_string(ground.path("changed.pub")).unwrap();
    std::fs::write(env.folder().join("known_hosts"), format!("[127.0.0.1]:{number} {changed}")).unwrap();
    let status = ground.json(&["status"]);
    assert_eq!(status["Prefix"]["VMs"]["host-1"]["status"], "unreachable");
    ground.polder(&["start", "host-1"]).fails(5, "has another host key than the pinned one");
    // The engine and the node go; what is there anyway stays.
    let stopped = ground.polder(&["-P", "default", "ovirt", "stop"]);
    assert!(stopped.err.contains("engine ") && !stopped.err.contains("host-1 shut"), "{stopped:?}");
    assert_eq!(stopped.ok(), "");
    let status = ground.json(&["-P", "default", "ovirt", "status"]);
    let of = |status: &serde_json::Value| status.as_str().unwrap().to_owned();
    assert_eq!([of(&status["engine"]["status"]), of(&status["hosts"]["node"])], ["absent", "absent"]);
    ground.polder(&["destroy", "--yes", "--all-prefixes"]).ok();
    assert_eq!(ground.labs(), 0);
}

/// What cannot be done with a machine that is there anyway is not done with any other either.
async fn cannot(env: &Env, ground: &Ground) {
    let both = named(&["engine", "host-1"]);
    let progress = progress();
    for (what, done) in [
        ("stop", env.stop(&both, &progress).await.map(drop)),
        ("shut down", env.shutdown(&both, Duration::from_secs(1), &progress).await.map(drop)),
        ("reboot", env.reboot(&both).await),
        ("resume", env.resume(&both).await),
    ] {
        let said = format!("machine host-1: the vm-provider `ssh` cannot {what} machines");
        assert_eq!(told(done.unwrap_err()), said);
    }
    ground.polder(&["pause", "engine", "host-1"]).fails(2, "the vm-provider `ssh` cannot pause machines");
    let both = SnapshotOptions { machines: both, ..SnapshotOptions::default() };
    let error = told(env.snapshot("both", &both, &progress).await.unwrap_err());
    assert!(error.ends_with("the vm-provider `ssh` cannot take snapshots of machines"), "{error}");
    let (net, there) = (env.net("lan").unwrap(), env.vm("host-1").unwrap());
    let error = told(net.attach(&there).await.unwrap_err());
    assert!(error.ends_with("the vm-provider `ssh` cannot attach NICs to machines"), "{error}");
    let engine = env.vm("engine").unwrap();
    assert_eq!(env.state_of(&engine).await.unwrap(), MachineState::Running);
    assert!(env.snapshots().is_empty());
}

/// Each reason why a machine does not let us in is told as what it is, all at once.
async fn strangers(host: &Host, ground: &Ground, port: &str, engine: &Vm) {
    ["opener", "other"].iter().for_each(|name| new_key(&ground.path(name)));
    std::fs::write(ground.path("strangers"), STRANGERS.replace("PORT", port)).unwrap();
    let env = create(host, ground, "strangers", "strangers").await;
    let error = told(env.start(&Selection::All, &progress()).await.unwrap_err());
    for reason in [
        format!("127.0.0.1:{port} refuses the key SHA256:"),
        format!("127.0.0.1:{port} has another host key than the pinned one"),
        "no ssh server answers at 127.0.0.1, port 1: Connection refused".to_owned(),
    ] {
        assert!(error.contains(&reason), "{reason}: {error}");
    }
    let opener = std::fs::read_to_string(ground.path("opener.pub")).unwrap();
    engine.succeed(format!("echo '{}' >> /root/.ssh/authorized_keys", opener.trim()).as_str()).await.unwrap();
    env.start(&named(&["locked"]), &progress()).await.unwrap();
    assert_eq!(env.vm("locked").unwrap().succeed("hostname").await.unwrap().trim(), "engine");

    std::fs::write(ground.path("no-key"), STRANGERS.replace("PORT", port).replace("opener", "strangers"))
        .unwrap();
    let said = ground.polder(&["validate", "no-key"]);
    let wrong = "machine `locked` cannot be logged in to: cannot read a private key";
    assert!(said.code == Some(2) && said.out.contains(wrong), "{said:?}");
}

fn told(error: EnvError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}
