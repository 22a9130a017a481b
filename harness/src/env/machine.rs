//! A machine of an environment, as scenarios get it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Deref,
    path::Path,
    sync::Arc,
};

use super::{
    EnvError, Net,
    agent::LibvirtAgent,
    keys::Keys,
    plan::{IdentityFrom, MachinePlan},
    site::{Plain, Site},
};
use crate::{
    base::{dial::Dial, id::MachineName},
    guest::{AgentPort, Guest, GuestSpec, SshSpec},
    image::Ability,
    provider::spec::DomainSpec,
};

/// A machine: everything a [`Guest`] can do, and where it stands in the environment.
#[derive(Clone, Debug)]
pub struct Vm {
    guest: Guest,
    plan: Arc<MachinePlan>,
}

/// What all machines of an environment have in common.
pub(super) struct Common<'a> {
    pub(super) site: &'a Site,
    /// The environment's folder.
    pub(super) folder: &'a Path,
    pub(super) keys: &'a Keys,
    pub(super) factor: f64,
}

impl Vm {
    pub(super) fn new(plan: &MachinePlan, common: &Common<'_>) -> Result<Self, EnvError> {
        let guest = Guest::new(guest_spec(plan, common)?);
        Ok(Self { guest, plan: Arc::new(plan.clone()) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &MachineName {
        &self.plan.name
    }

    /// Its address on its management net.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.plan.management_ip
    }

    /// Its first address on `net`.
    #[must_use]
    pub fn ip_on(&self, net: &Net) -> Option<Ipv4Addr> {
        self.plan.nics.iter().find(|nic| nic.net == *net.name())?.ip
    }

    /// What was decided for it.
    #[must_use]
    pub fn plan(&self) -> &MachinePlan {
        &self.plan
    }

    /// What libvirt calls it; nothing, when it is not libvirt that makes it.
    pub(super) fn domain(&self) -> &str {
        self.plan.domain.as_ref().map_or("", |domain| domain.name.as_str())
    }

    /// Whether libvirt makes it, else it is there anyway.
    pub(super) fn is_made(&self) -> bool {
        self.plan.domain.is_some()
    }
}

impl Deref for Vm {
    type Target = Guest;
    fn deref(&self) -> &Guest {
        &self.guest
    }
}

fn guest_spec(machine: &MachinePlan, common: &Common<'_>) -> Result<GuestSpec, EnvError> {
    let Common { site, folder, keys, factor } = common;
    let reachable = machine.management_ip.filter(|_| machine.abilities.has(Ability::Ssh));
    let ssh = reachable.map(|ip| {
        let dial: Arc<dyn Dial> =
            if machine.domain.is_some() { Arc::new((*site).clone()) } else { Arc::new(Plain) };
        let host_key = match machine.identity {
            IdentityFrom::Itself => None,
            IdentityFrom::Smbios | IdentityFrom::CloudInit => keys.host_key(&machine.name)?,
        };
        let (addr, user) = (SocketAddr::new(ip, 22), machine.login.user.clone());
        let password = machine.login.password.clone();
        Ok::<_, EnvError>(SshSpec { dial, addr, user, key: keys.client(), password, host_key })
    });
    let agent = |domain: &DomainSpec| -> Arc<dyn AgentPort> {
        Arc::new(LibvirtAgent::new((*site).clone(), domain.name.clone()))
    };
    Ok(GuestSpec {
        name: machine.name.clone(),
        image: machine.image.clone().unwrap_or_else(|| "(none)".into()),
        abilities: machine.abilities.clone(),
        ssh: ssh.transpose()?,
        agent: machine.domain.as_ref().map(agent),
        console: folder.join(&machine.console),
        outputs: folder.join("outputs"),
        time_factor: *factor,
    })
}
