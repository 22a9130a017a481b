//! One device: every phase, how it fails, and what becomes of it. Rows 38 to 56 of the checklist, and the table of failures of
//! one device (1.7), each case in the form that is required where ModiPy did otherwise.

use std::sync::Arc;

use super::super::lab::*;
use crate::{
    base::exit::Exit,
    change::{Answer, Operator, Report, State},
};

/// What is sent in a phase, and what has to be true then.
fn script(what: &str) -> String {
    let untrue = ", checks: [ 'results.exitcode == 9' ]";
    let (sent, checks) = match what {
        "look" => ("say", ""),
        "do" => ("set x", ""),
        "undo" => ("unset x", ""),
        "untrue" => ("say", untrue),
        "do, untrue" => ("set x", untrue),
        "undo, untrue" => ("unset x", untrue),
        "nonsense" => ("set x", ", checks: [ 'int(results.cmdoutput) == 1' ]"),
        "unknown" => ("say %(device.ipaddress)s", ""),
        "late" => ("late x", ""),
        "lost" => ("lost x", ""),
        other => (other, ""),
    };
    format!("{{ exchanges: [ {{ send: '{sent}' }} ]{checks} }}")
}

/// `apply=do; rollback=undo` as keys of a step.
fn keys(phases: &str) -> String {
    let mut text = String::new();
    for phase in phases.split("; ").filter(|phase| !phase.is_empty()) {
        let (name, what) = phase.split_once('=').unwrap();
        text += &match name {
            "on_fail" => format!(", policy: {{ on_fail: {what} }}"),
            "rollback" => format!(", rollback: [ {} ]", script(what)),
            _ => format!(", {name}: {}", script(what)),
        };
    }
    text
}

fn lab(phases: &str) -> Lab {
    Lab::new(&format!(
        "devices: {{ sw1: {{}} }}\nscenario:\n  name: all\n  nodes:\n    - {{ step: one, targets: all{} }}\n",
        keys(phases)
    ))
}

fn sent(lab: &Lab) -> String {
    lab.mock.seen().sent.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

fn of_one(report: &Report) -> (State, &str, String) {
    let step = &report.steps[0];
    (step.state, step.devices[0].result, step.devices[0].why.join("; "))
}

const EXIT: &str = "exit status 3";
const UNTRUE: &str = "`results.exitcode == 9` is not true";
const LATE: &str = "sw1 took too long";
const LOST: &str = "the session with sw1 was lost";

#[rstest::rstest]
// The precheck alone.
#[case::row_38("precheck=look", State::Success, "ok", "", "say")]
#[case::row_39("precheck=fail", State::TotalFailure, "failed", EXIT, "fail")]
#[case::row_40("precheck=untrue", State::TotalFailure, "failed", UNTRUE, "say")]
// Errors come out as they are, and nothing follows in the phases after them. What was applied is undone: ModiPy left it.
#[case::row_41("precheck=fail; apply=do; rollback=undo", State::TotalFailure, "failed", EXIT, "fail")]
#[case::row_42(
    "precheck=look; apply=late; verify=look; rollback=undo",
    State::BackoutOk,
    "rolled_back",
    LATE,
    "say, late x, unset x"
)]
#[case::row_43(
    "apply=do; verify=lost; rollback=undo",
    State::BackoutOk,
    "rolled_back",
    LOST,
    "set x, lost x, unset x"
)]
#[tokio::test]
async fn forward(
    #[case] phases: &str,
    #[case] state: State,
    #[case] result: &str,
    #[case] why: &str,
    #[case] all: &str,
) {
    let lab = lab(phases);
    let report = lab.run().await;
    let (is, ended, said) = of_one(&report);
    assert_eq!((is, ended), (state, result), "{said}");
    assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{said}");
    assert_eq!((sent(&lab).as_str(), lab.there().as_str()), (all, ""));
}

