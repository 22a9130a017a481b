//! Plans of the same machines at different places.

use super::{EVERYTHING, EnvPlan, IdentityFrom, Made, planned};
use crate::image::Ability;

/// That of everything, with `this` being `that`, and agents that run programs.
fn with(this: &str, that: &str) -> EnvPlan {
    assert!(EVERYTHING.contains(this));
    let mut plan = planned(&EVERYTHING.replace(this, that)).unwrap();
    plan.machines.iter_mut().for_each(|machine| machine.abilities.0.extend([Ability::AgentExec]));
    plan
}

fn moved(now: &EnvPlan, then: &EnvPlan) -> Vec<String> {
    let is_moved = |name: &_| now.machine(name).unwrap().is_moved_from(then.machine(name).unwrap());
    now.machines.iter().filter(|m| is_moved(&m.name)).map(|m| m.name.to_string()).collect()
}

#[rstest::rstest]
#[case::nothing("suite.test", "suite.test", &[])]
#[case::size("memory: 256", "memory: 512", &[])]
#[case::subnet("{management", "{gw: 192.168.210.1, management", &["r1", "h1"])]
#[case::subnet_of_one("10.0.0.254", "10.0.0.253", &[])]
#[case::address("ip: 10.0.0.10", "ip: 10.0.0.11", &["r1"])]
#[case::names("suite.test", "other.test", &["r1", "h1"])]
#[case::second_kind("{management", "{ipv6: true, management", &["r1", "h1"])]
fn machines_are_moved_by(#[case] this: &str, #[case] that: &str, #[case] expected: &[&str]) {
    let (then, now) = (with("r1", "r1"), with(this, that));
    assert_eq!(moved(&now, &then), expected);
    assert_eq!(now.unmovable_from(&then), None);
}

#[test]
fn who_cannot_be_told_while_it_runs_is_said() {
    let (then, mut now) = (with("r1", "r1"), with("{management", "{gw: 192.168.210.1, management"));
    let unmovable = |now: &EnvPlan| now.unmovable_from(&then).map(ToString::to_string);
    now.machines[1].identity = IdentityFrom::CloudInit;
    assert_eq!(unmovable(&now), Some("h1".to_owned()));
    now.machines[0].abilities.0.remove(&Ability::AgentExec);
    assert_eq!(unmovable(&now), Some("r1".to_owned()));
    let mut unmoved = with("r1", "r1");
    unmoved.machines.iter_mut().for_each(|machine| machine.identity = IdentityFrom::Disk);
    assert_eq!(unmovable(&unmoved), None, "nobody has to be told anything");
}

#[test]
fn what_disks_lie_over_may_be_elsewhere() {
    let (then, mut now) = (with("r1", "r1"), with("r1", "r1"));
    let name = now.machines[0].name.clone();
    assert_eq!(now.base_since(&then, &name, "vda"), None);
    let Some(Made::Over(base)) = now.machines[0].disks[0].image.as_mut().map(|image| &mut image.made) else {
        panic!("it lies over nothing")
    };
    base.path = "/cache/images/d1/disk.qcow2".into();
    let base = base.clone();
    assert_eq!(now.base_since(&then, &name, "vda"), Some(&base));
    for over_nothing in ["sda", "vdz"] {
        assert_eq!(now.base_since(&then, &name, over_nothing), None);
    }
}
