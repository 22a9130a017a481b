//! Suites that begin where earlier runs were, with a session at a portal of their own: it knows what it knew, machines are its
//! devices still, and what earlier steps made there is removed when the suite ends.

use std::{
    fs,
    path::{Path, PathBuf},
};

use polder::{
    checkpoint::{self, Level},
    env::{Env, Host, Progress},
    initfile::{self, Options},
};

use crate::{
    binary::{self, Ran},
    checkpoints::{not_again, run, suite, went_on},
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
