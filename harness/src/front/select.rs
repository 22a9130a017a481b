//! From all suites to what is listed or run. Pure.

use crate::suite::{
    order::{Candidate, Filter, Ignored, Selection, ignored_set, select},
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
        match unit {
            Unit::Suite if wanted(&suite.name, ignored.len() == candidates.len()) => {
                names.push(suite.name.clone())
            }
            Unit::Suite => {}
            Unit::Scenario => {
                let full = candidates
                    .iter()
                    .map(|candidate| format!("{}::{}", suite.name, candidate.name));
                names.extend(
                    full.enumerate()
                        .filter(|(i, name)| wanted(name, ignored.contains(i)))
                        .map(|(_, name)| name),
                );
            }
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
                let whole = Filter {
                    ignored: filter.ignored,
                    ..Filter::default()
                };
                select(&suite.name, &candidates(&suite), &whole)
            }
            Unit::Suite => Selection {
                filtered_out: suite.def.scenarios.len(),
                ..Selection::default()
            },
        };
        filtered_out += selection.filtered_out;
        if !(selection.run.is_empty() && selection.ignored.is_empty()) {
            picked.push(Picked { suite, selection });
        }
    }
    (picked, filtered_out)
}

fn candidates(suite: &Suite) -> Vec<Candidate<'static>> {
    let candidate = |scenario: &'static crate::suite::registry::ScenarioDef| Candidate {
        name: scenario.step.name,
        after: scenario.after,
        ignored: scenario.ignore != Ignore::No,
    };
    suite.def.scenarios.iter().map(candidate).collect()
}
