//! Lines for people, in the words libtest taught them and their tools: folds events, writes to one stream.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    base::id::MachineName,
    event::{Fault, Outcome, RunEvent, Stamped, scenario_folder, suite_folder},
};

use super::{
    ci::Ci,
    model::{Failure, Summary, is_scenario},
    paint::Paint,
    verbose::Verbose,
};

/// Lines of a log shown with a failure; the file has all of them.
const LOG_LINES: usize = 30;

/// How lines look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// Whether to colour them.
    pub(crate) colour: bool,
    /// One character per scenario.
    pub(crate) terse: bool,
    /// Whether lines of scenarios are shown as they come.
    pub(crate) live_log: bool,
    /// Whether everything that happens is shown as it does.
    pub(crate) verbose: bool,
    /// Whether what goes on is shown elsewhere, so that only what is to stay needs a line.
    pub(crate) is_watched: bool,
}

/// Writes a run to a stream.
pub(crate) struct Term<W> {
    out: W,
    /// For what is no result: progress, notes.
    notes: W,
    style: Style,
    folder: PathBuf,
    prerequisites: HashSet<(String, String)>,
    /// Of scenarios that have failed, the first lines that were told of their errors.
    failing: HashMap<(String, String), String>,
    /// Scenarios that are tried again, and how often they have failed.
    attempts: HashMap<(String, String), u32>,
    verbose: Verbose,
    /// In the log of a CI system, with a stream on which its commands go.
    ci: Option<(Ci, W)>,
}

impl<W: Write> Term<W> {
    /// A writer of results to `out` and progress to `notes`; `folder` is the run's.
    pub(crate) fn new(out: W, notes: W, style: Style, folder: &Path) -> Self {
        Self {
            out,
            notes,
            style,
            folder: folder.to_owned(),
            prerequisites: HashSet::new(),
            failing: HashMap::new(),
            attempts: HashMap::new(),
            verbose: Verbose::default(),
            ci: None,
        }
    }

    /// The same in the log of a CI system; `commands` leads to where the notes do, for what is not to be harmless.
    #[must_use]
    pub(crate) fn in_ci(self, ci: Ci, commands: W) -> Self {
        Self { ci: Some((ci, commands)), ..self }
    }

    /// Says how many scenarios there are.
    pub(crate) fn begin(&mut self, count: usize) -> io::Result<()> {
        writeln!(self.out, "\nrunning {count} test{}", if count == 1 { "" } else { "s" })
    }

    /// Shows an event, if people care for it.
    pub(crate) fn show(&mut self, stamped: &Stamped) -> io::Result<()> {
        let shown = self.lines(&stamped.event);
        if self.style.verbose {
            let (suite, lines) = self.verbose.take(stamped);
            for line in lines {
                self.note(suite, &line.fit(usize::MAX, self.style.colour))?;
            }
        }
        if let Some((ci, commands)) = &mut self.ci {
            commands.write_all(ci.take(stamped).as_bytes())?;
            commands.flush()?;
        }
        shown
    }

    /// Tells what is no result: at once, or with all that is told of that suite.
    fn note(&mut self, suite: &str, text: &str) -> io::Result<()> {
        match &mut self.ci {
            Some((ci, _)) => {
                ci.note(suite, text);
                Ok(())
            }
            None => writeln!(self.notes, "{text}"),
        }
    }

