//! What has become of everything so far: records, folded.

use super::{
    device::upcoming,
    layout::{Kind as NodeKind, Layout, Place},
    record::{Failure, Key, Kind, Outcome, Record},
    way::{uneventful, way},
};
use crate::change::{model::Phase, text::Vars};

/// Everything.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) nodes: Vec<NodeView>,
    /// Why nothing new is begun.
    pub(super) stopped: Option<String>,
    /// Whether everything is undone.
    pub(super) undoing: bool,
    /// Whether the operator said no to undoing something: no more is undone then.
    pub(super) refused: bool,
    /// Counts what happened.
    clock: u64,
    /// When something happened last, in milliseconds since 1970.
    last: u64,
}

/// A change or scenario.
#[derive(Debug, Default)]
pub(super) struct NodeView {
    /// The attempt that it is in; 0 before the first.
    pub(super) attempt: u32,
    pub(super) devices: Vec<DeviceView>,
    /// Its place among what was begun.
    pub(super) begun: u64,
    /// When it began, and when something of it ended last, in milliseconds since 1970; later by the time in which nobody ran it.
    pub(super) since: Option<u64>,
    pub(super) last_end: u64,
    /// Of a scenario: how its verification stands.
    pub(super) verify: Verify,
    pub(super) skipped: bool,
}

/// How the verification of a scenario stands.
#[derive(Debug, Default)]
pub(super) enum Verify {
    #[default]
    Not,
    Busy,
    Ok,
    Failed(Failure),
}

/// A device of a change.
#[derive(Debug, Default)]
pub(super) struct DeviceView {
    /// The attempt in which it was tried last; 0 before the first.
    pub(super) attempt: u32,
    pub(super) rows: Vec<Row>,
    /// Its place among what has ended.
    pub(super) ended: u64,
}

/// A row of a device.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) busy: Option<Phase>,
    /// The last phase of the change that went well.
    pub(super) done: Option<Phase>,
    /// Whether anything was changed.
    pub(super) touched: bool,
    pub(super) already: bool,
    pub(super) failure: Option<Failure>,
    /// The last phase of undoing that went well.
    pub(super) back: Option<Phase>,
    pub(super) undone: bool,
    pub(super) undo_failure: Option<Failure>,
    pub(super) dirty: Option<String>,
}

impl Row {
    /// Whether it is changed, and nothing yet says that this stays so or could not be helped.
    pub(super) fn owes(&self) -> bool {
        self.touched && !self.is_settled_back()
    }

    pub(super) fn is_settled_back(&self) -> bool {
        self.undone || self.undo_failure.is_some() || self.dirty.is_some()
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.kind == Kind::Interrupted)
    }
}

impl NodeView {
    /// Whether something of it is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.devices.iter().flat_map(|device| &device.rows).any(|row| row.busy.is_some())
    }
}

impl DeviceView {
    /// Whether anything failed by itself: not because the operator or a signal ended it.
    pub(super) fn has_failed(&self) -> bool {
        let ended = |failure: &Failure| matches!(failure.kind, Kind::Denied | Kind::Interrupted);
        let failed = |row: &Row| row.failure.as_ref().is_some_and(|failure| !ended(failure));
        self.rows.iter().any(|row| failed(row) || row.undo_failure.is_some())
    }

    pub(super) fn is_given_up(&self) -> bool {
        let given_up = |row: &Row| row.failure.as_ref().is_some_and(|f| f.kind == Kind::GivenUp);
        self.rows.iter().any(given_up)
    }
}