#[rstest::rstest]
#[case::row_44("pre_rollback=look; rollback=undo; verify_rollback=look", "", "say, unset x, say", "")]
#[case::row_45("pre_rollback=late; rollback=undo", LATE, "late x", "sw1 x")]
#[case::row_46("pre_rollback=untrue; rollback=undo", UNTRUE, "say", "sw1 x")]
#[case::row_47("pre_rollback=look; rollback=lost; verify_rollback=look", LOST, "say, lost x", "sw1 x")]
#[case::row_48("rollback=undo, untrue; verify_rollback=look", UNTRUE, "unset x", "")]
#[case::row_49("rollback=undo; verify_rollback=fail", EXIT, "unset x, fail", "")]
#[case::row_50("rollback=undo; verify_rollback=untrue", UNTRUE, "unset x, say", "")]
#[tokio::test]
async fn backward(#[case] phases: &str, #[case] why: &str, #[case] all: &str, #[case] left: &str) {
    let lab = lab(&format!("apply=do; {phases}"));
    assert_eq!(lab.run().await.exit(), Exit::Done);
    let report = lab.runner.rollback(lab.folder.path()).await.unwrap();
    lab.settled();
    let (state, result, said) = of_one(&report);
    let (expected, exit) = match why {
        "" => ((State::BackoutOk, "rolled_back"), Exit::Done),
        _ => ((State::BackoutFailed, "rollback_failed"), Exit::Left),
    };
    assert_eq!(((state, result), report.exit()), (expected, exit), "{said}");
    assert!(said.contains(why), "{said}");
    assert_eq!((sent(&lab), lab.there()), (format!("set x, {all}"), left.to_owned()));
    // Nobody is left alone with it.
    assert_eq!(lab.told().contains("one on sw1: it could not be undone"), !why.is_empty(), "{}", lab.told());
}

/// The change fails by a condition, then undoing it fails as well: that is what comes out in the end, after the cause.
#[rstest::rstest]
#[case::row_51("pre_rollback=fail; rollback=undo", "pre_rollback", EXIT)]
#[case::row_52("pre_rollback=untrue; rollback=undo", "pre_rollback", UNTRUE)]
#[case::row_53("rollback=late", "rollback", LATE)]
#[case::row_54("rollback=undo, untrue", "rollback", UNTRUE)]
#[case::row_55("rollback=undo; verify_rollback=lost", "verify_rollback", LOST)]
#[case::row_56("rollback=undo; verify_rollback=untrue", "verify_rollback", UNTRUE)]
#[tokio::test]
async fn forward_and_backward(#[case] phases: &str, #[case] phase: &str, #[case] why: &str) {
    let lab = lab(&format!("apply=do, untrue; {phases}"));
    let report = lab.run().await;
    let whys = &report.steps[0].devices[0].why;
    assert_eq!((report.steps[0].state, report.exit()), (State::BackoutFailed, Exit::Left), "{whys:?}");
    assert!(whys.len() == 2 && whys[0].contains(UNTRUE) && whys[1].contains(why), "{whys:?}");
    let told = lab.told();
    assert!(told.starts_with(&format!("one on sw1: it could not be undone, {phase} failed: ")), "{told}");
}