    fn lines(&mut self, event: &RunEvent) -> io::Result<()> {
        match event {
            RunEvent::SuiteWaiting { suite, text } if !self.style.terse && !self.style.is_watched => {
                self.note(suite, &format!("{suite} waits: {text}"))
            }
            RunEvent::SuiteProgress { suite, text } if !self.style.terse => {
                // Both show it where it is done.
                let is_elsewhere = self.style.is_watched && !text.starts_with("warning: ");
                if is_elsewhere || self.style.verbose {
                    return Ok(());
                }
                self.note(suite, &format!("{suite}: {text}"))
            }
            RunEvent::PortalReached { suite, portal, .. } if !self.style.terse => {
                self.note(suite, &format!("{suite}: portal at {portal}"))
            }
            RunEvent::Trouble { suite, machine, trouble, text, expected, .. } if !self.style.terse => {
                let role = if *expected { "expected " } else { "" };
                self.note(suite, &format!("{suite}: {machine}: {role}{trouble}: {text}"))
            }
            RunEvent::EnvironmentKept { suite, folder, machines } => {
                let machine = machines.first().map(ToString::to_string).unwrap_or_default();
                writeln!(
                    self.notes,
                    "{suite}: its machines stay; to look at them, and to end them:\n    cd {folder}\n    \
                     polder status\n    polder shell {machine}\n    polder destroy --yes"
                )
            }
            RunEvent::Paused { suite, scenario, folder, machines, portal } => {
                writeln!(
                    self.notes,
                    "{suite}: {}",
                    paused(&self.folder, suite, scenario, folder.as_deref(), machines, portal.as_deref())
                )
            }
            RunEvent::Resumed { suite, seconds } => {
                writeln!(self.notes, "{suite}: goes on, after it stood still for {seconds:.0} s")
            }
            RunEvent::PortalKept { suite, state: Some(state), .. } => {
                writeln!(
                    self.notes,
                    "{suite}: what its portal knew stays; `polder enter` has it, as has\n    polder cvp serve --state {state}"
                )
            }
            RunEvent::PortalKept { suite, portal: Some(portal), .. } => {
                writeln!(
                    self.notes,
                    "{suite}: what it did at {portal} stays; to set it back, with the same POLDER_CVP variables:\n    polder gc"
                )
            }
            RunEvent::Fault { suite, scenario, text, .. } if self.style.live_log && !self.style.verbose => {
                writeln!(self.out, "{suite}::{scenario}: {text}")
            }
            RunEvent::ScenarioStarted { suite, scenario, prerequisite: true, .. } => {
                self.prerequisites.insert((suite.clone(), scenario.clone()));
                Ok(())
            }
            RunEvent::Failing { suite, scenario, error } if !self.style.terse => {
                let error = error.lines().next().unwrap_or_default();
                self.failing.insert((suite.clone(), scenario.clone()), error.to_owned());
                writeln!(self.notes, "{suite}::{scenario}: {error}")?;
                self.notes.flush()
            }
            RunEvent::AttemptFailed { suite, scenario, attempt, error, .. } => {
                self.failing.remove(&(suite.clone(), scenario.clone()));
                self.attempts.insert((suite.clone(), scenario.clone()), *attempt);
                if self.style.terse {
                    return Ok(());
                }
                let error = error.lines().next().unwrap_or_default();
                self.note(suite, &format!("{suite}::{scenario}: attempt {attempt} failed: {error}"))
            }
            RunEvent::Log { suite, scenario, text, .. } if self.style.live_log && !self.style.verbose => {
                writeln!(self.out, "{suite}::{scenario}: {text}")
            }
            RunEvent::ScenarioFinished { suite, scenario, outcome, seconds } => {
                self.finished(suite, scenario, outcome, *seconds)
            }
            _ => Ok(()),
        }
    }

    /// Shows failures and the result of a run that took `seconds`.
    pub(crate) fn end(&mut self, summary: &Summary, filtered_out: usize, seconds: f64) -> io::Result<()> {
        if let Some((ci, commands)) = &mut self.ci {
            commands.write_all(ci.rest().as_bytes())?;
        }
        if self.style.terse {
            writeln!(self.out)?;
        }
        if !summary.failures.is_empty() {
            writeln!(self.out, "\nfailures:")?;
            for failure in &summary.failures {
                self.failure(failure)?;
            }
            writeln!(self.out, "\nfailures:")?;
            for failure in &summary.failures {
                writeln!(self.out, "    {}", failure.name())?;
            }
        }
        if !summary.flaky.is_empty() {
            writeln!(self.out, "\nflaky:")?;
            for (name, failed) in &summary.flaky {
                let times = if *failed == 1 { "once".to_owned() } else { format!("{failed} times") };
                writeln!(self.out, "    {name} passed after it had failed {times}")?;
            }
        }
        let Summary { passed, failed, not_run, ignored, expected_failures, .. } = summary;
        if *not_run > 0 {
            writeln!(self.out, "\n{not_run} not run")?;
        }
        if *expected_failures > 0 {
            writeln!(self.out, "\n{expected_failures} failed, as is expected")?;
        }
        let verdict = match (failed, summary.stopped) {
            (0, false) => self.paint(Paint::Green, "ok"),
            (0, true) => self.paint(Paint::Yellow, "stopped"),
            _ => self.paint(Paint::Red, "FAILED"),
        };
        writeln!(
            self.out,
            "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
             {filtered_out} filtered out; finished in {seconds:.2}s\n"
        )
    }

