//! The whole plan: nets, machines, and what of the host they need.

use std::{collections::BTreeMap, time::Duration};

use super::{
    error::{PlanError, PlanErrors},
    files::Files,
    machine::Planner,
    model::{EnvPlan, PlanInputs},
};
use crate::{
    initfile::{
        EnvSpec,
        spec::{self, Ipv6Spec, MachineSpec, NetSpec, NicSpec, VlanSpec},
    },
    net::{self, Family, Impairment, LinkPlan, MachineAsk, NetAsk, NetKind, NetPlan, NicAsk, Vlan},
};

/// Decides everything.
///
/// # Errors
/// Every reason why it cannot be as asked.
pub fn plan(spec: &EnvSpec, inputs: &PlanInputs<'_>) -> Result<EnvPlan, PlanErrors> {
    let mut errors = Vec::new();
    let nets = net_asks(spec);
    let machines: Vec<MachineAsk> = spec.machines.iter().map(machine_ask).collect();
    let net_plan = net::plan(&nets, &machines, inputs.scope).unwrap_or_else(|why| {
        errors.extend(
            why.into_iter().map(|error| PlanError::Net { file: spec.origin.clone(), error: Box::new(error) }),
        );
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

/// The nets of an init file as they are asked for.
pub(in crate::env) fn net_asks(spec: &EnvSpec) -> Vec<NetAsk> {
    spec.nets.iter().map(net_ask).collect()
}

fn net_ask(net: &NetSpec) -> NetAsk {
    NetAsk {
        name: net.name.clone(),
        kind: match net.kind {
            spec::NetKind::Nat => NetKind::Nat,
            spec::NetKind::Isolated => NetKind::Isolated,
            spec::NetKind::Bridge => NetKind::Bridge,
        },
        management: net.management,
        ipv4: match net.gateway {
            _ if !net.ipv4 => Family::Off,
            Some(gateway) => Family::Given(gateway, net.prefix_len),
            None => Family::Auto,
        },
        ipv6: match net.ipv6 {
            Ipv6Spec::Off => Family::Off,
            Ipv6Spec::Auto => Family::Auto,
            Ipv6Spec::Given(net) => Family::Given(net.gateway, net.prefix_len),
        },
        dhcp: net.dhcp.map(|range| range.start..=range.end),
        dns_domain: net.dns_domain.clone(),
        dns_records: net.dns_records.clone(),
        dns_forward: net.dns_forward,
        mtu: net.mtu,
    }
}

fn machine_ask(machine: &MachineSpec) -> MachineAsk {
    MachineAsk { name: machine.name.clone(), nics: machine.nics.iter().map(nic_ask).collect() }
}

fn nic_ask(nic: &NicSpec) -> NicAsk {
    NicAsk {
        net: nic.net.clone(),
        ip: nic.ip,
        ip6: nic.ip6,
        mac: nic.mac,
        mtu: nic.mtu,
        vlan: nic.vlan.as_ref().map(|vlan| match vlan {
            VlanSpec::Access(vlan) => Vlan::Access(*vlan),
            VlanSpec::Trunk(vlans) => Vlan::Trunk(vlans.clone()),
        }),
        link: LinkPlan {
            up: nic.link.up,
            impairment: Impairment {
                delay: Duration::from_millis(nic.link.delay_ms.into()),
                jitter: Duration::from_millis(nic.link.jitter_ms.into()),
                loss: nic.link.loss_percent,
                duplicate: nic.link.duplicate_percent,
                corrupt: nic.link.corrupt_percent,
                rate_kbit: nic.link.rate_kbit,
            },
        },
        names: nic.dns.clone(),
    }
}
