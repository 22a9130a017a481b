//! A machine of an environment, as scenarios get it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

use super::{
    EnvError, Host, Net,
    agent::LibvirtAgent,
    console::LibvirtMachine,
    keys::Keys,
    plan::{IdentityFrom, MachinePlan},
    site::Site,
};
use crate::{
    base::{dial::Dial, id::MachineName},
    guest::{AgentPort, Guest, GuestSpec, Login, MachinePort, SshSpec},
    health::Tolerance,
    image::Ability,
    net::PlannedNic,
    provider::{
        MachineOrder, MachineProvider,
        spec::{CpuModel, DomainSpec},
    },
    service::ServiceManager,
};

/// A machine: everything a [`Guest`] can do, and where it stands in the environment.
#[derive(Clone, Debug)]
pub struct Vm {
    guest: Guest,
    plan: Arc<MachinePlan>,
    /// Who makes it, if that is not libvirt and is known to this binary.
    provider: Option<Arc<dyn MachineProvider>>,
    managers: Arc<[Arc<dyn ServiceManager>]>,
    /// Which of them manages its services, as far as it was found out.
    manager: Arc<OnceCell<usize>>,
    site: Site,
    tolerance: Arc<Mutex<Tolerance>>,
}

/// What all machines of an environment have in common.
pub(super) struct Common<'a> {
    pub(super) site: &'a Site,
    /// The environment's folder.
    pub(super) folder: &'a Path,
    pub(super) keys: &'a Keys,
    pub(super) factor: f64,
    pub(super) host: &'a Host,
}

impl Vm {
    pub(super) fn new(plan: &MachinePlan, common: &Common<'_>) -> Result<Self, EnvError> {
        let named = |provider: &&Arc<dyn MachineProvider>| provider.name() == plan.provider;
        let provider = common.host.providers.iter().find(named).cloned();
        let guest = Guest::new(guest_spec(plan, common, provider.as_deref())?);
        let managers = common.host.services.clone().into();
        Ok(Self {
            guest,
            plan: Arc::new(plan.clone()),
            provider,
            managers,
            manager: Arc::default(),
            site: common.site.clone(),
            tolerance: Arc::default(),
        })
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

    /// All its addresses on `net`, IPv4 first.
    #[must_use]
    pub fn ips_on(&self, net: &Net) -> Vec<IpAddr> {
        let nics = self.plan.nics.iter().filter(|nic| nic.net == *net.name());
        nics.flat_map(PlannedNic::addresses).collect()
    }

    /// All its addresses, NIC by NIC.
    #[must_use]
    pub fn all_ips(&self) -> Vec<IpAddr> {
        self.plan.nics.iter().flat_map(PlannedNic::addresses).collect()
    }

    /// The model of its processors, where one was asked for.
    #[must_use]
    pub fn cpu_model(&self) -> Option<&str> {
        match &self.plan.domain.as_ref()?.cpu.model {
            CpuModel::Exact { name, .. } => Some(name),
            CpuModel::Best | CpuModel::Custom(_) => None,
        }
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

    /// Whether libvirt makes it.
    pub(super) fn is_made(&self) -> bool {
        self.plan.domain.is_some()
    }

    /// The part of its environment that runs.
    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// Which trouble of it nobody is blamed for.
    pub(super) fn tolerance(&self) -> MutexGuard<'_, Tolerance> {
        self.tolerance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may manage its services, in the order of asking.
    pub(super) fn managers(&self) -> &[Arc<dyn ServiceManager>] {
        &self.managers
    }

    pub(super) fn found_manager(&self) -> &OnceCell<usize> {
        &self.manager
    }

    /// Who makes it and what was ordered, if it is not libvirt that makes it.
    pub(super) fn ordered(&self) -> Result<Option<(&dyn MachineProvider, &MachineOrder)>, EnvError> {
        match (&self.plan.order, &self.provider) {
            (None, _) => Ok(None),
            (Some(order), Some(provider)) => Ok(Some((&**provider, order))),
            (Some(_), None) => Err(EnvError::NoProvider {
                provider: self.plan.provider.clone(),
                machine: self.plan.name.to_string(),
            }),
        }
    }
}

impl Deref for Vm {
    type Target = Guest;
    fn deref(&self) -> &Guest {
        &self.guest
    }
}

fn guest_spec(
    machine: &MachinePlan,
    common: &Common<'_>,
    provider: Option<&dyn MachineProvider>,
) -> Result<GuestSpec, EnvError> {
    let Common { site, folder, keys, factor, .. } = common;
    let reachable = machine.management_ip.filter(|_| machine.abilities.has(Ability::Ssh));
    let ssh = reachable.map(|ip| {
        let dial = provider.map_or_else(|| Arc::new((*site).clone()) as Arc<dyn Dial>, |maker| maker.dial());
        let host_key = match machine.identity {
            IdentityFrom::Itself => None,
            IdentityFrom::Smbios | IdentityFrom::CloudInit | IdentityFrom::Disk => {
                keys.host_key(&machine.name)?
            }
        };
        let (addr, user) = (SocketAddr::new(ip, 22), machine.login.user.clone());
        let password = machine.login.password.clone();
        Ok::<_, EnvError>(SshSpec { dial, addr, user, key: keys.client(), password, host_key })
    });
    let agent = |domain: &DomainSpec| -> Arc<dyn AgentPort> {
        Arc::new(LibvirtAgent::new((*site).clone(), domain.name.clone()))
    };
    let around = |domain: &DomainSpec| -> Arc<dyn MachinePort> {
        Arc::new(LibvirtMachine::new((*site).clone(), domain.name.clone()))
    };
    Ok(GuestSpec {
        name: machine.name.clone(),
        image: machine.image.clone().unwrap_or_else(|| "(none)".into()),
        abilities: machine.abilities.clone(),
        ssh: ssh.transpose()?,
        agent: machine.domain.as_ref().map(agent),
        machine: machine.domain.as_ref().map(around),
        login: Login { user: machine.login.user.clone(), password: machine.login.password.clone() },
        console: folder.join(&machine.console),
        outputs: folder.join("outputs"),
        time_factor: *factor,
    })
}
