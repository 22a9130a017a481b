//! How events become the account of a run. Pure.

use std::collections::HashMap;

use super::model::{Account, Attempt, ChangeOf, Entry, Node, PhaseOf, SuiteAccount, What};
use crate::event::{RunEvent, Stamped};

/// What faults are told with that were set back.
const HEALED: &str = "no longer: ";
/// The entry to which what a suite does before its scenarios belongs.
const ENVIRONMENT: &str = "environment";

/// What is known while events are taken.
#[derive(Default)]
struct Fold {
    account: Account,
    /// Places of suites by their names.
    suites: HashMap<String, usize>,
    /// Places of the newest entries by suites and names.
    entries: HashMap<(usize, String), usize>,
    /// Operations under way of an entry: their nodes by numbers.
    spans: HashMap<(usize, usize, u64), usize>,
}

/// The account of a run that wrote `events`.
pub(super) fn account(events: &[Stamped]) -> Account {
    let mut fold = Fold::default();
    for event in events {
        fold.take(event);
    }
    let end = fold.account.seconds;
    for suite in &mut fold.account.suites {
        name_machines(suite);
        run_on(suite, end);
    }
    fold.account
}

impl Fold {
    fn take(&mut self, stamped: &Stamped) {
        let at = stamped.since_start;
        self.account.seconds = at;
        match &stamped.event {
            RunEvent::RunStarted { run, polder, suites, seed, .. } => {
                (self.account.run, self.account.polder) = (run.clone(), polder.clone());
                self.account.seed = *seed;
                self.account.began = stamped.time - at;
                for suite in suites {
                    self.suite_at(suite);
                }
            }
            RunEvent::RunFinished { stopped, seconds, .. } => {
                (self.account.finished, self.account.stopped) = (true, *stopped);
                self.account.seconds = *seconds;
            }
            RunEvent::SuiteStarted { suite, place } => {
                if let Some(suite) = self.suite(suite) {
                    (suite.began, suite.place) = (Some(at), place.clone());
                }
            }
            RunEvent::EnvironmentReady { suite, prefix, machines } => {
                if let Some(suite) = self.suite(suite) {
                    (suite.prefix, suite.machines) = (Some(prefix.clone()), machines.clone());
                }
            }
            RunEvent::PortalReached { suite, portal, .. } => {
                if let Some(suite) = self.suite(suite) {
                    suite.portal = Some(portal.clone());
                }
            }
            RunEvent::SuiteFinished { suite, usage, seconds } => {
                if let Some(suite) = self.suite(suite) {
                    (suite.usage, suite.seconds) = (*usage, *seconds);
                }
            }
            RunEvent::SuiteProgress { suite, text } => {
                self.node(suite, ENVIRONMENT, at, None, text.clone(), What::Progress);
            }
            RunEvent::SuiteWaiting { suite, text } => {
                self.node(suite, ENVIRONMENT, at, None, format!("waits {text}"), What::Progress);
            }
            RunEvent::ScenarioStarted { .. }
            | RunEvent::AttemptFailed { .. }
            | RunEvent::ScenarioFinished { .. } => self.step(at, &stamped.event),
            event => self.detail(at, event),
        }
    }

    /// What begins and ends entries.
    fn step(&mut self, at: f64, event: &RunEvent) {
        match event {
            RunEvent::ScenarioStarted { suite, scenario, prerequisite, attempt, place } => {
                if *attempt > 1 {
                    self.node(suite, scenario, at, None, format!("attempt {attempt}"), What::Attempt);
                } else if let Some(entry) = self.fresh(suite, scenario) {
                    (entry.began, entry.prerequisite) = (Some(at), *prerequisite);
                    entry.place.clone_from(place);
                }
            }
            RunEvent::AttemptFailed { suite, scenario, attempt, fault, error, seconds } => {
                if let Some(entry) = self.entry(suite, scenario) {
                    entry.seconds += seconds;
                    let (attempt, fault, error) = (*attempt, *fault, error.clone());
                    entry.attempts.push(Attempt { attempt, fault, error, seconds: *seconds });
                }
            }
            RunEvent::ScenarioFinished { suite, scenario, outcome, seconds } => {
                let is_over = self.entry(suite, scenario).is_some_and(|entry| entry.outcome.is_some());
                // What is told a second time failed when it was to go.
                let entry = if is_over { self.fresh(suite, scenario) } else { self.entry(suite, scenario) };
                if let Some(entry) = entry {
                    entry.outcome = Some(outcome.clone());
                    entry.seconds += seconds;
                    // Its begin may have been told late, when whoever tells was busy.
                    entry.began = entry.began.map(|began| began.min(at - seconds).max(0.0));
                }
            }
            _ => {}
        }
    }

