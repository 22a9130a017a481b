//! A driver that keeps what is set on its devices, and runs with it: their files, their clock, who is asked, and what people are
//! told.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    base::dial::BoxFuture,
    change::{
        Alert, Alerts, Answer, Ask, Authorizer, Clock, DriverError, Drivers, Head, Mock, Plan, Question,
        Report, Runner, Said, Seen, Vars, parse, plan,
    },
};

/// What is set: `sw1 mtu`.
pub(super) type Things = Arc<Mutex<BTreeSet<String>>>;

/// A driver whose devices understand `set X`, `unset X`, `check X`, `fail`, `late`, `lost`, `panic` and `say X`; `late X` and
/// `lost X` set it nevertheless. `once X` fails the first time.
pub(super) fn world() -> (Mock, Things) {
    let things = Things::default();
    let (kept, tries) = (Arc::clone(&things), AtomicUsize::new(0));
    let mock = Mock::new(move |device, sent| {
        let (verb, what) = sent.split_once(' ').unwrap_or((sent, ""));
        // Some commands are for one device only.
        let what = match what.split_once('@') {
            Some((_, only)) if only != device => return Ok(Said::ok("")),
            Some((what, _)) => what,
            None => what,
        };
        let thing = format!("{device} {what}");
        assert_ne!(verb, "panic", "a driver with a bug");
        let mut things = kept.lock().unwrap();
        let said = || Box::new(Said { output: "half".to_owned(), ..Said::default() });
        let device = device.to_owned();
        match verb {
            "set" => drop(things.insert(thing)),
            "unset" => drop(things.remove(&thing)),
            "check" if things.contains(&thing) => {}
            "check" => return Ok(Said::exit(1, format!("no {what}"))),
            "fail" => return Ok(Said::exit(3, what)),
            "late" => {
                things.insert(thing);
                return Err(DriverError::TimedOut { device, what: "an answer".to_owned(), said: said() });
            }
            "away" => return Err(DriverError::Connect { device, why: "no route to it".to_owned() }),
            "lost" => {
                things.insert(thing);
                return Err(DriverError::Lost { device, why: "reset".to_owned(), said: said() });
            }
            "once" if tries.fetch_add(1, Ordering::SeqCst) == 0 => return Ok(Said::exit(1, "not yet")),
            "once" => {}
            "say" => return Ok(Said::ok(what)),
            other => panic!("{other}"),
        }
        Ok(Said::ok(""))
    });
    let mock = mock.with_door(|device| match device {
        "sw9" => Err(DriverError::Connect { device: device.to_owned(), why: "no route to it".to_owned() }),
        _ => Ok(()),
    });
    (mock, things)
}

/// Time passes only while somebody sleeps.
#[derive(Debug, Default)]
pub(super) struct Hours(pub(super) AtomicU64);

impl Clock for Hours {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        Box::pin(tokio::task::yield_now())
    }
}

#[derive(Debug, Default)]
pub(super) struct Told(pub(super) Mutex<Vec<String>>);

impl Alerts for Told {
    fn alert<'a>(&'a self, alert: &'a Alert) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().push(format!("{}: {}", alert.key, alert.why));
        Box::pin(async {})
    }
}

pub(super) fn planned(text: &str) -> Arc<Plan> {
    let text = format!("version: 1\ndrivers: {{ m: {{ kind: mock }} }}\n{text}");
    let read = |_: &Path| Err(std::io::Error::other("no files"));
    let loaded = parse(Path::new("x.yaml"), Path::new("/"), &text, &Vars::new(), &read);
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}\n{text}"));
    Arc::new(plan(&loaded.changes, &Vars::new()).unwrap())
}

pub(super) struct Lab {
    pub(super) runner: Runner,
    pub(super) mock: Mock,
    pub(super) things: Things,
    pub(super) told: Arc<Told>,
    pub(super) clock: Arc<Hours>,
    pub(super) folder: tempfile::TempDir,
}

impl Lab {
    pub(super) fn new(text: &str) -> Self {
        let ((mock, things), plan) = (world(), planned(text));
        let drivers: Drivers = [("m".to_owned(), Arc::new(mock.clone()) as _)].into();
        let (told, clock) = (Arc::<Told>::default(), Arc::<Hours>::default());
        let mut runner = Runner::new(plan, drivers);
        (runner.alerts, runner.clock) = (told.clone(), clock.clone());
        Self { runner, mock, things, told, clock, folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn head(&self) -> Head {
        Head::new(self.runner.plan.digest()).unwrap()
    }

    pub(super) async fn run(&self) -> Report {
        let report = self.runner.run(self.folder.path(), self.head()).await.unwrap();
        self.settled();
        report
    }

    /// Whatever happened: no session is left open, and the journal tells the same.
    pub(super) fn settled(&self) {
        let Seen { opened, closed, .. } = self.mock.seen();
        assert_eq!(opened, closed, "sessions");
    }

    pub(super) fn there(&self) -> String {
        self.things.lock().unwrap().iter().cloned().collect::<Vec<_>>().join(", ")
    }

    pub(super) fn told(&self) -> String {
        self.told.0.lock().unwrap().join("\n")
    }

    /// Everything that was written.
    pub(super) fn written(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap();
        read("journal.jsonl") + &read("transcript.log")
    }
}

pub(super) fn states(report: &Report) -> String {
    let steps = report.steps.iter().map(|step| {
        let devices: Vec<String> =
            step.devices.iter().map(|d| format!("{} {}", d.device, d.result)).collect();
        format!("{} {} ({})", step.name, step.state, devices.join(", "))
    });
    steps.collect::<Vec<_>>().join("; ")
}

/// Two devices, two changes, of which the first is verified.
pub(super) const PAIR: &str = "devices: { sw1: {}, sw2: {} }\nscenario:\n  name: all\n  nodes:\n    \
    - { step: one, targets: all, apply: { exchanges: [ { send: set x } ] }, verify: { exchanges: [ { send: check x } ] }, \
        rollback: [ { exchanges: [ { send: unset x } ] } ] }\n    \
    - { step: two, targets: all, apply: { exchanges: [ { send: set y } ] }, rollback: [ { exchanges: [ { send: unset y } ] } ] }\n";

/// Answers in order, and remembers what was asked.
#[derive(Debug)]
pub(super) struct Answers(Mutex<(Vec<Answer>, Vec<String>)>);

impl Answers {
    pub(super) fn new(answers: &[Answer]) -> Arc<Self> {
        Arc::new(Self(Mutex::new((answers.iter().rev().copied().collect(), Vec::new()))))
    }
    pub(super) fn asked(&self) -> Vec<String> {
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
