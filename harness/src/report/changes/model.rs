//! What became of a run of changes: its journal and transcript, folded. Pure.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::transcript::Transcript;
use crate::{
    base::time::Utc,
    change::{
        DeviceReport, Entry, Key, Kind, Outcome, Plan, Record, Recorded, Report, State, StepReport,
        model::Phase, plan::PlannedStep,
    },
};

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Account {
    /// The outermost scenario.
    pub(crate) name: String,
    /// The run.
    pub(crate) run: String,
    pub(crate) file: Option<PathBuf>,
    pub(crate) state: State,
    /// How a process ends that brought this about.
    pub(crate) exit: u8,
    /// Whether everything was to be undone.
    pub(crate) undone: bool,
    pub(crate) stopped: Option<String>,
    pub(crate) summary: String,
    pub(crate) began: Option<String>,
    pub(crate) ended: Option<String>,
    /// Milliseconds from the first thing that happened to the last.
    pub(crate) took: u64,
    /// What is left changed, and needs a person.
    pub(crate) alerts: Vec<Alerted>,
    /// Scenarios that were verified.
    pub(crate) scenarios: Vec<ScenarioAccount>,
    /// The changes in the order of the plan.
    pub(crate) steps: Vec<StepAccount>,
}

/// Something that is left changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Alerted {
    pub(crate) step: String,
    pub(crate) device: String,
    /// The number of the row, from 1.
    pub(crate) row: Option<usize>,
    pub(crate) why: String,
    /// What failed last, and the end of what the device said then.
    pub(crate) phase: Option<Phase>,
    pub(crate) tail: String,
}

/// A scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ScenarioAccount {
    pub(crate) name: String,
    pub(crate) phases: Vec<PhaseAccount>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StepAccount {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) attempts: u32,
    /// Whether it had no device and no row, and so did nothing.
    pub(crate) empty: bool,
    pub(crate) devices: Vec<DeviceAccount>,
}

/// A device of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DeviceAccount {
    pub(crate) device: String,
    pub(crate) result: &'static str,
    pub(crate) why: Vec<String>,
    pub(crate) tail: String,
    /// What was done, in the order in which it began; then what was not.
    pub(crate) phases: Vec<PhaseAccount>,
}

/// A phase of a change on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PhaseAccount {
    pub(crate) phase: Phase,
    /// The number of the row, from 1.
    pub(crate) row: Option<usize>,
    pub(crate) attempt: u32,
    pub(crate) how: How,
    /// What went wrong, or why it was not done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<Kind>,
    /// Of what undoes something: after what.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) after: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) began: String,
    /// How long it took, in milliseconds.
    pub(crate) took: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) transcript: String,
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    Ok,
    /// There was nothing to do.
    Already,
    Failed,
    /// Nobody knows: its process ended before it did.
    Interrupted,
    UnderWay,
    NotDone,
}

impl How {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Already => "already there",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::UnderWay => "under way",
            Self::NotDone => "not done",
        }
    }
}