/// Table 1.7: `one` fails, `two` waits for it, `three` does not.
#[rstest::rstest]
#[case::name_lookup("precheck=unknown; apply=do", "sw0", "total_failure", "not_attempted", "", Exit::Failed)]
#[case::connect("apply=do; rollback=undo", "sw9", "total_failure", "not_attempted", "", Exit::Failed)]
#[case::precheck_condition(
    "precheck=untrue; apply=do",
    "sw1",
    "total_failure",
    "not_attempted",
    "",
    Exit::Failed
)]
#[case::precheck_error("precheck=fail; apply=do", "sw1", "total_failure", "not_attempted", "", Exit::Failed)]
#[case::apply_condition(
    "apply=do, untrue; rollback=undo",
    "sw1",
    "backout_ok",
    "not_attempted",
    "",
    Exit::Failed
)]
#[case::apply_error("apply=late; rollback=undo", "sw1", "backout_ok", "not_attempted", "", Exit::Failed)]
#[case::apply_lost("apply=lost; rollback=undo", "sw1", "backout_ok", "not_attempted", "", Exit::Failed)]
#[case::apply_nonsense(
    "apply=nonsense; rollback=undo",
    "sw1",
    "backout_ok",
    "not_attempted",
    "",
    Exit::Failed
)]
#[case::verify_condition(
    "apply=do; verify=untrue; rollback=undo",
    "sw1",
    "backout_ok",
    "not_attempted",
    "",
    Exit::Failed
)]
#[case::verify_error(
    "apply=do; verify=fail; rollback=undo",
    "sw1",
    "backout_ok",
    "not_attempted",
    "",
    Exit::Failed
)]
#[case::rollback_fails(
    "apply=do, untrue; rollback=fail",
    "sw1",
    "backout_failed",
    "not_attempted",
    "sw1 x",
    Exit::Left
)]
#[case::none_defined("apply=do, untrue", "sw1", "backout_failed", "not_attempted", "sw1 x", Exit::Left)]
#[case::error_and_none_defined("apply=late", "sw1", "backout_failed", "not_attempted", "sw1 x", Exit::Left)]
#[case::goes_on(
    "apply=do, untrue; rollback=undo; on_fail=continue",
    "sw1",
    "backout_ok",
    "success",
    "",
    Exit::Failed
)]
#[case::goes_on_dirty(
    "apply=do, untrue; rollback=fail; on_fail=continue",
    "sw1",
    "backout_failed",
    "success",
    "sw1 x",
    Exit::Left
)]
#[case::goes_on_without(
    "apply=do, untrue; on_fail=continue",
    "sw1",
    "backout_failed",
    "success",
    "sw1 x",
    Exit::Left
)]
#[tokio::test]
async fn a_device_that_fails(
    #[case] phases: &str,
    #[case] device: &str,
    #[case] state: &str,
    #[case] dependent: &str,
    #[case] left: &str,
    #[case] exit: Exit,
) {
    let lab = three(phases, device);
    let report = lab.run().await;
    let is =
        |at: usize| report.steps.iter().find(|step| step.name == ["one", "two", "three"][at]).unwrap().state;
    let told = states(&report);
    assert_eq!((is(0).to_string().as_str(), is(1).to_string().as_str()), (state, dependent), "{told}");
    // Whatever fails, what does not wait for it goes on.
    assert_eq!((is(2), report.exit()), (State::Success, exit), "{told}");
    let there: Vec<String> =
        lab.there().split(", ").filter(|thing| thing.ends_with(" x")).map(str::to_owned).collect();
    assert_eq!(there.join(", "), left, "{told}");
    assert_eq!(lab.told().contains("one on sw1: "), exit == Exit::Left, "{}", lab.told());
}

fn three(phases: &str, device: &str) -> Lab {
    let set = |what: &str| format!("apply: {{ exchanges: [ {{ send: set {what} }} ] }}");
    Lab::new(&format!(
        "devices: {{ sw0: {{ fqdn: a..b }}, sw1: {{}}, sw9: {{}} }}\nscenario:\n  name: all\n  unordered: true\n  \
         nodes:\n    - {{ step: one, targets: [{device}]{} }}\n    \
         - {{ step: two, targets: [sw1], after: [one], {} }}\n    - {{ step: three, targets: [sw1], {} }}\n",
        keys(phases),
        set("y"),
        set("z"),
    ))
}

/// Table 1.7, where the operator says no: nothing new begins, for every kind of question alike.
#[rstest::rstest]
#[case::before_the_precheck(
    "precheck=look; apply=do; rollback=undo",
    true,
    "total_failure",
    "",
    Exit::Stopped
)]
#[case::before_the_change("apply=do; rollback=undo", true, "total_failure", "", Exit::Stopped)]
#[case::to_the_rollback("apply=do, untrue; rollback=undo", false, "backout_failed", "sw1 x", Exit::Left)]
#[tokio::test]
async fn an_operator_who_says_no(
    #[case] phases: &str,
    #[case] commands: bool,
    #[case] state: &str,
    #[case] left: &str,
    #[case] exit: Exit,
) {
    let mut lab = three(phases, "sw1");
    lab.runner.authorizer = Arc::new(Operator(Answer::No));
    (lab.runner.settings.heed.commands, lab.runner.settings.heed.rollbacks) = (commands, !commands);
    let report = lab.run().await;
    let by_name = |name: &str| report.steps.iter().find(|step| step.name == name).unwrap().state.to_string();
    let told = states(&report);
    assert_eq!((by_name("one").as_str(), lab.there().as_str(), report.exit()), (state, left, exit), "{told}");
    assert_eq!(
        (by_name("two"), by_name("three")),
        ("not_attempted".to_owned(), "not_attempted".to_owned()),
        "{told}"
    );
}
