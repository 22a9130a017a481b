//! Whole runs, with a driver that keeps what is set on its devices: what the tables of the contract say becomes of devices,
//! changes and those that wait for them.

use super::lab::*;
use crate::{
    base::exit::Exit,
    change::{Clock, Runner, Said, State},
};

/// One device, one change, and one that waits for it: which phase fails how, and what becomes of it.
#[rstest::rstest]
#[case::all_well("apply: do", "success", "", "done", Exit::Done)]
#[case::precheck("precheck: fail, apply: do", "total_failure", "", "blocked", Exit::Failed)]
#[case::apply("apply: fail, rollback: undo", "backout_ok", "", "blocked", Exit::Failed)]
#[case::apply_late("apply: late, rollback: undo", "backout_ok", "", "blocked", Exit::Failed)]
#[case::apply_lost("apply: lost, rollback: undo", "backout_ok", "", "blocked", Exit::Failed)]
#[case::apply_broken("apply: panic, rollback: undo", "backout_ok", "", "blocked", Exit::Failed)]
#[case::verify("apply: do, verify: fail, rollback: undo", "backout_ok", "", "blocked", Exit::Failed)]
#[case::rollback_fails("apply: late, rollback: fail", "backout_failed", "sw1 x", "blocked", Exit::Left)]
#[case::rollback_unverified(
    "apply: late, rollback: undo, verify_rollback: fail",
    "backout_failed",
    "",
    "blocked",
    Exit::Left
)]
#[case::may_not_be_undone(
    "apply: late, pre_rollback: fail, rollback: undo",
    "backout_failed",
    "sw1 x",
    "blocked",
    Exit::Left
)]
#[case::no_rollback("apply: late", "backout_failed", "sw1 x", "blocked", Exit::Left)]
#[case::goes_on("apply: late, rollback: undo, on_fail: continue", "backout_ok", "", "done", Exit::Failed)]
#[case::goes_on_dirty("apply: late, on_fail: continue", "backout_failed", "sw1 x", "done", Exit::Left)]
#[case::goes_on_untouched(
    "precheck: fail, apply: do, on_fail: continue",
    "total_failure",
    "",
    "done",
    Exit::Failed
)]
#[case::skipped("apply: do", "skipped", "", "done", Exit::Done)]
#[tokio::test]
async fn of_one_device(
    #[case] phases: &str,
    #[case] state: &str,
    #[case] left: &str,
    #[case] dependent: &str,
    #[case] exit: Exit,
) {
    let mut text = String::from("{ step: one, targets: [sw1]");
    for phase in phases.split(", ") {
        let (name, what) = phase.split_once(": ").unwrap();
        let sent = match what {
            "do" => "set x".to_owned(),
            "undo" => "unset x".to_owned(),
            "late" | "lost" => format!("{what} x"),
            other => other.to_owned(),
        };
        let script = format!("{{ exchanges: [ {{ send: {sent} }} ] }}");
        text += &match name {
            "on_fail" => format!(", policy: {{ on_fail: {what} }}"),
            "rollback" => format!(", rollback: [ {script} ]"),
            _ => format!(", {name}: {script}"),
        };
    }
    let lab = Lab::new(&format!(
        "devices: {{ sw1: {{}} }}\nscenario:\n  name: all\n  nodes:\n    - {text} }}\n    \
         - {{ step: two, targets: [sw1], after: [one], apply: {{ exchanges: [ {{ send: set y }} ] }} }}\n"
    ));
    let mut head = lab.head();
    if state == "skipped" {
        head.skipped = vec!["one".to_owned()];
    }
    let report = lab.runner.run(lab.folder.path(), head).await.unwrap();
    let told = states(&report);
    // A session that broke down is not there any more to be closed.
    if !phases.contains("panic") {
        lab.settled();
    }
    assert_eq!(report.steps[0].state.to_string(), state, "{told}");
    let expected = if dependent == "done" { State::Success } else { State::NotAttempted };
    assert_eq!(report.steps[1].state, expected, "{told}");
    let there = lab.there().replace("sw1 y", "").replace(", ", "");
    let applied = if state == "success" { "sw1 x" } else { left };
    assert_eq!((there.as_str(), report.exit()), (applied, exit), "{told}");
    assert_eq!(lab.told().contains("one on sw1: "), state == "backout_failed", "{}", lab.told());
}

