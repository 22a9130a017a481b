//! Many devices, of which the second fails (table 1.8 of the contract): one after the other, and all at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Barrier;

use super::super::lab::*;
use crate::{
    base::{dial::BoxFuture, exit::Exit, wait::Deadline},
    change::{Driver, DriverError, Request, Said, Session, State, Target},
};

const ALL_AT_ONCE: &str = "devices: { parallel: 3 }, ";
const IN_TURN: &str = "";

fn three(policy: &str, phases: &str) -> Lab {
    Lab::new(&format!(
        "devices: {{ sw1: {{}}, sw2: {{}}, sw3: {{}} }}\nscenario:\n  name: all\n  nodes:\n    \
         - {{ step: one, targets: all, policy: {{ {policy} }}, {phases} }}\n"
    ))
}

/// The phases of a step whose second device fails there.
fn failing(event: &str) -> &'static str {
    match event {
        "precheck" => {
            "precheck: { exchanges: [ { send: check z@sw2 } ] }, apply: { exchanges: [ { send: set x } ] }, \
             rollback: [ { exchanges: [ { send: unset x } ] } ]"
        }
        "apply" => {
            "apply: { exchanges: [ { send: set x }, { send: check z@sw2 } ] }, \
             rollback: [ { exchanges: [ { send: unset x } ] } ]"
        }
        "verify" => {
            "apply: { exchanges: [ { send: set x } ] }, verify: { exchanges: [ { send: check z@sw2 } ] }, \
             rollback: [ { exchanges: [ { send: unset x } ] } ]"
        }
        "rollback" => {
            "apply: { exchanges: [ { send: set x }, { send: check z@sw2 } ] }, \
             rollback: [ { exchanges: [ { send: check z@sw2 }, { send: unset x } ] } ]"
        }
        other => panic!("{other}"),
    }
}

#[rstest::rstest]
// No rollback executed: what is before it stays, what is after it is not attempted.
#[case::untouched(IN_TURN, "stop", "precheck", "partial_failure", "ok failed not_attempted", "sw1 x")]
// Undone, it stops the others nevertheless: ModiPy went on.
#[case::undone(IN_TURN, "stop", "apply", "partial_failure", "ok rolled_back not_attempted", "sw1 x")]
#[case::unverified(IN_TURN, "stop", "verify", "partial_failure", "ok rolled_back not_attempted", "sw1 x")]
#[case::dirty(
    IN_TURN,
    "stop",
    "rollback",
    "backout_failed",
    "ok rollback_failed not_attempted",
    "sw1 x, sw2 x"
)]
// All of them or none, each with its own variables and once.
#[case::all_untouched(
    IN_TURN,
    "rollback_all",
    "precheck",
    "backout_ok",
    "rolled_back failed not_attempted",
    ""
)]
#[case::all_undone(
    IN_TURN,
    "rollback_all",
    "apply",
    "backout_ok",
    "rolled_back rolled_back not_attempted",
    ""
)]
#[case::all_unverified(
    IN_TURN,
    "rollback_all",
    "verify",
    "backout_ok",
    "rolled_back rolled_back not_attempted",
    ""
)]
#[case::all_dirty(
    IN_TURN,
    "rollback_all",
    "rollback",
    "backout_failed",
    "rolled_back rollback_failed not_attempted",
    "sw2 x"
)]
// Every device is tried whatever phase failed elsewhere: ModiPy stopped after a precheck.
#[case::on_untouched(IN_TURN, "continue", "precheck", "partial_failure", "ok failed ok", "sw1 x, sw3 x")]
#[case::on_undone(IN_TURN, "continue", "apply", "partial_failure", "ok rolled_back ok", "sw1 x, sw3 x")]
#[case::on_dirty(
    IN_TURN,
    "continue",
    "rollback",
    "backout_failed",
    "ok rollback_failed ok",
    "sw1 x, sw2 x, sw3 x"
)]
// All at once: who is under way ends in order.
#[case::at_once(ALL_AT_ONCE, "stop", "apply", "partial_failure", "ok rolled_back ok", "sw1 x, sw3 x")]
#[case::at_once_unverified(
    ALL_AT_ONCE,
    "stop",
    "verify",
    "partial_failure",
    "ok rolled_back ok",
    "sw1 x, sw3 x"
)]
#[case::at_once_all(
    ALL_AT_ONCE,
    "rollback_all",
    "apply",
    "backout_ok",
    "rolled_back rolled_back rolled_back",
    ""
)]
#[case::at_once_dirty(
    ALL_AT_ONCE,
    "rollback_all",
    "rollback",
    "backout_failed",
    "rolled_back rollback_failed rolled_back",
    "sw2 x"
)]
#[case::at_once_on(ALL_AT_ONCE, "continue", "precheck", "partial_failure", "ok failed ok", "sw1 x, sw3 x")]
#[tokio::test]
async fn of_which_the_second_fails(
    #[case] mode: &str,
    #[case] on_fail: &str,
    #[case] event: &str,
    #[case] state: &str,
    #[case] results: &str,
    #[case] left: &str,
) {
    let lab = three(&format!("{mode}on_fail: {on_fail}"), failing(event));
    let report = lab.run().await;
    let step = &report.steps[0];
    let all: Vec<&str> = step.devices.iter().map(|device| device.result).collect();
    assert_eq!((step.state.to_string().as_str(), all.join(" ").as_str()), (state, results), "{report:?}");
    assert_eq!(lab.there(), left);
    assert_eq!(report.exit(), if state == "backout_failed" { Exit::Left } else { Exit::Failed });
    // Nobody is undone twice.
    let mut undone: Vec<_> = lab.mock.seen().sent.into_iter().filter(|(_, text)| text == "unset x").collect();
    let count = undone.len();
    undone.sort();
    undone.dedup();
    assert_eq!(undone.len(), count);
}

