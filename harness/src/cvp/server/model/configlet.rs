//! Configlets: named pieces of configuration, and what becomes of them.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    clock::Ms,
    device::Device,
    refused::{About, Refused, Why},
    state::Model,
    task::{Kind, NewTask},
    user::Who,
};

/// A named piece of configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Configlet {
    pub(crate) name: String,
    /// Kept byte for byte.
    pub(crate) config: String,
    /// Who changed it last.
    pub(crate) user: String,
    pub(crate) note: String,
    /// Whether it holds what a device ran anyway; it comes last then.
    pub(crate) reconciled: bool,
    /// What makes texts, instead of a text: kept, not run.
    pub(crate) builder: Option<serde_json::Value>,
    pub(crate) changed_at: Ms,
    /// Oldest first.
    pub(crate) history: Vec<Edit>,
}

/// A change of a configlet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) key: String,
    pub(crate) old_user: String,
    pub(crate) new_user: String,
    pub(crate) old_config: String,
    pub(crate) new_config: String,
    pub(crate) old_at: Ms,
    pub(crate) new_at: Ms,
}

impl Configlet {
    /// What kind it is, as the portal writes it.
    pub(crate) fn kind(&self) -> &'static str {
        match (self.reconciled, &self.builder) {
            (true, _) => "Reconciled",
            (false, Some(_)) => "Builder",
            (false, None) => "Static",
        }
    }
}

/// How many containers a configlet is assigned to, and how many devices hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) containers: usize,
    pub(crate) devices: usize,
}

/// So many configlets are looked at one by one.
const FEW: usize = 12;

impl Model {
    /// A configlet by its name, with its key.
    pub(crate) fn configlet_named(&self, name: &str) -> Result<(&String, &Configlet), Refused> {
        let found = self.configlet_names.get(name).and_then(|key| self.configlets.get_key_value(key));
        found.ok_or_else(|| Refused::absent(About::Configlet))
    }

    /// A configlet by its key.
    pub(crate) fn configlet(&self, key: &str) -> Result<&Configlet, Refused> {
        self.configlets.get(key).ok_or_else(|| Refused::absent(About::Configlet))
    }

    /// Adds a configlet; returns its key.
    pub(crate) fn add_configlet(&mut self, user: &str, mut configlet: Configlet) -> Result<String, Refused> {
        if configlet.name.trim().is_empty() {
            return Err(Refused::invalid(About::Configlet, "name is empty"));
        }
        self.require_free(&configlet.name)?;
        let key = format!("configlet_{}", self.clock.uuid());
        user.clone_into(&mut configlet.user);
        configlet.changed_at = self.clock.stamp();
        configlet.history = vec![Edit {
            key: self.clock.uuid(),
            new_user: user.to_owned(),
            new_config: configlet.config.clone(),
            new_at: configlet.changed_at,
            ..Edit::default()
        }];
        self.configlet_names.insert(configlet.name.clone(), key.clone());
        self.configlets.insert(key.clone(), configlet);
        Ok(key)
    }

    fn require_free(&self, name: &str) -> Result<(), Refused> {
        match self.configlet_named(name) {
            Ok(_) => Err(Refused::exists(About::Configlet)),
            Err(_) => Ok(()),
        }
    }

    /// Changes name or text; returns the tasks this makes, one for each device that holds it.
    pub(crate) fn update_configlet(
        &mut self,
        who: &Who,
        key: &str,
        name: &str,
        config: &str,
        reconciled: Option<bool>,
    ) -> Result<Vec<u64>, Refused> {
        let no_data = || Refused::new(About::Configlet, Why::NoData, "Failure -  No data found.");
        let known = self.configlets.get(key).ok_or_else(no_data)?;
        if name.trim().is_empty() {
            return Err(Refused::invalid(About::Configlet, "name is empty"));
        }
        if known.name != name {
            self.require_free(name)?;
        }
        let (at, edit) = (self.clock.stamp(), self.clock.uuid());
        let known = self.configlets.get_mut(key).ok_or_else(no_data)?;
        self.configlet_names.remove(&known.name);
        self.configlet_names.insert(name.to_owned(), key.to_owned());
        name.clone_into(&mut known.name);
        known.reconciled = reconciled.unwrap_or(known.reconciled);
        if known.config == config {
            return Ok(vec![]);
        }
        known.history.push(Edit {
            key: edit,
            old_user: known.user.clone(),
            new_user: who.user.clone(),
            old_config: std::mem::replace(&mut known.config, config.to_owned()),
            new_config: config.to_owned(),
            old_at: known.changed_at,
            new_at: at,
        });
        known.user.clone_from(&who.user);
        known.changed_at = at;
        let holders: Vec<String> = self.holders(key);
        let description = format!("Configlet {name} changed");
        Ok(holders
            .into_iter()
            .map(|device| {
                self.add_task(NewTask {
                    user: &who.user,
                    device,
                    description: description.clone(),
                    kind: Kind::Push,
                    ignored: vec![],
                })
            })
            .collect())
    }

