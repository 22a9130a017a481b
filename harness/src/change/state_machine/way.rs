//! Which of its rollbacks undoes a change.

use super::record::Way;
use crate::change::{
    cond::{Facts, Results},
    model::{RollbackAction, Step},
    text::Values,
};

/// The first rollback whose condition holds for these results, or that has none. A condition that makes no sense of them
/// does not hold.
pub(in crate::change) fn way(step: &Step, results: &Results, values: &dyn Values) -> Way {
    let facts = Facts { results, values };
    let fits = |check: &crate::change::model::Check| check.condition.holds(&facts).unwrap_or(false);
    let found = step.rollback.iter().position(|rollback| rollback.when.as_ref().is_none_or(fits));
    match found.and_then(|at| Some((at, &step.rollback.get(at)?.action))) {
        Some((at, RollbackAction::Script(_))) => Way::Script(at),
        Some((_, RollbackAction::Alert(text))) => {
            Way::Alert(text.fill(values).unwrap_or_else(|_| text.to_string()))
        }
        None => Way::None,
    }
}

/// The results of nothing that went wrong.
pub(super) fn uneventful() -> Results {
    Results { exitcode: Some(0), ..Results::default() }
}
