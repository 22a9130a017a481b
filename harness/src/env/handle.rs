//! A running environment and its parts, as scenarios get them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Deref,
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    EnvError, Host, Progress,
    agent::LibvirtAgent,
    exec::{self, UpFailure},
    host::limits,
    keys::Keys,
    plan::{EnvPlan, MachinePlan},
    state::EnvState,
};
use crate::{
    base::{
        dial::Dial,
        id::{MachineName, NetName},
    },
    event::Usage,
    guest::{Guest, GuestSpec, SshSpec},
    image::Ability,
    initfile::EnvSpec,
    lab::{Hermetic, Lab, paths::LabPaths},
    net::PlannedNet,
    provider::libvirt::{Connection, DomainState},
};

/// Names of the machines and nets of an init file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The machines.
    pub machines: Vec<String>,
    /// The nets.
    pub nets: Vec<String>,
}

impl Names {
    /// The names in `spec`.
    #[must_use]
    pub fn of(spec: &EnvSpec) -> Self {
        let machines = spec.machines.iter().map(|m| m.name.to_string()).collect();
        Self { machines, nets: spec.nets.iter().map(|n| n.name.to_string()).collect() }
    }

    /// The machine a Rust identifier means: `-` and `.` of a name are `_` in it.
    #[must_use]
    pub fn machine(&self, ident: &str) -> Option<&str> {
        find(&self.machines, ident)
    }

    /// The net a Rust identifier means.
    #[must_use]
    pub fn net(&self, ident: &str) -> Option<&str> {
        find(&self.nets, ident)
    }
}

fn find<'a>(names: &'a [String], ident: &str) -> Option<&'a str> {
    let meant = |name: &&String| *name == ident || name.replace(['-', '.'], "_") == ident;
    names.iter().find(meant).map(String::as_str)
}

/// A running environment; clones are the same one.
#[derive(Clone)]
pub struct Env(Arc<Inner>);

struct Inner {
    lab: Arc<dyn Lab>,
    connection: Connection,
    plan: Arc<EnvPlan>,
    machines: Vec<Vm>,
    factor: f64,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({})", self.0.lab.env().display())
    }
}

impl Env {
    /// Decides everything for `spec` without making any of it (images excepted: their facts are needed).
    ///
    /// # Errors
    /// An image cannot be had, or what is asked for does not fit together.
    pub async fn plan_of(host: &Host, spec: &EnvSpec, progress: &Progress) -> Result<EnvPlan, EnvError> {
        Ok(exec::prepare(host, spec, progress).await?.plan)
    }

    /// Brings up what `spec` asks for and waits until every machine answers.
    ///
    /// # Errors
    /// The first failure, and what there is of the environment: it can be looked at, then must go down.
    pub async fn up(host: &Host, spec: &EnvSpec, progress: &Progress) -> Result<Self, UpFailure> {
        let prepared = exec::prepare(host, spec, progress).await?;
        exec::up(host, prepared, progress).await
    }

    /// Joins the environment of a lab that was detached.
    ///
    /// # Errors
    /// The lab is gone, or what was written down of it cannot be read.
    pub async fn join(folder: &Path) -> Result<Self, EnvError> {
        let lab: Arc<dyn Lab> = Arc::new(Hermetic::join(folder)?);
        let state = EnvState::load(lab.env())?;
        let connection = exec::connect(&*lab).await?;
        Self::assemble(lab, connection, state)
    }

