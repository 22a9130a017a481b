//! Who a machine is: what it is told of its name, keys and addresses.

use super::{error::PlanError, model::PlanInputs};
use crate::{
    image::{Identity, NicAddress, NicIdentity, Seed, seed::Asked},
    initfile::spec::MachineSpec,
    net::{PlannedNet, PlannedNic},
};

/// What `machine` is told.
pub(super) fn identity(
    machine: &MachineSpec,
    nics: &[PlannedNic],
    nets: &[PlannedNet],
    inputs: &PlanInputs<'_>,
) -> Result<Identity, PlanError> {
    let net = |nic: &PlannedNic| nets.iter().find(|net| net.name == nic.net);
    let management = nics.iter().filter_map(net).find(|net| net.management);
    let dns = management.and_then(|net| Some((net.gateway, net.dns.as_ref()?)));
    let host_key = inputs.host_keys.get(&machine.name);
    Ok(Identity {
        hostname: machine.name.clone(),
        authorized_key: inputs.authorized_key.to_owned(),
        host_key: host_key.cloned().ok_or_else(|| PlanError::NoHostKey { machine: machine.name.clone() })?,
        nics: nics.iter().map(|nic| nic_identity(nic, net(nic))).collect(),
        dns: dns.map(|(gateway, _)| gateway),
        search: dns.map(|(_, plan)| plan.domain.clone()),
    })
}

fn nic_identity(nic: &PlannedNic, net: Option<&PlannedNet>) -> NicIdentity {
    let address = match net {
        Some(net) if net.dhcp.is_none() => {
            let gateway = net.is_default_route().then_some(net.gateway);
            NicAddress::Static { ip: nic.ip, prefix: net.prefix, gateway }
        }
        _ => NicAddress::Dhcp,
    };
    NicIdentity { mac: nic.mac, address, mtu: net.and_then(|net| net.mtu) }
}

/// The same for cloud-init, and what the init file asks for besides.
pub(super) fn seed(machine: &MachineSpec, identity: &Identity, inputs: &PlanInputs<'_>) -> Seed {
    let asked = machine.cloud_init.as_ref();
    let asked = Asked {
        root_password: machine.root_password.as_deref().or(machine.ssh_password.as_deref()),
        user_data: asked.and_then(|a| a.user_data.as_deref()),
        meta_data: asked.and_then(|a| a.meta_data.as_deref()),
        network_config: asked.and_then(|a| a.network_config.as_deref()),
    };
    Seed::new(identity, &format!("{}-{}", inputs.uuid, machine.name), &asked)
}
