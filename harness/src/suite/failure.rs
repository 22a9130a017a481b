//! How a step's end becomes an outcome: whose fault, and the words. Pure.

use crate::{
    cvp::CvpError,
    env::EnvError,
    event::{Fault, Outcome},
    guest::GuestError,
};

use super::{registry::ExpectFail, skip::Skipped, task::Ended};

/// The outcome of a step; `limit` are the words for its limit, `file` is its source file.
pub(crate) fn outcome(ended: &Ended<()>, limit: &str, file: &str) -> Outcome {
    let failed = |error: String| Outcome::Failed { fault: Fault::Product, error };
    match ended {
        Ended::Returned(Ok(())) => Outcome::Passed,
        Ended::Returned(Err(error)) => match error.downcast_ref::<Skipped>() {
            Some(skipped) => Outcome::NotRun { reason: skipped.to_string() },
            None => Outcome::Failed { fault: fault(error), error: describe(error, file) },
        },
        Ended::Panicked(text) => failed(text.clone()),
        Ended::TimedOut { stuck: false } => failed(format!("did not end within {limit}")),
        Ended::TimedOut { stuck: true } => {
            failed(format!("did not end within {limit}, and cannot be stopped: it blocks its thread"))
        }
        Ended::Stopped { .. } => {
            Outcome::NotRun { reason: "stopped by the operator before its end".to_owned() }
        }
    }
}

/// The outcome of a step after which something was amiss: `unhealed` is what of its faults could not be set back, `blame`
/// what is said of its machines.
pub(crate) fn after(outcome: Outcome, unhealed: Option<String>, blame: Option<String>) -> Outcome {
    let amiss = if unhealed.is_some() { Fault::Environment } else { Fault::Product };
    let said: Vec<String> = unhealed.into_iter().chain(blame).collect();
    match outcome {
        Outcome::NotRun { .. } => outcome,
        _ => with(outcome, amiss, &said),
    }
}

/// The outcome of a step in which the environment broke, for the reason `why`: what failed then, however it says so, was not
/// the fault of what is tested.
pub(crate) fn broken(outcome: Outcome, why: &str) -> Outcome {
    let Outcome::Failed { error, .. } = outcome else { return outcome };
    let said = error.starts_with(why);
    let error = if said { error } else { format!("the environment broke: {why}\n{error}") };
    Outcome::Failed { fault: Fault::Environment, error }
}

/// The outcome of a step when `errors` came up in ending what it was given.
pub(crate) fn torn_down(outcome: Outcome, errors: &[(Fault, String)]) -> Outcome {
    let Some((fault, _)) = errors.first() else { return outcome };
    let said: Vec<String> = errors.iter().map(|(_, error)| error.clone()).collect();
    match outcome {
        Outcome::NotRun { .. } => with(Outcome::Passed, *fault, &said),
        _ => with(outcome, *fault, &said),
    }
}

/// What passed has failed with what is `said`, if something is; what failed before says that as well.
fn with(outcome: Outcome, amiss: Fault, said: &[String]) -> Outcome {
    match outcome {
        Outcome::Passed if !said.is_empty() => Outcome::Failed { fault: amiss, error: said.join("\n") },
        Outcome::Failed { fault, error } if !said.is_empty() => {
            Outcome::Failed { fault, error: format!("{error}\n{}", said.join("\n")) }
        }
        other => other,
    }
}

/// The outcome of a step in which chance had a part: what failed says how to have the same again.
pub(crate) fn by_chance(outcome: Outcome, seed: u64) -> Outcome {
    match outcome {
        Outcome::Failed { fault, error } => Outcome::Failed {
            fault,
            error: format!(
                "{error}\nchance had a part in it; with POLDER_SEED={seed} it makes the same choices again"
            ),
        },
        other => other,
    }
}

