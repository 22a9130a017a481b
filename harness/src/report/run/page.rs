//! A run as a page for people, whole in one file: what failed and why comes first, then the timeline, then every suite. All is
//! there at once in short; what belongs to an entry is put into it when somebody opens it. Pure.

use super::{
    data,
    left::Left,
    model::{Account, Counts, Entry, SuiteAccount, Verdict, What},
    words,
};
use crate::{
    event::Fault,
    report::{
        frame::{self, state},
        tag::Tag,
    },
};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// How many failures are listed at the top, and lines of each.
const LISTED: usize = 50;
const LINES: usize = 8;

/// The page; `notes` are what is to be known of the report itself.
pub(super) fn document(account: &Account, left: &Left, notes: &[String]) -> String {
    let title = format!("{}: {}", account.run, Counts::of(account.entries().map(|(_, entry)| entry)).words());
    let skip = Tag::new("a").with("class", "skip").with("href", "#suites").text("To the suites");
    let main = Tag::new("main").of(failures(account)).of([tools(), timeline()]).of([suites(account, left)]);
    let body = [skip, header(account, notes), main].into_iter().chain(data::pieces(account, left));
    frame::page(&title, STYLE, Some(SCRIPT), body)
}

fn header(account: &Account, notes: &[String]) -> Tag {
    let counts = Counts::of(account.entries().map(|(_, entry)| entry));
    let (word, class) = match (counts.failed + counts.unfinished, account.stopped, account.finished) {
        (0, false, true) => ("passed", "good"),
        (0, true, _) => ("stopped", "warn"),
        (0, false, false) => ("not finished", "warn"),
        _ => ("failed", "bad"),
    };
    let seed = account.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
    let when = format!(
        "{}, {}, suites: {}, Polder {}{seed}",
        words::utc(account.began),
        words::time(account.seconds),
        account.suites.len(),
        account.polder
    );
    let counts =
        Tag::new("p").with("class", "counts").of([state(word, class)]).text(format!(" {}", counts.words()));
    let note = |note: &String| Tag::new("p").with("class", "warn").text(note);
    Tag::new("header")
        .of([Tag::new("h1").text(format!("Run {}", account.run)), counts])
        .of([Tag::new("p").with("class", "soft").text(when)])
        .of(notes.iter().map(note))
}

/// What failed, with why, and ways to it.
fn failures(account: &Account) -> Option<Tag> {
    let all = account.entries().enumerate();
    let bad: Vec<_> = all.filter(|(_, (_, entry))| entry.verdict().is_bad()).collect();
    if bad.is_empty() {
        return None;
    }
    let item = |(number, (suite, entry)): &(usize, (&SuiteAccount, &Entry))| {
        let name = format!("{}::{}", suite.name, entry.name);
        let link = Tag::new("a").with("href", format!("#e{number}")).text(name);
        let error = entry.why().unwrap_or_default();
        let whose = match entry.fault() {
            Some(Fault::Environment) => " environment",
            Some(Fault::Harness) if entry.outcome.is_some() => " Polder itself",
            _ => "",
        };
        let after = if entry.attempts.is_empty() {
            String::new()
        } else {
            format!(" {} attempts", entry.attempts.len() + 1)
        };
        let note = Tag::new("span")
            .with("class", "soft")
            .text(format!("{whose}{after} {}", words::time(entry.seconds)));
        let more = meanwhile(suite, entry);
        let more = (!more.is_empty()).then(|| Tag::new("p").with("class", "soft").text(more.join("; ")));
        Tag::new("li")
            .of([link, note, Tag::new("pre").with("tabindex", "0").text(words::excerpt(error, LINES))])
            .of(more)
    };
    let more = bad.len().saturating_sub(LISTED);
    let more = (more > 0).then(|| Tag::new("li").text(format!("and {more} more, below")));
    let list = Tag::new("ul")
        .with("class", "failures")
        .with("tabindex", "0")
        .of(bad.iter().take(LISTED).map(item))
        .of(more);
    let title = Tag::new("h2").with("id", "failures").text("What failed");
    Some(Tag::new("section").with("aria-labelledby", "failures").of([title, list, again()]))
}

