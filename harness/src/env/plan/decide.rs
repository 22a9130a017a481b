//! The whole plan: nets, machines, and what of the host they need.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::{
    error::{PlanError, PlanErrors},
    files::Files,
    machine::Planner,
    model::{EnvPlan, PlanInputs, Warning},
};
use crate::{
    base::id::{MachineName, NetName},
    initfile::{
        EnvSpec,
        spec::{self, Ipv6Spec, MachineSpec, NetSpec, NicSpec, Place, VlanSpec},
    },
    net::{
        self, Family, Impairment, LinkPlan, MachineAsk, NetAsk, NetError, NetKind, NetPlan, NicAsk, Vlan,
        spec::{WAY_OUT_ADDRESS, WAY_OUT_ADDRESS6},
    },
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
            why.into_iter().map(|error| PlanError::Net { at: place(spec, &error), error: Box::new(error) }),
        );
        NetPlan { nets: Vec::new(), nics: BTreeMap::new() }
    });
    errors.extend(on_the_way_out(spec, inputs));
    let mut files = Files::new(inputs.view);
    let mut warnings = of_nets(spec, &net_plan);
    let mut machines = Vec::new();
    for machine in &spec.machines {
        let nics = net_plan.nics.get(&machine.name).map(Vec::as_slice).unwrap_or_default();
        let planner = Planner { spec: machine, nics, nets: &net_plan.nets, inputs };
        warnings.extend(planner.warnings());
        match planner.plan(&mut files) {
            Ok(machine) => machines.push(machine),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() {
        let (origin, binds) = (spec.origin.clone(), files.binds());
        Ok(EnvPlan { origin, machines, nets: net_plan.nets, binds, warnings })
    } else {
        Err(PlanErrors(errors))
    }
}

/// Where the net or machine stands with which something is wrong.
fn place(spec: &EnvSpec, error: &NetError) -> Place {
    let net = |name: &NetName, key: &str| {
        spec.nets.iter().find(|net| net.name == *name).map(|net| net.place_of(key).clone())
    };
    let machine = |name: &MachineName| {
        spec.machines.iter().find(|machine| machine.name == *name).map(|machine| machine.at.clone())
    };
    let at = match error {
        NetError::SubnetClash { net: name, .. } | NetError::BadSubnet { net: name, .. } => net(name, "gw"),
        NetError::NoFamily { net: name } => net(name, "ipv4"),
        NetError::NoSubnetLeft { net: name, .. } => net(name, ""),
        NetError::BadRange { net: name, .. } => net(name, "dhcp"),
        NetError::UnknownNet { machine: name, .. }
        | NetError::BadAddress { machine: name, .. }
        | NetError::WrongFamily { machine: name, .. }
        | NetError::AddressClash { machine: name, .. }
        | NetError::NoAddressLeft { machine: name, .. }
        | NetError::MacClash { machine: name, .. }
        | NetError::BadMac { machine: name, .. }
        | NetError::BadVlan { machine: name, .. }
        | NetError::NameClash { machine: name, .. } => machine(name),
    };
    at.unwrap_or_else(|| Place { file: spec.origin.clone(), line: 1, column: 1 })
}

/// Nets whose subnets are in the way of the lab's own way out. Those of a daemon of the host lead where the host leads.
fn on_the_way_out(spec: &EnvSpec, inputs: &PlanInputs<'_>) -> Vec<PlanError> {
    let Some(asking) = spec.nets.iter().find(|net| net.internet && inputs.owner.is_none()) else {
        return Vec::new();
    };
    let (way, len) = WAY_OUT_ADDRESS;
    let within = |ip: Ipv4Addr, len: u8| {
        let rest = 32_u32.saturating_sub(len.into());
        ip.to_bits().checked_shr(rest).unwrap_or(0) == way.to_bits().checked_shr(rest).unwrap_or(0)
    };
    let taken = spec.nets.iter().filter_map(|net| Some((net, net.gateway.filter(|_| net.ipv4)?)));
    let taken = taken.filter(|(net, gateway)| within(*gateway, net.prefix_len.min(len)));
    let taken = taken.map(|(net, _)| (net, "gw"));
    let within6 = |ip: Ipv6Addr| ip.to_bits() >> 64 == WAY_OUT_ADDRESS6.to_bits() >> 64;
    let taken6 =
        spec.nets.iter().filter(|net| matches!(net.ipv6, Ipv6Spec::Given(given) if within6(given.gateway)));
    let errors = taken.chain(taken6.map(|net| (net, "ipv6"))).map(|(net, key)| PlanError::OnTheWayOut {
        at: net.place_of(key).clone(),
        net: net.name.clone(),
        asking: asking.name.clone(),
    });
    errors.collect()
}

/// What nets ask for and do not get.
fn of_nets(spec: &EnvSpec, plan: &NetPlan) -> Vec<Warning> {
    let borrowed = |net: &&NetSpec| plan.nets.iter().find(|one| one.name == net.name && one.borrowed);
    let idle = spec.nets.iter().filter(|net| net.mtu.is_some());
    let idle = idle.filter_map(|net| Some((net, borrowed(&net)?)));
    let warnings = idle.map(|(net, planned)| Warning {
        at: net.place_of("mtu").clone(),
        message: format!("the bridge {} is there already, and its `mtu` stays what it is", planned.bridge),
    });
    warnings.collect()
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
        internet: net.internet,
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
