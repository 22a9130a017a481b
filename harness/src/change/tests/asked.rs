//! Who is asked: what the operator is shown, what an answer leads to, and that none is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::lab::*;
use crate::{
    base::{dial::BoxFuture, exit::Exit, wait::Deadline},
    change::{
        Answer, Authorizer, Entry, Heed, Key, Mock, Outcome, Progress, Question, Record, Said, Secrets, Text,
        Vars,
        desk::Desk,
        model::{Device, Exchange, Phase, Script},
        run::Job,
    },
};

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

/// Something that the operator is asked about is not allowed by a yes that nobody said.
#[tokio::test]
async fn a_command_that_could_not_be_shown_before_is_shown_once_it_can_be() {
    let (answers, mock) = (Answers::new(&[]), Mock::new(|_, sent| Ok(Said::ok(sent))));
    let desk = Desk {
        authorizer: answers.clone(),
        clock: Arc::<Hours>::default(),
        heed: Heed { commands: true, ..Heed::default() },
        secrets: Secrets::default(),
        answered: Default::default(),
        stop: None,
        run: "monday".to_owned(),
        closing: Default::default(),
    };
    let send = Some(Text::parse("say %(device.ipaddress)s").unwrap());
    let exchange = Exchange { send, ..Exchange::default() };
    let mut job = Job {
        key: Key { step: "one".to_owned(), device: "sw1".to_owned(), row: None, attempt: 1 },
        place: None,
        phase: Phase::Precheck,
        script: Script { exchanges: vec![exchange], ..Script::default() },
        step: None,
        device: Device {
            name: "sw1".into(),
            attributes: [("fqdn".to_owned(), "127.0.0.1".to_owned())].into(),
            ..Device::default()
        },
        vars: Vars::new(),
        driver: Some(Arc::new(mock.clone())),
        command_timeout: Duration::from_secs(60),
        // There is no time to look for the device.
        deadline: Deadline::within(Duration::ZERO),
        ask: None,
        cleared: false,
        allowed: false,
        heeds_stop: true,
        session: None,
        desk: Arc::new(desk),
    };
    assert!(job.clear().await.is_none() && answers.asked().is_empty());
    job.deadline = Deadline::within(Duration::from_secs(60));
    let done = job.run().await;
    assert_eq!(done.outcome, Outcome::Ok { sent: true });
    assert_eq!(answers.asked(), ["one on sw1, precheck: send \"say 127.0.0.1\"?"]);
    assert_eq!(mock.seen().sent, [("sw1".to_owned(), "say 127.0.0.1".to_owned())]);
}

/// Says yes once, and then lets time pass and says no.
#[derive(Debug)]
struct TooLate(AtomicUsize, Arc<Hours>);

impl Authorizer for TooLate {
    fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        if number == 1 {
            self.1.0.fetch_add(2 * 3_600_000, Ordering::SeqCst);
        }
        Box::pin(async move { if number == 1 { Answer::No } else { Answer::Yes } })
    }
}

#[tokio::test]
async fn a_no_counts_although_nobody_wants_to_know_it_any_more() {
    // The time in which it may be tried again is over when the answer comes.
    let mut lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  unordered: true\n  nodes:\n    - { step: one, targets: all, \
         policy: { timeout: 1h, retry: { max: 1, delay: 0s } }, precheck: { exchanges: [ { send: fail } ] } }\n    \
         - { step: two, targets: all, apply: { exchanges: [ { send: set y } ] } }\n",
    );
    lab.runner.authorizer = Arc::new(TooLate(AtomicUsize::new(0), lab.clock.clone()));
    lab.runner.settings.heed.commands = true;
    let report = lab.run().await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Stopped, ""), "{}", states(&report));
    assert_eq!(report.stopped.unwrap(), "the operator said no to one on sw1, precheck");
}

/// Says no about `sw1` once it is told to, and yes about others.
#[derive(Debug)]
struct Waits(watch::Receiver<bool>);

impl Authorizer for Waits {
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            if question.key.device != "sw1" {
                return Answer::Yes;
            }
            let _ = self.0.clone().wait_for(|go| *go).await;
            Answer::No
        })
    }
}

#[tokio::test]
async fn a_no_counts_although_its_question_is_taken_back_while_it_comes() {
    let mut lab = Lab::new(
        "devices: { sw1: {}, sw2: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
         policy: { devices: { parallel: 2 } }, precheck: { exchanges: [ { send: x } ] } }\n",
    );
    // `sw2` fails, so that `sw1` is not begun, in the moment in which the answer about `sw1` comes.
    let (sender, go) = watch::channel(false);
    let mock = Mock::new(move |_, _| {
        sender.send_replace(true);
        Ok(Said::exit(1, "no"))
    });
    lab.runner.drivers = [("m".to_owned(), Arc::new(mock) as _)].into();
    (lab.runner.authorizer, lab.runner.settings.heed.commands) = (Arc::new(Waits(go)), true);
    let report = lab.run().await;
    assert_eq!(states(&report), "one total_failure (sw1 not_attempted, sw2 failed)");
    assert_eq!(report.stopped.unwrap(), "the operator said no to one on sw1, precheck");
}
