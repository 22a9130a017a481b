//! What the arguments of attributes make of scenarios, as the terminal, the events and the run's folder tell it.

use serde_json::Value;

use crate::binary::{Ran, run, start_with};

/// Without a portal of the host, and without KVM.
fn bare(args: &[&str], needs: &str) -> Ran {
    start_with("attributes", args, |command| {
        command.env_remove("POLDER_CVP_URL").env("POLDER_ACCEL", "tcg").env("POLDER_NEEDS", needs);
    })
    .wait()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

#[test]
fn what_is_tried_again_keeps_every_attempt() {
    let ran = run("attributes", &["retried"]);
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    assert_eq!(
        ran.outcomes(),
        [
            "retried::passes_at_last ... ok",
            "retried::never_passes ... FAILED",
            "retried::cannot_be_stopped ... FAILED",
        ]
    );
    assert!(ran.out.contains("s, attempt 3)\n"), "{}", ran.out);
    assert!(ran.out.contains("\nflaky:\n    retried::passes_at_last passed after it had failed 2 times\n"));
    assert!(ran.out.contains("\nattempt 1 had failed, too: never\n"), "{}", ran.out);
    assert!(ran.notes.contains("retried::passes_at_last: attempt 2 failed: not yet, at attempt 2\n"));
    assert!(ran.result().starts_with("FAILED. 1 passed; 2 failed; 0 ignored; "), "{}", ran.out);
    for attempt in ["1", "2"] {
        let error = ran.file(&format!("retried/passes_at_last/attempt-{attempt}/error.txt"));
        assert_eq!(error.lines().next(), Some(format!("not yet, at attempt {attempt}").as_str()));
    }
    let events = ran.events();
    let began: Vec<u64> = of_kind(&events, "scenario_started")
        .iter()
        .filter(|event| event["scenario"] == "passes_at_last")
        .map(|event| event["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(began, [1, 2, 3]);
    let failed = of_kind(&events, "attempt_failed");
    let told: Vec<String> =
        failed.iter().map(|event| format!("{} {}", event["scenario"], event["attempt"])).collect();
    let expected = ["\"passes_at_last\" 1", "\"passes_at_last\" 2", "\"never_passes\" 1"];
    assert_eq!(told, expected, "what cannot be stopped is not tried again");
    assert_eq!(failed[0]["fault"], "product");
    let logged = |text: &str| of_kind(&events, "log").iter().filter(|event| event["text"] == text).count();
    assert_eq!(logged("attempt 1 is under way") + logged("attempt 3 is under way"), 2);
}

#[test]
fn a_suite_that_stops_at_a_failure_still_does_what_always_runs() {
    let ran = run("attributes", &["stops"]);
    assert_eq!(
        ran.outcomes(),
        [
            "stops::passes ... ok",
            "stops::fails ... FAILED",
            "stops::comes_too_late ... not run: `fails` failed, and the suite stops at a failure",
            "stops::needs_what_comes_too_late ... not run: needs `comes_too_late`, which was not run",
            "stops::is_looked_at ... ok",
            "stops::is_cleaned_up ... ok",
        ]
    );
    let told = ran.events().into_iter().filter(|event| event["text"] == "told: the first one").count();
    assert_eq!(told, 1, "the teardown is told what failed first");
}

#[test]
fn each_case_is_a_scenario_of_its_own() {
    let listed = run("attributes", &["--list", "--format=terse", "--tag", "matrix"]).out;
    assert_eq!(
        listed,
        "cases::links_are_up[small]: test\ncases::links_are_up[large]: test\n\
         cases::packets_pass[1500]: test\ncases::packets_pass[JUMBO]: test\ncases::packets_pass[0]: test\n\
         cases::text_is_given_as_text[v4]: test\ncases::text_is_given_as_text[v6]: test\n\
         cases::needs_all_of_them: test\ncases::needs_the_others: test\n"
    );
    let ran = run("attributes", &["cases::"]);
    assert_eq!(
        ran.outcomes(),
        [
            "cases::links_are_up[small] ... ok",
            "cases::links_are_up[large] ... ok",
            "cases::packets_pass[1500] ... ok",
            "cases::packets_pass[JUMBO] ... ok",
            "cases::packets_pass[0] ... FAILED",
            "cases::text_is_given_as_text[v4] ... ok",
            "cases::text_is_given_as_text[v6] ... ok",
            "cases::needs_all_of_them ... not run: needs `packets_pass[0]`, which failed",
            "cases::needs_the_others ... ok",
        ]
    );
    assert_eq!(ran.file("cases/links_are_up[large]/mtu"), "9000");
    let ran = run("attributes", &["--exact", "cases::packets_pass[1500]"]);
    assert_eq!(
        ran.outcomes(),
        [
            "cases::links_are_up[small] ... ok as prerequisite",
            "cases::links_are_up[large] ... ok as prerequisite",
            "cases::packets_pass[1500] ... ok",
        ],
        "after all cases of another"
    );
    let ran = run("attributes", &["--exact", "cases::text_is_given_as_text"]);
    assert_eq!(ran.outcomes().len(), 2, "an editor that knows the function runs all of its cases");
}

#[test]
fn tags_select() {
    let listed = |args: &[&str]| run("attributes", &[&["--list", "--format=terse"], args].concat()).out;
    let numbers = "cases::packets_pass[1500]: test\ncases::packets_pass[JUMBO]: test\n\
                   cases::packets_pass[0]: test\n";
    assert_eq!(listed(&["--tag", "numbers"]), numbers);
    assert_eq!(listed(&["packets", "--tag=text", "--tag=numbers"]), numbers);
    let rest = listed(&["cases", "--skip-tag", "numbers", "--skip-tag", "text", "--skip", "links"]);
    assert_eq!(rest, "cases::needs_all_of_them: test\ncases::needs_the_others: test\n");
    assert_eq!(listed(&["--tag", "number"]), "", "a tag is a whole word");
    let ran = run("attributes", &["--tag", "text"]);
    assert_eq!(ran.result().split("; 0 measured").next(), Some("ok. 2 passed; 0 failed; 0 ignored"));
}

#[test]
fn a_known_failure_is_expected_until_its_last_day() {
    let ran = run("attributes", &["known"]);
    assert_eq!(ran.code, Some(101));
    assert_eq!(
        ran.outcomes(),
        [
            "known::fails ... failed, as is expected until 2999-12-31: bug 7",
            "known::needs_it ... not run: needs `fails`, which failed, as is expected",
            "known::passes ... FAILED",
            "known::fails_for_too_long ... FAILED",
            "known::is_mended ... ok",
            "known::is_not_run ... not run: nothing is found out about bug 11",
        ]
    );
    assert!(ran.out.contains("\n1 failed, as is expected\n"), "{}", ran.out);
    assert!(ran.result().starts_with("FAILED. 1 passed; 2 failed; 0 ignored; "), "{}", ran.out);
    assert_eq!(ran.file("known/fails/error.txt").lines().next(), Some("1 is not 2"));
    let passed = ran.file("known/passes/error.txt");
    assert!(passed.contains("until 2999-12-31 (bug 8): take `expect_fail` away"), "{passed}");
    let over = ran.file("known/fails_for_too_long/error.txt");
    assert!(
        over.starts_with("still\n") && over.contains("until 2020-02-29 (bug 9), which is over"),
        "{over}"
    );
    let ran = run("attributes", &["known::fails", "--exact"]);
    assert_eq!(
        (ran.code, ran.result()),
        (Some(0), "ok. 0 passed; 0 failed; 0 ignored; 0 measured; 36 filtered out")
    );
    let events = ran.events();
    let outcome = &of_kind(&events, "scenario_finished")[0]["outcome"];
    assert_eq!(
        (outcome["outcome"].as_str(), outcome["until"].as_str()),
        (Some("expected_failure"), Some("2999-12-31"))
    );
    assert_eq!(of_kind(&events, "run_finished")[0]["expected_failures"], 1);
}

#[test]
fn what_is_lacking_is_not_run_and_says_so() {
    let ran = bare(&["lacking"], "");
    assert_eq!(ran.code, Some(0), "{}", ran.notes);
    let outcomes = ran.outcomes();
    let lacks = outcomes[0].as_str();
    for part in [
        "lacking::lacks_much ... not run: needs the program `no-such-program`, which is in no folder of `PATH`; needs ",
        " MiB are free; needs a portal: name one with `POLDER_CVP_URL` and the variables beside it",
    ] {
        assert!(lacks.contains(part), "{lacks}");
    }
    assert_eq!(
        outcomes[1..],
        [
            "lacking::needs_it ... not run: needs `lacks_much`, which is left out",
            "lacking::needs_kvm ... not run: needs KVM, which is not used here: POLDER_ACCEL=tcg",
            "lacking::has_all ... ok",
            "lacking::is_cleaned_up ... ok",
            "lacking::finds_out ... not run: NO_SUCH_VARIABLE is not set",
            "lacking::needs_what_found_out ... not run: needs `finds_out`, which was not run",
        ]
    );
    assert!(ran.out.contains("\n5 not run\n"), "{}", ran.out);
    let ran = bare(&["skipped"], "");
    assert_eq!(ran.outcomes(), ["skipped::never_begins ... not run: not on a Sunday"]);
    assert_eq!(ran.code, Some(0));
}

#[test]
fn what_is_lacking_is_a_failure_where_nothing_may_be() {
    let ran = bare(&["lacking::needs_it", "lacking::lacks_much", "lacking::needs_kvm"], "strict");
    assert_eq!(ran.code, Some(101));
    assert_eq!(
        ran.outcomes(),
        [
            "lacking::lacks_much ... FAILED",
            "lacking::needs_it ... not run: needs `lacks_much`, which is left out",
            "lacking::needs_kvm ... FAILED",
        ]
    );
    assert!(
        ran.out.contains("---- lacking::needs_kvm ----\nneeds KVM, which is not used here"),
        "{}",
        ran.out
    );
    assert!(
        !ran.events().iter().any(|event| event["kind"] == "scenario_started"),
        "nothing is begun for them"
    );
    let ran = bare(&["lacking"], "sure");
    assert_eq!(ran.code, Some(2));
    assert!(ran.notes.contains("POLDER_NEEDS is `sure`; set it to `strict`"), "{}", ran.notes);
}

#[test]
fn values_are_ended_with_their_outcome_and_by_their_scope() {
    let ran = run("attributes", &["scoped"]);
    assert_eq!(
        ran.outcomes(),
        [
            "scoped::uses ... ok",
            "scoped::panics ... FAILED",
            "scoped::lets_nothing_go ... FAILED",
            "scoped::is_not_given_all ... FAILED",
        ]
    );
    let events = ran.events();
    let logged: Vec<String> = of_kind(&events, "log")
        .iter()
        .map(|event| format!("{}: {}", event["scenario"].as_str().unwrap(), event["text"].as_str().unwrap()))
        .collect();
    assert_eq!(
        logged,
        [
            "uses: the pool pool is filled",
            "uses: second leaves, passed: true",
            "uses: first leaves, passed: true",
            "panics: third leaves, passed: false",
            "lets_nothing_go: stubborn leaves, passed: true",
            "is_not_given_all: fifth leaves, passed: false",
            "teardown: the pool is drained after 3 uses, failed: true",
        ]
    );
    let stubborn = ran.file("scoped/lets_nothing_go/error.txt");
    assert!(stubborn.starts_with("the teardown of `stubborn` failed: it does not go"), "{stubborn}");
}

#[test]
fn the_harness_may_have_another_name() {
    let ran = run("attributes", &["elsewhere"]);
    assert_eq!(ran.outcomes(), ["elsewhere::passes[7] ... ok"]);
    assert_eq!(ran.file("elsewhere/passes[7]/number"), "7");
}
