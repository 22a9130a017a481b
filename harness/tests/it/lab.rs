//! Labs: boundary, sandbox, daemon, and that nothing of them outlives their owner.

use std::{
    fs,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::arena;
use polder::{
    base::sandbox::{BoxedCommand, Sandbox},
    lab::{Bind, Hermetic, Lab, LabError, LabHost, LabKind, LabSpec, Payload, sweep},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A host of its own for one test, so that "nothing is left" can be asked of its folder.
struct Ground {
    dir: tempfile::TempDir,
    host: LabHost,
}

impl Ground {
    fn new() -> Self {
        Self::named("r")
    }

    /// With a name for the folder of labs.
    fn named(root: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pt").tempdir_in("/var/tmp").unwrap();
        let host = LabHost {
            root: dir.path().join(root),
            cache: dir.path().join("c"),
            launcher: std::env::current_exe().unwrap(),
        };
        std::fs::create_dir_all(&host.cache).unwrap();
        Self { dir, host }
    }

    /// A lab with a daemon, whose environment lives in `env`.
    async fn daemon(&self, env: Option<&Path>) -> Result<Hermetic, LabError> {
        let payload =
            Payload::Libvirtd { kvm: false, capability_cache: self.host.cache.clone(), way_out: false };
        let spec = LabSpec { payload, env: env.map(Path::to_owned), binds: vec![] };
        Hermetic::start(&self.host, spec, LIMIT).await
    }

    fn labs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.host.root).into_iter().flatten().flatten();
        entries.filter(|e| e.path().is_dir()).map(|e| e.path()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_runs_a_command_as_root_and_leaves_nothing() {
    let ground = Ground::new();
    let out = ground.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let script = format!(
        "id -u; echo $$; ls /tmp | wc -l; echo kept > {}/file; touch /tmp/gone; exit 7",
        out.display()
    );
    let command = BoxedCommand {
        argv: vec!["sh".into(), "-c".into(), script],
        env: vec![],
        writable: vec![out.clone()],
        log: out.join("log"),
        limit: LIMIT,
    };
    let status = ground.host.run(command).await.unwrap();
    let log = std::fs::read_to_string(out.join("log")).unwrap();
    assert_eq!((status, log.as_str()), (7, "0\n2\n0\n"));
    assert_eq!(std::fs::read_to_string(out.join("file")).unwrap(), "kept\n");
    assert_eq!(ground.labs(), Vec::<PathBuf>::new());
}

fn answers(lab: &Hermetic) {
    let uri = lab.libvirt_uri();
    let out = std::process::Command::new("virsh").args(["-c", &uri, "net-list", "--all"]).output().unwrap();
    assert!(out.status.success(), "{uri}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Runs a script of the shell's in the lab.
async fn inside(lab: &Hermetic, script: &str) -> i32 {
    let null = || OwnedFd::from(fs::File::options().read(true).write(true).open("/dev/null").unwrap());
    lab.exec(&["sh", "-c", script], [null(), null(), null()], vec![], LIMIT).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_answers_and_ends() {
    let ground = Ground::new();
    let lab = ground.daemon(None).await.unwrap();
    answers(&lab);
    let usage = lab.usage().await.unwrap();
    assert!(usage.cpu_seconds > 0.0 && usage.peak_memory_mib > 1.0, "{usage:?}");
    lab.end(LIMIT).await.unwrap();
    assert_eq!(ground.labs(), Vec::<PathBuf>::new());
}

/// Detaches a lab and ends at once.
#[test]
#[ignore = "a process of `a_detached_lab_outlives_its_owner`"]
fn leaver() {
    let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let host = LabHost { cache: root.clone(), root, launcher: std::env::current_exe().unwrap() };
    let argv = vec!["sleep".to_owned(), "1000".to_owned()];
    let payload = Payload::Command { argv, env: vec![], log: None, offline: true };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let spec = LabSpec { payload, env: None, binds: vec![] };
    let lab = runtime.block_on(Hermetic::start(&host, spec, LIMIT)).unwrap();
    lab.detach().unwrap();
    std::process::exit(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_lab_outlives_its_owner() {
    let ground = Ground::new();
    let root = ground.dir.path().display().to_string();
    for _ in 0..10 {
        arena::in_own_process("lab::leaver", &[("POLDER_TEST_ROOT", root.clone())]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let folders = std::fs::read_dir(ground.dir.path()).unwrap().flatten().map(|e| e.path());
        let folder = folders.into_iter().find(|p| p.join("warden.json").exists()).expect("the lab is there");
        let lab = Hermetic::join(&folder).unwrap();
        lab.end(LIMIT).await.unwrap();
        assert!(!folder.exists());
    }
}

/// Everything odd a path may hold, and long.
fn odd(ground: &Ground) -> PathBuf {
    let folder = ground.dir.path().join(format!("it's a \"prefix\":, =%20 {}/é;$HOME\n", "long".repeat(50)));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_an_environment_may_be_anywhere_and_outlives_its_lab() {
    let ground = Ground::new();
    let prefix = odd(&ground);
    fs::write(prefix.join("before"), "1").unwrap();
    let lab = ground.daemon(Some(&prefix)).await.unwrap();
    assert_eq!(lab.env(), prefix);
    let serving = |of: &Path| polder::lab::serving(&ground.host.root, of).len();
    assert_eq!((serving(&prefix), serving(ground.dir.path())), (1, 0));
    assert_eq!(inside(&lab, "mv /run/polder/env/before /run/polder/env/after").await, 0);
    assert!(prefix.join("after").exists());

    // A lab that everybody left is removed by the next start; the folder is not.
    lab.detach().unwrap();
    let again = Hermetic::join(&lab.paths().folder).unwrap();
    assert_eq!(again.env(), prefix);
    again.end(LIMIT).await.unwrap();
    assert!(prefix.join("after").exists());
    assert_eq!(ground.labs(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_lab_leaves_the_folder_of_its_environment_alone() {
    let ground = Ground::new();
    let prefix = odd(&ground);
    let lab = ground.daemon(Some(&prefix)).await.unwrap();
    assert_eq!(
        inside(&lab, "mkdir -p /run/polder/env/images; echo x > /run/polder/env/images/disk").await,
        0
    );
    let id: serde_json::Value = serde_json::from_slice(&fs::read(lab.paths().warden()).unwrap()).unwrap();
    arena::kill(i32::try_from(id["pid"].as_i64().unwrap()).unwrap());
    tokio::time::timeout(LIMIT, lab.broken()).await.unwrap();
    sweep(&ground.host.root).unwrap();
    assert_eq!(ground.labs(), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(prefix.join("images/disk")).unwrap(), "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_nobody_can_find_any_more_ends_by_itself() {
    let ground = Ground::new();
    let lab = ground.daemon(None).await.unwrap();
    lab.detach().unwrap();
    let id: serde_json::Value = serde_json::from_slice(&fs::read(lab.paths().warden()).unwrap()).unwrap();
    let warden = i32::try_from(id["pid"].as_i64().unwrap()).unwrap();
    let alive: Vec<i32> = arena::all_below(Some(warden)).into_iter().chain([warden]).collect();
    assert!(alive.len() > 2, "process 1 and the daemon: {alive:?}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(lab.failure().is_none(), "it looks, and stays");
    fs::remove_dir_all(&lab.paths().folder).unwrap();
    let started = std::time::Instant::now();
    let runs = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    };
    while alive.iter().any(runs) {
        assert!(started.elapsed() < arena::LIMIT * 3, "still there: {alive:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_told_or_is_not_there_is_named() {
    let ground = Ground::new();
    let prefix = ground.dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
    let error = ground.daemon(Some(&prefix)).await.unwrap_err().to_string();
    assert!(error.contains("is not UTF-8"), "{error}");
    let error = ground.daemon(Some(&ground.dir.path().join("absent"))).await.unwrap_err().to_string();
    assert!(error.contains("/absent: No such file"), "{error}");
    assert_eq!(ground.labs(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_labs_may_have_an_odd_name() {
    let ground = Ground::named("a b&c=%20?#");
    let lab = ground.daemon(None).await.unwrap();
    answers(&lab);
    lab.end(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joined_lab_is_known_to_be_broken() {
    let ground = Ground::new();
    let lab = ground.daemon(None).await.unwrap();
    lab.detach().unwrap();
    let joined = Hermetic::join(&lab.paths().folder).unwrap();
    assert!(joined.failure().is_none());
    lab.kill_daemon().await.unwrap();
    let why = tokio::time::timeout(LIMIT, joined.broken()).await.unwrap().to_string();
    assert!(why.contains("its daemon does not listen any more"), "{why}");
    lab.end(LIMIT).await.unwrap();
    assert!(joined.failure().unwrap().to_string().contains("its warden is gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_worked_on_as_the_lab_will_see_them() {
    let ground = Ground::new();
    let (prefix, store) = (odd(&ground), ground.dir.path().join("store"));
    fs::create_dir(&store).unwrap();
    fs::write(store.join("base"), [0; 4096]).unwrap();
    let bind = Bind { from: store.clone(), to: "/run/polder/store".into(), writable: false };
    let run = async |kind, argv: &[&str]| {
        ground.host.offline(kind, Some(prefix.clone()), vec![bind.clone()], argv, LIMIT).await.unwrap()
    };
    let create = "qemu-img create -q -f qcow2 -b /run/polder/store/base -F raw /run/polder/env/top; echo no >&2; exit 3";
    let made = run(LabKind::Hermetic, &["sh", "-c", create]).await;
    assert_eq!((made.status.code(), made.stderr.as_slice()), (Some(3), b"no\n".as_slice()), "{made:?}");
    let info = run(LabKind::Hermetic, &["qemu-img", "info", "--output=json", "/run/polder/env/top"]).await;
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["backing-filename"], "/run/polder/store/base");
    assert!(prefix.join("top").exists());
    assert!(!Path::new("/run/polder").exists(), "the host's own /run was written to");

    let plain = run(LabKind::System, &["ls", store.to_str().unwrap()]).await;
    assert_eq!((plain.status.success(), plain.stdout.as_slice()), (true, b"base\n".as_slice()));
    assert_eq!(ground.labs(), Vec::<PathBuf>::new());
}
