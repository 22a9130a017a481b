//! How an environment is: the structure that is printed, under the names scripts know.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::{
    Env, EnvError, host::limits, network, ordered, plan::MachinePlan, select::made, site::Ground,
    snapshot::Chains, turn::Home,
};
use crate::{base::id::MachineName, event::Usage, provider::libvirt::DomainState};

/// A snapshot of an environment's state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The one thing there is.
    #[serde(rename = "Prefix")]
    pub prefix: PrefixStatus,
}

/// How the environment of a prefix is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrefixStatus {
    /// Absolute path of the prefix.
    #[serde(rename = "Base directory")]
    pub folder: PathBuf,
    /// Names the environment for good.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// Networks by name.
    #[serde(rename = "Networks")]
    pub nets: BTreeMap<String, NetStatus>,
    /// Machines by name.
    #[serde(rename = "VMs")]
    pub machines: BTreeMap<String, MachineStatus>,
    /// Where it runs; absent while it is down.
    #[serde(rename = "Lab", skip_serializing_if = "Option::is_none")]
    pub lab: Option<LabStatus>,
    /// Why it must not be destroyed, if that is so.
    #[serde(rename = "Locked", skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
    /// Who changes it right now, if anybody.
    #[serde(rename = "In use", skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// The lab of an environment that is up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabStatus {
    /// Its runtime folder, when it is a lab of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Where its libvirt daemon answers.
    pub libvirt: String,
    /// Why it cannot be used, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// What all its processes used so far, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The files of its machines' consoles.
    pub consoles: BTreeMap<String, PathBuf>,
    /// The sockets where screens of its machines are served as VNC.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub screens: BTreeMap<String, PathBuf>,
}

/// How a network is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetStatus {
    /// Its gateway.
    pub gateway: Option<String>,
    /// `up` or `down`.
    pub status: &'static str,
    /// Whether machines are reached over it.
    pub management: bool,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineStatus {
    /// Its NICs as `eth0`, `eth1`, ...
    #[serde(rename = "NICs")]
    pub nics: BTreeMap<String, NicStatus>,
    /// Its distribution or image.
    pub distro: Option<String>,
    /// Free-form, from the init file; its deploy scripts as `deploy-scripts`.
    pub metadata: Map<String, Json>,
    /// The password of root, where there is one.
    #[serde(rename = "root password")]
    pub root_password: Option<String>,
    /// Names of its snapshots, joined by `, `.
    pub snapshots: String,
    /// Its state in one of Lago's words: `running`, `paused`, `shut off`, `crashed`, `down`,
    /// `unknown`; `unreachable` when whoever makes it does not know more.
    pub status: &'static str,
}

/// A NIC of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NicStatus {
    /// Its address, or `N/A`.
    pub ip: String,
    /// The network it is on.
    pub network: String,
}

impl Env {
    /// How it is. Works on an environment that is down, and on one whose lab is broken.
    ///
    /// # Errors
    /// libvirt answers with an error.
    pub async fn status(&self) -> Result<Status, EnvError> {
        self.refresh().await?;
        let others = ordered::states(self).await?;
        let (lab, active, mut states) = match self.site().ground() {
            Ground::Down => (None, vec![], BTreeMap::new()),
            Ground::Broken { lab, why } => {
                let unknown = self.vms().iter().map(|vm| (vm.name().clone(), "unknown")).collect();
                let libvirt = lab.libvirt_uri();
                let consoles = self.consoles();
                let screens = BTreeMap::new();
                let lab =
                    LabStatus { folder: None, libvirt, broken: Some(why), usage: None, consoles, screens };
                (Some(lab), vec![], unknown)
            }
            Ground::Up(running) => {
                let active = network::active(&running, &self.plan().nets).await?;
                let domains = running.connection.domains(limits::COMMAND).await;
                let domains = domains.map_err(|e| running.explain(e))?;
                let states = made(self.vms()).into_iter().map(|vm| {
                    let state = domains.get(vm.domain()).copied().unwrap_or(DomainState::Absent);
                    (vm.name().clone(), word(state))
                });
                let states = states.collect();
                let usage = running.lab.usage().await.ok();
                let folder = running.lab.runtime().map(|runtime| runtime.folder.clone());
                let libvirt = running.lab.libvirt_uri();
                let consoles = self.consoles();
                let mut screens = BTreeMap::new();
                for vm in self.vms() {
                    screens.extend(self.screen(&vm).await?.map(|socket| (vm.name().to_string(), socket)));
                }
                let lab = LabStatus { folder, libvirt, broken: None, usage, consoles, screens };
                (Some(lab), active, states)
            }
        };
        let nets = self.plan().nets.iter().map(|net| {
            let status = if active.contains(&net.libvirt_name) { "up" } else { "down" };
            let gateway = net.server().map(|ip| ip.to_string());
            (net.name.to_string(), NetStatus { gateway, status, management: net.management })
        });
        let chains = self.state().chains;
        let machines = self.vms().into_iter().map(|vm| {
            let plan = vm.plan();
            let nic = |nic: &crate::net::PlannedNic| {
                let ip = nic.addresses().next().map_or_else(|| "N/A".to_owned(), |ip| ip.to_string());
                (format!("eth{}", nic.index), NicStatus { ip, network: nic.net.to_string() })
            };
            let status = MachineStatus {
                nics: plan.nics.iter().map(nic).collect(),
                distro: plan.distro.clone().or_else(|| plan.image.clone()),
                metadata: metadata(plan),
                root_password: plan.login.root_password.clone(),
                snapshots: snapshots_of(&chains, vm.name()),
                status: match others.get(vm.name().as_str()) {
                    Some(state) => word(*state),
                    None => states.remove(vm.name()).unwrap_or("down"),
                },
            };
            (vm.name().to_string(), status)
        });
        let (locked, holder) = match self.home() {
            Home::Lab(_) | Home::Alone(_) => (None, None),
            Home::Prefix(prefix) => (
                prefix.protection().map(|protection| protection.to_string()),
                prefix.holder().map(|who| who.map_or_else(|| "somebody".into(), |who| who.to_string())),
            ),
        };
        let prefix = PrefixStatus {
            folder: self.folder().to_owned(),
            uuid: self.state().uuid,
            nets: nets.collect(),
            machines: machines.collect(),
            lab,
            locked,
            holder,
        };
        Ok(Status { prefix })
    }

    fn consoles(&self) -> BTreeMap<String, PathBuf> {
        made(self.vms()).into_iter().map(|vm| (vm.name().to_string(), vm.spec().console.clone())).collect()
    }
}

/// What the init file says of a machine in its `metadata`: there, deploy scripts are always listed.
fn metadata(plan: &MachinePlan) -> Map<String, Json> {
    let mut all = plan.metadata.clone();
    all.insert("deploy-scripts".into(), super::deploy::paths(plan));
    all
}

fn snapshots_of(chains: &Chains, machine: &MachineName) -> String {
    let with = chains.snapshots.iter().filter(|snapshot| snapshot.machines.contains_key(machine));
    with.map(|snapshot| snapshot.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn word(state: DomainState) -> &'static str {
    match state {
        DomainState::Running => "running",
        DomainState::Paused => "paused",
        DomainState::Off => "shut off",
        DomainState::Crashed => "crashed",
        DomainState::Absent => "down",
        DomainState::Unreachable => "unreachable",
        DomainState::Other => "unknown",
    }
}
