//! What is to be done next of one change: which of its devices, in which attempt, and what becomes of those that succeeded
//! when others fail.

use std::cmp::Reverse;

use super::{
    device::{Halt, Next, Stand, device, unwind},
    layout::Devices,
    view::{DeviceView, NodeView, Row},
};
use crate::change::{
    model::{OnFail, Parallel, Policy},
    state::State,
};

/// What comes of looking at a change.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// What is to be begun: the device, what, and in which attempt.
    pub(super) next: Vec<(usize, Next, u32)>,
    /// When to look again, if nothing happens before.
    pub(super) wait: Option<u64>,
    /// Whether it is tried again, now or later.
    pub(super) again: Option<State>,
    /// How it ended, if it has.
    pub(super) end: Option<State>,
}

/// What keeps a change from going on as it would.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Nothing new is begun.
    pub(super) stopped: bool,
    /// No more is undone either.
    pub(super) refused: bool,
    /// When it has to be done, in milliseconds since 1970.
    pub(super) due: Option<u64>,
}

/// How a change stands and what is to be done; `now` is in milliseconds since 1970.
pub(super) fn step(devices: &Devices<'_>, view: &NodeView, bounds: Bounds, now: u64) -> Look {
    let Bounds { stopped, refused, due: ends } = bounds;
    let policy = devices.step().policy;
    let attempt = view.attempt.max(1);
    let is_ok = |at: usize, view: &DeviceView| device(devices, at, view, Halt::No).0 == Stand::Ok;
    // Undone because of others.
    let is_withdrawn = |view: &DeviceView| {
        let back = |row: &Row| row.back.is_some() || row.is_settled_back() || row.busy.is_some();
        view.rows.iter().any(back) && view.rows.iter().all(|row| row.failure.is_none())
    };
    // Devices that a new attempt has not come to yet count as not begun.
    let is_fresh = |at: usize, view: &DeviceView| {
        view.attempt == 0 || view.attempt < attempt && !is_ok(at, view) && !is_withdrawn(view)
    };
    let failed = |view: &DeviceView| {
        let failed = |row: &Row| row.failure.is_some() && !row.is_interrupted();
        view.rows.iter().any(|row| failed(row) || row.undo_failure.is_some() || row.dirty.is_some())
    };
    let all = || view.devices.iter().enumerate();
    let any_failed = all().any(|(at, view)| !is_fresh(at, view) && failed(view));
    let halt = match policy.on_fail {
        _ if stopped => Halt::Operator,
        OnFail::Stop | OnFail::RollbackAll if any_failed => Halt::Sibling,
        _ => Halt::No,
    };
    let mut look = Look::default();
    let mut stands = Vec::new();
    for (at, view) in all() {
        let (stand, next) =
            if is_fresh(at, view) { (Stand::Fresh, None) } else { device(devices, at, view, halt) };
        look.next.extend(next.map(|next| (at, next, view.attempt)));
        stands.push(stand);
    }
    let limit = limit(policy);
    let going = stands.iter().filter(|stand| **stand == Stand::Going).count();
    let fresh: Vec<usize> = stands
        .iter()
        .enumerate()
        .filter(|(_, stand)| **stand == Stand::Fresh && halt == Halt::No)
        .map(|(at, _)| at)
        .collect();
    let mut begun = 0;
    for at in fresh {
        if going + begun >= limit {
            break;
        }
        match first(devices, at) {
            Some(next) => {
                look.next.push((at, next, attempt));
                begun += 1;
            }
            // There is nothing to do.
            None => stands.get_mut(at).into_iter().for_each(|stand| *stand = Stand::Ok),
        }
    }
    if going + begun > 0 {
        return look;
    }
    let any = |stand: Stand| stands.contains(&stand);
    if !any_failed && halt == Halt::Operator && (any(Stand::Fresh) || any(Stand::Cut)) {
        let begun = stands.iter().any(|stand| *stand != Stand::Fresh);
        look.end = Some(if begun { State::BailedOut } else { State::NotAttempted });
        // What failed before this attempt came to it is still to be tried.
        look.again = Some(State::Retry);
        return look;
    }
    let millis = |time: std::time::Duration| time.as_millis().try_into().unwrap_or(u64::MAX);
    let due = view.last_end.saturating_add(millis(policy.retry.delay));
    let in_time = ends.is_none_or(|ends| now.max(due) < ends);
    // Who gave it up does not want it tried again.
    let given_up = view.devices.iter().any(DeviceView::is_given_up);
    let again = any_failed && policy.retry.max.is_none_or(|max| attempt <= max) && in_time;
    let again = again && !given_up && !any(Stand::Dirty);
    if again && !stopped {
        if now < due {
            (look.wait, look.again) = (Some(due), Some(State::RetryPending));
            return look;
        }
        look.again = Some(State::Retry);
        let left = all().filter(|(at, view)| !is_ok(*at, view)).map(|(at, _)| at);
        let next = left.filter_map(|at| Some((at, first(devices, at)?, attempt + 1))).take(limit);
        look.next.extend(next);
        return look;
    }
    // Who wants to stop does not want it half undone.
    let undoes = !refused && (!stopped || !again && view.devices.iter().any(DeviceView::has_failed));
    if any_failed && policy.on_fail == OnFail::RollbackAll && undoes && any(Stand::Ok) {
        let kept = all().filter(|(at, _)| stands.get(*at) == Some(&Stand::Ok));
        look.next = back(devices, kept, limit).0;
        if !look.next.is_empty() {
            return look;
        }
    }
    // Who goes on later tries it again.
    look.again = again.then_some(State::RetryPending);
    look.end = Some(aggregate(&stands));
    look
}

