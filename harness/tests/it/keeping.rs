//! Environments that stay when their suite has failed: told, entered, and gone when they are destroyed. None stays when the
//! suite went well, or was killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::binary::{Running, start_with};

const LIMIT: Duration = Duration::from_secs(180);

/// The suite, which ends as `how` says.
fn start(keep: &str, how: &str) -> Running {
    start_with("kept", &[], |command| {
        command.env("POLDER_KEEP", keep).env("POLDER_KEPT_TEST", how);
    })
}

fn polder(folder: &Path, args: &[&str]) -> (bool, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_polder")).args(args).current_dir(folder).output().unwrap();
    (
        ran.status.success(),
        String::from_utf8_lossy(&ran.stdout).into_owned() + &*String::from_utf8_lossy(&ran.stderr),
    )
}

/// The runtime folder of the lab of the environment below `suite`.
fn lab(suite: &Path) -> PathBuf {
    let state = fs::read_to_string(suite.join(".polder/default/state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let folder = find(&state["lab"], "folder").unwrap_or_else(|| panic!("no lab in {state}"));
    PathBuf::from(folder)
}

fn find(value: &Value, key: &str) -> Option<String> {
    match value.get(key) {
        Some(found) => found.as_str().map(str::to_owned),
        None => value.as_object()?.values().find_map(|inner| find(inner, key)),
    }
}

#[test]
fn a_failed_suite_leaves_the_state_in_which_it_failed() {
    let ran = start("state", "fail").wait_within(LIMIT);
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    let run = ran.root().join("latest").canonicalize().unwrap();
    let (suite, run) = (run.join("kept"), run.display().to_string());
    let way = format!("polder enter {run} --suite kept --scenario leaves_a_mark");
    assert!(ran.notes.contains(&way), "{}", ran.notes);
    assert!(!suite.join(".polder").exists(), "machines stay");

    let (entered, told) = polder(&suite, &["enter", &run, "--scenario", "leaves_nothing"]);
    assert!(!entered && told.contains("those there are: leaves_a_mark"), "{told}");
    // The very instant, from elsewhere and later: what was in memory, and what ran.
    let (entered, told) = polder(&suite, &["-f", "json", "enter", &run, "--scenario", "leaves_a_mark"]);
    assert!(entered && told.contains("\"only\""), "{told}");
    let look = "cat /root/mark /run/mark; kill -0 $(cat /run/pid) && echo alive";
    assert_eq!(polder(&suite, &["exec", "only", "--", "sh", "-c", look]), (true, "seenhere\nalive\n".into()));
    let (again, told) = polder(&suite, &["enter", &run, "--scenario", "leaves_a_mark"]);
    assert!(!again && told.contains("stay already"), "{told}");
    let lab = lab(&suite);
    let (destroyed, told) = polder(&suite, &["destroy", "--yes"]);
    assert!(destroyed && !lab.exists() && !suite.join(".polder").exists(), "{told}");

    // What is not what was kept is not gone on from, and nothing else is made in its place.
    let states: Vec<_> = fs::read_dir(suite.join(".states")).unwrap().flatten().collect();
    let entry = states.iter().find(|entry| !entry.file_name().to_string_lossy().starts_with('.')).unwrap();
    let memory = fs::File::options().write(true).open(entry.path().join("only.memory")).unwrap();
    memory.set_len(1000).unwrap();
    let (entered, told) = polder(&suite, &["enter", &run, "--scenario", "leaves_a_mark"]);
    assert!(!entered && !suite.join(".polder").exists(), "{told}");
}

#[test]
fn a_failed_suite_leaves_its_machines_until_they_are_destroyed() {
    let ran = start("failed", "fail").wait_within(LIMIT);
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    let suite = ran.root().join("latest").canonicalize().unwrap().join("kept");
    let (said, way) = (&ran.notes, format!("cd {}", suite.display()));
    assert!(
        said.contains(&way) && said.contains("polder shell only") && said.contains("polder destroy"),
        "{said}"
    );
    let kept = ran.events().into_iter().find(|event| event["kind"] == "environment_kept").unwrap();
    assert_eq!(kept["machines"], serde_json::json!(["only"]));

    let (_, status) = polder(&suite, &["status"]);
    assert!(status.contains("running"), "{status}");
    assert_eq!(polder(&suite, &["exec", "only", "--", "cat", "/root/mark"]), (true, "seen".into()));
    let (entered, told) = polder(&suite, &["enter", &ran.root().join("latest").display().to_string()]);
    assert!(!entered && told.contains("standard input is no terminal; name a machine (only)"), "{told}");

    let lab = lab(&suite);
    assert!(lab.is_dir());
    let (destroyed, told) = polder(&suite, &["destroy", "--yes"]);
    assert!(destroyed && !lab.exists() && !suite.join(".polder").exists(), "{told}");
    let (entered, told) = polder(&suite, &["enter", &ran.root().join("latest").display().to_string()]);
    assert!(!entered && told.contains("no environment of") && told.contains("POLDER_KEEP"), "{told}");
}

#[test]
fn nothing_stays_of_a_suite_that_went_well() {
    let ran = start("failed", "").wait_within(LIMIT);
    assert_eq!(ran.code, Some(0), "{}", ran.notes);
    assert!(!ran.root().join("latest/kept/.polder").exists());
    assert!(ran.events().iter().all(|event| event["kind"] != "environment_kept"));
}

#[test]
fn nothing_runs_on_of_a_suite_that_is_killed() {
    let running = start("always", "hang");
    let begun = running.scenario("kept", "leaves_a_mark").join("begun");
    let since = Instant::now();
    while !begun.exists() {
        assert!(since.elapsed() < LIMIT, "it does not begin");
        thread::sleep(Duration::from_millis(50));
    }
    let lab = lab(begun.parent().unwrap().parent().unwrap());
    assert!(lab.is_dir());
    running.signal(Signal::KILL);
    let ran = running.wait();
    assert_eq!(ran.code, None);
    let since = Instant::now();
    while lab.exists() {
        assert!(since.elapsed() < Duration::from_secs(30), "{} is still there", lab.display());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_word_that_says_nothing_is_refused() {
    let ran = start("sometimes", "").wait();
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.notes.contains("POLDER_KEEP is `sometimes`; set it to `never`, `failed`, `always` or `state`"),
        "{}",
        ran.notes
    );
}
