//! Who may take what, and who waits for whom. Pure.

use serde::{Deserialize, Serialize};

/// What a suite takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Demand {
    /// Memory of its machines, in MiB.
    #[serde(default)]
    pub(crate) memory_mib: u64,
    /// Processors of its machines.
    #[serde(default)]
    pub(crate) cpus: u64,
    /// The portal at which it has a session.
    #[serde(default)]
    pub(crate) portal: Option<String>,
}

impl Demand {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What there is to be taken; without a number, as much as anybody wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Capacity {
    pub(super) memory_mib: Option<u64>,
    pub(super) cpus: Option<u64>,
    /// Sessions at one portal.
    pub(super) seats: Option<u64>,
}

/// What somebody has, or waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Who came earlier has a lower one.
    pub(super) order: u64,
    /// Whether it is had.
    pub(super) taken: bool,
    pub(super) demand: Demand,
    pub(super) who: Who,
}

/// Who that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) pid: u32,
    /// The name of the run.
    pub(super) run: String,
    pub(super) suite: String,
    /// The owner of the file, which cannot be made up.
    #[serde(skip)]
    pub(super) user: String,
}

/// Kinds of what is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Cpus,
    Seats,
}

const KINDS: [Kind; 3] = [Kind::Memory, Kind::Cpus, Kind::Seats];

impl Capacity {
    fn of(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Memory => self.memory_mib,
            Kind::Cpus => self.cpus,
            Kind::Seats => self.seats,
        }
    }
}

/// How much `of` takes of what `mine` is about.
fn amount(of: &Demand, kind: Kind, mine: &Demand, capacity: u64) -> u64 {
    match kind {
        Kind::Memory => of.memory_mib,
        // Machines share processors: one whose machines have more than there are has them all.
        Kind::Cpus => of.cpus.min(capacity),
        Kind::Seats => u64::from(of.portal.is_some() && of.portal == mine.portal),
    }
}

/// Why `demand` can never be had, if that is so.
pub(super) fn never(demand: &Demand, capacity: &Capacity) -> Option<String> {
    let most = capacity.memory_mib.filter(|most| demand.memory_mib > *most)?;
    let asked = demand.memory_mib;
    Some(format!(
        "the machines of the suite have {asked} MiB of memory together, and all suites of this host may have {most} MiB: \
         give them less in the init file, or raise `budget_memory` (`POLDER_BUDGET_MEMORY`)"
    ))
}

/// Whether the claim `mine` can be had, beside and after `others`; else what it waits for, and who has it.
///
/// Nobody who came earlier is made to wait by it: what those wait for counts as theirs already.
pub(super) fn judge(mine: &Claim, others: &[Claim], capacity: &Capacity) -> Result<(), String> {
    let ahead: Vec<&Claim> = others.iter().filter(|one| one.taken || one.order < mine.order).collect();
    let lacking = KINDS.iter().filter_map(|kind| {
        let most = capacity.of(*kind)?;
        let own = amount(&mine.demand, *kind, &mine.demand, most);
        let share = |one: &&Claim| amount(&one.demand, *kind, &mine.demand, most);
        let used = ahead.iter().map(share).fold(0, u64::saturating_add);
        if own == 0 || used.saturating_add(own) <= most {
            return None;
        }
        let holders: Vec<&Claim> = ahead.iter().copied().filter(|one| share(one) > 0).collect();
        Some(words(*kind, &mine.demand, own, most.saturating_sub(used), most, &holders))
    });
    let lacking: Vec<String> = lacking.collect();
    if lacking.is_empty() { Ok(()) } else { Err(lacking.join("; and ")) }
}

fn words(kind: Kind, mine: &Demand, own: u64, free: u64, most: u64, holders: &[&Claim]) -> String {
    let what = match (kind, &mine.portal) {
        (Kind::Memory, _) => format!("{own} MiB of memory, of which {free} of {most} are free"),
        (Kind::Cpus, _) => format!("{own} processors, of which {free} of {most} are free"),
        (Kind::Seats, portal) => format!("a seat at the portal {}", portal.as_deref().unwrap_or_default()),
    };
    let holders: Vec<String> = holders.iter().map(|one| one.describe(kind)).collect();
    format!("for {what}: {}", holders.join(", "))
}