/// What to do next.
fn again() -> Tag {
    let code = |text: &str| Tag::new("code").text(text);
    let part = |text: &str| Tag::new("span").text(text);
    Tag::new("p").with("class", "soft").of([
        part("One of them again: "),
        code("cargo test -- --exact NAME"),
        part(". With "),
        code("POLDER_KEEP=failed"),
        part(" before it, its machines stay as they are then, and "),
        code("polder enter"),
        part(" leads into them."),
    ])
}

/// What else is to be known of a failure at once: what was done to machines on purpose, what trouble they had, and what was not
/// run because of it.
fn meanwhile(suite: &SuiteAccount, entry: &Entry) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for node in &entry.nodes {
        let said = match node.what {
            What::Fault { .. } => format!("done on purpose: {}", words::headline(&node.text)),
            // It is in the error as well where it is to blame.
            What::Trouble { expected: false } => {
                let machine = node.machine.as_deref().unwrap_or_default();
                format!("trouble of {machine}: {}", words::headline(&node.text))
            }
            _ => continue,
        };
        if !told.contains(&said) && told.len() < LINES {
            told.push(said);
        }
    }
    let needs = format!("needs `{}`", entry.name);
    let waits = |other: &&Entry| {
        other.verdict() == Verdict::NotRun && other.why().is_some_and(|why| why.starts_with(&needs))
    };
    let waiting: Vec<&str> = suite.entries.iter().filter(waits).map(|other| other.name.as_str()).collect();
    if !waiting.is_empty() {
        told.push(format!("not run because of it: {}", waiting.join(", ")));
    }
    told
}

/// What is looked for, and which entries are shown.
fn tools() -> Tag {
    let search = Tag::new("label").text("Find ").of([Tag::new("input")
        .with("type", "search")
        .with("id", "find")
        .with("placeholder", "in names, errors and logs")]);
    let all = [
        Verdict::Failed,
        Verdict::Unfinished,
        Verdict::Flaky,
        Verdict::Passed,
        Verdict::Expected,
        Verdict::NotRun,
        Verdict::Ignored,
    ];
    let choice = |verdict: Verdict| {
        let id = class(verdict).1;
        let input = Tag::new("input").with("type", "checkbox").with("value", id).with("checked", "checked");
        Tag::new("label").with("class", "choice").of([input]).text(format!(" {}", verdict.word()))
    };
    let found = Tag::new("span").with("id", "found").with("role", "status");
    Tag::new("div")
        .with("class", "tool")
        .with("role", "search")
        .of([search])
        .of(all.map(choice))
        .of([Tag::new("button").with("type", "button").with("id", "close").text("Close all"), found])
}

/// The place of the timeline, which the script draws.
fn timeline() -> Tag {
    let title = Tag::new("h2").with("id", "timeline-title").text("Timeline");
    let without =
        Tag::new("noscript").text("It is drawn by this page's script, and so is what entries open to.");
    let place = Tag::new("div").with("id", "timeline");
    Tag::new("section").with("aria-labelledby", "timeline-title").of([title, without, place])
}

fn suites(account: &Account, left: &Left) -> Tag {
    let mut sections: Vec<(bool, Tag)> = Vec::new();
    let mut first = 0;
    for (at, suite) in account.suites.iter().enumerate() {
        let is_bad = suite.entries.iter().any(|entry| entry.verdict().is_bad());
        sections.push((!is_bad, suite_section(at, suite, first, left)));
        first += suite.entries.len();
    }
    // Those with failures first; otherwise as they were run.
    sections.sort_by_key(|(is_good, _)| *is_good);
    Tag::new("div").with("id", "suites").of(sections.into_iter().map(|(_, section)| section))
}

