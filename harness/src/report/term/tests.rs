//! What people read of a run.

use std::time::Duration;

use super::*;
use crate::{event::Trouble, report::ci::System};

fn finished(scenario: &str, outcome: Outcome) -> RunEvent {
    RunEvent::ScenarioFinished { suite: "demo".into(), scenario: scenario.into(), outcome, seconds: 1.25 }
}

fn shown(style: Style) -> (String, String) {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut term = Term::new(&mut out, &mut notes, style, Path::new("/t/polder/run"));
    let mut summary = Summary::default();
    term.begin(5).unwrap();
    let log = |text: &str| RunEvent::Log {
        suite: "demo".into(),
        scenario: "b".into(),
        span: None,
        text: text.into(),
    };
    let again = |scenario: &str, attempt| RunEvent::AttemptFailed {
        suite: "demo".into(),
        scenario: scenario.into(),
        attempt,
        fault: Fault::Product,
        error: "no carrier\ncaused by: EIO".into(),
        seconds: 0.5,
    };
    let trouble = |expected| RunEvent::Trouble {
        suite: "demo".into(),
        scenario: "b".into(),
        machine: "web".parse().unwrap(),
        trouble: Trouble::Oops,
        text: "Oops: 2".into(),
        expected,
    };
    for event in [
        RunEvent::SuiteProgress { suite: "demo".into(), text: "web: answers over ssh".into() },
        finished("environment", Outcome::Passed),
        RunEvent::PortalReached {
            suite: "demo".into(),
            portal: "https://cvp1".into(),
            archive: "/t/polder/run/demo/cvp.har".into(),
        },
        RunEvent::ScenarioStarted {
            suite: "demo".into(),
            scenario: "a".into(),
            prerequisite: true,
            attempt: 1,
            place: None,
        },
        finished("a", Outcome::Passed),
        again("flaky", 1),
        again("flaky", 2),
        finished("flaky", Outcome::Passed),
        again("b", 1),
        log("pinging"),
        trouble(true),
        trouble(false),
        finished("b", Outcome::Failed { fault: Fault::Product, error: "no answer\ncaused by: EIO".into() }),
        finished(
            "known",
            Outcome::ExpectedFailure {
                error: "EIO".into(),
                reason: "bug 7".into(),
                until: "2027-01-31".into(),
            },
        ),
        finished("c", Outcome::NotRun { reason: "needs `b`, which failed".into() }),
        finished("d", Outcome::Ignored { reason: Some("slow".into()) }),
        finished("teardown", Outcome::Passed),
    ] {
        let log = if event == finished("c", Outcome::Passed) { "" } else { "    0.001 pinging\n" };
        summary.take(&event, log);
        term.show(&Stamped::new(Duration::from_millis(1_500), event)).unwrap();
    }
    term.end(&summary, 2, 12.345).unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
}

