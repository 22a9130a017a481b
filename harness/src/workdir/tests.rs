//! Workdirs and prefixes on disk: lookup, the link, odd states, the lock, the end.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use super::*;

const NO_WAIT: Duration = Duration::ZERO;

struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }
    /// A project with these prefixes; the first is current.
    fn with(prefixes: &[&str]) -> (Self, Workdir) {
        let ground = Self::new();
        let workdir = Workdir::create(&ground.path("project/.polder")).unwrap();
        for name in prefixes {
            workdir.add(name).unwrap();
        }
        (ground, workdir)
    }
    fn find(&self, from: &str) -> Result<PathBuf, WorkdirError> {
        Workdir::find(&self.path(from)).map(|w| w.path().to_owned())
    }
}

fn choice(workdir: Option<&str>, prefix: Option<&str>, name: &str) -> Choice {
    Choice {
        workdir_path: workdir.map(PathBuf::from),
        prefix_path: prefix.map(PathBuf::from),
        prefix_name: name.into(),
        named: false,
    }
}

fn message<T: std::fmt::Debug>(result: Result<T, WorkdirError>) -> String {
    format!("{:#}", anyhow::Error::from(result.unwrap_err()))
}

#[test]
fn the_first_prefix_becomes_current_and_later_ones_do_not() {
    let (_ground, workdir) = Ground::with(&["current", "nightly"]);
    assert_eq!(workdir.prefixes().unwrap(), ["default", "nightly"]);
    assert_eq!(workdir.current().unwrap(), "default");
    assert_eq!(fs::read_link(workdir.path().join("current")).unwrap(), Path::new("default"));
    workdir.set_current("nightly").unwrap();
    assert_eq!(workdir.prefix("current").unwrap().name(), "nightly");
    let again = message(workdir.add("nightly"));
    assert!(again.contains("prefix `nightly` exists in") && again.contains("--prefix-name NAME"), "{again}");
    let unknown = message(workdir.set_current("nihgtly"));
    assert!(
        unknown.contains("no prefix `nihgtly`") && unknown.contains("did you mean `nightly`?"),
        "{unknown}"
    );
}

#[test]
fn a_new_prefix_has_a_uuid_of_its_own() {
    let (_ground, workdir) = Ground::with(&["a", "b"]);
    let uuid = |name: &str| workdir.prefix(name).unwrap().uuid().unwrap();
    assert!(uuid("a").len() == 32 && uuid("a") != uuid("b"));
    assert_eq!(uuid("a").as_bytes()[12], b'4');
}

#[test]
fn the_walk_finds_both_names_and_the_nearest_first() {
    let ground = Ground::new();
    fs::create_dir_all(ground.path("a/b/c")).unwrap();
    Workdir::create(&ground.path("a/.lago")).unwrap().add("default").unwrap();
    assert_eq!(ground.find("a/b/c").unwrap(), ground.path("a/.lago"));
    // An empty one, left by an init that failed, is passed by.
    fs::create_dir(ground.path("a/b/.polder")).unwrap();
    assert_eq!(ground.find("a/b/c").unwrap(), ground.path("a/.lago"));
    Workdir::create(&ground.path("a/b/.lago")).unwrap().add("default").unwrap();
    assert_eq!(ground.find("a/b/c").unwrap(), ground.path("a/b/.lago"));
    Workdir::create(&ground.path("a/b/.polder")).unwrap().add("default").unwrap();
    assert_eq!(ground.find("a/b/c").unwrap(), ground.path("a/b/.polder"));
    assert_eq!(ground.find("a/b/.lago").unwrap(), ground.path("a/b/.lago"));
}

#[test]
fn who_finds_nothing_learns_where_was_searched_and_what_to_do() {
    let (ground, workdir) = Ground::with(&["default"]);
    fs::create_dir(ground.path("project/src")).unwrap();
    let text = message(Workdir::find(&ground.path("")));
    for part in [
        "no workdir in",
        "looked for:",
        "/.polder\n",
        "/.lago",
        "there are prefixes in:",
        "`polder init FILE` makes one\nlooked for:",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(text.contains(&ground.path("project").display().to_string()), "{text}");
    assert_eq!(ground.find("project/src").unwrap(), workdir.path());
}

#[test]
fn folders_of_other_people_are_not_taken_for_prefixes() {
    let ground = Ground::new();
    fs::create_dir_all(ground.path("project/src")).unwrap();
    fs::write(ground.path("project/src/main.c"), "").unwrap();
    let workdir = Workdir::create(&ground.path("project")).unwrap();
    workdir.add("lab").unwrap();
    assert_eq!(workdir.prefixes().unwrap(), ["lab"]);
    let refused = message(Prefix::at(&ground.path("project/src")).require_marks());
    assert!(refused.contains("does not look like a prefix"), "{refused}");
    assert!(Prefix::find(&ground.path("project/src")).is_err());
}

#[rstest::rstest]
#[case::gone("rm", "default")]
#[case::dangling("dangle", "default")]
#[case::elsewhere("elsewhere", "default")]
fn a_link_that_leads_nowhere_is_mended(#[case] damage: &str, #[case] expected: &str) {
    let (_ground, workdir) = Ground::with(&["a", "default", "z"]);
    let link = workdir.path().join("current");
    fs::remove_file(&link).unwrap();
    match damage {
        "dangle" => symlink("gone", &link).unwrap(),
        "elsewhere" => symlink("/tmp", &link).unwrap(),
        _ => {}
    }
    let again = Workdir::at(workdir.path()).unwrap();
    assert_eq!(again.current().unwrap(), expected);
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(expected));
}

