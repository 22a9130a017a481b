//! What looks like success and is none: changes without work, and changes that begin because somebody left out what they wait
//! for. Nothing is wrong with them; who is strict does not take them. Pure.

use super::{
    model::Phase,
    plan::{Plan, PlanError, Planned, PlannedSet, PlannedStep},
};

impl Plan {
    /// What, of all that is not left out, does nothing; or that nothing is left.
    pub(crate) fn idle(&self, left_out: &[String]) -> Vec<String> {
        let wanted = |planned: &&PlannedStep| !left_out.iter().any(|name| name == planned.step.name.as_str());
        let steps: Vec<&PlannedStep> = self.steps().into_iter().filter(wanted).collect();
        if steps.is_empty() {
            return vec!["there is nothing in it".to_owned()];
        }
        steps.into_iter().filter_map(idle).collect()
    }

    /// Whether everything in it does something, and waits for nothing that is left out.
    ///
    /// # Errors
    /// With everything for which that is not so.
    pub fn strict(&self, left_out: &[String]) -> Result<(), PlanError> {
        let mut problems = Vec::new();
        look(&self.root, left_out, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(PlanError { problems }) }
    }
}

fn look(set: &PlannedSet, left_out: &[String], problems: &mut Vec<String>) {
    let members: Vec<&Planned> = set.waves.iter().flatten().collect();
    if members.is_empty() && set.verify.is_none() {
        problems.push(format!("the scenario `{}` has nothing in it", set.name));
    }
    for (member, needs) in members.iter().zip(&set.needs) {
        if is_out(member, left_out) {
            continue;
        }
        let needed = needs.iter().filter_map(|at| members.get(*at));
        for needed in needed.filter(|needed| is_out(needed, left_out)) {
            problems.push(format!("`{}` waits for `{}`, which is left out", member.name(), needed.name()));
        }
        match member {
            Planned::Set(inner) => look(inner, left_out, problems),
            Planned::Step(planned) => problems.extend(idle(planned)),
        }
    }
}

/// Whether nothing of a member is done because it is left out. From an empty scenario, nothing is.
fn is_out(member: &Planned, left_out: &[String]) -> bool {
    match member {
        Planned::Step(planned) => left_out.iter().any(|name| name == planned.step.name.as_str()),
        Planned::Set(inner) => {
            let mut members = inner.waves.iter().flatten().peekable();
            members.peek().is_some() && members.all(|member| is_out(member, left_out))
        }
    }
}

fn idle(planned: &PlannedStep) -> Option<String> {
    let step = &planned.step;
    if planned.units.is_empty() && !step.policy.noop {
        return Some(format!("`{}` has no device and row to be done on", step.name));
    }
    let scripts = Phase::FORWARD.iter().filter_map(|phase| step.script(*phase, 0));
    let is_idle = scripts.into_iter().all(|script| script.exchanges.is_empty() && script.checks.is_empty());
    is_idle.then(|| format!("`{}` does nothing", step.name))
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use crate::change::{Vars, parse, plan};

    const FILE: &str = "version: 1
drivers: { n: { kind: 'null' } }
devices: { sw: {} }
matrices: { none: { rows: [] } }
scenario:
  name: all
  nodes:
    - { step: a, targets: all, apply: { exchanges: [ { send: x } ] } }
    - { step: b, targets: all, after: [a], verify: { checks: [ 'true' ] } }
    - scenario: inner
      after: [b]
      nodes: [ { step: c, targets: all, apply: { exchanges: [ { send: x } ] } } ]
    - { step: d, targets: all, after: [inner], apply: { exchanges: [ { send: x } ] }MORE }
";

    /// A scenario that is empty, and a change that waits for it.
    const EMPTY: &str = " }\n    - { scenario: empty, nodes: [] }\n    \
                         - { step: e, targets: all, after: [empty], apply: { exchanges: [ { send: x } ] }";
    const VERIFIED: &str = " }\n    - { scenario: empty, nodes: [], verify: { checks: [ 'true' ] } }\n    \
         - { step: e, targets: all, after: [empty], apply: { exchanges: [ { send: x } ] }";

    #[rstest::rstest]
    #[case("", "", "")]
    #[case("", "a", "`b` waits for `a`, which is left out")]
    #[case("", "c", "`d` waits for `inner`, which is left out")]
    #[case("", "a b", "`inner` waits for `b`, which is left out")]
    #[case("", "a b c d", "")]
    #[case(", matrix: none", "", "`d` has no device and row to be done on")]
    #[case(", matrix: none, policy: { noop: true }", "", "")]
    #[case(
        " }\n    - { step: e, targets: all",
        "c",
        "`d` waits for `inner`, which is left out; `e` does nothing"
    )]
    #[case(" }\n    - { step: e, targets: all", "e", "")]
    #[case::nothing_in_it(EMPTY, "", "the scenario `empty` has nothing in it")]
    #[case::nothing_but_its_verification(VERIFIED, "", "")]
    fn who_is_strict_takes_no_success_without_work(
        #[case] more: &str,
        #[case] out: &str,
        #[case] expected: &str,
    ) {
        let read = |_: &Path| Err(io::Error::other("no files"));
        let text = FILE.replace("MORE", more);
        let loaded = parse(Path::new("x"), Path::new("/"), &text, &Vars::new(), &read).unwrap();
        let plan = plan(&loaded.changes, &Vars::new()).unwrap();
        let out: Vec<String> = out.split_whitespace().map(str::to_owned).collect();
        let problems = plan.strict(&out).err().map(|error| error.problems.join("; ")).unwrap_or_default();
        assert_eq!(problems, expected);
    }
}
