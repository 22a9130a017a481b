//! Changes of the topology: kept with a session until they are saved, then made all at once or not at all.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    container::{Container, ROOT, UNDEFINED},
    device::{Device, Placement},
    refused::{About, Refused, Why},
    state::Model,
    task::{Kind, NewTask},
    user::Who,
};
use crate::cvp::server::wire::classic::Action;

/// A change of the topology that is not saved yet.
#[derive(Debug, Clone)]
pub(crate) struct TempAction {
    pub(crate) key: String,
    pub(crate) at: super::clock::Ms,
    pub(crate) action: Action,
    /// Every word of it, as it was sent.
    pub(crate) raw: Map<String, Value>,
}

/// An action as it is read, and as it was sent.
pub(crate) type Sent = (Action, Map<String, Value>);

/// What is to become of a device.
#[derive(Debug)]
struct Wanted {
    description: String,
    kind: Kind,
    ignored: Vec<String>,
    quiet: bool,
}

/// The topology as it would be.
#[derive(Debug)]
struct Draft<'a> {
    model: &'a Model,
    user: &'a str,
    containers: BTreeMap<String, Container>,
    placements: BTreeMap<String, Placement>,
    /// Tasks to be made, by device.
    tasks: BTreeMap<String, Wanted>,
    /// Keys for new containers, made before.
    fresh: Vec<(String, super::clock::Ms)>,
}

/// What a draft comes to.
struct Changes {
    containers: BTreeMap<String, Container>,
    placements: BTreeMap<String, Placement>,
    tasks: BTreeMap<String, Wanted>,
}

fn refused(why: Why, text: impl Into<String>) -> Refused {
    Refused::new(About::Node, why, text)
}

/// Which of several actions it was that cannot be done.
fn named(refused: Refused, number: usize, actions: &[Action]) -> Refused {
    let Some(action) = actions.get(number).filter(|_| actions.len() > 1) else { return refused };
    let Action { action, node_type, info, .. } = action;
    let text = format!(
        "{} (action {} of {}, {action} {node_type}: {info})",
        refused.text,
        number + 1,
        actions.len()
    );
    Refused { text, ..refused }
}

impl Model {
    /// Adds actions to those of a session, if they could be done after those; all or none.
    pub(crate) fn add_actions(&mut self, who: &Who, actions: Vec<Sent>) -> Result<(), Refused> {
        let new: Vec<_> = actions
            .into_iter()
            .map(|(action, raw)| TempAction {
                key: format!("tempaction_{}", self.clock.uuid()),
                at: self.clock.stamp(),
                action,
                raw,
            })
            .collect();
        let mut all: Vec<Action> = self.actions_of(who).iter().map(|temp| temp.action.clone()).collect();
        all.extend(new.iter().map(|temp| temp.action.clone()));
        self.draft(&who.user, &all)?;
        if let Some(session) = self.sessions.get_mut(&who.session) {
            session.actions.extend(new);
        }
        Ok(())
    }

    /// Actions of a session that are not saved yet.
    pub(crate) fn actions_of(&self, who: &Who) -> &[TempAction] {
        self.sessions.get(&who.session).map(|session| session.actions.as_slice()).unwrap_or_default()
    }

    /// Drops them.
    pub(crate) fn drop_actions(&mut self, who: &Who) {
        if let Some(session) = self.sessions.get_mut(&who.session) {
            session.actions.clear();
        }
    }

    /// Saves the actions of a session, or those given; returns the tasks this makes. Whatever comes of it, the session's
    /// own are dropped.
    pub(crate) fn save(&mut self, who: &Who, given: Option<Vec<Action>>) -> Result<Vec<u64>, Refused> {
        let actions = given.unwrap_or_else(|| {
            let own = self.actions_of(who).iter().map(|temp| temp.action.clone()).collect();
            self.drop_actions(who);
            own
        });
        let changes = self.draft(&who.user, &actions)?;
        self.containers = changes.containers;
        for (mac, placement) in changes.placements {
            if let Some(device) = self.devices.get_mut(&mac) {
                device.placement = placement;
            }
        }
        let tasks = changes.tasks.into_iter().filter(|(_, wanted)| !wanted.quiet);
        let new = |(device, wanted): (String, Wanted)| NewTask {
            user: &who.user,
            device,
            description: wanted.description,
            kind: wanted.kind,
            ignored: wanted.ignored,
        };
        Ok(tasks.map(|task| self.add_task(new(task))).collect())
    }

