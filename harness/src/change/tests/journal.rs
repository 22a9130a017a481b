//! What the journal of a run is good for: going on after a kill, and undoing, in exactly the reverse.

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
    base::exit::Exit,
    change::{Answer, Entry, Head, Progress, Recorded, RunError},
};

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
