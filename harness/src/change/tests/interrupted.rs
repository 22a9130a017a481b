//! Runs that are killed or stopped at awkward moments: while the operator is asked, while something is undone, while time
//! passes; and what the operator gave up.

use std::{
    future::pending,
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
        Act, Alert, Alerts, Answer, Authorizer, Entry, Failure, Head, Journal, Key, Kind, Machine, Outcome,
        Progress, Question, Record, Recorded, Report, State, Way, model::Phase,
    },
};

const ONE: &str = "devices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
    precheck: { exchanges: [ { send: say } ] }, \
    apply: { exchanges: [ { send: set x }, { send: set y } ] }, verify: { exchanges: [ { send: check x } ] }, \
    rollback: [ { exchanges: [ { send: unset x }, { send: unset y } ] } ] }\n";

/// Says yes, but leaves the question of one number open for ever; says when it is open.
#[derive(Debug)]
struct Silent {
    asked: AtomicUsize,
    silent_at: usize,
    open: watch::Sender<bool>,
}

impl Silent {
    fn new(silent_at: usize) -> (Arc<Self>, watch::Receiver<bool>) {
        let (open, is_open) = watch::channel(false);
        (Arc::new(Self { asked: AtomicUsize::new(0), silent_at, open }), is_open)
    }
}

impl Authorizer for Silent {
    fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async {
            if self.asked.fetch_add(1, Ordering::SeqCst) == self.silent_at {
                self.open.send_replace(true);
                pending::<()>().await;
            }
            Answer::Yes
        })
    }
}

fn sent(lab: &Lab) -> String {
    lab.mock.seen().sent.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

async fn in_time(run: impl Future<Output = Report>) -> Report {
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("it never ends")
}

/// Waits until nobody has the journal, and reads it.
async fn free(lab: &Lab) -> Recorded {
    let taken = async {
        while Recorded::read(lab.folder.path()).unwrap().take().is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), taken).await.expect("somebody keeps the journal");
    Recorded::read(lab.folder.path()).unwrap()
}

/// Questions by number: before the precheck, before the change, before its second command, before its verification.
#[rstest::rstest]
#[case::before_the_precheck(0, "", "say, set x, set y, check x", "not_attempted")]
#[case::before_the_change(1, "say", "say, say, set x, set y, check x", "bailed_out")]
#[case::before_the_verification(3, "say, set x, set y", "say, set x, set y, check x", "bailed_out")]
#[tokio::test]
async fn who_is_ended_while_the_operator_is_asked_has_begun_nothing(
    #[case] silent_at: usize,
    #[case] before: &str,
    #[case] after: &str,
    #[case] state: &str,
    #[values(true, false)] killed: bool,
) {
    let mut lab = Lab::new(ONE);
    let (silent, mut open) = Silent::new(silent_at);
    (lab.runner.authorizer, lab.runner.settings.heed.commands) = (silent, true);
    if killed {
        tokio::select! {
            _ = open.wait_for(|open| *open) => {}
            _ = lab.runner.run(lab.folder.path(), lab.head()) => panic!("it waits for an answer"),
        }
    } else {
        lab.runner.stop = Some(open);
        let report = in_time(lab.run()).await;
        assert_eq!((report.exit(), report.steps[0].state.to_string().as_str()), (Exit::Stopped, state));
    }
    assert_eq!(sent(&lab), before);
    // Everything that is said to have begun has ended.
    let recorded = free(&lab).await;
    let count = |wanted: fn(&Record) -> bool| recorded.entries.iter().filter(|e| wanted(&e.record)).count();
    let begun = count(|record| matches!(record, Record::Begin { .. }));
    assert_eq!(begun, count(|record| matches!(record, Record::End { .. })), "{recorded:?}");
    lab.runner.stop = None;
    let report = lab.runner.resume(lab.folder.path()).await.unwrap();
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, "sw1 x, sw1 y"), "{}", states(&report));
    assert_eq!(sent(&lab), after, "nothing was undone");
}

