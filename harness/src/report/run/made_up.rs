//! Runs for tests of reports, made up from events.

use crate::event::{Fault, MachineFacts, Outcome, Recording, RunEvent, Stamped, Trouble, VERSION, WaitEnd};

pub(super) const RUN: &str = "20261121T051505Z-7";

/// A run of `events`, one each second.
pub(super) fn recording(events: Vec<RunEvent>) -> Recording {
    let head = RunEvent::RunStarted {
        version: VERSION,
        polder: "0.1.0".into(),
        run: RUN.into(),
        suites: vec!["net::demo".into(), "late".into()],
        scenarios: 7,
        seed: Some(7),
    };
    let stamp = |(at, event): (u32, RunEvent)| {
        let since_start = f64::from(at);
        Stamped { time: 1_795_238_105.0 + since_start, since_start, event }
    };
    let all = std::iter::once(head).chain(events);
    Recording { events: (0..).zip(all).map(stamp).collect(), torn: false, unknown: 0 }
}

pub(super) fn suite() -> String {
    "net::demo".into()
}

pub(super) fn started(scenario: &str, attempt: u32) -> RunEvent {
    let place = Some(format!("tests/demo.rs:{}", scenario.len()));
    let prerequisite = scenario == "boots";
    RunEvent::ScenarioStarted { suite: suite(), scenario: scenario.into(), prerequisite, attempt, place }
}

pub(super) fn finished(scenario: &str, outcome: Outcome) -> RunEvent {
    RunEvent::ScenarioFinished { suite: suite(), scenario: scenario.into(), outcome, seconds: 1.25 }
}

pub(super) fn failed(fault: Fault, error: &str) -> Outcome {
    Outcome::Failed { fault, error: error.into() }
}

pub(super) fn attempt_failed(scenario: &str, attempt: u32) -> RunEvent {
    RunEvent::AttemptFailed {
        suite: suite(),
        scenario: scenario.into(),
        attempt,
        fault: Fault::Product,
        error: format!("attempt {attempt} was bad"),
        seconds: 0.5,
    }
}

pub(super) fn span(
    scenario: &str,
    span: u64,
    parent: Option<u64>,
    machine: Option<&str>,
    text: &str,
) -> RunEvent {
    RunEvent::SpanStarted {
        suite: suite(),
        scenario: scenario.into(),
        span,
        parent,
        machine: machine.map(str::to_owned),
        text: text.into(),
    }
}

pub(super) fn log(scenario: &str, span: Option<u64>, text: &str) -> RunEvent {
    RunEvent::Log { suite: suite(), scenario: scenario.into(), span, text: text.into() }
}

/// Everything that can happen to scenarios.
pub(super) fn eventful() -> Vec<RunEvent> {
    let fault = |text: &str| RunEvent::Fault {
        suite: suite(),
        scenario: "breaks".into(),
        text: text.into(),
        machine: Some("web".into()),
        seed: Some(17),
    };
    let waited = RunEvent::Waited {
        suite: suite(),
        scenario: "breaks".into(),
        span: Some(3),
        what: "unit `web`".into(),
        end: WaitEnd::Late,
        seen: "activating".into(),
        history: "0.1 s 1x dead\n0.2 s 9x activating".into(),
        looks: 10,
        seconds: 2.0,
    };
    let machine = MachineFacts {
        name: "web".parse().unwrap(),
        image: Some("debian12".into()),
        addresses: vec!["10.0.0.7".parse().unwrap()],
    };
    let panic = "panicked at tests/demo.rs:9:5:\n\u{1b}[1m</script> ]]> \0 & <b>\ncaused by: no boat";
    vec![
        RunEvent::SuiteStarted { suite: suite(), place: Some("tests/demo.rs:3".into()) },
        started("environment", 1),
        RunEvent::SuiteProgress { suite: suite(), text: "web: answers over ssh".into() },
        finished("environment", Outcome::Passed),
        RunEvent::EnvironmentReady { suite: suite(), prefix: "/cache/e1".into(), machines: vec![machine] },
        started("boots", 1),
        finished("boots", Outcome::Passed),
        started("breaks", 1),
        log("breaks", None, "</script><img src=x onerror=alert(1)>"),
        span("breaks", 3, None, Some("web"), "succeed machine=web"),
        span("breaks", 4, Some(3), None, "upload"),
        log("breaks", Some(4), "deep"),
        RunEvent::SpanFinished { suite: suite(), scenario: "breaks".into(), span: 4, seconds: 0.25 },
        waited,
        fault("the link of web is worse, seed 17"),
        RunEvent::Trouble {
            suite: suite(),
            scenario: "breaks".into(),
            machine: "web".parse().unwrap(),
            trouble: Trouble::Oops,
            text: "Oops: 2".into(),
            expected: false,
        },
        fault("no longer: the link of web is worse, seed 17"),
        RunEvent::Change {
            suite: suite(),
            scenario: "breaks".into(),
            change: "mtu".into(),
            device: "web".into(),
            phase: "apply".into(),
            error: Some("no".into()),
            seconds: 0.5,
            transcript: format!("/old/place/{RUN}/net.demo/changes/1/transcript"),
        },
        finished("breaks", failed(Fault::Product, panic)),
        started("flickers", 1),
        attempt_failed("flickers", 1),
        started("flickers", 2),
        finished("flickers", Outcome::Passed),
        started("stays", 1),
        attempt_failed("stays", 1),
        started("stays", 2),
        finished(
            "stays",
            failed(Fault::Environment, "no lab\ncaused by: x\ncaused by: no disk\nat tests/demo.rs:12:1"),
        ),
        finished("waits", Outcome::NotRun { reason: "needs `breaks`, which failed".into() }),
        finished("sleeps", Outcome::Ignored { reason: None }),
        finished(
            "known",
            Outcome::ExpectedFailure {
                error: "3 != 4".into(),
                reason: "bug 7".into(),
                until: "2027-01-31".into(),
            },
        ),
        finished("environment", failed(Fault::Environment, "cannot end it")),
        RunEvent::SuiteFinished { suite: suite(), usage: None, seconds: 28.0 },
        RunEvent::RunFinished {
            passed: 2,
            failed: 3,
            not_run: 1,
            ignored: 1,
            expected_failures: 1,
            stopped: false,
            seconds: 30.0,
        },
    ]
}
