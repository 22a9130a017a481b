//! A run in JUnit's form: a test suite for each suite, a test case for each scenario, and one for what else of a suite failed.
//! A scenario that passed after attempts that failed is `flakyFailure`, as Surefire has it; of one that failed each time, the first
//! attempt is the failure and the others are `rerunFailure`. What was not run is skipped, with the reason,
//! and so is what failed as was expected.
//! Pure.

use std::path::Path;

use super::{
    left::Left,
    model::{Account, Entry, SuiteAccount, Verdict, What, is_counted},
    words,
};
use crate::{
    event::Fault,
    report::{
        junit::{Counts, Document, properties, seconds},
        tag::Tag,
    },
};

/// Characters of a log that are told; the page and the events have all of it.
const LOG: usize = 100_000;

/// The document of a run whose files lie in `folder`.
pub(super) fn document(account: &Account, left: &Left, folder: &Path) -> String {
    let millis = words::millis(account.seconds);
    let mut document = Document::new(&account.run, Some(words::utc(account.began)), millis);
    for suite in &account.suites {
        let mut counts = Counts { millis: words::millis(suite.seconds), ..Counts::default() };
        let mut names: Vec<&str> = Vec::new();
        let entries = suite.entries.iter().filter(|entry| is_counted(entry));
        let cases = entries.map(|entry| {
            let count = names.iter().filter(|name| **name == entry.name.as_str()).count();
            names.push(entry.name.as_str());
            let name =
                if count == 0 { entry.name.clone() } else { format!("{} ({})", entry.name, count + 1) };
            case(suite, entry, &name, &attachments(suite, entry, left, folder), &mut counts)
        });
        let cases = cases.collect();
        let began = suite.began.map(|began| words::utc(account.began + began));
        document.suite(&suite.name, began, &facts(account, suite), counts, cases);
    }
    document.text()
}

/// What is to be known of a suite.
fn facts(account: &Account, suite: &SuiteAccount) -> Vec<(&'static str, String)> {
    let mut facts = vec![("run", account.run.clone()), ("polder", account.polder.clone())];
    facts.extend(suite.place.iter().map(|place| ("place", place.clone())));
    facts.extend(suite.prefix.iter().map(|prefix| ("prefix", prefix.clone())));
    for machine in &suite.machines {
        let addresses: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
        facts.push(("machine", format!("{} {}", machine.name, addresses.join(" ")).trim_end().to_owned()));
        facts.extend(machine.image.iter().map(|image| ("image", format!("{} {image}", machine.name))));
    }
    facts.extend(suite.portal.iter().map(|portal| ("portal", portal.clone())));
    if let Some(usage) = suite.usage {
        facts.push(("cpu_seconds", format!("{:.1}", usage.cpu_seconds)));
        facts.push(("peak_memory_mib", format!("{:.0}", usage.peak_memory_mib)));
    }
    facts
}

fn case(suite: &SuiteAccount, entry: &Entry, name: &str, attached: &str, counts: &mut Counts) -> Tag {
    counts.tests += 1;
    let case = Tag::new("testcase").with("name", name).with("classname", &suite.name);
    let mut case = case.with("time", seconds(words::millis(entry.seconds)));
    if let Some((file, line)) = entry.place.as_deref().and_then(words::file_and_line) {
        case = case.with("file", file).with("line", line);
    }
    let mut own = Vec::new();
    if entry.prerequisite {
        own.push(("prerequisite", "true".to_owned()));
    }
    // With the seed where chance had a part in them.
    let faults = entry.nodes.iter().filter(|node| matches!(node.what, What::Fault { .. }));
    own.extend(faults.map(|node| ("fault", node.text.clone())));
    if !own.is_empty() {
        case = case.of([properties(&own)]);
    }
    let last = entry.fault().zip(entry.why());
    let mut tries = entry.attempts.iter().map(|attempt| (attempt.fault, attempt.error.as_str())).chain(last);
    match entry.verdict() {
        Verdict::Failed | Verdict::Unfinished => {
            let first = tries.next().into_iter().map(|(fault, error)| {
                let (name, count) = match fault {
                    Fault::Product => ("failure", &mut counts.failures),
                    Fault::Environment | Fault::Harness => ("error", &mut counts.errors),
                };
                *count += 1;
                failure(name, fault, error).text(error)
            });
            case = case.of(first).of(again("rerun", tries));
        }
        Verdict::Passed | Verdict::Flaky => case = case.of(again("flaky", tries)),
        verdict @ (Verdict::NotRun | Verdict::Ignored | Verdict::Expected) => {
            counts.skipped += 1;
            let (kind, known) = (verdict.word(), entry.expected());
            let why = known.as_deref().or_else(|| entry.why());
            let message = why.map_or_else(|| kind.to_owned(), |why| format!("{kind}: {why}"));
            case = case.of([Tag::new("skipped").with("message", message)]);
        }
    }
    let wants_log =
        matches!(entry.verdict(), Verdict::Failed | Verdict::Unfinished | Verdict::Flaky | Verdict::Expected);
    let log = if wants_log { shortened(entry.log()) } else { String::new() };
    if !log.is_empty() || !attached.is_empty() {
        case = case.of([Tag::new("system-out").text(log + attached)]);
    }
    case
}

/// Attempts beside the one that counts.
fn again<'a>(how: &str, tries: impl Iterator<Item = (Fault, &'a str)>) -> Vec<Tag> {
    let tries = tries.map(|(fault, error)| {
        let name = match (how, fault) {
            ("rerun", Fault::Product) => "rerunFailure",
            ("rerun", _) => "rerunError",
            (_, Fault::Product) => "flakyFailure",
            _ => "flakyError",
        };
        failure(name, fault, error).of([Tag::new("stackTrace").text(error)])
    });
    tries.collect()
}

fn failure(name: &'static str, fault: Fault, error: &str) -> Tag {
    let kind = match fault {
        Fault::Product => "product",
        Fault::Environment => "environment",
        Fault::Harness => "harness",
    };
    let said = words::headline(error);
    let message = match words::cause(error) {
        Some(cause) => format!("{said}: {cause}"),
        None => said.to_owned(),
    };
    let message =
        words::place(error).map_or_else(|| message.clone(), |place| format!("{message} (at {place})"));
    Tag::new(name).with("message", message).with("type", kind)
}

/// A line for each file, as those who run many tests take them.
fn attachments(suite: &SuiteAccount, entry: &Entry, left: &Left, folder: &Path) -> String {
    let own = left.entry(&suite.name, &entry.name).map(|left| left.files.iter().map(|file| &file.path));
    let archive = left.suite(&suite.name).and_then(|left| left.archive.as_ref());
    let archive = archive.filter(|_| entry.verdict().is_bad());
    let changes = entry.changes.iter().map(|change| &change.report);
    let paths = own.into_iter().flatten().chain(archive).chain(changes);
    paths.map(|path| format!("[[ATTACHMENT|{}]]\n", folder.join(path).display())).collect()
}

fn shortened(log: String) -> String {
    let Some((from, _)) = log.char_indices().rev().nth(LOG) else { return log };
    let end = log.get(from..).and_then(|end| end.split_once('\n')).map_or("", |(_, end)| end);
    format!("(its end)\n{end}")
}
