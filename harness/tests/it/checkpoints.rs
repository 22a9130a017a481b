//! Environments that go on where earlier ones of the same were kept: right in disk, network, clock and chance, in labs side by
//! side, and booted when what was kept is no good.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use polder::{
    config::Checkpoints,
    env::{Env, Host, Progress, Vm},
    initfile::{self, Options},
};

use crate::{arena, binary};

const TWO: &str = "
domains:
  tiny:
    memory: 128
    vcpu: 1
    nics: [{net: lan}]
    disks:
      - {name: root, type: template, template_name: minimal, dev: vda, format: qcow2}
      - {name: data, type: empty, size: 64M, dev: vdb, format: raw}
  deb:
    memory: 256
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: debian12, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true, dns_domain_name: kept.test}
";

/// A place of its own for checkpoints and labs.
struct Place {
    dir: tempfile::TempDir,
    told: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
        Self { dir, told: Arc::default() }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("kept")
    }

    fn host(&self, checkpoints: Checkpoints) -> Host {
        let labs = self.dir.path().join("labs").display().to_string();
        let variable = |name: &str| match name {
            "POLDER_RUNTIME_DIR" => Some(labs.clone()),
            _ => std::env::var(name).ok(),
        };
        let mut host = Host::from_env(&variable).unwrap();
        (host.checkpoints, host.checkpoint_folder) = (checkpoints, self.store());
        host
    }

    async fn up(&self, text: &str, checkpoints: Checkpoints) -> Env {
        let spec = initfile::load_text(Path::new("g.yaml"), text, &Options::new(&|_| None)).unwrap().spec;
        let told = Arc::clone(&self.told);
        told.lock().unwrap().clear();
        let progress = Progress::new(move |line| {
            eprintln!("{line}");
            told.lock().unwrap().push(line.to_owned());
        });
        let start = Instant::now();
        let env = Env::up(&self.host(checkpoints), &spec, &progress).await.unwrap();
        eprintln!("up after {:.2} s", start.elapsed().as_secs_f64());
        env
    }

    fn was_told(&self, part: &str) -> bool {
        self.told.lock().unwrap().iter().any(|line| line.contains(part))
    }
}

const WENT_ON: &str = "all machines go on from checkpoint";

/// How far the clock of a machine is from this host's, in seconds, at least.
async fn off(vm: &Vm) -> f64 {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let before = now();
    let said: f64 = vm.succeed("date +%s").await.unwrap().trim().parse().unwrap();
    (before - said).max(said - now()).max(0.0)
}

