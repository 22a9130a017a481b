//! A page for people: what there is and how it fares, live. It only looks, and shows no configuration and no secret.

use hyper::Method;
use serde_json::json;

use super::{super::model::Model, Answer, Request};

const PAGE: &str = include_str!("page.html");
/// What the page asks for again and again.
const STATE: &str = "/polder/state.json";
/// How many of the newest it shows of each kind.
const SHOWN: usize = 200;

/// The page, or what it shows; `None` for every other place.
pub(super) fn answer(model: &Model, request: &Request) -> Option<Answer> {
    let is_ours = matches!(request.path.as_str(), "/" | STATE);
    if is_ours && request.method != Method::GET {
        return Some(Answer::method_not_allowed([&Method::GET].into_iter()));
    }
    match request.path.as_str() {
        "/" => Some(Answer::page("text/html; charset=utf-8", PAGE).with(
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'".to_owned(),
        )),
        STATE => Some(state(model)),
        _ => None,
    }
}

fn state(model: &Model) -> Answer {
    let container = |key: Option<&String>| {
        let known = key.and_then(|key| model.containers.get(key));
        known.map(|container| container.name.clone()).unwrap_or_default()
    };
    let devices: Vec<_> = model
        .devices
        .values()
        .take(SHOWN)
        .map(|device| {
            json!([
                device.fqdn(),
                device.ip,
                container(device.placement.container.as_ref()),
                model.compliance(device).code(),
            ])
        })
        .collect();
    let uses = model.uses();
    let configlets: Vec<_> = model
        .configlets
        .iter()
        .rev()
        .take(SHOWN)
        .map(|(key, configlet)| {
            let uses = uses.get(key.as_str()).copied().unwrap_or_default();
            json!([configlet.name, configlet.user, uses.devices, uses.containers])
        })
        .collect();
    let tasks: Vec<_> = model
        .tasks
        .values()
        .rev()
        .take(SHOWN)
        .map(|task| {
            let device = model.devices.get(&task.device);
            let name = device.map_or_else(|| task.device.clone(), super::super::model::Device::fqdn);
            json!([task.id, name, task.state.words(), task.description])
        })
        .collect();
    let mut changes: Vec<_> = model.changes.iter().collect();
    changes.sort_by_key(|(_, change)| std::cmp::Reverse(change.time));
    let changes: Vec<_> = changes
        .into_iter()
        .take(SHOWN)
        .map(|(id, change)| {
            json!([id, change.name, change.legacy_status(), change.error.clone().unwrap_or_default()])
        })
        .collect();
    let counts = [model.devices.len(), model.configlets.len(), model.tasks.len(), model.changes.len()];
    Answer::json(&json!({
        "version": model.settings.imitate.to_string(), "counts": counts, "devices": devices,
        "configlets": configlets, "tasks": tasks, "changes": changes,
    }))
}