    pub(super) fn assemble(
        lab: Arc<dyn Lab>,
        connection: Connection,
        state: EnvState,
    ) -> Result<Self, EnvError> {
        let EnvState { plan, keys, factor, .. } = state;
        let plan = Arc::new(plan);
        let vm = |machine: &MachinePlan| -> Result<Vm, EnvError> {
            let guest = Guest::new(guest_spec(&lab, &connection, machine, &keys, factor)?);
            Ok(Vm { guest, plan: Arc::new(machine.clone()) })
        };
        let machines = plan.machines.iter().map(vm).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner { lab, connection, plan, machines, factor })))
    }

    /// The machine of that name.
    #[must_use]
    pub fn vm(&self, name: &str) -> Option<Vm> {
        self.0.machines.iter().find(|vm| vm.name().as_str() == name).cloned()
    }

    /// All machines, in the init file's order.
    #[must_use]
    pub fn vms(&self) -> Vec<Vm> {
        self.0.machines.clone()
    }

    /// The network of that name.
    #[must_use]
    pub fn net(&self, name: &str) -> Option<Net> {
        let spec = self.0.plan.nets.iter().find(|net| net.name.as_str() == name)?;
        Some(Net { spec: Arc::new(spec.clone()) })
    }

    /// Names of its machines and nets.
    #[must_use]
    pub fn names(&self) -> Names {
        let machines = self.0.plan.machines.iter().map(|m| m.name.to_string()).collect();
        Names { machines, nets: self.0.plan.nets.iter().map(|n| n.name.to_string()).collect() }
    }

    /// What was decided.
    #[must_use]
    pub fn plan(&self) -> &EnvPlan {
        &self.0.plan
    }

    /// By how much deadlines are stretched on this host.
    #[must_use]
    pub fn time_factor(&self) -> f64 {
        self.0.factor
    }

    /// How a machine is, as libvirt sees it.
    ///
    /// # Errors
    /// libvirt does not answer.
    pub async fn state_of(&self, vm: &Vm) -> Result<DomainState, EnvError> {
        Ok(self.0.connection.domain_state(vm.name().as_str(), limits::COMMAND).await?)
    }

    /// Why it cannot be used any more, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<EnvError> {
        self.0.lab.failure().map(EnvError::from)
    }

    /// Comes back only when the environment has broken: its daemon or its boundary ended.
    pub async fn broken(&self) -> EnvError {
        self.0.lab.broken().await.into()
    }

    /// What all its processes used so far.
    ///
    /// # Errors
    /// The lab does not answer.
    pub async fn usage(&self) -> Result<Usage, EnvError> {
        Ok(self.0.lab.usage().await?)
    }

    /// Its folder: disks, consoles, state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.lab.env()
    }

    /// The runtime folder of its lab, where that is ours.
    #[must_use]
    pub fn runtime(&self) -> Option<&LabPaths> {
        self.0.lab.runtime()
    }

    /// Leaves it running when this process ends.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn detach(&self) -> Result<(), EnvError> {
        Ok(self.0.lab.detach()?)
    }

    /// Ends it; nothing is left.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn down(self) -> Result<(), EnvError> {
        Ok(self.0.lab.end(limits::DOWN).await?)
    }

    pub(super) fn lab(&self) -> &dyn Lab {
        &*self.0.lab
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    pub(super) fn scaled(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.0.factor)
    }
}

fn guest_spec(
    lab: &Arc<dyn Lab>,
    connection: &Connection,
    machine: &MachinePlan,
    keys: &Keys,
    factor: f64,
) -> Result<GuestSpec, EnvError> {
    let reachable = machine.management_ip.filter(|_| machine.abilities.has(Ability::Ssh));
    let ssh = reachable.map(|ip| {
        Ok::<_, EnvError>(SshSpec {
            dial: Arc::clone(lab) as Arc<dyn Dial>,
            addr: SocketAddr::new(IpAddr::V4(ip), 22),
            user: "root".into(),
            key: Arc::new(keys.client_key()?),
            host_key: keys.host_key(&machine.name)?,
        })
    });
    Ok(GuestSpec {
        name: machine.name.clone(),
        image: machine.image.clone().unwrap_or_else(|| "(none)".into()),
        abilities: machine.abilities.clone(),
        ssh: ssh.transpose()?,
        agent: Some(Arc::new(LibvirtAgent::new(connection.clone(), machine.name.to_string()))),
        console: lab.env().join(&machine.console),
        outputs: lab.env().join("outputs"),
        time_factor: factor,
    })
}

/// A machine: everything a [`Guest`] can do, and where it stands in the environment.
#[derive(Clone, Debug)]
pub struct Vm {
    guest: Guest,
    plan: Arc<MachinePlan>,
}

impl Vm {
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
}

impl Deref for Vm {
    type Target = Guest;
    fn deref(&self) -> &Guest {
        &self.guest
    }
}

/// A network of an environment.
#[derive(Clone, Debug)]
pub struct Net {
    spec: Arc<PlannedNet>,
}

impl Net {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NetName {
        &self.spec.name
    }

    /// The IPv4 address of its gateway, which is the lab's own.
    #[must_use]
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.spec.gateway
    }
}