/// Three devices of which the second fails: what becomes of all of them.
#[rstest::rstest]
#[case::stop(
    "on_fail: stop",
    "late x@sw2",
    "partial_failure (sw1 ok, sw2 rolled_back, sw3 not_attempted)",
    "sw1 x"
)]
#[case::goes_on(
    "on_fail: continue",
    "late x@sw2",
    "partial_failure (sw1 ok, sw2 rolled_back, sw3 ok)",
    "sw1 x, sw3 x"
)]
#[case::all(
    "on_fail: rollback_all",
    "late x@sw2",
    "backout_ok (sw1 rolled_back, sw2 rolled_back, sw3 not_attempted)",
    ""
)]
#[case::retried(
    "on_fail: stop, retry: { max: 1, delay: 1h }",
    "once x@sw2",
    "success (sw1 ok, sw2 ok, sw3 ok)",
    "sw1 x, sw2 x, sw3 x"
)]
#[case::given_up(
    "retry: { max: 2 }",
    "late x@sw2",
    "partial_failure (sw1 ok, sw2 rolled_back, sw3 not_attempted)",
    "sw1 x"
)]
#[case::no_time(
    "timeout: 1h, retry: { max: -1, delay: 20m }",
    "late x@sw2",
    "partial_failure (sw1 ok, sw2 rolled_back, sw3 not_attempted)",
    "sw1 x"
)]
#[tokio::test]
async fn of_three_devices(
    #[case] policy: &str,
    #[case] fault: &str,
    #[case] expected: &str,
    #[case] left: &str,
) {
    let lab = Lab::new(&format!(
        "devices: {{ sw1: {{}}, sw2: {{}}, sw3: {{}} }}\nscenario:\n  name: all\n  nodes:\n    \
         - {{ step: one, targets: all, policy: {{ {policy} }}, \
             apply: {{ exchanges: [ {{ send: set x }}, {{ send: {fault} }} ] }}, \
             rollback: [ {{ exchanges: [ {{ send: unset x }} ] }} ] }}\n"
    ));
    let report = lab.run().await;
    assert_eq!((states(&report), lab.there()), (format!("one {expected}"), left.to_owned()));
    if policy.contains("retry") {
        let attempts = report.steps[0].attempts;
        assert_eq!(attempts, if fault.contains("once") { 2 } else { 3 });
        // Those that succeeded are not done again.
        let first =
            lab.mock.seen().sent.iter().filter(|(device, text)| device == "sw1" && text == "set x").count();
        assert_eq!(first, 1);
        assert!(lab.clock.now() >= 10_000);
    }
}

#[tokio::test]
async fn a_failure_chooses_its_rollback_and_sees_what_was_said() {
    for (fault, expected) in [("late x", "console"), ("fail broken", "unset")] {
        let lab = Lab::new(&format!(
            "devices: {{ sw1: {{}} }}\nscenario:\n  name: all\n  nodes:\n    \
             - {{ step: one, targets: all, apply: {{ exchanges: [ {{ send: {fault} }} ] }}, rollback: [ \
                 {{ when: 'results.timed_out and \"half\" in results.cmdoutput', alert: 'console of %(device.name)s needed' }}, \
                 {{ exchanges: [ {{ send: unset x }} ] }} ] }}\n"
        ));
        let report = lab.run().await;
        let (told, sent) = (lab.told(), lab.mock.seen().sent);
        assert_eq!(told.contains("console of sw1 needed"), expected == "console", "{told}");
        assert_eq!(sent.len(), if expected == "console" { 1 } else { 2 });
        assert_eq!(report.exit(), if expected == "console" { Exit::Left } else { Exit::Failed });
    }
}