impl Claim {
    fn describe(&self, kind: Kind) -> String {
        let Self { taken, demand, who: Who { pid, run, suite, user }, .. } = self;
        let does = if *taken { "has" } else { "waits before for" };
        let what = match kind {
            Kind::Memory => format!("{} MiB", demand.memory_mib),
            Kind::Cpus => demand.cpus.to_string(),
            Kind::Seats => "it".to_owned(),
        };
        format!("`{suite}` (process {pid} of {user}, run {run}) {does} {what}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const CAPACITY: Capacity = Capacity { memory_mib: Some(1000), cpus: Some(8), seats: Some(1) };

    fn demand(memory_mib: u64, cpus: u64, portal: Option<&str>) -> Demand {
        Demand { memory_mib, cpus, portal: portal.map(str::to_owned) }
    }

    fn claim(order: u64, taken: bool, demand: Demand) -> Claim {
        let who =
            Who { pid: 7, run: "20261127T150000Z-7".into(), suite: format!("s{order}"), user: "ada".into() };
        Claim { order, taken, demand, who }
    }

    #[rstest::rstest]
    #[case::alone(demand(1000, 8, Some("p")), &[], None)]
    #[case::more_processors_than_there_are(demand(1, 99, None), &[], None)]
    #[case::beside(demand(400, 1, None), &[(true, demand(600, 7, None))], None)]
    #[case::memory(demand(401, 1, None), &[(true, demand(600, 1, None))], Some(
        "for 401 MiB of memory, of which 400 of 1000 are free: `s0` (process 7 of ada, run 20261127T150000Z-7) has 600 MiB"))]
    #[case::processors(demand(1, 9, None), &[(true, demand(1, 2, None))], Some(
        "for 8 processors, of which 6 of 8 are free: `s0` (process 7 of ada, run 20261127T150000Z-7) has 2"))]
    #[case::no_processors(demand(1, 0, None), &[(true, demand(1, 99, None))], None)]
    #[case::seat(demand(0, 0, Some("p")), &[(true, demand(0, 0, Some("p")))], Some(
        "for a seat at the portal p: `s0` (process 7 of ada, run 20261127T150000Z-7) has it"))]
    #[case::another_portal(demand(0, 0, Some("p")), &[(true, demand(0, 0, Some("q")))], None)]
    #[case::no_portal(demand(10, 0, None), &[(true, demand(0, 0, None))], None)]
    #[case::nobody_overtakes(demand(10, 0, None), &[(true, demand(600, 0, None)), (false, demand(1000, 0, None))], Some(
        "for 10 MiB of memory, of which 0 of 1000 are free: `s0` (process 7 of ada, run 20261127T150000Z-7) has 600 MiB, \
         `s1` (process 7 of ada, run 20261127T150000Z-7) waits before for 1000 MiB"))]
    #[case::who_waits_for_something_else(
        demand(10, 0, None),
        &[(true, demand(0, 0, Some("p"))), (false, demand(500, 0, Some("p")))],
        None
    )]
    #[case::absurd(demand(10, 0, None), &[(true, demand(u64::MAX, 0, None)), (true, demand(u64::MAX, 0, None))], Some(
        "for 10 MiB of memory, of which 0 of 1000 are free"))]
    fn who_waits_for_what(
        #[case] mine: Demand,
        #[case] others: &[(bool, Demand)],
        #[case] waits: Option<&str>,
    ) {
        let others: Vec<Claim> =
            (0..).zip(others).map(|(order, (taken, demand))| claim(order, *taken, demand.clone())).collect();
        let judged = judge(&claim(9, false, mine), &others, &CAPACITY);
        match (judged, waits) {
            (Ok(()), None) => {}
            (Err(said), Some(words)) => assert!(said.starts_with(words), "{said}"),
            (judged, waits) => panic!("{judged:?} instead of {waits:?}"),
        }
    }

    #[test]
    fn who_comes_later_does_not_count_until_it_has_something() {
        let mine = claim(1, false, demand(600, 0, None));
        let later = |taken| claim(2, taken, demand(600, 0, None));
        assert!(judge(&mine, &[later(false)], &CAPACITY).is_ok());
        assert!(judge(&mine, &[later(true)], &CAPACITY).is_err());
    }

    #[test]
    fn only_what_is_bounded_is_waited_for() {
        let held = claim(0, true, demand(u64::MAX, u64::MAX, Some("p")));
        let mine = claim(1, false, demand(5, 5, Some("p")));
        assert!(judge(&mine, &[held], &Capacity::default()).is_ok());
        assert_eq!(never(&demand(u64::MAX, u64::MAX, None), &Capacity::default()), None);
        assert_eq!(never(&demand(1000, 99, None), &CAPACITY), None);
        let said = never(&demand(1001, 1, None), &CAPACITY).unwrap();
        for part in ["1001 MiB", "1000 MiB", "init file", "POLDER_BUDGET_MEMORY"] {
            assert!(said.contains(part), "{said}");
        }
    }

    proptest! {
        /// Suites come and go in any order: there is never more taken than there is, none of them is passed over for
        /// good, and in the end all have had their turn.
        #[test]
        fn all_get_their_turn_and_nobody_too_much(
            asked in prop::collection::vec((0_u64..=1000, 0_u64..20, 0_u8..3), 1..30),
            goes in prop::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut coming = (0..).zip(asked).map(|(order, (memory, cpus, portal))| {
                claim(order, false, demand(memory, cpus, ["p", "q"].get(usize::from(portal)).copied()))
            });
            let mut there: BTreeMap<u64, Claim> = BTreeMap::new();
            let mut goes = goes.into_iter();
            loop {
                there.extend(coming.next().map(|claim| (claim.order, claim)));
                // Whoever can, takes; the last to come asks first.
                for order in there.keys().rev().copied().collect::<Vec<_>>() {
                    let (mine, others): (Vec<_>, Vec<_>) =
                        there.values().cloned().partition(|one| one.order == order);
                    if !mine[0].taken && judge(&mine[0], &others, &CAPACITY).is_ok() {
                        there.get_mut(&order).unwrap().taken = true;
                    }
                }
                let taken: Vec<&Claim> = there.values().filter(|one| one.taken).collect();
                prop_assert!(taken.iter().map(|one| one.demand.memory_mib).sum::<u64>() <= 1000);
                prop_assert!(taken.iter().map(|one| one.demand.cpus.min(8)).sum::<u64>() <= 8);
                for portal in ["p", "q"] {
                    prop_assert!(taken.iter().filter(|one| one.demand.portal.as_deref() == Some(portal)).count() <= 1);
                }
                let Some(first) = there.keys().next().copied() else { break };
                prop_assert!(!taken.is_empty(), "somebody waits for nobody: {:?}", there[&first]);
                let goes = goes.next().map_or(0, |index| index.index(taken.len()));
                let gone = taken[goes].order;
                there.remove(&gone);
            }
        }
    }
}
