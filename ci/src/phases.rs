//! Named phases with their durations, and the summary at the end. Knows nothing of what the phases do.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;

/// How many tests ended how, added up over test binaries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were ignored.
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds what a line of a test binary's output says, if it is the closing one.
    pub(crate) fn look(&mut self, line: &str) {
        let Some((own, filtered_out)) = closing(line) else { return };
        // One selected test: a process that a test made of its own binary. The test itself is counted.
        if filtered_out > 0 && own.passed + own.failed + own.ignored <= 1 {
            return;
        }
        self.passed += own.passed;
        self.failed += own.failed;
        self.ignored += own.ignored;
    }
}

/// What the closing line of a test binary says, and how many tests were filtered out.
pub(crate) fn closing(line: &str) -> Option<(Tally, u64)> {
    let (_, counts) = line.trim_start().strip_prefix("test result: ")?.split_once(". ")?;
    let number = |what: &str| {
        let part = counts.split("; ").find(|part| part.ends_with(what))?;
        part.strip_suffix(what)?.trim_end().parse::<u64>().ok()
    };
    let tally = Tally { passed: number("passed")?, failed: number("failed")?, ignored: number("ignored")? };
    Some((tally, number("filtered out").unwrap_or(0)))
}

/// Something that could not be had and what that costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    /// What is skipped.
    pub(crate) name: String,
    /// Why.
    pub(crate) reason: String,
}

impl Skip {
    /// Says so at once, loudly.
    pub(crate) fn announce(name: &str, reason: impl Into<String>) -> Self {
        let skip = Self { name: name.to_owned(), reason: reason.into() };
        println!("SKIP {}: {}", skip.name, skip.reason);
        skip
    }
}

/// The phases of a run.
pub(crate) struct Phases {
    started: Instant,
    done: Vec<(&'static str, Duration, Result<()>)>,
    skips: Vec<Skip>,
    /// Tests counted so far.
    pub(crate) tally: Tally,
}

impl Phases {
    /// Begins, with what is known to be skipped already.
    pub(crate) fn new(skips: Vec<Skip>) -> Self {
        Self { started: Instant::now(), done: vec![], skips, tally: Tally::default() }
    }

    /// Runs one phase under its heading; a failure is said here and again in the summary. Returns whether it passed.
    pub(crate) fn run(&mut self, name: &'static str, phase: impl FnOnce(&mut Tally) -> Result<()>) -> bool {
        println!("\n=== {name}");
        let started = Instant::now();
        let result = phase(&mut self.tally);
        match &result {
            Ok(()) => println!("=== {name}: passed in {}", seconds(started.elapsed())),
            Err(error) => println!("=== {name}: FAILED after {}: {error:#}", seconds(started.elapsed())),
        }
        let passed = result.is_ok();
        self.done.push((name, started.elapsed(), result));
        passed
    }

    /// Leaves something out, loudly.
    pub(crate) fn skip(&mut self, name: &str, reason: impl Into<String>) {
        println!();
        self.skips.push(Skip::announce(name, reason));
    }

    /// Prints the summary; its last line counts tests, and each phase that is no test as one more.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\n=== summary");
        for (name, took, result) in &self.done {
            match result {
                Ok(()) => println!("  ok      {name} ({})", seconds(*took)),
                Err(error) => println!("  FAILED  {name} ({}): {error:#}", seconds(*took)),
            }
        }
        for skip in &self.skips {
            println!("  SKIP    {}: {}", skip.name, skip.reason);
        }
        let broken = self.done.iter().filter(|(_, _, result)| result.is_err()).count();
        let Tally { passed, failed, ignored } = self.tally;
        println!(
            "{} of {} phases passed, {} skipped, in {}",
            self.done.len() - broken,
            self.done.len(),
            self.skips.len(),
            seconds(self.started.elapsed())
        );
        // A phase may fail without a failed test (lints, a crash); the last line must not look green then.
        let failed = failed.max(broken as u64);
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        println!("test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored");
        ExitCode::from(u8::from(failed > 0))
    }
}

/// A duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    let all = duration.as_secs_f64();
    if all < 60.0 {
        format!("{all:.1} s")
    } else {
        format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up_and_others_ignored() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 36 filtered out; finished in 0.01s",
            "test result: odd",
            "a log line saying test result: ok. 100 passed; 0 failed",
        ] {
            tally.look(line);
        }
        assert_eq!(tally, Tally { passed: 7, failed: 2, ignored: 1 });
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(1_249)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn a_failed_phase_without_failed_tests_is_a_failure() {
        let mut phases = Phases::new(vec![]);
        assert!(phases.run("fine", |_| Ok(())));
        assert!(!phases.run("broken", |_| anyhow::bail!("no")));
        assert_eq!(phases.finish(), ExitCode::from(1));
        assert_eq!(Phases::new(vec![]).finish(), ExitCode::SUCCESS);
    }
}
