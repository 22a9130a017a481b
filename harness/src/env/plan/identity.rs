//! Who a machine is: what it is told of its name, keys and addresses.

use super::{
    error::PlanError,
    model::{PlanInputs, ROOT},
};
use crate::{
    image::{Address6, Identity, NicAddress, NicIdentity, Seed, seed::Asked},
    initfile::spec::MachineSpec,
    net::{Outward, PlannedNet, PlannedNic},
};

/// What `machine` is told.
pub(super) fn identity(
    machine: &MachineSpec,
    nics: &[PlannedNic],
    nets: &[PlannedNet],
    inputs: &PlanInputs<'_>,
) -> Result<Identity, PlanError> {
    let net = |nic: &PlannedNic| nets.iter().find(|net| net.name == nic.net);
    let mut nets_on = nics.iter().filter_map(net);
    // One that leads out knows all names.
    let open = nets_on.clone().find(|net| net.outward == Outward::Open && net.dns.is_some());
    let asked = open.or_else(|| nets_on.find(|net| net.management));
    let dns = asked.and_then(|net| Some((net.server()?, net.dns.as_ref()?)));
    let host_key = inputs.host_keys.get(&machine.name);
    Ok(Identity {
        hostname: machine.name.clone(),
        authorized_key: inputs.authorized_key.to_owned(),
        host_key: host_key.cloned().ok_or_else(|| PlanError::NoHostKey { machine: machine.name.clone() })?,
        nics: nics.iter().map(|nic| nic_identity(nic, net(nic))).collect(),
        dns: dns.map(|(server, _)| server),
        search: dns.and_then(|(_, plan)| plan.domain.clone()),
    })
}

fn nic_identity(nic: &PlannedNic, net: Option<&PlannedNet>) -> NicIdentity {
    let leads_out = net.filter(|net| net.is_default_route());
    let dhcp = net.and_then(|net| net.dhcp.as_ref()?.v4);
    let address = match (net, nic.ip) {
        (Some(net), Some(ip)) if dhcp.is_none() => {
            NicAddress::Static { ip, prefix: net.prefix, gateway: leads_out.and_then(|net| net.gateway) }
        }
        (_, Some(_)) => NicAddress::Dhcp,
        (_, None) => NicAddress::None,
    };
    // Given even where DHCP would give the same: not every guest asks for IPv6 addresses.
    let address6 = nic.ip6.zip(net.and_then(|net| net.gateway6)).map(|(ip, (gateway, prefix))| Address6 {
        ip,
        prefix,
        gateway: leads_out.map(|_| gateway),
    });
    NicIdentity { mac: nic.mac, address, address6, mtu: nic.mtu }
}

/// The same for cloud-init, and what the init file asks for besides.
pub(super) fn seed(machine: &MachineSpec, identity: &Identity, inputs: &PlanInputs<'_>) -> Seed {
    let asked = machine.cloud_init.as_ref();
    // That of the user who logs in, who may be root; what is configured holds where the init file says nothing.
    let password = machine.ssh_password.as_deref();
    let of_root = password.filter(|_| machine.ssh_user.as_deref().is_none_or(|user| user == ROOT));
    let asked = Asked {
        root_password: machine.root_password.as_deref().or(of_root),
        user_password: machine.ssh_user.as_deref().zip(password).filter(|(user, _)| *user != ROOT),
        user_data: asked.and_then(|a| a.user_data.as_deref()),
        meta_data: asked.and_then(|a| a.meta_data.as_deref()),
        network_config: asked.and_then(|a| a.network_config.as_deref()),
    };
    Seed::new(identity, &format!("{}-{}", inputs.uuid, machine.name), &asked)
}
