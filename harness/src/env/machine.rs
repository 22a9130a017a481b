//! A machine of an environment, as scenarios get it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use russh::keys::PrivateKey;
use tokio::sync::OnceCell;

use super::{
    Env, EnvError, Host, MachineType, Net, Progress, Selection,
    agent::LibvirtAgent,
    console::LibvirtMachine,
    error::chain,
    keys::{self, Keys},
    plan::{IdentityFrom, MachinePlan},
    site::Site,
};
use crate::{
    base::{dial::Dial, id::MachineName},
    guest::{AgentPort, Guest, GuestSpec, Login, MachinePort, SshJump, SshSpec},
    health::Tolerance,
    image::Ability,
    net::PlannedNic,
    provider::{
        MachineError, MachineOrder, MachineProvider, MachineState,
        libvirt::Cpus,
        spec::{CpuModel, DomainSpec},
    },
    service::ServiceManager,
};

/// The file that says which host keys machines have shown that are there anyway, in the environment's folder and in
/// OpenSSH's form.
const KNOWN_HOSTS: &str = "known_hosts";

/// A machine: everything a [`Guest`] can do, and where it stands in the environment.
///
/// ```no_run
/// use polder::prelude::*;
///
/// async fn serves(web: &Vm) -> Result {
///     web.succeed("httpd -h /www").await?; // fails when the command does, with all it said
///     web.wait_for_port(80, secs(10)).await?;
///     let page = web.execute("wget -q -O - http://localhost/").await?;
///     ensure!(page.status.success(), "the page cannot be had: {page:?}");
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Vm {
    guest: Guest,
    plan: Arc<MachinePlan>,
    /// Who makes it, if that is not libvirt and is known to this binary.
    provider: Option<Arc<dyn MachineProvider>>,
    /// Its type, if that is known to this binary.
    kind: Option<Arc<dyn MachineType>>,
    managers: Arc<[Arc<dyn ServiceManager>]>,
    /// Which of them manages its services, as far as it was found out.
    manager: Arc<OnceCell<usize>>,
    site: Site,
    tolerance: Arc<Mutex<Tolerance>>,
    heard: Arc<Mutex<Option<String>>>,
}

/// What all machines of an environment have in common.
pub(super) struct Common<'a> {
    pub(super) site: &'a Site,
    pub(super) machines: &'a [MachinePlan],
    /// The environment's folder.
    pub(super) folder: &'a Path,
    pub(super) keys: &'a Keys,
    pub(super) factor: f64,
    pub(super) host: &'a Host,
}

impl Common<'_> {
    /// Who makes a machine, if that is not libvirt and is known to this binary.
    fn provider(&self, machine: &MachinePlan) -> Option<&Arc<dyn MachineProvider>> {
        self.host.providers.iter().find(|provider| provider.name() == machine.provider)
    }
}

