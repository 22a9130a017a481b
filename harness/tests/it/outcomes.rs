//! What scenarios end in, what is said of it, and what it leaves.

use std::time::{Duration, Instant};

use crate::binary::run;

#[test]
fn every_kind_of_failure_is_told() {
    let start = Instant::now();
    let ran = run("failing", &["--test-threads", "1"]);
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    insta::assert_snapshot!(ran.outcomes().join("\n"), @r"
    mixed::ignored ... ignored
    mixed::needs_an_ignored_one ... ignored, needs `ignored`, which is ignored
    mixed::passes ... ok
    mixed::fails ... FAILED
    mixed::needs_it ... not run: needs `fails`, which failed
    mixed::needs_what_needs_it ... not run: needs `needs_it`, which was not run
    mixed::panics ... FAILED
    mixed::panics_plainly ... FAILED
    mixed::logs ... FAILED
    mixed::goes_on ... ok
    limits::hangs ... FAILED
    limits::goes_on ... ok
    limits::hangs_plainly ... FAILED
    limits::never_begins ... not run: `hangs_plainly` still runs: it could not be stopped
    whole_limit::takes_too_long ... FAILED
    whole_limit::comes_too_late ... not run: the suite's 0.3 s are over
    bad_setup::setup ... FAILED
    bad_setup::never_begins ... not run: `setup` failed
    bad_teardown::fails ... FAILED
    bad_teardown::teardown ... FAILED
    left_changed::applies ... ok
    left_changed::changes ... FAILED
    badly_changed::fails_to_change ... FAILED
    unbootable::environment ... FAILED
    unbootable::never_begins ... not run: the environment did not come up
    ");
    assert_eq!(ran.result(), "FAILED. 4 passed; 13 failed; 2 ignored; 0 measured; 0 filtered out");
    assert!(ran.out.contains("\n6 not run\n"), "{}", ran.out);
    let changes = ran.file("left_changed/changes/error.txt");
    assert!(changes.contains("could not be undone: sw1 (rollback_failed)"), "{changes}");
    let phases =
        ran.events().into_iter().filter(|event| event["text"] == "change mtu on sw1: apply ok").count();
    assert_eq!(phases, 1, "phases are lines of the scenario's log");
    let of_changes = ran.events().into_iter().filter(|event| event["kind"] == "change").collect::<Vec<_>>();
    let applied = &of_changes[0];
    let told = ["scenario", "change", "device", "phase"].map(|name| applied[name].as_str().unwrap());
    assert_eq!(told, ["applies", "mtu", "sw1", "apply"]);
    let transcript = std::fs::read_to_string(applied["transcript"].as_str().unwrap()).unwrap();
    assert!(transcript.contains("mtu on sw1: apply: ok"), "{transcript}");
    let failed = of_changes.iter().find(|event| event["phase"] == "rollback").map(|event| &event["error"]);
    assert!(failed.is_some_and(|error| error.is_string()), "{of_changes:?}");
    let tidied: Vec<_> = ran.events().into_iter().filter(|event| event["text"] == "tidied").collect();
    assert_eq!(tidied.len(), 3, "teardown runs, whatever failed before");
    assert!(start.elapsed() < Duration::from_secs(30), "what hangs must not keep the process");
}

#[test]
fn what_became_of_each_change_is_a_page_that_is_told() {
    let ran = run("failing", &["left_changed::", "badly_changed::"]);
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    let events = ran.events();
    let reported = |suite: &str| -> Vec<(String, String)> {
        let of = events.iter().filter(|event| event["kind"] == "change_reported" && event["suite"] == suite);
        let text = |event: &serde_json::Value, name: &str| event[name].as_str().unwrap().to_owned();
        of.map(|event| {
            let what =
                format!("{} {} {}", text(event, "scenario"), text(event, "change"), text(event, "state"));
            (what, text(event, "report"))
        })
        .collect()
    };
    // Once it was done, and once it was undone: the page has both.
    let left = reported("left_changed");
    let told: Vec<&str> = left.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(told, ["applies mtu success", "changes mtu backout_failed"]);
    let page = ran.file("left_changed/changes/1-mtu/report.html");
    assert!(
        left[0].1 == left[1].1 && left[0].1.ends_with("/left_changed/changes/1-mtu/report.html"),
        "{left:?}"
    );
    for words in
        ["<h1>suite left_changed</h1>", "A person is needed", "&gt; do\n&lt; as it was told", "&gt; undo"]
    {
        assert!(page.contains(words), "no `{words}` in {page}");
    }
    assert!(ran.file("left_changed/changes/error.txt").contains(&format!("all of it is in {}", left[0].1)));
    // Each phase of each row of each device, with what was said in it; the failure says where.
    let bad = reported("badly_changed");
    assert_eq!(bad[0].0, "fails_to_change mtu backout_ok");
    let error = ran.file("badly_changed/fails_to_change/error.txt");
    let why = "the change `mtu` failed: sw1 (rolled_back): `check et2`: exit status 1; all of it is in ";
    assert!(error.starts_with(&format!("{why}{}\n", bad[0].1)), "{error}");
    let page = std::fs::read_to_string(&bad[0].1).unwrap();
    for words in ["set et1", "check et1", "set et2", "check et2", "unset et2", "unset et1"] {
        assert!(page.contains(&format!("&gt; {words}\n&lt; sw1 heard {words}")), "no `{words}` in {page}");
    }
    let json = std::path::Path::new(&bad[0].1).with_extension("json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let devices = json["steps"][0]["devices"].as_array().unwrap();
    let results: Vec<_> = devices.iter().map(|device| (&device["device"], &device["result"])).collect();
    assert_eq!(results, [(&"sw1".into(), &"rolled_back".into()), (&"sw2".into(), &"not_attempted".into())]);
}

#[test]
fn a_failure_leaves_its_error_its_log_and_every_event() {
    let ran = run("failing", &["mixed::logs", "mixed::panics_plainly", "mixed::passes"]);
    assert!(ran.file("mixed/logs/error.txt").starts_with("after logging\n"));
    let log = ran.file("mixed/logs/log.txt");
    let lines: Vec<&str> = log.lines().map(|line| &line[10..]).collect();
    assert_eq!((lines[0], lines[2]), ("on the way", "  deep inside"), "{log}");
    assert!(lines[1].starts_with("@ exec vm=web ("), "{log}");
    let error = ran.file("mixed/panics_plainly/error.txt");
    assert!(error.starts_with("panicked at ") && error.ends_with("\nno harbour\n"), "{error}");
    assert!(!ran.notes.contains("harbour"), "printed twice: {}", ran.notes);
    assert!(!ran.root().join("latest/mixed/passes").exists(), "a passing scenario keeps nothing");

    let events = ran.events();
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "run_started",
            "suite_started",
            "scenario_started",
            "scenario_finished",
            "scenario_started",
            "log",
            // At once: before anybody looks what else there is to say of it.
            "failing",
            "scenario_finished",
            "scenario_started",
            "log",
            "span_started",
            "log",
            "span_finished",
            "failing",
            "scenario_finished",
            "suite_finished",
            "run_finished",
        ]
    );
    assert_eq!(events[5]["text"], "about to panic");
    assert_eq!(events[13]["error"], "after logging");
    let told = ran.notes.lines().filter(|line| *line == "mixed::logs: after logging").count();
    assert_eq!(told, 1, "{}", ran.notes);
    assert_eq!(events[14]["outcome"]["fault"], "product");
    assert_eq!((events[16]["passed"].as_u64(), events[16]["failed"].as_u64()), (Some(1), Some(2)));
}

