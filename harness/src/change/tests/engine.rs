//! Whole runs, with a driver that keeps what is set on its devices: what the tables of the contract say becomes of devices,
//! changes and those that wait for them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::lab::*;
use crate::{
    base::{dial::BoxFuture, exit::Exit},
    change::{
        Answer, Ask, Authorizer, Clock, DriverError, Entry, Head, Mock, Progress, Question, Record, Recorded,
        RunError, Runner, Said, Seen, State,
    },
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

const PAIR: &str = "devices: { sw1: {}, sw2: {} }\nscenario:\n  name: all\n  nodes:\n    \
    - { step: one, targets: all, apply: { exchanges: [ { send: set x } ] }, verify: { exchanges: [ { send: check x } ] }, \
        rollback: [ { exchanges: [ { send: unset x } ] } ] }\n    \
    - { step: two, targets: all, apply: { exchanges: [ { send: set y } ] }, rollback: [ { exchanges: [ { send: unset y } ] } ] }\n";

/// Drops the run when so many entries are on disk.
#[derive(Debug)]
struct Fuse {
    left: AtomicUsize,
    blown: watch::Sender<bool>,
}

impl Progress for Fuse {
    fn happened(&self, _: &Entry) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.blown.send_replace(true);
        }
    }
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_record_goes_on_to_the_same_end_or_is_undone() {
    let whole = Lab::new(PAIR);
    let (expected, there) = (states(&whole.run().await), whole.there());
    let entries = Recorded::read(whole.folder.path()).unwrap().entries.len();
    for cut in 1..entries {
        for undo in [false, true] {
            let mut lab = Lab::new(PAIR);
            let (blown, mut seen) = watch::channel(false);
            lab.runner.progress = Arc::new(Fuse { left: AtomicUsize::new(cut), blown });
            tokio::select! {
                biased;
                _ = seen.wait_for(|blown| *blown) => {}
                _ = lab.runner.run(lab.folder.path(), lab.head()) => {}
            }
            lab.runner.progress = Arc::new(crate::change::NoProgress);
            let folder = lab.folder.path();
            // What was being written when it was killed is still written.
            while Recorded::read(folder).unwrap().take().is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let report =
                if undo { lab.runner.rollback(folder).await } else { lab.runner.resume(folder).await };
            let report = report.unwrap();
            if undo {
                assert_eq!((lab.there().as_str(), report.exit()), ("", Exit::Done), "cut at {cut}");
            } else {
                assert_eq!((states(&report), lab.there()), (expected.clone(), there.clone()), "cut at {cut}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_done_is_undone_from_the_journal_last_first_and_twice_is_no_more_than_once() {
    let lab = Lab::new(PAIR);
    assert_eq!(lab.run().await.exit(), Exit::Done);
    // There is nothing left to go on with.
    let before = lab.mock.seen().sent.len();
    assert_eq!(lab.runner.resume(lab.folder.path()).await.unwrap().exit(), Exit::Done);
    assert_eq!(lab.mock.seen().sent.len(), before);
    for _ in 0..2 {
        let report = lab.runner.rollback(lab.folder.path()).await.unwrap();
        assert_eq!((lab.there().as_str(), report.exit()), ("", Exit::Done));
    }
    let sent = lab.mock.seen().sent;
    let undone: Vec<String> =
        sent[before..].iter().map(|(device, text)| format!("{device} {text}")).collect();
    assert_eq!(undone, ["sw2 unset y", "sw1 unset y", "sw2 unset x", "sw1 unset x"]);
    lab.settled();
    // Another plan's run is not ours to touch.
    let mut other = Lab::new(&PAIR.replace("set y", "set z"));
    other.runner.drivers = lab.runner.drivers.clone();
    let error = other.runner.rollback(lab.folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("had another plan"), "{error}");
    other.runner.drivers.clear();
    let error = other.runner.run(other.folder.path(), other.head()).await.unwrap_err();
    assert!(matches!(&error, RunError::NoDriver(names) if names == &["m"]), "{error}");
}

#[tokio::test]
async fn everything_can_be_undone_without_a_journal() {
    let lab = Lab::new(PAIR);
    lab.things.lock().unwrap().extend(["sw1 x", "sw2 x", "sw1 y", "sw2 y"].map(str::to_owned));
    let head = Head { backout_only: true, ..lab.head() };
    let report = lab.runner.run(lab.folder.path(), head).await.unwrap();
    assert_eq!((lab.there().as_str(), report.exit()), ("", Exit::Done), "{}", states(&report));
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

/// Answers in order, and remembers what was asked.
#[derive(Debug)]
struct Answers(Mutex<(Vec<Answer>, Vec<String>)>);

impl Answers {
    fn new(answers: &[Answer]) -> Arc<Self> {
        Arc::new(Self(Mutex::new((answers.iter().rev().copied().collect(), Vec::new()))))
    }
    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Authorizer for Answers {
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        let mut state = self.0.lock().unwrap();
        state.1.push(question.to_string());
        assert!(!matches!(&question.ask, Ask::Command(text) if text.contains("hunter2")));
        let answer = state.0.pop().unwrap_or(Answer::Yes);
        Box::pin(async move { answer })
    }
}

#[tokio::test]
async fn the_operator_is_shown_what_is_sent_and_may_end_or_skip_it() {
    let text = PAIR.replace("send: set x", "send: 'set %(password)s'").replace("unset x", "unset hunter2");
    let text =
        text.replace("check x", "check hunter2").replace("devices:", "vars: { password: hunter2 }\ndevices:");
    let mut lab = Lab::new(&text);
    let answers = Answers::new(&[Answer::Skip, Answer::Yes, Answer::All]);
    lab.runner.authorizer = answers.clone();
    lab.runner.settings.heed.commands = true;
    let report = lab.run().await;
    assert_eq!(answers.asked()[0], "one on sw1, apply: send \"set ***\"?");
    assert_eq!(report.steps[0].devices[0].result, "failed", "{}", states(&report));
    // No ends it all, and what was sent before is undone if the operator wants it.
    let mut lab = Lab::new(&text);
    let answers = Answers::new(&[Answer::Yes, Answer::No, Answer::Yes]);
    lab.runner.authorizer = answers.clone();
    (lab.runner.settings.heed.commands, lab.runner.settings.heed.rollbacks) = (true, true);
    let report = lab.run().await;
    assert!(
        answers.asked()[2].starts_with("one on sw1: undo it, after: the operator said no"),
        "{:?}",
        answers.asked()
    );
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, ""), "{}", states(&report));
    let expected = "one backout_ok (sw1 rolled_back, sw2 not_attempted); two not_attempted (sw1 not_attempted, sw2 not_attempted)";
    assert_eq!(states(&report), expected);
    // And if not, a person is told.
    let mut lab = Lab::new(&text.replace("check hunter2", "fail"));
    lab.runner.authorizer = Answers::new(&[Answer::No]);
    lab.runner.settings.heed.rollbacks = true;
    let report = lab.run().await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Left, "sw1 hunter2"));
    assert!(lab.told().contains("one on sw1: "), "{}", lab.told());
    assert!(!lab.written().contains("hunter2") && lab.written().contains("set ***"), "{}", lab.written());
    assert!(!format!("{}{report:?}", lab.runner.plan).contains("hunter2"));
}

#[tokio::test]
async fn a_pause_asks_and_then_goes_on_with_its_phase() {
    let text = PAIR
        .replace("apply: { exchanges: [ { send: set y", "apply: { pause: true, exchanges: [ { send: set y");
    for (no_pause, asked) in [(false, 2), (true, 0)] {
        let mut lab = Lab::new(&text);
        let answers = Answers::new(&[]);
        lab.runner.authorizer = answers.clone();
        lab.runner.settings.heed.no_pause = no_pause;
        assert_eq!(lab.run().await.exit(), Exit::Done);
        assert_eq!((answers.asked().len(), lab.there().as_str()), (asked, "sw1 x, sw1 y, sw2 x, sw2 y"));
    }
}

/// Wants to stop as soon as something of a device has begun.
#[derive(Debug)]
struct Impatient(watch::Sender<bool>);

impl Progress for Impatient {
    fn happened(&self, entry: &Entry) {
        if matches!(&entry.record, Record::Begin { key, .. } if key.device == "sw2") {
            self.0.send_replace(true);
        }
    }
}

#[tokio::test]
async fn who_stops_it_leaves_whole_changes_and_can_go_on_later() {
    let mut lab = Lab::new(PAIR);
    let (sender, stop) = watch::channel(false);
    (lab.runner.progress, lab.runner.stop) = (Arc::new(Impatient(sender)), Some(stop));
    let report = lab.run().await;
    // What was applied was still verified.
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, "sw1 x, sw2 x"), "{}", states(&report));
    assert!(report.summary().contains("stopped: the operator wanted to stop"), "{}", report.summary());
    lab.runner.stop = None;
    let report = lab.runner.resume(lab.folder.path()).await.unwrap();
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, "sw1 x, sw1 y, sw2 x, sw2 y"));
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
async fn changes_run_in_their_order_and_are_undone_in_exactly_the_reverse() {
    const EDGES: &str = "begin: branch1:begin c1:branch1 c14:branch1 c7:c1 c18:c1 alan:c14 c12:c7 c41:c18 \
                         meetup:c12,c41 fnord:c41,alan wibble:meetup beatrice:fnord,meetup";
    let nodes: String = EDGES
        .split_whitespace()
        .map(|edge| {
            let (name, after) = edge.split_once(':').unwrap();
            format!(
                "    - {{ step: {name}, targets: all, after: [{after}], apply: {{ exchanges: [ {{ send: set {name} }} ] }}, \
                 rollback: [ {{ exchanges: [ {{ send: unset {name} }} ] }} ] }}\n"
            )
        })
        .collect();
    let text = format!(
        "devices: {{ sw1: {{}}, sw2: {{}} }}\nscenario:\n  name: all\n  unordered: true\n  nodes:\n{nodes}"
    );
    let expected = "begin branch1 c1 c14 c7 c18 alan c12 c41 meetup fnord wibble beatrice";
    for jobs in [1, 4] {
        let mut lab = Lab::new(&text);
        lab.runner.settings.jobs = jobs;
        lab.run().await;
        let done = lab.mock.seen().sent;
        if jobs == 1 {
            let of_sw2: Vec<&str> =
                done.iter().filter(|(device, _)| device == "sw2").map(|(_, text)| &text[4..]).collect();
            assert_eq!(of_sw2.join(" "), expected);
        }
        lab.runner.rollback(lab.folder.path()).await.unwrap();
        let undone: Vec<String> =
            lab.mock.seen().sent[done.len()..].iter().map(|(d, text)| format!("{d} {text}")).collect();
        if jobs == 1 {
            let reverse: Vec<String> =
                done.iter().rev().map(|(device, text)| format!("{device} un{text}")).collect();
            assert_eq!(undone, reverse);
        }
        assert_eq!((undone.len(), lab.there().as_str()), (26, ""));
        lab.settled();
    }
}

