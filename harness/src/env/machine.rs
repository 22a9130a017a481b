//! A machine of an environment, as scenarios get it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Deref,
    path::Path,
    sync::Arc,
};

use super::{EnvError, Net, agent::LibvirtAgent, keys::Keys, plan::MachinePlan, site::Site};
use crate::{
    base::id::MachineName,
    guest::{Guest, GuestSpec, SshSpec},
    image::Ability,
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
    pub fn ip(&self) -> Option<Ipv4Addr> {
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

    /// What libvirt calls it.
    pub(super) fn domain(&self) -> &str {
        self.plan.domain.name.as_str()
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
        Ok::<_, EnvError>(SshSpec {
            dial: Arc::new((*site).clone()),
            addr: SocketAddr::new(IpAddr::V4(ip), 22),
            user: "root".into(),
            key: keys.client(),
            host_key: keys.host_key(&machine.name)?,
        })
    });
    Ok(GuestSpec {
        name: machine.name.clone(),
        image: machine.image.clone().unwrap_or_else(|| "(none)".into()),
        abilities: machine.abilities.clone(),
        ssh: ssh.transpose()?,
        agent: Some(Arc::new(LibvirtAgent::new((*site).clone(), machine.domain.name.to_string()))),
        console: folder.join(&machine.console),
        outputs: folder.join("outputs"),
        time_factor: *factor,
    })
}
