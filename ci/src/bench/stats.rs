//! The few numbers a benchmark needs. Pure.

use serde::Serialize;

/// Where the values lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Summary {
    /// The middle one, or the mean of the two in the middle.
    pub(super) median: f64,
    /// The smallest.
    pub(super) min: f64,
    /// The largest.
    pub(super) max: f64,
}

/// Summarises; `None` without values.
pub(super) fn summary(values: &[f64]) -> Option<Summary> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(Summary {
        median: lower.midpoint(*upper),
        min: *sorted.first()?,
        max: *sorted.last()?,
    })
}

/// Ours divided by the plain tool's, pair by pair.
pub(super) fn ratios(ours: &[f64], plain: &[f64]) -> Vec<f64> {
    ours.iter().zip(plain).map(|(ours, plain)| ours / plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ends() {
        let check = |values: &[f64], median, min, max| {
            assert_eq!(summary(values), Some(Summary { median, min, max }), "{values:?}");
        };
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[3.0, 1.0], 2.0, 1.0, 3.0);
        check(&[5.0, 1.0, 2.0], 2.0, 1.0, 5.0);
        check(&[4.0, 1.0, 2.0, 100.0], 3.0, 1.0, 100.0);
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn ratios_go_pair_by_pair() {
        assert_eq!(ratios(&[2.0, 3.0], &[1.0, 6.0]), [2.0, 0.5]);
    }
}
