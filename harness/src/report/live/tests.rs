//! What is seen of a run after these events.

use super::*;
use crate::event::{Fault, MachineFacts};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn started(suite: &str, scenario: &str, attempt: u32) -> RunEvent {
    let (suite, scenario) = (suite.into(), scenario.into());
    RunEvent::ScenarioStarted { suite, scenario, prerequisite: false, attempt, place: None }
}

fn finished(suite: &str, scenario: &str, outcome: Outcome) -> RunEvent {
    RunEvent::ScenarioFinished { suite: suite.into(), scenario: scenario.into(), outcome, seconds: 1.0 }
}

fn span(number: u64, parent: Option<u64>, machine: Option<&str>, text: &str) -> RunEvent {
    RunEvent::SpanStarted {
        suite: "net".into(),
        scenario: "pings".into(),
        span: number,
        parent,
        machine: machine.map(str::to_owned),
        text: text.into(),
    }
}

fn waiting(span: Option<u64>, seen: &str) -> RunEvent {
    let (suite, scenario) = ("net".into(), "pings".into());
    RunEvent::Waiting { suite, scenario, span, what: "port 80 of web".into(), seen: seen.into() }
}

fn machine(name: &str, state: &str) -> RunEvent {
    let (suite, scenario) = ("net".into(), "environment".into());
    RunEvent::MachineState { suite, scenario, machine: name.into(), state: state.into() }
}

fn begun() -> Vec<(u64, RunEvent)> {
    let suites = ["net", "disk", "mail", "web"].map(str::to_owned).into();
    let head = RunEvent::RunStarted {
        version: 1,
        polder: String::new(),
        run: String::new(),
        suites,
        scenarios: 9,
        seed: None,
    };
    let suite = |name: &str| RunEvent::SuiteStarted { suite: name.into(), place: None };
    vec![(0, head), (0, suite("net")), (0, started("net", "environment", 1)), (1, suite("disk"))]
}

fn up() -> Vec<(u64, RunEvent)> {
    let facts = |name: &str| MachineFacts { name: name.parse().unwrap(), image: None, addresses: vec![] };
    let machines = vec![facts("web"), facts("db")];
    let ready = RunEvent::EnvironmentReady { suite: "net".into(), prefix: String::new(), machines };
    let mut events = begun();
    events.extend([
        (5, finished("net", "environment", Outcome::Passed)),
        (5, ready),
        (5, started("net", "pings", 1)),
    ]);
    events
}

/// Lines at 65 s on a terminal that leaves room for so many.
fn shown(events: Vec<(u64, RunEvent)>, rows: usize) -> String {
    let mut under_way = UnderWay::default();
    events.iter().for_each(|(seconds, event)| under_way.take(at(*seconds), event));
    let lines = under_way.lines(at(65), rows, &Usual::default());
    lines.iter().map(|line| line.fit(200, false) + "\n").collect()
}

