//! What a run knows of its sessions: how long they may take, that those with one device follow one another, and which values
//! only a running change has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

use super::lab::*;
use crate::{
    base::{dial::BoxFuture, wait::Deadline},
    change::{Driver, DriverError, Entry, Progress, Record, Request, Said, Session, State, Target},
};

/// What devices were asked for: how many sessions they have, had at most, and how long each exchange could take.
#[derive(Debug, Default)]
struct Doors {
    open: HashMap<String, usize>,
    most: usize,
    left: Vec<Duration>,
}

/// Closes a session only some time after the next phase on its device has begun, however fast that is.
#[derive(Debug, Clone)]
struct Slow {
    doors: Arc<Mutex<Doors>>,
    /// How many phases have begun on each device.
    begun: Arc<watch::Sender<HashMap<String, usize>>>,
    /// How many there are on each.
    phases: usize,
}

struct Talk {
    slow: Slow,
    device: String,
    /// How many phases had begun on the device when something was said.
    begun: usize,
}

impl Driver for Slow {
    fn open<'a>(
        &'a self,
        target: Target<'a>,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async move {
            let device = target.device.name.to_string();
            let mut doors = self.doors.lock().unwrap();
            let count = doors.open.entry(device.clone()).or_default();
            *count += 1;
            let count = *count;
            doors.most = doors.most.max(count);
            Ok(Box::new(Talk { slow: self.clone(), device, begun: 0 }) as Box<dyn Session>)
        })
    }
}

impl Progress for Slow {
    fn happened(&self, entry: &Entry) {
        if let Record::Begin { key, .. } = &entry.record {
            self.begun.send_modify(|begun| *begun.entry(key.device.clone()).or_default() += 1);
        }
    }
}

impl Session for Talk {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.device)?;
            self.begun = self.slow.begun.borrow()[&self.device];
            self.slow.doors.lock().unwrap().left.push(deadline.left());
            Ok(Said::ok(request.send.unwrap_or_default()))
        })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async move {
            let Self { slow, device, begun } = *self;
            if begun < slow.phases {
                let mut next = slow.begun.subscribe();
                let next = next.wait_for(|now| now[&device] > begun);
                drop(tokio::time::timeout(Duration::from_secs(60), next).await.expect("nothing begins"));
                tokio::time::sleep(CLOSING).await;
            }
            *slow.doors.lock().unwrap().open.get_mut(&device).unwrap() -= 1;
            Ok(())
        })
    }
}

/// How much longer a session takes to close.
const CLOSING: Duration = Duration::from_millis(100);

/// The driver of a lab from now on, with so many phases on each device.
fn slow(lab: &mut Lab, phases: usize) -> Slow {
    let slow = Slow { doors: Arc::default(), begun: Arc::new(watch::channel(HashMap::new()).0), phases };
    lab.runner.drivers = [("m".to_owned(), Arc::new(slow.clone()) as _)].into();
    lab.runner.progress = Arc::new(slow.clone());
    slow
}

#[tokio::test]
async fn a_device_has_one_session_of_a_change_at_a_time() {
    let mut lab = Lab::new(
        "devices: { sw1: {}, sw2: {} }\nmatrices: { m: { rows: [ {p: a}, {p: b}, {p: c} ] } }\nscenario:\n  name: all\n  \
         nodes:\n    - { step: one, matrix: m, targets: all, apply: { exchanges: [ { send: 'set %(p)s' } ] } }\n    \
         - { step: two, targets: all, apply: { exchanges: [ { send: x } ] }, verify: { exchanges: [ { send: y } ] } }\n",
    );
    let slow = slow(&mut lab, 5);
    let report = lab.runner.run(lab.folder.path(), lab.head()).await.unwrap();
    assert_eq!(report.state, State::Success);
    let doors = slow.doors.lock().unwrap();
    assert_eq!((doors.most, doors.left.len()), (1, 2 * 3 + 2 * 2));
    assert!(doors.open.values().all(|open| *open == 0), "{doors:?}");
}

