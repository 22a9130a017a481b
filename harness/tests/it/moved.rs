//! Machines that go on somewhere else than where they were kept: from a lab of their own on a daemon with others, beside one
//! another, and from there back into a lab.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use polder::{
    config::Checkpoints,
    env::{Env, Host, Progress, Stage, Stages},
    initfile::{self, Loaded, Options},
    lab::LabKind,
    workdir::Workdir,
};

use crate::own_host::{self, OwnHost};

/// One of each way to have addresses, with each of the images' ways to set them.
const TWO: &str = "
domains:
  tiny:
    memory: 128
    vcpu: 1
    nics: [{net: front}, {net: back}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  deb:
    memory: 256
    vcpu: 1
    nics: [{net: front}, {net: back}]
    disks: [{name: root, type: template, template_name: debian12, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}, ipv6: true, dns_domain_name: suite.test}
  back: {type: isolated}
";

const STORE: &str = "POLDER_TEST_STORE";
const WENT_ON: &str = "all machines go on from checkpoint";

fn asked() -> Loaded {
    initfile::load_text(Path::new("two.yaml"), TWO, &Options::new(&|_| None)).unwrap()
}

/// Moments that are kept on the daemon: one beside which somebody has put what holds only there, and one.
fn stages() -> [Stage; 2] {
    ["portal", "setup"].map(|step| Stage {
        executable: "e".to_owned(),
        suite: "moved".to_owned(),
        step: step.to_owned(),
    })
}

fn host(root: &Path, store: &Path) -> Host {
    let labs = root.join("labs").display().to_string();
    let variable = |name: &str| match name {
        "POLDER_RUNTIME_DIR" => Some(labs.clone()),
        _ => std::env::var(name).ok(),
    };
    let mut host = Host::from_env(&variable).unwrap();
    (host.checkpoints, host.checkpoint_folder) = (Checkpoints::Auto, store.to_owned());
    host
}

/// What was told, also on the way.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn progress(&self) -> Progress {
        let told = Arc::clone(&self.0);
        Progress::new(move |line| {
            eprintln!("{line}");
            told.lock().unwrap().push(line.to_owned());
        })
    }

    /// How many lines had these words.
    fn count(&self, words: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }
}

/// That machines are where the plan says, as they see it and as it is seen by others.
async fn is_in_its_place(env: &Env) {
    for vm in env.vms() {
        for nic in &vm.plan().nics {
            let name = format!("eth{}", nic.index);
            let shown = vm.succeed(format!("ip addr show dev {name}")).await.unwrap();
            assert!(shown.contains(&nic.mac.to_string()), "{}: {} is not in {shown}", vm.name(), nic.mac);
            let addresses = shown.lines().filter(|line| line.contains("inet ")).count();
            assert_eq!(addresses, 1, "{}: {shown}", vm.name());
            for ip in nic.addresses() {
                assert!(shown.contains(&format!(" {ip}/")), "{}: {ip} is not in {shown}", vm.name());
            }
        }
        vm.wait_for_ssh(Duration::from_secs(60)).await.unwrap();
        assert_eq!(vm.succeed("hostname").await.unwrap().trim(), vm.name().as_str());
        let routes = vm.succeed("ip route").await.unwrap();
        let gateway = env.net("front").unwrap().gateway().unwrap();
        assert!(routes.contains(&format!("default via {gateway}")), "{routes}");
    }
    let (tiny, deb) = (env.vm("tiny").unwrap(), env.vm("deb").unwrap());
    tiny.succeed("ping -c 1 -W 5 deb.suite.test").await.unwrap();
    let back = env.net("back").unwrap();
    deb.succeed(format!("getent hosts tiny.suite.test && ping -c 1 -W 5 {}", tiny.ip_on(&back).unwrap()))
        .await
        .unwrap();
    let hosts = deb.succeed("cat /etc/hosts").await.unwrap();
    assert!(hosts.contains(&deb.ip_on(&back).unwrap().to_string()), "{hosts}");
}

