//! What is done to running machines from a command line and in programs, and set back, also when whoever did it is killed.

use std::{
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use polder::{
    env::{DiskErrors, Env, Host, Progress},
    initfile::{self, Options},
    net::Impairment,
    provider::MachineState,
    workdir::Workdir,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{arena, typed::Ground};

const TWO: &str = "
domains:
  a:
    memory: 160
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  b:
    memory: 160
    vcpu: 1
    nics: [{net: lan}, {net: back}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  never-started:
    memory: 160
    vcpu: 1
    cpu_model: Westmere
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true, dns_domain_name: suite.test}
  back: {type: isolated}
  spare: {type: isolated}
";

#[test]
fn what_is_done_to_machines_is_set_back_whoever_is_killed() {
    let ground = Ground::new(TWO);
    ground.polder(&["init"]).ok();
    ground.polder(&["start", "a", "b"]).ok();
    ground.until("a", "true");
    ground.until("b", "true");
    devices(&ground);
    links(&ground);
    killed(&ground);
    programs(&ground);
}

impl Ground {
    /// What a machine's shell says.
    fn tell(&self, vm: &str, script: &str) -> String {
        self.polder(&["-q", "exec", vm, "sh", "-c", script]).ok()
    }

    /// Waits until a script succeeds in a machine.
    fn until(&self, vm: &str, script: &str) {
        let begun = Instant::now();
        while self.polder(&["-q", "exec", vm, "sh", "-c", script]).code != Some(0) {
            assert!(begun.elapsed() < Duration::from_secs(120), "{vm}: `{script}` keeps failing");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Begins a verb that goes on until it is stopped.
    fn begin(&self, args: &[&str]) -> Held {
        let path = self.path("said");
        let said = std::fs::File::create(&path).unwrap();
        let mut held = Held(self.command(args).stderr(said).spawn().unwrap());
        let read = || std::fs::read_to_string(&path).unwrap();
        while !read().contains("until you stop this") {
            assert_eq!(held.0.try_wait().unwrap(), None, "{args:?} did not begin: {}", read());
            std::thread::sleep(Duration::from_millis(50));
        }
        held
    }

    /// Whether `a` reaches `b`, tried a few times.
    fn is_b_reached(&self) -> bool {
        let b = &self.json(&["status"])["Prefix"]["VMs"]["b"]["NICs"]["eth0"]["ip"];
        let ip = b.as_str().unwrap();
        let ping = format!(
            "for i in 1 2 3 4 5; do ping -c 1 -W 1 -w 1 {ip} >/dev/null && echo yes && break; done; true"
        );
        self.tell("a", &ping) == "yes"
    }
}

/// A verb that goes on; it is killed when this is dropped.
struct Held(Child);

impl Held {
    /// Stops it as an operator does.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two disks and two NICs at once.
fn devices(ground: &Ground) {
    std::fs::write(ground.path("data.raw"), [b"fresh".as_slice(), &[0; 8187]].concat()).unwrap();
    let empty = ground.json(&["attach-disk", "a", "--size", "8M"]);
    let copy = ground.json(&["attach-disk", "a", "--copy", "data.raw", "--format", "raw"]);
    assert_eq!((&empty["dev"], &copy["dev"]), (&"vdb".into(), &"vdc".into()), "{empty} {copy}");
    let nics = ["lan", "back"].map(|net| ground.json(&["attach-nic", "a", net]));
    assert_eq!((&nics[0]["nic"], &nics[1]["nic"]), (&"eth1".into(), &"eth2".into()), "{nics:?}");
    assert!(nics[0]["addresses"][0].as_str().unwrap().starts_with("192.168."), "{nics:?}");
    ground.until(
        "a",
        "[ -b /dev/vdb ] && [ -b /dev/vdc ] && [ -e /sys/class/net/eth1 ] && [ -e /sys/class/net/eth2 ]",
    );
    let seen = ground
        .tell("a", "cat /sys/block/vdb/size; head -c 5 /dev/vdc; echo; cat /sys/class/net/eth2/address");
    let mac = nics[1]["mac"].as_str().unwrap();
    assert_eq!(seen.lines().collect::<Vec<_>>(), ["16384", "fresh", mac]);

    ground.polder(&["detach-disk", "a", "vda"]).fails(2, "vda is of its init file");
    ground.polder(&["detach-disk", "a", "vdz"]).fails(2, "it has no disk vdz; there are vda, vdb, vdc");
    ground.polder(&["detach-nic", "a", "eth9"]).fails(2, "a has no NIC `eth9`; there are: eth0, eth1, eth2");
    ground.polder(&["attach-nic", "a", "nowhere"]).fails(2, "no net `nowhere`; there are: ");
    ground.polder(&["attach-disk", "a", "--size", "8X"]).fails(2, "its unit must be one of");
    let image = PathBuf::from(copy["image"].as_str().unwrap());
    assert!(image.is_file());
    for args in [
        ["detach-disk", "a", "vdc"],
        ["detach-disk", "a", "vdb"],
        ["detach-nic", "a", "eth1"],
        ["detach-nic", "a", mac],
    ] {
        ground.polder(&args).ok();
    }
    assert!(!image.exists());
    ground.until("a", "[ ! -e /sys/block/vdb ] && [ ! -e /sys/block/vdc ] && [ ! -e /sys/class/net/eth1 ] && [ ! -e /sys/class/net/eth2 ]");
}

fn links(ground: &Ground) {
    assert!(ground.is_b_reached());
    ground.polder(&["fault", "b", "link", "lan"]).fails(2, "--loss");
    ground.polder(&["fault", "b", "link", "lan", "--loss", "101"]).fails(2, "a number from 0 to 100");
    ground
        .polder(&["fault", "b", "link", "spare", "--loss", "1"])
        .fails(2, "b has no NIC on the net `spare`");
    for args in [
        &["fault", "b", "link", "lan", "--loss", "100"][..],
        &["partition", "a", "b"],
        &["fault", "b", "pause"],
    ] {
        let held = ground.begin(args);
        assert!(!ground.is_b_reached(), "{args:?}");
        held.stop();
        assert!(ground.is_b_reached(), "{args:?}");
    }
}

/// Faults whose commands are killed.
fn killed(ground: &Ground) {
    ground.polder(&["attach-disk", "a", "--size", "8M"]).ok();
    ground.until("a", "[ -b /dev/vdb ]");
    let faults: [&[&str]; 8] = [
        &["a", "memory", "16"],
        &["a", "disk-full", "/root", "1024"],
        &["a", "disk-slow", "vda", "20000000"],
        &["a", "disk-errors", "vdb"],
        &["a", "clock", "864000"],
        &["b", "link", "lan", "--loss", "100"],
        &["b", "cable", "lan"],
        &["b", "pause"],
    ];
    for fault in faults {
        drop(ground.begin(&[&["fault"], fault].concat()));
    }
    // What is left of that, but for the link: somebody in the lab set that back.
    let left = ground.json(&["gc", "--dry-run"]);
    let words =
        ["memory less", "KiB left", "bytes a second", "fails at", "clock set", "unplugged", "is paused"];
    let told = |all: &serde_json::Value| {
        all["faults"].as_array().unwrap().iter().map(|one| one.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(told(&left).len(), words.len(), "{left}");
    assert!(words.iter().all(|words| told(&left).iter().any(|one| one.contains(words))), "{left}");
    assert_eq!(ground.json(&["status"])["Prefix"]["VMs"]["b"]["status"], "paused");
    let broken = "dd if=/dev/vdb of=/dev/null bs=4096 count=1 2>/dev/null && echo whole || echo broken";
    assert_eq!(ground.tell("a", broken), "broken");

    assert_eq!(told(&ground.json(&["gc"])).len(), words.len());
    assert_eq!(told(&ground.json(&["gc"])), Vec::<String>::new());
    assert!(ground.is_b_reached());
    let state =
        format!("ls -A /root | grep -c polder-full; grep -c polder-memory /proc/mounts; {broken}; date +%s");
    let state = ground.tell("a", &state);
    let state: Vec<&str> = state.lines().collect();
    assert_eq!(state[..3], ["0", "0", "whole"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(state[3].parse::<u64>().unwrap().abs_diff(now) < 3600, "{state:?}");
    ground.polder(&["detach-disk", "a", "vdb"]).ok();
}

/// What programs have besides.
fn programs(ground: &Ground) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let prefix = Workdir::at(&ground.path(".polder")).unwrap().prefix("default").unwrap();
        let env = Env::load(&host(&ground.path("labs")), &prefix).await.unwrap();
        let [a, b, never] = ["a", "b", "never-started"].map(|name| env.vm(name).unwrap());
        assert_eq!((a.cpu_vendor(), never.cpu_vendor().as_deref()), (None, Some("Intel")));

        let net = env.net("lan").unwrap();
        let ip = |last| std::net::IpAddr::from([10, 9, 8, last]);
        net.add_mappings([("one", ip(1)), ("two", ip(2)), ("two", ip(3))]).await.unwrap();
        assert_eq!(net.resolve("two"), [ip(2), ip(3)]);
        let said = a.execute("nslookup one.suite.test").await.unwrap().stdout.text().into_owned();
        assert!(said.contains("10.9.8.1"), "{said}");
        let error = net.add_mappings([("three", ip(4)), ("a", ip(5))]).await.unwrap_err().to_string();
        assert!(error.contains("`a`") && net.resolve("three").is_empty(), "{error}");

        assert_eq!(b.state().await.unwrap(), MachineState::Running);
        b.stop().await.unwrap();
        assert_eq!(b.state().await.unwrap(), MachineState::Absent);
        b.start().await.unwrap();
        assert_eq!(b.state().await.unwrap(), MachineState::Running);
        b.wait_for_ssh(Duration::from_secs(60)).await.unwrap();

        // A guest that cannot be told any more, in any way.
        let alone = "(sleep 1; killall -STOP dropbear qemu-ga) >/dev/null 2>&1 &";
        b.succeed(alone).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        b.crash().await.unwrap();
        let console = std::fs::read_to_string(&b.spec().console).unwrap();
        assert!(console.contains("sysrq triggered crash"), "{console}");
    });
}

fn host(labs: &Path) -> Host {
    let labs = labs.display().to_string();
    let env = |name: &str| match name {
        "POLDER_RUNTIME_DIR" => Some(labs.clone()),
        _ => std::env::var(name).ok(),
    };
    Host::from_env(&env).unwrap()
}

/// Has a machine of its own in all kinds of trouble, and never ends by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `faults_of_a_killed_suite_go_with_its_lab`"]
async fn holder() {
    let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let spec = initfile::load_text(
        Path::new("two.yaml"),
        &TWO.replace("  never-started", "  c"),
        &Options::new(&|_| None),
    );
    let mut spec = spec.unwrap().spec;
    spec.machines.truncate(1);
    let Ok(env) = Env::up(&host(&root.join("labs")), &spec, &Progress::new(|_| {})).await else { return };
    let a = env.vm("a").unwrap();
    let loss = Impairment { loss: 50.0, ..Impairment::default() };
    let _held = (
        a.take_memory(16).await.unwrap(),
        a.fill_disk("/root", 1024).await.unwrap(),
        a.slow_disk("vda", 1_000_000).await.unwrap(),
        a.break_disk("vda", DiskErrors::Writes).await.unwrap(),
        env.net("lan").unwrap().link(&a).unwrap().impair(loss).await.unwrap(),
        a.pause().await.unwrap(),
    );
    std::fs::write(root.join("held"), "").unwrap();
    std::future::pending::<()>().await;
}

#[test]
#[ignore = "a process of `faults_of_a_killed_suite_go_with_its_lab`"]
fn arena_process() {
    arena::become_subreaper();
    let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let owner = arena::start(&mut arena::ours("control::holder", &[]));
    let begun = Instant::now();
    while !root.join("held").exists() {
        assert!(begun.elapsed() < Duration::from_secs(240), "the faults were not made");
        assert!(arena::descendants().iter().any(|(pid, _)| *pid == owner), "the holder has ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    arena::kill(owner);
    arena::emptied_but(None, Duration::from_secs(10)).unwrap();
    assert_eq!(arena::remains(&root.join("labs")), Vec::<String>::new());
}

#[test]
fn faults_of_a_killed_suite_go_with_its_lab() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let root = dir.path().display().to_string();
    arena::in_own_process("control::arena_process", &[("POLDER_TEST_ROOT", root)]);
}
