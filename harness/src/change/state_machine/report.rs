//! What became of it all, for people and programs.

use std::fmt::Write;

use serde::Serialize;

use super::{
    device::Stand,
    layout::Kind,
    set::Machine,
    view::{DeviceView, Row, Verify},
};
use crate::{base::exit::Exit, change::state::State};

/// What became of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What became of the whole.
    pub state: State,
    /// Whether everything was to be undone.
    pub undone: bool,
    /// Why it was ended before its time.
    pub stopped: Option<String>,
    /// What became of the scenarios whose verification failed: their names, and why.
    pub unverified: Vec<(String, String)>,
    /// What became of the changes, in the order of the plan.
    pub steps: Vec<StepReport>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it had no device and no row, and so did nothing.
    pub empty: bool,
    /// What became of its devices.
    pub devices: Vec<DeviceReport>,
}

/// What became of a device of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceReport {
    /// Its name.
    pub device: String,
    /// In a word: ok, already, failed, rolled_back, rollback_failed, dirty, not_attempted, running.
    pub result: &'static str,
    /// What went wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// The end of what it said then.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

impl Machine<'_> {
    /// What has become of everything up to now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut steps = Vec::new();
        let mut unverified = Vec::new();
        for (at, (node, view)) in self.layout.nodes.iter().zip(&self.view.nodes).enumerate() {
            let Kind::Step(devices) = &node.kind else {
                if let Verify::Failed(failure) = &view.verify {
                    unverified.push((node.name.to_owned(), failure.message.clone()));
                }
                continue;
            };
            let stands = self.stands(devices, view);
            let begun = view.attempt > 0;
            let state = match self.end(at) {
                Some(state) if !self.view.undoing && !stands.contains(&Stand::Going) => state,
                _ if view.skipped => State::Skipped,
                _ if !begun => State::NotAttempted,
                _ if stands.contains(&Stand::Going) => match self.is_stopped() && !view.is_busy() {
                    true => State::BailedOut,
                    false => State::Running,
                },
                _ => self.again(at).unwrap_or_else(|| self.now(at)),
            };
            let units = devices.units.iter().filter_map(|range| devices.planned.units.get(range.start));
            let devices = units.zip(&view.devices).zip(&stands);
            let devices = devices
                .map(|((unit, view), stand)| device(&unit.device, view, *stand))
                .collect::<Vec<DeviceReport>>();
            let (name, attempts, empty) = (node.name.to_owned(), view.attempt, devices.is_empty());
            steps.push(StepReport { name, state, attempts, empty, devices });
        }
        let begun = self.view.nodes.iter().any(|node| node.attempt > 0);
        let state = self.end(0).unwrap_or(match (self.is_stopped(), begun) {
            (true, _) => State::BailedOut,
            (false, true) => State::Running,
            (false, false) => State::Pending,
        });
        let state = if self.view.undoing { self.undone(&steps) } else { state };
        Report { state, undone: self.view.undoing, stopped: self.view.stopped.clone(), unverified, steps }
    }

    /// What has become of a run that is to be undone.
    fn undone(&self, steps: &[StepReport]) -> State {
        let any = |wanted: State| steps.iter().any(|step| step.state == wanted);
        // What is not begun to be undone still looks as it did when it was done.
        let mut rows = self.view.nodes.iter().flat_map(|node| &node.devices).flat_map(|device| &device.rows);
        let owes = rows.any(Row::owes);
        if any(State::BackoutFailed) {
            State::BackoutFailed
        } else if any(State::BailedOut) || owes && self.is_stopped() {
            State::BailedOut
        } else if any(State::Running) || owes {
            State::Running
        } else {
            State::BackoutOk
        }
    }
}

fn device(name: &str, view: &DeviceView, stand: Stand) -> DeviceReport {
    let any = |what: fn(&Row) -> bool| view.rows.iter().any(what);
    let result = match stand {
        Stand::Fresh | Stand::Cut if !any(|row| row.touched) => "not_attempted",
        Stand::Fresh | Stand::Cut | Stand::Going => "running",
        Stand::Ok if !view.rows.is_empty() && view.rows.iter().all(|row| row.already) => "already",
        Stand::Ok => "ok",
        Stand::Refused => "failed",
        Stand::RolledBack => "rolled_back",
        Stand::Dirty if any(|row| row.undo_failure.is_some()) => "rollback_failed",
        Stand::Dirty => "dirty",
    };
    let (mut why, mut tail) = (Vec::new(), String::new());
    for row in &view.rows {
        for failure in row.failure.iter().chain(&row.undo_failure) {
            why.push(failure.message.clone());
            tail.clone_from(&failure.tail);
        }
        why.extend(row.dirty.clone());
    }
    DeviceReport { device: name.to_owned(), result, why, tail }
}

impl Report {
    /// How a process ends that brought this about.
    #[must_use]
    pub fn exit(&self) -> Exit {
        // Also of changes that were ended before they came to an end.
        let is_left = |device: &DeviceReport| matches!(device.result, "dirty" | "rollback_failed");
        if self.steps.iter().flat_map(|step| &step.devices).any(is_left) {
            Exit::Left
        } else if self.undone && self.state == State::BackoutOk {
            Exit::Done
        } else if self.stopped.is_some() {
            Exit::Stopped
        } else if matches!(self.state, State::Success | State::Skipped) {
            Exit::Done
        } else {
            Exit::Failed
        }
    }

    /// The summary: how many, and the names for each way it ended.
    #[must_use]
    pub fn summary(&self) -> String {
        let of = |wanted: &[State]| -> Vec<&str> {
            let steps = self.steps.iter().filter(|step| wanted.contains(&step.state));
            steps.map(|step| step.name.as_str()).collect()
        };
        let lists = [
            ("successful", of(&[State::Success])),
            ("failed", of(&[State::PartialFailure, State::TotalFailure])),
            ("backed out", of(&[State::BackoutOk])),
            ("NOT backed out, a person is needed", of(&[State::BackoutFailed])),
            ("to be tried again", of(&[State::Retry, State::RetryPending])),
            ("under way", of(&[State::Running])),
            ("skipped, and taken for done", of(&[State::Skipped])),
            ("ended by the operator", of(&[State::BailedOut])),
            ("not attempted", of(&[State::NotAttempted, State::Pending])),
        ];
        let count =
            |wanted: &str| lists.iter().find(|(word, _)| *word == wanted).map_or(0, |(_, names)| names.len());
        let (ok, skipped) = (count("successful"), count("skipped, and taken for done"));
        let failed = self.steps.len() - ok - skipped;
        let mut text = String::new();
        if !self.undone {
            let percent = (ok * 100).checked_div(ok + failed).unwrap_or(100);
            let _ = writeln!(text, "changes: {ok} ok, {failed} failed, {skipped} skipped ({percent}% ok)");
        }
        for (word, names) in lists
            .iter()
            .filter(|(word, names)| !names.is_empty() && (!self.undone || word.contains("backed out")))
        {
            let _ = writeln!(text, "{word}: {}", names.join(", "));
        }
        for (name, why) in &self.unverified {
            let _ = writeln!(text, "scenario {name}: {why}");
        }
        if let Some(why) = &self.stopped {
            let _ = writeln!(text, "stopped: {why}");
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
