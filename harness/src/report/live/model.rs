//! What is under way in a run: a pure fold over its events, and the lines that show it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    event::{Outcome, RunEvent},
    report::{
        model::is_scenario,
        paint::{Line, Paint},
    },
};

use super::usual::Usual;

/// Operations of a scenario that are shown at most; they are those that began last.
const OPERATIONS: usize = 3;

/// A run as it is now.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    /// In the order of their beginning.
    suites: Vec<Suite>,
    /// Suites of which nothing was heard yet.
    to_come: BTreeSet<String>,
    scenarios: usize,
    done: usize,
    failed: usize,
}

#[derive(Debug)]
struct Suite {
    name: String,
    since: Duration,
    /// What it waits for before it can begin.
    waits: Option<String>,
    /// Machines and their states, in the order in which they were heard of.
    machines: Vec<(String, String)>,
    step: Option<Step>,
}

/// A scenario, or what a suite does beside them.
#[derive(Debug)]
struct Step {
    name: String,
    since: Duration,
    attempt: u32,
    /// By their numbers, which grow.
    operations: BTreeMap<u64, Operation>,
    /// By the operation that waits.
    waits: BTreeMap<Option<u64>, Wait>,
    /// What it said last.
    said: Option<String>,
}

#[derive(Debug)]
struct Operation {
    since: Duration,
    parent: Option<u64>,
    machine: Option<String>,
    text: String,
}

#[derive(Debug)]
struct Wait {
    since: Duration,
    what: String,
    seen: String,
}