/// Everything that may be wrong with machines that go on.
async fn is_well(env: &Env, mark: &str) -> Vec<String> {
    let mut random = Vec::new();
    for vm in env.vms() {
        // First, before time passes in which kernels would gather some themselves.
        random.push(vm.succeed("head -c 32 /dev/urandom | base64").await.unwrap());
    }
    let (tiny, deb) = (env.vm("tiny").unwrap(), env.vm("deb").unwrap());
    for vm in env.vms() {
        let off = off(&vm).await;
        assert!(off < 5.0, "the clock of {} is wrong by {off} s", vm.name());
        let seen = vm.succeed("cat /root/mark 2>/dev/null || true").await.unwrap();
        assert_eq!(seen, "", "{} has what another one wrote", vm.name());
        vm.succeed(format!("echo {mark} > /root/mark && sync && cat /root/mark")).await.unwrap();
        vm.succeed("mount | grep ' / ' && ! dmesg | grep -i 'i/o error'").await.unwrap();
    }
    tiny.succeed("ping -c 1 -W 5 deb.kept.test").await.unwrap();
    deb.succeed("getent hosts tiny.kept.test").await.unwrap();
    let raw =
        tiny.succeed("head -c 4 /dev/vdb | od -An -c; echo data > /dev/vdb; sync; head -c 4 /dev/vdb").await;
    assert!(raw.unwrap().contains("\\0  \\0  \\0  \\0"), "the data disk has what another one wrote");
    deb.wait_for_ssh(Duration::from_secs(30)).await.unwrap();
    random
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_go_on_where_earlier_ones_were_kept() {
    let place = Place::new();
    let env = place.up(TWO, Checkpoints::Auto).await;
    assert!(!place.was_told(WENT_ON));
    let mut chance = BTreeSet::new();
    chance.extend(is_well(&env, "first").await);
    env.down().await.unwrap();
    assert_eq!(entries(&place.store()).len(), 1);

    // Two at once, from the same.
    let env = place.up(TWO, Checkpoints::Auto).await;
    assert!(place.was_told(WENT_ON), "{:?}", place.told);
    let other = place.up(TWO, Checkpoints::Auto).await;
    assert!(place.was_told(WENT_ON), "{:?}", place.told);
    chance.extend(is_well(&env, "second").await);
    chance.extend(is_well(&other, "third").await);
    assert_eq!(chance.len(), 6, "machines drew the same: {chance:?}");
    let console = fs::read_to_string(env.folder().join("consoles/deb.log")).unwrap();
    assert!(console.contains("polder-identity: applied"), "what was said before is gone:\n{console}");
    // What is plugged in is seen: the emulator numbers slots as it did when the machine booted.
    let lan = other.net("lan").unwrap();
    for vm in other.vms() {
        let seen = "until [ $(ls -d /sys/class/net/e* | wc -l) = 2 ]; do sleep 0.2; done";
        let link = lan.attach(&vm).await.unwrap();
        vm.succeed(polder::guest::Command::from(seen).timeout(Duration::from_secs(30))).await.unwrap();
        link.detach().await.unwrap();
    }
    env.down().await.unwrap();
    other.down().await.unwrap();

    // Again and again.
    let (rounds, _) = arena::campaign(6);
    let mut times = Vec::new();
    for round in 0..rounds {
        let start = Instant::now();
        let env = place.up(TWO, Checkpoints::Auto).await;
        times.push(start.elapsed().as_secs_f64());
        assert!(place.was_told(WENT_ON), "round {round}: {:?}", place.told);
        let drawn = is_well(&env, &format!("round-{round}")).await;
        assert!(
            drawn.iter().all(|one| chance.insert(one.clone())),
            "round {round}: {drawn:?} was drawn before"
        );
        env.down().await.unwrap();
    }
    times.sort_by(f64::total_cmp);
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    eprintln!(
        "{rounds} restores: {middle:.2} s in the middle, {:.2} s at most",
        times.last().unwrap_or(&0.0)
    );
    assert_eq!(entries(&place.store()).len(), 1);

    let env = place.up(TWO, Checkpoints::Off).await;
    assert!(!place.was_told(WENT_ON));
    env.down().await.unwrap();
}

const ONE: &str = "
domains:
  tiny:
    memory: 128
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
";

/// Puts something in place of what is kept that the store takes for what was kept, and machines for nothing.
async fn spoil(place: &Place, spoil: impl FnOnce(&Path)) {
    let spec = initfile::load_text(Path::new("g.yaml"), ONE, &Options::new(&|_| None)).unwrap().spec;
    let host = place.host(Checkpoints::Auto);
    let key = Env::boot_key(&host, &spec, &Progress::new(|_| {})).await.unwrap();
    let store = host.checkpoint_store();
    let draft = store.begin().unwrap();
    let entry = place.store().join(key.digest());
    for file in fs::read_dir(&entry).unwrap().flatten() {
        if !["manifest.json", "used"].contains(&file.file_name().to_str().unwrap()) {
            fs::copy(file.path(), draft.folder().join(file.file_name())).unwrap();
        }
    }
    spoil(draft.folder());
    store.forget(&key).unwrap();
    draft.finish(&key).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_boot_where_nothing_good_was_kept() {
    let place = Place::new();
    let up = async |what: &str, told: &str| {
        let env = place.up(ONE, Checkpoints::Auto).await;
        assert!(!place.was_told(WENT_ON), "{what}");
        assert!(place.was_told(told), "{what}: {:?}", place.told);
        env.vm("tiny").unwrap().succeed("true").await.unwrap();
        env.down().await.unwrap();
    };
    up("nothing yet", "tiny answers").await;
    let memory = |entry: &Path| entry.join("tiny.memory");
    let dropped = "which is dropped: ";
    spoil(&place, |entry| fs::write(memory(entry), "no memory at all").unwrap()).await;
    up("what is no memory", dropped).await;
    spoil(&place, |entry| {
        let file = fs::File::options().write(true).open(memory(entry)).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    })
    .await;
    up("half of the memory", dropped).await;
    spoil(&place, |entry| fs::write(entry.join("tiny+vda+0"), "no image").unwrap()).await;
    up("what is no image", dropped).await;
    spoil(&place, |entry| fs::write(entry.join("saved.json"), "{}").unwrap()).await;
    up("what says nothing", "a checkpoint was dropped: ").await;
    spoil(&place, |entry| fs::write(entry.join("id_ed25519"), "no key").unwrap()).await;
    up("what is no key", "a checkpoint was dropped: ").await;
    // It has been kept anew each time.
    let env = place.up(ONE, Checkpoints::Auto).await;
    assert!(place.was_told(WENT_ON));
    env.down().await.unwrap();
    let before = entries(&place.store());
    let time = |store: &Path| {
        fs::metadata(store.join(&before[0]).join("manifest.json")).unwrap().modified().unwrap()
    };
    let kept = time(&place.store());
    let env = place.up(ONE, Checkpoints::Refresh).await;
    assert!(!place.was_told(WENT_ON));
    env.down().await.unwrap();
    assert!(
        entries(&place.store()) == before && time(&place.store()) > kept,
        "it is kept in place of the other"
    );
}

/// Comes up again and again, from nothing and from what it kept, and never ends by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `whoever_keeps_or_goes_on_is_killed_leaves_nothing`"]
async fn keeper() {
    let dir = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    for round in 0.. {
        let mut host = Host::from_env(&|name| match name {
            "POLDER_RUNTIME_DIR" => Some(dir.join("labs").display().to_string()),
            _ => std::env::var(name).ok(),
        })
        .unwrap();
        host.checkpoint_folder = dir.join("kept");
        host.checkpoints = if round % 2 == 0 { Checkpoints::Refresh } else { Checkpoints::Auto };
        let spec = initfile::load_text(Path::new("g.yaml"), ONE, &Options::new(&|_| None)).unwrap().spec;
        let env = Env::up(&host, &spec, &Progress::new(|_| {})).await.unwrap();
        fs::write(dir.join("up"), "").unwrap();
        env.down().await.unwrap();
    }
}

#[test]
#[ignore = "a process of `whoever_keeps_or_goes_on_is_killed_leaves_nothing`"]
fn keepers_arena() {
    arena::become_subreaper();
    let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let (rounds, mut dice) = arena::campaign(3);
    let store = polder::checkpoint::Store::at(&root.join("kept"));
    for round in 0..rounds {
        let _ = fs::remove_file(root.join("up"));
        let owner = arena::start(&mut arena::ours("checkpoints::keeper", &[]));
        // In its first life it boots and keeps, in its second one it goes on from there.
        let wait = Duration::from_millis(1000 + dice.below(9000));
        std::thread::sleep(wait);
        arena::kill(owner);
        arena::emptied_but(None, Duration::from_secs(10)).unwrap();
        assert_eq!(arena::remains(&root.join("labs")), Vec::<String>::new(), "round {round}, after {wait:?}");
        for one in store.list().unwrap() {
            assert_eq!(store.verify(&one.key).unwrap(), None, "round {round}, after {wait:?}");
        }
        store.prune(u64::MAX).unwrap();
        let hidden = |name: &str| name.starts_with(".draft") || name.starts_with(".gone");
        let left = fs::read_dir(root.join("kept")).into_iter().flatten().flatten();
        let left: Vec<_> =
            left.map(|entry| entry.file_name().into_string().unwrap()).filter(|n| hidden(n)).collect();
        assert_eq!(left, Vec::<String>::new(), "round {round}, after {wait:?}");
    }
}

#[test]
fn whoever_keeps_or_goes_on_is_killed_leaves_nothing() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let root = dir.path().display().to_string();
    arena::in_own_process("checkpoints::keepers_arena", &[("POLDER_TEST_ROOT", root)]);
}

/// Names of checkpoints.
fn entries(store: &Path) -> Vec<String> {
    let names = fs::read_dir(store).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// A copy of the binary of a suite with states for later runs; of an executable that nobody had before.
pub(crate) fn suite(folder: &Path) -> PathBuf {
    let copy = folder.join("cached");
    fs::copy(binary::path("cached"), &copy).unwrap();
    change(&copy);
    copy
}

/// Changes an executable, as changing a line of what it is made from does.
pub(crate) fn change(executable: &Path) {
    let mut file = fs::File::options().append(true).open(executable).unwrap();
    let unique = tempfile::tempdir().unwrap();
    std::io::Write::write_all(&mut file, unique.path().as_os_str().as_encoded_bytes()).unwrap();
}

pub(crate) fn run(executable: &Path, args: &[&str]) -> binary::Ran {
    let ran = binary::start_at(executable, args, |command| {
        command.env_remove("POLDER_CHECKPOINTS");
    });
    let ran = ran.wait_within(Duration::from_secs(150));
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.notes, ran.out);
    ran
}

/// What a run was told that it need not do again.
pub(crate) fn not_again(ran: &binary::Ran) -> Option<String> {
    let events = ran.events();
    let said = events.iter().filter_map(|event| event["text"].as_str());
    let mut said = said
        .filter_map(|text| text.strip_prefix("not run again, because an earlier run kept what they left: "));
    said.next().map(str::to_owned)
}

pub(crate) fn went_on(ran: &binary::Ran) -> bool {
    ran.events().iter().any(|event| event["text"].as_str().is_some_and(|text| text.starts_with(WENT_ON)))
}

#[test]
fn a_run_begins_where_an_earlier_one_of_the_same_executable_was() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let executable = suite(dir.path());
    // Whatever was kept before: none of it is of this executable.
    let second = ["--exact", "states::second"];
    let ran = run(&executable, &second);
    assert_eq!(not_again(&ran), None);
    assert_eq!(ran.outcomes(), ["states::first ... ok as prerequisite", "states::second ... ok"]);

    let ran = run(&executable, &second);
    assert_eq!(not_again(&ran).as_deref(), Some("`setup`, `first`"));
    assert_eq!(ran.outcomes(), ["states::second ... ok"]);
    let ran = run(&executable, &["--exact", "states::second", "states::third"]);
    assert_eq!(not_again(&ran).as_deref(), Some("`setup`, `first`"));
    assert_eq!(ran.outcomes(), ["states::second ... ok", "states::third ... ok"]);

    // What was asked for runs, where it would have begun.
    let ran = run(&executable, &["states::"]);
    assert_eq!(not_again(&ran).as_deref(), Some("`setup`"));
    assert_eq!(ran.result(), "ok. 4 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out");

    change(&executable);
    let ran = run(&executable, &second);
    assert_eq!(not_again(&ran), None, "the state is of another executable");
    assert!(went_on(&ran), "machines need not boot for that: {:?}", ran.events());
    assert_eq!(ran.outcomes(), ["states::first ... ok as prerequisite", "states::second ... ok"]);
}
