//! Time that passes: delays before rows, and time that is over.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::lab::*;
use crate::{
    base::{dial::BoxFuture, exit::Exit},
    change::{Clock, Seen},
};

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
async fn it_waits_before_each_row_whichever_attempt_it_is() {
    let lab = Lab::new(
        "devices: { sw1: {} }\nmatrices: { m: { delay: 10s, rows: [ {p: a}, {p: b} ] } }\nscenario:\n  name: all\n  nodes: [ { \
         step: one, matrix: m, targets: all, policy: { retry: { max: 1, delay: 0s } }, precheck: { exchanges: [ { send: once } ] }, \
         apply: { exchanges: [ { send: 'set %(p)s' } ] } } ]\n",
    );
    let report = lab.run().await;
    assert_eq!((report.steps[0].attempts, lab.there().as_str()), (2, "sw1 a, sw1 b"));
    // The first row twice, and the second once.
    assert_eq!(lab.clock.now(), 30_000);
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