#[test]
fn a_folder_called_current_is_malformed_and_says_what_to_do() {
    let (ground, workdir) = Ground::with(&["a"]);
    fs::remove_file(workdir.path().join("current")).unwrap();
    fs::create_dir(workdir.path().join("current")).unwrap();
    let found = Workdir::find(&ground.path("project")).unwrap();
    let told =
        |text: String| assert!(text.contains("is malformed: its entry `current` is not a link"), "{text}");
    told(message(found.current()));
    told(message(found.set_current("a")));
    told(message(Workdir::create(found.path())));
    // Prefixes are still there, for those who name them.
    assert_eq!(found.prefix("a").unwrap().name(), "a");
}

#[test]
fn links_and_folders_of_other_people_are_left_alone() {
    let ground = Ground::new();
    fs::create_dir_all(ground.path("site/releases/5")).unwrap();
    fs::create_dir(ground.path("site/empty")).unwrap();
    let link = ground.path("site/current");
    for target in ["releases/5", "releases/gone", "empty"] {
        symlink(target, &link).unwrap();
        assert!(Workdir::at(&ground.path("site")).is_err());
        assert!(
            message(Workdir::create(&ground.path("site"))).contains("`current` is not a link to a prefix")
        );
        assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        fs::remove_file(&link).unwrap();
    }
    // With a prefix beside it, too.
    let workdir = Workdir::create(&ground.path("site")).unwrap();
    fs::write(ground.path("site/other.init.log"), "").unwrap();
    workdir.add("lab").unwrap();
    fs::remove_file(&link).unwrap();
    symlink("releases/5", &link).unwrap();
    let again = choice(Some("site"), None, "lab");
    again.find(&ground.path("")).unwrap();
    assert!(message(choice(Some("site"), None, "current").find(&ground.path(""))).contains("is malformed"));
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("releases/5"));
    fs::remove_dir_all(ground.path("site/lab")).unwrap();
    workdir.forget_log("lab").unwrap();
    workdir.forget_logs().unwrap();
    assert!(ground.path("site/other.init.log").exists() && fs::read_link(&link).is_ok());
    // What is empty may become a prefix, and is none before.
    assert_eq!(workdir.prefixes().unwrap(), [""; 0]);
    workdir.planned("empty").unwrap();
    workdir.add("empty").unwrap();
    assert_eq!(workdir.prefixes().unwrap(), ["empty"]);
}

#[test]
fn a_prefix_is_chosen_by_path_by_name_or_by_standing_in_it() {
    let (ground, workdir) = Ground::with(&["a", "b"]);
    let b = workdir.prefix("b").unwrap();
    fs::write(b.paths().initialized(), "").unwrap();
    let find = |choice: &Choice, cwd: &str| choice.find(&ground.path(cwd)).map(|p| p.name());
    assert_eq!(find(&choice(None, None, "current"), "project").unwrap(), "a");
    assert_eq!(find(&choice(None, None, "b"), "project").unwrap(), "b");
    assert_eq!(find(&choice(Some("project"), None, "b"), "").unwrap(), "b");
    assert_eq!(find(&choice(Some("x/../project/.polder"), None, "current"), "").unwrap(), "a");
    assert_eq!(find(&choice(None, Some(".polder/b/logs"), "current"), "project").unwrap(), "b");
    assert_eq!(find(&choice(None, None, "current"), "project/.polder/b").unwrap(), "b");
    let named = Choice { named: true, ..choice(None, None, "a") };
    assert_eq!(find(&named, "project/.polder/b").unwrap(), "a");
    // A workdir named outright wins over standing in a prefix.
    assert_eq!(find(&choice(Some(".."), None, "current"), "project/.polder/b").unwrap(), "a");
    // Not initialized: one who stands in a damaged one does not mean another.
    assert_eq!(find(&choice(None, None, "current"), "project/.polder/a").unwrap(), "a");
    workdir.set_current("b").unwrap();
    assert_eq!(find(&choice(None, None, "current"), "project/.polder/a").unwrap(), "a");
    fs::write(ground.path("project/uuid"), "mine").unwrap();
    assert_eq!(find(&choice(None, None, "current"), "project").unwrap(), "b");
    fs::remove_file(ground.path("project/uuid")).unwrap();
    workdir.set_current("a").unwrap();
    // Nor one who names it outright: it may be there to be destroyed.
    assert_eq!(find(&choice(None, Some(".polder/a"), "current"), "project").unwrap(), "a");
    assert!(message(find(&choice(None, Some("."), "current"), "project")).contains("no prefix in"));
}