#[tokio::test]
async fn who_stops_amid_a_change_that_asks_has_it_undone() {
    let mut lab = Lab::new(ONE);
    let (silent, open) = Silent::new(2);
    (lab.runner.authorizer, lab.runner.settings.heed.commands) = (silent, true);
    lab.runner.stop = Some(open);
    let report = in_time(lab.run()).await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, ""), "{}", states(&report));
    assert_eq!(sent(&lab), "say, set x, unset x, unset y");
    assert_eq!(report.steps[0].devices[0].why, ["the operator wanted to stop"]);
    // Who goes on begins it anew.
    lab.runner.stop = None;
    let report = lab.runner.resume(lab.folder.path()).await.unwrap();
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, "sw1 x, sw1 y"), "{}", states(&report));
}

/// Wants to stop when a phase begins.
#[derive(Debug)]
struct When(Phase, watch::Sender<bool>);

impl Progress for When {
    fn happened(&self, entry: &Entry) {
        if matches!(&entry.record, Record::Begin { phase, .. } if *phase == self.0) {
            self.1.send_replace(true);
        }
    }
}

#[tokio::test]
async fn who_stops_just_before_the_question_about_a_later_command_is_not_asked_it() {
    let mut lab = Lab::new(ONE);
    let (sender, stop) = watch::channel(false);
    (lab.runner.progress, lab.runner.stop) = (Arc::new(When(Phase::Apply, sender)), Some(stop));
    (lab.runner.authorizer, lab.runner.settings.heed.commands) = (Silent::new(2).0, true);
    let report = in_time(lab.run()).await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, ""), "{}", states(&report));
    assert_eq!(sent(&lab), "say, set x, unset x, unset y");
}

#[tokio::test]
async fn who_stopped_before_is_still_asked_about_every_command_that_verifies_what_was_done() {
    /// Takes a while to say yes.
    #[derive(Debug)]
    struct Slow;
    impl Authorizer for Slow {
        fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
            Box::pin(async {
                tokio::task::yield_now().await;
                Answer::Yes
            })
        }
    }
    let text = ONE.replace("{ send: set x }, { send: set y }", "{ send: set x }");
    let mut lab = Lab::new(&text.replace("{ send: check x }", "{ send: check x }, { send: say }"));
    let (sender, stop) = watch::channel(false);
    (lab.runner.progress, lab.runner.stop) = (Arc::new(When(Phase::Apply, sender)), Some(stop));
    (lab.runner.authorizer, lab.runner.settings.heed.commands) = (Arc::new(Slow), true);
    let report = in_time(lab.run()).await;
    assert_eq!(sent(&lab), "say, set x, check x, say");
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, "sw1 x"), "{}", states(&report));
}

/// Says no about one device, and nothing about others.
#[derive(Debug)]
struct Divided(&'static str);

impl Authorizer for Divided {
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            if question.key.device == self.0 {
                return Answer::No;
            }
            pending().await
        })
    }
}

/// Wants to stop as soon as there is an alert.
#[derive(Debug)]
struct Frightened(watch::Sender<bool>);

impl Alerts for Frightened {
    fn alert<'a>(&'a self, _: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async {
            self.0.send_replace(true);
        })
    }
}

#[tokio::test]
async fn a_stop_is_heard_although_somebody_said_no_before() {
    let two = ONE.replace("{ sw1: {} }", "{ sw1: {}, sw2: {} }").replace("check x", "fail");
    let two = two.replace("targets: all,", "targets: all, policy: { devices: { parallel: 2 } },");
    let mut lab = Lab::new(&two);
    let (open, is_open) = watch::channel(false);
    (lab.runner.authorizer, lab.runner.settings.heed.rollbacks) = (Arc::new(Divided("sw1")), true);
    (lab.runner.alerts, lab.runner.stop) = (Arc::new(Frightened(open)), Some(is_open));
    let report = in_time(lab.run()).await;
    assert_eq!(report.exit(), Exit::Left, "{}", states(&report));
    assert!(report.stopped.as_deref().is_some_and(|why| !why.is_empty()));
}

