//! What is designed against what runs, and what a device would say to a text.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::model::{About, Comparison, Invalid, LineKind, Lines, Model, Refused, Row, warnings},
    Answer, Cx, inventory,
};
use crate::cvp::server::wire::classic::{Block, text};

/// A device or a container.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    node_id: String,
    node_type: String,
}

pub(super) fn check(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Asked { node_id, node_type } = cx.body()?;
    if node_type == "netelement" {
        return Ok(Answer::json(&inventory::node(cx.model, cx.model.device(&node_id)?)));
    }
    let container = cx.model.container(&node_id)?;
    let worst = cx.model.devices_below(&node_id).map(|device| cx.model.compliance(device));
    let worst = worst.max_by_key(|compliance| compliance.code());
    Ok(Answer::json(&json!({
        "key": node_id,
        "name": container.name,
        "complianceCode": worst.map_or("0000", |compliance| compliance.code()),
        "complianceIndication": worst.map_or("", |compliance| compliance.indication()),
    })))
}

/// A text, and the device it is for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    #[serde(default, deserialize_with = "text")]
    net_element_id: String,
    config: String,
}

pub(super) fn validate(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Text { net_element_id, config } = cx.body()?;
    let device = cx.model.device(&net_element_id)?;
    let invalid = cx.model.refused_lines(Some(device), &config);
    let warnings = warnings(&config);
    let mut body = json!({
        "warnings": warnings, "warningCount": warnings.len(), "result": [{"output": "", "messages": []}], "id": "1", "jsonrpc": "2.0",
    });
    // Those who ask take it for a failure that the fields are there.
    if !invalid.is_empty()
        && let Some(body) = body.as_object_mut()
    {
        let errors: Vec<Value> = invalid.iter().map(|line| error_row(cx.model, line)).collect();
        body.insert("errorCount".to_owned(), Value::from(errors.len()));
        body.insert("errors".to_owned(), Value::from(errors));
    }
    Ok(Answer::json(&body))
}

fn error_row(model: &Model, invalid: &Invalid) -> Value {
    json!({"lineNo": format!(" {}", invalid.line), "error": sentence(model, invalid)})
}

/// Versions before 2021.1 do not say which word it is.
fn sentence(model: &Model, invalid: &Invalid) -> String {
    if model.settings.imitate.level() < 5 {
        let Invalid { line, text, .. } = invalid;
        return format!("> {text}% Invalid input at line {line}");
    }
    invalid.to_string()
}

/// Configlets, as they would be held by a device.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Design {
    #[serde(default)]
    config_id_list: Vec<String>,
    net_element_id: String,
}

pub(super) fn compare(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Design { config_id_list, net_element_id } = cx.body()?;
    let device = cx.model.device(&net_element_id)?;
    let mut errors = vec![];
    for key in &config_id_list {
        let configlet = cx.model.configlet(key)?;
        errors.extend(cx.model.refused_lines(Some(device), &configlet.config).iter().map(|line| {
            let sentence = sentence(cx.model, line);
            json!({"configletLineNo": line.line, "error": sentence, "configletId": key})
        }));
    }
    let designed = cx.model.sum(config_id_list.iter().map(String::as_str));
    let running = Lines::parse(&device.running);
    let found = Lines::compare(&designed, &running);
    let reconciled = running.without(&designed).render();
    let reconciled = match (found.reconcile_count(), reconciled) {
        (0, _) => Value::from(""),
        (_, config) => {
            json!({"name": format!("RECONCILE_{}", device.ip), "key": "", "config": config, "reconciled": true})
        }
    };
    Ok(Answer::json(&json!({
        "total": found.total(),
        "new": found.new_count(),
        "mismatch": found.mismatch_count(),
        "reconcile": found.reconcile_count(),
        "designedConfig": blocks(&found.designed, "NEW"),
        "runningConfig": blocks(&found.running, "RECONCILE"),
        "reconciledConfig": reconciled,
        "isReconcileInvoked": false,
        "warnings": [],
        "errors": if errors.is_empty() { Value::from("") } else { Value::from(errors) },
    })))
}

fn blocks(rows: &[Row], alone: &str) -> Vec<Block> {
    let mut above: Vec<usize> = vec![];
    let mut blocks = vec![];
    for (index, row) in rows.iter().enumerate() {
        above.truncate(row.depth);
        let code = match row.kind {
            LineKind::Same => "",
            LineKind::Mismatch => "MISMATCH",
            LineKind::Alone => alone,
        };
        blocks.push(Block {
            command: format!("{}{}", "   ".repeat(row.depth), row.command),
            row_id: index + 1,
            parent_row_id: above.last().copied().unwrap_or(0),
            block_id: above.first().copied().unwrap_or(index + 1),
            code: code.to_owned(),
            should_reconcile: code == "RECONCILE",
        });
        above.push(index + 1);
    }
    blocks
}

/// The task that is looked at before it is executed.
#[derive(Deserialize)]
struct OfTask {
    #[serde(deserialize_with = "text")]
    task_id: String,
}

pub(super) fn diff(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let OfTask { task_id } = cx.body()?;
    let device = cx.model.device(&cx.model.task(&task_id)?.device)?;
    let mut elements = vec![json!({"sources": {"designed": device.mac, "running": device.mac}})];
    for held in cx.model.held(device) {
        let configlet = cx.model.configlet(held.key)?;
        elements.extend(cx.model.refused_lines(Some(device), &configlet.config).iter().map(|line| {
            json!({"error": {
                "error_code": "DEVICEERROR", "error_msg": sentence(cx.model, line), "line_num": line.line,
                "configlet_name": configlet.name, "config_line_num": line.line,
            }})
        }));
    }
    elements.push(json!({"diff": {"entries": entries(&cx.model.compare(device))}}));
    Ok(Answer::json(&elements))
}

fn entries(found: &Comparison) -> Vec<Value> {
    let side = |rows: &[Row], op: &str, designed: bool| -> Vec<Value> {
        let changed = rows.iter().enumerate().filter(|(_, row)| row.kind != LineKind::Same);
        let entry = |(index, row): (usize, &Row)| {
            let (a, b) = if designed { (0, index + 1) } else { (index + 1, 0) };
            json!({"op": op, "a_lineno": a, "b_lineno": b, "text": row.command})
        };
        changed.map(entry).collect()
    };
    let mut entries = side(&found.running, "DELETE", false);
    entries.extend(side(&found.designed, "ADD", true));
    entries
}

/// The configuration a device has.
#[derive(Deserialize)]
struct OfDevice {
    request: DeviceRequest,
}

#[derive(Deserialize)]
struct DeviceRequest {
    device_id: String,
    #[serde(default, rename = "type")]
    kind: String,
}

pub(super) fn config(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let OfDevice { request } = cx.body()?;
    let device = cx.model.device_by_serial(&request.device_id);
    let device = device.ok_or_else(|| Refused::absent(About::Resource))?;
    let config = match request.kind.as_str() {
        "DESIGNED_CONFIG" => cx.model.designed(device).render(),
        _ => device.running.clone(),
    };
    Ok(Answer::json(&json!([{ "config": config }])))
}