impl Account {
    /// Of a run of `plan`, of which `report` is what became of it; `is_busy` if somebody still works on it.
    pub(crate) fn new(
        plan: &Plan,
        report: &Report,
        recorded: &Recorded,
        transcript: &str,
        is_busy: bool,
    ) -> Self {
        let mut fold = Fold {
            transcript: Transcript::new(transcript),
            phases: HashMap::new(),
            alerts: Vec::new(),
            undoing: recorded.head.backout_only,
        };
        recorded.entries.iter().for_each(|entry| fold.take(entry));
        if !is_busy {
            fold.interrupt();
        }
        let Fold { mut phases, alerts, .. } = fold;
        let mut of = |step: &str, device: &str| phases.remove(&(step.to_owned(), device.to_owned()));
        let planned: HashMap<&str, &PlannedStep> =
            plan.steps().into_iter().map(|planned| (planned.step.name.as_str(), planned)).collect();
        let steps = report.steps.iter().map(|step| {
            let planned = planned.get(step.name.as_str()).copied();
            let devices = step.devices.iter().map(|device| {
                let mut phases = of(&step.name, &device.device).unwrap_or_default();
                let why = why_not(step, device, report, recorded.head.backout_only);
                let missing = planned.map(|planned| not_done(planned, device, &phases, &why));
                phases.extend(missing.into_iter().flatten());
                let DeviceReport { device, result, why, tail } = device.clone();
                DeviceAccount { device, result, why, tail, phases }
            });
            let (name, devices) = (step.name.clone(), devices.collect());
            StepAccount { name, state: step.state, attempts: step.attempts, empty: step.empty, devices }
        });
        let steps = steps.collect();
        let scenarios = phases.into_iter().filter(|((_, device), _)| device.is_empty());
        let mut scenarios: Vec<ScenarioAccount> =
            scenarios.map(|((name, _), phases)| ScenarioAccount { name, phases }).collect();
        scenarios.sort_by(|a, b| a.name.cmp(&b.name));
        let [first, last] = [recorded.entries.first(), recorded.entries.last()].map(|e| e.map(|e| e.at));
        Self {
            name: plan.root.name.clone(),
            run: recorded.folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            file: recorded.head.file.clone(),
            state: report.state,
            exit: report.exit() as u8,
            undone: report.undone,
            stopped: report.stopped.clone(),
            summary: report.summary(),
            began: first.map(utc),
            ended: last.map(utc),
            took: last.zip(first).map_or(0, |(last, first)| last.saturating_sub(first)),
            alerts,
            scenarios,
            steps,
        }
    }
}

struct Fold<'t> {
    transcript: Transcript<'t>,
    /// By change or scenario, and device.
    phases: HashMap<(String, String), Vec<PhaseAccount>>,
    alerts: Vec<Alerted>,
    undoing: bool,
}

impl Fold<'_> {
    fn take(&mut self, entry: &Entry) {
        match &entry.record {
            Record::Begin { key, phase, .. } => self.begin(entry.at, key, *phase),
            Record::End { key, phase, outcome, took } => self.end(entry.at, key, *phase, outcome, *took),
            Record::Dirty { key, why } => self.alert(key, why.clone()),
            Record::Resumed | Record::Undo => {
                self.interrupt();
                if entry.record == Record::Undo {
                    self.undoing = true;
                    // What could not be undone before is tried once more.
                    self.alerts.clear();
                }
            }
            Record::Stopped { .. } | Record::Over { .. } => {}
        }
    }

    /// Nobody goes on with what is under way.
    fn interrupt(&mut self) {
        for phase in self.phases.values_mut().flatten().filter(|phase| phase.how == How::UnderWay) {
            phase.how = How::Interrupted;
            "its process ended before it did".clone_into(&mut phase.message);
        }
    }

    fn begin(&mut self, at: u64, key: &Key, phase: Phase) {
        let of = self.phases.entry((key.step.clone(), key.device.clone())).or_default();
        let failed = of
            .iter()
            .rfind(|p| !Phase::BACK.contains(&p.phase) && matches!(p.how, How::Failed | How::Interrupted));
        let after = match failed {
            _ if !Phase::BACK.contains(&phase) => String::new(),
            _ if self.undoing => "all of the run was to be undone".to_owned(),
            Some(failed) => format!("{} {}: {}", failed.phase, failed.how.word(), failed.message),
            None => "something else failed, and all of it was to be undone then".to_owned(),
        };
        of.push(PhaseAccount {
            phase,
            row: key.row.map(|row| row + 1),
            attempt: key.attempt,
            how: How::UnderWay,
            message: String::new(),
            kind: None,
            after,
            began: utc(at),
            took: None,
            transcript: String::new(),
        });
    }

    fn end(&mut self, at: u64, key: &Key, phase: Phase, outcome: &Outcome, took: u64) {
        let (of, row) = ((key.step.clone(), key.device.clone()), key.row.map(|row| row + 1));
        let is_it = |p: &PhaseAccount| p.phase == phase && p.row == row && p.how == How::UnderWay;
        // What the operator refused never began.
        if !self.phases.get(&of).is_some_and(|phases| phases.iter().any(is_it)) {
            self.begin(at, key, phase);
        }
        let Some(open) = self.phases.get_mut(&of).into_iter().flatten().rfind(|p| is_it(p)) else { return };
        open.took = Some(took);
        // What broke down inside of us is in no transcript.
        if !matches!(outcome, Outcome::Failed(failure) if failure.kind == Kind::Internal) {
            self.transcript.of(key, phase, &open.began).clone_into(&mut open.transcript);
        }
        match outcome {
            Outcome::Ok { .. } => open.how = How::Ok,
            Outcome::Already => open.how = How::Already,
            Outcome::Failed(failure) => {
                (open.how, open.kind) = (How::Failed, Some(failure.kind));
                open.message.clone_from(&failure.message);
                // What a driver said that broke down is in no transcript.
                if open.transcript.is_empty() {
                    open.transcript.clone_from(&failure.tail);
                }
                if Phase::BACK.contains(&phase) {
                    self.alert(key, format!("it could not be undone, {phase} failed: {}", failure.message));
                }
            }
        }
    }

    fn alert(&mut self, key: &Key, why: String) {
        let of = self.phases.get(&(key.step.clone(), key.device.clone()));
        let last = of.into_iter().flatten().rfind(|phase| phase.how == How::Failed);
        self.alerts.push(Alerted {
            step: key.step.clone(),
            device: key.device.clone(),
            row: key.row.map(|row| row + 1),
            why,
            phase: last.map(|phase| phase.phase),
            tail: last.map(|phase| phase.transcript.clone()).unwrap_or_default(),
        });
    }
}