    fn draft(&mut self, user: &str, actions: &[Action]) -> Result<Changes, Refused> {
        let fresh = actions
            .iter()
            .map(|_| (format!("container_{}", self.clock.uuid()), self.clock.stamp()))
            .collect();
        let mut draft = Draft {
            model: self,
            user,
            containers: self.containers.clone(),
            placements: BTreeMap::new(),
            tasks: BTreeMap::new(),
            fresh,
        };
        for (number, action) in actions.iter().enumerate() {
            draft.take(action).map_err(|refused| named(refused, number, actions))?;
        }
        let Draft { containers, placements, tasks, .. } = draft;
        Ok(Changes { containers, placements, tasks })
    }
}

impl Draft<'_> {
    fn take(&mut self, action: &Action) -> Result<(), Refused> {
        match (action.action.as_str(), action.node_type.as_str()) {
            ("associate", "configlet") => self.configlets(action),
            ("associate", "imagebundle") => self.image(action),
            ("associate", "ipaddress") => {
                let device = self.model.device(&action.to_id)?;
                self.want(device, action, Kind::Address(action.node_target_ip_address.clone()));
                Ok(())
            }
            ("add", "container") => self.add(action),
            ("delete", "container") => self.delete(action),
            ("update", "container") => self.rename(action),
            ("update" | "add", "netelement") => self.relocate(action, &action.to_id, false),
            ("reset", "netelement") => self.relocate(action, UNDEFINED, true),
            (what, node) => Err(Refused::invalid(About::Node, format!("action `{what}` of a `{node}`"))),
        }
    }

    /// A container by its key; one that was added before without a key, by its name.
    fn key_of(&self, key: &str, name: &str) -> Result<String, Refused> {
        let known = self.containers.contains_key(key).then(|| key.to_owned());
        let added = || self.containers.iter().find(|(_, c)| c.name == name).map(|(key, _)| key.clone());
        let found = known.or_else(|| if key == "new_container" { added() } else { None });
        found.ok_or_else(|| refused(Why::Absent, "Invalid Container id"))
    }

    fn placement(&mut self, device: &Device) -> &mut Placement {
        self.placements.entry(device.mac.clone()).or_insert_with(|| device.placement.clone())
    }

    fn container_of(&self, device: &Device) -> Option<String> {
        let placement = self.placements.get(&device.mac).unwrap_or(&device.placement);
        placement.container.clone()
    }

    fn want(&mut self, device: &Device, action: &Action, kind: Kind) {
        let quiet = action.compare_count.is_some_and(|count| count.is_zero());
        let description = action.info.clone();
        let ignored = action.ignore_configlet_list.clone();
        let wanted = self.tasks.entry(device.mac.clone()).or_insert_with(|| Wanted {
            description: String::new(),
            kind: Kind::Push,
            ignored: vec![],
            quiet: true,
        });
        wanted.description = description;
        wanted.quiet &= quiet;
        wanted.ignored.extend(ignored);
        if kind != Kind::Push {
            wanted.kind = kind;
        }
    }

    fn is_below(&self, key: &str, top: &str) -> bool {
        let next = |key: &&str| self.containers.get(*key).map(|container| container.parent.as_str());
        // The draft lives as long as this call does.
        let mut key = Some(key);
        for _ in 0..=self.containers.len() {
            match key {
                Some(at) if at == top => return true,
                Some(at) => key = next(&at),
                None => return false,
            }
        }
        false
    }

    /// Configlets assigned to the containers around one, and to itself if wanted.
    fn assigned_above(&self, key: &str, itself: bool) -> Vec<String> {
        let around = self
            .containers
            .iter()
            .filter(|(above, _)| self.is_below(key, above) && (itself || *above != key));
        around.flat_map(|(_, container)| container.configlets.clone()).collect()
    }

    /// Provisioned devices below a container, as the draft has them.
    fn below(&self, top: &str) -> Vec<&Device> {
        let inside = |device: &&Device| {
            let container = self.container_of(device);
            container.is_some_and(|key| key != UNDEFINED && self.is_below(&key, top))
        };
        self.model.devices.values().filter(inside).collect()
    }
}

