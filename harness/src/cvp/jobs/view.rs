//! What a portal has, and what it will have once the jobs so far are done: plans are made against this. Asks nobody.

use std::collections::{BTreeMap, BTreeSet};

use crate::cvp::{
    ComplianceCode, Configlet, ConfigletKind, Container, Device, Holder, Inventory, Level, Task, Version,
};

/// What a portal has, as far as jobs need it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) inventory: Inventory,
    pub(super) configlets: Vec<Configlet>,
    pub(super) holders: Vec<Holder>,
    /// Keys and names of the templates of snapshots; absent where the portal cannot list them.
    pub(super) templates: Option<Vec<(String, String)>>,
    /// Tasks nobody has executed, and that are in no change control.
    pub(super) pending: Vec<Task>,
    pub(super) version: Option<Version>,
}

/// A configlet as it will be.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) kind: ConfigletKind,
    /// MAC addresses of the devices it is put on.
    devices: BTreeSet<String>,
    /// Keys of the containers it is put on.
    containers: BTreeSet<String>,
}

/// What there will be.
#[derive(Debug)]
pub(super) struct View {
    pub(super) inventory: Inventory,
    pub(super) configlets: BTreeMap<String, Text>,
    /// Names of configlets that jobs delete.
    pub(super) deleted: BTreeSet<String>,
    /// MAC addresses of devices that have tasks of this run which nobody has executed; one for each task.
    pub(super) waiting: Vec<String>,
    pub(super) pending: Vec<Task>,
    pub(super) templates: Option<Vec<(String, String)>>,
    pub(super) version: Option<Version>,
}

/// Whether it is held by itself, and not by a container above.
pub(super) fn is_own(held: &Holder) -> bool {
    held.inherited_from.is_empty() || held.inherited_from == held.object
}

impl View {
    pub(super) fn new(seen: Seen) -> Self {
        let mut configlets: BTreeMap<String, Text> = BTreeMap::new();
        for one in seen.configlets {
            let own = |kind: &str| {
                let own = seen.holders.iter().filter(|held| held.configlet == one.key && held.kind == kind);
                own.filter(|held| is_own(held)).map(|held| held.object.clone()).collect()
            };
            let text = Text {
                devices: own("netelement"),
                containers: own("container"),
                text: one.text,
                kind: one.kind,
            };
            configlets.insert(one.name, text);
        }
        Self {
            inventory: seen.inventory,
            configlets,
            deleted: BTreeSet::new(),
            waiting: Vec::new(),
            pending: seen.pending,
            templates: seen.templates,
            version: seen.version,
        }
    }

    /// At which step the portal's API is.
    pub(super) fn level(&self) -> Level {
        self.version.map_or(Level::NEWEST, Level::of)
    }

    /// The devices that hold a configlet, themselves or by a container above.
    pub(super) fn holders(&self, configlet: &str) -> Vec<Device> {
        let Some(text) = self.configlets.get(configlet) else { return Vec::new() };
        let mut macs: BTreeSet<&str> = text.devices.iter().map(String::as_str).collect();
        for container in &text.containers {
            macs.extend(self.inventory.below(container).map(|device| device.mac.as_str()));
        }
        self.inventory.devices.iter().filter(|device| macs.contains(device.mac.as_str())).cloned().collect()
    }

    /// Whether a device holds it, itself or by a container above.
    pub(super) fn holds(&self, configlet: &str, device: &Device) -> bool {
        self.holders(configlet).iter().any(|one| one.mac == device.mac)
    }

    /// Whether a device holds it itself.
    pub(super) fn owns(&self, configlet: &str, device: &Device) -> bool {
        self.configlets.get(configlet).is_some_and(|text| text.devices.contains(&device.mac))
    }

    /// The containers it is put on.
    pub(super) fn containers_of(&self, configlet: &str) -> Vec<Container> {
        let on = |one: &&Container| {
            self.configlets.get(configlet).is_some_and(|text| text.containers.contains(&one.key))
        };
        self.inventory.containers.iter().filter(on).cloned().collect()
    }

    /// It will have this text.
    pub(super) fn write(&mut self, configlet: &str, text: &str) {
        let one = self.configlets.entry(configlet.to_owned()).or_insert_with(|| Text {
            text: String::new(),
            kind: ConfigletKind::Static,
            devices: BTreeSet::new(),
            containers: BTreeSet::new(),
        });
        text.clone_into(&mut one.text);
        self.deleted.remove(configlet);
    }

    pub(super) fn put(&mut self, configlet: &str, device: &Device) {
        if let Some(text) = self.configlets.get_mut(configlet) {
            text.devices.insert(device.mac.clone());
        }
    }

    pub(super) fn take(&mut self, configlet: &str, device: &Device) {
        if let Some(text) = self.configlets.get_mut(configlet) {
            text.devices.remove(&device.mac);
        }
    }

    pub(super) fn delete(&mut self, configlet: &str) {
        self.configlets.remove(configlet);
        self.deleted.insert(configlet.to_owned());
    }

    /// It will be in that container.
    pub(super) fn shift(&mut self, device: &Device, container: &str) {
        for one in self.inventory.devices.iter_mut().filter(|one| one.mac == device.mac) {
            container.clone_into(&mut one.container);
        }
    }

    /// They will have a task more each.
    pub(super) fn wait(&mut self, devices: &[Device]) {
        self.waiting.extend(devices.iter().map(|device| device.mac.clone()));
        // What is in step now will not be then.
        for one in self.inventory.devices.iter_mut().filter(|one| devices.iter().any(|d| d.mac == one.mac)) {
            one.compliance = ComplianceCode("0001".to_owned());
        }
    }

    /// The tasks of these will be executed.
    pub(super) fn execute(&mut self, devices: &[Device]) {
        self.waiting.retain(|mac| devices.iter().all(|device| device.mac != *mac));
        for one in self.inventory.devices.iter_mut().filter(|one| devices.iter().any(|d| d.mac == one.mac)) {
            one.compliance = ComplianceCode("0000".to_owned());
        }
    }
}
