//! Templates of snapshots, and what was taken.

use serde::Deserialize;
use serde_json::{Map, json};

use super::{
    super::model::{About, INITIAL, Refused, Snapshot, Template},
    Answer, Cx,
};
use crate::cvp::server::wire::classic::text;

/// What a template is to be.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct New {
    name: String,
    commands: Vec<String>,
    #[serde(default)]
    device_list: Vec<String>,
    /// In seconds, as text.
    #[serde(default, deserialize_with = "text")]
    frequency: String,
}

pub(super) fn add(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let New { name, commands, device_list, frequency } = cx.body()?;
    let frequency = match frequency.as_str() {
        "" => 0,
        text => text.parse().map_err(|_| Refused::invalid(About::Snapshot, format!("frequency {text}")))?,
    };
    let template = Template { name, commands, devices: device_list, frequency, ..Template::default() };
    let user = cx.user();
    let key = cx.model.add_template(&user, template)?;
    Ok(Answer::json(&json!({"status": "success", "templateKey": key})))
}

pub(super) fn list(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryparam").to_lowercase();
    let found = cx.model.templates.iter().filter(|(_, t)| t.name.to_lowercase().contains(&wanted));
    let (total, page) = cx.page(found.map(|(key, template)| {
        json!({
            "key": key, "name": template.name, "commandCount": template.commands.len(),
            "createdBy": template.created_by, "createdTimestamp": template.created_at, "default": false,
        })
    }));
    Ok(Answer::json(&json!({"total": total, "templateKeys": page})))
}

pub(super) fn one(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("templateId");
    let template = cx.model.templates.get(key).ok_or_else(|| Refused::absent(About::Snapshot))?;
    Ok(Answer::json(&json!({
        "key": key, "name": template.name, "commands": template.commands, "deviceList": template.devices,
        "frequency": template.frequency.to_string(), "createdBy": template.created_by,
        "createdTimestamp": template.created_at,
    })))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let keys: Vec<String> = cx.body()?;
    cx.model.delete_templates(&keys)?;
    Ok(Answer::json(&json!({"result": "Success"})))
}

pub(super) fn default(_: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::json(&json!({
        "key": INITIAL, "name": "Show_Inventory", "default": true, "isDefault": true, "commandCount": 1,
        "createdBy": "System", "ccTasksTagged": 0, "note": "", "snapshotCount": 0, "totalSnapshotCount": 0,
        "createdTimestamp": 0,
    })))
}

/// Characters of an output that are told in one piece.
const PIECE: usize = 32_768;

/// What a device answered last, as telemetry tells it: under the template's key where each output is, and each of them
/// in pieces.
pub(super) fn last(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (device, template) = (cx.query("deviceId"), cx.query("templateId"));
    let of_both = |snapshot: &&Snapshot| snapshot.device == device && snapshot.template == template;
    let mut notifications = vec![];
    if let Some(snapshot) = cx.model.snapshots.iter().rev().find(of_both) {
        let mut updates = Map::new();
        let mut listed = vec![];
        for (number, (command, output)) in snapshot.outputs.iter().enumerate() {
            let place = format!("{template}Output_{number}");
            let letters: Vec<char> = output.chars().collect();
            for (piece, letters) in letters.chunks(PIECE).enumerate() {
                let name = format!("{place}_{piece}");
                let value = letters.iter().collect::<String>();
                updates.insert(name.clone(), json!({"key": name, "value": value}));
            }
            listed.push(json!({"Command": command, "Result": place}));
        }
        let nanos = snapshot.at.saturating_mul(1_000_000);
        updates.insert(template.to_owned(), json!({"key": template, "value": {"Output": listed}}));
        updates.insert("ExecutionTime".to_owned(), json!({"key": "ExecutionTime", "value": nanos}));
        notifications.push(json!({"timestamp": nanos.to_string(), "updates": updates}));
    }
    Ok(Answer::json(&json!({"notifications": notifications})))
}

/// What was taken, newest first.
pub(super) fn taken(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let row = |snapshot: &Snapshot| {
        let outputs: Vec<_> =
            snapshot.outputs.iter().map(|(c, o)| json!({"command": c, "output": o})).collect();
        json!({
            "id": snapshot.id, "templateId": snapshot.template, "deviceId": snapshot.device,
            "timestamp": snapshot.at, "outputs": outputs,
        })
    };
    let (total, page) = cx.page(cx.model.snapshots.iter().rev());
    Ok(Answer::json(&json!({"total": total, "data": page.into_iter().map(row).collect::<Vec<_>>()})))
}