#[rstest::rstest]
#[case::in_turn(IN_TURN)]
#[case::at_once(ALL_AT_ONCE)]
#[tokio::test]
async fn a_second_attempt_is_for_those_that_did_not_succeed(#[case] mode: &str) {
    let policy = format!("{mode}retry: {{ max: 2, delay: 1s }}");
    let lab = three(
        &policy,
        "apply: { exchanges: [ { send: set x }, { send: once x@sw2 } ] }, rollback: [ { exchanges: [ { send: unset x } ] } ]",
    );
    let report = lab.run().await;
    assert_eq!(states(&report), "one success (sw1 ok, sw2 ok, sw3 ok)");
    assert_eq!(report.steps[0].attempts, 2);
    let of =
        |device: &str| lab.mock.seen().sent.iter().filter(|(d, text)| d == device && text == "set x").count();
    assert_eq!((of("sw1"), of("sw2"), of("sw3")), (1, 2, 1));
}

/// Answers only when so many ask at once.
#[derive(Debug, Clone)]
struct Meeting {
    all: Arc<Barrier>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Driver for Meeting {
    fn open<'a>(
        &'a self,
        _: Target<'a>,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async { Ok(Box::new(self.clone()) as Box<dyn Session>) })
    }
}

impl Session for Meeting {
    fn exchange<'a>(&'a mut self, _: Request<'a>, _: Deadline) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.all.wait().await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            Ok(Said::ok(""))
        })
    }
    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }
}

#[rstest::rstest]
#[case(2, 4)]
#[case(3, 3)]
#[tokio::test]
async fn so_many_are_changed_at_once_and_no_more(#[case] width: usize, #[case] devices: usize) {
    let names: Vec<String> = (1..=devices).map(|number| format!("d{number}: {{}}")).collect();
    let mut lab = Lab::new(&format!(
        "devices: {{ {} }}\nscenario:\n  name: all\n  nodes:\n    - {{ step: one, targets: all, \
         policy: {{ devices: {{ parallel: {width} }} }}, apply: {{ exchanges: [ {{ send: x }} ] }} }}\n",
        names.join(", ")
    ));
    let most = Arc::<AtomicUsize>::default();
    let meeting =
        Meeting { all: Arc::new(Barrier::new(width)), now: Arc::default(), most: Arc::clone(&most) };
    lab.runner.drivers = [("m".to_owned(), Arc::new(meeting) as _)].into();
    let report = tokio::time::timeout(Duration::from_secs(60), lab.run()).await.expect("they never meet");
    assert_eq!((report.state, most.load(Ordering::SeqCst)), (State::Success, width));
}