impl UnderWay {
    /// Takes an event of that time.
    pub(crate) fn take(&mut self, at: Duration, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { suites, scenarios, .. } => {
                self.to_come = suites.iter().cloned().collect();
                self.scenarios = *scenarios;
            }
            RunEvent::SuiteWaiting { suite, text } => self.suite(suite, at).waits = Some(text.clone()),
            RunEvent::SuiteStarted { suite, .. } => {
                let suite = self.suite(suite, at);
                (suite.since, suite.waits) = (at, None);
            }
            RunEvent::SuiteProgress { suite, text } => {
                let suite = self.suite(suite, at);
                suite.waits = None;
                if let Some(step) = &mut suite.step {
                    step.said = Some(text.clone());
                }
            }
            RunEvent::EnvironmentReady { suite, machines, .. } => {
                let suite = self.suite(suite, at);
                machines.iter().for_each(|machine| suite.machine(machine.name.as_str(), "up"));
            }
            RunEvent::MachineState { suite, machine, state, .. } => {
                self.suite(suite, at).machine(machine.as_str(), state);
            }
            RunEvent::Trouble { suite, machine, trouble, expected: false, .. } => {
                self.suite(suite, at).machine(machine.as_str(), &trouble.to_string());
            }
            RunEvent::ScenarioStarted { suite, scenario, attempt, .. } => {
                let suite = self.suite(suite, at);
                (suite.waits, suite.step) = (None, Some(Step::new(scenario, at, *attempt)));
            }
            RunEvent::ScenarioFinished { suite, scenario, outcome, .. } => {
                self.count(suite, scenario, outcome);
                self.to_come.remove(suite);
                let ended = |step: &mut Step| step.name == *scenario;
                if let Some(suite) = self.suites.iter_mut().find(|known| known.name == *suite) {
                    suite.step.take_if(ended);
                }
            }
            RunEvent::SpanStarted { suite, scenario, span, parent, machine, text } => {
                let (parent, machine, text) = (*parent, machine.clone(), text.clone());
                let operation = Operation { since: at, parent, machine, text };
                self.suite(suite, at).step(scenario, at).operations.insert(*span, operation);
            }
            RunEvent::SpanFinished { suite, scenario, span, .. } => {
                if let Some(step) = self.known(suite, scenario) {
                    step.operations.remove(span);
                    step.waits.remove(&Some(*span));
                }
            }
            RunEvent::Waiting { suite, scenario, span, what, seen } => {
                let step = self.suite(suite, at).step(scenario, at);
                let new = || Wait { since: at, what: what.clone(), seen: String::new() };
                let wait = step.waits.entry(*span).or_insert_with(new);
                if wait.what != *what {
                    *wait = new();
                }
                wait.seen.clone_from(seen);
            }
            RunEvent::Waited { suite, scenario, span, .. } => {
                if let Some(step) = self.known(suite, scenario) {
                    step.waits.remove(span);
                }
            }
            RunEvent::Failing { suite, scenario, error } => {
                let step = self.suite(suite, at).step(scenario, at);
                let error = error.lines().next().unwrap_or_default();
                step.said = Some(format!("failed: {error}; looking at what it left"));
            }
            RunEvent::Log { suite, scenario, span: None, text } => {
                if let Some(step) = self.known(suite, scenario) {
                    step.said = Some(text.clone());
                }
            }
            RunEvent::SuiteFinished { suite, .. } => {
                self.suites.retain(|known| known.name != *suite);
                self.to_come.remove(suite);
            }
            _ => {}
        }
    }

    /// As lines, at most `rows`, at that time.
    pub(crate) fn lines(&self, now: Duration, rows: usize, usual: &Usual) -> Vec<Line> {
        let Some(room) = rows.checked_sub(1) else { return Vec::new() };
        let all = |operations: usize, steps: bool| -> Vec<Line> {
            self.suites.iter().flat_map(|suite| suite.lines(now, usual, operations, steps)).collect()
        };
        let mut lines = (1..=OPERATIONS).rev().map(|most| all(most, true)).find(|lines| lines.len() <= room);
        let mut lines = lines.take().unwrap_or_else(|| {
            let some = all(0, true);
            if some.len() <= room { some } else { all(0, false) }
        });
        if lines.len() > room {
            let shown = room.saturating_sub(1);
            let more = format!("... and {} more suites", lines.len() - shown);
            lines.truncate(shown);
            lines.extend((room > 0).then(|| Line::default().with(Paint::Faint, &more)));
        }
        lines.push(self.counts(now));
        lines
    }

    fn counts(&self, now: Duration) -> Line {
        let Self { done, scenarios, failed, .. } = self;
        let mut line = Line::default().and(&format!("{done} of {scenarios} scenarios"));
        if *failed > 0 {
            line = line.and(", ").with(Paint::Red, &format!("{failed} failed"));
        }
        match self.to_come.len() {
            0 => {}
            1 => line = line.and(", 1 suite to come"),
            more => line = line.and(&format!(", {more} suites to come")),
        }
        line.and(&format!(", {}", clock(now)))
    }

    fn count(&mut self, suite: &str, scenario: &str, outcome: &Outcome) {
        let is_failure = matches!(outcome, Outcome::Failed { .. });
        self.failed += usize::from(is_failure);
        // What is left out is told before its suite begins, and is none of those that were to be run.
        let has_begun = self.suites.iter().any(|known| known.name == suite);
        let is_selected = has_begun && !matches!(outcome, Outcome::Ignored { .. });
        self.done += usize::from(is_scenario(scenario) && is_selected);
    }

    fn suite(&mut self, name: &str, at: Duration) -> &mut Suite {
        self.to_come.remove(name);
        let known = self.suites.iter().position(|suite| suite.name == name);
        let index = known.unwrap_or(self.suites.len());
        if known.is_none() {
            let (waits, machines, step) = (None, Vec::new(), None);
            self.suites.push(Suite { name: name.to_owned(), since: at, waits, machines, step });
        }
        #[expect(clippy::indexing_slicing, reason = "it was found or put there")]
        &mut self.suites[index]
    }

    fn known(&mut self, suite: &str, scenario: &str) -> Option<&mut Step> {
        let suite = self.suites.iter_mut().find(|known| known.name == suite)?;
        suite.step.as_mut().filter(|step| step.name == scenario)
    }
}