#[tokio::test]
async fn who_stops_instead_of_saying_whether_something_is_undone_is_asked_again_later() {
    let mut lab = Lab::new(&ONE.replace("check x", "fail"));
    let (silent, open) = Silent::new(0);
    (lab.runner.authorizer, lab.runner.settings.heed.rollbacks) = (silent, true);
    lab.runner.stop = Some(open);
    let report = in_time(lab.run()).await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, "sw1 x, sw1 y"), "{}", states(&report));
    assert_eq!((report.steps[0].state, lab.told().as_str()), (State::BailedOut, ""));
    lab.runner.stop = None;
    let report = lab.runner.resume(lab.folder.path()).await.unwrap();
    assert_eq!(states(&report), "one backout_ok (sw1 rolled_back)");
    assert_eq!(lab.there(), "");
}

#[tokio::test]
async fn a_question_that_breaks_down_ends_the_run_and_begins_nothing() {
    #[derive(Debug)]
    struct Broken;
    impl Authorizer for Broken {
        fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
            Box::pin(async { panic!("nobody is there") })
        }
    }
    let mut lab = Lab::new(ONE);
    (lab.runner.authorizer, lab.runner.settings.heed.commands) = (Arc::new(Broken), true);
    let report = in_time(lab.run()).await;
    assert_eq!((report.exit(), sent(&lab).as_str()), (Exit::Stopped, ""));
    assert!(report.stopped.unwrap().contains("nobody could be asked about one on sw1, precheck"));
}

/// Wants to stop when the first rollback begins.
fn stopped_late(lab: &mut Lab) {
    let (sender, stop) = watch::channel(false);
    (lab.runner.progress, lab.runner.stop) = (Arc::new(When(Phase::Rollback, sender)), Some(stop));
}

const MEMBERS: &str = "devices: { sw1: {}, sw2: {} }\nscenario:\n  name: all\n  policy: { on_fail: rollback_all }\n  nodes:\n    \
    - { step: a, targets: all, apply: { exchanges: [ { send: set a } ] }, rollback: [ { exchanges: [ { send: unset a } ] } ] }\n    \
    - { step: b, targets: all, apply: { exchanges: [ { send: set b } ] }, rollback: [ { exchanges: [ { send: unset b } ] } ] }\n    \
    - { step: c, targets: all, policy: { on_fail: rollback_all }, apply: { exchanges: [ { send: set c }, { send: late c@sw2 } ] }, \
        rollback: [ { exchanges: [ { send: unset c } ] } ] }\n";

#[tokio::test]
async fn what_is_being_undone_when_the_operator_wants_to_stop_is_undone_to_its_end() {
    let mut lab = Lab::new(MEMBERS);
    stopped_late(&mut lab);
    let report = in_time(lab.run()).await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, ""), "{}", states(&report));
    assert_eq!(report.state, State::BackoutOk);
    let why = report.stopped.unwrap();
    assert_eq!(why, "the operator wanted to stop; what is being undone is undone to its end");
    // So is a whole run.
    let mut lab = Lab::new(&MEMBERS.replace("late c@sw2", "say"));
    assert_eq!(lab.run().await.exit(), Exit::Done);
    stopped_late(&mut lab);
    let report = in_time(async { lab.runner.rollback(lab.folder.path()).await.unwrap() }).await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, ""), "{}", states(&report));
}

#[tokio::test]
async fn what_the_operator_is_asked_about_instead_is_not_said_to_be_undone_to_its_end() {
    let mut lab = Lab::new(PAIR);
    assert_eq!(lab.run().await.exit(), Exit::Done);
    let (silent, open) = Silent::new(1);
    (lab.runner.authorizer, lab.runner.settings.heed.rollbacks) = (silent, true);
    lab.runner.stop = Some(open);
    let report = in_time(async { lab.runner.rollback(lab.folder.path()).await.unwrap() }).await;
    assert_eq!(
        (report.exit(), lab.there().as_str()),
        (Exit::Stopped, "sw1 x, sw1 y, sw2 x"),
        "{}",
        states(&report)
    );
    assert_eq!(
        (report.state, report.stopped.unwrap().as_str()),
        (State::BailedOut, "the operator wanted to stop")
    );
    // Later it goes on.
    lab.runner.stop = None;
    let report = in_time(async { lab.runner.rollback(lab.folder.path()).await.unwrap() }).await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, ""), "{}", states(&report));
}

