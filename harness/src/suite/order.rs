//! Which scenarios of a suite are run, in which order and why. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Parts of names, or whole names; empty: all.
    pub(crate) only: Vec<String>,
    /// Parts of names, or whole names, that are not selected.
    pub(crate) skip: Vec<String>,
    /// Whether both are whole names. That of a scenario without its case means all of its cases.
    pub(crate) exact: bool,
    /// Tags of which a scenario has one to be selected; empty: all.
    pub(crate) tags: Vec<String>,
    /// Tags with which a scenario is not selected.
    pub(crate) skip_tags: Vec<String>,
    /// What becomes of ignored scenarios.
    pub(crate) ignored: Ignored,
    /// Full names of which a scenario's is one to be selected; absent: all.
    pub(crate) among: Option<BTreeSet<String>>,
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
        let without_case = name.split_once('[').map_or(name, |(name, _)| name);
        let hit = |pattern: &String| {
            if self.exact { name == pattern || without_case == pattern } else { name.contains(pattern) }
        };
        (self.only.is_empty() || self.only.iter().any(hit)) && !self.skip.iter().any(hit)
    }

    /// Whether the scenario of this full name is not left out for what became of it before.
    pub(crate) fn is_among(&self, name: &str) -> bool {
        self.among.as_ref().is_none_or(|names| names.contains(name))
    }

    /// Whether a scenario with these tags is selected.
    pub(crate) fn selects_tags(&self, tags: &[&str]) -> bool {
        let has = |wanted: &String| tags.contains(&wanted.as_str());
        (self.tags.is_empty() || self.tags.iter().any(has)) && !self.skip_tags.iter().any(has)
    }
}

/// What the order depends on in a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate<'a> {
    /// Its name within the suite.
    pub(crate) name: &'a str,
    /// Names of earlier ones it needs.
    pub(crate) after: &'a [&'a str],
    /// The one of them in whose end state it begins.
    pub(crate) from: Option<&'a str>,
    /// Whether it runs without them as well.
    pub(crate) always: bool,
    /// Its tags.
    pub(crate) tags: &'a [&'a str],
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
    /// Selected, but not to be run here, for these reasons.
    pub(crate) left_out: BTreeMap<usize, LeftOut>,
    /// How many are none of that.
    pub(crate) filtered_out: usize,
}

