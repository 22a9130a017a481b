//! A run of changes as a page for people, whole in one file: a table of devices and phases for each change, each phase opening
//! to what was said in it. What failed comes first. It has no scripts and fetches nothing. Pure.

use super::model::{Account, Alerted, DeviceAccount, How, PhaseAccount, ScenarioAccount, StepAccount};
use crate::{
    change::{State, model::Phase},
    report::{frame, tag::Tag},
};

const STYLE: &str = include_str!("page.css");
/// How many failures are listed at the top.
const LISTED: usize = 50;

/// The page.
pub(super) fn document(account: &Account) -> String {
    let (word, _) = words(account.state);
    let title = format!("{}: {word}", account.name);
    let mut steps: Vec<(usize, &StepAccount)> = account.steps.iter().enumerate().collect();
    steps.sort_by_key(|(_, step)| (step.state != State::BackoutFailed, !step.state.is_failure()));
    let main = Tag::new("main")
        .of(alerts(&account.alerts))
        .of(failures(account, &steps))
        .of(account.scenarios.iter().enumerate().map(|(at, scenario)| scenario_section(at, scenario)))
        .of(steps.iter().map(|(at, step)| step_section(account, *at, step)));
    frame::page(&title, STYLE, None, [header(account), main])
}

fn header(account: &Account) -> Tag {
    let (word, class) = words(account.state);
    let word = if account.undone { format!("undone: {word}") } else { word.to_owned() };
    let mut facts = vec![("Run", account.run.clone())];
    facts.extend(account.file.iter().map(|file| ("File", file.display().to_string())));
    facts.extend(account.began.iter().map(|at| ("Began", at.clone())));
    facts.extend(
        account.ended.iter().map(|at| ("Last news", format!("{at}, after {}", frame::time(account.took)))),
    );
    facts.push(("Exit code", account.exit.to_string()));
    facts.push(("Summary", account.summary.clone()));
    let facts =
        facts.into_iter().flat_map(|(name, value)| [Tag::new("dt").text(name), Tag::new("dd").text(value)]);
    Tag::new("header").of([
        Tag::new("h1").text(&account.name),
        Tag::new("div").of([frame::state(&word, class)]),
        Tag::new("dl").of(facts),
    ])
}

/// What needs a person.
fn alerts(alerts: &[Alerted]) -> Option<Tag> {
    let item = |alert: &Alerted| {
        let row = alert.row.map(|row| format!(" row {row}")).unwrap_or_default();
        let phase = alert.phase.map(|phase| format!("; the last failure was in {phase}")).unwrap_or_default();
        let Alerted { step, device, why, tail, .. } = alert;
        Tag::new("li").text(format!("{step} on {device}{row} is left changed: {why}{phase}")).of(said(tail))
    };
    let title = Tag::new("h2").with("id", "alerts").text("A person is needed");
    let section = Tag::new("section").with("class", "alert").with("aria-labelledby", "alerts");
    (!alerts.is_empty()).then(|| section.of([title, Tag::new("ul").of(alerts.iter().map(item))]))
}

/// What failed, with ways to it.
fn failures(account: &Account, steps: &[(usize, &StepAccount)]) -> Option<Tag> {
    let mut items: Vec<Tag> = Vec::new();
    for (at, step) in steps {
        for (number, device) in step.devices.iter().enumerate().filter(|(_, device)| is_bad(device)) {
            let what = format!("{} on {}", step.name, device.device);
            let link = Tag::new("a").with("href", format!("#c{at}-{number}")).text(what);
            let why = format!(" {}: {}", device.result.replace('_', " "), device.why.join("; "));
            items.push(Tag::new("li").of([link]).text(why));
        }
    }
    for (at, scenario) in account.scenarios.iter().enumerate().filter(|(_, scenario)| is_unverified(scenario))
    {
        let link = Tag::new("a").with("href", format!("#s{at}")).text(format!("scenario {}", scenario.name));
        let why = scenario.phases.last().map(|phase| phase.message.as_str()).unwrap_or_default();
        items.push(Tag::new("li").of([link]).text(format!(" is not verified: {why}")));
    }
    if items.is_empty() {
        return None;
    }
    let more = items.len().saturating_sub(LISTED);
    items.truncate(LISTED);
    items.extend((more > 0).then(|| Tag::new("li").text(format!("and {more} more, in the tables below"))));
    let title = Tag::new("h2").with("id", "failures").text("What failed");
    Some(Tag::new("section").with("aria-labelledby", "failures").of([title, Tag::new("ul").of(items)]))
}

fn scenario_section(at: usize, scenario: &ScenarioAccount) -> Tag {
    let title = Tag::new("h2").with("id", format!("s{at}"));
    let title = title.text(format!("Verification of the scenario {}", scenario.name));
    let section = Tag::new("section").with("aria-labelledby", format!("s{at}")).of([title]);
    section.of([Tag::new("div").with("class", "scroll").of(scenario.phases.iter().map(phase))])
}

fn step_section(account: &Account, at: usize, step: &StepAccount) -> Tag {
    let (word, class) = words(step.state);
    let title = Tag::new("h2").with("id", format!("c{at}")).text(format!("{} ", step.name));
    let title = title.of([frame::state(word, class)]);
    let mut note = format!("Change {} of {}", at + 1, account.steps.len());
    if step.attempts > 1 {
        note += &format!(", {} attempts", step.attempts);
    }
    if step.empty {
        note += ", with nothing to do it on";
    }
    let section = Tag::new("section").with("aria-labelledby", format!("c{at}"));
    let section = section.of([title, Tag::new("p").with("class", "note").text(note)]);
    section.of((!step.devices.is_empty()).then(|| table(at, step)))
}

