//! Machines of oVirt: the engine, hosts, hosts of a hosted engine, nodes. Knows what can be seen of them from outside;
//! what only the engine's own SDK can do is not done here.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::MachineType;
use crate::{
    base::dial::BoxFuture,
    env::{Env, EnvError, Vm, parallel},
    initfile::spec::MachineSpec,
    provider::MachineState,
};

/// How long services have until they run (stretched by the time factor).
const SERVICE: Duration = Duration::from_secs(180);
/// The role of the machine that runs the engine.
const ENGINE: &str = "engine";
/// The role of machines that run virtual machines.
const HOST: &str = "host";
/// Who administers an engine.
const ADMIN: &str = "admin@internal";
/// Where the metadata of an engine has that user's password.
const PASSWORD: &str = "ovirt-engine-password";

/// The types.
pub(super) const TYPES: [Ovirt; 4] = [
    Ovirt {
        name: "ovirt-engine",
        roles: &[ENGINE],
        artifacts: &["/var/log/ovirt-engine"],
        service: Some("ovirt-engine"),
        at_most: Some(1),
    },
    Ovirt {
        name: "ovirt-host",
        roles: &[HOST],
        artifacts: &["/var/log/vdsm"],
        service: Some("vdsmd"),
        at_most: None,
    },
    Ovirt {
        name: "ovirt-he-host",
        roles: &[HOST, "he-host"],
        artifacts: &[
            "/var/log/vdsm",
            "/var/log/ovirt-hosted-engine-setup",
            "/var/log/ovirt-hosted-engine-ha",
        ],
        service: Some("vdsmd"),
        at_most: None,
    },
    // Nodes let nobody in before they are told who they are: they are not waited for, and nothing is taken from them.
    Ovirt { name: "ovirt-node", roles: &[HOST, "node"], artifacts: &[], service: None, at_most: None },
];

/// A type of machines of oVirt.
#[derive(Debug)]
pub(super) struct Ovirt {
    name: &'static str,
    roles: &'static [&'static str],
    artifacts: &'static [&'static str],
    /// What runs on a machine that is up; without one it is not waited for at all.
    service: Option<&'static str>,
    at_most: Option<usize>,
}

impl MachineType for Ovirt {
    fn name(&self) -> &str {
        self.name
    }

    fn shape(&self, machine: &mut MachineSpec) -> anyhow::Result<()> {
        add(&mut machine.roles, self.roles);
        match self.service {
            Some(_) => add(&mut machine.artifacts, self.artifacts),
            None => machine.artifacts.clear(),
        }
        machine.awaited = self.service.is_some();
        Ok(())
    }

    fn at_most(&self) -> Option<usize> {
        self.at_most
    }

    fn up<'a>(&'a self, vm: &'a Vm) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            match self.service {
                Some(service) => Ok(vm.wait_for_unit(&format!("{service}.service"), SERVICE).await?),
                None => Ok(()),
            }
        })
    }
}

/// Adds what is not there yet.
fn add(list: &mut Vec<String>, more: &[&str]) {
    for one in more {
        if !list.iter().any(|known| known == one) {
            list.push((*one).to_owned());
        }
    }
}

/// How the oVirt of an environment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OvirtStatus {
    /// The engine, if there is one.
    pub engine: Option<EngineStatus>,
    /// Hosts by name: how each of them is, as `status` says of an engine.
    pub hosts: BTreeMap<String, String>,
}

/// How an engine is, and how one gets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineStatus {
    /// Its machine.
    pub machine: String,
    /// `active`, `inactive` or `missing`, as its service is; else what is the matter with its machine.
    pub status: String,
    /// Where it is reached, if its machine has an address.
    pub url: Option<String>,
    /// Who administers it.
    pub user: &'static str,
    /// With which password, if the metadata of its machine says so.
    pub password: Option<String>,
}

/// How engine and hosts are.
///
/// # Errors
/// Whoever makes a machine does not answer. A machine that does not is part of the status.
pub async fn status(env: &Env) -> Result<OvirtStatus, EnvError> {
    let engine = match env.with_role(ENGINE).into_iter().next() {
        None => None,
        Some(vm) => Some(EngineStatus {
            machine: vm.name().to_string(),
            status: of_service(env, &vm).await?,
            url: vm.ip().map(|ip| format!("https://{}/ovirt-engine", host(ip))),
            user: ADMIN,
            password: vm.plan().metadata.get(PASSWORD).map(word),
        }),
    };
    let each = |vm: Vm| {
        let env = env.clone();
        async move { Ok((vm.name().to_string(), of_service(&env, &vm).await?)) }
    };
    Ok(OvirtStatus { engine, hosts: parallel::each(env.with_role(HOST), each).await?.into_iter().collect() })
}

async fn of_service(env: &Env, vm: &Vm) -> Result<String, EnvError> {
    let state = env.state_of(vm).await?;
    let ours = TYPES.iter().find(|one| one.name == vm.vm_type());
    Ok(match (state, ours.and_then(|one| one.service)) {
        (MachineState::Running, Some(service)) => match vm.service(service).state().await {
            Ok(state) => state.to_string(),
            Err(_) => "unknown".to_owned(),
        },
        (state, _) => format!("{state:?}").to_lowercase(),
    })
}

/// An address as URLs have it.
fn host(ip: std::net::IpAddr) -> String {
    if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
}

/// Text without its quotes.
fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