/// Why a scenario is not to be run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// In words.
    pub(crate) why: String,
    /// Whether it lacks something itself; else one that it needs does.
    pub(crate) is_own: bool,
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
/// What needs an ignored scenario is ignored with it, so that `--ignored` runs both; what always runs does without it.
pub(crate) fn select(suite: &str, scenarios: &[Candidate<'_>], filter: &Filter) -> Selection {
    let needs = needs(scenarios);
    let ignored = ignored(scenarios, &needs);
    let mut selection = Selection::default();
    let mut selected = BTreeSet::new();
    let mut needed = BTreeSet::new();
    let none = BTreeSet::new();
    let without = if filter.ignored == Ignored::Skip { &ignored } else { &none };
    for (index, scenario) in scenarios.iter().enumerate() {
        let is_ignored = ignored.contains(&index);
        let full = format!("{suite}::{}", scenario.name);
        if !filter.selects(&full)
            || !filter.is_among(&full)
            || !filter.selects_tags(scenario.tags)
            || (filter.ignored == Ignored::Only && !is_ignored)
        {
            continue;
        }
        if is_ignored && filter.ignored == Ignored::Skip {
            selection.ignored.push(index);
        } else {
            selected.insert(index);
            collect(index, &needs, without, &mut needed);
        }
    }
    selection.run = selected
        .union(&needed)
        .map(|&index| Planned { index, prerequisite: !selected.contains(&index) })
        .collect();
    selection.filtered_out = scenarios.len() - selection.run.len() - selection.ignored.len();
    selection
}

/// Takes out of a selection what cannot be run here (`lacking` says why), with what needs it, and what only those needed.
pub(crate) fn leave_out(
    selection: Selection,
    scenarios: &[Candidate<'_>],
    lacking: BTreeMap<usize, String>,
) -> Selection {
    let needs = needs(scenarios);
    let own = |why| LeftOut { why, is_own: true };
    let mut lacking: BTreeMap<usize, LeftOut> = lacking.into_iter().map(|(i, why)| (i, own(why))).collect();
    for (index, (scenario, needs)) in scenarios.iter().zip(&needs).enumerate() {
        let need = needs.iter().filter(|_| !scenario.always).find(|need| lacking.contains_key(need));
        if let Some(need) = need.and_then(|need| scenarios.get(*need)) {
            let why = format!("needs `{}`, which is left out", need.name);
            lacking.entry(index).or_insert(LeftOut { why, is_own: false });
        }
    }
    let without: BTreeSet<usize> = lacking.keys().copied().collect();
    let selected = selection.run.iter().filter(|planned| !planned.prerequisite).map(|planned| planned.index);
    let (left_out, selected): (Vec<_>, Vec<_>) = selected.partition(|index| without.contains(index));
    let mut needed: BTreeSet<usize> = selected.iter().copied().collect();
    selected.iter().for_each(|&index| collect(index, &needs, &without, &mut needed));
    let before = selection.run.len();
    let mut run = selection.run;
    run.retain(|planned| needed.contains(&planned.index));
    let filtered_out = selection.filtered_out + before - run.len() - left_out.len();
    let left_out = left_out.into_iter().filter_map(|index| lacking.remove_entry(&index)).collect();
    Selection { run, left_out, filtered_out, ..selection }
}

/// Scenarios that are ignored, themselves or with one they need.
pub(crate) fn ignored_set(scenarios: &[Candidate<'_>]) -> BTreeSet<usize> {
    ignored(scenarios, &needs(scenarios))
}

/// For each scenario the indices of those it names; only earlier ones, so there are no circles.
fn needs(scenarios: &[Candidate<'_>]) -> Vec<Vec<usize>> {
    let needs = |(index, scenario): (usize, &Candidate<'_>)| {
        let earlier = scenarios.iter().enumerate().take(index);
        let is_needed =
            |other: &Candidate<'_>| scenario.from == Some(other.name) || scenario.after.contains(&other.name);
        earlier.filter(|(_, other)| is_needed(other)).map(|(other, _)| other).collect()
    };
    scenarios.iter().enumerate().map(needs).collect()
}

fn ignored(scenarios: &[Candidate<'_>], needs: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut ignored = BTreeSet::new();
    for (index, (scenario, needs)) in scenarios.iter().zip(needs).enumerate() {
        let with_others = !scenario.always && needs.iter().any(|need| ignored.contains(need));
        if scenario.ignored || with_others {
            ignored.insert(index);
        }
    }
    ignored
}

/// Adds everything `index` needs, directly or not, but for what it has to do `without`.
fn collect(index: usize, needs: &[Vec<usize>], without: &BTreeSet<usize>, needed: &mut BTreeSet<usize>) {
    for &need in needs.get(index).into_iter().flatten() {
        if !without.contains(&need) && needed.insert(need) {
            collect(need, needs, without, needed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn candidate(
        name: &'static str,
        after: &'static [&'static str],
        ignored: bool,
    ) -> Candidate<'static> {
        Candidate { name, after, from: None, always: false, tags: &[], ignored }
    }

    const SCENARIOS: &[Candidate<'static>] = &[
        candidate("boots", &[], false),
        candidate("routes", &["boots"], false),
        candidate("slow", &[], true),
        candidate("slower", &["slow", "routes"], false),
    ];

    fn filter(only: &[&str], skip: &[&str], exact: bool, ignored: Ignored) -> Filter {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Filter { only: owned(only), skip: owned(skip), exact, ignored, ..Filter::default() }
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

    #[test]
    fn what_is_left_out_takes_along_what_needs_it() {
        let all = || select("demo", SCENARIOS, &filter(&[], &[], false, Ignored::Include));
        let left = |selection, index, scenarios: &[Candidate<'_>]| {
            let lacking = BTreeMap::from([(index, "why".to_owned())]);
            let selection = leave_out(selection, scenarios, lacking);
            let out: Vec<String> =
                selection.left_out.iter().map(|(i, out)| format!("!{i} {}", out.why)).collect();
            assert!(selection.left_out.iter().all(|(i, out)| out.is_own == (*i == index)));
            format!("{}: {}", show(&selection), out.join(", "))
        };
        assert_eq!(left(all(), 1, SCENARIOS), "0 2 out 0: !1 why, !3 needs `routes`, which is left out");
        assert_eq!(left(all(), 3, SCENARIOS), "0 1 2 out 0: !3 why");
        // Nobody else wants `boots` then.
        let one = select("demo", SCENARIOS, &filter(&["routes"], &[], false, Ignored::Skip));
        assert_eq!(left(one, 1, SCENARIOS), " out 3: !1 why");
        let slower = select("demo", SCENARIOS, &filter(&["slower"], &[], false, Ignored::Include));
        assert_eq!(left(slower, 2, SCENARIOS), " out 3: !3 needs `slow`, which is left out");
    }

    #[test]
    fn what_always_runs_does_without_what_it_is_after() {
        let clean_up = Candidate { always: true, ..candidate("clean_up", &["slow", "boots"], false) };
        let scenarios = [&SCENARIOS[..3], &[clean_up]].concat();
        let chosen = |filter: &Filter| select("demo", &scenarios, filter);
        assert_eq!(show(&chosen(&filter(&["clean"], &[], false, Ignored::Skip))), "+0 3 out 2");
        assert_eq!(show(&chosen(&filter(&["clean"], &[], false, Ignored::Include))), "+0 +2 3 out 1");
        assert_eq!(show(&chosen(&filter(&[], &[], false, Ignored::Only))), "2 out 3");
        let all = chosen(&filter(&[], &[], false, Ignored::Skip));
        assert_eq!(show(&all), "0 1 3 -2 out 0");
        let left = leave_out(all, &scenarios, BTreeMap::from([(0, "why".to_owned())]));
        assert_eq!(show(&left), "3 -2 out 0", "what is after what is left out runs if it always does");
        assert_eq!(left.left_out.keys().copied().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn what_begins_in_a_state_needs_who_left_it() {
        let from = |name, from| Candidate { from: Some(from), ..candidate(name, &[], false) };
        let scenarios =
            [candidate("a", &[], false), candidate("b", &[], false), from("c", "a"), from("d", "c")];
        let chosen = |only: &str| select("demo", &scenarios, &filter(&[only], &[], true, Ignored::Skip));
        assert_eq!(show(&chosen("demo::d")), "+0 +2 3 out 1");
        assert_eq!(show(&chosen("demo::b")), "1 out 3");
        let all = select("demo", &scenarios, &Filter::default());
        let left = leave_out(all, &scenarios, BTreeMap::from([(0, "why".to_owned())]));
        assert_eq!(show(&left), "1 out 0");
        assert_eq!(left.left_out.keys().copied().collect::<Vec<_>>(), [0, 2, 3]);
        let ignored = [candidate("a", &[], true), from("c", "a")];
        assert_eq!(ignored_set(&ignored).len(), 2, "what it needs is ignored, and it with it");
    }

    #[test]
    fn tags_and_cases_select() {
        let tagged = |name, tags| Candidate { tags, ..candidate(name, &[], false) };
        let scenarios = [
            tagged("a[x]", &["net"]),
            tagged("a[y]", &["net", "slow"]),
            tagged("ab", &["slow"]),
            tagged("c", &[]),
        ];
        let chosen = |filter: &Filter| show(&select("demo", &scenarios, filter));
        let tags = |tags: &[&str], skip_tags: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
            Filter { tags: owned(tags), skip_tags: owned(skip_tags), ..Filter::default() }
        };
        assert_eq!(chosen(&tags(&["net"], &[])), "0 1 out 2");
        assert_eq!(chosen(&tags(&["net", "slow"], &[])), "0 1 2 out 1");
        assert_eq!(chosen(&tags(&["net"], &["slow"])), "0 out 3");
        assert_eq!(chosen(&tags(&[], &["slow"])), "0 3 out 2");
        assert_eq!(chosen(&tags(&["ne"], &[])), " out 4", "tags are whole words");
        assert_eq!(chosen(&filter(&["demo::a"], &[], true, Ignored::Skip)), "0 1 out 2", "all of its cases");
        assert_eq!(chosen(&filter(&["demo::a[y]"], &[], true, Ignored::Skip)), "1 out 3");
        assert_eq!(chosen(&filter(&[], &["demo::a"], true, Ignored::Skip)), "2 3 out 2");
    }

    /// What a scenario of a made-up suite needs, whether it is ignored, and whether it always runs.
    type Made = (Vec<usize>, bool, bool);

    /// Scenarios named by their index, each needing some earlier ones.
    fn suites() -> impl Strategy<Value = Vec<Made>> {
        let scenario = (prop::collection::vec(0_usize..20, 0..3), any::<bool>(), prop::bool::weighted(0.2));
        prop::collection::vec(scenario, 0..20)
    }

    /// Made for good: they are few and small.
    fn candidates(suite: &[Made]) -> Vec<Candidate<'static>> {
        let names: Vec<&'static str> = (0..suite.len()).map(|i| &*format!("s{i}").leak()).collect();
        let candidate = |(i, (needs, ignored, always)): (usize, &Made)| {
            let earlier: Vec<&'static str> = needs.iter().filter(|n| **n < i).map(|n| names[*n]).collect();
            Candidate { always: *always, ..candidate(names[i], earlier.leak(), *ignored) }
        };
        suite.iter().enumerate().map(candidate).collect()
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let patterns = || prop::collection::vec("(demo::)?s1?[0-9]?", 0..3);
        let ignored = prop_oneof![Just(Ignored::Skip), Just(Ignored::Include), Just(Ignored::Only)];
        (patterns(), patterns(), any::<bool>(), ignored).prop_map(|(only, skip, exact, ignored)| Filter {
            only,
            skip,
            exact,
            ignored,
            ..Filter::default()
        })
    }

    proptest! {
        #[test]
        fn selections_are_sound(suite in suites(), filter in filters()) {
            let candidates = candidates(&suite);
            let selection = select("demo", &candidates, &filter);

            prop_assert!(selection.run.is_sorted_by(|a, b| a.index < b.index), "source order, each once");
            prop_assert_eq!(selection.run.len() + selection.ignored.len() + selection.filtered_out, suite.len());
            let runs: BTreeSet<usize> = selection.run.iter().map(|p| p.index).collect();
            prop_assert!(selection.ignored.iter().all(|i| !runs.contains(i)));
            let ignored = ignored_set(&candidates);
            for planned in &selection.run {
                let scenario = &candidates[planned.index];
                for need in scenario.after {
                    let need = candidates.iter().position(|other| other.name == *need).unwrap();
                    let is_spared = scenario.always && filter.ignored == Ignored::Skip && ignored.contains(&need);
                    prop_assert!(is_spared || runs.contains(&need), "{} runs without {need}", scenario.name);
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

        #[test]
        fn what_is_left_out_is_left_out_with_all_that_needs_it(
            suite in suites(),
            filter in filters(),
            lacking in prop::collection::btree_set(0_usize..20, 0..4),
        ) {
            let candidates = candidates(&suite);
            let before = select("demo", &candidates, &filter);
            let why = lacking.iter().filter(|i| **i < suite.len()).map(|i| (*i, "why".to_owned())).collect();
            let selection = leave_out(before.clone(), &candidates, why);

            let counted = selection.run.len() + selection.ignored.len() + selection.left_out.len();
            prop_assert_eq!(counted + selection.filtered_out, suite.len());
            prop_assert_eq!(&selection.ignored, &before.ignored);
            let runs: BTreeSet<usize> = selection.run.iter().map(|p| p.index).collect();
            prop_assert!(runs.is_disjoint(&lacking));
            for planned in &selection.run {
                prop_assert!(before.run.contains(planned));
                let needs = candidates[planned.index].after;
                prop_assert!(candidates[planned.index].always || needs.iter().all(|need| runs.iter().any(|i| candidates[*i].name == *need)));
                let wanted = runs.iter().any(|i| candidates[*i].after.contains(&candidates[planned.index].name));
                prop_assert!(!planned.prerequisite || wanted);
            }
            for planned in before.run.iter().filter(|planned| !planned.prerequisite) {
                prop_assert!(runs.contains(&planned.index) != selection.left_out.contains_key(&planned.index));
            }
        }
    }
}
