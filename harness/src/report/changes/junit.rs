//! A run of changes in JUnit's form: a test suite for each change and each verified scenario, a test case for each phase of each
//! device and row, and one for each thing that is left changed. Of a phase that was tried several times the last try counts, and
//! none where the device is as it should be in the end.
//! Pure.

use super::model::{Account, Alerted, DeviceAccount, How, PhaseAccount, ScenarioAccount, StepAccount};
use crate::{
    change::{Kind, model::Phase},
    report::{
        junit::{Counts, Document, seconds},
        tag::Tag,
    },
};

/// The document.
pub(super) fn document(account: &Account) -> String {
    let mut document = Document::new(&account.name, account.began.clone(), account.took);
    for step in &account.steps {
        let alerts = account.alerts.iter().filter(|alert| alert.step == step.name);
        step_suite(account, step, alerts, &mut document);
    }
    account.scenarios.iter().for_each(|scenario| scenario_suite(account, scenario, &mut document));
    document.text()
}

fn step_suite<'a>(
    account: &Account,
    step: &StepAccount,
    alerts: impl Iterator<Item = &'a Alerted>,
    document: &mut Document,
) {
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
    let mut properties = vec![
        ("run", account.run.clone()),
        ("state", step.state.to_string()),
        ("attempts", step.attempts.to_string()),
    ];
    properties.extend(
        step.devices
            .iter()
            .map(|DeviceAccount { device, result, .. }| ("device", format!("{device} {result}"))),
    );
    document.suite(&step.name, None, &properties, counts, cases);
}

fn scenario_suite(account: &Account, scenario: &ScenarioAccount, document: &mut Document) {
    let mut counts = Counts::default();
    let tried = tried(&scenario.phases);
    let cases = tried.iter().flat_map(|tries| case(&scenario.name, "scenario", tries, false, &mut counts));
    let cases = cases.collect();
    document.suite(&scenario.name, None, &[("run", account.run.clone())], counts, cases);
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

/// The word that journals have for it.
fn word(kind: Kind) -> String {
    serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
