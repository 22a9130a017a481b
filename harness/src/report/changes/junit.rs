//! A run of changes in JUnit's form: a test suite for each change and each verified scenario, a test case for each phase of each
//! device and row, and one for each thing that is left changed. Of a phase that was tried several times the last try counts, and
//! none where the device is as it should be in the end.
//! Pure.

use super::{
    model::{Account, Alerted, DeviceAccount, How, PhaseAccount, ScenarioAccount, StepAccount},
    tag::Tag,
};
use crate::change::{Kind, model::Phase};

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    millis: u64,
}

/// The document.
pub(super) fn document(account: &Account) -> String {
    let mut all = Counts::default();
    let mut suites = Vec::new();
    for step in &account.steps {
        let alerts = account.alerts.iter().filter(|alert| alert.step == step.name);
        suites.push(step_suite(account, step, alerts, &mut all));
    }
    suites.extend(account.scenarios.iter().map(|scenario| scenario_suite(account, scenario, &mut all)));
    let root = all.on(Tag::new("testsuites").with("name", &account.name));
    let root = root.with("time", seconds(account.took));
    let root = account.began.iter().fold(root, |root, at| root.with("timestamp", at));
    root.of(suites).document("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
}

fn step_suite<'a>(
    account: &Account,
    step: &StepAccount,
    alerts: impl Iterator<Item = &'a Alerted>,
    all: &mut Counts,
) -> Tag {
    let mut counts = Counts::default();
    let mut cases = Vec::new();
    for device in &step.devices {
        let is_good = matches!(device.result, "ok" | "already");
        for tries in tried(&device.phases) {
            cases.extend(case(&step.name, &device.device, &tries, is_good, &mut counts));
        }
    }
    for alert in alerts {
        counts.tests += 1;
        counts.errors += 1;
        let name = format!("{}: left changed", place(&alert.device, alert.row));
        let error = Tag::new("error").with("message", &alert.why).with("type", "dirty").text(&alert.tail);
        cases.push(
            Tag::new("testcase")
                .with("name", name)
                .with("classname", &step.name)
                .with("time", "0")
                .of([error]),
        );
    }
    let mut properties = vec![("state", step.state.to_string()), ("attempts", step.attempts.to_string())];
    properties.extend(
        step.devices
            .iter()
            .map(|DeviceAccount { device, result, .. }| ("device", format!("{device} {result}"))),
    );
    suite(account, &step.name, &properties, cases, counts, all)
}

fn scenario_suite(account: &Account, scenario: &ScenarioAccount, all: &mut Counts) -> Tag {
    let mut counts = Counts::default();
    let tried = tried(&scenario.phases);
    let cases = tried.iter().flat_map(|tries| case(&scenario.name, "scenario", tries, false, &mut counts));
    let cases = cases.collect();
    suite(account, &scenario.name, &[], cases, counts, all)
}

fn suite(
    account: &Account,
    name: &str,
    properties: &[(&'static str, String)],
    cases: Vec<Tag>,
    counts: Counts,
    all: &mut Counts,
) -> Tag {
    all.tests += counts.tests;
    all.failures += counts.failures;
    all.errors += counts.errors;
    all.skipped += counts.skipped;
    let suite = counts.on(Tag::new("testsuite").with("name", name)).with("time", seconds(counts.millis));
    let suite = account.began.iter().fold(suite, |suite, at| suite.with("timestamp", at));
    let own = [("run", account.run.clone())];
    let properties = own.iter().chain(properties);
    let properties =
        properties.map(|(name, value)| Tag::new("property").with("name", name).with("value", value));
    suite.of([Tag::new("properties").of(properties)]).of(cases)
}

/// The tries of each phase of each row, in the order of the first ones.
fn tried(phases: &[PhaseAccount]) -> Vec<Vec<&PhaseAccount>> {
    let mut found: Vec<Vec<&PhaseAccount>> = Vec::new();
    for phase in phases {
        let same = |tries: &&mut Vec<&PhaseAccount>| {
            tries.first().is_some_and(|first| first.phase == phase.phase && first.row == phase.row)
        };
        match found.iter_mut().find(same) {
            Some(tries) => tries.push(phase),
            None => found.push(vec![phase]),
        }
    }
    found
}

/// A test case; `in_the_end` if its device is as it should be, whatever failed on the way.
fn case(
    suite: &str,
    device: &str,
    tries: &[&PhaseAccount],
    in_the_end: bool,
    counts: &mut Counts,
) -> Option<Tag> {
    let (last, before) = tries.split_last()?;
    let took: u64 = tries.iter().filter_map(|phase| phase.took).sum();
    counts.tests += 1;
    counts.millis += took;
    let name = format!("{}: {}", place(device, last.row), last.phase);
    let mut case =
        Tag::new("testcase").with("name", name).with("classname", suite).with("time", seconds(took));
    let is_bad = |phase: &PhaseAccount| matches!(phase.how, How::Failed | How::Interrupted);
    let is_good = matches!(last.how, How::Ok | How::Already) || in_the_end && is_bad(last);
    let before = if is_good { tries } else { before };
    match last.how {
        _ if is_good => {}
        _ if is_bad(last) => {
            counts.failures += 1;
            case = case.of([failure("failure", last)]);
        }
        _ => {
            counts.skipped += 1;
            let why = if last.message.is_empty() { last.how.word() } else { &last.message };
            case = case.of([Tag::new("skipped").with("message", why)]);
        }
    }
    let bad = before.iter().filter(|phase| is_bad(phase));
    case = case.of(bad.map(|phase| failure(if is_good { "flakyFailure" } else { "rerunFailure" }, phase)));
    let told: Vec<String> = tries.iter().map(|phase| told(phase)).filter(|told| !told.is_empty()).collect();
    if !told.is_empty() {
        case = case.of([Tag::new("system-out").text(told.join("\n"))]);
    }
    Some(case)
}

fn failure(name: &'static str, phase: &PhaseAccount) -> Tag {
    let kind = phase.kind.map_or("interrupted".to_owned(), word);
    Tag::new(name).with("message", &phase.message).with("type", kind).text(&phase.transcript)
}

/// What is to be known of a try: when it was, why something was undone, and what was said.
fn told(phase: &PhaseAccount) -> String {
    if phase.began.is_empty() {
        return String::new();
    }
    let mut text = format!("{}, attempt {}: {}\n", phase.began, phase.attempt, phase.how.word());
    if Phase::BACK.contains(&phase.phase) {
        text += &format!("after: {}\n", phase.after);
    }
    text + &phase.transcript
}

fn place(device: &str, row: Option<usize>) -> String {
    match row {
        Some(row) => format!("{device} row {row}"),
        None => device.to_owned(),
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// The word that journals have for it.
fn word(kind: Kind) -> String {
    serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Counts {
    fn on(self, tag: Tag) -> Tag {
        tag.with("tests", self.tests)
            .with("failures", self.failures)
            .with("errors", self.errors)
            .with("skipped", self.skipped)
    }
}
