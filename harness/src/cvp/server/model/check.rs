//! What must hold of a portal, whatever was done to it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::Phase,
    configlet::Uses,
    container::{ROOT, UNDEFINED},
    state::Model,
    task::State,
};

impl Model {
    /// What is wrong; nothing, if all is well.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut wrong = vec![];
        self.check_names(&mut wrong);
        self.check_tree(&mut wrong);
        self.check_uses(&mut wrong);
        self.check_tasks(&mut wrong);
        self.check_changes(&mut wrong);
        wrong
    }

    fn check_names(&self, wrong: &mut Vec<String>) {
        for (key, configlet) in &self.configlets {
            if self.configlet_named(&configlet.name).map(|(found, _)| found) != Ok(key) {
                wrong.push(format!("configlet {key} is not found by its name `{}`", configlet.name));
            }
        }
        let mut unique = |what: &str, names: Vec<&String>| {
            let mut seen = BTreeSet::new();
            let twice: Vec<_> = names.into_iter().filter(|name| !seen.insert(*name)).collect();
            wrong.extend(twice.into_iter().map(|name| format!("{what} `{name}` is there twice")));
        };
        unique("configlet", self.configlets.values().map(|configlet| &configlet.name).collect());
        unique("container", self.containers.values().map(|container| &container.name).collect());
        unique("serial number", self.devices.values().map(|device| &device.serial).collect());
        unique("role", self.roles.values().map(|role| &role.name).collect());
        unique("image bundle", self.bundles.values().map(|bundle| &bundle.name).collect());
    }

    fn check_tree(&self, wrong: &mut Vec<String>) {
        for key in [ROOT, UNDEFINED].into_iter().filter(|key| !self.containers.contains_key(*key)) {
            wrong.push(format!("container {key} is gone"));
        }
        for key in self.containers.keys() {
            if self.path_to(key).first() != Some(&ROOT) {
                wrong.push(format!("container {key} is not below the root"));
            }
        }
        for device in self.devices.values() {
            let container = device.placement.container.as_ref();
            if container.is_some_and(|key| !self.containers.contains_key(key)) {
                wrong.push(format!("device {} is in a container that is not there", device.mac));
            }
        }
    }

    fn check_uses(&self, wrong: &mut Vec<String>) {
        let own = self.devices.values().map(|device| (&device.mac, &device.placement.own));
        let held = self.containers.iter().map(|(key, container)| (key, &container.configlets));
        for (holder, keys) in own.chain(held) {
            let mut seen = BTreeSet::new();
            for key in keys {
                if !self.configlets.contains_key(key) {
                    wrong.push(format!("{holder} holds configlet {key}, which is not there"));
                }
                if !seen.insert(key) {
                    wrong.push(format!("{holder} holds configlet {key} twice"));
                }
            }
        }
        let mut expected: BTreeMap<String, Uses> = BTreeMap::new();
        for key in self.containers.values().flat_map(|container| &container.configlets) {
            expected.entry(key.clone()).or_default().containers += 1;
        }
        for held in self.devices.values().flat_map(|device| self.held(device)) {
            expected.entry(held.key.to_owned()).or_default().devices += 1;
        }
        let uses = self.uses();
        for key in self.configlets.keys() {
            let counted = uses.get(key.as_str()).copied().unwrap_or_default();
            let expected = expected.get(key).copied().unwrap_or_default();
            if counted != expected {
                wrong.push(format!("configlet {key} is counted {counted:?} instead of {expected:?}"));
            }
        }
    }

    fn check_tasks(&self, wrong: &mut Vec<String>) {
        for task in self.tasks.values() {
            let over = matches!(task.state, State::Completed | State::Cancelled);
            if !over && !self.devices.contains_key(&task.device) {
                wrong.push(format!("task {} has no device", task.id));
            }
            if task.id >= self.next_task {
                wrong.push(format!("task {} has an id that will be given again", task.id));
            }
            if (task.state == State::Pending) != (task.executed_at == 0) && task.state != State::Cancelled {
                wrong.push(format!(
                    "task {} is {} and was executed at {}",
                    task.id,
                    task.state.words(),
                    task.executed_at
                ));
            }
        }
    }

    fn check_changes(&self, wrong: &mut Vec<String>) {
        for (id, change) in &self.changes {
            let running = change.stages.values().any(|stage| stage.phase == Phase::Running);
            let stopped = change.start.as_ref().is_some_and(|start| !start.value);
            if running && change.phase != Phase::Running && !stopped {
                wrong.push(format!("change control {id} has a running stage and does not run"));
            }
            if change.phase == Phase::Running && !running {
                wrong.push(format!("change control {id} runs and no stage of it does"));
            }
        }
    }
}
