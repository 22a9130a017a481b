//! Environments on a daemon that others use too: side by side, killed at any moment, with emulators that run as another
//! user.

use std::{
    fs,
    os::unix::{fs::MetadataExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use polder::{
    env::{Env, Host, Progress, Selection, SnapshotOptions},
    initfile::{self, Options},
    lab::LabKind,
    net::{
        Impairment,
        lease::{Lease, LeaseStore},
    },
    workdir::{Prefix, Workdir},
};

use crate::{
    arena,
    own_host::{self, OwnHost},
};

const LIMIT: Duration = Duration::from_secs(30);

const ONE: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    nics: [{net: front}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}}
";

/// The same on a bridge besides, and with names.
const TWO_NETS: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    nics: [{net: front}, {net: br0}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}, dns_domain_name: suite.test}
  br0: {type: bridge}
";

/// The host for environments on the daemon of `own`, with what it keeps in `cache`.
fn host(own: &OwnHost, cache: Option<&Path>) -> Host {
    let labs = own.root.join("labs").display().to_string();
    let env = |name: &str| match (name, cache) {
        ("POLDER_RUNTIME_DIR", _) => Some(labs.clone()),
        ("POLDER_CACHE_DIR", Some(cache)) => Some(cache.display().to_string()),
        _ => std::env::var(name).ok(),
    };
    let mut host = Host::from_env(&env).unwrap();
    host.kind = LabKind::System;
    host.daemon.uri = own.uri.to_owned();
    host.daemon.leases = own.root.join("leases");
    host
}

fn quiet() -> Progress {
    Progress::new(|_| {})
}

async fn init(own: &OwnHost, host: &Host, name: &str, text: &str) -> Env {
    let workdir = Workdir::create(&own.root.join(name).join(".polder")).unwrap();
    let prefix = workdir.add("default").unwrap();
    let spec = initfile::load_text(Path::new("one.yaml"), text, &Options::new(&|_| None)).unwrap().spec;
    let locked = prefix.lock("init", LIMIT).await.unwrap();
    Env::init(host, &locked, &spec, &quiet()).await.unwrap()
}