/// The outcome of a scenario whose failure may be known, on the day `today` (as `2027-01-31`). Only what is tested is ever
/// expected to fail: where the environment does, nothing was found out.
pub(crate) fn expected(outcome: Outcome, known: Option<ExpectFail>, today: &str) -> Outcome {
    let Some(ExpectFail { until, reason }) = known else { return outcome };
    let is_over = today > until;
    match outcome {
        Outcome::Passed if !is_over => Outcome::Failed {
            fault: Fault::Product,
            error: format!(
                "it passed, but is expected to fail until {until} ({reason}): take `expect_fail` away"
            ),
        },
        Outcome::Failed { fault, error } if is_over => Outcome::Failed {
            fault,
            error: format!("{error}\nit was expected to fail until {until} ({reason}), which is over"),
        },
        Outcome::Failed { fault: Fault::Product, error } => {
            Outcome::ExpectedFailure { error, reason: reason.to_owned(), until: until.to_owned() }
        }
        other => other,
    }
}

/// An error and its causes, one a line.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        text.push_str("\ncaused by: ");
        text.push_str(&cause.to_string());
    }
    text
}

/// The same and where in `file` it came up, when backtraces are on.
pub(crate) fn describe(error: &anyhow::Error, file: &str) -> String {
    let mut text = causes(error);
    if let Some(place) = place(&error.backtrace().to_string(), file) {
        text.push_str("\nat ");
        text.push_str(&place);
    }
    text
}

/// Whose fault an error is: what comes from the environment says so by its type.
pub(crate) fn fault(error: &anyhow::Error) -> Fault {
    let environment = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<EnvError>()
            || cause.downcast_ref().is_some_and(CvpError::is_of_the_way)
            || cause.downcast_ref::<GuestError>().is_some_and(|error| error.fault() == Fault::Environment)
    };
    if error.chain().any(environment) { Fault::Environment } else { Fault::Product }
}