// What each action does.
impl Draft<'_> {
    fn configlets(&mut self, action: &Action) -> Result<(), Refused> {
        let mut keys: Vec<String> = vec![];
        for key in action.configlet_list.iter().chain(&action.configlet_builder_list) {
            self.model.configlet(key)?;
            if !keys.contains(key) && !action.ignore_configlet_list.contains(key) {
                keys.push(key.clone());
            }
        }
        if action.to_id_type == "container" {
            let container = self.key_of(&action.to_id, &action.to_name)?;
            let inherited = self.assigned_above(&container, false);
            keys.retain(|key| !inherited.contains(key));
            for device in self.below_owned(&container) {
                if let Some(device) = self.model.devices.get(&device) {
                    self.want(device, action, Kind::Push);
                }
            }
            if let Some(container) = self.containers.get_mut(&container) {
                container.configlets = keys;
            }
            return Ok(());
        }
        let device = self.model.device(&action.to_id)?;
        let container = self.container_of(device);
        let inherited = container.map(|own| self.assigned_above(&own, true)).unwrap_or_default();
        keys.retain(|key| !inherited.contains(key));
        self.placement(device).own = keys;
        self.want(device, action, Kind::Push);
        Ok(())
    }

    fn below_owned(&self, top: &str) -> Vec<String> {
        self.below(top).into_iter().map(|device| device.mac.clone()).collect()
    }

    fn image(&mut self, action: &Action) -> Result<(), Refused> {
        let bundle = match action.node_id.as_str() {
            "" => None,
            key => Some(self.model.bundle(key)?),
        };
        if action.to_id_type == "container" {
            let key = self.key_of(&action.to_id, &action.to_name)?;
            for mac in self.below_owned(&key) {
                if let Some(device) = self.model.devices.get(&mac) {
                    self.want(device, action, Kind::Image);
                }
            }
            if let Some(container) = self.containers.get_mut(&key) {
                container.image = bundle;
            }
        } else {
            let device = self.model.device(&action.to_id)?;
            self.placement(device).image = bundle;
            self.want(device, action, Kind::Image);
        }
        Ok(())
    }

    fn add(&mut self, action: &Action) -> Result<(), Refused> {
        if action.node_name.trim().is_empty() {
            return Err(Refused::invalid(About::Node, "nodeName is empty"));
        }
        self.require_free(&action.node_name)?;
        let parent = self.key_of(&action.to_id, &action.to_name)?;
        if parent == UNDEFINED {
            return Err(refused(Why::InUse, "Undefined holds no containers"));
        }
        let (key, at) = self.fresh.pop().unwrap_or_default();
        let container = Container {
            name: action.node_name.clone(),
            parent,
            created_by: self.user.to_owned(),
            created_at: at,
            ..Container::default()
        };
        self.containers.insert(key, container);
        Ok(())
    }

    fn require_free(&self, name: &str) -> Result<(), Refused> {
        if self.containers.values().any(|container| container.name == name) {
            return Err(Refused::exists(About::Node));
        }
        Ok(())
    }

    fn delete(&mut self, action: &Action) -> Result<(), Refused> {
        let key = self.key_of(&action.node_id, &action.node_name)?;
        if matches!(key.as_str(), ROOT | UNDEFINED) {
            return Err(refused(Why::InUse, format!("{key} cannot be deleted")));
        }
        let holds_device =
            self.model.devices.values().any(|device| self.container_of(device).as_ref() == Some(&key));
        if holds_device || self.containers.values().any(|container| container.parent == key) {
            return Err(refused(Why::InUse, "Only empty container can be deleted"));
        }
        self.containers.remove(&key);
        Ok(())
    }

    fn rename(&mut self, action: &Action) -> Result<(), Refused> {
        let key = self.key_of(&action.node_id, &action.old_node_name)?;
        if action.node_name.trim().is_empty() || key == UNDEFINED {
            return Err(Refused::invalid(About::Node, "nodeName"));
        }
        self.require_free(&action.node_name)?;
        if let Some(container) = self.containers.get_mut(&key) {
            container.name.clone_from(&action.node_name);
        }
        Ok(())
    }

    fn relocate(&mut self, action: &Action, to: &str, reset: bool) -> Result<(), Refused> {
        let device = self.model.device(&action.node_id)?;
        let to = self.key_of(to, &action.to_name)?;
        let from = self.container_of(device).unwrap_or_default();
        if from == to {
            return Err(Refused::exists(About::Node));
        }
        let placement = self.placement(device);
        placement.container = Some(to.clone());
        if to == UNDEFINED {
            *placement = Placement { container: Some(to.clone()), ..Placement::default() };
        }
        if reset {
            self.want(device, action, Kind::Reset(from));
        } else if to != UNDEFINED {
            self.want(device, action, Kind::Move(from));
        }
        // What it inherits now it need not hold itself.
        let inherited = self.assigned_above(&to, true);
        self.placement(device).own.retain(|key| !inherited.contains(key));
        Ok(())
    }
}