#[tokio::test]
async fn rows_are_undone_in_reverse_on_the_device_that_fails() {
    let lab = Lab::new(
        "devices: { sw1: {}, sw2: {} }\nmatrices: { m: { rows: [ {p: a}, {p: b}, {p: c} ] } }\nscenario:\n  name: all\n  \
         nodes:\n    - { step: one, matrix: m, targets: all, policy: { on_fail: continue }, \
         apply: { exchanges: [ { send: 'set %(p)s' }, { send: 'check c@sw2' }, { send: 'say' } ] }, \
         verify: { exchanges: [ { send: 'say %(p)s' } ], checks: [ 'not (results.cmdoutput == \"c\" and %(device.name)s == \"sw1\")' ] }, \
         rollback: [ { exchanges: [ { send: 'unset %(p)s' } ] } ] }\n",
    );
    let report = lab.run().await;
    assert_eq!(states(&report), "one backout_ok (sw1 rolled_back, sw2 rolled_back)");
    let sent = lab.mock.seen().sent;
    let undone: Vec<&str> =
        sent.iter().filter(|(_, text)| text.starts_with("unset")).map(|(_, text)| text.as_str()).collect();
    assert_eq!((undone, lab.there().as_str()), (vec!["unset c", "unset b", "unset a", "unset a"], ""));
    let why = &report.steps[0].devices[0].why[0];
    assert!(why.contains("is not true (results.cmdoutput is \"c\""), "{why}");
}

#[tokio::test]
async fn a_scenario_fails_with_its_members_and_its_verification_and_undoes_them() {
    for (last, verify) in [("fail", "say"), ("say", "fail"), ("say", "say")] {
        let lab = Lab::new(&format!(
            "devices: {{ sw1: {{}} }}\nscenario:\n  name: all\n  nodes:\n    \
             - scenario: inner\n      policy: {{ on_fail: rollback_all }}\n      \
             verify: {{ exchanges: [ {{ send: {verify} }} ] }}\n      nodes:\n        \
             - {{ step: a, targets: all, apply: {{ exchanges: [ {{ send: set a }} ] }}, rollback: [ {{ exchanges: [ {{ send: unset a }} ] }} ] }}\n        \
             - {{ step: b, targets: all, apply: {{ exchanges: [ {{ send: {last} }} ] }}, rollback: [ {{ exchanges: [ {{ send: say }} ] }} ] }}\n    \
             - {{ step: c, targets: all, apply: {{ exchanges: [ {{ send: set c }} ] }} }}\n"
        ));
        let report = lab.run().await;
        let good = last == "say" && verify == "say";
        let (there, of_c) = (lab.there(), report.steps[2].state);
        let expected = if good { ("sw1 a, sw1 c", State::Success) } else { ("", State::NotAttempted) };
        assert_eq!((there.as_str(), of_c), expected, "{}", states(&report));
        assert_eq!(report.unverified.len(), usize::from(verify == "fail"), "{report:?}");
        assert_eq!(report.state, if good { State::Success } else { State::BackoutOk });
    }
}

#[tokio::test]
async fn in_an_unordered_scenario_only_those_that_wait_for_a_failure_are_left_out() {
    let lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  unordered: true\n  nodes:\n    \
         - { step: a, targets: all, precheck: { exchanges: [ { send: fail } ] } }\n    \
         - { step: b, targets: all, after: [a], apply: { exchanges: [ { send: set b } ] } }\n    \
         - { step: c, targets: all, apply: { exchanges: [ { send: set c } ] } }\n",
    );
    let report = lab.run().await;
    let expected = "a total_failure (sw1 failed); c success (sw1 ok); b not_attempted (sw1 not_attempted)";
    assert_eq!((states(&report).as_str(), lab.there().as_str()), (expected, "sw1 c"));
}

