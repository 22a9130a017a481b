//! What is to be done next on one device of a change, and how it stands when that is nothing.

use super::{
    layout::{Devices, Place},
    record::Way,
    view::{DeviceView, Row},
    way::{uneventful, way},
};
use crate::change::{
    model::{Iterate, Phase, Step},
    text::Vars,
};

/// How a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nothing was begun.
    Fresh,
    /// Something is under way, or is to be begun now.
    Going,
    /// The change is there.
    Ok,
    /// It failed before it changed anything.
    Refused,
    /// It was undone.
    RolledBack,
    /// It is changed, and not undone.
    Dirty,
    /// It was begun and then left.
    Cut,
}

/// Why nothing new is to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// It is.
    No,
    /// Another device failed: what is begun is completed or undone.
    Sibling,
    /// The operator said so: what is changed is still verified, the rest is left as it is.
    Operator,
}

/// What is to be done on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Phase { row: usize, phase: Phase, way: usize },
    Dirty { row: usize, why: String },
}

/// The next phase of the change for a row, if there is one.
pub(super) fn upcoming(step: &Step, row: &Row) -> Option<Phase> {
    if row.already || row.failure.is_some() {
        return None;
    }
    let after = |phase: &&Phase| row.done.is_none_or(|done| **phase > done);
    Phase::FORWARD.iter().filter(after).find(|phase| step.script(**phase, 0).is_some()).copied()
}

/// How a device stands, and what is to be done next on it.
pub(super) fn device(step: &Devices<'_>, at: usize, view: &DeviceView, halt: Halt) -> (Stand, Option<Next>) {
    if view.rows.iter().any(|row| row.busy.is_some()) {
        return (Stand::Going, None);
    }
    // What was interrupted is undone by itself, and then begun anew.
    let interrupted = |row: &&(usize, &Row)| row.1.is_interrupted() && row.1.owes();
    if let Some((number, row)) = view.rows.iter().enumerate().collect::<Vec<_>>().iter().find(interrupted) {
        return (Stand::Going, Some(backward(step, at, *number, row)));
    }
    let to_do = |row: &Row| upcoming(step.step(), row);
    let failed =
        view.rows.iter().any(|row| row.failure.is_some() || row.is_settled_back() || row.back.is_some());
    let touched = view.rows.iter().any(Row::owes);
    let half = touched && view.rows.iter().any(|row| !row.touched && to_do(row).is_some());
    if failed || (halt == Halt::Sibling && half) {
        return unwind(step, at, view);
    }
    let rows = view.rows.iter().enumerate().filter_map(|(number, row)| Some((number, row, to_do(row)?)));
    let next = match step.step().iterate {
        Iterate::Cycle => rows.min_by_key(|(number, ..)| *number),
        Iterate::Phase => rows.min_by_key(|(number, _, phase)| (*phase, *number)),
    };
    match next {
        None => (Stand::Ok, None),
        Some((_, row, _)) if halt != Halt::No && !row.touched => {
            let begun = view.rows.iter().any(|row| row.done.is_some() || row.already);
            (if begun { Stand::Cut } else { Stand::Fresh }, None)
        }
        Some((row, _, phase)) => (Stand::Going, Some(Next::Phase { row, phase, way: 0 })),
    }
}

/// The same where everything is to be undone that is changed, the last row first.
pub(super) fn unwind(step: &Devices<'_>, at: usize, view: &DeviceView) -> (Stand, Option<Next>) {
    if view.rows.iter().any(|row| row.busy.is_some()) {
        return (Stand::Going, None);
    }
    if let Some((number, row)) = view.rows.iter().enumerate().rfind(|(_, row)| row.owes()) {
        return (Stand::Going, Some(backward(step, at, number, row)));
    }
    let any = |what: fn(&Row) -> bool| view.rows.iter().any(what);
    let stand = if any(|row| row.undo_failure.is_some() || row.dirty.is_some()) {
        Stand::Dirty
    } else if any(|row| row.undone) {
        Stand::RolledBack
    } else if any(|row| row.failure.is_some()) {
        Stand::Refused
    } else if view.attempt > 0 {
        Stand::Cut
    } else {
        Stand::Fresh
    };
    (stand, None)
}

/// The next thing that undoes a row.
fn backward(step: &Devices<'_>, at: usize, row: usize, view: &Row) -> Next {
    let nothing = Vars::new();
    let vars = step.vars(at, row).unwrap_or(&nothing);
    let chosen = match &view.failure {
        Some(failure) => failure.way.clone(),
        None => way(step.step(), &uneventful(), vars),
    };
    let way = match chosen {
        Way::Script(way) => way,
        Way::Alert(why) => return Next::Dirty { row, why },
        Way::None => {
            let why = match &view.failure {
                Some(failure) => format!("nothing says how it is undone, after: {}", failure.message),
                None => "nothing says how it is undone".to_owned(),
            };
            return Next::Dirty { row, why };
        }
    };
    let after = |phase: &&Phase| view.back.is_none_or(|back| **phase > back);
    let there = |phase: &&Phase| step.step().script(**phase, way).is_some();
    let phase = Phase::BACK.iter().filter(after).find(there).copied().unwrap_or(Phase::Rollback);
    Next::Phase { row, phase, way }
}

impl Next {
    pub(super) fn place(&self, node: usize, device: usize) -> Place {
        let (Self::Phase { row, .. } | Self::Dirty { row, .. }) = self;
        Place { node, device, row: *row }
    }
}