impl View {
    pub(super) fn new(layout: &Layout<'_>, skipped: &[String]) -> Self {
        let node = |node: &super::layout::Node<'_>| {
            let rows = |units: &std::ops::Range<usize>| vec![Row::default(); units.len()];
            let devices = match &node.kind {
                NodeKind::Step(devices) => devices.units.iter().map(rows).collect(),
                NodeKind::Set(_) => Vec::new(),
            };
            let devices =
                devices.into_iter().map(|rows| DeviceView { rows, ..DeviceView::default() }).collect();
            let skipped = skipped.iter().any(|name| name == node.name);
            NodeView { devices, skipped, ..NodeView::default() }
        };
        Self { nodes: layout.nodes.iter().map(node).collect(), ..Self::default() }
    }

    /// As if everything that is not skipped had been done, in the order of the plan, and were to be undone.
    pub(super) fn assume_applied(&mut self, layout: &Layout<'_>) {
        self.undoing = true;
        for (id, node) in self.nodes.iter_mut().enumerate().filter(|(_, node)| !node.skipped) {
            let Some(step) = layout.step(id) else { continue };
            let apply = step.step().apply.iter().flat_map(|script| &script.exchanges);
            // What sends nothing changes nothing.
            let touched = apply.into_iter().any(|exchange| exchange.send.is_some());
            self.clock += 1;
            (node.attempt, node.begun) = (1, self.clock);
            for device in &mut node.devices {
                self.clock += 1;
                (device.attempt, device.ended) = (1, self.clock);
                device.rows.fill(Row { done: Some(Phase::Verify), touched, ..Row::default() });
            }
        }
    }

    /// Takes in what happened. What is about nothing in the plan changes nothing.
    pub(super) fn fold(&mut self, layout: &Layout<'_>, at: u64, record: &Record) {
        self.clock += 1;
        let since = at.saturating_sub(std::mem::replace(&mut self.last, at));
        match record {
            Record::Begin { key, phase, .. } => self.begin(layout, at, key, *phase),
            Record::End { key, phase, outcome, .. } => self.end(layout, at, key, *phase, outcome),
            Record::Dirty { key, why } => {
                if let Some((_, row)) = layout.place(key).and_then(|place| self.row(place)) {
                    row.dirty = Some(why.clone());
                }
            }
            Record::Stopped { why } => self.stopped = Some(why.clone()),
            Record::Resumed => self.resume(layout, since),
            Record::Undo => {
                self.resume(layout, since);
                self.undoing = true;
                // What could not be undone before is tried once more.
                let rows = self
                    .nodes
                    .iter_mut()
                    .flat_map(|node| &mut node.devices)
                    .flat_map(|device| &mut device.rows);
                for row in rows.filter(|row| row.touched && !row.undone) {
                    (row.back, row.undo_failure, row.dirty) = (None, None, None);
                }
            }
            Record::Over { .. } => {}
        }
    }

    fn begin(&mut self, layout: &Layout<'_>, at: u64, key: &Key, phase: Phase) {
        let clock = self.clock;
        let Some(id) = layout.find(&key.step) else { return };
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.attempt = node.attempt.max(key.attempt);
        if node.since.is_none() {
            (node.since, node.begun) = (Some(at), clock);
        }
        let Some(place) = layout.place(key) else {
            node.verify = Verify::Busy;
            return;
        };
        if let Some(device) = node.devices.get_mut(place.device)
            && device.attempt < key.attempt
        {
            device.attempt = key.attempt;
            device.rows.fill(Row::default());
        }
        if let Some((_, row)) = self.row(place) {
            row.busy = Some(phase);
        }
        // A scenario begins with the first of its members.
        let mut id = id;
        while let Some(parent) = layout.nodes.get(id).map(|node| node.parent).filter(|parent| *parent != id) {
            if let Some(node) = self.nodes.get_mut(parent).filter(|node| node.since.is_none()) {
                (node.since, node.begun) = (Some(at), clock);
            }
            id = parent;
        }
    }

    fn end(&mut self, layout: &Layout<'_>, at: u64, key: &Key, phase: Phase, outcome: &Outcome) {
        let (clock, undoing) = (self.clock, self.undoing);
        // What was given up before it was begun is not announced.
        let is_begun = match layout.place(key) {
            Some(place) => self.row(place).is_some_and(|(_, row)| row.busy == Some(phase)),
            None => {
                let node = layout.find(&key.step).and_then(|id| self.nodes.get(id));
                node.is_some_and(|node| matches!(node.verify, Verify::Busy))
            }
        };
        if !is_begun {
            self.begin(layout, at, key, phase);
        }
        if let Outcome::Failed(failure) = outcome {
            self.refused |= failure.kind == Kind::Denied && Phase::BACK.contains(&phase);
        }
        let Some(node) = layout.find(&key.step).and_then(|id| self.nodes.get_mut(id)) else { return };
        node.last_end = at;
        let Some(place) = layout.place(key) else {
            node.verify = match outcome {
                Outcome::Failed(failure) => Verify::Failed(failure.clone()),
                Outcome::Ok { .. } | Outcome::Already => Verify::Ok,
            };
            return;
        };
        let last_back = layout.step(place.node).and_then(|step| {
            let has = |phase: &&Phase| **phase == Phase::Rollback || step.step().script(**phase, 0).is_some();
            Phase::BACK.iter().rfind(has).copied()
        });
        let Some((ended, row)) = self.row(place) else { return };
        *ended = clock;
        row.busy = None;
        let back = Phase::BACK.contains(&phase);
        match outcome {
            Outcome::Already => row.already = true,
            Outcome::Ok { .. } if back => {
                row.back = Some(phase);
                row.undone = Some(phase) == last_back;
                // What was interrupted is done anew once it is undone.
                if row.undone && row.is_interrupted() && !undoing {
                    *row = Row::default();
                }
            }
            Outcome::Ok { sent } => {
                row.done = Some(phase);
                row.touched |= *sent && phase == Phase::Apply;
            }
            Outcome::Failed(failure) if back && matches!(failure.kind, Kind::Denied | Kind::GivenUp) => {
                row.dirty = Some(failure.message.clone());
            }
            Outcome::Failed(failure) if back => row.undo_failure = Some(failure.clone()),
            Outcome::Failed(failure) => {
                row.touched |= failure.sent && phase == Phase::Apply;
                row.failure = Some(failure.clone());
            }
        }
    }

    /// Nobody knows what became of what was under way: a change may or may not be there, whatever only looks is done again.
    /// The time in which nobody ran it does not count.
    fn resume(&mut self, layout: &Layout<'_>, idle: u64) {
        (self.stopped, self.refused) = (None, false);
        let undoing = self.undoing;
        for (id, node) in self.nodes.iter_mut().enumerate() {
            node.since = node.since.map(|since| since.saturating_add(idle));
            node.last_end = node.last_end.saturating_add(idle);
            let is_open = match &node.verify {
                Verify::Busy => true,
                Verify::Failed(failure) => failure.kind == Kind::Denied,
                Verify::Not | Verify::Ok => false,
            };
            if is_open {
                node.verify = Verify::Not;
            }
            let Some(step) = layout.step(id) else { continue };
            for (at, device) in node.devices.iter_mut().enumerate() {
                // Of a change that was undone because the operator ended it, nothing is left: it begins anew as a whole.
                let is_denied = |row: &Row| row.failure.as_ref().is_some_and(|f| f.kind == Kind::Denied);
                let is_clean = |row: &Row| {
                    let rests = row.busy.is_none() && row.undo_failure.is_none() && row.dirty.is_none();
                    rests && !row.owes() && (row.failure.is_none() || is_denied(row))
                };
                if !undoing && device.rows.iter().any(is_denied) && device.rows.iter().all(is_clean) {
                    device.rows.fill(Row::default());
                }
                for (number, row) in device.rows.iter_mut().enumerate() {
                    let denied = is_denied(row);
                    match row.busy.take() {
                        Some(Phase::Apply) => {
                            let nothing = Vars::new();
                            let vars = step.vars(at, number).unwrap_or(&nothing);
                            row.touched = true;
                            row.failure = Some(Failure {
                                kind: Kind::Interrupted,
                                message: "the run ended while this was being applied".to_owned(),
                                sent: true,
                                way: way(step.step(), &uneventful(), vars),
                                tail: String::new(),
                            });
                        }
                        // Sessions are gone, and with them what a precheck may have begun.
                        _ if denied && !row.touched => *row = Row::default(),
                        _ if !row.touched && upcoming(step.step(), row).is_some() => {
                            *row = Row::default();
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn row(&mut self, place: Place) -> Option<(&mut u64, &mut Row)> {
        let device = self.nodes.get_mut(place.node)?.devices.get_mut(place.device)?;
        Some((&mut device.ended, device.rows.get_mut(place.row)?))
    }
}
