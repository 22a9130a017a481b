//! Who a machine is: what it is told of its name, keys and addresses.

use super::{
    error::PlanError,
    model::{PlanInputs, ROOT},
};
use crate::{
    base::password::hashed,
    image::{Address6, Identity, NicAddress, NicIdentity, Seed, User, seed::Asked},
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
    let host_key = host_key.ok_or_else(|| PlanError::NoHostKey { machine: machine.name.clone() })?;
    Ok(Identity {
        hostname: machine.name.clone(),
        authorized_key: inputs.authorized_key.to_owned(),
        users: users(machine, host_key)?,
        host_key: host_key.clone(),
        nics: nics.iter().map(|nic| nic_identity(nic, net(nic))).collect(),
        dns: dns.map(|(server, _)| server),
        search: dns.and_then(|(_, plan)| plan.domain.clone()),
    })
}

/// Who gets in besides root by key. No password travels but as a hash, which is the same for the same machine every time.
fn users(machine: &MachineSpec, host_key: &str) -> Result<Vec<User>, PlanError> {
    let hash = |key: &str, password: &str| {
        let bad =
            |_| PlanError::BadPassword { at: machine.place_of(key).clone(), machine: machine.name.clone() };
        hashed(password, host_key).map_err(bad)
    };
    let user = machine.ssh_user.as_deref().unwrap_or(ROOT);
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if user.is_empty() || user.len() > 32 || user.starts_with(['-', '.']) || user.contains(odd) {
        let (at, machine) = (machine.place_of("ssh-user").clone(), machine.name.clone());
        return Err(PlanError::BadUser { at, machine, user: user.to_owned() });
    }
    let password = machine.ssh_password.as_deref().map(|password| ("ssh-password", password));
    let of_root = machine.root_password.as_deref().map(|password| ("root-password", password));
    // That of the user who logs in is root's when that is root, unless root has one.
    let of_root = of_root.or(password.filter(|_| user == ROOT));
    let mut users = Vec::new();
    if let Some((key, password)) = of_root {
        users.push(User { name: ROOT.to_owned(), password: Some(hash(key, password)?) });
    }
    if user != ROOT {
        let password = password.map(|(key, password)| hash(key, password)).transpose()?;
        users.push(User { name: user.to_owned(), password });
    }
    Ok(users)
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
    let asked = Asked {
        user_data: asked.and_then(|a| a.user_data.as_deref()),
        meta_data: asked.and_then(|a| a.meta_data.as_deref()),
        network_config: asked.and_then(|a| a.network_config.as_deref()),
    };
    Seed::new(identity, &format!("{}-{}", inputs.uuid, machine.name), &asked)
}
