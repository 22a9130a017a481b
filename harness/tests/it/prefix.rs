//! Environments of prefixes on real labs, as a library makes them: moved, damaged, killed, kept as snapshots and removed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::arena;
use polder::{
    env::{Env, Host, Progress, Selection, SnapshotOptions},
    initfile::{self, Options},
    lab::{Hermetic, Lab, labs},
    provider::libvirt::DomainState,
    workdir::{Prefix, Workdir},
};

const LIMIT: Duration = Duration::from_secs(30);

const TWO: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    nics: [{net: front}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  db:
    memory: 128
    vcpu: 1
    nics: [{net: front}, {net: back}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}}
  back: {type: isolated}
";

/// A host of its own, with the images of this user.
struct Ground {
    path: PathBuf,
    host: Host,
    said: Arc<Mutex<Vec<String>>>,
    _dir: Option<tempfile::TempDir>,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pp").tempdir_in("/var/tmp").unwrap();
        let mut ground = Self::at(dir.path().to_owned());
        ground._dir = Some(dir);
        ground
    }

    fn at(path: PathBuf) -> Self {
        let root = path.join("labs").display().to_string();
        let env = |name: &str| match name {
            "POLDER_RUNTIME_DIR" => Some(root.clone()),
            _ => std::env::var(name).ok(),
        };
        let host = Host::from_env(&env).unwrap();
        Self { path, host, said: Arc::default(), _dir: None }
    }

    fn progress(&self) -> Progress {
        let said = Arc::clone(&self.said);
        Progress::new(move |line| said.lock().unwrap().push(line.to_owned()))
    }

    fn labs(&self) -> usize {
        let entries = fs::read_dir(self.path.join("labs")).into_iter().flatten().flatten();
        entries.filter(|e| e.path().is_dir()).count()
    }

    async fn init(&self, text: &str) -> Env {
        let workdir = Workdir::create(&self.path.join(".polder")).unwrap();
        let prefix = workdir.add("default").unwrap();
        let spec = initfile::load_text(Path::new("two.yaml"), text, &Options::new(&|_| None)).unwrap().spec;
        let locked = prefix.lock("init", LIMIT).await.unwrap();
        Env::init(&self.host, &locked, &spec, &self.progress()).await.unwrap()
    }
}

/// Labs that a failed test would leave.
impl Drop for Ground {
    fn drop(&mut self) {
        let root = self.path.join("labs");
        let end = move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            for lab in labs(&root).unwrap_or_default() {
                if let Ok(lab) = Hermetic::join(&lab.folder) {
                    let _ = runtime.block_on(lab.end(LIMIT));
                }
            }
        };
        let _ = std::thread::spawn(end).join();
    }
}

fn only(name: &str) -> Selection {
    Selection::Named(vec![name.to_owned()])
}

async fn states(env: &Env) -> Vec<(String, &'static str)> {
    let status = env.status().await.unwrap();
    let nets = status.prefix.nets.iter().map(|(name, net)| (name.clone(), net.status));
    let machines = status.prefix.machines.iter().map(|(name, machine)| (name.clone(), machine.status));
    nets.chain(machines).collect()
}

