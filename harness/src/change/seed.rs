//! Other orders of a plan: members that need nothing of one another may begin in any, and what only works in the declared one
//! has a prerequisite that nobody wrote down. Pure.

use sha2::{Digest, Sha256};

use super::plan::{Plan, Planned, PlannedSet};

impl Plan {
    /// The same plan with the members of unordered scenarios in another order within their waves: the same one for the same
    /// names and number, on any host.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        arrange(&mut self.root, seed);
        self
    }
}

fn arrange(set: &mut PlannedSet, seed: u64) {
    for member in set.waves.iter_mut().flatten() {
        if let Planned::Set(inner) = member {
            arrange(inner, seed);
        }
    }
    if !set.unordered {
        return;
    }
    // For each place in the new order, the one that its member had.
    let mut before = Vec::new();
    for wave in &mut set.waves {
        let first = before.len();
        let mut members: Vec<(usize, Planned)> =
            std::mem::take(wave).into_iter().enumerate().map(|(at, member)| (first + at, member)).collect();
        members.sort_by_cached_key(|(_, member)| rank(seed, member.name()));
        for (at, member) in members {
            before.push(at);
            wave.push(member);
        }
    }
    let mut now = vec![0; before.len()];
    for (place, at) in before.iter().enumerate() {
        now.get_mut(*at).into_iter().for_each(|now| *now = place);
    }
    let moved = |at: &usize| now.get(*at).copied();
    let needs = before.iter().map(|at| set.needs.get(*at).into_iter().flatten().filter_map(moved).collect());
    set.needs = needs.collect();
}

fn rank(seed: u64, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(seed.to_be_bytes()).chain_update(name).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, io, path::Path};

    use super::*;
    use crate::change::{Vars, parse, plan};

    fn planned(unordered: bool) -> Plan {
        let text = format!(
            "version: 1\ndrivers: {{ n: {{ kind: 'null' }} }}\ndevices: {{ sw: {{}} }}\nscenario:\n  name: all\n  unordered: {unordered}\n  \
             nodes:\n    - {{ step: a, targets: all }}\n    - {{ step: b, targets: all }}\n    - {{ step: c, targets: all }}\n    \
             - {{ step: d, targets: all, after: [a] }}\n    - {{ step: e, targets: all, after: [c, b] }}\n"
        );
        let read = |_: &Path| Err(io::Error::other("no files"));
        let loaded = parse(Path::new("x"), Path::new("/"), &text, &Vars::new(), &read).unwrap();
        plan(&loaded.changes, &Vars::new()).unwrap()
    }

    fn names(plan: &Plan) -> String {
        plan.steps().iter().map(|step| step.step.name.as_str()).collect()
    }

    /// Each member with those that it needs, by names.
    fn needs(plan: &Plan) -> BTreeSet<(String, BTreeSet<String>)> {
        let names: Vec<String> =
            plan.root.waves.iter().flatten().map(|member| member.name().to_owned()).collect();
        let of = |needs: &Vec<usize>| needs.iter().map(|at| names[*at].clone()).collect();
        names.iter().cloned().zip(plan.root.needs.iter().map(of)).collect()
    }

    #[test]
    fn a_number_is_an_order_and_prerequisites_stay() {
        let declared = planned(true);
        assert_eq!(names(&declared), "abcde");
        let orders: BTreeSet<String> = (0..100).map(|seed| names(&planned(true).seeded(seed))).collect();
        // Three of the first wave in any order, then two of the second.
        assert_eq!(orders.len(), 6 * 2, "{orders:?}");
        assert!(orders.iter().all(|order| order[3..].chars().all(|name| "de".contains(name))));
        for seed in 0..40 {
            let seeded = planned(true).seeded(seed);
            assert_eq!(needs(&seeded), needs(&declared));
            assert_eq!(seeded, planned(true).seeded(seed));
        }
        assert_eq!(planned(false).seeded(7), planned(false), "an order that is declared stays");
    }
}