#[test]
fn a_workdir_named_outright_is_found_without_its_link() {
    let ground = Ground::new();
    let workdir = Workdir::create(&ground.path("deployment")).unwrap();
    workdir.add("default").unwrap();
    fs::remove_file(workdir.path().join("current")).unwrap();
    let found = choice(Some("deployment"), None, "current").find(&ground.path("")).unwrap();
    assert_eq!(found.path(), ground.path("deployment/default"));
}

#[tokio::test]
async fn the_end_of_prefixes_moves_the_link_and_then_removes_the_workdir() {
    let (ground, workdir) = Ground::with(&["a", "b"]);
    fs::write(workdir.path().join("old.init.log"), "why it failed").unwrap();
    let remove = async |name: &str| {
        workdir.prefix(name).unwrap().lock("destroy", NO_WAIT).await.unwrap().remove().unwrap();
    };
    remove("a").await;
    assert_eq!(workdir.current().unwrap(), "b");
    assert!(workdir.path().join("old.init.log").exists());
    remove("b").await;
    assert!(workdir.path().join("old.init.log").exists());
    workdir.forget_log("b").unwrap();
    assert!(workdir.path().join("old.init.log").exists());
    workdir.forget_logs().unwrap();
    assert!(!ground.path("project/.polder").exists());
    // Also when it has gone already.
    workdir.forget_log("b").unwrap();
    workdir.forget_logs().unwrap();
    assert!(ground.path("project").exists());
}

#[tokio::test]
async fn the_end_of_the_last_prefix_spares_what_is_not_ours() {
    let ground = Ground::new();
    fs::create_dir(ground.path("mine")).unwrap();
    fs::write(ground.path("mine/notes"), "").unwrap();
    let workdir = Workdir::create(&ground.path("mine")).unwrap();
    let prefix = workdir.add("lab").unwrap();
    prefix.lock("destroy", NO_WAIT).await.unwrap().remove().unwrap();
    let left: Vec<_> = fs::read_dir(ground.path("mine")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["notes"]);
}

#[tokio::test]
async fn links_in_a_prefix_are_removed_and_not_followed() {
    let (ground, workdir) = Ground::with(&["a"]);
    fs::create_dir(ground.path("precious")).unwrap();
    fs::write(ground.path("precious/file"), "").unwrap();
    let prefix = workdir.prefix("a").unwrap();
    symlink(ground.path("precious"), prefix.path().join("link")).unwrap();
    prefix.lock("destroy", NO_WAIT).await.unwrap().remove().unwrap();
    assert!(ground.path("precious/file").exists() && !prefix.path().exists());
}

#[tokio::test]
async fn the_log_of_a_failed_init_survives_and_that_of_a_good_one_moves_in() {
    let (_ground, workdir) = Ground::with(&[]);
    let planned = workdir.planned("default").unwrap();
    fs::write(planned.init_log(), "first").unwrap();
    let prefix = workdir.add("default").unwrap();
    prefix.lock("init", NO_WAIT).await.unwrap().remove().unwrap();
    assert_eq!(fs::read_to_string(planned.init_log()).unwrap(), "first");
    assert!(!planned.root.exists() && Workdir::at(workdir.path()).is_err());

    fs::write(planned.init_log(), "second").unwrap();
    let prefix = workdir.add("default").unwrap();
    prefix.lock("init", NO_WAIT).await.unwrap().mark_initialized().unwrap();
    assert!(prefix.is_initialized() && !planned.init_log().exists());
    assert_eq!(fs::read_to_string(prefix.paths().log()).unwrap(), "second");
}

