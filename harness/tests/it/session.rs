//! Environments on the daemon of an ordinary user, `qemu:///session`: machines without networks of ours.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use polder::{
    env::{Env, EnvError, Host, Progress, Selection, SnapshotOptions},
    initfile::{self, Options},
    lab::LabKind,
    workdir::Workdir,
};

use crate::arena;

const LIMIT: Duration = Duration::from_secs(30);

const LONE: &str = "
domains:
  lone:
    memory: 128
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
    nics: []
nets: {lan: {type: nat}}
";

#[test]
fn the_daemon_of_an_ordinary_user_makes_machines_without_networks() {
    let dir = tempfile::Builder::new().prefix("ps").tempdir_in("/var/tmp").unwrap();
    let ours = arena::ours("session::ordinary", &[("POLDER_TEST_ROOT", dir.path().display().to_string())]);
    // Where everybody is an ordinary user, root too; and where nothing outlives the test.
    let mut ordinary = Command::new("unshare");
    ordinary.args(["--user", "--map-user=1000", "--map-group=1000"]);
    ordinary.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    // The first process there has to reap: the daemon waits until its emulators are gone altogether.
    ordinary.args(["sh", "-c", "\"$@\"; exit $?", "sh"]).arg(ours.get_program());
    ordinary.args(ours.get_args()).envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(ordinary.status().unwrap().success());
}

/// A daemon as `qemu:///session` would start it, but in `root`.
fn daemon(root: &Path) -> (Child, String) {
    let (run, config) = (root.join("run"), root.join("config"));
    fs::create_dir_all(config.join("libvirt")).unwrap();
    fs::create_dir_all(&run).unwrap();
    fs::write(config.join("libvirt/qemu.conf"), "stdio_handler = \"file\"\nsecurity_driver = \"none\"\n")
        .unwrap();
    let mut command = Command::new("libvirtd");
    command.env("XDG_RUNTIME_DIR", &run).env("XDG_CONFIG_HOME", &config).env("HOME", root);
    command.env("XDG_CACHE_HOME", root.join("cache")).env("XDG_DATA_HOME", root.join("data"));
    command.stdin(Stdio::null()).stderr(fs::File::create(root.join("libvirtd.log")).unwrap());
    let daemon = command.spawn().unwrap();
    let socket = run.join("libvirt/libvirt-sock");
    let begun = Instant::now();
    while !socket.exists() {
        let log = || fs::read_to_string(root.join("libvirtd.log")).unwrap();
        assert!(begun.elapsed() < LIMIT, "no socket at {}: {}", socket.display(), log());
        std::thread::sleep(Duration::from_millis(20));
    }
    (daemon, format!("qemu:///session?socket={}", socket.display()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above as an ordinary user"]
async fn ordinary() {
    let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let (mut daemon, uri) = daemon(&root);
    let mut host = Host::from_env(&|name| std::env::var(name).ok()).unwrap();
    host.kind = LabKind::System;
    host.daemon.uri = uri;
    host.daemon.leases = root.join("leases");
    let (quiet, all) = (Progress::new(|_| {}), Selection::All);
    let spec = |text: &str| {
        initfile::load_text(Path::new("lone.yaml"), text, &Options::new(&|_| None)).unwrap().spec
    };
    let workdir = Workdir::create(&root.join("w")).unwrap();

    let with_net = LONE.replace("[]", "[{net: lan}]");
    let refused = workdir.add("refused").unwrap();
    let locked = refused.lock("init", LIMIT).await.unwrap();
    let error = Env::init(&host, &locked, &spec(&with_net), &quiet).await.err().unwrap();
    assert!(matches!(error, EnvError::Session { .. }), "{error}");
    drop(locked);

    let prefix = workdir.add("default").unwrap();
    let locked = prefix.lock("init", LIMIT).await.unwrap();
    let env = Env::init(&host, &locked, &spec(LONE), &quiet).await.unwrap();
    drop(locked);
    env.start(&all, &quiet).await.unwrap();
    env.wait_ready(&all, &quiet).await.unwrap();
    let lone = env.vm("lone").unwrap();
    let cells = async || lone.succeed("ls /sys/devices/system/node | grep -c '^node[0-9]'").await.unwrap();
    assert_eq!(cells().await.trim(), "2", "two CPUs, each in a cell of its own");
    lone.succeed("echo here > /root/mark; sync").await.unwrap();
    env.snapshot("s", &SnapshotOptions::default(), &quiet).await.unwrap();
    lone.succeed("rm /root/mark; sync").await.unwrap();
    env.revert("s", &quiet).await.unwrap();
    env.wait_ready(&all, &quiet).await.unwrap();
    assert_eq!(lone.succeed("cat /root/mark").await.unwrap(), "here\n");
    let destroyed = Env::destroy(&host, &prefix, false, &quiet).await.unwrap();
    assert!(destroyed.left.is_empty(), "{:?}", destroyed.left);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