/// Time that never passes.
#[derive(Debug)]
struct Never(watch::Sender<bool>);

impl Clock for Never {
    fn now(&self) -> u64 {
        1
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'_, ()> {
        self.0.send_replace(true);
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn before_each_row_it_waits_as_long_as_the_matrix_says_unless_it_is_stopped() {
    const TEXT: &str = "devices: { sw1: {} }\nmatrices: { m: { delay: 10s, rows: [ {p: a}, {p: b}, {p: c} ] } }\nscenario:\n  \
        name: all\n  nodes: [ { step: one, matrix: m, targets: all, precheck: { exchanges: [ { send: say } ] }, \
        apply: { exchanges: [ { send: 'set %(p)s' } ] }, rollback: [ { exchanges: [ { send: 'unset %(p)s' } ] } ] } ]\n";
    let lab = Lab::new(TEXT);
    lab.run().await;
    assert_eq!((lab.clock.now(), lab.there().as_str()), (30_000, "sw1 a, sw1 b, sw1 c"));
    // Who waits has begun nothing that would have to be ended.
    let mut lab = Lab::new(TEXT);
    let (sender, stop) = watch::channel(false);
    (lab.runner.clock, lab.runner.stop) = (Arc::new(Never(sender)), Some(stop));
    let report = lab.run().await;
    assert_eq!((report.exit(), lab.mock.seen()), (Exit::Stopped, Seen::default()));
    assert_eq!(states(&report), "one not_attempted (sw1 not_attempted)");
}

#[tokio::test]
async fn what_could_not_be_undone_is_tried_once_more_when_asked_for() {
    let mut lab = Lab::new(&PAIR.replace("check x", "fail"));
    lab.runner.authorizer = Answers::new(&[Answer::No]);
    lab.runner.settings.heed.rollbacks = true;
    let report = lab.run().await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Left, "sw1 x"));
    let report = lab.runner.rollback(lab.folder.path()).await.unwrap();
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, ""), "{}", states(&report));
}

