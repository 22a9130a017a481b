//! libtest's command line: what is listed, what is selected, and in which forms it is told.

use serde_json::Value;

use crate::binary::{run, start_with};

#[test]
fn lists_are_libtests_and_start_nothing() {
    let ran = run("ordinary", &["--list"]);
    assert_eq!(
        ran.out,
        "ordinary::set_up_comes_first: test\nordinary::a_plain_function_may_wait: test\n\
         ordinary::source_order_is_kept: test\nordinary::files_are_kept: test\nordinary::slow: test\n\n\
         5 tests, 0 benchmarks\n"
    );
    assert!(!ran.root().exists() && ran.notes.is_empty());
    assert_eq!(run("ordinary", &["--list", "--format", "terse", "--ignored"]).out, "ordinary::slow: test\n");
    assert_eq!(
        run("ordinary", &["--list", "--format=terse", "kept", "--skip", "files"]).out,
        "ordinary::source_order_is_kept: test\n"
    );
    assert_eq!(run("ordinary", &["--list", "--format=terse", "nothing"]).out, "");
    assert_eq!(run("ordinary", &["--list", "--format=terse", "--bench"]).out, "");
}

#[test]
fn everything_passes_in_source_order() {
    let ran = run("ordinary", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(
        ran.outcomes(),
        [
            "ordinary::slow ... ignored, takes a day",
            "ordinary::set_up_comes_first ... ok",
            "ordinary::a_plain_function_may_wait ... ok",
            "ordinary::source_order_is_kept ... ok",
            "ordinary::files_are_kept ... ok",
        ]
    );
    assert_eq!(ran.result(), "ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
    assert_eq!(ran.file("ordinary/files_are_kept/note.txt"), "kept");
}

#[test]
fn what_is_needed_comes_along() {
    let ran = run("ordinary", &["ordinary::source_order_is_kept", "--exact"]);
    assert_eq!(
        ran.outcomes(),
        [
            "ordinary::set_up_comes_first ... ok as prerequisite",
            "ordinary::a_plain_function_may_wait ... ok as prerequisite",
            "ordinary::source_order_is_kept ... ok",
        ]
    );
    assert_eq!(ran.result(), "ok. 3 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out");
    let began = |ran: &crate::binary::Ran| {
        let events = ran.events().into_iter().filter(|event| event["kind"] == "scenario_started");
        events.map(|event| event["prerequisite"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(began(&ran), [false, true, true, false, false], "set-up, the three, teardown");
}

#[test]
fn ignored_ones_run_when_asked_for() {
    for args in [["slow", "--ignored"], ["slow", "--include-ignored"]] {
        let ran = run("ordinary", &args);
        assert_eq!(ran.outcomes(), ["ordinary::slow ... FAILED"]);
        assert_eq!(ran.code, Some(101));
    }
    // All of a suite is ignored: its set-up does not run either.
    let ran = run("ordinary", &["slow"]);
    assert_eq!(ran.result(), "ok. 0 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out");
    assert!(!ran.events().iter().any(|event| event["kind"] == "scenario_started"), "nothing to set up for");
}

#[test]
fn selecting_nothing_is_libtests_success() {
    let ran = run("ordinary", &["no_such_scenario"]);
    assert_eq!(
        (ran.code, ran.result()),
        (Some(0), "ok. 0 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out")
    );
    assert!(!ran.root().exists(), "no run without scenarios");
}

#[test]
fn wrong_usage_is_said() {
    for args in [&["--test-threads", "0"][..], &["--frobnicate"], &["--format", "xml"]] {
        let ran = run("ordinary", args);
        assert_eq!(ran.code, Some(2), "{args:?}");
        assert!(ran.notes.contains(args[0]), "{}", ran.notes);
    }
}

#[test]
fn programs_read_json() {
    let ran = run("ordinary", &["-Z", "unstable-options", "--format=json"]);
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["test_count"], 5);
    let passed = lines.iter().filter(|line| line["type"] == "test" && line["event"] == "ok").count();
    let last = lines.last().unwrap();
    assert_eq!((passed, last["event"].as_str(), last["ignored"].as_u64()), (4, Some("ok"), Some(1)));
}

#[test]
fn quiet_is_a_letter_each_and_colours_are_for_terminals() {
    let ran = run("failing", &["mixed", "--quiet"]);
    assert!(ran.out.contains("\nii.FnnFFF.\n"), "{}", ran.out);
    assert!(!ran.out.contains('\x1b'));
    assert!(run("ordinary", &["--color", "always"]).out.contains("\x1b[32mok\x1b[0m"));
}

#[test]
fn logs_are_shown_as_they_come_when_asked_for() {
    assert!(!run("ordinary", &[]).out.contains("so far 3 calls"));
    assert!(
        run("ordinary", &["--nocapture"]).out.contains("\nordinary::source_order_is_kept: so far 3 calls\n")
    );
}

#[test]
fn results_can_go_to_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ran = run("ordinary", &["--logfile", file.path().to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert!(std::fs::read_to_string(file.path()).unwrap().contains("test result: ok. 4 passed"));
}

#[test]
fn a_report_that_cannot_be_written_is_the_hosts_fault() {
    let ran = start_with("ordinary", &[], |command| {
        command.env("POLDER_OUTPUT_DIR", "/dev/null/polder");
    })
    .wait();
    assert_eq!(ran.code, Some(5));
    assert!(ran.notes.contains("/dev/null/polder"), "{}", ran.notes);
}

#[test]
fn what_failed_is_run_again_until_it_passes() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = folder.path().join("polder");
        start_with("failing", args, |command| {
            command.env("POLDER_OUTPUT_DIR", &output);
        })
        .wait()
    };
    let never = run(&["--rerun-failed"]);
    assert_eq!(never.code, Some(2));
    assert!(never.notes.contains("none of these suites was ever run"), "{}", never.notes);
    assert_eq!(run(&["mixed::passes", "mixed::fails", "mixed::logs", "mixed::needs_it"]).code, Some(101));
    let listed = run(&["--rerun-failed", "--list", "--format", "terse"]);
    assert_eq!(listed.out, "mixed::fails: test\nmixed::needs_it: test\nmixed::logs: test\n");
    let again = run(&["--rerun-failed", "mixed::"]);
    assert_eq!(
        again.outcomes(),
        [
            "mixed::passes ... ok as prerequisite",
            "mixed::fails ... FAILED",
            "mixed::needs_it ... not run: needs `fails`, which failed",
            "mixed::logs ... FAILED",
        ]
    );
}

#[test]
fn a_shard_is_a_part_of_the_suites() {
    let list = |shard: &str| run("failing", &["--list", "--format", "terse", "--shard", shard]).out;
    let whole = run("failing", &["--list", "--format", "terse"]).out;
    let parts: Vec<String> = ["1/3", "2/3", "3/3"].map(list).to_vec();
    let mut all: Vec<&str> = parts.iter().flat_map(|part| part.lines()).collect();
    let suite = |line: &str| line.split("::").next().unwrap().to_owned();
    let in_first = |line: &&str| parts[0].lines().any(|other| suite(other) == suite(line));
    assert!(parts[1].lines().chain(parts[2].lines()).all(|line| !in_first(&line)), "no suite is in two");
    let mut expected: Vec<&str> = whole.lines().collect();
    all.sort_unstable();
    expected.sort_unstable();
    assert_eq!(all, expected);
    let ran = run("ordinary", &["--shard", "2/2"]);
    assert_eq!(ran.result(), "ok. 0 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out");
    let wrong = run("ordinary", &["--shard", "3/2"]);
    assert!(wrong.code == Some(2) && wrong.notes.contains("such as `1/3`"), "{}", wrong.notes);
}