#[test]
fn an_environment_that_does_not_come_up_is_reported_once() {
    let ran = run("failing", &["unbootable"]);
    assert_eq!(ran.code, Some(101));
    assert_eq!(
        ran.outcomes(),
        [
            "unbootable::environment ... FAILED",
            "unbootable::never_begins ... not run: the environment did not come up",
        ]
    );
    let events = ran.events();
    let failure = events.iter().find(|event| event["outcome"]["outcome"] == "failed").unwrap();
    assert_eq!(failure["outcome"]["fault"], "environment");
    assert!(ran.file("unbootable/environment/error.txt").contains("missing"));
}

#[test]
fn suites_run_side_by_side_within_the_bound() {
    let ran = run("side_by_side", &["--test-threads", "2"]);
    assert_eq!(ran.result(), "ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    let ran = run("side_by_side", &["--test-threads=1"]);
    assert_eq!(
        ran.outcomes(),
        ["left::meets ... FAILED", "inner::right::meets ... ok"],
        "the first one waited alone"
    );
}

#[test]
fn wrong_names_are_said_before_anything_starts() {
    let ran = run("wrong_names", &["--skip", "broken_changes"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(ran.notes, @r"
    error: nothing was run
    harness/tests/suites/wrong_names.rs:10: suite `wrong_names`: no net `wan` in unbootable.yaml; did you mean `lan`?
    harness/tests/suites/wrong_names.rs:15: suite `wrong_names`: no machine `wbe` in unbootable.yaml; did you mean `web`?
    harness/tests/suites/wrong_names.rs:15: suite `wrong_names`: no machine of role `engine` in unbootable.yaml; no machine has a role
    harness/tests/suites/wrong_names.rs:25: suite `without_file`: `asks_for_a_machine` asks for `web`, but the suite names no init file (`env = ..`)
    harness/tests/suites/wrong_names.rs:33: suite `without_file`: `asks_for_the_outcome` asks for the outcome, which only a `#[teardown]` is told
    harness/tests/suites/wrong_names.rs:38: suite `without_file`: `asks_for_a_portal` asks for the portal's session `cvp`, but the suite has none: write `#[polder::suite(cvp)]`
    harness/tests/suites/wrong_names.rs:43: suite `without_file`: `asks_for_a_change` asks for the change `mtu`, but the suite names no file of changes (`changes = ..`)
    harness/tests/suites/wrong_names.rs:63: suite `other_changes`: no change `first_nte` in named.yaml; did you mean `first-note`?
    ");
    assert!(!ran.root().exists(), "nothing has begun");
    // All that is wrong with a file of changes, with its lines, and with the parameters beside it.
    let ran = run("wrong_names", &["broken_changes"]);
    assert_eq!(ran.code, Some(2));
    for words in [
        "broken.yaml:7:35]",
        "`wbe` is no machine of the environment, and its driver says no `user` to log in as",
        "there is no device `wee`",
        "broken.yaml:8:42]",
        "there is no change or scenario `oen`",
        "did you mean `one`?",
        "there is no variable `nothing` for web",
        "no net `net` in unbootable.yaml",
    ] {
        assert!(ran.notes.contains(words), "no `{words}` in {}", ran.notes);
    }
    assert!(!ran.root().exists(), "nothing has begun");
    let ran = run("wrong_names", &["--list"]);
    assert_eq!(ran.code, Some(0), "{}", ran.notes);
}

#[test]
fn what_no_machine_is_capable_of_is_left_out_and_starts_nothing() {
    let ran = run("pair", &["needs_more", "comes_after_it", "--include-ignored"]);
    assert_eq!(ran.code, Some(0), "{}", ran.notes);
    assert_eq!(
        ran.outcomes(),
        [
            "pair::needs_more ... not run: no machine of role `first_one` has the capability `ping`; \
             no machine has the capability `fly`",
            "pair::comes_after_it ... not run: needs `needs_more`, which is left out",
        ]
    );
    assert_eq!(ran.result(), "ok. 0 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out");
    assert!(!ran.events().iter().any(|event| event["kind"] == "scenario_started"), "no machine is started");
}

#[test]
fn a_forgotten_harness_line_fails_loudly() {
    let ran = run("forgotten", &[]);
    assert_eq!(ran.code, Some(101));
    assert!(ran.out.contains("add `harness = false` to its `[[test]]`"), "{}", ran.out);
    assert!(ran.out.contains("test demo::boots ... FAILED"), "{}", ran.out);
}