/// The innermost frame of a backtrace that lies in `file`. Either path may be relative to a folder the other names.
fn place(backtrace: &str, file: &str) -> Option<String> {
    let frames = backtrace.lines().filter_map(|line| line.trim_start().strip_prefix("at "));
    let mut places = frames.filter_map(|frame| {
        let (rest, column) = frame.rsplit_once(':')?;
        let (path, line) = rest.rsplit_once(':')?;
        let path = path.trim_start_matches("./");
        (path.ends_with(file) || file.ends_with(path)).then(|| format!("{file}:{line}:{column}"))
    });
    places.next()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_stand_on_lines_of_their_own() {
        let error =
            Err::<(), _>(anyhow::anyhow!("connection refused")).context("cannot reach web").unwrap_err();
        assert_eq!(describe(&error, "nowhere.rs"), "cannot reach web\ncaused by: connection refused");
    }

    #[rstest::rstest]
    #[case("./tests/demo.rs:42:9", Some("harness/tests/demo.rs:42:9"))]
    #[case("/src/harness/tests/demo.rs:42:9", Some("harness/tests/demo.rs:42:9"))]
    #[case("/src/harness/tests/other.rs:42:9", None)]
    #[case("nowhere", None)]
    fn the_place_is_the_innermost_frame_in_the_file(#[case] frame: &str, #[case] expected: Option<&str>) {
        let backtrace = format!(
            "   0: anyhow::error\n             at /deps/anyhow/src/lib.rs:1:2\n   1: demo::x\n             at {frame}\n"
        );
        assert_eq!(place(&backtrace, "harness/tests/demo.rs").as_deref(), expected);
    }

    #[test]
    fn what_is_amiss_fails_what_passed_and_is_told_with_what_failed() {
        let failed = |fault, error: &str| Outcome::Failed { fault, error: error.to_owned() };
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(after(Outcome::Passed, None, None), Outcome::Passed);
        assert_eq!(after(Outcome::Passed, None, said("b")), failed(Fault::Product, "b"));
        assert_eq!(after(Outcome::Passed, said("a"), said("b")), failed(Fault::Environment, "a\nb"));
        let own = failed(Fault::Harness, "own");
        assert_eq!(after(own, None, said("b")), failed(Fault::Harness, "own\nb"));
        let stopped = Outcome::NotRun { reason: "stopped".to_owned() };
        assert_eq!(after(stopped.clone(), said("a"), said("b")), stopped);
        let errors = [(Fault::Environment, "c".to_owned()), (Fault::Product, "d".to_owned())];
        assert_eq!(torn_down(Outcome::Passed, &[]), Outcome::Passed);
        assert_eq!(torn_down(Outcome::Passed, &errors), failed(Fault::Environment, "c\nd"));
        assert_eq!(torn_down(failed(Fault::Product, "own"), &errors), failed(Fault::Product, "own\nc\nd"));
        assert_eq!(torn_down(stopped, &errors), failed(Fault::Environment, "c\nd"), "it is not lost");
    }

    #[test]
    fn what_fails_while_the_environment_breaks_is_its_fault() {
        let failed = |fault, error: &str| Outcome::Failed { fault, error: error.to_owned() };
        let why = "the lab has ended: its warden is gone";
        let panicked = failed(Fault::Product, "panicked at x.rs:1:2:\nno answer");
        let told =
            "the environment broke: the lab has ended: its warden is gone\npanicked at x.rs:1:2:\nno answer";
        assert_eq!(broken(panicked, why), failed(Fault::Environment, told));
        let own = format!("{why}\nat x.rs:1:2");
        assert_eq!(broken(failed(Fault::Environment, &own), why), failed(Fault::Environment, &own));
        assert_eq!(broken(Outcome::Passed, why), Outcome::Passed);
    }

    #[test]
    fn a_failure_that_is_known_is_expected_until_its_last_day() {
        let failed = |fault, error: &str| Outcome::Failed { fault, error: error.to_owned() };
        let known = ExpectFail { until: "2027-01-31", reason: "bug 7" };
        let on = |day, outcome| expected(outcome, Some(known), day);
        let as_expected = Outcome::ExpectedFailure {
            error: "1 != 2".into(),
            reason: "bug 7".into(),
            until: "2027-01-31".into(),
        };
        assert_eq!(on("2026-12-01", failed(Fault::Product, "1 != 2")), as_expected);
        assert_eq!(on("2027-01-31", failed(Fault::Product, "1 != 2")), as_expected);
        let over = "1 != 2\nit was expected to fail until 2027-01-31 (bug 7), which is over";
        assert_eq!(on("2027-02-01", failed(Fault::Product, "1 != 2")), failed(Fault::Product, over));
        let passed = "it passed, but is expected to fail until 2027-01-31 (bug 7): take `expect_fail` away";
        assert_eq!(on("2027-01-31", Outcome::Passed), failed(Fault::Product, passed));
        assert_eq!(on("2027-02-01", Outcome::Passed), Outcome::Passed);
        let lost = || failed(Fault::Environment, "no lab");
        assert_eq!(on("2026-12-01", lost()), lost(), "nothing was found out about what is tested");
        assert_eq!(expected(lost(), None, "2026-12-01"), lost());
    }

    #[test]
    fn what_failed_by_chance_can_be_had_again() {
        let failed = Outcome::Failed { fault: Fault::Product, error: "1 != 2".into() };
        let Outcome::Failed { error, fault: Fault::Product } = by_chance(failed, 7) else { panic!() };
        assert_eq!(
            error,
            "1 != 2\nchance had a part in it; with POLDER_SEED=7 it makes the same choices again"
        );
        assert_eq!(by_chance(Outcome::Passed, 7), Outcome::Passed);
    }

    #[test]
    fn what_skips_itself_is_not_run() {
        let skipped = anyhow::Error::from(Skipped::because("no printer")).context("while looking for one");
        let ended = outcome(&Ended::Returned(Err(skipped)), "1 s", "x.rs");
        assert_eq!(ended, Outcome::NotRun { reason: "no printer".into() });
    }

    #[test]
    fn the_environment_is_told_from_the_product() {
        let error =
            anyhow::Error::from(EnvError::Key { what: "x", error: "y".into() }).context("cannot go on");
        assert_eq!(fault(&error), Fault::Environment);
        assert_eq!(fault(&anyhow::anyhow!("1 != 2")), Fault::Product);
        let session = |what: &str| CvpError::NoSession { what: what.into(), node: "cvp1".into() };
        let absent = || CvpError::Exists { kind: "configlet", name: "x".into() };
        assert_eq!(fault(&CvpError::Many(vec![session("a"), session("b")]).into()), Fault::Environment);
        assert_eq!(fault(&CvpError::Many(vec![session("a"), absent()]).into()), Fault::Product);
    }
}