/// A suite, whose first entry has that number.
fn suite_section(at: usize, suite: &SuiteAccount, first: usize, left: &Left) -> Tag {
    let counts = match suite.began {
        None if suite.entries.is_empty() => "not begun".to_owned(),
        _ => Counts::of(&suite.entries).words(),
    };
    let title = Tag::new("h2").with("id", format!("s{at}")).text(&suite.name);
    let note = format!("{counts}, {}", words::time(suite.seconds));
    let mut facts: Vec<(&str, String)> = Vec::new();
    facts.extend(suite.place.iter().map(|place| ("Written in", place.clone())));
    let machines: Vec<String> = suite
        .machines
        .iter()
        .map(|machine| {
            let image = machine.image.as_ref().map(|image| format!(" ({image})")).unwrap_or_default();
            let addresses: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
            format!("{}{image} {}", machine.name, addresses.join(" ")).trim_end().to_owned()
        })
        .collect();
    if !machines.is_empty() {
        facts.push(("Machines", machines.join("\n")));
    }
    facts.extend(suite.prefix.iter().map(|prefix| ("Prefix", prefix.clone())));
    facts.extend(suite.portal.iter().map(|portal| ("Portal", portal.clone())));
    facts.extend(suite.usage.iter().map(|usage| {
        let (cpu, memory) = (usage.cpu_seconds, usage.peak_memory_mib);
        ("Used", format!("{cpu:.1} s of processors, at most {memory:.0} MiB of memory"))
    }));
    let facts =
        facts.into_iter().flat_map(|(name, value)| [Tag::new("dt").text(name), Tag::new("dd").text(value)]);
    let left = left.suite(&suite.name);
    let part = |what: &str, words: String| {
        let summary = Tag::new("summary").text(words);
        Tag::new("details").with("class", "part").with("data-part", what).with("data-suite", at).of([summary])
    };
    let mut parts = Vec::new();
    if !suite.machines.is_empty() {
        parts.push(part("lanes", format!("Timeline of machines ({})", suite.machines.len())));
    }
    if let Some(count) = left.map(|left| left.consoles.len()).filter(|count| *count > 0) {
        parts.push(part("consoles", format!("Ends of consoles ({count})")));
    }
    if let Some(left) = left.filter(|left| left.archive.is_some()) {
        parts.push(part("calls", format!("Questions to the portal ({})", left.calls.len())));
    }
    let mut entries: Vec<(usize, &Entry)> = (first..).zip(&suite.entries).collect();
    entries.sort_by_key(|(_, entry)| !entry.verdict().is_bad());
    Tag::new("section")
        .with("aria-labelledby", format!("s{at}"))
        .of([title, Tag::new("p").with("class", "note").text(note), Tag::new("dl").of(facts)])
        .of(parts)
        .of(entries.into_iter().map(|(number, entry)| entry_details(number, entry)))
}

/// How an entry looks: its colour, its name for the script, and a sign for those who see no colours.
const fn class(verdict: Verdict) -> (&'static str, &'static str, &'static str) {
    match verdict {
        Verdict::Failed => ("bad", "failed", "✗"),
        Verdict::Unfinished => ("bad", "unfinished", "?"),
        Verdict::Flaky => ("warn", "flaky", "~"),
        Verdict::Passed => ("good", "passed", "✓"),
        Verdict::Expected => ("warn", "expected", "!"),
        Verdict::NotRun => ("none", "not_run", "–"),
        Verdict::Ignored => ("none", "ignored", "–"),
    }
}

fn entry_details(number: usize, entry: &Entry) -> Tag {
    let verdict = entry.verdict();
    let (look, id, sign) = class(verdict);
    let mut note = String::new();
    if entry.began.is_some() {
        note += &format!(" {}", words::time(entry.seconds));
    }
    if entry.prerequisite {
        note += ", prerequisite";
    }
    if !entry.attempts.is_empty() {
        note += &format!(", {} attempts", entry.attempts.len() + 1);
    }
    if let Some(why) = entry.expected().as_deref().or_else(|| entry.why()) {
        note += &format!(": {}", words::headline(why));
    }
    let summary = Tag::new("summary")
        .of([state(&format!("{sign} {}", verdict.word()), look)])
        .text(format!(" {}", entry.name))
        .of([Tag::new("span").with("class", "took").text(note)]);
    Tag::new("details")
        .with("class", "entry")
        .with("id", format!("e{number}"))
        .with("data-verdict", id)
        .of([summary])
}
