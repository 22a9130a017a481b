//! Suites of several processes on one host: who does not fit waits and says for what, goes on when the other is gone, however
//! it went, and can be stopped while it waits.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::binary::{Ran, Running, start_with};

const LIMIT: Duration = Duration::from_secs(120);

/// A suite with a machine of 128 MiB, on a host where suites may have `memory` MiB.
fn start(ground: &Path, memory: &str) -> Running {
    start_with("struck", &[], |command| {
        command.env("POLDER_BUDGET_DIR", ground.join("budget")).env("POLDER_BUDGET_MEMORY", memory);
        command.env("POLDER_RUNTIME_DIR", ground.join("labs"));
    })
}

/// Waits until a run has told something that is so.
fn until(running: &Running, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let file = running.scenario("", "events.jsonl");
        let text = fs::read_to_string(file).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(event) = events.map(|mut line| line["event"].take()).find(|event| is_it(event)) {
            return event;
        }
        assert!(since.elapsed() < LIMIT, "{what}: {text}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_up(event: &Value) -> bool {
    event["kind"] == "suite_progress" && event["text"] == "the lab is up"
}

fn waits(event: &Value) -> bool {
    event["kind"] == "suite_waiting"
}

fn outcome(ran: &Ran, scenario: &str) -> Value {
    let events = ran.events();
    let mut ended = events.iter().filter(|e| e["kind"] == "scenario_finished" && e["scenario"] == scenario);
    ended.next().map(|event| event["outcome"].clone()).unwrap_or_default()
}

#[test]
fn who_does_not_fit_waits_until_the_other_is_gone() {
    let dir = tempfile::Builder::new().prefix("pb").tempdir_in("/var/tmp").unwrap();
    let ground = dir.path();
    fs::create_dir(ground.join("labs")).unwrap();
    let first = start(ground, "200");
    until(&first, "the first does not begin", is_up);
    let second = start(ground, "200");
    let waited = until(&second, "the second does not wait", waits);
    let text = waited["text"].as_str().unwrap();
    for part in [
        "for 128 MiB of memory, of which 72 of 200 are free",
        "`struck` (process ",
        &first.child.id().to_string(),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // Who comes third waits for both, and need not go on waiting.
    let third = start(ground, "200");
    let text = until(&third, "the third does not wait", waits)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("waits before for 128 MiB"), "{text}");
    third.signal(Signal::INT);
    let third = third.wait();
    assert_eq!(third.code, Some(4), "{}", third.notes);
    assert_eq!(outcome(&third, "before")["reason"], "stopped by the operator");
    assert_eq!(outcome(&third, "environment"), Value::Null, "nothing came up for it");
    // Somebody with other limits is not in anybody's way.
    first.signal(Signal::KILL);
    assert_eq!(first.wait().code, None);
    until(&second, "the second does not go on", is_up);
    second.signal(Signal::KILL);
    assert_eq!(second.wait().code, None);
    let since = Instant::now();
    while fs::read_dir(ground.join("labs")).unwrap().flatten().any(|entry| entry.path().is_dir()) {
        assert!(since.elapsed() < Duration::from_secs(30), "labs are left");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_can_never_fit_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let ran = start(dir.path(), "100").wait();
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    let environment = outcome(&ran, "environment");
    assert_eq!(environment["fault"], "environment", "{environment}");
    let error = environment["error"].as_str().unwrap();
    for part in ["128 MiB", "100 MiB", "POLDER_BUDGET_MEMORY"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(outcome(&ran, "before")["reason"], "the environment did not come up");
    assert!(ran.out.contains(error), "{}", ran.out);
    assert!(!dir.path().join("budget").exists(), "nobody had to be asked");
}

#[test]
fn a_word_that_is_no_number_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ran = start(dir.path(), "lots").wait();
    assert_eq!(ran.code, Some(2));
    assert!(ran.notes.contains("`budget_memory` is `lots`; write a whole number above 0"), "{}", ran.notes);
}
