//! From all suites to what is listed or run. Pure.

use std::collections::BTreeMap;

use crate::suite::{
    order::{self, Candidate, Filter, Ignored, Selection, ignored_set, select},
    registry::{Ignore, Suite},
};

/// A suite of which something is run or reported.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) suite: Suite,
    pub(super) selection: Selection,
}

/// What is one test to whoever runs the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A scenario.
    Scenario,
    /// A whole suite: nextest gives each test a process, and a suite never spans processes.
    Suite,
}

/// Names of the tests that `filter` selects.
pub(super) fn list(suites: &[Suite], filter: &Filter, unit: Unit) -> Vec<String> {
    let mut names = Vec::new();
    for suite in suites {
        let candidates = candidates(suite);
        let ignored = ignored_set(&candidates);
        let wanted = |name: &str, is_ignored: bool| {
            filter.selects(name) && (filter.ignored != Ignored::Only || is_ignored)
        };
        let mut tagged =
            candidates.iter().enumerate().filter(|(_, candidate)| filter.selects_tags(candidate.tags));
        match unit {
            Unit::Suite => {
                if wanted(&suite.name, ignored.len() == candidates.len()) && tagged.next().is_some() {
                    names.push(suite.name.clone());
                }
            }
            Unit::Scenario => names.extend(tagged.filter_map(|(index, candidate)| {
                let name = format!("{}::{}", suite.name, candidate.name);
                (wanted(&name, ignored.contains(&index)) && filter.is_among(&name)).then_some(name)
            })),
        }
    }
    names
}

/// The suites of which `filter` selects something, and the number of scenarios it leaves out.
pub(super) fn pick(suites: Vec<Suite>, filter: &Filter, unit: Unit) -> (Vec<Picked>, usize) {
    let mut filtered_out = 0;
    let mut picked = Vec::new();
    for suite in suites {
        let selection = match unit {
            Unit::Scenario => select(&suite.name, &candidates(&suite), filter),
            Unit::Suite if filter.selects(&suite.name) => {
                let whole = Filter { only: vec![], skip: vec![], ..filter.clone() };
                select(&suite.name, &candidates(&suite), &whole)
            }
            Unit::Suite => Selection { filtered_out: suite.def.scenarios.len(), ..Selection::default() },
        };
        filtered_out += selection.filtered_out;
        if !(selection.run.is_empty() && selection.ignored.is_empty()) {
            picked.push(Picked { suite, selection });
        }
    }
    (picked, filtered_out)
}

/// Leaves out what cannot be run here, with what needs it; returns how many scenarios nobody wants any more.
pub(super) fn leave_out(picked: &mut Picked, lacking: BTreeMap<usize, String>) -> usize {
    let selection = std::mem::take(&mut picked.selection);
    let before = selection.filtered_out;
    picked.selection = order::leave_out(selection, &candidates(&picked.suite), lacking);
    picked.selection.filtered_out - before
}

fn candidates(suite: &Suite) -> Vec<Candidate<'static>> {
    let candidate = |scenario: &'static crate::suite::registry::ScenarioDef| Candidate {
        name: scenario.step.name,
        after: scenario.after,
        from: scenario.from,
        always: scenario.always,
        tags: scenario.tags,
        ignored: scenario.ignore != Ignore::No,
    };
    suite.def.scenarios.iter().map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::registry::{ScenarioDef, StepDef, SuiteDef};

    const fn scenario(name: &'static str, after: &'static [&'static str], ignore: Ignore) -> ScenarioDef {
        let run = |_| -> crate::base::dial::BoxFuture<'static, crate::Result> { Box::pin(async { Ok(()) }) };
        let step = StepDef { name, line: 1, params: &[], timeout: None, plain: false, cached: false, run };
        let tags: &[&str] = if after.is_empty() { &[] } else { &["last"] };
        ScenarioDef { after, tags, ignore, ..ScenarioDef::plain(step) }
    }

    const fn suite(module: &'static str, scenarios: &'static [ScenarioDef]) -> SuiteDef {
        SuiteDef::plain(module, "t.rs", 1, scenarios)
    }

    static DEFS: [SuiteDef; 2] = [
        suite("t::some", &[scenario("a", &[], Ignore::No), scenario("b", &["a"], Ignore::Yes)]),
        suite("t::none", &[scenario("a", &[], Ignore::Because("slow")), scenario("b", &["a"], Ignore::No)]),
    ];

    fn suites() -> Vec<Suite> {
        let name = |def: &SuiteDef| def.module.trim_start_matches("t::").to_owned();
        DEFS.iter().map(|def| Suite { name: name(def), def }).collect()
    }

    fn filter(only: &str, ignored: Ignored) -> Filter {
        let only = if only.is_empty() { Vec::new() } else { vec![only.to_owned()] };
        Filter { only, exact: true, ignored, ..Filter::default() }
    }

    #[rstest::rstest]
    #[case(Unit::Scenario, Ignored::Skip, &["some::a", "some::b", "none::a", "none::b"])]
    #[case(Unit::Scenario, Ignored::Only, &["some::b", "none::a", "none::b"])]
    #[case(Unit::Suite, Ignored::Skip, &["some", "none"])]
    #[case(Unit::Suite, Ignored::Only, &["none"])]
    fn lists(#[case] unit: Unit, #[case] ignored: Ignored, #[case] expected: &[&str]) {
        assert_eq!(list(&suites(), &filter("", ignored), unit), expected);
    }

    #[test]
    fn tags_are_of_scenarios_whatever_is_a_test() {
        let last = Filter { tags: vec!["last".into()], ..Filter::default() };
        assert_eq!(list(&suites(), &last, Unit::Scenario), ["some::b", "none::b"]);
        assert_eq!(list(&suites(), &last, Unit::Suite), ["some", "none"]);
        let other = Filter { tags: vec!["other".into()], ..Filter::default() };
        assert_eq!(list(&suites(), &other, Unit::Suite), [""; 0]);
        let (all, out) = picked(Unit::Suite, &Filter { ignored: Ignored::Include, ..last });
        assert_eq!(
            (all, out),
            (vec![("some".into(), 2, 0), ("none".into(), 2, 0)], 0),
            "with what they need"
        );
    }

    /// Names of picked suites with how many run and are ignored, and how many scenarios are left out.
    fn picked(unit: Unit, filter: &Filter) -> (Vec<(String, usize, usize)>, usize) {
        let (picked, out) = pick(suites(), filter, unit);
        let show =
            |Picked { suite, selection }: Picked| (suite.name, selection.run.len(), selection.ignored.len());
        (picked.into_iter().map(show).collect(), out)
    }

    #[test]
    fn a_suite_as_one_test_is_run_whole() {
        assert_eq!(picked(Unit::Suite, &filter("some", Ignored::Skip)), (vec![("some".into(), 1, 1)], 2));
        assert_eq!(picked(Unit::Suite, &filter("none", Ignored::Only)), (vec![("none".into(), 2, 0)], 2));
        assert_eq!(picked(Unit::Suite, &filter("some::a", Ignored::Skip)), (vec![], 4));
        assert_eq!(
            picked(Unit::Scenario, &filter("some::a", Ignored::Skip)),
            (vec![("some".into(), 1, 0)], 3)
        );
    }
}
