//! What is to be done next of everything: which members of scenarios, when their prerequisites are met, and what is undone
//! when one fails.

use std::collections::BTreeMap;

use super::{
    device::{Next, Stand, device},
    layout::{Devices, Kind, Layout, Members, Place},
    record::{Entry, Key, Kind as Failed, Record},
    step::{Bounds, Look, aggregate, back, limit, step},
    view::{DeviceView, NodeView, Row, Verify, View},
};
use crate::change::{
    model::{OnFail, Phase, Policy},
    plan::{Plan, PlannedSet, PlannedStep, Unit},
    state::State,
};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Begin a phase.
    Begin {
        /// Of what.
        key: Key,
        /// Where it is in the plan; nowhere for the verification of a scenario.
        place: Option<Place>,
        /// Which.
        phase: Phase,
        /// For rollbacks, the number of the one that is taken.
        way: usize,
    },
    /// Tell a person that something stays changed.
    Alert {
        /// What.
        key: Key,
        /// Why.
        why: String,
    },
    /// Look again then, in milliseconds since 1970, if nothing happens before.
    Wait {
        /// When.
        until: u64,
    },
}

/// What has become of a plan, and what is to be done next.
#[derive(Debug)]
pub struct Machine<'p> {
    pub(super) layout: Layout<'p>,
    pub(super) view: View,
    /// How many members of a scenario may be under way at once.
    jobs: usize,
    /// What is known to have ended, so that nobody has to look again.
    ends: Vec<Option<State>>,
    /// Of scenarios: how many of their first members have ended.
    open: Vec<usize>,
    /// Of changes: whether they are tried again, now or later.
    again: BTreeMap<usize, State>,
}

impl<'p> Machine<'p> {
    /// Nothing has happened yet. Members of scenarios run one after the other, or up to `jobs` at once where they need
    /// nothing of one another; `skipped` ones count as done.
    #[must_use]
    pub fn new(plan: &'p Plan, jobs: usize, skipped: &[String]) -> Self {
        let layout = Layout::new(plan);
        let view = View::new(&layout, skipped);
        let count = layout.nodes.len();
        let (ends, open) = (vec![None; count], vec![0; count]);
        Self { layout, view, jobs: jobs.max(1), ends, open, again: BTreeMap::new() }
    }

    /// As if everything had been applied, and were to be undone.
    pub fn assume_applied(&mut self) {
        self.view.assume_applied(&self.layout);
    }

    /// Takes in what happened.
    pub fn fold(&mut self, entry: &Entry) {
        self.view.fold(&self.layout, entry.at, &entry.record);
        if matches!(entry.record, Record::Resumed | Record::Undo) {
            self.forget(0, self.layout.nodes.len());
        }
    }

    /// What may begin now, in the order in which it should; `now` is in milliseconds since 1970. Nothing to do and nothing
    /// under way means that all is over.
    pub fn next(&mut self, now: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.view.undoing {
            self.undo(0, self.layout.nodes.len(), &mut acts);
        } else {
            self.node(0, now, &mut acts);
        }
        acts
    }

