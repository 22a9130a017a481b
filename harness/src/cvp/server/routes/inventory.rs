//! Devices and containers, one after another.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::model::{About, Device, Model, Refused, Why, rfc3339},
    Answer, Cx,
};
use crate::cvp::server::wire::classic::{self, ContainerInfo, ContainerRow, Ids};

/// A device of the inventory.
fn row(model: &Model, device: &Device) -> classic::Device {
    let compliance = model.compliance(device);
    let container = device.placement.container.clone();
    classic::Device {
        system_mac_address: device.mac.clone(),
        status: if container.is_some() { "Registered".to_owned() } else { String::new() },
        parent_container_key: container.unwrap_or_default(),
        bootup_timestamp: seconds(device.booted),
        internal_build: format!("polder-{}", device.eos),
        hostname: device.hostname.clone(),
        fqdn: device.fqdn(),
        serial_number: device.serial.clone(),
        ip_address: device.ip.clone(),
        model_name: device.model.clone(),
        version: device.eos.clone(),
        internal_version: device.eos.clone(),
        architecture: "x86_64".to_owned(),
        domain_name: device.domain.clone(),
        device_type: "eos".to_owned(),
        streaming_status: if device.is_unreachable() { "inactive" } else { "active" }.to_owned(),
        compliance_code: compliance.code().to_owned(),
        compliance_indication: compliance.indication().to_owned(),
        ..classic::Device::default()
    }
}

