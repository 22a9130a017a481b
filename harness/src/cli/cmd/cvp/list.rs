//! `polder cvp inventory` and `polder cvp configlets`.

use serde_json::{Value, json};

use super::reach;
use crate::{
    base::time::Utc,
    cli::{
        context::Cx,
        cvp_args::{CvpConfiglets, CvpInventory},
        output::table,
    },
    cvp::{Configlet, ConfigletKind, Device, Inventory},
};

/// Whether one of `names` is in a name, in any case; when there are none, all are meant.
fn is_meant(names: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    names.is_empty() || names.iter().any(|part| name.contains(&part.to_lowercase()))
}

pub(super) async fn inventory(cx: &Cx, args: &CvpInventory) -> anyhow::Result<String> {
    reach::with(cx, &args.reach, async |client| {
        let mut inventory = client.inventory().await?;
        let below = match &args.container {
            None => None,
            Some(name) => {
                let key = inventory.container(name)?.key.clone();
                Some(inventory.below(&key).map(|device| device.mac.clone()).collect::<Vec<_>>())
            }
        };
        let is_named = |device: &Device| {
            is_meant(&args.names, &device.fqdn)
                || is_meant(&args.names, &device.hostname)
                || args.names.iter().any(|name| device.is_called(name))
        };
        inventory.devices.retain(|device| {
            is_named(device) && below.as_ref().is_none_or(|below| below.contains(&device.mac))
        });
        inventory.devices.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(if cx.for_people() { devices_told(&inventory) } else { cx.print(&inventory_value(&inventory))? })
    })
    .await
}

/// The name of the container a device is in.
fn container<'a>(inventory: &'a Inventory, device: &Device) -> &'a str {
    let container = inventory.containers.iter().find(|one| one.key == device.container);
    container.map(|one| one.name.as_str()).unwrap_or_default()
}

fn devices_told(inventory: &Inventory) -> String {
    if inventory.devices.is_empty() {
        return "no devices".to_owned();
    }
    let row = |device: &Device| {
        vec![
            device.name().to_owned(),
            device.ip.clone(),
            device.mac.clone(),
            device.serial.clone(),
            device.model.clone(),
            device.version.clone(),
            container(inventory, device).to_owned(),
            device.compliance.to_string(),
        ]
    };
    let head = ["device", "address", "mac", "serial", "model", "version", "container", "compliance"];
    table(&head, &inventory.devices.iter().map(row).collect::<Vec<_>>())
}

fn inventory_value(inventory: &Inventory) -> Value {
    let device = |device: &Device| {
        json!({
            "hostname": device.hostname, "fqdn": device.fqdn, "mac": device.mac, "serial": device.serial,
            "ip": device.ip, "model": device.model, "version": device.version,
            "container": container(inventory, device), "status": device.status, "streaming": device.streaming,
            "compliance": { "code": device.compliance.0, "text": device.compliance.to_string() },
        })
    };
    let name =
        |key: &String| inventory.containers.iter().find(|one| one.key == *key).map(|one| one.name.clone());
    let containers = inventory
        .containers
        .iter()
        .map(|one| json!({ "key": one.key, "name": one.name, "parent": one.parent.as_ref().and_then(name) }));
    json!({
        "devices": inventory.devices.iter().map(device).collect::<Vec<_>>(),
        "containers": containers.collect::<Vec<_>>(),
    })
}

pub(super) async fn configlets(cx: &Cx, args: &CvpConfiglets) -> anyhow::Result<String> {
    reach::with(cx, &args.reach, async |client| {
        let mut configlets = match &args.device {
            None => client.configlets().await?,
            Some(name) => {
                let inventory = client.inventory().await?;
                client.held_by_device(&inventory.device(name)?.mac).await?.configlets
            }
        };
        configlets.retain(|one| is_meant(&args.names, &one.name));
        if args.device.is_none() {
            configlets.sort_by(|one, other| one.name.cmp(&other.name));
        }
        let values = || configlets.iter().map(configlet_value).collect::<Value>();
        Ok(if cx.for_people() { configlets_told(&configlets) } else { cx.print(&values())? })
    })
    .await
}

fn kind(configlet: &Configlet) -> &str {
    match &configlet.kind {
        ConfigletKind::Static => "static",
        ConfigletKind::Builder => "builder",
        ConfigletKind::Generated => "generated",
        ConfigletKind::Reconciled => "reconciled",
        ConfigletKind::Other(kind) => kind,
    }
}

fn configlets_told(configlets: &[Configlet]) -> String {
    if configlets.is_empty() {
        return "no configlets".to_owned();
    }
    let row = |one: &Configlet| {
        vec![
            one.name.clone(),
            kind(one).to_owned(),
            one.text.lines().count().to_string(),
            one.device_count.to_string(),
            one.container_count.to_string(),
            one.changed.map(|at| Utc::from(at).to_string()).unwrap_or_default(),
            one.user.clone(),
            one.note.clone(),
        ]
    };
    let head = ["configlet", "type", "lines", "devices", "containers", "changed", "by", "note"];
    table(&head, &configlets.iter().map(row).collect::<Vec<_>>())
}

fn configlet_value(one: &Configlet) -> Value {
    json!({
        "name": one.name, "key": one.key, "type": kind(one), "text": one.text, "devices": one.device_count,
        "containers": one.container_count, "changed": one.changed.map(|at| Utc::from(at).to_string()),
        "user": one.user, "note": one.note,
    })
}
