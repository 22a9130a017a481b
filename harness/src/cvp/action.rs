//! The actions a transaction of the portal is made of, as it wants them written.

use serde_json::{Value, json};

use super::{
    configlet::{Configlet, ConfigletKind},
    image::ImageBundle,
    inventory::{Container, Device, UNDEFINED},
};

/// What configlets are put on.
pub(super) enum Target<'a> {
    Device(&'a Device),
    Container(&'a Container),
}

impl Target<'_> {
    /// Its id, its name, what kind of thing it is, and its address.
    fn parts(&self) -> (&str, &str, &'static str, &str) {
        match self {
            Self::Device(device) => (&device.mac, &device.fqdn, "netelement", &device.ip),
            Self::Container(container) => (&container.key, &container.name, "container", ""),
        }
    }
}

/// What tasks and histories call us.
const APP: &str = "polder";

/// Their names, for people.
pub(super) fn names(configlets: &[Configlet]) -> String {
    let names: Vec<String> = configlets.iter().map(|one| format!("`{}`", one.name)).collect();
    names.join(", ")
}

/// `target` shall hold `kept` of its own, in this order, and none of `gone`.
pub(super) fn hold(target: &Target<'_>, kept: &[&Configlet], gone: &[&Configlet]) -> Value {
    let (id, name, kind, ip) = target.parts();
    let place = if kind == "netelement" { "Device" } else { "Container" };
    let info = if gone.is_empty() {
        format!("{APP}: Configlet Assign: to {place} {name}")
    } else {
        format!("{APP} Configlet Remove: from {place} {name}")
    };
    let is_builder = |one: &&&Configlet| one.kind == ConfigletKind::Builder;
    let (builders, others): (Vec<_>, Vec<_>) = kept.iter().partition(is_builder);
    let (no_builders, no_others): (Vec<_>, Vec<_>) = gone.iter().partition(is_builder);
    let keys = |all: &[&&Configlet]| all.iter().map(|one| one.key.clone()).collect::<Vec<_>>();
    let titles = |all: &[&&Configlet]| all.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    with(
        &info,
        json!({
            "action": "associate", "nodeType": "configlet", "nodeId": "",
            "toId": id, "toIdType": kind, "toName": name, "fromId": "", "nodeName": "", "fromName": "",
            "configletList": keys(&others), "configletNamesList": titles(&others),
            "ignoreConfigletList": keys(&no_others), "ignoreConfigletNamesList": titles(&no_others),
            "configletBuilderList": keys(&builders), "configletBuilderNamesList": titles(&builders),
            "ignoreConfigletBuilderList": keys(&no_builders), "ignoreConfigletBuilderNamesList": titles(&no_builders),
            "nodeIpAddress": ip, "nodeTargetIpAddress": ip,
        }),
    )
}

/// `target` shall run the images of `bundle`.
pub(super) fn put_image(target: &Target<'_>, bundle: &ImageBundle) -> Value {
    let (id, name, kind, _) = target.parts();
    with(
        &format!("Apply image: {} to {kind} {name}", bundle.name),
        json!({
            "action": "associate", "nodeType": "imagebundle", "nodeId": bundle.key, "nodeName": bundle.name,
            "toId": id, "toIdType": kind, "toName": name, "fromId": "", "fromName": "",
        }),
    )
}

/// `target` shall no longer run the images of `bundle`.
pub(super) fn take_image(target: &Target<'_>, bundle: &ImageBundle) -> Value {
    let (id, name, kind, _) = target.parts();
    with(
        &format!("Remove image: {} from {name}", bundle.name),
        json!({
            "action": "associate", "nodeType": "imagebundle", "nodeId": "", "nodeName": "",
            "ignoreNodeId": bundle.key, "ignoreNodeName": bundle.name,
            "toId": id, "toIdType": kind, "toName": name, "fromId": "", "fromName": "",
        }),
    )
}

pub(super) fn add_container(name: &str, parent: &Container) -> Value {
    with(
        &format!("add container {name} under container {}", parent.name),
        json!({
            "action": "add", "nodeType": "container", "nodeId": "new_container", "nodeName": name,
            "toId": parent.key, "toIdType": "container", "toName": parent.name, "fromId": "", "fromName": "",
        }),
    )
}

pub(super) fn delete_container(container: &Container) -> Value {
    let parent = container.parent.as_deref().unwrap_or_default();
    with(
        &format!("delete container {} under container {parent}", container.name),
        json!({
            "action": "delete", "nodeType": "container", "nodeId": container.key, "nodeName": container.name,
            "toId": "", "toIdType": "container", "toName": "", "fromId": parent, "fromName": "",
        }),
    )
}

pub(super) fn rename_container(container: &Container, name: &str) -> Value {
    with(
        &format!("rename container {} to {name}", container.name),
        json!({
            "action": "update", "nodeType": "container", "nodeId": container.key, "nodeName": name,
            "oldNodeName": container.name, "toId": "", "toIdType": "container", "toName": "", "fromId": "", "fromName": "",
        }),
    )
}

pub(super) fn move_device(device: &Device, to: &Container) -> Value {
    with(
        &format!("Device Add {} to container {} by {APP}", device.fqdn, to.name),
        json!({
            "action": "update", "nodeType": "netelement", "nodeId": device.mac, "nodeName": device.fqdn,
            "toId": to.key, "toIdType": "container", "toName": to.name, "fromId": device.container, "fromName": "",
        }),
    )
}

pub(super) fn reset_device(device: &Device) -> Value {
    with(
        &format!("App {APP} resetting device {} and moving it to Undefined", device.fqdn),
        json!({
            "action": "reset", "nodeType": "netelement", "nodeId": device.mac, "nodeName": device.fqdn,
            "toId": UNDEFINED, "toIdType": "container", "toName": "Undefined", "fromId": device.container, "fromName": "",
        }),
    )
}

/// With what all actions have.
fn with(info: &str, mut action: Value) -> Value {
    if let Some(fields) = action.as_object_mut() {
        for (name, value) in [
            ("info", json!(info)),
            ("infoPreview", json!(format!("<b>{}</b>", info.replace('&', "&amp;").replace('<', "&lt;")))),
            ("note", json!("")),
            ("childTasks", json!([])),
            ("parentTask", json!("")),
        ] {
            fields.insert(name.to_owned(), value);
        }
    }
    action
}
