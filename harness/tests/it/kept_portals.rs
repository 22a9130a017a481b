//! Suites that begin where earlier runs were, with a session at a portal of their own: it knows what it knew, machines are its
//! devices still, and what earlier steps made there is removed when the suite ends. So it is whenever an earlier run was killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use polder::{
    checkpoint::{self, Level},
    env::{Env, Host, Progress},
    initfile::{self, Options},
    lab::LabHost,
};

use crate::{
    arena,
    binary::{self, Ran},
    checkpoints::{change, not_again, run, suite, went_on},
};

const SECOND: [&str; 2] = ["--exact", "devices::second"];
const DROPPED: &str = "a checkpoint was dropped: ";

/// What a run asked its portal, in the order in which it did.
fn asked(ran: &Ran) -> Vec<String> {
    let archive: serde_json::Value = serde_json::from_str(&ran.file("devices/cvp.har")).unwrap();
    let entries = archive["log"]["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["comment"].as_str().unwrap().to_owned()).collect()
}

fn dropped(ran: &Ran) -> Vec<String> {
    let events = ran.events();
    let told = events.iter().filter(|event| event["kind"] == "suite_progress");
    let said = told.filter_map(|event| event["text"].as_str()?.split_once(DROPPED));
    said.map(|(_, why)| why.to_owned()).collect()
}

/// What a checkpoint of `executable` came from, and where it is.
async fn entry(host: &Host, executable: &Path, step: &str) -> (checkpoint::Key, PathBuf) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/one.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let spec = initfile::load_text(&file, &text, &Options::new(&|_| None)).unwrap().spec;
    let boot = Env::boot_key(host, &spec, &Progress::new(|_| {})).await.unwrap();
    let executable = checkpoint::sum(executable).unwrap().sha256;
    let key = boot.at(Level::Step { executable: &executable, suite: "devices", step });
    let folder = host.checkpoint_folder.join(key.digest());
    (key, folder)
}

/// Puts a state in place of one of a portal that the store takes for what was kept, and which contradicts itself.
async fn contradict(host: &Host, executable: &Path, step: &str) {
    let (key, folder) = entry(host, executable, step).await;
    let store = host.checkpoint_store();
    let draft = store.begin().unwrap();
    for file in fs::read_dir(&folder).unwrap().flatten() {
        if !["manifest.json", "used"].contains(&file.file_name().to_str().unwrap()) {
            fs::copy(file.path(), draft.folder().join(file.file_name())).unwrap();
        }
    }
    let wrong = r#"{"version": 1, "devices": {"00:1c:73:aa:00:01": {"placement": {"container": "gone"}}}}"#;
    fs::write(draft.folder().join("+portal.json"), wrong).unwrap();
    store.forget(&key).unwrap();
    draft.finish(&key).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_of_a_suite_s_own_goes_on_with_its_machines() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let executable = suite(dir.path());
    let cold = ["devices::first ... ok as prerequisite", "devices::second ... ok"];
    let ran = run(&executable, &SECOND);
    assert_eq!((not_again(&ran), ran.outcomes()), (None, cold.map(str::to_owned).into()));

    let ran = run(&executable, &SECOND);
    assert_eq!(not_again(&ran).as_deref(), Some("`setup`, `first`"));
    assert_eq!(ran.outcomes(), ["devices::second ... ok"]);
    let asked = asked(&ran);
    let was = |what: &str| asked.iter().any(|one| one.starts_with(what));
    // Nothing of it was made in this run.
    assert!(!was("make the container") && !was("add the configlet `polder-devices-"), "{asked:#?}");
    for what in ["delete the configlet polder-devices-", "remove the container polder-devices-"] {
        assert!(was(what), "no `{what}` in {asked:#?}");
    }

    // What is kept of the later one is not what a portal is; of the earlier one a bit is another.
    let host = Host::from_env(&|name| std::env::var(name).ok()).unwrap();
    contradict(&host, &executable, "setup > first").await;
    let session = entry(&host, &executable, "setup").await.1.join("+session.json");
    let mut bytes = fs::read(&session).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&session, bytes).unwrap();
    let ran = run(&executable, &SECOND);
    assert_eq!((not_again(&ran), ran.outcomes()), (None, cold.map(str::to_owned).into()));
    assert!(went_on(&ran), "machines need not boot for that");
    let [later, earlier] = dropped(&ran).try_into().unwrap();
    assert!(later.starts_with("portal.json contradicts itself: "), "{later}");
    assert_eq!(earlier, "`+session.json` has something else in it than when it was written");
}

#[test]
fn what_a_portal_that_is_there_knows_is_refused_before_anything_starts() {
    for args in [&["--list", "devices::"][..], &["devices::third"]] {
        let refused = binary::start_with("cached", args, |command| {
            command.env("POLDER_CVP_URL", "https://192.0.2.1").env("POLDER_CVP_TOKEN", "t");
        });
        let refused = refused.wait();
        assert_eq!(refused.code, Some(2), "{}", refused.notes);
        let why = "`prepare` is `cached`, but what it leaves cannot be kept: its portal is the one that is configured";
        assert!(refused.notes.contains(why), "{}", refused.notes);
    }
}