impl Suite {
    fn machine(&mut self, name: &str, state: &str) {
        match self.machines.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => state.clone_into(known),
            None => self.machines.push((name.to_owned(), state.to_owned())),
        }
    }

    /// The step of that name, which may have begun without saying so.
    fn step(&mut self, name: &str, at: Duration) -> &mut Step {
        if self.step.as_ref().is_some_and(|step| step.name != name) {
            self.step = None;
        }
        self.step.get_or_insert_with(|| Step::new(name, at, 1))
    }

    fn lines(&self, now: Duration, usual: &Usual, operations: usize, steps: bool) -> Vec<Line> {
        let mut head = Line::default().with(Paint::Bold, &self.name);
        if let Some(waits) = &self.waits {
            let waited = clock(now.saturating_sub(self.since));
            return vec![head.with(Paint::Yellow, " waits").and(&format!(" {waited}: {waits}"))];
        }
        head = took(head.and(" "), now.saturating_sub(self.since), usual.suite(&self.name));
        for (index, (name, state)) in self.machines.iter().enumerate() {
            head = head.and(if index == 0 { "  " } else { ", " }).with(Paint::machine(name), name);
            head = head.and(" ").with(if state == "up" { Paint::Plain } else { Paint::Yellow }, state);
        }
        let Some(step) = &self.step else { return vec![head] };
        let name = took(
            Line::default().and(&format!("    {} ", step.name)),
            now.saturating_sub(step.since),
            usual.scenario(&self.name, &step.name),
        );
        let name = if step.attempt > 1 { name.and(&format!(", attempt {}", step.attempt)) } else { name };
        let mut lines = vec![head];
        if steps {
            lines.push(name);
            lines.extend(step.lines(now, operations));
        }
        lines
    }
}

impl Step {
    fn new(name: &str, since: Duration, attempt: u32) -> Self {
        let (operations, waits, said) = Default::default();
        Self { name: name.to_owned(), since, attempt, operations, waits, said }
    }

    /// The innermost operations, those that began last first, and what they wait for; else what was said last.
    fn lines(&self, now: Duration, most: usize) -> Vec<Line> {
        let outer: BTreeSet<u64> =
            self.operations.values().filter_map(|operation| operation.parent).collect();
        let inner = self.operations.iter().rev().filter(|(span, _)| !outer.contains(span));
        let own = self.waits.get(&None).map(|wait| wait.line(now, Line::default().and("        ")));
        let operations = inner.map(|(span, operation)| {
            let Operation { since, machine, text, .. } = operation;
            let mut line = Line::default().and("        ");
            if let Some(machine) = machine {
                line = line.with(Paint::machine(machine), machine).and(": ");
            }
            match self.waits.get(&Some(*span)) {
                Some(wait) => wait.line(now, line),
                None => {
                    line.and(&format!("{} {}", without(text, machine), clock(now.saturating_sub(*since))))
                }
            }
        });
        let mut lines: Vec<Line> = own.into_iter().chain(operations).take(most).collect();
        if lines.is_empty() {
            let said = self.said.iter().take(most);
            lines.extend(said.map(|said| Line::default().with(Paint::Faint, &format!("        {said}"))));
        }
        lines
    }
}

impl Wait {
    fn line(&self, now: Duration, line: Line) -> Line {
        let Self { since, what, seen } = self;
        let waited = clock(now.saturating_sub(*since));
        line.and(&format!("waits for {what} {waited}, last seen: ")).ending(seen)
    }
}

/// What an operation is, without the machine, which is told beside it.
pub(crate) fn without(text: &str, machine: &Option<String>) -> String {
    match machine {
        Some(machine) => text.replacen(&format!(" machine={machine}"), "", 1),
        None => text.to_owned(),
    }
}

/// How long it took so far, and what it takes as a rule.
fn took(line: Line, elapsed: Duration, usual: Option<Duration>) -> Line {
    let Some(usual) = usual else { return line.and(&clock(elapsed)) };
    let paint = if elapsed > usual.mul_f64(1.5) { Paint::Yellow } else { Paint::Plain };
    line.with(paint, &clock(elapsed)).and(&format!(" of about {}", clock(usual)))
}

/// `7 s`, `1:05`, `1:02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