#[test]
fn pretty_lines_are_libtests() {
    let (out, notes) = shown(Style::default());
    insta::assert_snapshot!(out, @r"

    running 5 tests
    test demo::a ... ok (1.2 s, prerequisite)
    test demo::flaky ... ok (1.2 s, attempt 3)
    test demo::b ... FAILED (1.2 s, attempt 2)
    test demo::known ... failed, as is expected until 2027-01-31: bug 7
    test demo::c ... not run: needs `b`, which failed
    test demo::d ... ignored, slow

    failures:

    ---- demo::b ----
    no answer
    caused by: EIO
    attempt 1 had failed, too: no carrier
    log:
        0.001 pinging
    left in /t/polder/run/demo/b: error.txt, log.txt
    what the portal was asked and answered: /t/polder/run/demo/cvp.har

    failures:
        demo::b

    flaky:
        demo::flaky passed after it had failed 2 times

    1 not run

    1 failed, as is expected

    test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 2 filtered out; finished in 12.35s
    ");
    assert_eq!(
        notes,
        "demo: web: answers over ssh\ndemo: environment done (1.2 s)\n\
         demo: portal at https://cvp1\ndemo::flaky: attempt 1 failed: no carrier\n\
         demo::flaky: attempt 2 failed: no carrier\ndemo::b: attempt 1 failed: no carrier\ndemo: web: expected kernel oops: Oops: 2\n\
         demo: web: kernel oops: Oops: 2\ndemo::b: no answer\ndemo: teardown done (1.2 s)\n"
    );
}

#[test]
fn a_failure_is_told_when_it_happens_and_once() {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut term = Term::new(&mut out, &mut notes, Style::default(), Path::new("/t"));
    let failing = |scenario: &str, error: &str| RunEvent::Failing {
        suite: "demo".into(),
        scenario: scenario.into(),
        error: error.into(),
    };
    let failed = |error: &str| Outcome::Failed { fault: Fault::Product, error: error.into() };
    for event in [
        failing("a", "no answer\ncaused by: EIO"),
        finished("a", failed("no answer\ncaused by: EIO\nat a.rs:1:2\nthe machine panicked")),
        failing("b", "one"),
        finished("b", failed("another")),
        finished("c", failed("blamed later")),
    ] {
        term.show(&Stamped::new(Duration::ZERO, event)).unwrap();
    }
    drop(term);
    assert_eq!(
        String::from_utf8(notes).unwrap(),
        "demo::a: no answer\ndemo::b: one\ndemo::b: another\ndemo::c: blamed later\n"
    );
}

#[test]
fn in_ci_a_failure_is_told_at_once_and_the_rest_of_a_suite_together() {
    let (mut out, mut notes, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    let mut term = Term::new(&mut out, &mut notes, Style::default(), Path::new("/t"))
        .in_ci(Ci::new(System::GitHub, None), &mut commands);
    let told = |event| Stamped::new(Duration::ZERO, event);
    let text = "::stop-commands::x".into();
    term.show(&told(RunEvent::SuiteProgress { suite: "demo".into(), text })).unwrap();
    let error = "no answer\n::error::no".into();
    term.show(&told(finished("b", Outcome::Failed { fault: Fault::Product, error }))).unwrap();
    term.show(&told(RunEvent::SuiteFinished { suite: "demo".into(), usage: None, seconds: 1.0 })).unwrap();
    term.end(&Summary::default(), 0, 1.0).unwrap();
    drop(term);
    assert_eq!(String::from_utf8(notes).unwrap(), "demo::b: no answer\n");
    assert_eq!(
        String::from_utf8(commands).unwrap(),
        "::error title=demo%3A%3Ab::no answer%0A::error::no\n::group::demo\ndemo: ::stop-commands::x\n::endgroup::\n"
    );
}

#[test]
fn terse_is_a_letter_each_and_live_logs_are_wanted_only() {
    let (out, notes) = shown(Style { terse: true, colour: true, ..Style::default() });
    assert!(
        out.starts_with(
            "\nrunning 5 tests\n\x1b[32m.\x1b[0m\x1b[32m.\x1b[0m\x1b[31mF\x1b[0m\x1b[33mx\x1b[0m\x1b[33mn\x1b[0m\x1b[33mi\x1b[0m\n"
        ),
        "{out}"
    );
    assert_eq!(notes, "");
    let (out, _) = shown(Style { live_log: true, ..Style::default() });
    assert!(out.contains("\ndemo::b: pinging\n"), "{out}");
    let (out, notes) = shown(Style { live_log: true, verbose: true, ..Style::default() });
    assert!(
        !out.contains("\ndemo::b: pinging\n") && notes.contains("\n   1.500 demo::b pinging\n"),
        "{notes}"
    );
    let (_, notes) = shown(Style { is_watched: true, ..Style::default() });
    assert!(!notes.contains("answers over ssh") && notes.contains("demo::b: no answer\n"), "{notes}");
}