fn all_of(
    back: &'static str,
    front: &'static str,
    db: &'static str,
    web: &'static str,
) -> Vec<(String, &'static str)> {
    [("back", back), ("front", front), ("db", db), ("web", web)].map(|(n, s)| (n.to_owned(), s)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_stops_only_what_it_started() {
    let ground = Ground::new();
    let env = ground.init(TWO).await;
    let progress = ground.progress();
    env.start(&only("web"), &progress).await.unwrap();
    // Its disk is gone, so the machine cannot start; the net only it needs was made before.
    let disk = fs::read_dir(env.folder()).unwrap().flatten().map(|e| e.path());
    let images = fs::read_dir(env.folder().join("images")).unwrap().flatten().map(|e| e.path());
    let is_db =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("db+root");
    fs::remove_file(disk.chain(images).find(is_db).unwrap()).unwrap();
    let error = env.start(&Selection::All, &progress).await.unwrap_err().to_string();
    assert!(error.contains("start domain db"), "{error}");
    assert_eq!(states(&env).await, all_of("down", "up", "down", "running"));
    env.stop(&Selection::All, &progress).await.unwrap();
    // Nothing was up before: the lab goes, too.
    env.start(&only("db"), &progress).await.unwrap_err();
    assert_eq!((states(&env).await, ground.labs()), (all_of("down", "down", "down", "down"), 0));

    let error = env.start(&only("wbe"), &progress).await.unwrap_err();
    assert_eq!(error.to_string(), "no machine `wbe`; did you mean `web`?");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_can_be_moved_and_its_copy_is_another() {
    let ground = Ground::new();
    let env = ground.init(TWO).await;
    let progress = ground.progress();
    let (old, new) = (env.folder().to_owned(), ground.path.join("elsewhere and far: away"));
    fs::rename(&old, &new).unwrap();
    let moved = Env::load(&ground.host, &Prefix::at(&new)).await.unwrap();
    moved.start(&only("web"), &progress).await.unwrap();
    moved.wait_ready(&only("web"), &progress).await.unwrap();
    let console = moved.vm("web").unwrap().spec().console.clone();
    assert!(console.starts_with(&new) && fs::metadata(&console).unwrap().len() > 0);

    // A copy of what runs does not run, and its end is not the original's.
    let copied = std::process::Command::new("cp").args(["-a"]).arg(&new).arg(&old).status().unwrap();
    assert!(copied.success());
    let copy = Env::load(&ground.host, &Prefix::at(&old)).await.unwrap();
    assert_eq!(states(&copy).await, all_of("down", "down", "down", "down"));
    Env::destroy(&ground.host, &Prefix::at(&old), false, &progress).await.unwrap();
    assert_eq!(states(&moved).await, all_of("down", "up", "down", "running"));

    // While it runs, it may be moved back.
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::rename(&new, &old).unwrap();
    let back = Env::load(&ground.host, &Prefix::at(&old)).await.unwrap();
    assert_eq!(states(&back).await, all_of("down", "up", "down", "running"));
    let destroyed = Env::destroy(&ground.host, &Prefix::at(&old), false, &progress).await.unwrap();
    assert!(destroyed.left.is_empty() && destroyed.found.len() == 2, "{destroyed:?}");
    assert_eq!(ground.labs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_protected_stays_and_what_is_damaged_goes() {
    let ground = Ground::new();
    let env = ground.init(TWO).await;
    let progress = ground.progress();
    let prefix = Prefix::at(env.folder());
    env.start(&only("web"), &progress).await.unwrap();
    prefix.lock("lock", LIMIT).await.unwrap().protect("being looked at").unwrap();
    let error = Env::destroy(&ground.host, &prefix, false, &progress).await.unwrap_err();
    assert!(error.to_string().contains("being looked at"), "{error}");

    // Neither state nor journal: the lab itself says whom it serves.
    fs::write(env.folder().join("state.json"), "{\"version\": 2, \"uu").unwrap();
    fs::remove_file(env.folder().join("journal.jsonl")).unwrap();
    let destroyed = Env::destroy(&ground.host, &prefix, true, &progress).await.unwrap();
    assert!(destroyed.left.is_empty(), "{destroyed:?}");
    assert!(destroyed.found.iter().any(|line| line.contains("state.json is damaged")), "{destroyed:?}");
    assert_eq!((ground.labs(), env.folder().exists()), (0, false));
    // Again, it is nothing.
    assert!(Env::destroy(&ground.host, &prefix, false, &progress).await.unwrap().found.is_empty());

    // Of a link, only the link goes.
    let other = ground.init(TWO).await;
    let link = ground.path.join("link");
    std::os::unix::fs::symlink(other.folder(), &link).unwrap();
    Env::destroy(&ground.host, &Prefix::at(&link), false, &progress).await.unwrap();
    assert!(other.folder().exists() && link.symlink_metadata().is_err());

    other.cleanup(&progress).await.unwrap();
    assert!(!Prefix::at(other.folder()).is_initialized() && other.folder().join("uuid").exists());
}

/// The life of an environment, at whose moments we kill.
#[test]
#[ignore = "a process of `whatever_a_killed_command_left_is_destroyed`"]
fn lives() {
    let ground = Ground::at(PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap()));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let env = ground.init(TWO).await;
        let progress = ground.progress();
        env.start(&only("web"), &progress).await.unwrap();
        env.start(&Selection::All, &progress).await.unwrap();
        env.stop(&only("web"), &progress).await.unwrap();
        env.stop(&Selection::All, &progress).await.unwrap();
    });
}

#[test]
#[ignore = "a process of `whatever_a_killed_command_left_is_destroyed`"]
fn killer() {
    arena::become_subreaper();
    let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (rounds, mut dice) = arena::campaign(5);
    for round in 0..rounds {
        let place = root.join(round.to_string());
        fs::create_dir_all(&place).unwrap();
        let vars = [("POLDER_TEST_ROOT", place.display().to_string())];
        let victim = arena::start(&mut arena::ours("prefix::lives", &vars));
        let moment = Duration::from_millis(dice.below(5000));
        let start = Instant::now();
        while start.elapsed() < moment && arena::descendants().iter().any(|&(pid, _)| pid == victim) {
            std::thread::sleep(Duration::from_millis(5));
        }
        arena::kill(victim);
        let ground = Ground::at(place);
        let when = format!("round {round}, killed after {moment:?}");
        let path = ground.path.join(".polder/default");
        let destroyed = runtime
            .block_on(Env::destroy(&ground.host, &Prefix::at(&path), false, &ground.progress()))
            .unwrap_or_else(|e| panic!("{when}: {e}"));
        assert!(destroyed.left.is_empty() && !path.exists(), "{when}: {destroyed:?}");
        arena::emptied().unwrap_or_else(|left| panic!("{when}: {left}"));
        assert_eq!(ground.labs(), 0, "{when}");
        println!("{when}: found {:?}", destroyed.found.len());
    }
}

#[test]
fn whatever_a_killed_command_left_is_destroyed() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    arena::in_own_process("prefix::killer", &[("POLDER_TEST_ROOT", dir.path().display().to_string())]);
}

async fn said(env: &Env, machine: &str, command: &str) -> String {
    env.vm(machine).unwrap().succeed(command).await.unwrap().trim().to_owned()
}

fn images(env: &Env) -> usize {
    ["images", "saves"].iter().flat_map(|f| fs::read_dir(env.folder().join(f)).into_iter().flatten()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_bring_disks_and_memory_back_as_often_as_wanted() {
    let ground = Ground::new();
    let env = ground.init(TWO).await;
    let progress = ground.progress();
    let (disks, all) = (SnapshotOptions::default(), Selection::All);
    let live = SnapshotOptions { memory: true, description: "in use".to_owned(), ..disks.clone() };
    let of_db = SnapshotOptions { machines: only("db"), ..disks.clone() };

    // Of machines that are off.
    env.snapshot("fresh", &disks, &progress).await.unwrap();
    env.start(&all, &progress).await.unwrap();
    env.wait_ready(&all, &progress).await.unwrap();
    said(&env, "web", "echo one > /kept && mkdir -p /mem && mount -t tmpfs none /mem && echo 1 > /mem/count")
        .await;
    env.snapshot("clean", &disks, &progress).await.unwrap();
    said(&env, "web", "echo two > /kept && echo 2 > /mem/count").await;
    said(&env, "db", "echo two > /kept").await;
    env.snapshot("live", &live, &progress).await.unwrap();
    said(&env, "web", "echo three > /kept && echo 3 > /mem/count").await;
    said(&env, "db", "echo three > /kept").await;
    let error = env.snapshot("live", &disks, &progress).await.unwrap_err();
    assert!(error.to_string().contains("there is a snapshot `live` already"), "{error}");
    let tree: Vec<_> = env.snapshots().into_iter().map(|s| (s.name, s.parent, s.description)).collect();
    let entry = |name: &str, parent: Option<&str>, text: &str| {
        (name.to_owned(), parent.map(str::to_owned), text.to_owned())
    };
    assert_eq!(
        tree,
        [entry("fresh", None, ""), entry("clean", Some("fresh"), ""), entry("live", Some("clean"), "in use")]
    );

    cut_short(&env).await;
    let mut drawn = BTreeSet::new();
    for _ in 0..2 {
        env.revert("live", &progress).await.unwrap();
        for machine in ["web", "db"] {
            let draws = said(&env, machine, "head -c 16 /dev/urandom | base64").await;
            assert!(drawn.insert(draws), "{machine} draws what was drawn before: {drawn:?}");
        }
        // They run at once, where they were: nothing booted.
        assert_eq!(said(&env, "web", "cat /kept /mem/count").await, "two\n2");
        assert_eq!(said(&env, "db", "cat /kept").await, "two");
        let clock: i64 = said(&env, "web", "date +%s").await.parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(
            (clock - i64::try_from(now).unwrap()).abs() < 30,
            "the clock is wrong by {}",
            clock - i64::try_from(now).unwrap()
        );
        said(&env, "web", "echo three > /kept && echo 3 > /mem/count && sync").await;
    }

    // Without memory, those that run boot.
    env.revert("clean", &progress).await.unwrap();
    env.wait_ready(&all, &progress).await.unwrap();
    assert_eq!(said(&env, "web", "cat /kept; ls /mem").await, "one");
    env.stop(&all, &progress).await.unwrap();
    env.snapshot("off", &of_db, &progress).await.unwrap();
    let status = env.status().await.unwrap().prefix;
    assert_eq!(status.machines["db"].snapshots, "fresh, clean, live, off");
    assert_eq!(status.machines["web"].snapshots, "fresh, clean, live");

    // From nothing to where they were, by another process and in another place.
    let elsewhere = ground.path.join("elsewhere");
    fs::rename(env.folder(), &elsewhere).unwrap();
    let moved = Env::load(&ground.host, &Prefix::at(&elsewhere)).await.unwrap();
    moved.revert("live", &progress).await.unwrap();
    assert_eq!(said(&moved, "web", "cat /kept /mem/count").await, "two\n2");

    // What nobody needs goes, what is needed stays.
    let error = moved.delete_snapshot("cleen").await.unwrap_err();
    assert_eq!(error.to_string(), "no snapshot `cleen`; did you mean `clean`?");
    for name in ["fresh", "clean", "off"] {
        moved.delete_snapshot(name).await.unwrap();
    }
    assert_eq!(moved.snapshots().iter().map(|s| s.parent.clone()).collect::<Vec<_>>(), [None]);
    moved.revert("live", &progress).await.unwrap();
    assert_eq!(said(&moved, "web", "cat /kept /mem/count").await, "two\n2");
    moved.delete_snapshot("live").await.unwrap();
    // Each machine: the first image, those of `fresh`, `clean` and `live` it lies over, and the one it writes to.
    assert_eq!(images(&moved), 2 * 4);
    Env::destroy(&ground.host, &Prefix::at(&elsewhere), false, &progress).await.unwrap();
    assert_eq!(ground.labs(), 0);
}

/// What a command leaves that is killed in the middle of a snapshot is set right by the next one, whatever that does.
async fn cut_short(env: &Env) {
    use polder::lab::Lab;
    let lab = labs(env.runtime().unwrap().folder.parent().unwrap()).unwrap().remove(0).folder;
    let uri = Hermetic::join(&lab).unwrap().libvirt_uri();
    let virsh = |args: &[&str]| {
        let out = std::process::Command::new("virsh").args(["-q", "-c", &uri]).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let freeze = |what| format!("{{\"execute\": \"guest-fsfreeze-{what}\"}}");
    virsh(&["qemu-agent-command", "web", &freeze("freeze")]);
    assert!(virsh(&["qemu-agent-command", "web", &freeze("status")]).contains("frozen"));
    virsh(&["suspend", "web"]);
    let file = env.folder().join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    *state.pointer_mut("/chains/pending").unwrap() =
        serde_json::json!({"tops": {}, "saves": [], "run": ["web", "db"], "calm": ["web"]});
    fs::write(&file, state.to_string()).unwrap();

    env.resume(&only("db")).await.unwrap();
    assert_eq!(env.state_of(&env.vm("web").unwrap()).await.unwrap(), DomainState::Running);
    assert!(virsh(&["qemu-agent-command", "web", &freeze("status")]).contains("thawed"));
    assert_eq!(said(env, "web", "echo three > /kept && sync && cat /kept").await, "three");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_all_machines_or_of_none() {
    let ground = Ground::new();
    let env = ground.init(TWO).await;
    let progress = ground.progress();
    env.start(&Selection::All, &progress).await.unwrap();
    env.wait_ready(&Selection::All, &progress).await.unwrap();
    // A folder lies where the memory of one of them is to go.
    fs::create_dir_all(env.folder().join("saves/db+1.save")).unwrap();
    let live = SnapshotOptions { memory: true, ..SnapshotOptions::default() };
    let error = env.snapshot("live", &live, &progress).await.unwrap_err().to_string();
    assert!(error.contains("snapshot of domain db"), "{error}");
    assert!(env.snapshots().is_empty());
    // Both go on, keep what they write, and there is no trace but the layer one of them may have moved to.
    for name in ["web", "db"] {
        assert_eq!(said(&env, name, "echo kept > /kept && sync && hostname").await, name);
    }
    assert!(images(&env) <= 2 + 2, "{}", images(&env));
    env.stop(&Selection::All, &progress).await.unwrap();
    env.start(&Selection::All, &progress).await.unwrap();
    env.wait_ready(&Selection::All, &progress).await.unwrap();
    for name in ["web", "db"] {
        assert_eq!(said(&env, name, "cat /kept").await, "kept");
    }
    env.snapshot("live", &live, &progress).await.unwrap();

    // One of them cannot go back: neither does, and what came after the snapshot is not lost.
    said(&env, "web", "echo newer > /kept && sync").await;
    let now = images(&env);
    let saves = fs::read_dir(env.folder().join("saves")).unwrap().flatten().map(|entry| entry.path());
    let of_db = saves.into_iter().find(|p| p.is_file() && p.to_string_lossy().contains("/db+")).unwrap();
    fs::write(of_db, "no memory").unwrap();
    env.revert("live", &progress).await.unwrap_err();
    assert_eq!(states(&env).await, all_of("down", "down", "down", "down"));
    assert_eq!(images(&env), now, "no trace of the attempt");
    env.start(&only("web"), &progress).await.unwrap();
    env.wait_ready(&only("web"), &progress).await.unwrap();
    assert_eq!(said(&env, "web", "cat /kept").await, "newer");
    Env::destroy(&ground.host, &Prefix::at(env.folder()), false, &progress).await.unwrap();
}