fn names(own: &OwnHost, what: &str) -> Vec<String> {
    let names = own.virsh(&[what, "--name"]);
    names.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn leases(own: &OwnHost) -> Vec<PathBuf> {
    let files = fs::read_dir(own.root.join("leases")).into_iter().flatten().flatten().map(|e| e.path());
    files.filter(|path| path.extension().is_some_and(|e| e == "lease")).collect()
}

/// How many networks there are that are ours.
fn nets(own: &OwnHost) -> usize {
    names(own, "net-list").iter().filter(|name| *name != "theirs").count()
}

/// What others have on a host: a network of the daemon's, a route, a bridge.
fn strangers(own: &OwnHost) {
    let file = own.root.join("theirs.xml");
    let xml = "<network><name>theirs</name><ip address='192.168.200.1' netmask='255.255.255.0'/></network>";
    fs::write(&file, xml).unwrap();
    own.virsh(&["net-create", file.to_str().unwrap()]);
    for line in [
        "link add br0 type bridge",
        "link set br0 up",
        "link add far type bridge",
        "link set far up",
        "route add 192.168.201.0/24 dev far",
    ] {
        assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
    }
}

/// What is done to links while machines run, and undone.
async fn faults(env: &Env) {
    let vm = env.vm("web").unwrap();
    let [front, back]: [_; 2] = env.links(&vm).try_into().unwrap();
    let carrier = async || vm.succeed("cat /sys/class/net/eth1/carrier").await.unwrap().trim().to_owned();
    vm.succeed("ip link set eth1 up").await.unwrap();
    assert_eq!(carrier().await, "1");
    let down = back.down().await.unwrap();
    assert_eq!(carrier().await, "0");
    down.heal().await.unwrap();
    assert_eq!(carrier().await, "1");

    let gateway = env.net("front").unwrap().gateway().unwrap();
    let file = env.folder().join("front.pcap");
    let capture = front.capture(&file).await.unwrap();
    let delay = Impairment { delay: Duration::from_millis(100), ..Impairment::default() };
    let fault = front.impair(delay).await.unwrap();
    let said = vm.execute(format!("ping -c 2 -W 3 {gateway}")).await.unwrap().stdout.text().into_owned();
    fault.heal().await.unwrap();
    let fastest = said.rsplit_once("= ").and_then(|(_, times)| times.split_once('/')).map(|(ms, _)| ms);
    assert!(fastest.and_then(|ms| ms.parse().ok()).unwrap_or(0.0) >= 190.0, "both ways: {said}");
    capture.stop().await.unwrap();
    let shown = Command::new("tcpdump").args(["-nr", file.to_str().unwrap(), "icmp"]).output().unwrap();
    assert!(!shown.stdout.is_empty(), "{shown:?}");
}

fn leases_of(own: &OwnHost) -> Vec<Lease> {
    LeaseStore::new(own.root.join("leases")).list().unwrap()
}

#[test]
fn environments_live_side_by_side_on_a_daemon() {
    own_host::run("system::side_by_side", &[]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `environments_live_side_by_side_on_a_daemon`"]
async fn side_by_side() {
    let own = OwnHost::here();
    let host = host(&own, None);
    strangers(&own);
    let (a, b) = (init(&own, &host, "a", TWO_NETS).await, init(&own, &host, "b", TWO_NETS).await);
    assert_eq!((names(&own, "list").len(), leases(&own).len()), (0, 2));
    // What others use is not taken, and what can be shared is.
    let gateways = [&a, &b].map(|env| env.plan().nets[0].gateway.unwrap().to_string());
    assert_eq!(gateways, ["192.168.202.1", "192.168.203.1"]);
    assert!(a.plan().nets[1].borrowed && a.plan().nets[1].bridge == "br0");
    for env in [&a, &b] {
        env.start(&Selection::All, &quiet()).await.unwrap();
    }
    for env in [&a, &b] {
        env.wait_ready(&Selection::All, &quiet()).await.unwrap();
        assert_eq!(env.vm("web").unwrap().succeed("hostname").await.unwrap().trim(), "web");
    }
    let subnet = |env: &Env| env.plan().nets[0].gateway.unwrap();
    assert_ne!(subnet(&a), subnet(&b));
    for (env, other) in [(&a, &b), (&b, &a)] {
        let uuid = env.status().await.unwrap().prefix.uuid;
        let (domain, net) = (format!("{}-web", &uuid[..8]), format!("{}-front", &uuid[..4]));
        assert!(names(&own, "list").contains(&domain) && names(&own, "net-list").contains(&net));
        let folder = fs::canonicalize(env.folder()).unwrap().display().to_string();
        for xml in [own.virsh(&["dumpxml", &domain]), own.virsh(&["net-dumpxml", &net])] {
            assert!(xml.contains("polder:owner") && xml.contains(&folder) && xml.contains(&uuid), "{xml}");
            assert!(!xml.contains(&fs::canonicalize(other.folder()).unwrap().display().to_string()));
        }
    }

    faults(&b).await;
    a.net("front").unwrap().add_record("late", "10.9.8.7".parse().unwrap()).await.unwrap();

    // Another process sees the same, and may end it.
    let again = Env::load(&host, &Prefix::at(a.folder())).await.unwrap();
    assert_eq!(again.status().await.unwrap().prefix.machines["web"].status, "running");
    again.stop(&Selection::All, &quiet()).await.unwrap();
    assert_eq!((names(&own, "list").len(), nets(&own), leases(&own).len()), (1, 2, 2));
    assert_eq!(again.status().await.unwrap().prefix.machines["web"].status, "down");
    // One that was moved meanwhile starts where it is now, and still has its subnet.
    let moved = own.root.join("moved");
    fs::rename(a.folder(), &moved).unwrap();
    let moved = Env::load(&host, &Prefix::at(&moved)).await.unwrap();
    moved.start(&Selection::All, &quiet()).await.unwrap();
    moved.wait_ready(&Selection::All, &quiet()).await.unwrap();
    assert_eq!(subnet(&moved), subnet(&a));
    let said = moved.vm("web").unwrap().execute("nslookup late").await.unwrap();
    assert!(said.stdout.text().contains("10.9.8.7"), "a name that was added stays: {said:?}");
    assert!(own.virsh(&["dumpxml", &names(&own, "list")[0]]).contains("polder:owner"));

    // Rules whose keeper had no time to remove them are told by their names.
    std::mem::forget(moved.partition(&[&[&moved.vm("web").unwrap()]]).await.unwrap());
    let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    arena::all_below(None).into_iter().filter(|p| name(p).trim() == "polder-keeper").for_each(arena::kill);
    let tables = || {
        let out = Command::new("nft").args(["list", "tables", "bridge"]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().matches("polder-").count()
    };
    assert_eq!(tables(), 1);

    let destroyed = Env::destroy(&host, &Prefix::at(moved.folder()), false, &quiet()).await.unwrap();
    assert!(destroyed.left.is_empty(), "{:?}", destroyed.left);
    assert_eq!(tables(), 0);
    for part in ["rules that", "the domain ", "the network ", "the lease of ", "the folder "] {
        assert!(destroyed.found.iter().any(|line| line.starts_with(part)), "{:?}", destroyed.found);
    }
    assert_eq!((names(&own, "list").len(), nets(&own), leases(&own).len()), (1, 2, 1));
    assert!(Path::new("/sys/class/net/br0").exists(), "a bridge of somebody else's");
    assert_eq!(b.vm("web").unwrap().succeed("echo still here").await.unwrap().trim(), "still here");

    let polder = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command
            .args(args)
            .current_dir(&own.root)
            .env("POLDER_LAB", "system")
            .env("POLDER_LIBVIRT_URL", own.uri);
        command
            .env("POLDER_LEASE_DIR", own.root.join("leases"))
            .env("POLDER_RUNTIME_DIR", own.root.join("labs"))
            // What others have at portals is none of ours.
            .env("POLDER_CACHE_DIR", own.root.join("cache"));
        let out = command.output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };

    // Moved by hand while it runs, by whoever made what runs and has ended: it is not taken for removed, and the next
    // command there makes it known.
    let domain = names(&own, "list").remove(0);
    relabel(&own, &domain);
    fs::rename(own.root.join("b"), own.root.join("c")).unwrap();
    let here = fs::canonicalize(own.root.join("c/.polder/default")).unwrap();
    let shown = polder(&["gc", "--dry-run"]);
    let kept = |what: &str| shown.lines().any(|l| l.starts_with(&format!("keep    {what}")));
    assert!(!shown.contains("remove "), "{shown}");
    assert!(kept(&format!("domain {domain}")) && kept("network") && kept("lease"), "{shown}");
    assert!(shown.contains(&format!("is in {} now", here.display())), "{shown}");
    let moved = Env::load(&host, &Prefix::at(&here)).await.unwrap();
    moved.pause(&Selection::All).await.unwrap();
    assert!(own.virsh(&["dumpxml", &domain]).contains(&format!("prefix=\"{}\"", here.display())));
    assert!(fs::read_to_string(&leases(&own)[0]).unwrap().contains(&here.display().to_string()));
    assert_eq!(polder(&["gc", "--dry-run"]).trim(), "nothing to remove");

    // Its folder removed by hand: the command finds it, shows it, and removes it.
    relabel(&own, &domain);
    fs::remove_dir_all(own.root.join("c")).unwrap();
    let shown = polder(&["gc", "--dry-run"]);
    assert!(shown.contains(&format!("remove  domain {domain}")), "{shown}");
    assert_eq!(names(&own, "list").len(), 1);
    assert!(
        shown.contains("keep    network") && shown.contains("still runs"),
        "that one we have made: {shown}"
    );
    let report: serde_json::Value = serde_json::from_str(&polder(&["gc", "-f", "json"])).unwrap();
    assert_eq!(report["dry_run"], false, "{report}");
    assert_eq!(
        (names(&own, "list").len(), leases(&own).len()),
        (0, 1),
        "its network stays, so does its subnet"
    );
    let doctor = polder(&["doctor"]);
    assert!(doctor.contains("answers at qemu:///system") && doctor.contains("subnets are free"), "{doctor}");
}

/// Marks a domain as made by a process that has ended.
fn relabel(own: &OwnHost, domain: &str) {
    const MARK: &str = "urn:polder:owner:1";
    let mark = own.virsh(&["metadata", domain, MARK]);
    let at = mark.find(" started=").unwrap() + " started='".len();
    let changed = format!("{}1{}", &mark[..at], &mark[at..]);
    own.virsh(&["metadata", domain, MARK, "--live", "--key", "polder", "--set", &changed]);
}

#[test]
fn emulators_that_run_as_another_user_are_let_in_and_nobody_else() {
    own_host::run("system::another_user", &[]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `emulators_that_run_as_another_user_are_let_in_and_nobody_else`"]
async fn another_user() {
    const EMULATOR: u32 = 64_055;
    let own = OwnHost::here();
    own.restart_daemon("user = \"libvirt-qemu\"\ngroup = \"libvirt-qemu\"\n");
    // Images where that user may go: those of this one are in the home folder.
    let ours = Host::from_env(&|name| std::env::var(name).ok()).unwrap().lab.cache;
    let cache = own.root.join("cache");
    fs::create_dir(&cache).unwrap();
    for part in ["images", "accel.json"] {
        let copied = Command::new("cp").arg("-r").arg(ours.join(part)).arg(&cache).status().unwrap();
        assert!(copied.success());
    }
    let host = host(&own, Some(&cache));
    let env = init(&own, &host, "a", ONE).await;
    let owners = || {
        let mut owners = Vec::new();
        let mut folders = vec![env.folder().to_owned(), cache.join("images")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                owners.push((entry.path(), entry.metadata().unwrap().uid()));
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        owners.retain(|(_, uid)| *uid == EMULATOR);
        owners
    };
    // The folder above is ours alone; which command opens it is said.
    fs::set_permissions(&own.root, fs::Permissions::from_mode(0o700)).unwrap();
    let error = env.start(&Selection::All, &quiet()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("`chmod o+x {}` gives it", own.root.display())), "{error}");
    fs::set_permissions(&own.root, fs::Permissions::from_mode(0o711)).unwrap();

    env.start(&Selection::All, &quiet()).await.unwrap();
    env.wait_ready(&Selection::All, &quiet()).await.unwrap();
    let emulators: Vec<_> = arena::all_below(None)
        .into_iter()
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.starts_with("qemu-system"))
        })
        .collect();
    let uid = |pid: &i32| fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    assert!(!emulators.is_empty() && emulators.iter().all(|pid| uid(pid) == EMULATOR));
    assert_eq!(owners(), [], "libvirt has made files its own");
    let disk = fs::read_dir(env.folder().join("images")).unwrap().flatten().next().unwrap().path();
    let writes = |uid: u32| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!(": >> {}", disk.display())]).current_dir("/").uid(uid).gid(uid);
        command.output().unwrap().status.success()
    };
    assert!(writes(EMULATOR), "the emulator's user");
    assert!(!writes(EMULATOR + 1), "somebody else");

    let vm = env.vm("web").unwrap();
    vm.succeed("echo kept > /root/file; sync").await.unwrap();
    env.snapshot("a", &SnapshotOptions::default(), &quiet()).await.unwrap();
    vm.succeed("echo lost > /root/file; sync").await.unwrap();
    env.revert("a", &quiet()).await.unwrap();
    env.wait_ready(&Selection::All, &quiet()).await.unwrap();
    assert_eq!(vm.succeed("cat /root/file").await.unwrap().trim(), "kept");

    // Memory and a NIC that was attached, and back to them from nothing, in another place.
    let front = env.net("front").unwrap();
    let attached = front.attach(&vm).await.unwrap().nic().clone();
    vm.succeed("echo then > /root/file; mkdir -p /mem; mount -t tmpfs none /mem; echo then > /mem/file")
        .await
        .unwrap();
    let live = SnapshotOptions { memory: true, ..SnapshotOptions::default() };
    env.snapshot("b", &live, &quiet()).await.unwrap();
    vm.succeed("echo now > /root/file; echo now > /mem/file").await.unwrap();
    env.stop(&Selection::All, &quiet()).await.unwrap();
    assert_eq!(owners(), []);
    let there = env.folder().to_owned();
    fs::rename(own.root.join("a"), own.root.join("z")).unwrap();
    let env = Env::load(&host, &Prefix::at(&own.root.join("z/.polder/default"))).await.unwrap();
    env.revert("b", &quiet()).await.unwrap();
    let vm = env.vm("web").unwrap();
    assert_eq!(vm.succeed("cat /root/file /mem/file").await.unwrap().trim(), "then\nthen");
    let xml = own.virsh(&["dumpxml", &names(&own, "list")[0]]);
    let (old, new) = (there.display().to_string(), fs::canonicalize(env.folder()).unwrap());
    assert!(!xml.contains(&old) && xml.contains(&format!("prefix=\"{}\"", new.display())), "{xml}");
    let restored = env.links(&vm).pop().unwrap();
    assert_eq!(restored.nic(), &attached, "it has it in its memory");
    restored.detach().await.unwrap();
    assert_eq!(env.links(&vm).len(), 1);

    env.stop(&Selection::All, &quiet()).await.unwrap();
    let destroyed = Env::destroy(&host, &Prefix::at(env.folder()), false, &quiet()).await.unwrap();
    assert!(destroyed.left.is_empty(), "{:?}", destroyed.left);
}