    /// Whether the operator, or a lack of time, has ended it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.view.stopped.is_some()
    }

    /// Whether something is being undone because of others, or all of it: that goes on when the operator wants to stop.
    #[must_use]
    pub fn is_backing_out(&self) -> bool {
        let mut rows = self.view.nodes.iter().flat_map(|node| &node.devices).flat_map(|device| &device.rows);
        let back =
            |row: &Row| row.busy.is_some_and(|phase| Phase::BACK.contains(&phase)) || row.back.is_some();
        self.view.undoing || rows.any(|row| back(row) && !row.is_settled_back())
    }

    /// The changes that are tried again: [`State::RetryPending`] until it is time, then [`State::Retry`] until they begin.
    pub fn retries(&self) -> impl Iterator<Item = (&'p str, State)> {
        let open = self.again.iter().filter(|(at, _)| self.end(**at).is_none());
        open.filter_map(|(at, state)| Some((self.layout.nodes.get(*at)?.name, *state)))
    }

    /// Whether a session with a device is still needed for a row.
    #[must_use]
    pub fn needs_session(&self, place: Place) -> bool {
        let (Some(step), Some(row)) = (self.layout.step(place.node), self.row(place)) else { return false };
        if row.busy.is_some() {
            return true;
        }
        let going = super::device::upcoming(step.step(), row).is_some() && row.done.is_some();
        going || row.owes() && (row.failure.is_some() || row.back.is_some())
    }

    /// Whether a row is at its very beginning in an attempt, which the device may not have come to yet.
    #[must_use]
    pub fn is_first(&self, place: Place, attempt: u32) -> bool {
        let device = self.view.nodes.get(place.node).and_then(|node| node.devices.get(place.device));
        let is_new = device.is_some_and(|device| device.attempt < attempt);
        let is_fresh = |row: &Row| row.done.is_none() && row.back.is_none() && row.failure.is_none();
        is_new || self.row(place).is_some_and(is_fresh)
    }

    /// Whether undoing a row has begun.
    #[must_use]
    pub fn is_undoing(&self, place: Place) -> bool {
        self.row(place).is_some_and(|row| row.back.is_some())
    }

    /// What went wrong with a row, if anything did.
    #[must_use]
    pub fn why(&self, place: Place) -> Option<String> {
        self.row(place)?.failure.as_ref().map(|failure| failure.message.clone())
    }

    /// The change and the unit at a place.
    #[must_use]
    pub fn unit(&self, place: Place) -> Option<(&'p PlannedStep, &'p Unit)> {
        Some((self.layout.step(place.node)?.planned, self.layout.unit(place)?))
    }

    /// The scenario of a name.
    #[must_use]
    pub fn scenario(&self, name: &str) -> Option<&'p PlannedSet> {
        match &self.layout.nodes.get(self.layout.find(name)?)?.kind {
            Kind::Set(members) => Some(members.planned),
            Kind::Step(_) => None,
        }
    }

    /// When the changes of this name have to be done, in milliseconds since 1970, if that is bounded by its policy or by
    /// those of the scenarios around it.
    #[must_use]
    pub fn due(&self, name: &str) -> Option<u64> {
        self.due_at(self.layout.find(name)?)
    }

    fn due_at(&self, mut at: usize) -> Option<u64> {
        let mut found: Option<u64> = None;
        loop {
            let (node, view) = (self.layout.nodes.get(at)?, self.view.nodes.get(at)?);
            if let (Some(limit), Some(since)) = (node.policy.timeout, view.since) {
                let due = since.saturating_add(limit.as_millis().try_into().unwrap_or(u64::MAX));
                found = Some(found.map_or(due, |found| found.min(due)));
            }
            if node.parent == at {
                return found;
            }
            at = node.parent;
        }
    }

    fn row(&self, place: Place) -> Option<&Row> {
        self.view.nodes.get(place.node)?.devices.get(place.device)?.rows.get(place.row)
    }

    fn policy(&self, node: usize) -> Policy {
        self.layout.nodes.get(node).map(|node| node.policy).unwrap_or_default()
    }

    /// Looks at nodes again.
    fn forget(&mut self, from: usize, to: usize) {
        self.ends.get_mut(from..to).into_iter().for_each(|ends| ends.fill(None));
        self.open.get_mut(from..to).into_iter().for_each(|open| open.fill(0));
        self.again.retain(|at, _| !(from..to).contains(at));
    }

    /// How a change or scenario ended, if it has; else what is to be done of it.
    fn node(&mut self, at: usize, now: u64, acts: &mut Vec<Act>) -> Option<State> {
        if let Some(end) = self.ends.get(at).copied().flatten() {
            return Some(end);
        }
        let view = self.view.nodes.get(at)?;
        let end = if view.skipped {
            Some(State::Skipped)
        } else {
            match self.layout.step(at) {
                Some(devices) => {
                    let (stopped, refused) = (self.view.stopped.is_some(), self.view.refused);
                    let look = step(devices, view, Bounds { stopped, refused, due: self.due_at(at) }, now);
                    match look.again {
                        Some(state) => drop(self.again.insert(at, state)),
                        None => drop(self.again.remove(&at)),
                    }
                    self.begin(at, look, acts)
                }
                None => self.set(at, now, acts),
            }
        };
        self.ends.get_mut(at).into_iter().for_each(|slot| *slot = end);
        end
    }

    fn begin(&self, node: usize, look: Look, acts: &mut Vec<Act>) -> Option<State> {
        acts.extend(
            look.next.into_iter().map(|(device, next, attempt)| self.act(node, device, next, attempt)),
        );
        acts.extend(look.wait.map(|until| Act::Wait { until }));
        look.end
    }

    fn act(&self, node: usize, device: usize, next: Next, attempt: u32) -> Act {
        let place = next.place(node, device);
        let key = self.layout.key(place, attempt);
        match next {
            Next::Phase { phase, way, .. } => Act::Begin { key, place: Some(place), phase, way },
            Next::Dirty { why, .. } => Act::Alert { key, why },
        }
    }

    fn members(&self, at: usize) -> Option<&Members<'p>> {
        match &self.layout.nodes.get(at)?.kind {
            Kind::Set(members) => Some(members),
            Kind::Step(_) => None,
        }
    }

    fn set(&mut self, at: usize, now: u64, acts: &mut Vec<Act>) -> Option<State> {
        let members = self.members(at)?;
        let (planned, count, end) = (members.planned, members.members.len(), members.end);
        let (mut going, mut all) = (0, true);
        // Where members are in order, each waits for the one before it.
        let jobs = if planned.unordered { self.jobs } else { 1 };
        let first = self.open.get(at).copied().unwrap_or_default();
        for number in first..count {
            let Some(member) = self.members(at).and_then(|set| set.members.get(number)).copied() else {
                continue;
            };
            let state = match self.ends.get(member).copied().flatten() {
                Some(state) => Some(state),
                None => match self.is_due(at, number, first) {
                    Some(true) => self.node(member, now, acts),
                    Some(false) => {
                        self.pass_over(member);
                        Some(State::NotAttempted)
                    }
                    None => {
                        all = false;
                        continue;
                    }
                },
            };
            match state {
                Some(_) if all => self.open.get_mut(at).into_iter().for_each(|open| *open = number + 1),
                Some(_) => {}
                None => {
                    (all, going) = (false, going + 1);
                    if going >= jobs {
                        return None;
                    }
                }
            }
        }
        if !all {
            return None;
        }
        if count > 0 && self.states(at).all(|state| state == State::Skipped) {
            // There is nothing to verify.
            return Some(State::Skipped);
        }
        let mut failed = self.states(at).any(|state| !matches!(state, State::Success | State::Skipped));
        if !failed && planned.verify.is_some() {
            match self.view.nodes.get(at).map(|view| &view.verify)? {
                Verify::Not if self.view.stopped.is_some() => return Some(State::BailedOut),
                Verify::Not => {
                    let key = Key { step: planned.name.clone(), attempt: 1, ..Key::default() };
                    acts.push(Act::Begin { key, place: None, phase: Phase::Verify, way: 0 });
                    return None;
                }
                Verify::Busy => return None,
                Verify::Ok => {}
                Verify::Failed(_) => failed = true,
            }
        }
        // Who wants to stop does not want it half undone.
        let undoes = !self.view.refused && (self.view.stopped.is_none() || self.has_failed(at, end));
        if failed && planned.policy.on_fail == OnFail::RollbackAll && undoes {
            if self.undo(at, end + 1, acts) {
                return None;
            }
            // Members are what they are now.
            for node in at + 1..=end {
                if self.layout.step(node).is_some() && self.is_begun(node) {
                    let state = self.now(node);
                    self.ends.get_mut(node).into_iter().for_each(|slot| *slot = Some(state));
                }
            }
            for node in (at + 1..=end).rev().filter(|node| self.layout.step(*node).is_none()) {
                let state = self.of_members(node, false);
                self.ends.get_mut(node).into_iter().for_each(|slot| *slot = Some(state));
            }
        }
        Some(self.of_members(at, failed))
    }

    /// Whether a member may begin, or never will, or only later.
    fn is_due(&self, at: usize, number: usize, first: usize) -> Option<bool> {
        let set = self.members(at)?;
        if self.view.stopped.is_some() {
            // What was begun is ended in order.
            return Some(self.is_begun(set.members.get(number).copied()?));
        }
        let passed = |member: usize| {
            let end = self.ends.get(member).copied().flatten()?;
            Some(end.satisfies(self.policy(member).on_fail))
        };
        let mut due = Some(true);
        let mut need = |number: usize| match set.members.get(number).copied().map(&passed) {
            Some(Some(true)) | None => {}
            Some(Some(false)) => due = Some(false),
            Some(None) if due == Some(true) => due = None,
            Some(None) => {}
        };
        if set.planned.unordered {
            set.planned.needs.get(number)?.iter().copied().for_each(&mut need);
        } else {
            // What is before the first that has not ended was looked at when that one began.
            (first.saturating_sub(1)..number).for_each(&mut need);
        }
        due
    }

    /// Neither it nor anything in it will be begun.
    fn pass_over(&mut self, node: usize) {
        let end = self.members(node).map_or(node, |set| set.end);
        for node in node..=end {
            let skipped = self.view.nodes.get(node).is_some_and(|view| view.skipped);
            let state = if skipped { State::Skipped } else { State::NotAttempted };
            self.ends.get_mut(node).into_iter().for_each(|slot| *slot = Some(state));
        }
    }

    fn is_begun(&self, node: usize) -> bool {
        self.view.nodes.get(node).is_some_and(|view| view.since.is_some() || view.attempt > 0)
    }

    /// Whether anything of a scenario failed by itself, and is not to be tried again.
    fn has_failed(&self, at: usize, end: usize) -> bool {
        let nodes = (at..=end).filter(|node| !self.again.contains_key(node));
        nodes.filter_map(|node| self.view.nodes.get(node)).any(|view| {
            let unverified =
                matches!(&view.verify, Verify::Failed(failure) if failure.kind != Failed::Denied);
            unverified || view.devices.iter().any(DeviceView::has_failed)
        })
    }

    pub(super) fn again(&self, node: usize) -> Option<State> {
        self.again.get(&node).copied()
    }

    fn states(&self, at: usize) -> impl Iterator<Item = State> {
        let members = self.members(at).map(|set| set.members.as_slice()).unwrap_or_default();
        members.iter().map(|member| self.ends.get(*member).copied().flatten().unwrap_or_default())
    }

    /// What a scenario came to by its members; not all well where it failed itself.
    fn of_members(&self, at: usize, failed: bool) -> State {
        let any = |wanted: State| self.states(at).any(|state| state == wanted);
        let good = |state: State| matches!(state, State::Success | State::Skipped);
        if any(State::BackoutFailed) {
            State::BackoutFailed
        } else if !failed && self.states(at).all(good) {
            State::Success
        } else if any(State::BailedOut) {
            State::BailedOut
        } else if any(State::Success) || any(State::PartialFailure) {
            State::PartialFailure
        } else if any(State::BackoutOk) {
            State::BackoutOk
        } else if self.states(at).all(|state| state == State::NotAttempted) {
            State::NotAttempted
        } else {
            State::TotalFailure
        }
    }

    /// How a change stands at this moment, whatever is to become of it.
    pub(super) fn now(&self, node: usize) -> State {
        let (Some(devices), Some(view)) = (self.layout.step(node), self.view.nodes.get(node)) else {
            return State::Pending;
        };
        aggregate(&self.stands(devices, view))
    }

    pub(super) fn stands(&self, devices: &Devices<'p>, view: &NodeView) -> Vec<Stand> {
        let halt = super::device::Halt::Operator;
        let views = view.devices.iter().enumerate();
        views.map(|(at, view)| device(devices, at, view, halt).0).collect()
    }

    pub(super) fn end(&self, node: usize) -> Option<State> {
        self.ends.get(node).copied().flatten()
    }

    /// Undoes what the changes among these nodes did, the one that began last first. Whether that is under way.
    fn undo(&self, from: usize, to: usize, acts: &mut Vec<Act>) -> bool {
        let owing = |node: &usize| {
            let rows = self.view.nodes.get(*node).into_iter().flat_map(|view| &view.devices);
            rows.flat_map(|device| &device.rows).any(|row| row.owes() || row.busy.is_some())
        };
        let begun = |node: &usize| self.view.nodes.get(*node).map(|view| view.begun);
        let Some(node) = (from..to).filter(owing).max_by_key(begun) else { return false };
        let (Some(devices), Some(view)) = (self.layout.step(node), self.view.nodes.get(node)) else {
            return false;
        };
        // Once refused, what is under way is ended, and nothing new begun.
        let going = |row: &Row| row.busy.is_some() || row.back.is_some();
        let left = view.devices.iter().enumerate().filter(|(_, device)| {
            !self.view.refused || device.rows.iter().any(|row| going(row) && !row.is_settled_back())
        });
        let (next, going) = back(devices, left, limit(self.policy(node)));
        acts.extend(next.into_iter().map(|(device, next, attempt)| self.act(node, device, next, attempt)));
        going
    }
}
