//! Which scenarios of a suite are run, in which order and why. Pure.

use std::collections::BTreeSet;

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Parts of names, or whole names; empty: all.
    pub(crate) only: Vec<String>,
    /// Parts of names, or whole names, that are not selected.
    pub(crate) skip: Vec<String>,
    /// Whether both are whole names.
    pub(crate) exact: bool,
    /// What becomes of ignored scenarios.
    pub(crate) ignored: Ignored,
}

/// What becomes of ignored scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// They are reported as ignored.
    #[default]
    Skip,
    /// They are run like the others.
    Include,
    /// They alone are selected.
    Only,
}

impl Filter {
    /// Whether a full name is selected, ignored or not.
    pub(crate) fn selects(&self, name: &str) -> bool {
        let hit = |pattern: &String| {
            if self.exact { name == pattern } else { name.contains(pattern) }
        };
        (self.only.is_empty() || self.only.iter().any(hit)) && !self.skip.iter().any(hit)
    }
}

/// What the order depends on in a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate<'a> {
    /// Its name within the suite.
    pub(crate) name: &'a str,
    /// Names of earlier ones it needs.
    pub(crate) after: &'a [&'a str],
    /// Whether it is marked `#[ignore]`.
    pub(crate) ignored: bool,
}

/// What is done with the scenarios of a suite, by their index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// To be run, in this order.
    pub(crate) run: Vec<Planned>,
    /// Selected, but ignored.
    pub(crate) ignored: Vec<usize>,
    /// How many are neither.
    pub(crate) filtered_out: usize,
}

/// A scenario to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its index.
    pub(crate) index: usize,
    /// Whether only a selected one needs it.
    pub(crate) prerequisite: bool,
}