/// The phases of a device that the plan has, and that never began.
fn not_done(
    planned: &PlannedStep,
    device: &DeviceReport,
    done: &[PhaseAccount],
    why: &str,
) -> Vec<PhaseAccount> {
    let rows = planned.units.iter().filter(|unit| unit.device == device.device);
    let rows = rows.map(|unit| unit.row.map(|row| row + 1));
    let has = |phase: &&Phase| planned.step.script(**phase, 0).is_some();
    let all = rows.flat_map(|row| Phase::FORWARD.iter().filter(has).map(move |phase| (row, *phase)));
    let missing = all.filter(|(row, phase)| !done.iter().any(|p| p.row == *row && p.phase == *phase));
    let account = |(row, phase)| PhaseAccount {
        phase,
        row,
        attempt: 0,
        how: How::NotDone,
        message: why.to_owned(),
        kind: None,
        after: String::new(),
        began: String::new(),
        took: None,
        transcript: String::new(),
    };
    missing.map(account).collect()
}

/// Why phases of a device did not begin.
fn why_not(step: &StepReport, device: &DeviceReport, report: &Report, backout_only: bool) -> String {
    match (step.state, device.result) {
        (State::Skipped, _) => "left out, and taken for done".to_owned(),
        _ if backout_only => "taken for done, to be undone".to_owned(),
        (_, "already") => "there was nothing to do".to_owned(),
        (_, "ok") => "it was not needed".to_owned(),
        (_, "not_attempted" | "running") if report.stopped.is_some() => {
            format!("stopped: {}", report.stopped.as_deref().unwrap_or_default())
        }
        (State::NotAttempted, _) => "something before it failed".to_owned(),
        (_, "not_attempted") => "another device failed".to_owned(),
        (_, "running") => "it is not its turn yet".to_owned(),
        _ => "something failed before it".to_owned(),
    }
}

fn utc(at: u64) -> String {
    Utc::from(SystemTime::UNIX_EPOCH + Duration::from_millis(at)).to_string()
}