    fn finished(&mut self, suite: &str, scenario: &str, outcome: &Outcome, seconds: f64) -> io::Result<()> {
        let failed = matches!(outcome, Outcome::Failed { .. });
        if !is_scenario(scenario) && !failed {
            if *outcome == Outcome::Passed && !self.style.terse {
                self.note(suite, &format!("{suite}: {scenario} done ({seconds:.1} s)"))?;
            }
            return Ok(());
        }
        if self.style.terse {
            let (colour, letter) = match outcome {
                Outcome::Passed => (Paint::Green, "."),
                Outcome::Failed { .. } => (Paint::Red, "F"),
                Outcome::ExpectedFailure { .. } => (Paint::Yellow, "x"),
                Outcome::NotRun { .. } => (Paint::Yellow, "n"),
                Outcome::Ignored { .. } => (Paint::Yellow, "i"),
            };
            write!(self.out, "{}", self.paint(colour, letter))?;
            return self.out.flush();
        }
        let key = (suite.to_owned(), scenario.to_owned());
        let role = if self.prerequisites.contains(&key) { ", prerequisite" } else { "" };
        let told = self.failing.remove(&key);
        let attempts = self.attempts.remove(&key);
        let attempts = attempts.map(|failed| format!(", attempt {}", failed + 1)).unwrap_or_default();
        let words = match outcome {
            Outcome::Passed => format!("{} ({seconds:.1} s{role}{attempts})", self.paint(Paint::Green, "ok")),
            Outcome::Failed { .. } => {
                format!("{} ({seconds:.1} s{role}{attempts})", self.paint(Paint::Red, "FAILED"))
            }
            Outcome::ExpectedFailure { reason, until, .. } => {
                format!("{}, as is expected until {until}: {reason}", self.paint(Paint::Yellow, "failed"))
            }
            Outcome::NotRun { reason } => format!("{}: {reason}", self.paint(Paint::Yellow, "not run")),
            Outcome::Ignored { reason: Some(reason) } => {
                format!("{}, {reason}", self.paint(Paint::Yellow, "ignored"))
            }
            Outcome::Ignored { reason: None } => self.paint(Paint::Yellow, "ignored"),
        };
        writeln!(self.out, "test {suite}::{scenario} ... {words}")?;
        // All of it is told at the end; who watches wants to know at once.
        if let Outcome::Failed { error, .. } = outcome {
            let error = error.lines().next().unwrap_or_default();
            if told.is_none_or(|told| told != error) {
                writeln!(self.notes, "{suite}::{scenario}: {error}")?;
                self.notes.flush()?;
            }
        }
        Ok(())
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        writeln!(self.out, "\n---- {} ----\n{}", failure.name(), failure.error)?;
        match failure.fault {
            Fault::Product => {}
            Fault::Environment => writeln!(self.out, "at fault: the environment, not what is tested")?,
            Fault::Harness => writeln!(self.out, "at fault: Polder itself, not what is tested")?,
        }
        for (number, error) in failure.attempts.iter().enumerate() {
            let error = error.lines().next().unwrap_or_default();
            writeln!(self.out, "attempt {} had failed, too: {error}", number + 1)?;
        }
        let lines: Vec<&str> = failure.log.lines().collect();
        if !lines.is_empty() {
            let hidden = lines.len().saturating_sub(LOG_LINES);
            let note = if hidden > 0 { format!(" (its last {LOG_LINES} lines)") } else { String::new() };
            writeln!(self.out, "log{note}:")?;
            for line in lines.iter().skip(hidden) {
                writeln!(self.out, "{line}")?;
            }
        }
        let folder = scenario_folder(&self.folder, &failure.suite, &failure.scenario);
        let collected = match failure.collected {
            Some((items, 0)) => format!(", {items} items collected"),
            Some((items, missing)) => format!(", {items} items collected, {missing} could not be had"),
            None => String::new(),
        };
        writeln!(self.out, "left in {}: error.txt, log.txt{collected}", folder.display())?;
        match &failure.archive {
            Some(archive) => writeln!(self.out, "what the portal was asked and answered: {archive}"),
            None => Ok(()),
        }
    }

    fn paint(&self, paint: Paint, text: &str) -> String {
        if self.style.colour { paint.on(text) } else { text.to_owned() }
    }
}

/// What there is to do with a suite that stands still.
fn paused(
    run: &Path,
    suite: &str,
    scenario: &str,
    folder: Option<&str>,
    machines: &[MachineName],
    portal: Option<&str>,
) -> String {
    let mut text = format!("stands still: `{scenario}` failed; from another terminal:");
    let place = folder.map_or_else(|| suite_folder(run, suite), PathBuf::from);
    text += &format!("\n    cd {}", place.display());
    if let Some(machine) = machines.first().filter(|_| folder.is_some()) {
        text += &format!("\n    polder status\n    polder shell {machine}\n    polder console {machine}");
    }
    text += &format!("\n    less {scenario}/log.txt");
    if let Some(portal) = portal {
        text += &format!("\n    . {portal}; polder cvp inventory");
    }
    text + "\nEnter goes on, q and Enter ends the run"
}

#[cfg(test)]
mod tests;
