//! Who holds which configlets, and through whom.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, json};

use super::{
    super::model::{Configlet, Device, Held, Model, Refused, UNDEFINED, Uses},
    Answer, Cx, configlet,
};
use crate::cvp::server::wire::classic::{self, Mapper, Page};

/// Configlets in the order in which they add up, and for each whether it is held directly.
fn list(cx: &Cx<'_>, holder: (&str, &str, &str), held: &[Held<'_>]) -> Answer {
    let (total, page) = cx.page(held);
    let keys: Vec<&str> = page.iter().map(|held| held.key).collect();
    let uses = cx.model.uses_of_some(&keys);
    let mut rows: Vec<classic::Configlet<'_>> = vec![];
    let mut mapper = Map::new();
    for held in page {
        let Ok(known) = cx.model.configlet(held.key) else { continue };
        rows.push(configlet::list_row(cx.model, held.key, known, &uses));
        let container = held.from.and_then(|key| cx.model.containers.get_key_value(key));
        let from = match container {
            Some((key, container)) => (key.as_str(), container.name.as_str(), "container"),
            None => holder,
        };
        mapper.insert(held.key.to_owned(), json!({"id": from.0, "name": from.1, "type": from.2}));
    }
    Answer::json(&json!({"total": total, "configletList": rows, "configletMapper": mapper}))
}

pub(super) fn by_device(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let device = cx.model.device(cx.query("netElementId"))?;
    let held = cx.model.held(device);
    Ok(list(cx, (&device.mac, &device.fqdn(), "netelement"), &held))
}

pub(super) fn by_container(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("containerId");
    cx.model.container(key)?;
    let mut held: Vec<Held<'_>> = vec![];
    for from in cx.model.path_to(key) {
        let Some(container) = cx.model.containers.get(from) else { continue };
        for key in &container.configlets {
            if !held.iter().any(|known| known.key == *key) {
                held.push(Held { key, from: Some(from) });
            }
        }
    }
    Ok(list(cx, (key, "", "container"), &held))
}

/// What a device that is moved would get: nothing of the portal's own choosing.
pub(super) fn proposed(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let device = cx.model.device(cx.query("netElementId"))?;
    let held = cx.model.held(device);
    let rows: Vec<_> = held
        .iter()
        .filter_map(|held| {
            Some(configlet::row(held.key, cx.model.configlet(held.key).ok()?, cx.model.uses_of(held.key)))
        })
        .collect();
    Ok(Answer::json(&json!({
        "proposedConfiglets": rows, "existingConfiglets": rows, "assignedConfiglets": rows,
        "ignoredConfiglets": [], "deviceConfiglets": [], "proposedConfigletBuilders": [],
        "existingConfigletBuilders": [], "assignedConfigletBuilders": [], "ignoredConfigletBuilders": [],
    })))
}

/// When a configlet was changed last, and by whom, stands for when it was applied.
fn applied(model: &Model, key: &str) -> (String, u64) {
    model.configlet(key).map(|known| (known.user.clone(), known.changed_at)).unwrap_or_default()
}

pub(super) fn applied_devices(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (key, _) = cx.model.configlet_named(cx.query("configletName"))?;
    let holders = cx.model.holders(key);
    let (by, at) = applied(cx.model, key);
    let count = holders.len();
    let rows = holders.iter().filter_map(|mac| cx.model.device(mac).ok()).map(|device| {
        json!({
            "hostName": device.fqdn(), "ipAddress": device.ip, "containerName": container_name(cx.model, device),
            "appliedBy": by, "appliedDate": at, "totalDevicesCount": count,
        })
    });
    let (total, data) = cx.page(rows);
    Ok(Answer::json(&Page { total, data }))
}

fn container_name(model: &Model, device: &Device) -> String {
    let key = device.placement.container.as_deref().unwrap_or(UNDEFINED);
    model.containers.get(key).map(|container| container.name.clone()).unwrap_or_default()
}

pub(super) fn applied_containers(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (key, _) = cx.model.configlet_named(cx.query("configletName"))?;
    let (by, at) = applied(cx.model, key);
    let holders = cx.model.containers.iter().filter(|(_, container)| container.configlets.contains(key));
    let rows = holders.map(|(holder, container)| {
        json!({
            "containerName": container.name, "hostName": "", "ipAddress": "",
            "appliedBy": by, "appliedDate": at,
            "totalDevicesCount": cx.model.provisioned_below(holder).len(),
        })
    });
    let (total, data) = cx.page(rows);
    Ok(Answer::json(&Page { total, data }))
}

/// All configlets, and who holds them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mappers<'a> {
    configlets: Vec<classic::Configlet<'a>>,
    configlet_builders: Vec<classic::Configlet<'a>>,
    configlet_mappers: Vec<Mapper>,
    generated_configlet_mappers: Vec<Mapper>,
}

pub(super) fn mappers(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let uses: HashMap<&str, Uses> = cx.model.uses();
    let (builders, plain): (Vec<_>, Vec<_>) =
        cx.model.configlets.iter().partition(|(_, c)| c.builder.is_some());
    let mut mappers = vec![];
    for (key, container) in &cx.model.containers {
        for held in &container.configlets {
            mappers.push(mapper(cx.model, held, ("container", key), "", ""));
        }
    }
    for device in cx.model.devices.values() {
        for held in cx.model.held(device) {
            let from = held.from.unwrap_or_default();
            mappers.push(mapper(cx.model, held.key, ("netelement", &device.mac), from, &device.serial));
        }
    }
    Ok(Answer::data(Mappers {
        configlets: rows(cx.model, plain, &uses),
        configlet_builders: rows(cx.model, builders, &uses),
        configlet_mappers: mappers,
        generated_configlet_mappers: vec![],
    }))
}

fn rows<'a>(
    model: &Model,
    all: Vec<(&'a String, &'a Configlet)>,
    uses: &HashMap<&str, Uses>,
) -> Vec<classic::Configlet<'a>> {
    all.into_iter().map(|(key, known)| configlet::list_row(model, key, known, uses)).collect()
}

fn mapper(model: &Model, key: &str, object: (&str, &str), from: &str, device: &str) -> Mapper {
    let (applied_by, applied_date_in_long_format) = applied(model, key);
    Mapper {
        key: format!("{key}_{}", object.1),
        configlet_id: key.to_owned(),
        kind: object.0.to_owned(),
        object_id: object.1.to_owned(),
        container_id: from.to_owned(),
        configlet_type: model.configlet(key).map(|known| known.kind().to_owned()).unwrap_or_default(),
        applied_by,
        applied_date_in_long_format,
        is_draft: false,
        device_id: device.to_owned(),
    }
}