fn table(at: usize, step: &StepAccount) -> Tag {
    let all = || step.devices.iter().flat_map(|device| &device.phases);
    let phases = Phase::FORWARD.into_iter().chain(Phase::BACK);
    let phases: Vec<Phase> = phases.filter(|phase| all().any(|found| found.phase == *phase)).collect();
    let has_rows = all().any(|phase| phase.row.is_some());
    let column = |name: &str| Tag::new("th").with("scope", "col").text(name);
    let mut columns = vec![column("device"), column("result")];
    columns.extend(has_rows.then(|| column("row")));
    columns.extend(phases.iter().map(|phase| column(&phase.name().replace('_', " "))));
    let mut devices: Vec<(usize, &DeviceAccount)> = step.devices.iter().enumerate().collect();
    devices.sort_by_key(|(_, device)| !is_bad(device));
    let bodies = devices.iter().map(|(number, device)| {
        let id = format!("c{at}-{number}");
        Tag::new("tbody").of(lines(device, &id, &phases, has_rows))
    });
    let caption = Tag::new("caption").text(format!("What was done of {} on each device", step.name));
    let head = Tag::new("thead").of([Tag::new("tr").of(columns)]);
    let table = Tag::new("table").of([caption, head]).of(bodies);
    // What can be scrolled has to be reached by keys.
    let scroll = Tag::new("div").with("class", "scroll").with("role", "region").with("tabindex", "0");
    scroll.with("aria-label", format!("devices of {}", step.name)).of([table])
}

/// A device, with a line for each row of its change.
fn lines(device: &DeviceAccount, id: &str, phases: &[Phase], has_rows: bool) -> Vec<Tag> {
    // One without any phase has a line nevertheless.
    let mut rows: Vec<Option<usize>> = device.phases.iter().map(|phase| phase.row).collect();
    rows.sort_unstable();
    rows.dedup();
    if rows.is_empty() {
        rows.push(None);
    }
    let span = rows.len();
    let line = |(number, row): (usize, Option<usize>)| {
        let mut cells = Vec::new();
        if number == 0 {
            let name = Tag::new("th").with("scope", "rowgroup").with("rowspan", span).with("id", id);
            cells.push(name.text(&device.device));
            cells.push(Tag::new("td").with("rowspan", span).of(result(device)));
        }
        let row_name =
            || Tag::new("th").with("scope", "row").text(row.map_or_else(String::new, |row| row.to_string()));
        cells.extend(has_rows.then(row_name));
        cells.extend(phases.iter().map(|wanted| {
            let tries = device.phases.iter().filter(|found| found.phase == *wanted && found.row == row);
            Tag::new("td").of(tries.map(phase))
        }));
        Tag::new("tr").of(cells)
    };
    rows.into_iter().enumerate().map(line).collect()
}

/// What became of a device, and why.
fn result(device: &DeviceAccount) -> impl Iterator<Item = Tag> {
    let class = match device.result {
        "ok" | "already" => "good",
        "rolled_back" | "running" => "warn",
        "not_attempted" => "none",
        _ => "bad",
    };
    let why = (!device.why.is_empty()).then(|| Tag::new("p").text(device.why.join("; ")));
    std::iter::once(frame::state(&device.result.replace('_', " "), class)).chain(why)
}

/// A phase, which opens to everything that is known of it.
fn phase(phase: &PhaseAccount) -> Tag {
    let (sign, class) = match phase.how {
        How::Ok | How::Already => ("✓", "good"),
        How::Failed => ("✗", "bad"),
        How::Interrupted => ("?", "bad"),
        How::UnderWay => ("…", "warn"),
        How::NotDone => ("–", "none"),
    };
    let mut short = format!("{sign} {}", phase.how.word());
    if let Some(took) = phase.took {
        short += &format!(" {}", frame::time(took));
    }
    if phase.attempt > 1 {
        short += &format!(", attempt {}", phase.attempt);
    }
    let summary = Tag::new("summary").with("class", class).text(short);
    let paragraph = |text: String| (!text.is_empty()).then(|| Tag::new("p").text(text));
    let when = match phase.began.as_str() {
        "" => String::new(),
        began => format!("{} began {began}, attempt {}", phase.phase.name().replace('_', " "), phase.attempt),
    };
    let after = if phase.after.is_empty() { String::new() } else { format!("Undone after: {}", phase.after) };
    let details = Tag::new("details").of([summary]).of(paragraph(phase.message.clone()));
    details.of(paragraph(after)).of(paragraph(when)).of(said(&phase.transcript))
}

fn said(text: &str) -> Option<Tag> {
    let text = text.trim_end();
    (!text.is_empty()).then(|| Tag::new("pre").with("tabindex", "0").text(text))
}

/// A state in words for people, and how it looks.
fn words(state: State) -> (&'static str, &'static str) {
    match state {
        State::Success => ("done", "good"),
        State::Pending | State::NotAttempted => ("not begun", "none"),
        State::PartialFailure => ("failed on some devices", "bad"),
        State::TotalFailure => ("failed, nothing was changed", "bad"),
        State::BackoutOk => ("undone", "warn"),
        State::BackoutFailed => ("could not be undone", "bad"),
        State::Retry | State::RetryPending => ("to be tried again", "warn"),
        State::Skipped => ("left out, taken for done", "none"),
        State::Running => ("not finished", "warn"),
        State::BailedOut => ("ended by the operator", "warn"),
    }
}

fn is_bad(device: &DeviceAccount) -> bool {
    match device.result {
        "ok" | "already" | "not_attempted" | "running" => false,
        "rolled_back" => !device.why.is_empty(),
        _ => true,
    }
}

fn is_unverified(scenario: &ScenarioAccount) -> bool {
    scenario.phases.last().is_some_and(|phase| phase.how == How::Failed)
}