#[test]
fn what_killed_commands_leave_on_a_daemon_can_be_destroyed() {
    own_host::run("system::kills", &[]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `what_killed_commands_leave_on_a_daemon_can_be_destroyed`"]
async fn victim() {
    let own = OwnHost::here();
    let host = host(&own, None);
    let env = init(&own, &host, "victim", ONE).await;
    env.start(&Selection::All, &quiet()).await.unwrap();
    env.stop(&Selection::All, &quiet()).await.unwrap();
    env.start(&Selection::All, &quiet()).await.unwrap();
    Env::destroy(&host, &Prefix::at(env.folder()), false, &quiet()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `what_killed_commands_leave_on_a_daemon_can_be_destroyed`"]
async fn refused() {
    let own = OwnHost::here();
    let host = host(&own, None);
    let prefix = Workdir::create(&own.root.join("refused/.polder")).unwrap().add("default").unwrap();
    fs::create_dir(prefix.path().join("id_ed25519")).unwrap();
    let spec = initfile::load_text(Path::new("one.yaml"), ONE, &Options::new(&|_| None)).unwrap().spec;
    let locked = prefix.lock("init", LIMIT).await.unwrap();
    Env::init(&host, &locked, &spec, &quiet()).await.unwrap_err();
    assert!(leases_of(&own)[0].holds, "as long as we run");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `what_killed_commands_leave_on_a_daemon_can_be_destroyed`"]
async fn kills() {
    let own = OwnHost::here();
    let host = host(&own, None);
    // An init that came as far as its leases and no further keeps nothing from others.
    assert!(arena::ours("system::refused", &[]).status().unwrap().success());
    let held: Vec<bool> = leases_of(&own).iter().map(|lease| lease.holds).collect();
    assert_eq!(held, [false]);
    fs::remove_dir_all(own.root.join("refused")).unwrap();
    LeaseStore::new(own.root.join("leases")).release(|lease| !lease.holds).unwrap();
    let life = Instant::now();
    // Once undisturbed, to know how long it takes.
    let run = || arena::ours("system::victim", &[]);
    assert!(run().status().unwrap().success());
    let life = u64::try_from(life.elapsed().as_millis()).unwrap();
    let (rounds, mut dice) = arena::campaign(6);
    let mut left_something = 0;
    for round in 0..rounds {
        let moment = dice.below(life);
        let mut child =
            run().stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
        // Calls it had made are still being worked on.
        std::thread::sleep(Duration::from_millis(300));
        let folder = own.root.join("victim/.polder/default");
        left_something += u64::from(!names(&own, "list").is_empty() || !leases(&own).is_empty());
        if folder.exists() {
            let destroyed = Env::destroy(&host, &Prefix::at(&folder), false, &quiet()).await;
            let destroyed =
                destroyed.unwrap_or_else(|e| panic!("round {round}, killed after {moment} ms: {e}"));
            assert!(
                destroyed.left.is_empty(),
                "round {round}, killed after {moment} ms: {:?}",
                destroyed.left
            );
        }
        let remains = (names(&own, "list"), names(&own, "net-list"), leases(&own), folder.exists());
        assert_eq!(remains, (vec![], vec![], vec![], false), "round {round}, killed after {moment} ms");
        let _ = fs::remove_dir_all(own.root.join("victim"));
    }
    println!("{rounds} kills within {life} ms, {left_something} left something: nothing is left");
}
