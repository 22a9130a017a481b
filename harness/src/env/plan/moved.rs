//! What is another place of the same machines: an environment that goes on from the state of one that was planned elsewhere
//! compares both plans.

use super::model::{Backing, EnvPlan, IdentityFrom, MachinePlan, Made};
use crate::{base::id::MachineName, image::Ability};

impl EnvPlan {
    /// The machine of that name.
    pub(in crate::env) fn machine(&self, name: &MachineName) -> Option<&MachinePlan> {
        self.machines.iter().find(|machine| machine.name == *name)
    }

    /// Whether any machine is at other addresses than in the plan `then`.
    pub(in crate::env) fn is_moved_from(&self, then: &Self) -> bool {
        self.machines.iter().any(|now| then.machine(&now.name).is_some_and(|then| now.is_moved_from(then)))
    }

    /// The first machine that is at other addresses than in the plan `then`, and can only be told so when it boots.
    pub(in crate::env) fn unmovable_from(&self, then: &Self) -> Option<&MachineName> {
        let moved = self.machines.iter().filter(|now| {
            then.machine(&now.name).is_some_and(|then| now.is_moved_from(then)) && !now.can_be_told()
        });
        moved.map(|machine| &machine.name).next()
    }

    /// What a disk of a machine lies over, where that is elsewhere than in the plan `then`.
    pub(in crate::env) fn base_since(&self, then: &Self, name: &MachineName, dev: &str) -> Option<&Backing> {
        let now = self.machine(name)?.backing(dev)?;
        let then = then.machine(name).and_then(|machine| machine.backing(dev));
        (then != Some(now)).then_some(now)
    }
}

impl MachinePlan {
    /// Whether it has other addresses than `then`, or asks somebody else for names.
    pub(in crate::env) fn is_moved_from(&self, then: &Self) -> bool {
        let place = |machine: &Self| -> Vec<_> {
            machine.nics.iter().map(|nic| (nic.mac, nic.ip, nic.ip6)).collect()
        };
        place(self) != place(then) || self.told_of_place() != then.told_of_place()
    }

    /// The part of what it is told of itself that says where it is.
    fn told_of_place(&self) -> Vec<&str> {
        const KEYS: [&str; 4] = ["polder.nic=", "polder.nic6=", "polder.dns=", "polder.search="];
        let strings = self.domain.iter().flat_map(|domain| &domain.oem_strings).map(String::as_str);
        strings.filter(|string| KEYS.iter().any(|key| string.starts_with(key))).collect()
    }

    /// Whether it can be told of another place while it runs: its image is ours, and has an agent.
    fn can_be_told(&self) -> bool {
        self.identity == IdentityFrom::Smbios && self.abilities.has(Ability::AgentExec)
    }

    fn backing(&self, dev: &str) -> Option<&Backing> {
        let mut disks = self.disks.iter().zip(self.domain.iter().flat_map(|domain| &domain.disks));
        match &disks.find(|(_, domain)| domain.dev == dev)?.0.image.as_ref()?.made {
            Made::Over(backing) => Some(backing),
            Made::Copy(_) | Made::Empty { .. } | Made::Seed(_) => None,
        }
    }
}