impl Vm {
    pub(super) fn new(plan: &MachinePlan, common: &Common<'_>) -> Result<Self, EnvError> {
        let provider = common.provider(plan).cloned();
        let guest = Guest::new(guest_spec(plan, common)?);
        let kind = common.host.types.iter().find(|one| one.name() == plan.vm_type).cloned();
        let managers = common.host.services.clone().into();
        Ok(Self {
            guest,
            plan: Arc::new(plan.clone()),
            provider,
            kind,
            managers,
            manager: Arc::default(),
            site: common.site.clone(),
            tolerance: Arc::default(),
            heard: Arc::default(),
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

    /// The vendor of that model, such as `Intel`, as far as libvirt knows one.
    #[must_use]
    pub fn cpu_vendor(&self) -> Option<String> {
        Cpus::of_host().models.remove(self.cpu_model()?)?
    }

    /// Its type, as init files call it.
    #[must_use]
    pub fn vm_type(&self) -> &str {
        &self.plan.vm_type
    }

    /// What it is there for: what its type and the init file say.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.plan.roles
    }

    /// What can be tested with it.
    #[must_use]
    pub fn capabilities(&self) -> &[String] {
        &self.plan.capabilities
    }

    /// What was decided for it.
    #[must_use]
    pub fn plan(&self) -> &MachinePlan {
        &self.plan
    }

    /// How it is, see [`Env::state_of`].
    ///
    /// # Errors
    /// As [`Env::state_of`].
    pub async fn state(&self) -> Result<MachineState, EnvError> {
        self.env()?.state_of(self).await
    }

    /// Starts it and the networks it needs, see [`Env::start`]; does not wait until it answers, see
    /// [`Guest::wait_for_ssh`].
    ///
    /// # Errors
    /// As [`Env::start`].
    pub async fn start(&self) -> Result<(), EnvError> {
        self.env()?.start(&self.only(), &Progress::new(|_| {})).await
    }

    /// Switches it off, see [`Env::stop`]; to have it shut down, see [`Env::shutdown`].
    ///
    /// # Errors
    /// As [`Env::stop`].
    pub async fn stop(&self) -> Result<(), EnvError> {
        self.env()?.stop(&self.only(), &Progress::new(|_| {})).await.map(drop)
    }

    fn only(&self) -> Selection {
        Selection::Named(vec![self.name().to_string()])
    }

    /// The environment it is of.
    pub(super) fn env(&self) -> Result<Env, EnvError> {
        self.site.env().ok_or_else(|| EnvError::Gone { machine: self.name().clone() })
    }

    /// What libvirt calls it; nothing, when it is not libvirt that makes it.
    pub(super) fn domain(&self) -> &str {
        self.plan.domain.as_ref().map_or("", |domain| domain.name.as_str())
    }

    /// Whether libvirt makes it.
    pub(crate) fn is_made(&self) -> bool {
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

    /// Up to which cursor its journal was followed.
    pub(super) fn heard(&self) -> MutexGuard<'_, Option<String>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is there without us, and stays.
    pub(super) fn is_there_anyway(&self) -> bool {
        self.provider.as_ref().is_some_and(|provider| !provider.makes())
    }

    /// How its addresses are reached.
    pub(super) fn dial(&self) -> Arc<dyn Dial> {
        match (&self.spec().ssh, &self.provider) {
            (Some(ssh), _) => Arc::clone(&ssh.dial),
            (None, Some(provider)) => provider.dial(),
            (None, None) => Arc::new(self.site.clone()),
        }
    }

    /// Refuses a machine that libvirt does not make, with which that cannot be done.
    pub(super) fn require_made(&self, what: &'static str) -> Result<(), EnvError> {
        if self.is_made() { Ok(()) } else { Err(self.cannot(what)) }
    }

    /// Says that whoever makes it cannot do that with it.
    pub(super) fn cannot(&self, what: &'static str) -> EnvError {
        let source = MachineError::Unsupported { provider: self.plan.provider.clone(), what };
        EnvError::Machine { machine: self.name().to_string(), source }
    }

    /// Its type, if this binary has it.
    pub(super) fn machine_type(&self) -> Option<&dyn MachineType> {
        self.kind.as_deref()
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

impl AsRef<Guest> for Vm {
    fn as_ref(&self) -> &Guest {
        &self.guest
    }
}

/// Its name, as init files have it.
impl fmt::Display for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.guest.name(), f)
    }
}

impl Deref for Vm {
    type Target = Guest;
    fn deref(&self) -> &Guest {
        &self.guest
    }
}

/// How a machine is reached over ssh, if it is.
fn ssh_spec(machine: &MachinePlan, common: &Common<'_>) -> Result<Option<SshSpec>, EnvError> {
    let Common { site, machines, folder, keys, factor, .. } = common;
    let Some(ip) = machine.management_ip.filter(|_| machine.abilities.has(Ability::Ssh)) else {
        return Ok(None);
    };
    let (provider, login) = (common.provider(machine), &machine.login);
    // Those from which a machine is reached are no circle: that was checked with the init file.
    let jump = login.jump.as_ref().and_then(|name| machines.iter().find(|one| one.name.as_str() == name));
    let dial: Arc<dyn Dial> = match (jump.map(|jump| ssh_spec(jump, common)).transpose()?.flatten(), provider)
    {
        (Some(jump), _) => Arc::new(SshJump::new(jump, *factor)),
        (None, Some(maker)) => maker.dial(),
        (None, None) => Arc::new((*site).clone()),
    };
    let host_key = match (&login.host_key, machine.identity) {
        (Some(said), _) => Some(keys::public(said)?),
        (None, IdentityFrom::Itself) => None,
        (None, IdentityFrom::Smbios | IdentityFrom::CloudInit | IdentityFrom::Disk) => {
            keys.host_key(&machine.name)?
        }
    };
    // Other machines may come back with another key.
    let stays = provider.is_some_and(|maker| !maker.makes());
    Ok(Some(SshSpec {
        dial,
        addr: SocketAddr::new(ip, login.port),
        user: login.user.clone(),
        key: Some(key_to(machine, keys)),
        password: login.password.clone(),
        host_key,
        known_hosts: stays.then(|| folder.join(KNOWN_HOSTS)),
    }))
}

fn guest_spec(machine: &MachinePlan, common: &Common<'_>) -> Result<GuestSpec, EnvError> {
    let Common { site, folder, factor, .. } = common;
    let agent = |domain: &DomainSpec| -> Arc<dyn AgentPort> {
        Arc::new(LibvirtAgent::new((*site).clone(), domain.name.clone()))
    };
    let around = |domain: &DomainSpec| -> Arc<dyn MachinePort> {
        Arc::new(LibvirtMachine::new((*site).clone(), domain.name.clone()))
    };
    Ok(GuestSpec {
        name: machine.name.clone(),
        image: image_of(machine),
        abilities: machine.abilities.clone(),
        ssh: ssh_spec(machine, common)?,
        agent: machine.domain.as_ref().map(agent),
        machine: machine.domain.as_ref().map(around),
        login: console_login(machine),
        console: folder.join(&machine.console),
        outputs: folder.join("outputs"),
        notes: folder.join("notes").join(machine.name.as_str()),
        time_factor: *factor,
    })
}

/// What the machine's system came from, for people: an image, else the template of its first disk, else that disk.
fn image_of(machine: &MachinePlan) -> String {
    let disk = machine.disks.first();
    let template = disk.and_then(|disk| Some(disk.template.as_ref()?.0.clone()));
    let named = machine.image.clone().or(template);
    named.or_else(|| disk.map(|disk| disk.name.to_string())).unwrap_or_else(|| machine.name.to_string())
}

/// Who logs in at the console, with the password that the machine was given for them.
fn console_login(machine: &MachinePlan) -> Login {
    let login = &machine.login;
    let of_root = login.root_password.as_ref().filter(|_| login.user == super::plan::ROOT);
    Login { user: login.user.clone(), password: of_root.or(login.password.as_ref()).cloned() }
}

/// The key that opens a machine. One that is gone must not keep anybody from all that needs no key.
fn key_to(machine: &MachinePlan, keys: &Keys) -> Arc<PrivateKey> {
    let Some(path) = &machine.login.key else { return keys.client() };
    keys::read(path).map(Arc::new).unwrap_or_else(|error| {
        tracing::warn!(target: "polder", "machine {}: {}", machine.name, chain(&error));
        keys.client()
    })
}
