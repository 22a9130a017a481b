//! The machines of an environment as rows of variables, which changes are repeated over.

use std::net::IpAddr;

use serde_json::{Map, Value as Json};

use super::{Env, Host, Vm, plan::MachinePlan};
use crate::{
    change::Vars,
    initfile::{EnvSpec, spec::MachineSpec},
};

/// What the names of all variables begin with.
const START: &str = "machine.";

impl Env {
    /// A row for each machine, in their order: `machine.name`, `machine.type`, `machine.image`, `machine.distro`,
    /// `machine.address`, `machine.addresses`, `machine.roles`, `machine.groups`, and `machine.` with each key of its metadata
    /// that has one value. What a machine does not have is empty; of several there is a list with commas. They are the rows of
    /// a [`Matrix`](crate::change::model::Matrix).
    #[must_use]
    pub fn rows(&self) -> Vec<Vars> {
        self.vms().iter().map(|vm: &Vm| row(vm.plan(), vm.ip(), &vm.all_ips())).collect()
    }
}

/// The same rows for machines that are not made yet: what only a machine that is up has is empty.
#[must_use]
pub(crate) fn rows_of(host: &Host, spec: &EnvSpec) -> Vec<Vars> {
    let mut spec = spec.clone();
    // What does not go with its type is said when it is planned.
    host.complete(&mut spec);
    let row = |machine: &MachineSpec| {
        filled(
            &machine.metadata,
            [
                ("name", machine.name.to_string()),
                ("type", machine.vm_type.clone().unwrap_or_default()),
                ("image", String::new()),
                ("distro", machine.distro.clone().unwrap_or_default()),
                ("address", String::new()),
                ("addresses", String::new()),
                ("roles", machine.roles.join(",")),
                ("groups", machine.groups.join(",")),
            ],
        )
    };
    spec.machines.iter().map(row).collect()
}

fn row(plan: &MachinePlan, address: Option<IpAddr>, all: &[IpAddr]) -> Vars {
    let all: Vec<String> = all.iter().map(IpAddr::to_string).collect();
    filled(
        &plan.metadata,
        [
            ("name", plan.name.to_string()),
            ("type", plan.vm_type.clone()),
            ("image", plan.image.clone().unwrap_or_default()),
            ("distro", plan.distro.clone().unwrap_or_default()),
            ("address", address.map(|address| address.to_string()).unwrap_or_default()),
            ("addresses", all.join(",")),
            ("roles", plan.roles.join(",")),
            ("groups", plan.groups.join(",")),
        ],
    )
}

fn filled(metadata: &Map<String, Json>, ours: [(&str, String); 8]) -> Vars {
    let mut row = Vars::new();
    // What is ours comes last, and wins.
    for (key, value) in metadata {
        let value = match value {
            Json::String(text) => text.clone(),
            Json::Bool(_) | Json::Number(_) => value.to_string(),
            Json::Null | Json::Array(_) | Json::Object(_) => continue,
        };
        row.insert(format!("{START}{key}"), value);
    }
    row.extend(ours.map(|(key, value)| (format!("{START}{key}"), value)));
    row
}