#[tokio::test]
async fn what_is_there_already_is_neither_done_nor_undone() {
    let text = "devices: { sw1: {}, sw2: {} }\nscenario:\n  name: all\n  nodes:\n    \
        - { step: one, targets: all, policy: { on_fail: rollback_all }, \
            precheck: { exchanges: [ { send: check x, ignore_exit: true } ], already: [ results.exitcode == 0 ] }, \
            apply: { exchanges: [ { send: set x } ] }, verify: { exchanges: [ { send: check x } ] }, \
            rollback: [ { exchanges: [ { send: unset x } ] } ] }\n";
    let lab = Lab::new(text);
    lab.things.lock().unwrap().insert("sw1 x".to_owned());
    let report = lab.run().await;
    assert_eq!(states(&report), "one success (sw1 already, sw2 ok)");
    // A second run finds all of it there.
    let again = Runner { clock: lab.clock.clone(), ..lab.runner.clone() };
    let folder = tempfile::tempdir().unwrap();
    let report = again.run(folder.path(), lab.head()).await.unwrap();
    assert_eq!(states(&report), "one success (sw1 already, sw2 already)");
    lab.runner.rollback(lab.folder.path()).await.unwrap();
    assert_eq!(lab.there(), "sw1 x");
}

#[tokio::test]
async fn a_device_that_cannot_be_reached_is_untouched_and_a_bad_exchange_is_a_failure() {
    let lab = Lab::new(
        "devices: { sw9: {} }\nscenario: { name: all, nodes: [ { step: one, targets: all, \
         apply: { exchanges: [ { send: set x } ] }, rollback: [ { exchanges: [ { send: unset x } ] } ] } ] }\n",
    );
    let report = lab.run().await;
    assert_eq!(states(&report), "one total_failure (sw9 failed)");
    assert_eq!(report.steps[0].devices[0].why, ["cannot connect to sw9: no route to it"]);
    let lab = Lab::new(
        "devices: { sw1: {} }\nscenario: { name: all, nodes: [ { step: one, targets: all, \
         apply: { exchanges: [ { send: say hello }, { expect: 'hel+o' }, { expect: goodbye, send: set x } ] }, \
         rollback: [ { exchanges: [ { send: say undone } ] } ] } ] }\n",
    );
    let report = lab.run().await;
    assert_eq!((states(&report).as_str(), lab.there().as_str()), ("one backout_ok (sw1 rolled_back)", ""));
    assert!(
        lab.written().contains("> say hello\\n") || lab.written().contains("> say hello\n< hello"),
        "{}",
        lab.written()
    );
}

#[tokio::test]
async fn what_was_not_begun_is_not_undone_and_needs_nobody() {
    let nodes = |apply: &str| {
        format!(
            "devices: {{ sw1: {{}} }}\nscenario:\n  name: all\n  nodes:\n    - {{ step: one, targets: all, \
             apply: {{ exchanges: [ {apply} ] }} }}\n"
        )
    };
    let lab = Lab::new(&nodes("{ send: away }"));
    let report = lab.run().await;
    assert_eq!((report.exit(), lab.told().as_str()), (Exit::Failed, ""), "{}", states(&report));
    // After something was, nobody knows.
    let lab = Lab::new(&nodes("{ send: set x }, { send: away }"));
    assert_eq!(lab.run().await.exit(), Exit::Left);
    assert!(lab.told().contains("one on sw1"), "{}", lab.told());
}

#[test]
fn waiting_for_a_text_takes_nothing_away_from_what_a_command_came_to() {
    let mut results = crate::change::cond::Results::default();
    Said::exit(3, "no").add_to(&mut results);
    Said { output: " more".to_owned(), ..Said::default() }.add_to(&mut results);
    assert_eq!((results.exitcode, results.cmdoutput.as_str()), (Some(3), "no more"));
    Said::ok("").add_to(&mut results);
    assert_eq!(results.exitcode, Some(0));
}