#[tokio::test]
async fn the_time_in_which_a_session_ends_is_not_that_of_what_is_said_in_the_next_one() {
    let mut lab = Lab::new(
        "devices: { sw1: {} }\nmatrices: { m: { rows: [ {p: a}, {p: b} ] } }\nscenario:\n  name: all\n  nodes:\n    \
         - { step: one, matrix: m, targets: all, apply: { exchanges: [ { send: x, timeout: 50ms } ] } }\n",
    );
    let slow = slow(&mut lab, 2);
    let report = lab.runner.run(lab.folder.path(), lab.head()).await.unwrap();
    assert_eq!(states(&report), "one success (sw1 ok)", "{report:?}");
    assert_eq!(slow.doors.lock().unwrap().most, 1);
}

/// Row 17 of the contract, and what changes it.
#[rstest::rstest]
#[case::row_17_the_default("", "", "", 300)]
#[case::of_the_driver(", command_timeout: 60s", "", "", 60)]
#[case::of_the_exchange(", command_timeout: 60s", ", timeout: 50s", "", 50)]
#[case::of_the_change("", "", ", policy: { timeout: 40s }", 40)]
#[case::zero_is_as_long_as_the_change_may("", ", timeout: 0", ", policy: { timeout: 400s }", 400)]
#[tokio::test]
async fn an_exchange_may_take_as_long_as_the_nearest_says(
    #[case] driver: &str,
    #[case] exchange: &str,
    #[case] policy: &str,
    #[case] seconds: u64,
) {
    let mut lab = Lab::new(&format!(
        "devices: {{ sw1: {{}} }}\nscenario:\n  name: all\n  nodes:\n    - {{ step: one, targets: all{policy}, \
         apply: {{ exchanges: [ {{ send: x{exchange} }} ] }} }}\n"
    ));
    if !driver.is_empty() {
        let plan = Arc::get_mut(&mut lab.runner.plan).unwrap();
        plan.drivers[0].command_timeout = Some(Duration::from_secs(60));
    }
    let slow = slow(&mut lab, 1);
    lab.runner.run(lab.folder.path(), lab.head()).await.unwrap();
    let left = slow.doors.lock().unwrap().left[0];
    let most = Duration::from_secs(seconds);
    assert!(left <= most && left > most / 2, "{left:?}");
}

#[tokio::test]
async fn what_only_a_running_change_knows_has_a_value_wherever_it_can_stand() {
    let lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  verify: { exchanges: [ { send: 'say %(run.phase)s of %(run.name)s' } ], \
         checks: [ 'results.cmdoutput == \"verify of %(run.name)s\"' ] }\n  nodes:\n    - { step: one, targets: all, \
         policy: { retry: { max: 1, delay: 0s } }, precheck: { exchanges: [ { send: once } ] }, apply: { exchanges: [ \
         { send: 'say %(run.name)s/%(run.attempt)s/%(run.phase)s' }, \
         { expect: '%(run.name)s/%(run.attempt)s/%(run.phase)s$', send: 'say again' }, \
         { send: 'say <%(command.send)s> <%(command.output)s>' } ], \
         checks: [ '\"%(run.attempt)s\" == \"2\"', '\"%(cmdoutput)s\" == results.cmdoutput' ] } }\n",
    );
    let run = lab.folder.path().join("monday");
    let report = lab.runner.run(&run, lab.head()).await.unwrap();
    assert_eq!(report.state, State::Success, "{report:?}");
    let sent: Vec<String> = lab.mock.seen().sent.into_iter().map(|(_, text)| text).collect();
    let expected = [
        "once",
        "once",
        "say monday/2/apply",
        "say again",
        "say <say again> <monday/2/applyagain>",
        "say verify of monday",
    ];
    assert_eq!(sent, expected);
}