#[tokio::test]
async fn a_held_prefix_names_its_holder_and_is_free_again_when_that_dies() {
    let (_ground, workdir) = Ground::with(&["a"]);
    let prefix = workdir.prefix("a").unwrap();
    let lock = prefix.lock("start", NO_WAIT).await.unwrap();
    let Err(WorkdirError::InUse { holder: Some(holder), .. }) = prefix.lock("stop", NO_WAIT).await else {
        panic!("held twice");
    };
    assert_eq!((holder.pid, holder.verb.as_str()), (std::process::id(), "start"));
    assert!(holder.to_string().starts_with(&format!("`start` (process {} on ", std::process::id())));
    assert_eq!(prefix.holder().flatten().unwrap().verb, "start");
    drop(lock);
    assert_eq!(prefix.holder(), None);

    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "workdir::tests::holds_a_prefix_for_ever"])
        .env("POLDER_TEST_PREFIX", prefix.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while prefix.holder().flatten().is_none_or(|h| h.pid != victim.id()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    prefix.lock("stop", NO_WAIT).await.unwrap();
}

/// Run as a process of its own by the test above, until it is killed.
#[tokio::test]
#[ignore = "a victim"]
async fn holds_a_prefix_for_ever() {
    let prefix = Prefix::at(Path::new(&std::env::var_os("POLDER_TEST_PREFIX").unwrap()));
    let _lock = prefix.lock("wait", NO_WAIT).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn who_waits_for_a_prefix_that_is_destroyed_learns_that() {
    let (_ground, workdir) = Ground::with(&["a", "b"]);
    let prefix = workdir.prefix("a").unwrap();
    let lock = prefix.lock("destroy", NO_WAIT).await.unwrap();
    let waiting = tokio::spawn({
        let prefix = prefix.clone();
        async move { prefix.lock("start", Duration::from_secs(20)).await.map(drop) }
    });
    tokio::task::yield_now().await;
    lock.remove().unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(WorkdirError::Gone { .. })));
}

#[rstest::rstest]
#[case::folder(|path: &Path| fs::create_dir(path).unwrap())]
#[case::dangling(|path: &Path| symlink("elsewhere", path).unwrap())]
#[case::garbage(|path: &Path| fs::write(path, "garbage").unwrap())]
#[tokio::test]
async fn a_damaged_lock_can_be_taken(#[case] damage: fn(&Path)) {
    let (_ground, workdir) = Ground::with(&["a"]);
    let prefix = workdir.prefix("a").unwrap();
    damage(&prefix.paths().lock());
    prefix.lock("destroy", NO_WAIT).await.unwrap().remove().unwrap();
    assert!(!workdir.path().exists());
}

#[tokio::test]
async fn a_protected_prefix_says_why() {
    let (_ground, workdir) = Ground::with(&["a"]);
    let lock = workdir.prefix("a").unwrap().lock("lock", NO_WAIT).await.unwrap();
    lock.require_unprotected().unwrap();
    lock.protect("being debugged by Ada").unwrap();
    let text = message(lock.require_unprotected());
    assert!(text.contains("is locked: being debugged by Ada; `polder unlock`"), "{text}");
    fs::write(lock.paths().locked(), "garbage").unwrap();
    assert_eq!(lock.protection().unwrap().reason, "garbage");
    lock.unprotect().unwrap();
    lock.require_unprotected().unwrap();
}

/// Whatever bytes a file of a prefix has, reading it ends well: mutations of good files, and noise.
#[test]
fn any_bytes_are_read_without_harm() {
    let seeds: &[&[u8]] = &[
        br#"{"time":5,"step":"making","thing":{"kind":"domain","name":"a"}}"#,
        br#"{"pid":1,"verb":"start","host":"h","since":5}"#,
        br#"{"reason":"x","since":5}"#,
        br#"{"name":"db","memory":"2048","nics":[{"net":"n","ip":"1.2.3.4"}],"disks":[],"snapshots":{}}"#,
        br#"{"type":"nat","name":"n","gw":"1.2.3.4","dhcp":{"start":1,"end":2},"mtu":"1500"}"#,
        br#"{"nets":["a"],"vms":["b"]}"#,
        b"0d2c1a36e1f411ea9a0b525400aabbcc",
    ];
    let mut state = 20_261_121_u64;
    let mut dice = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut seen = BTreeSet::new();
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].to_vec();
        for _ in 0..=dice(4) {
            let at = dice(bytes.len() + 1);
            match dice(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, u8::try_from(dice(256)).unwrap()),
                2 => bytes.extend_from_within(at..),
                _ => drop(bytes.get_mut(at).map(|b| *b = b"{}[]\",:0-\n\xff"[dice(11)])),
            }
        }
        fuzz_state(&bytes);
        seen.insert(bytes);
    }
    assert!(seen.len() > 10_000);
}
