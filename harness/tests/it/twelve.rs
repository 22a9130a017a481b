//! A suite with all that can stand in attributes on a real machine, by itself and under nextest: the same is told of it.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::binary::{cargo, start};

const LIMIT: Duration = Duration::from_secs(240);

/// How each scenario ended, in words, from events.
fn told(events: &[Value]) -> Vec<String> {
    let ended = events.iter().filter(|event| event["kind"] == "scenario_finished");
    let words = |event: &Value| {
        let outcome = &event["outcome"];
        let reason = outcome["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{} {}{reason}", event["scenario"].as_str().unwrap(), outcome["outcome"].as_str().unwrap())
    };
    ended.map(words).collect()
}

const TOLD: &str = "\
is_ignored ignored: takes a day
lacks_a_tool not_run: needs the program `no-such-tool`, which is in no folder of `PATH`
lacks_a_capability not_run: no machine has the capability `flight`
environment passed
setup passed
is_prepared passed
waits_plainly passed
passes_at_last passed
adds[3] passed
adds[4] passed
is_known_to_fail expected_failure: no such command yet
fails failed
needs_what_failed not_run: needs `fails`, which failed
cleans_up passed
forgets_a_fault passed
leaves_it not_run: nothing to do at all
teardown passed
leaks failed";

const TOLD_OF_THE_REST: &str = "\
environment passed
portal passed
changes_it passed
goes_on passed
goes_back[short] passed
goes_back[long] passed
fails failed
comes_after_a_failure not_run: `fails` failed, and the suite stops at a failure";

/// What else has to be in the events.
fn look(events: &[Value], junit: &str) {
    let of = |suite: &str| events.iter().filter(|one| one["suite"] == suite).cloned().collect::<Vec<_>>();
    let rest = of("rest");
    assert_eq!(told(&rest).join("\n"), TOLD_OF_THE_REST);
    let kinds = |kind: &str| rest.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!(kinds("restored"), 2, "{rest:#?}");
    assert!(
        kinds("portal_reached") == 1 && kinds("change") >= 2 && kinds("change_reported") >= 1,
        "{rest:#?}"
    );
    let events = &of("twelve");
    assert_eq!(told(events).join("\n"), TOLD);
    let again: Vec<_> = events.iter().filter(|event| event["kind"] == "attempt_failed").collect();
    let [again] = again.as_slice() else { panic!("{again:?}") };
    assert_eq!((&again["scenario"], &again["attempt"]), (&"passes_at_last".into(), &1.into()));
    let ready = events.iter().find(|event| event["kind"] == "environment_ready").unwrap();
    assert_eq!(ready["machines"][0]["name"], "only");
    let failed = events.iter().find(|event| event["outcome"]["outcome"] == "failed").unwrap();
    assert_eq!(failed["outcome"]["fault"], "product");
    let collected: Vec<_> = events.iter().filter(|event| event["kind"] == "collected").collect();
    assert!(collected.iter().any(|event| event["scenario"] == "fails"), "{collected:?}");
    let leaks: Vec<_> = events.iter().filter(|event| event["kind"] == "leak").collect();
    let [leak] = leaks.as_slice() else { panic!("{leaks:?}") };
    assert_eq!((&leak["scenario"], &leak["leak"]), (&"forgets_a_fault".into(), &"fault".into()), "{leak}");
    for part in ["flakyFailure", "failed as expected", "not run: nothing to do at all", "<failure"] {
        assert!(junit.contains(part), "{part} is not in {junit}");
    }
    let usage = &events.iter().find(|event| event["kind"] == "suite_finished").unwrap()["usage"];
    assert!(usage["peak_memory_mib"].as_f64().unwrap() > 10.0, "{usage}");
}

fn events(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take()).collect()
}

#[test]
fn every_attribute_on_a_machine_is_told_as_it_went() {
    let ran = start("twelve", &[]).wait_within(LIMIT);
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    look(&ran.events(), &ran.file("junit.xml"));
    // A value that lives as long as the suite does not say what becomes of it.
    let told = "further attempts at `passes_at_last` begin in what the one before left";
    assert!(
        ran.notes.contains(told) && ran.notes.contains("`client` lives as long as the suite"),
        "{}",
        ran.notes
    );
    assert_eq!(ran.file("twelve/fails/note.txt"), "kept");
    let page = ran.file("report.html");
    assert!(page.contains("exit status 3"), "the cause is on the page");
}

/// nextest itself, so that what is killed is it; nothing where it is not installed.
pub(crate) fn nextest(args: &[&str], output: &Path) -> Option<Command> {
    let mut known = cargo();
    if !known.args(["nextest", "--version"]).output().unwrap().status.success() {
        eprintln!("SKIPPED: cargo-nextest is not installed");
        return None;
    }
    let of = cargo();
    let mut command = Command::new("cargo-nextest");
    command.arg("nextest").args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("CARGO", env!("CARGO")).env("POLDER_OUTPUT_DIR", output);
    Some(command)
}

#[test]
fn nextest_tells_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let Some(mut whole) = nextest(&["run", "--workspace", "--no-fail-fast", "--test", "twelve"], &output)
    else {
        return;
    };
    let ran = whole.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && said.contains("2 tests run: 0 passed, 2 failed"), "{said}");
    // Each suite is a process, and a run, of its own.
    let runs = fs::read_dir(&output).unwrap().flatten().filter(|entry| entry.file_type().unwrap().is_dir());
    let runs: Vec<_> = runs.map(|entry| entry.path()).collect();
    let junit: String = runs.iter().map(|run| fs::read_to_string(run.join("junit.xml")).unwrap()).collect();
    look(&runs.iter().flat_map(|run| events(run)).collect::<Vec<_>>(), &junit);
}
