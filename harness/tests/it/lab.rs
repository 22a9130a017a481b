//! Labs: boundary, sandbox, daemon, and that nothing of them outlives their owner.

use std::{path::PathBuf, time::Duration};

use crate::arena;
use polder::{
    base::sandbox::{BoxedCommand, Sandbox},
    lab::{Hermetic, LabHost, LabSpec, Payload},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A host of its own for one test, so that "nothing is left" can be asked of its folder.
struct Ground {
    dir: tempfile::TempDir,
    host: LabHost,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pt").tempdir_in("/var/tmp").unwrap();
        let host = LabHost {
            root: dir.path().join("r"),
            cache: dir.path().join("c"),
            launcher: std::env::current_exe().unwrap(),
        };
        std::fs::create_dir_all(&host.cache).unwrap();
        Self { dir, host }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_answers_and_ends() {
    let ground = Ground::new();
    let cache = ground.host.cache.clone();
    let spec = LabSpec { payload: Payload::Libvirtd { kvm: false, capability_cache: cache }, binds: vec![] };
    let lab = Hermetic::start(&ground.host, spec, LIMIT).await.unwrap();
    let out = std::process::Command::new("virsh")
        .args(["-c", &lab.libvirt_uri(), "net-list", "--all"])
        .output()
        .unwrap();
    assert!(out.status.success());
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
    let payload = Payload::Command { argv, env: vec![], log: host.root.join("log"), offline: true };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let lab = runtime.block_on(Hermetic::start(&host, LabSpec { payload, binds: vec![] }, LIMIT)).unwrap();
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
