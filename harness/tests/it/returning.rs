//! States that scenarios begin in, on real machines: brought back whole, by whatever way they were kept, and nothing is left of
//! them when whoever runs them is killed.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::binary::{Ran, start, start_with};

/// Nothing here takes as long.
const LIMIT: Duration = Duration::from_secs(150);

fn ran(args: &[&str]) -> Ran {
    start("returning", args).wait_within(LIMIT)
}

fn told(events: &[Value], kind: &str, field: &str) -> Vec<String> {
    let found = events.iter().filter(|event| event["kind"] == kind && event["suite"] == "states");
    found.map(|event| format!("{} {}", event["scenario"].as_str().unwrap(), event[field])).collect()
}

#[test]
fn scenarios_begin_in_the_state_that_others_left() {
    let ran = ran(&["states::"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.notes, ran.out);
    assert_eq!(ran.result(), "ok. 7 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out");
    let events = ran.events();
    let kept: Vec<String> = told(&events, "state_kept", "kind");
    assert_eq!(
        kept,
        ["first \"state_kept\"", "is_tried_again_from_where_it_began \"state_kept\""],
        "nothing is kept that nobody goes back to"
    );
    let expected = [
        "begins_there \"first\"",
        "begins_there_again \"first\"",
        "is_tried_again_from_where_it_began null",
        "is_tried_again_from_where_it_began null",
        "is_tried_again_from_there \"first\"",
        "is_tried_again_from_there \"first\"",
    ];
    assert_eq!(told(&events, "restored", "from"), expected);
    for attempt in ["1", "2"] {
        let error =
            ran.file(&format!("states/is_tried_again_from_where_it_began/attempt-{attempt}/error.txt"));
        assert!(error.starts_with(&format!("not yet, at attempt {attempt}")), "{error}");
    }
}

#[test]
fn what_emulators_cannot_keep_is_kept_by_snapshots() {
    let ran = ran(&["--exact", "plain::begins_there", "plain::spoils"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.notes, ran.out);
    let expected =
        ["plain::first ... ok as prerequisite", "plain::spoils ... ok", "plain::begins_there ... ok"];
    assert_eq!(ran.outcomes(), expected);
}

#[test]
fn nothing_is_left_when_who_goes_back_is_killed() {
    let root = tempfile::Builder::new().prefix("pr").tempdir_in("/var/tmp").unwrap();
    let args = ["--exact", "states::begins_there", "states::spoils", "plain::begins_there", "plain::spoils"];
    let running = start_with("returning", &args, |command| {
        command.env("POLDER_RUNTIME_DIR", root.path());
    });
    let any = running.scenario("any", "any");
    let events = any.parent().unwrap().parent().unwrap().join("events.jsonl");
    let begins = |line: &str| line.contains("scenario_started") && line.contains("begins_there");
    let since = Instant::now();
    // It goes back before it does anything, once it has begun.
    while !fs::read_to_string(&events).is_ok_and(|text| text.lines().any(begins)) {
        assert!(since.elapsed() < LIMIT, "nothing goes back");
        thread::sleep(Duration::from_millis(20));
    }
    let labs = || fs::read_dir(root.path()).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
    assert!(labs() > 0);
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, None);
    let since = Instant::now();
    while labs() > 0 {
        assert!(since.elapsed() < Duration::from_secs(30), "{:?} is not empty", root.path());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_cannot_be_brought_back_is_refused_before_anything_starts() {
    let real = |args: &[&str]| {
        start_with("returning", args, |command| {
            command.env("POLDER_CVP_URL", "https://192.0.2.1").env("POLDER_CVP_TOKEN", "t");
        })
        .wait()
    };
    for args in [&["--list", "states::"][..], &["states::begins_there"]] {
        let refused = real(args);
        assert_eq!(refused.code, Some(2), "{}", refused.notes);
        assert!(
            refused.notes.contains("`begins_there` is from `first`, but what that leaves cannot be kept")
        );
        assert!(refused.notes.contains("POLDER_CVP_URL"), "{}", refused.notes);
    }
    assert_eq!(real(&["--list", "plain::"]).code, Some(0), "others are what they were");
}
