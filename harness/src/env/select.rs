//! Which machines a verb is for.

use super::{Env, EnvError, Vm};
use crate::base::text::did_you_mean;

/// Which machines of an environment a verb is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those of these names.
    Named(Vec<String>),
}

impl Selection {
    /// Those of `names`; all when there are none, as on a command line.
    #[must_use]
    pub fn of(names: &[String]) -> Self {
        if names.is_empty() { Self::All } else { Self::Named(names.to_vec()) }
    }

    /// Whether somebody named them.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }
}

impl Env {
    /// The machines of a selection, each once, in the init file's order.
    ///
    /// # Errors
    /// [`EnvError::NoMachine`] with all names that are none.
    pub fn select(&self, selection: &Selection) -> Result<Vec<Vm>, EnvError> {
        let Selection::Named(names) = selection else { return Ok(self.vms()) };
        let all = self.vms();
        let known: Vec<&str> = all.iter().map(|vm| vm.name().as_str()).collect();
        let unknown = unknown(names, &known);
        if !unknown.is_empty() {
            return Err(EnvError::NoMachine { what: unknown.join("; ") });
        }
        Ok(all.into_iter().filter(|vm| names.iter().any(|name| name == vm.name().as_str())).collect())
    }
}

impl Env {
    /// The machines of a role, in the init file's order.
    #[must_use]
    pub fn with_role(&self, role: &str) -> Vec<Vm> {
        self.vms().into_iter().filter(|vm| vm.roles().iter().any(|own| own == role)).collect()
    }

    /// The machines with a capability, in the init file's order.
    #[must_use]
    pub fn with_capability(&self, capability: &str) -> Vec<Vm> {
        self.vms().into_iter().filter(|vm| vm.capabilities().iter().any(|own| own == capability)).collect()
    }
}

/// Those of `vms` that libvirt makes; what is done with the others is up to their providers.
pub(super) fn made(vms: Vec<Vm>) -> Vec<Vm> {
    vms.into_iter().filter(Vm::is_made).collect()
}

/// What is to be said of every name that no machine has.
fn unknown(names: &[String], known: &[&str]) -> Vec<String> {
    let none = names.iter().filter(|name| !known.contains(&name.as_str()));
    let told = none.map(|name| match did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("no machine `{name}`; did you mean `{meant}`?"),
        None => format!("no machine `{name}`; there are {}", known.join(", ")),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unknown_name_is_told() {
        let names = ["web", "wbe", "zzz"].map(str::to_owned);
        assert_eq!(
            unknown(&names, &["web", "db"]),
            ["no machine `wbe`; did you mean `web`?", "no machine `zzz`; there are web, db"]
        );
    }

    #[test]
    fn no_names_mean_all() {
        assert_eq!(Selection::of(&[]), Selection::All);
        assert_eq!(Selection::of(&["a".to_owned()]), Selection::Named(vec!["a".to_owned()]));
    }
}