/// What undoes these devices, the one that ended last first; and whether anything is under way or to be done.
pub(super) fn back<'v>(
    devices: &Devices<'_>,
    views: impl Iterator<Item = (usize, &'v DeviceView)>,
    limit: usize,
) -> (Vec<(usize, Next, u32)>, bool) {
    let mut views: Vec<(usize, &DeviceView)> = views.collect();
    // Those that are under way keep their places.
    views.sort_by_key(|(_, view)| {
        let begun = view.rows.iter().any(|row| row.busy.is_some() || row.back.is_some());
        (!begun, Reverse(view.ended))
    });
    let going = views.into_iter().map(|(at, view)| (at, view, unwind(devices, at, view)));
    let going: Vec<_> = going.filter(|(_, _, (stand, _))| *stand == Stand::Going).take(limit).collect();
    let any = !going.is_empty();
    let next = going.into_iter().filter_map(|(at, view, (_, next))| Some((at, next?, view.attempt)));
    (next.collect(), any)
}

/// How many devices at once.
pub(super) fn limit(policy: Policy) -> usize {
    match policy.devices {
        Parallel::Serial => 1,
        Parallel::Max(max) => max.get(),
    }
}

/// What is done first on a device of which nothing is begun.
fn first(devices: &Devices<'_>, at: usize) -> Option<Next> {
    let rows = devices.units.get(at)?.len();
    let fresh = DeviceView { rows: vec![Row::default(); rows], ..DeviceView::default() };
    device(devices, at, &fresh, Halt::No).1
}

/// What a change came to, by its devices.
pub(super) fn aggregate(stands: &[Stand]) -> State {
    let any = |stand: Stand| stands.contains(&stand);
    if any(Stand::Dirty) {
        State::BackoutFailed
    } else if stands.iter().all(|stand| *stand == Stand::Ok) {
        State::Success
    } else if any(Stand::Ok) {
        State::PartialFailure
    } else if any(Stand::RolledBack) {
        State::BackoutOk
    } else {
        State::TotalFailure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(&[], State::Success)]
    #[case(&[Stand::Ok, Stand::Ok], State::Success)]
    #[case(&[Stand::Ok, Stand::Dirty, Stand::RolledBack], State::BackoutFailed)]
    #[case(&[Stand::Ok, Stand::RolledBack], State::PartialFailure)]
    #[case(&[Stand::Ok, Stand::Fresh], State::PartialFailure)]
    #[case(&[Stand::Refused, Stand::RolledBack, Stand::Fresh], State::BackoutOk)]
    #[case(&[Stand::Refused, Stand::Fresh], State::TotalFailure)]
    fn the_first_that_fits_counts(#[case] stands: &[Stand], #[case] expected: State) {
        assert_eq!(aggregate(stands), expected);
    }
}