#[test]
fn machines_come_up() {
    let mut events = begun();
    let progress = |text: &str| RunEvent::SuiteProgress { suite: "net".into(), text: text.into() };
    let waits = "2.0 GiB of memory, which pid 7 holds".to_owned();
    events.extend([
        (2, RunEvent::SuiteWaiting { suite: "mail".into(), text: waits }),
        (2, machine("web", "starting")),
        (3, machine("db", "starting")),
        (4, machine("web", "up")),
        (4, progress("web answers after 1.2 s")),
    ]);
    insta::assert_snapshot!(shown(events, 20), @r"
    net 1:05  web up, db starting
        environment 1:05
            web answers after 1.2 s
    disk 1:04
    mail waits 1:03: 2.0 GiB of memory, which pid 7 holds
    0 of 9 scenarios, 1 suite to come, 1:05
    ");
}

#[test]
fn the_innermost_operations_are_shown_and_what_they_see() {
    let mut events = up();
    events.extend([
        (6, span(1, None, Some("web"), "succeed machine=web command=a")),
        (7, span(2, Some(1), None, "exec b")),
        (8, span(3, None, Some("db"), "wait_for_port machine=db port=80")),
        (8, waiting(Some(3), "no route")),
        (9, waiting(Some(3), "connection refused")),
        (9, machine("db", "rebooting")),
    ]);
    insta::assert_snapshot!(shown(events.clone(), 20), @r"
    net 1:05  web up, db rebooting
        pings 1:00
            db: waits for port 80 of web 57 s, last seen: connection refused
            exec b 58 s
    disk 1:04
    0 of 9 scenarios, 2 suites to come, 1:05
    ");
    let end =
        |span| RunEvent::SpanFinished { suite: "net".into(), scenario: "pings".into(), span, seconds: 1.0 };
    let said =
        RunEvent::Log { suite: "net".into(), scenario: "pings".into(), span: None, text: "so far".into() };
    events.extend([(10, end(3)), (10, end(2)), (11, said)]);
    assert!(
        shown(events.clone(), 20).contains("\n        web: succeed command=a 59 s\ndisk"),
        "{}",
        shown(events, 20)
    );
}

#[test]
fn a_wait_of_the_scenario_itself_is_shown_until_it_is_over() {
    let mut events = up();
    events.push((7, waiting(None, "sea")));
    assert!(shown(events.clone(), 20).contains("        waits for port 80 of web 58 s, last seen: sea\n"));
    events.push((
        9,
        RunEvent::Waited {
            suite: "net".into(),
            scenario: "pings".into(),
            span: None,
            what: "port 80 of web".into(),
            end: crate::event::WaitEnd::True,
            seen: "sea".into(),
            history: String::new(),
            looks: 3,
            seconds: 2.0,
        },
    ));
    assert!(!shown(events, 20).contains("waits for"));
}

#[test]
fn of_a_long_sight_the_end_is_shown() {
    let mut under_way = UnderWay::default();
    let mut events = up();
    let seen = "cannot run `true` on web: it cannot be reached: cannot open a connection to 192.168.200.2:22: refused";
    events.push((7, waiting(None, seen)));
    events.iter().for_each(|(seconds, event)| under_way.take(at(*seconds), event));
    let lines = under_way.lines(at(65), 20, &Usual::default());
    let lines: Vec<String> = lines.iter().map(|line| line.fit(80, false)).collect();
    let end = "last seen: … to 192.168.200.2:22: refused";
    assert!(lines.iter().any(|line| line.ends_with(end)), "{lines:?}");
}

#[test]
fn what_has_ended_is_gone_and_counted() {
    let mut events = up();
    let failed = Outcome::Failed { fault: Fault::Product, error: "no".into() };
    let ended = |suite: &str| RunEvent::SuiteFinished { suite: suite.into(), usage: None, seconds: 1.0 };
    events.extend([
        (6, finished("net", "pings", failed)),
        (6, finished("net", "later", Outcome::NotRun { reason: "x".into() })),
        (6, finished("web", "never", Outcome::Ignored { reason: None })),
        (6, finished("web", "left_out", Outcome::NotRun { reason: "x".into() })),
        (7, started("net", "again", 2)),
        (8, ended("disk")),
    ]);
    insta::assert_snapshot!(shown(events.clone(), 20), @r"
    net 1:05  web up, db up
        again 58 s, attempt 2
    2 of 9 scenarios, 1 failed, 1 suite to come, 1:05
    ");
    events.extend([(9, finished("net", "again", Outcome::Passed)), (9, ended("net"))]);
    assert_eq!(shown(events, 20), "3 of 9 scenarios, 1 failed, 1 suite to come, 1:05\n");
}

#[test]
fn it_never_takes_more_lines_than_there_are() {
    let mut events = up();
    for number in 1..=5 {
        events.push((6, span(number, None, Some("web"), &format!("exec {number}"))));
    }
    for suite in ["mail", "web"] {
        events.push((7, RunEvent::SuiteStarted { suite: suite.into(), place: None }));
        events.push((7, started(suite, "boots", 1)));
    }
    let most = shown(events.clone(), 100).lines().count();
    assert_eq!(most, 1 + 1 + 3 + 1 + 2 + 2 + 1);
    for rows in 0..=most {
        let lines = shown(events.clone(), rows);
        assert!(lines.lines().count() <= rows, "{rows}: {lines}");
    }
    assert!(
        shown(events.clone(), 8).contains("    boots 58 s\n") && !shown(events.clone(), 8).contains("exec")
    );
    assert_eq!(shown(events, 3), "net 1:05  web up, db up\n... and 3 more suites\n0 of 9 scenarios, 1:05\n");
}

#[rstest::rstest]
#[case(7, "7 s")]
#[case(60, "1:00")]
#[case(3599, "59:59")]
#[case(3723, "1:02:03")]
fn times_are_short(#[case] seconds: u64, #[case] expected: &str) {
    assert_eq!(clock(at(seconds)), expected);
}
