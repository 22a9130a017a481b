//! A suite with all that can stand in attributes on a real machine, by itself and under nextest: the same is told of it. And
//! what is left when nextest is killed amid: nothing.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
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
leaves_it not_run: nothing to do at all
teardown passed";

/// What else has to be in the events.
fn look(events: &[Value], junit: &str) {
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
fn nextest(args: &[&str], output: &Path) -> Option<Command> {
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
fn nextest_tells_the_same_and_leaves_nothing_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (output, runtime) = (folder.path().join("out"), folder.path().join("run"));
    fs::create_dir(&runtime).unwrap();
    let Some(mut whole) = nextest(&["run", "--workspace", "--test", "twelve"], &output) else { return };
    let ran = whole.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && said.contains("1 test run: 0 passed, 1 failed"), "{said}");
    let latest = output.join("latest");
    look(&events(&latest), &fs::read_to_string(latest.join("junit.xml")).unwrap());

    let output = folder.path().join("killed");
    let mut amid = nextest(&["run", "--workspace", "--test", "kept"], &output).unwrap();
    amid.env("POLDER_RUNTIME_DIR", &runtime).env("POLDER_KEPT_TEST", "hang");
    let mut running = amid.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| output.join("latest/kept/leaves_a_mark/begun").exists(), "it does not begin");
    let labs =
        || fs::read_dir(&runtime).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(labs(), 1, "its lab is there");
    kill_process(Pid::from_child(&running), Signal::KILL).unwrap();
    running.wait().unwrap();
    until(|| labs() == 0, "its lab is still there");
    // The suite noticed, and told the end of it.
    let latest = output.join("latest");
    let over = || events(&latest).into_iter().find(|event| event["kind"] == "run_finished");
    until(|| over().is_some(), "the run has no end");
    assert_eq!(over().unwrap()["stopped"], true);
}

fn until(is_so: impl Fn() -> bool, otherwise: &str) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < LIMIT, "{otherwise}");
        thread::sleep(Duration::from_millis(50));
    }
}