#[tokio::test]
async fn who_says_no_to_undoing_has_no_more_of_it() {
    /// Says no to the second question.
    #[derive(Debug, Default)]
    struct Second(AtomicUsize);
    impl Authorizer for Second {
        fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move { if number == 1 { Answer::No } else { Answer::Yes } })
        }
    }
    let mut lab = Lab::new(MEMBERS);
    lab.runner.authorizer = Arc::<Second>::default();
    lab.runner.settings.heed.rollbacks = true;
    let report = in_time(lab.run()).await;
    let left = "sw1 a, sw1 b, sw1 c, sw2 a, sw2 b";
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Left, left), "{}", states(&report));
    assert_eq!(lab.told(), "c on sw1: it could not be undone, rollback failed: the operator said no");
}

#[tokio::test]
async fn who_stops_what_goes_well_has_nothing_undone() {
    let mut lab = Lab::new(&MEMBERS.replace("late c@sw2", "say"));
    let (sender, stop) = watch::channel(false);
    #[derive(Debug)]
    struct At(watch::Sender<bool>);
    impl Progress for At {
        fn happened(&self, entry: &Entry) {
            if matches!(&entry.record, Record::Begin { key, .. } if key.step == "b") {
                self.0.send_replace(true);
            }
        }
    }
    (lab.runner.progress, lab.runner.stop) = (Arc::new(At(sender)), Some(stop));
    let report = in_time(lab.run()).await;
    assert_eq!(report.exit(), Exit::Stopped, "{}", states(&report));
    assert!(lab.there().starts_with("sw1 a, sw1 b"), "{}", lab.there());
}

#[tokio::test]
async fn what_the_operator_gives_up_is_not_tried_again() {
    let mut lab = Lab::new(&ONE.replace("targets: all,", "targets: all, policy: { retry: { max: 3 } },"));
    #[derive(Debug, Default)]
    struct Skip(AtomicUsize);
    impl Authorizer for Skip {
        fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Answer::Skip })
        }
    }
    let skip = Arc::<Skip>::default();
    (lab.runner.authorizer, lab.runner.settings.heed.commands) = (skip.clone(), true);
    let report = in_time(lab.run()).await;
    assert_eq!((skip.0.load(Ordering::SeqCst), report.steps[0].attempts), (1, 1), "{}", states(&report));
    assert_eq!((report.steps[0].state, report.exit()), (State::TotalFailure, Exit::Failed));
    assert_eq!(report.steps[0].devices[0].why, ["given up by the operator"]);
}

#[tokio::test]
async fn what_counts_as_done_and_was_killed_at_once_is_still_undone() {
    let lab = Lab::new(ONE);
    lab.things.lock().unwrap().extend(["sw1 x", "sw1 y"].map(str::to_owned));
    // Nothing but the first line is on disk.
    let head = Head { backout_only: true, ..lab.head() };
    drop(Journal::create(&lab.folder.path().join("run"), head).unwrap());
    let report = lab.runner.resume(&lab.folder.path().join("run")).await.unwrap();
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, ""), "{}", states(&report));
    assert!(report.undone);
}

#[tokio::test]
async fn a_scenario_of_which_all_is_skipped_is_not_verified() {
    let text = "devices: { sw1: {} }\nscenario:\n  name: all\n  verify: { exchanges: [ { send: fail } ] }\n  nodes:\n    \
                - scenario: inner\n      verify: { exchanges: [ { send: fail } ] }\n      nodes:\n        \
                - { step: a, targets: all, apply: { exchanges: [ { send: set a } ] } }\n    \
                - { step: b, targets: all, apply: { exchanges: [ { send: set b } ] } }\n";
    let lab = Lab::new(text);
    let head = Head { skipped: vec!["a".to_owned(), "b".to_owned()], ..lab.head() };
    let report = lab.runner.run(lab.folder.path(), head).await.unwrap();
    assert_eq!((sent(&lab).as_str(), report.exit(), report.state), ("", Exit::Done, State::Skipped));
    // What was done of it is.
    let lab = Lab::new(text);
    let head = Head { skipped: vec!["a".to_owned()], ..lab.head() };
    let report = lab.runner.run(lab.folder.path(), head).await.unwrap();
    assert_eq!((sent(&lab).as_str(), report.exit()), ("set b, fail", Exit::Failed));
    assert_eq!(report.unverified, [("all".to_owned(), "`fail`: exit status 3".to_owned())]);
}

