//! Searching the topology, and looking at a part of it.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    super::model::{Device, Model, ROOT, Refused, TaskState, TempAction, UNDEFINED},
    Answer, Cx, inventory,
};
use crate::cvp::server::wire::classic::{Branch, ContainerHit, Found, Whereabouts};

pub(super) fn search(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryParam").to_lowercase();
    let hit = |text: &str| text.to_lowercase().contains(&wanted);
    let containers = cx.model.containers.iter().filter(|(_, container)| hit(&container.name));
    let devices = cx.model.devices.values().filter(|device| {
        let provisioned = device.placement.container.is_some();
        let texts = [&device.mac, &device.serial, &device.ip, &device.hostname];
        provisioned && (hit(&device.fqdn()) || texts.into_iter().any(|text| hit(text)))
    });
    let (containers_total, containers) = cx.page(containers);
    let (devices_total, devices) = cx.page(devices);
    let container = |(key, container): (&String, &super::super::model::Container)| ContainerHit {
        key: key.clone(),
        name: container.name.clone(),
        root: key == ROOT,
        undefined: key == UNDEFINED,
        mode: "expand".to_owned(),
        user_id: container.created_by.clone(),
        date_time_in_long_format: container.created_at,
        factory_id: 1,
        id: 21,
    };
    let whereabouts = |device: &&Device| {
        let key = device.placement.container.clone().unwrap_or_default();
        let name = cx.model.containers.get(&key).map(|container| container.name.clone());
        Whereabouts {
            container_key: key,
            container_name: name.unwrap_or_default(),
            net_element_key: device.mac.clone(),
        }
    };
    Ok(Answer::json(&Found {
        total: containers_total + devices_total,
        keyword_list: vec![],
        net_element_container_list: devices.iter().map(whereabouts).collect(),
        net_element_list: devices.iter().map(|device| inventory::node(cx.model, device)).collect(),
        container_list: containers.into_iter().map(container).collect(),
    }))
}

/// A part of the topology: the container with its devices, and all containers below without theirs.
pub(super) fn filter(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::json(&json!({"topology": tree(cx)?, "type": "topology"})))
}

/// The part that is asked for.
fn tree(cx: &Cx<'_>) -> Result<Branch, Refused> {
    let key = Some(cx.query("nodeId")).filter(|key| !key.is_empty()).unwrap_or(ROOT);
    cx.model.container(key)?;
    let index = Index::new(cx.model);
    let mut branch = index.branch(key, cx.model.actions_of(&cx.who));
    let devices = index.devices.get(key).into_iter().flatten();
    branch.child_net_element_list = devices.map(|device| inventory::node(cx.model, device)).collect();
    for device in &mut branch.child_net_element_list {
        let pending = cx.model.actions_of(&cx.who).iter().rev();
        let mut of_device = pending.filter(|temp| concerns(temp, &device.key));
        device.temp_action = of_device.next().map(|temp| Value::Object(temp.raw.clone()));
    }
    Ok(branch)
}

fn concerns(temp: &TempAction, key: &str) -> bool {
    let action = &temp.action;
    [&action.to_id, &action.node_id, &action.from_id].into_iter().any(|id| id == key)
}

/// What is where, so that a tree is made in one go.
struct Index<'a> {
    model: &'a Model,
    containers: HashMap<&'a str, Vec<&'a str>>,
    devices: HashMap<&'a str, Vec<&'a Device>>,
    /// How many tasks wait, by device.
    waiting: HashMap<&'a str, usize>,
}

impl<'a> Index<'a> {
    fn new(model: &'a Model) -> Self {
        let mut index =
            Self { model, containers: HashMap::new(), devices: HashMap::new(), waiting: HashMap::new() };
        for (key, container) in &model.containers {
            index.containers.entry(&container.parent).or_default().push(key);
        }
        for device in model.devices.values() {
            if let Some(container) = &device.placement.container {
                index.devices.entry(container).or_default().push(device);
            }
        }
        for task in model.tasks.values().filter(|task| task.state == TaskState::Pending) {
            *index.waiting.entry(&task.device).or_default() += 1;
        }
        index
    }

    fn branch(&self, key: &str, pending: &[TempAction]) -> Branch {
        let Some(container) = self.model.containers.get(key) else { return Branch::default() };
        let below = self.containers.get(key).into_iter().flatten();
        let children: Vec<Branch> = below.map(|key| self.branch(key, pending)).collect();
        let own = self.devices.get(key).map(Vec::as_slice).unwrap_or_default();
        let tasks: usize = own.iter().filter_map(|device| self.waiting.get(device.mac.as_str())).sum();
        let below: usize = children.iter().map(|child| child.hierarchy_net_element_count).sum();
        let mut status = Map::new();
        for name in ["critical", "warning", "normal", "imageUpgrade", "task", "unAuthorized"] {
            let count = if name == "task" { tasks } else { 0 };
            status.insert(name.to_owned(), Value::from(count));
        }
        let concerning = pending.iter().filter(|temp| concerns(temp, key));
        Branch {
            key: key.to_owned(),
            name: container.name.clone(),
            kind: "container".to_owned(),
            mode: "expand".to_owned(),
            parent_container_id: Some(container.parent.clone()).filter(|parent| !parent.is_empty()),
            child_container_count: children.len(),
            child_net_element_count: own.len(),
            child_task_count: tasks,
            hierarchy_net_element_count: own.len() + below,
            device_status: status,
            child_container_list: children,
            child_net_element_list: vec![],
            temp_action: concerning.map(|temp| Value::Object(temp.raw.clone())).collect(),
            temp_event: vec![],
        }
    }
}

/// All devices below a container.
pub(super) fn below(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = Some(cx.query("nodeId")).filter(|key| !key.is_empty()).unwrap_or(ROOT);
    cx.model.container(key)?;
    let (total, page) = cx.page(cx.model.devices_below(key));
    let page: Vec<_> = page.into_iter().map(|device| inventory::node(cx.model, device)).collect();
    Ok(Answer::json(&json!({"total": total, "netElementList": page})))
}
