//! Whether ours stays as good when there are more machines: the ratio with the most of them, in terms of that with the
//! fewest.

use serde::Serialize;

use super::Row;

/// How the ratio of a step changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Growth {
    /// The step.
    pub(super) step: String,
    /// The fewest machines.
    pub(super) from: String,
    /// The most.
    pub(super) to: String,
    /// The ratio at the most by that at the fewest: 1 is flat.
    pub(super) times: f64,
}

/// For rows named `STEP, NUMBER WHAT`, of steps that were measured with several numbers.
pub(super) fn growth(rows: &[Row]) -> Vec<Growth> {
    let mut steps: Vec<(&str, Vec<(u32, f64)>)> = vec![];
    for row in rows {
        let Some((step, rest)) = row.name.split_once(", ") else { continue };
        let Some(Ok(number)) = rest.split(' ').next().map(str::parse) else { continue };
        match steps.iter_mut().find(|(known, _)| *known == step) {
            Some((_, ratios)) => ratios.push((number, row.ratio.median)),
            None => steps.push((step, vec![(number, row.ratio.median)])),
        }
    }
    let one = |(step, mut ratios): (&str, Vec<(u32, f64)>)| {
        ratios.sort_by_key(|(number, _)| *number);
        let (from, to) = (*ratios.first()?, *ratios.last()?);
        (from.0 < to.0).then(|| Growth {
            step: step.to_owned(),
            from: from.0.to_string(),
            to: to.0.to_string(),
            times: to.1 / from.1,
        })
    };
    steps.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Figure, Side, rows, tests::SOME};

    #[test]
    fn the_most_machines_are_compared_with_the_fewest() {
        let figure = |name: &str, side, seconds| Figure { name: name.to_owned(), side, seconds };
        let figures: Vec<_> =
            [("init, 8 x", 3.0), ("init, 1 x", 2.0), ("init, 2 x", 9.0), ("stop, 1 x", 1.0), ("lab", 1.0)]
                .into_iter()
                .flat_map(|(name, ours)| [figure(name, Side::Ours, ours), figure(name, Side::Plain, 1.0)])
                .collect();
        let grown = growth(&rows(&SOME, &figures).unwrap());
        let expected =
            Growth { step: "init".to_owned(), from: "1".to_owned(), to: "8".to_owned(), times: 1.5 };
        assert_eq!(grown, [expected]);
    }
}