/// A place of their own for runs of an executable, what they keep, and what they leave.
struct Place {
    folder: PathBuf,
    executable: PathBuf,
}

impl Place {
    fn set(&self, command: &mut Command) {
        let of = |name: &str| self.folder.join(name);
        command.env_remove("POLDER_CHECKPOINTS").env_remove("NEXTEST");
        command.env("POLDER_CACHE_DIR", of("cache")).env("POLDER_RUNTIME_DIR", of("labs"));
        command.env("TMPDIR", of("tmp"));
    }

    fn host(&self) -> Host {
        let of = |name: &str| Some(self.folder.join(name).display().to_string());
        let variable = |name: &str| match name {
            "POLDER_CACHE_DIR" => of("cache"),
            "POLDER_RUNTIME_DIR" => of("labs"),
            _ => std::env::var(name).ok(),
        };
        Host::from_env(&variable).unwrap()
    }

    fn run(&self) -> Ran {
        let ran = binary::start_at(&self.executable, &SECOND, |command| self.set(command));
        let ran = ran.wait_within(Duration::from_secs(150));
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.notes, ran.out);
        ran
    }

    /// A run that is killed at this moment, or the like after it has begun to keep something.
    fn killed(&self, moment: Duration, is_keeping: bool) {
        let log = || Stdio::from(fs::File::create(self.folder.join("log")).unwrap());
        let mut command = Command::new(&self.executable);
        self.set(command.args(SECOND).stdout(log()).stderr(log()));
        command.env("POLDER_OUTPUT_DIR", self.folder.join("out"));
        let run = arena::start(&mut command);
        let begun = Instant::now();
        while is_keeping && self.hidden().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it keeps nothing");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(moment);
        arena::kill(run);
        arena::emptied_but(None, Duration::from_secs(10)).unwrap();
    }

    /// What is not in the store, and not gone either.
    fn hidden(&self) -> Vec<String> {
        let names = fs::read_dir(self.host().checkpoint_folder).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".draft") || name.starts_with(".gone")).collect()
    }

    /// Which steps the next run needs not do, by what is there; all of that is whole.
    fn kept(&self) -> Option<String> {
        let host = self.host();
        let store = host.checkpoint_store();
        let all = store.list().unwrap();
        for one in &all {
            assert_eq!(store.verify(&one.key).unwrap(), None);
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let has = |step: &str| {
            let (key, _) = runtime.block_on(entry(&host, &self.executable, step));
            all.iter().any(|one| one.key == key.digest())
        };
        if has("setup > first") {
            return Some("`setup`, `first`".to_owned());
        }
        has("setup").then(|| "`setup`".to_owned())
    }
}

#[test]
#[ignore = "a process of `whoever_keeps_a_portal_is_killed_leaves_nothing`"]
fn killed() {
    arena::become_subreaper();
    let folder = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let place = Place { executable: suite(&folder), folder };
    let images = LabHost::from_env(&|name| std::env::var(name).ok()).unwrap().cache.join("images");
    fs::create_dir_all(&images).unwrap();
    for name in ["cache", "tmp"] {
        fs::create_dir(place.folder.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(images, place.folder.join("cache/images")).unwrap();
    // Machines need not boot any more afterwards.
    place.run();
    change(&place.executable);
    let begun = Instant::now();
    place.run();
    let life = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let (rounds, mut dice) = arena::campaign(2);
    for round in 0..rounds {
        change(&place.executable);
        let is_keeping = round % 2 == 0;
        let moment = Duration::from_millis(dice.below(if is_keeping { 1500 } else { life }));
        place.killed(moment, is_keeping);
        let when =
            format!("round {round}, {moment:?} after it began{}", if is_keeping { " to keep" } else { "" });
        assert_eq!(arena::remains(&place.folder.join("labs")), Vec::<String>::new(), "{when}");
        let kept = place.kept();
        eprintln!("{when}: {kept:?} is kept");
        let ran = place.run();
        assert_eq!(not_again(&ran), kept, "{when}");
        let first = kept
            .is_none_or(|kept| !kept.contains("first"))
            .then_some("devices::first ... ok as prerequisite");
        let outcomes: Vec<_> = first.into_iter().chain(["devices::second ... ok"]).collect();
        assert_eq!(ran.outcomes(), outcomes, "{when}");
        place.host().checkpoint_store().prune(u64::MAX).unwrap();
        assert_eq!(place.hidden(), Vec::<String>::new(), "{when}");
        let left = fs::read_dir(place.folder.join("tmp")).unwrap().flatten().map(|entry| entry.path());
        assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "{when}");
    }
}

#[test]
fn whoever_keeps_a_portal_is_killed_leaves_nothing() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let root = dir.path().display().to_string();
    arena::in_own_process("kept_portals::killed", &[("POLDER_TEST_ROOT", root)]);
}
