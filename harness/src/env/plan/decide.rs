//! The whole plan: nets, machines, and what of the host they need.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use super::{
    error::{PlanError, PlanErrors},
    files::Files,
    machine::Planner,
    model::{EnvPlan, PlanInputs},
};
use crate::{
    initfile::{
        EnvSpec,
        spec::{self, MachineSpec, NetSpec},
    },
    net::{self, MachineAsk, NetAsk, NetKind, NetPlan, NicAsk},
};

/// Decides everything.
///
/// # Errors
/// Every reason why it cannot be as asked.
pub fn plan(spec: &EnvSpec, inputs: &PlanInputs<'_>) -> Result<EnvPlan, PlanErrors> {
    let mut errors = Vec::new();
    let nets: Vec<NetAsk> = spec.nets.iter().map(net_ask).collect();
    let machines: Vec<MachineAsk> = spec.machines.iter().map(machine_ask).collect();
    let net_plan = net::plan(&nets, &machines).unwrap_or_else(|why| {
        errors.extend(why.into_iter().map(|error| PlanError::Net { file: spec.origin.clone(), error }));
        NetPlan { nets: Vec::new(), nics: BTreeMap::new() }
    });
    let mut files = Files::new(inputs.view);
    let mut machines = Vec::new();
    for machine in &spec.machines {
        let nics = net_plan.nics.get(&machine.name).map(Vec::as_slice).unwrap_or_default();
        let planner = Planner { spec: machine, nics, nets: &net_plan.nets, inputs };
        match planner.plan(&mut files) {
            Ok(machine) => machines.push(machine),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() {
        Ok(EnvPlan { origin: spec.origin.clone(), machines, nets: net_plan.nets, binds: files.binds() })
    } else {
        Err(PlanErrors(errors))
    }
}

fn net_ask(net: &NetSpec) -> NetAsk {
    NetAsk {
        name: net.name.clone(),
        kind: match net.kind {
            spec::NetKind::Nat => NetKind::Nat,
            spec::NetKind::Isolated | spec::NetKind::Bridge => NetKind::Isolated,
        },
        management: net.management,
        gateway: net.gateway,
        dhcp: net.dhcp.map(|range| range.start..=range.end),
        dns_domain: net.dns_domain.clone(),
        dns_records: net.dns_records.iter().filter_map(v4).collect(),
        mtu: net.mtu,
    }
}

fn v4((name, ip): (&String, &IpAddr)) -> Option<(String, Ipv4Addr)> {
    match ip {
        IpAddr::V4(ip) => Some((name.clone(), *ip)),
        IpAddr::V6(_) => None,
    }
}

fn machine_ask(machine: &MachineSpec) -> MachineAsk {
    let nics = machine.nics.iter().map(|nic| NicAsk { net: nic.net.clone(), ip: nic.ip });
    MachineAsk { name: machine.name.clone(), nics: nics.collect() }
}
