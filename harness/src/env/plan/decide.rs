//! The whole plan: nets, machines, and what of the host they need.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use super::{
    error::{PlanError, PlanErrors},
    machine::Planner,
    model::{EnvPlan, PlanInputs},
};
use crate::{
    initfile::{
        EnvSpec,
        spec::{self, MachineSpec, NetSpec},
    },
    lab::{Bind, paths::INSIDE_FILES},
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
    let mut binds = Binds::default();
    let mut machines = Vec::new();
    for machine in &spec.machines {
        let nics = net_plan.nics.get(&machine.name).map(Vec::as_slice).unwrap_or_default();
        let planner = Planner { spec: machine, nics, nets: &net_plan.nets, inputs };
        match planner.plan(&mut binds) {
            Ok(machine) => machines.push(machine),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() {
        Ok(EnvPlan { origin: spec.origin.clone(), machines, nets: net_plan.nets, binds: binds.0 })
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

/// Files of the host that are seen inside the lab.
#[derive(Default)]
pub(super) struct Binds(Vec<Bind>);

impl Binds {
    /// Where `file` is inside the lab.
    pub(super) fn add(&mut self, file: &Path) -> PathBuf {
        if let Some(bind) = self.0.iter().find(|bind| bind.from == file) {
            return bind.to.clone();
        }
        // The number makes it unique, the name is for people; odd characters mean something to some emulator option.
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')), "_");
        let to = Path::new(INSIDE_FILES).join(format!("{}-{name}", self.0.len()));
        self.0.push(Bind { from: file.to_owned(), to: to.clone(), writable: false });
        to
    }
}
