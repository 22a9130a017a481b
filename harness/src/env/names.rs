//! The names scenarios know: machines, nets, roles and capabilities of an init file.

use std::collections::BTreeMap;

use super::{
    Host,
    plan::{EnvPlan, LOCAL},
};
use crate::{base::id::MachineName, initfile::EnvSpec};

/// Names in an init file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The machines.
    pub machines: Vec<String>,
    /// The nets.
    pub nets: Vec<String>,
    /// The machines of each role.
    pub roles: BTreeMap<String, Vec<String>>,
    /// The machines with each capability.
    pub capabilities: BTreeMap<String, Vec<String>>,
    /// Who makes the machines that libvirt does not make.
    pub providers: BTreeMap<String, String>,
}

impl Names {
    /// The names in `spec`, with what the types of machines of `host` bring.
    #[must_use]
    pub fn of(host: &Host, spec: &EnvSpec) -> Self {
        let mut spec = spec.clone();
        // What does not go with its type is said when it is planned.
        host.complete(&mut spec);
        let mut names = Self::default();
        spec.machines.iter().for_each(|m| names.add(&m.name, &m.roles, &m.capabilities));
        let others = spec.machines.iter().filter_map(|m| Some((m, m.provider.as_deref()?)));
        names.providers = others
            .filter(|(_, provider)| *provider != LOCAL)
            .map(|(m, provider)| (m.name.to_string(), provider.to_owned()))
            .collect();
        names.nets = spec.nets.iter().map(|net| net.name.to_string()).collect();
        names
    }

    pub(super) fn of_plan(plan: &EnvPlan) -> Self {
        let mut names = Self::default();
        plan.machines.iter().for_each(|m| names.add(&m.name, &m.roles, &m.capabilities));
        let others = plan.machines.iter().filter(|m| m.domain.is_none());
        names.providers = others.map(|m| (m.name.to_string(), m.provider.clone())).collect();
        names.nets = plan.nets.iter().map(|net| net.name.to_string()).collect();
        names
    }

    fn add(&mut self, machine: &MachineName, roles: &[String], capabilities: &[String]) {
        self.machines.push(machine.to_string());
        for (words, by) in [(roles, &mut self.roles), (capabilities, &mut self.capabilities)] {
            for word in words {
                let machines = by.entry(word.clone()).or_default();
                if machines.last().is_none_or(|last| last != machine.as_str()) {
                    machines.push(machine.to_string());
                }
            }
        }
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

    /// The machines of a role, which may be meant by a Rust identifier.
    #[must_use]
    pub fn role(&self, role: &str) -> &[String] {
        let role = find(self.roles.keys(), role);
        role.and_then(|role| self.roles.get(role)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a machine, of that role where one is named, has a capability.
    #[must_use]
    pub fn can(&self, role: Option<&str>, capability: &str) -> bool {
        let able = self.capabilities.get(capability).map(Vec::as_slice).unwrap_or_default();
        match role {
            None => !able.is_empty(),
            Some(role) => self.role(role).iter().any(|machine| able.contains(machine)),
        }
    }
}

fn find<'a>(names: impl IntoIterator<Item = &'a String>, ident: &str) -> Option<&'a str> {
    let meant = |name: &&String| *name == ident || name.replace(['-', '.'], "_") == ident;
    names.into_iter().find(meant).map(String::as_str)
}