#[test]
fn machines_kept_in_a_lab_go_on_on_a_daemon_and_back() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let store = dir.path().join("kept");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let told = Told::default();
    let up = || {
        let host = host(dir.path(), &store);
        runtime.block_on(async {
            let stages = Stages { all: &stages(), ..Stages::NONE };
            let (env, began) = Env::up_at(&host, &asked().spec, stages, &told.progress()).await.unwrap();
            is_in_its_place(&env).await;
            let mark = env.vm("tiny").unwrap().execute("cat /root/mark").await.unwrap();
            env.down().await.unwrap();
            (began.map(|began| began.stage), mark.stdout.text().into_owned())
        })
    };
    assert_eq!(up(), (None, String::new()));
    assert_eq!(told.count(WENT_ON), 0);
    own_host::run("moved::on_a_daemon", &[(STORE, store.display().to_string())]);
    assert_eq!(up(), (Some(1), "b\n".to_owned()), "what was kept on a daemon is of use in a lab");
    assert_eq!(told.count(WENT_ON), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `machines_kept_in_a_lab_go_on_on_a_daemon_and_back`"]
async fn on_a_daemon() {
    let own = OwnHost::here();
    let store = PathBuf::from(std::env::var(STORE).unwrap());
    let told = Told::default();
    let up = async |name: &str| {
        let mut host = host(&own.root, &store);
        host.kind = LabKind::System;
        host.daemon.uri = own.uri.to_owned();
        host.daemon.leases = own.root.join("leases");
        let workdir = Workdir::create(&own.root.join(name).join(".polder")).unwrap();
        Env::up_in(&host, &workdir, "default", &asked(), Stages::NONE, &told.progress()).await.unwrap().0
    };
    let (a, b) = (up("a").await, up("b").await);
    assert_eq!(told.count(WENT_ON), 2);
    let mut chance = BTreeSet::new();
    for env in [&a, &b] {
        for vm in env.vms() {
            chance.insert(vm.succeed("head -c 32 /dev/urandom | base64").await.unwrap());
        }
        is_in_its_place(env).await;
    }
    assert_eq!(chance.len(), 4, "machines drew the same");
    let gateway = |env: &Env| env.net("front").unwrap().gateway().unwrap();
    assert_ne!(gateway(&a), gateway(&b));
    let ids = async |env: &Env| env.vm("deb").unwrap().succeed("cat /etc/machine-id").await.unwrap();
    assert_eq!(ids(&a).await, ids(&b).await, "they come from one state");
    let renewed = b.vm("deb").unwrap().renew_machine_id().await.unwrap();
    assert_eq!((renewed.len(), ids(&b).await.trim()), (32, renewed.as_str()));
    assert_ne!(ids(&a).await, ids(&b).await);
    let error = b.vm("tiny").unwrap().renew_machine_id().await.unwrap_err();
    assert!(error.to_string().contains("there is no /etc/machine-id"), "{error}");
    a.vm("tiny").unwrap().succeed("echo a > /root/mark && sync").await.unwrap();
    assert!(!b.vm("tiny").unwrap().execute("test -e /root/mark").await.unwrap().status.success());
    // They are the same when they boot.
    for vm in b.vms() {
        vm.reboot(Duration::from_secs(120)).await.unwrap();
    }
    is_in_its_place(&b).await;
    b.vm("tiny").unwrap().succeed("echo b > /root/mark && sync").await.unwrap();
    let documents = BTreeMap::from([("portal".to_owned(), b"tiny is at 192.168.201.2".to_vec())]);
    for (stage, documents) in stages().iter().zip([&documents, &BTreeMap::new()]) {
        b.keep_for_others(Some((stage, documents))).await.unwrap();
    }
    for env in [a, b] {
        env.down().await.unwrap();
    }
}
