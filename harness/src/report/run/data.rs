//! What a page knows beside what it shows at once: a piece for the whole run, for each suite and for each entry, which is read
//! when somebody opens it. Pure.

use serde::Serialize;

use super::{
    left::{Call, ConsoleEnd, EntryLeft, Left, SuiteLeft},
    model::{Account, Attempt, ChangeOf, Entry, Node, PhaseOf, SuiteAccount, Verdict},
    words,
};
use crate::{event::Fault, report::tag::Tag};

/// Nodes of a log that are kept, of what somebody has to look at and of what went well: the last ones tell most.
const KEPT: usize = 5_000;
const KEPT_OF_GOOD: usize = 200;

/// What the timeline of the whole run is drawn from.
#[derive(Serialize)]
struct Index<'a> {
    seconds: f64,
    suites: Vec<&'a str>,
    entries: Vec<Bar<'a>>,
}

/// A bar of the timeline.
#[derive(Serialize)]
struct Bar<'a> {
    suite: usize,
    name: &'a str,
    verdict: Verdict,
    began: Option<f64>,
    took: f64,
}

/// A suite.
#[derive(Serialize)]
struct SuiteData<'a> {
    began: Option<f64>,
    seconds: f64,
    machines: Vec<String>,
    consoles: &'a [ConsoleEnd],
    calls: &'a [Call],
    archive: Option<&'a str>,
}

/// An entry.
#[derive(Serialize)]
struct EntryData<'a> {
    place: Option<&'a str>,
    began: Option<f64>,
    took: f64,
    why: Option<&'a str>,
    expected: Option<String>,
    fault: Option<Fault>,
    at: Option<&'a str>,
    attempts: &'a [Attempt],
    nodes: Vec<Node>,
    /// Nodes before those.
    dropped: usize,
    phases: &'a [PhaseOf],
    changes: &'a [ChangeOf],
    left: Option<&'a EntryLeft>,
}

/// The pieces of a page.
pub(super) fn pieces(account: &Account, left: &Left) -> Vec<Tag> {
    let mut pieces = vec![piece("index".to_owned(), &index(account))];
    let mut number = 0;
    for (at, suite) in account.suites.iter().enumerate() {
        pieces.push(piece(format!("s{at}-data"), &suite_data(suite, left.suite(&suite.name))));
        for entry in &suite.entries {
            let data = entry_data(entry, left.entry(&suite.name, &entry.name));
            pieces.push(piece(format!("e{number}-data"), &data));
            number += 1;
        }
    }
    pieces
}

fn index(account: &Account) -> Index<'_> {
    let mut entries = Vec::new();
    for (suite, one) in account.suites.iter().enumerate() {
        entries.extend(one.entries.iter().map(|entry| Bar {
            suite,
            name: &entry.name,
            verdict: entry.verdict(),
            began: entry.began,
            took: entry.seconds,
        }));
    }
    let suites = account.suites.iter().map(|suite| suite.name.as_str()).collect();
    Index { seconds: account.seconds, suites, entries }
}

fn suite_data<'a>(suite: &'a SuiteAccount, left: Option<&'a SuiteLeft>) -> SuiteData<'a> {
    SuiteData {
        began: suite.began,
        seconds: suite.seconds,
        machines: suite.machines.iter().map(|machine| machine.name.to_string()).collect(),
        consoles: left.map(|left| left.consoles.as_slice()).unwrap_or_default(),
        calls: left.map(|left| left.calls.as_slice()).unwrap_or_default(),
        archive: left.and_then(|left| left.archive.as_deref()),
    }
}

fn entry_data<'a>(entry: &'a Entry, left: Option<&'a EntryLeft>) -> EntryData<'a> {
    let kept = if matches!(entry.verdict(), Verdict::Passed) { KEPT_OF_GOOD } else { KEPT };
    let dropped = entry.nodes.len().saturating_sub(kept);
    let nodes = entry.nodes.iter().skip(dropped).map(|node| {
        let parent = node.parent.and_then(|parent| parent.checked_sub(dropped));
        Node { parent, ..node.clone() }
    });
    EntryData {
        place: entry.place.as_deref(),
        began: entry.began,
        took: entry.seconds,
        why: entry.why(),
        expected: entry.expected(),
        fault: entry.fault(),
        at: entry.why().and_then(words::place),
        attempts: &entry.attempts,
        nodes: nodes.collect(),
        dropped,
        phases: &entry.phases,
        changes: &entry.changes,
        left,
    }
}

/// Data in a page, which can neither end its element nor begin another one.
fn piece(id: String, data: &impl Serialize) -> Tag {
    // Serializing values of ours to memory does not fail.
    let text = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    Tag::new("script").with("type", "application/json").with("id", id).raw(text.replace('<', "\\u003c"))
}