    /// Devices that hold a configlet, themselves or through a container.
    pub(crate) fn holders(&self, key: &str) -> Vec<String> {
        let holds = |container: &&str| {
            self.containers.get(*container).is_some_and(|c| c.configlets.iter().any(|held| held == key))
        };
        let through: HashSet<&str> = self
            .containers
            .keys()
            .map(String::as_str)
            .filter(|container| self.path_to(container).iter().any(holds))
            .collect();
        let holds = |device: &&Device| {
            let inherits = || device.placement.container.as_deref().is_some_and(|key| through.contains(key));
            let holds = device.placement.own.iter().any(|held| held == key);
            !device.is_undefined() && (holds || !through.is_empty() && inherits())
        };
        self.devices.values().filter(holds).map(|device| device.mac.clone()).collect()
    }

    /// Removes configlets by key and name, all or none.
    pub(crate) fn delete_configlets(&mut self, which: &[(String, String)]) -> Result<(), Refused> {
        for (key, name) in which {
            let known = self.configlets.get(key).filter(|configlet| configlet.name == *name);
            if known.is_none() {
                return Err(Refused::new(About::Configlet, Why::Invalid, "Invalid input parameters."));
            }
            let holders: Vec<String> = self.users_of(key).collect();
            if !holders.is_empty() {
                let text = format!(
                    "Configlets assigned to device(s)/container(s) cannot be deleted: {name} is held by {}",
                    holders.join(", ")
                );
                return Err(Refused::new(About::Configlet, Why::InUse, text));
            }
        }
        for (key, name) in which {
            self.configlet_names.remove(name);
            self.configlets.remove(key);
        }
        Ok(())
    }

    /// The names of what a configlet is assigned to.
    fn users_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = String> + 'a {
        let containers = self.containers.values().filter(move |c| c.configlets.iter().any(|k| k == key));
        let devices = self.devices.values().filter(move |d| d.placement.own.iter().any(|k| k == key));
        containers.map(|c| c.name.clone()).chain(devices.map(Device::fqdn))
    }

    /// How much one configlet is used.
    pub(crate) fn uses_of(&self, key: &str) -> Uses {
        let holds = |configlets: &Vec<String>| configlets.iter().any(|held| held == key);
        let containers = self.containers.values().filter(|container| holds(&container.configlets)).count();
        Uses { containers, devices: self.holders(key).len() }
    }

    /// How much some configlets are used; what is told of others means nothing.
    pub(crate) fn uses_of_some<'a>(&'a self, keys: &[&'a str]) -> HashMap<&'a str, Uses> {
        // Beyond these it is less work to look at all of them at once.
        if keys.len() > FEW {
            return self.uses();
        }
        keys.iter().map(|key| (*key, self.uses_of(key))).collect()
    }

    /// How much each configlet is used; those that are not do not occur.
    pub(crate) fn uses(&self) -> HashMap<&str, Uses> {
        let mut uses: HashMap<&str, Uses> = HashMap::new();
        for key in self.containers.values().flat_map(|container| &container.configlets) {
            uses.entry(key).or_default().containers += 1;
        }
        let mut inherited: HashMap<&str, HashSet<&str>> = HashMap::new();
        for device in self.devices.values().filter(|device| !device.is_undefined()) {
            let Some(container) = device.placement.container.as_deref() else { continue };
            let inherited = inherited.entry(container).or_insert_with(|| {
                let around = self.path_to(container).into_iter().filter_map(|key| self.containers.get(key));
                around.flat_map(|container| container.configlets.iter().map(String::as_str)).collect()
            });
            let own = device.placement.own.iter().map(String::as_str).filter(|key| !inherited.contains(key));
            for key in own.chain(inherited.iter().copied()) {
                uses.entry(key).or_default().devices += 1;
            }
        }
        uses
    }
}
