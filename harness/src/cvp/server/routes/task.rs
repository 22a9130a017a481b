//! Tasks and what was written down about them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::model::{Entry, Model, Refused, Task, TaskKind, TaskState},
    Answer, Cx,
};
use crate::cvp::server::wire::classic::{self, AuditRow, Ids, LogRow, Page, WorkOrderDetails, text};

/// A task in every answer.
pub(super) fn row(model: &Model, task: &Task) -> classic::Task {
    let device = model.devices.get(&task.device);
    let to = task.placement.container.clone().unwrap_or_default();
    let (status, name) = match task.state {
        TaskState::Pending => ("ACTIVE", "Submit"),
        TaskState::Running => ("ACTIVE", "Configlet Push"),
        TaskState::Completed => ("COMPLETED", "Completed"),
        TaskState::Failed => ("FAILED", "Failed"),
        TaskState::Cancelled => ("ACTIVE", "Cancelled"),
    };
    let failed = task.log.last().filter(|_| task.state == TaskState::Failed).map(|entry| entry.text.clone());
    let old = model.settings.imitate.level() < 3;
    // Only versions this old have change controls that tasks wait in.
    let legacy =
        Some(task.id).filter(|_| old).and_then(|task| model.legacy_of(task)).map(|(id, _)| id.clone());
    classic::Task {
        work_order_id: task.id.to_string(),
        description: task.description.clone(),
        note: Some(task.note.clone()).filter(|note| !note.is_empty()).or(failed).unwrap_or_default(),
        template_id: "ztp".to_owned(),
        work_order_state: if old && status == "COMPLETED" { "COMPLETED" } else { "ACTIVE" }.to_owned(),
        current_task_name: name.to_owned(),
        current_task_type: "User Task".to_owned(),
        work_order_user_defined_status: task.state.words().to_owned(),
        task_status: status.to_owned(),
        task_status_before_cancel: if task.state == TaskState::Cancelled { "ACTIVE" } else { "" }.to_owned(),
        created_by: task.created_by.clone(),
        created_on_in_long_format: task.created_at,
        executed_by: task.executed_by.clone(),
        executed_on_in_long_format: task.executed_at,
        completed_on_in_long_format: task.completed_at,
        cc_id: legacy.unwrap_or_default(),
        cc_id_v2: task.change.clone(),
        stage_id: task.stage.clone(),
        new_parent_container_name: model.containers.get(&to).map(|c| c.name.clone()).unwrap_or_default(),
        new_parent_container_id: to,
        net_element_id: task.device.clone(),
        work_order_details: WorkOrderDetails {
            net_element_id: task.device.clone(),
            net_element_host_name: device.map(super::super::model::Device::fqdn).unwrap_or_default(),
            ip_address: device.map(|device| device.ip.clone()).unwrap_or_default(),
            serial_number: device.map(|device| device.serial.clone()).unwrap_or_default(),
            work_order_details_id: format!("details_{}", task.id),
            work_order_id: task.id.to_string(),
        },
        data: data(model, task),
        ..classic::Task::default()
    }
}

fn data(model: &Model, task: &Task) -> Map<String, Value> {
    let (action, from) = match &task.kind {
        TaskKind::Push => ("Configlet Push", ""),
        TaskKind::Move(from) => ("Configlet Push", from.as_str()),
        TaskKind::Reset(from) => ("Device Reset", from.as_str()),
        TaskKind::Image => ("Image Push Pending", ""),
        TaskKind::Address(_) => ("Management IP Change", ""),
    };
    let to = task.placement.container.clone().unwrap_or_default();
    let from = if from.is_empty() { to.as_str() } else { from };
    let bundle = task.placement.image.as_ref();
    let name = bundle.and_then(|key| model.bundles.get(key)).map(|bundle| bundle.name.clone());
    let data = json!({
        "WORKFLOW_ACTION": action, "VIEW": "CONFIG", "NETELEMENT_ID": task.device, "IS_CONFIG_PUSH_NEEDED": "yes",
        "currentparentContainerId": from, "newparentContainerId": to, "configletList": task.placement.own,
        "ignoreConfigletList": task.ignored, "image": name, "imageBundleId": bundle, "imageId": [],
    });
    match data {
        Value::Object(data) => data,
        _ => Map::new(),
    }
}