    /// What happens in entries.
    fn detail(&mut self, at: f64, event: &RunEvent) {
        match event {
            RunEvent::SpanStarted { suite, scenario, span, parent, machine, text } => {
                let what = What::Span { took: None };
                let Some(key) = self.node(suite, scenario, at, *parent, text.clone(), what) else { return };
                let (suite, entry, node) = key;
                self.spans.insert((suite, entry, *span), node);
                if let Some(node) = self.at(key)
                    && machine.is_some()
                {
                    node.machine.clone_from(machine);
                }
            }
            RunEvent::SpanFinished { suite, scenario, span, seconds } => {
                let ended = self.place(suite, scenario).and_then(|(suite, entry)| {
                    Some((suite, entry, self.spans.remove(&(suite, entry, *span))?))
                });
                if let Some(node) = ended.and_then(|key| self.at(key)) {
                    node.what = What::Span { took: Some(*seconds) };
                    node.at = node.at.min(at - seconds).max(0.0);
                }
            }
            RunEvent::Log { suite, scenario, span, text } => {
                self.node(suite, scenario, at, *span, text.clone(), What::Line);
            }
            RunEvent::Restored { suite, scenario, from, seconds } => {
                let state = match from {
                    Some(from) => format!("the state that `{from}` left"),
                    None => "the state in which it began".to_owned(),
                };
                let text = format!("went back to {state} ({seconds:.1} s)");
                self.node(suite, scenario, at, None, text, What::Progress);
            }
            RunEvent::Waited { suite, scenario, span, what, end, seen, history, looks, seconds } => {
                let (took, looks, end) = (*seconds, *looks, *end);
                let (seen, history) = (seen.clone(), history.clone());
                let wait = What::Wait { took, end, seen, history, looks };
                self.node(suite, scenario, at, *span, what.clone(), wait);
            }
            RunEvent::Fault { suite, scenario, text, .. } => self.fault(suite, scenario, at, text),
            RunEvent::Trouble { suite, scenario, machine, trouble, text, expected } => {
                let text = format!("{trouble}: {text}");
                let key = self.node(suite, scenario, at, None, text, What::Trouble { expected: *expected });
                if let Some(node) = key.and_then(|key| self.at(key)) {
                    node.machine = Some(machine.to_string());
                }
            }
            RunEvent::Leak { suite, scenario, what, .. } => {
                let text = format!("left behind: {what}");
                self.node(suite, scenario, at, None, text, What::Trouble { expected: false });
            }
            RunEvent::Change { suite, scenario, change, device, phase, error, seconds, transcript } => {
                let transcript = self.below(transcript);
                if let Some(entry) = self.entry(suite, scenario) {
                    entry.phases.push(PhaseOf {
                        at,
                        change: change.clone(),
                        device: device.clone(),
                        phase: phase.clone(),
                        error: error.clone(),
                        took: *seconds,
                        transcript,
                    });
                }
            }
            RunEvent::ChangeReported { suite, scenario, change, state, report } => {
                let report = self.below(report);
                if let Some(entry) = self.entry(suite, scenario) {
                    entry.changes.push(ChangeOf { change: change.clone(), state: state.clone(), report });
                }
            }
            // What others take, and what nobody has to know once the run is over: a kind that is added is to be thought of here.
            RunEvent::RunStarted { .. }
            | RunEvent::RunFinished { .. }
            | RunEvent::SuiteStarted { .. }
            | RunEvent::SuiteProgress { .. }
            | RunEvent::SuiteWaiting { .. }
            | RunEvent::EnvironmentReady { .. }
            | RunEvent::PortalReached { .. }
            | RunEvent::SuiteFinished { .. }
            | RunEvent::ScenarioStarted { .. }
            | RunEvent::AttemptFailed { .. }
            | RunEvent::ScenarioFinished { .. }
            | RunEvent::StateKept { .. }
            | RunEvent::Failing { .. }
            | RunEvent::Waiting { .. }
            | RunEvent::MachineState { .. }
            | RunEvent::Collected { .. }
            | RunEvent::Paused { .. }
            | RunEvent::Resumed { .. }
            | RunEvent::EnvironmentKept { .. }
            | RunEvent::PortalKept { .. } => {}
        }
    }