/// Remembers what is tried again.
#[derive(Debug, Default)]
struct Tries(Mutex<Vec<String>>);

impl Progress for Tries {
    fn happened(&self, _: &Entry) {}
    fn retries(&self, step: &str, state: State) {
        self.0.lock().unwrap().push(format!("{step} {state}"));
    }
}

#[tokio::test]
async fn what_is_tried_again_says_so_while_it_waits_and_when_it_begins() {
    let mut lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
         policy: { retry: { max: 2, delay: 1h } }, apply: { exchanges: [ { send: once x } ] }, \
         rollback: [ { exchanges: [ { send: say } ] } ] }\n",
    );
    let tries = Arc::<Tries>::default();
    lab.runner.progress = tries.clone();
    assert_eq!(lab.run().await.exit(), Exit::Done);
    assert_eq!(*tries.0.lock().unwrap(), ["one retry_pending", "one retry"]);
}

const TRIED: &str = "devices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
    policy: { timeout: 1h, retry: { max: -1, delay: 20m } }, precheck: { exchanges: [ { send: fail } ] } }\n";

#[test]
fn time_in_which_nobody_runs_it_does_not_count() {
    const MINUTE: u64 = 60_000;
    let plan = planned(TRIED);
    let mut machine = Machine::new(&plan, 1, &[]);
    let key = |attempt| Key { step: "one".to_owned(), device: "sw1".to_owned(), row: None, attempt };
    let failed = || {
        let (kind, message, way) = (Kind::Exit, "no".to_owned(), Way::None);
        Outcome::Failed(Failure { kind, message, sent: true, way, tail: String::new() })
    };
    let phase = Phase::Precheck;
    let begin = |attempt| Record::Begin { key: key(attempt), phase, way: 0 };
    let end = |attempt| Record::End { key: key(attempt), phase, outcome: failed(), took: 1 };
    let state = |machine: &Machine<'_>| machine.report().steps[0].state;
    machine.fold(&Entry { at: 100 * MINUTE, record: begin(1) });
    machine.fold(&Entry { at: 101 * MINUTE, record: end(1) });
    assert_eq!(machine.due("one"), Some(160 * MINUTE));
    assert_eq!(machine.next(105 * MINUTE), [Act::Wait { until: 121 * MINUTE }]);
    assert_eq!(state(&machine), State::RetryPending);
    // Nobody is there for a week.
    let week = 7 * 24 * 60 * MINUTE;
    machine.fold(&Entry { at: 101 * MINUTE + week, record: Record::Resumed });
    assert_eq!(machine.due("one"), Some(160 * MINUTE + week));
    assert_eq!(machine.next(105 * MINUTE + week), [Act::Wait { until: 121 * MINUTE + week }]);
    let acts = machine.next(122 * MINUTE + week);
    assert!(matches!(&acts[..], [Act::Begin { key, .. }] if key.attempt == 2), "{acts:?}");
    assert_eq!(state(&machine), State::Retry);
    assert!(machine.report().summary().contains("to be tried again: one"));
    machine.fold(&Entry { at: 122 * MINUTE + week, record: begin(2) });
    assert_eq!(machine.next(122 * MINUTE + week), []);
    assert_eq!((state(&machine), machine.retries().count()), (State::Running, 0));
}

#[tokio::test]
async fn looking_for_a_device_takes_no_longer_than_its_change_may() {
    let lab = Lab::new(
        "devices: { sw1: { fqdn: localhost } }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
         policy: { timeout: 0s }, precheck: { exchanges: [ { send: 'say %(device.ipaddress)s' } ] } }\n",
    );
    let report = lab.run().await;
    let why = &report.steps[0].devices[0].why[0];
    assert!(why.starts_with("cannot find `localhost`: timed out; give the device an `ipaddress`"), "{why}");
    assert_eq!(sent(&lab), "");
}