pub(super) fn by_id(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::json(&row(cx.model, cx.model.task(cx.query("taskId"))?)))
}

pub(super) fn status(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let row = row(cx.model, cx.model.task(cx.query("taskId"))?);
    Ok(Answer::json(&json!({"taskStatus": row.task_status})))
}

/// Newest first; those in a state, where one is named.
pub(super) fn list(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryparam");
    let all = cx.model.tasks.values().rev();
    let all = all.filter(|task| wanted.is_empty() || task.state.words().eq_ignore_ascii_case(wanted));
    let (total, page) = cx.page(all);
    Ok(Answer::json(&Page { total, data: page.into_iter().map(|task| row(cx.model, task)).collect() }))
}

pub(super) fn execute(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let ids: Ids = cx.body()?;
    cx.model.execute_tasks(&cx.who.user, &ids.data)?;
    Ok(Answer::data("Task execution triggered successfully"))
}

pub(super) fn cancel(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let ids: Ids = cx.body()?;
    cx.model.cancel_tasks(&cx.who.user, &ids.data)?;
    Ok(Answer::success())
}

/// A text beside a task.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    #[serde(deserialize_with = "text")]
    work_order_id: String,
    note: String,
}

pub(super) fn note(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Note { work_order_id, note } = cx.body()?;
    cx.model.note_task(&work_order_id, &note)?;
    Ok(Answer::success())
}

pub(super) fn log(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let task = cx.model.task(cx.query("id"))?;
    let rows = task.log.iter().rev().enumerate().map(|(index, entry)| LogRow {
        log_details: entry.text.clone(),
        date_time_in_long_format: entry.at,
        user_name: entry.user.clone(),
        object_name: task.device.clone(),
        work_order_id: task.id.to_string(),
        key: format!("log_{}_{index}", task.id),
    });
    let (total, data) = cx.page(rows);
    Ok(Answer::json(&Page { total, data }))
}

/// Which part of the log of which change control.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audit {
    #[serde(default)]
    category: String,
    #[serde(default, deserialize_with = "text")]
    object_key: String,
    #[serde(default)]
    data_size: usize,
    #[serde(default)]
    start_time: u64,
    #[serde(default)]
    end_time: u64,
    #[serde(default)]
    tags: Option<Tags>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tags {
    #[serde(default)]
    stage_id: String,
}

pub(super) fn audit(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Audit { category, object_key, data_size, start_time, end_time, tags } = cx.body()?;
    let stage = tags.map(|tags| tags.stage_id).filter(|stage| !stage.is_empty());
    // Nothing else is kept a log of here.
    let is_kept = matches!(category.as_str(), "" | "ChangeControl");
    let asked = |entry: &&Entry| {
        is_kept
            && (object_key.is_empty() || entry.object == object_key)
            && stage.as_ref().is_none_or(|stage| *stage == entry.part)
            && entry.at >= start_time
            && (end_time == 0 || entry.at <= end_time)
    };
    let rows: Vec<AuditRow> = cx
        .model
        .log
        .iter()
        .rev()
        .filter(asked)
        .map(|entry| AuditRow {
            activity: entry.text.clone(),
            sub_object_name: entry.part.clone(),
            date_time_in_long_format: entry.at,
            user_name: entry.user.clone(),
            object_key: entry.object.clone(),
            category: category.clone(),
        })
        .collect();
    let total = rows.len();
    let data = if data_size == 0 { rows } else { rows.into_iter().take(data_size).collect() };
    Ok(Answer::json(&Page { total, data }))
}