    /// A fault that was made, or, where it says so, is no more.
    fn fault(&mut self, suite: &str, scenario: &str, at: f64, text: &str) {
        if let Some(healed) = text.strip_prefix(HEALED)
            && let Some(entry) = self.entry(suite, scenario)
        {
            let is_it = |node: &&mut Node| node.text == healed && node.what == What::Fault { took: None };
            if let Some(node) = entry.nodes.iter_mut().rev().find(is_it) {
                node.what = What::Fault { took: Some(at - node.at) };
                return;
            }
        }
        self.node(suite, scenario, at, None, text.to_owned(), What::Fault { took: None });
    }

    fn suite_at(&mut self, name: &str) -> usize {
        if let Some(known) = self.suites.get(name) {
            return *known;
        }
        let at = self.account.suites.len();
        self.account.suites.push(SuiteAccount { name: name.to_owned(), ..SuiteAccount::default() });
        self.suites.insert(name.to_owned(), at);
        at
    }

    fn suite(&mut self, name: &str) -> Option<&mut SuiteAccount> {
        let at = self.suite_at(name);
        self.account.suites.get_mut(at)
    }

    /// A new entry of that name.
    fn fresh(&mut self, suite: &str, name: &str) -> Option<&mut Entry> {
        let suite = self.suite_at(suite);
        let entries = &mut self.account.suites.get_mut(suite)?.entries;
        self.entries.insert((suite, name.to_owned()), entries.len());
        entries.push(Entry { name: name.to_owned(), ..Entry::default() });
        entries.last_mut()
    }

    /// Where the newest entry of that name is.
    fn place(&self, suite: &str, name: &str) -> Option<(usize, usize)> {
        let suite = *self.suites.get(suite)?;
        Some((suite, *self.entries.get(&(suite, name.to_owned()))?))
    }

    /// The same; made where nothing was told of it, such as undoing changes, which is told only when it fails.
    fn mentioned(&mut self, suite: &str, name: &str) -> Option<(usize, usize)> {
        if self.place(suite, name).is_none() {
            self.fresh(suite, name)?;
        }
        self.place(suite, name)
    }

    /// The newest entry of that name.
    fn entry(&mut self, suite: &str, name: &str) -> Option<&mut Entry> {
        let (suite, entry) = self.mentioned(suite, name)?;
        self.account.suites.get_mut(suite)?.entries.get_mut(entry)
    }

    fn at(&mut self, (suite, entry, node): (usize, usize, usize)) -> Option<&mut Node> {
        self.account.suites.get_mut(suite)?.entries.get_mut(entry)?.nodes.get_mut(node)
    }

    /// Adds to an entry's log what belongs to the operation `span`; says where it is.
    fn node(
        &mut self,
        suite: &str,
        scenario: &str,
        at: f64,
        span: Option<u64>,
        text: String,
        what: What,
    ) -> Option<(usize, usize, usize)> {
        let (suite, entry) = self.mentioned(suite, scenario)?;
        let parent = span.and_then(|span| self.spans.get(&(suite, entry, span)).copied());
        let nodes = &mut self.account.suites.get_mut(suite)?.entries.get_mut(entry)?.nodes;
        let machine = parent.and_then(|parent| nodes.get(parent)).and_then(|parent| parent.machine.clone());
        nodes.push(Node { at, parent, machine, text, what });
        Some((suite, entry, nodes.len() - 1))
    }

    /// The part of a path below the run's folder; all of one that lies elsewhere.
    fn below(&self, path: &str) -> String {
        let folder = format!("/{}/", self.account.run);
        path.split_once(&folder).map_or(path, |(_, below)| below).to_owned()
    }
}

/// What has no end took until the last thing that is known of the run.
fn run_on(suite: &mut SuiteAccount, end: f64) {
    for entry in suite.entries.iter_mut().filter(|entry| entry.outcome.is_none()) {
        entry.seconds = end - entry.began.unwrap_or(end);
    }
    if suite.seconds == 0.0 {
        suite.seconds = end - suite.began.unwrap_or(end);
    }
}

/// Says of faults and of what a suite does first with which machine that is: the first one that they name.
fn name_machines(suite: &mut SuiteAccount) {
    let names: Vec<String> = suite.machines.iter().map(|machine| machine.name.to_string()).collect();
    let nodes = suite.entries.iter_mut().flat_map(|entry| &mut entry.nodes);
    for node in nodes.filter(|node| matches!(node.what, What::Fault { .. } | What::Progress)) {
        let is_apart = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let word = node.text.split(is_apart).find(|word| names.iter().any(|name| name == word));
        node.machine = word.map(str::to_owned);
    }
}