/// Selects among the scenarios of `suite`; what a selected one needs comes with it.
///
/// What needs an ignored scenario is ignored with it, so that `--ignored` runs both.
pub(crate) fn select(suite: &str, scenarios: &[Candidate<'_>], filter: &Filter) -> Selection {
    let needs = needs(scenarios);
    let ignored = ignored(scenarios, &needs);
    let mut selection = Selection::default();
    let mut selected = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for (index, scenario) in scenarios.iter().enumerate() {
        let is_ignored = ignored.contains(&index);
        if !filter.selects(&format!("{suite}::{}", scenario.name))
            || (filter.ignored == Ignored::Only && !is_ignored)
        {
            continue;
        }
        if is_ignored && filter.ignored == Ignored::Skip {
            selection.ignored.push(index);
        } else {
            selected.insert(index);
            collect(index, &needs, &mut needed);
        }
    }
    selection.run = selected
        .union(&needed)
        .map(|&index| Planned { index, prerequisite: !selected.contains(&index) })
        .collect();
    selection.filtered_out = scenarios.len() - selection.run.len() - selection.ignored.len();
    selection
}

/// Scenarios that are ignored, themselves or with one they need.
pub(crate) fn ignored_set(scenarios: &[Candidate<'_>]) -> BTreeSet<usize> {
    ignored(scenarios, &needs(scenarios))
}

/// For each scenario the indices of those it names; only earlier ones, so there are no circles.
fn needs(scenarios: &[Candidate<'_>]) -> Vec<Vec<usize>> {
    let needs = |(index, scenario): (usize, &Candidate<'_>)| {
        let earlier = scenarios.iter().enumerate().take(index);
        earlier.filter(|(_, other)| scenario.after.contains(&other.name)).map(|(other, _)| other).collect()
    };
    scenarios.iter().enumerate().map(needs).collect()
}

fn ignored(scenarios: &[Candidate<'_>], needs: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut ignored = BTreeSet::new();
    for (index, (scenario, needs)) in scenarios.iter().zip(needs).enumerate() {
        if scenario.ignored || needs.iter().any(|need| ignored.contains(need)) {
            ignored.insert(index);
        }
    }
    ignored
}

/// Adds everything `index` needs, directly or not.
fn collect(index: usize, needs: &[Vec<usize>], needed: &mut BTreeSet<usize>) {
    for &need in needs.get(index).into_iter().flatten() {
        if needed.insert(need) {
            collect(need, needs, needed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCENARIOS: &[Candidate<'static>] = &[
        Candidate { name: "boots", after: &[], ignored: false },
        Candidate { name: "routes", after: &["boots"], ignored: false },
        Candidate { name: "slow", after: &[], ignored: true },
        Candidate { name: "slower", after: &["slow", "routes"], ignored: false },
    ];

    fn filter(only: &[&str], skip: &[&str], exact: bool, ignored: Ignored) -> Filter {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Filter { only: owned(only), skip: owned(skip), exact, ignored }
    }

    /// `+` a prerequisite, `-` ignored, then the number filtered out.
    fn show(selection: &Selection) -> String {
        let run =
            selection.run.iter().map(|p| format!("{}{}", if p.prerequisite { "+" } else { "" }, p.index));
        let ignored = selection.ignored.iter().map(|index| format!("-{index}"));
        let words: Vec<String> = run.chain(ignored).collect();
        format!("{} out {}", words.join(" "), selection.filtered_out)
    }

    #[rstest::rstest]
    #[case::all(filter(&[], &[], false, Ignored::Skip), "0 1 -2 -3 out 0")]
    #[case::part(filter(&["rout"], &[], false, Ignored::Skip), "+0 1 out 2")]
    #[case::suite_name(filter(&["demo::"], &[], false, Ignored::Skip), "0 1 -2 -3 out 0")]
    #[case::exact_part(filter(&["demo::rout"], &[], true, Ignored::Skip), " out 4")]
    #[case::exact(filter(&["demo::routes", "demo::boots"], &[], true, Ignored::Skip), "0 1 out 2")]
    #[case::skip(filter(&[], &["boots"], false, Ignored::Skip), "+0 1 -2 -3 out 0")]
    #[case::only_ignored(filter(&[], &[], false, Ignored::Only), "+0 +1 2 3 out 0")]
    #[case::only_ignored_part(filter(&["slow"], &["slower"], false, Ignored::Only), "2 out 3")]
    #[case::include(filter(&["slower"], &[], false, Ignored::Include), "+0 +1 +2 3 out 0")]
    fn selection_follows_libtest(#[case] filter: Filter, #[case] expected: &str) {
        assert_eq!(show(&select("demo", SCENARIOS, &filter)), expected);
    }

    /// Scenarios named by their index, each needing some earlier ones.
    fn suites() -> impl Strategy<Value = Vec<(Vec<usize>, bool)>> {
        prop::collection::vec((prop::collection::vec(0_usize..20, 0..3), any::<bool>()), 0..20)
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let patterns = || prop::collection::vec("(demo::)?s1?[0-9]?", 0..3);
        let ignored = prop_oneof![Just(Ignored::Skip), Just(Ignored::Include), Just(Ignored::Only)];
        (patterns(), patterns(), any::<bool>(), ignored).prop_map(|(only, skip, exact, ignored)| Filter {
            only,
            skip,
            exact,
            ignored,
        })
    }

    proptest! {
        #[test]
        fn selections_are_sound(suite in suites(), filter in filters()) {
            let names: Vec<String> = (0..suite.len()).map(|i| format!("s{i}")).collect();
            let after: Vec<Vec<&str>> = suite
                .iter()
                .enumerate()
                .map(|(i, (needs, _))| needs.iter().filter(|n| **n < i).map(|n| names[*n].as_str()).collect())
                .collect();
            let candidates: Vec<Candidate<'_>> = (0..suite.len())
                .map(|i| Candidate { name: &names[i], after: &after[i], ignored: suite[i].1 })
                .collect();
            let selection = select("demo", &candidates, &filter);

            prop_assert!(selection.run.is_sorted_by(|a, b| a.index < b.index), "source order, each once");
            prop_assert_eq!(selection.run.len() + selection.ignored.len() + selection.filtered_out, suite.len());
            let runs: BTreeSet<usize> = selection.run.iter().map(|p| p.index).collect();
            prop_assert!(selection.ignored.iter().all(|i| !runs.contains(i)));
            let ignored = ignored_set(&candidates);
            for planned in &selection.run {
                let scenario = &candidates[planned.index];
                for need in scenario.after {
                    let need = names.iter().position(|n| n == need).unwrap();
                    prop_assert!(runs.contains(&need), "{} runs without {need}", scenario.name);
                }
                let selected = filter.selects(&format!("demo::{}", scenario.name));
                if planned.prerequisite {
                    let wanted = selection.run.iter().any(|p| candidates[p.index].after.contains(&scenario.name));
                    prop_assert!(wanted, "{} runs for nobody", scenario.name);
                } else {
                    prop_assert!(selected);
                }
                if filter.ignored == Ignored::Skip {
                    prop_assert!(!ignored.contains(&planned.index));
                }
            }
            for index in &selection.ignored {
                prop_assert!(ignored.contains(index) && filter.ignored == Ignored::Skip);
            }
        }
    }
}
