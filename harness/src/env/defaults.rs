//! What holds of machines whose init file does not say it.

use super::plan::{LOCAL, ROOT, TYPE};
use crate::{config::Config, initfile::EnvSpec};

/// What machines have that their init file leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Their class.
    pub vm_type: String,
    /// Who makes them.
    pub provider: String,
    /// Who logs in.
    pub ssh_user: String,
    /// With which password, where no key opens them; none otherwise.
    pub ssh_password: Option<String>,
    /// The password of root, which they have none of otherwise: one that is shipped would open every machine to everybody.
    pub root_password: Option<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            vm_type: TYPE.to_owned(),
            provider: LOCAL.to_owned(),
            ssh_user: ROOT.to_owned(),
            ssh_password: None,
            root_password: None,
        }
    }
}

impl Defaults {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            vm_type: config.default_vm_type.clone(),
            provider: config.default_vm_provider.clone(),
            ssh_user: config.ssh_user.clone(),
            ssh_password: config.ssh_password.clone(),
            root_password: config.root_password.clone(),
        }
    }

    /// Puts them in where `spec` says nothing.
    pub fn fill(&self, spec: &mut EnvSpec) {
        for machine in &mut spec.machines {
            machine.vm_type.get_or_insert_with(|| self.vm_type.clone());
            machine.provider.get_or_insert_with(|| self.provider.clone());
            machine.ssh_user.get_or_insert_with(|| self.ssh_user.clone());
            machine.ssh_password = machine.ssh_password.take().or_else(|| self.ssh_password.clone());
            machine.root_password = machine.root_password.take().or_else(|| self.root_password.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        config::Sources,
        initfile::{Options, load_text},
    };

    #[test]
    fn what_the_file_says_holds_and_no_password_is_made_up() {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut variables = vec![
            variable("POLDER_DEFAULT_VM_TYPE", "big"),
            variable("POLDER_DEFAULT_VM_PROVIDER", "ssh"),
            variable("LAGO_SSH_USER", "ada"),
        ];
        let configured = |variables: &[(String, String)]| {
            let sources =
                Sources { etc: "/nonexistent".into(), variables: variables.to_vec(), verbs: Some(vec![]) };
            Config::new(sources.load(), vec![]).unwrap()
        };
        let text = "domains: {a: {vm-type: default, vm-provider: local-libvirt, ssh-user: root}, b: {}}\nnets: {lan: {}}\n";
        let mut spec = load_text(Path::new("/x/lab.yaml"), text, &Options::new(&|_| None)).unwrap().spec;
        Defaults::of(&configured(&variables)).fill(&mut spec);
        let said = |index: usize| {
            let machine = &spec.machines[index];
            [&machine.vm_type, &machine.provider, &machine.ssh_user].map(|text| text.clone().unwrap())
        };
        assert_eq!(said(0), ["default", "local-libvirt", "root"]);
        assert_eq!(said(1), ["big", "ssh", "ada"]);
        assert!(spec.machines.iter().all(|m| m.ssh_password.is_none() && m.root_password.is_none()));
        variables.push(variable("LAGO_SSH_PASSWORD", "s3cret"));
        Defaults::of(&configured(&variables)).fill(&mut spec);
        assert!(spec.machines.iter().all(|m| m.ssh_password.as_deref() == Some("s3cret")));
    }
}