/// The same device in answers about the topology; whatever both have is the same in both.
pub(super) fn node(model: &Model, device: &Device) -> classic::Node {
    let row = row(model, device);
    let container = model.containers.get(&row.parent_container_key);
    classic::Node {
        key: row.system_mac_address.clone(),
        fqdn: row.fqdn,
        hostname: row.hostname,
        system_mac_address: row.system_mac_address,
        serial_number: row.serial_number,
        ip_address: row.ip_address,
        model_name: row.model_name,
        version: row.version,
        internal_version: row.internal_version,
        architecture: row.architecture,
        hardware_revision: row.hardware_revision,
        device_status: row.status.clone(),
        device_info: row.status,
        parent_container_id: row.parent_container_key,
        container_name: container.map(|container| container.name.clone()).unwrap_or_default(),
        compliance_code: row.compliance_code,
        compliance_indication: row.compliance_indication,
        bootup_time_stamp: row.bootup_timestamp,
        internal_build_id: row.internal_build,
        kind: "netelement".to_owned(),
        ..classic::Node::default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of our times are far from where that begins")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

pub(super) fn devices(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let provisioned = cx.query("provisioned").eq_ignore_ascii_case("true");
    let devices = cx.model.devices.values();
    let devices = devices.filter(|device| !provisioned || device.placement.container.is_some());
    Ok(Answer::json(&devices.map(|device| row(cx.model, device)).collect::<Vec<_>>()))
}

pub(super) fn old_devices(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryparam").to_lowercase();
    let found = cx.model.devices.values().filter(|device| device.fqdn().to_lowercase().contains(&wanted));
    let (total, page) = cx.page(found);
    let page: Vec<_> = page.into_iter().map(|device| node(cx.model, device)).collect();
    let containers: Map<String, Value> =
        page.iter().map(|node| (node.key.clone(), Value::from(node.container_name.clone()))).collect();
    Ok(Answer::json(&json!({"total": total, "netElementList": page, "containerList": containers})))
}

/// Addresses of devices. Behind each that nobody had yet a new device is found.
#[derive(Deserialize)]
struct Hosts {
    hosts: Vec<String>,
}

pub(super) fn add(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Hosts { hosts } = cx.body()?;
    let mut failed = Map::new();
    for host in hosts {
        if cx.model.devices.values().any(|device| device.ip == host) || cx.model.add_again(&host)? {
            continue;
        }
        let Ok(std::net::IpAddr::V4(ip)) = host.parse() else {
            failed.insert(host, Value::from("this is no address of a device"));
            continue;
        };
        let [a, b, c, d] = ip.octets();
        let device = Device {
            ip: host.clone(),
            hostname: format!("device-{a}-{b}-{c}-{d}"),
            domain: "polder.test".to_owned(),
            unmanaged: format!("hostname device-{a}-{b}-{c}-{d}\n"),
            ..Device::default()
        };
        let mac = format!("02:1c:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
        if let Err(refused) = cx.model.add_device(&mac, device) {
            failed.insert(host, Value::from(refused.text));
        }
    }
    Ok(Answer::data(json!({ "failed": failed })))
}

pub(super) fn remove_by_serial(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let serials: Ids = cx.body()?;
    let mac = |serial: &String| {
        let device = cx.model.device_by_serial(serial);
        let text = || format!("Entity does not exist: device {serial}");
        device.map(|device| device.mac.clone()).ok_or_else(|| Refused::new(About::Node, Why::Absent, text()))
    };
    let macs = serials.data.iter().map(mac).collect::<Result<Vec<_>, _>>()?;
    cx.model.remove_devices(&macs)?;
    Ok(Answer::json(&json!({"result": "success"})))
}

pub(super) fn remove_by_mac(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let macs: Ids = cx.body()?;
    cx.model.remove_devices(&macs.data)?;
    Ok(Answer::success())
}

pub(super) fn running(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let device = cx.model.device(cx.query("netElementId"))?;
    let warnings: &[String] = &[];
    Ok(Answer::json(&json!({"output": device.running, "warnings": warnings})))
}

pub(super) fn element(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let unknown = |_| Refused::new(About::Node, Why::Absent, "Invalid Netelement id");
    let device = cx.model.device(cx.query("netElementId")).map_err(unknown)?;
    let bundle = cx.model.image_of(device);
    let own = device.placement.image.clone();
    Ok(Answer::json(&json!({
        "bundleName": bundle.map(|bundle| bundle.name.clone()),
        "imageBundleId": own,
        "imageBundleMapper": {},
        "eosVersion": device.eos,
        "fqdn": device.fqdn(),
        "ipAddress": device.ip,
        "macAddress": device.mac,
        "serialNumber": device.serial,
    })))
}

pub(super) fn containers(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let name = cx.request.query("name");
    let containers = cx.model.containers.iter().filter(|(_, c)| name.is_none_or(|name| c.name == name));
    let row = |(key, container): (&String, &super::super::model::Container)| ContainerRow {
        key: key.clone(),
        name: container.name.clone(),
        created_by: container.created_by.clone(),
        created_on: container.created_at,
        mode: "expand".to_owned(),
    };
    Ok(Answer::json(&containers.map(row).collect::<Vec<_>>()))
}

pub(super) fn old_containers(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let row = |(key, container): (&String, &super::super::model::Container)| {
        let parent = cx.model.containers.get(&container.parent).map(|parent| parent.name.clone());
        json!({"key": key, "name": container.name, "parentId": container.parent, "parentName": parent})
    };
    let (total, data) = cx.page(cx.model.containers.iter().map(row));
    Ok(Answer::json(&json!({"total": total, "data": data})))
}

pub(super) fn container(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("containerId");
    let container = cx.model.container(key)?;
    let inside = |device: &&Device| device.placement.container.as_deref() == Some(key);
    let bundle = container.image.as_ref().and_then(|key| cx.model.bundles.get(key));
    Ok(Answer::json(&ContainerInfo {
        name: container.name.clone(),
        parent_name: cx.model.containers.get(&container.parent).map(|parent| parent.name.clone()),
        date: container.created_at,
        user_id: container.created_by.clone(),
        bundle_name: bundle.map(|bundle| bundle.name.clone()),
        associated_switches: cx.model.devices.values().filter(inside).count(),
        associated_configlets: container.configlets.len(),
        danz_enabled_switches: 0,
    }))
}

/// The device and the request that it goes.
#[derive(Deserialize)]
struct Wish {
    key: WishKey,
    #[serde(alias = "device_id", rename = "deviceId")]
    device_id: String,
}

#[derive(Deserialize)]
struct WishKey {
    #[serde(alias = "request_id", rename = "requestId")]
    request_id: String,
}

pub(super) fn decommission(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wish: Wish = cx.body()?;
    if wish.key.request_id.is_empty() {
        return Err(Refused::invalid(About::Resource, "key.requestId is empty"));
    }
    let known = cx.model.decommissionings.get(&wish.key.request_id);
    // Whoever asks again, because no answer came, is told the same.
    if known.is_none_or(|known| known.device != wish.device_id) {
        if cx.model.device_by_serial(&wish.device_id).is_none() {
            let text = format!("device {} does not exist", wish.device_id);
            return Err(Refused::new(About::Resource, Why::Absent, text));
        }
        cx.model.decommission(&wish.key.request_id, &wish.device_id);
    }
    let value = json!({"key": {"requestId": wish.key.request_id}, "deviceId": wish.device_id});
    Ok(super::resource::one(value, cx.model.clock.now()))
}

fn decommissioning_row(id: &str, wish: &super::super::model::Decommissioning) -> (Value, String) {
    let (status, message) = match &wish.ended {
        None => ("DECOMMISSIONING_STATUS_IN_PROGRESS", ""),
        Some(Ok(())) => ("DECOMMISSIONING_STATUS_SUCCESS", "device is decommissioned"),
        Some(Err(why)) => ("DECOMMISSIONING_STATUS_FAILURE", why.as_str()),
    };
    let value = json!({
        "key": {"requestId": id}, "deviceId": wish.device, "status": status, "statusMessage": message,
    });
    (value, rfc3339(wish.at))
}

pub(super) fn decommissioning(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.requestId");
    let wish = cx.model.decommissionings.get(id).ok_or_else(super::resource::absent)?;
    let (value, time) = decommissioning_row(id, wish);
    Ok(Answer::json(&json!({"value": value, "time": time})))
}

pub(super) fn decommissionings(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let rows = cx.model.decommissionings.iter().map(|(id, wish)| decommissioning_row(id, wish));
    Ok(super::resource::stream(cx, rows))
}
