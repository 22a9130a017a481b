//! Lines for programs, in libtest's (unstable) JSON form, as editors read it. Pure.

use serde_json::{Value, json};

use crate::event::{Outcome, RunEvent};

use super::model::{Summary, is_scenario};

/// The line that begins a run of `count` scenarios.
pub(crate) fn begin(count: usize) -> Value {
    json!({ "type": "suite", "event": "started", "test_count": count })
}

/// The line of an event, if libtest has one for it; `log` is that of the scenario it ends.
pub(crate) fn line(event: &RunEvent, log: impl FnOnce() -> String) -> Option<Value> {
    match event {
        RunEvent::ScenarioStarted { suite, scenario, .. } if is_scenario(scenario) => {
            Some(json!({ "type": "test", "event": "started", "name": format!("{suite}::{scenario}") }))
        }
        RunEvent::ScenarioFinished { suite, scenario, outcome, seconds } => {
            let failed = matches!(outcome, Outcome::Failed { .. });
            (failed || is_scenario(scenario))
                .then(|| finished(&format!("{suite}::{scenario}"), outcome, *seconds, log))
        }
        _ => None,
    }
}

/// The line that ends a run.
pub(crate) fn end(summary: &Summary, filtered_out: usize, seconds: f64) -> Value {
    let Summary { passed, failed, not_run, ignored, expected_failures, .. } = summary;
    let event = if *failed == 0 && !summary.stopped { "ok" } else { "failed" };
    json!({
        "type": "suite", "event": event, "passed": passed, "failed": failed, "ignored": ignored + not_run + expected_failures,
        "measured": 0, "filtered_out": filtered_out, "exec_time": seconds,
    })
}

fn finished(name: &str, outcome: &Outcome, seconds: f64, log: impl FnOnce() -> String) -> Value {
    match outcome {
        Outcome::Passed => json!({ "type": "test", "name": name, "event": "ok", "exec_time": seconds }),
        Outcome::Failed { error, .. } => json!({
            "type": "test", "name": name, "event": "failed", "exec_time": seconds, "stdout": format!("{error}\n{}", log()),
        }),
        // libtest has no third way to end, or not to run.
        Outcome::ExpectedFailure { reason, until, .. } => {
            let message = format!("failed, as is expected until {until}: {reason}");
            json!({ "type": "test", "name": name, "event": "ignored", "message": message })
        }
        Outcome::NotRun { reason } => {
            json!({ "type": "test", "name": name, "event": "ignored", "message": format!("not run: {reason}") })
        }
        Outcome::Ignored { reason: Some(reason) } => {
            json!({ "type": "test", "name": name, "event": "ignored", "message": reason })
        }
        Outcome::Ignored { reason: None } => json!({ "type": "test", "name": name, "event": "ignored" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_libtests_names() {
        let finished = |scenario: &str, outcome| RunEvent::ScenarioFinished {
            suite: "demo".into(),
            scenario: scenario.into(),
            outcome,
            seconds: 0.5,
        };
        let line = |event| line(&event, String::new).map(|line| line.to_string()).unwrap_or_default();
        assert_eq!(
            line(finished("a", Outcome::Passed)),
            r#"{"type":"test","name":"demo::a","event":"ok","exec_time":0.5}"#
        );
        assert_eq!(
            line(finished("a", Outcome::NotRun { reason: "x".into() })),
            r#"{"type":"test","name":"demo::a","event":"ignored","message":"not run: x"}"#
        );
        let (error, reason, until) = ("no".into(), "bug 7".into(), "2027-01-31".into());
        assert_eq!(
            line(finished("a", Outcome::ExpectedFailure { error, reason, until })),
            r#"{"type":"test","name":"demo::a","event":"ignored","message":"failed, as is expected until 2027-01-31: bug 7"}"#
        );
        assert_eq!(line(finished("setup", Outcome::Passed)), "");
        let summary =
            Summary { passed: 1, ignored: 1, not_run: 1, expected_failures: 1, ..Summary::default() };
        assert_eq!(
            end(&summary, 3, 1.5).to_string(),
            r#"{"type":"suite","event":"ok","passed":1,"failed":0,"ignored":3,"measured":0,"filtered_out":3,"exec_time":1.5}"#
        );
    }
}