#[tokio::test]
async fn nothing_is_tried_again_when_the_time_of_the_scenario_around_it_is_over() {
    let lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  policy: { timeout: 1h }\n  nodes:\n    - { step: one, targets: all, \
         policy: { retry: { max: -1, delay: 20m } }, apply: { exchanges: [ { send: fail } ] }, \
         rollback: [ { exchanges: [ { send: unset x } ] } ] }\n",
    );
    let report = tokio::time::timeout(Duration::from_secs(30), lab.run()).await.unwrap();
    assert_eq!(states(&report), "one backout_ok (sw1 rolled_back)");
    assert!(lab.clock.now() <= 3_600_000, "{}", lab.clock.now());
}

/// A driver that has a password of its own, which its devices say.
#[derive(Debug)]
struct Knowing(Mock);

impl crate::change::Driver for Knowing {
    fn secrets(&self) -> Vec<String> {
        vec!["s3 \"q\"".to_owned()]
    }
    fn open<'a>(
        &'a self,
        target: crate::change::Target<'a>,
        deadline: crate::base::wait::Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn crate::change::Session>, DriverError>> {
        self.0.open(target, deadline)
    }
}

#[tokio::test]
async fn what_a_driver_hides_is_hidden_whoever_says_it() {
    let mut lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
         apply: { exchanges: [ { send: 'say it is s3 \"q\"' } ], checks: [ 'results.cmdoutput == \"x\"' ] } }\n",
    );
    lab.runner.drivers = [("m".to_owned(), Arc::new(Knowing(lab.mock.clone())) as _)].into();
    let report = lab.run().await;
    let why = &report.steps[0].devices[0].why[0];
    assert!(why.contains("is \"it is ***\""), "{why}");
    let everything = format!("{}{}{report:?}", lab.written(), lab.told());
    assert!(everything.contains("***") && !everything.contains("s3"), "{everything}");
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
