//! What a run knows of its sessions: how long they may take, that those with one device follow one another, and which values
//! only a running change has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::lab::*;
use crate::{
    base::{dial::BoxFuture, wait::Deadline},
    change::{Driver, DriverError, Request, Said, Session, State, Target},
};

/// What devices were asked for: how many sessions they have, had at most, and how long each exchange could take.
#[derive(Debug, Default)]
struct Doors {
    open: HashMap<String, usize>,
    most: usize,
    left: Vec<Duration>,
}

/// Takes its time to close sessions.
#[derive(Debug, Default, Clone)]
struct Slow(Arc<Mutex<Doors>>);

struct Talk(Slow, String);

impl Driver for Slow {
    fn open<'a>(
        &'a self,
        target: Target<'a>,
        _: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async move {
            let device = target.device.name.to_string();
            let mut doors = self.0.lock().unwrap();
            let count = doors.open.entry(device.clone()).or_default();
            *count += 1;
            let count = *count;
            doors.most = doors.most.max(count);
            Ok(Box::new(Talk(self.clone(), device)) as Box<dyn Session>)
        })
    }
}

impl Session for Talk {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.1)?;
            self.0.0.lock().unwrap().left.push(deadline.left());
            Ok(Said::ok(request.send.unwrap_or_default()))
        })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            *self.0.0.lock().unwrap().open.get_mut(&self.1).unwrap() -= 1;
            Ok(())
        })
    }
}

fn slow(lab: &mut Lab) -> Slow {
    let slow = Slow::default();
    lab.runner.drivers = [("m".to_owned(), Arc::new(slow.clone()) as _)].into();
    slow
}

#[tokio::test]
async fn a_device_has_one_session_of_a_change_at_a_time() {
    let mut lab = Lab::new(
        "devices: { sw1: {}, sw2: {} }\nmatrices: { m: { rows: [ {p: a}, {p: b}, {p: c} ] } }\nscenario:\n  name: all\n  \
         nodes:\n    - { step: one, matrix: m, targets: all, apply: { exchanges: [ { send: 'set %(p)s' } ] } }\n    \
         - { step: two, targets: all, apply: { exchanges: [ { send: x } ] }, verify: { exchanges: [ { send: y } ] } }\n",
    );
    let slow = slow(&mut lab);
    let report = lab.runner.run(lab.folder.path(), lab.head()).await.unwrap();
    assert_eq!(report.state, State::Success);
    let doors = slow.0.lock().unwrap();
    assert_eq!((doors.most, doors.left.len()), (1, 2 * 3 + 2 * 2));
    assert!(doors.open.values().all(|open| *open == 0), "{doors:?}");
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
    let slow = slow(&mut lab);
    lab.runner.run(lab.folder.path(), lab.head()).await.unwrap();
    let left = slow.0.lock().unwrap().left[0];
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
