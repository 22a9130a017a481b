//! Change controls over the oldest API.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        model::{About, ChangeControl, Legacy, LegacyTask, Model, Refused, TaskState, parse_wall_clock},
        zone,
    },
    Answer, Cx, task,
};
use crate::cvp::server::wire::{
    classic::{Page, text},
    legacy::{Change, ChangeTask, NewChange},
};

pub(super) fn set(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let new: NewChange = cx.body()?;
    let at = when(&new.date_time, &new.time_zone)?;
    let id = Some(new.cc_id).filter(|id| !id.is_empty());
    let stop_on_error = new.stop_on_error.eq_ignore_ascii_case("true");
    let tasks = new.change_control_tasks.into_iter().map(|task| {
        let order = task.task_order.parse().ok().filter(|order| *order >= 1);
        let order = order.ok_or_else(|| Refused::invalid(About::Resource, "taskOrder begins with 1"))?;
        Ok(LegacyTask { id: task.task_id, order, template: task.snapshot_template_key })
    });
    let legacy = Legacy {
        kind: new.kind,
        time_zone: new.time_zone,
        country: new.country_id,
        date_time: new.date_time,
        template: new.snapshot_template_key,
        tasks: tasks.collect::<Result<_, Refused>>()?,
        ..Legacy::default()
    };
    let user = cx.user();
    let change = (new.cc_name, String::new(), stop_on_error);
    let id = cx.model.set_legacy(&user, id.as_deref(), change, legacy, at)?;
    Ok(Answer::json(&json!({"data": "success", "ccId": id})))
}

/// A clock on a wall of a time zone, in milliseconds since 1970.
fn when(date_time: &str, time_zone: &str) -> Result<Option<u64>, Refused> {
    if date_time.trim().is_empty() {
        return Ok(None);
    }
    let invalid = |what: String| Refused::invalid(About::Resource, what);
    let wall = parse_wall_clock(date_time)
        .ok_or_else(|| invalid(format!("dateTime `{date_time}` is not YYYY-MM-DD HH:MM")))?;
    let seconds =
        zone::to_utc(time_zone, wall).ok_or_else(|| invalid(format!("timeZone `{time_zone}` is unknown")))?;
    Ok(Some(seconds * 1000))
}

fn row(model: &Model, id: &str, change: &ChangeControl, legacy: &Legacy) -> Change {
    let tasks: Vec<_> = legacy.tasks.iter().filter_map(|task| model.task(&task.id).ok()).collect();
    let mut devices: Vec<&String> = tasks.iter().map(|task| &task.device).collect();
    devices.sort_unstable();
    devices.dedup();
    let [before, during, after] = change.legacy_times();
    let progress = match change.legacy_status() {
        "Inprogress" if before.0 > 0 && before.1 == 0 => "PreSnapshot",
        "Inprogress" if after.0 > 0 => "PostSnapshot",
        "Inprogress" => "TaskExecution",
        other => other,
    };
    let scheduled = change.scheduled();
    let template = model.templates.get(&legacy.template).map(|template| template.name.clone());
    Change {
        cc_id: id.to_owned(),
        cc_name: change.name.clone(),
        status: change.legacy_status().to_owned(),
        kind: legacy.kind.clone(),
        time_zone: legacy.time_zone.clone(),
        country_id: legacy.country.clone(),
        date_time: legacy.date_time.clone(),
        stop_on_error: !change.goes_on,
        snapshot_template_key: legacy.template.clone(),
        snapshot_template_name: template.unwrap_or_default(),
        task_count: tasks.len(),
        device_count: devices.len(),
        notes: change.notes.clone(),
        created_by: legacy.created_by.clone(),
        created_timestamp: legacy.created_at,
        scheduled_by: scheduled.map(|at| at.user.clone()).unwrap_or_default(),
        scheduled_timestamp: scheduled.map(|at| at.value).unwrap_or_default(),
        executed_by: change.start.as_ref().map(|start| start.user.clone()).unwrap_or_default(),
        executed_timestamp: change.start.as_ref().map(|start| start.time).unwrap_or_default(),
        pre_snapshot_start_time: before.0,
        pre_snapshot_end_time: before.1,
        task_start_time: during.0,
        task_end_time: during.1,
        post_snapshot_start_time: after.0,
        post_snapshot_end_time: after.1,
        progress_status: progress.to_owned(),
        key: id.to_owned(),
        change_control_tasks: None,
    }
}

/// Those made by this API, with an end for each that is asked for by name.
fn known(model: &Model) -> impl Iterator<Item = (&String, &ChangeControl, &Legacy)> {
    model.changes.iter().filter_map(|(id, change)| Some((id, change, change.legacy.as_ref()?)))
}

pub(super) fn list(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = format!("{}{}", cx.query("searchText"), cx.query("queryparam")).to_lowercase();
    let found = known(cx.model).filter(|(_, change, _)| change.name.to_lowercase().contains(&wanted));
    let (total, data) = cx.page(found.map(|(id, change, legacy)| row(cx.model, id, change, legacy)));
    Ok(Answer::json(&Page { total, data }))
}

pub(super) fn one(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("ccId");
    let (_, change, legacy) = known(cx.model).find(|(known, ..)| *known == id).ok_or_else(no_data)?;
    let tasks = legacy.tasks.iter().filter_map(|of| Some((of, cx.model.task(&of.id).ok()?)));
    let tasks = tasks.map(|(of, known)| {
        let shown = task::row(cx.model, known);
        let device = cx.model.devices.get(&known.device);
        ChangeTask {
            work_order_id: of.id.clone(),
            task_order: of.order,
            description: shown.description,
            net_element_host_name: shown.work_order_details.net_element_host_name,
            net_element_id: shown.work_order_details.net_element_id,
            ip_address: shown.work_order_details.ip_address,
            model: device.map(|device| device.model.clone()).unwrap_or_default(),
            container_name: shown.new_parent_container_name,
            work_order_user_defined_status: shown.work_order_user_defined_status,
            work_order_state: shown.work_order_state,
            current_task_name: shown.current_task_name,
            snapshot_template_key: of.template.clone(),
            cc_id: id.to_owned(),
            note: shown.note,
            created_by: shown.created_by,
        }
    });
    let (total, data) = cx.page(tasks);
    let tasks = Some(Page { total, data });
    Ok(Answer::json(&Change { change_control_tasks: tasks, ..row(cx.model, id, change, legacy) }))
}

fn no_data() -> Refused {
    Refused::new(About::Configlet, super::super::model::Why::NoData, "Failure -  No data found.")
}

/// Tasks that wait and belong to no change control.
pub(super) fn available(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let free = cx
        .model
        .tasks
        .values()
        .rev()
        .filter(|task| task.state == TaskState::Pending && cx.model.legacy_of(task.id).is_none());
    let (total, page) = cx.page(free);
    Ok(Answer::json(&Page {
        total,
        data: page.into_iter().map(|known| task::row(cx.model, known)).collect(),
    }))
}

/// Ids of change controls, bare or each in an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    cc_ids: Vec<Value>,
}

fn ids(cx: &Cx<'_>) -> Result<Vec<String>, Refused> {
    let which: Which = cx.body()?;
    let bare = |id: Value| {
        let id = id.get("ccId").cloned().unwrap_or(id);
        id.as_str().map(str::to_owned).ok_or_else(|| Refused::invalid(About::Resource, "ccIds"))
    };
    let mut ids = which.cc_ids.into_iter().map(bare).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    match ids.iter().find(|id| !cx.model.changes.contains_key(*id)) {
        Some(_) => Err(no_data()),
        None => Ok(ids),
    }
}

pub(super) fn execute(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (user, ids) = (cx.user(), ids(cx)?);
    cx.model.execute_legacy(&user, &ids)?;
    Ok(Answer::success())
}

pub(super) fn cancel(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (user, ids) = (cx.user(), ids(cx)?);
    cx.model.cancel_legacy(&user, &ids)?;
    Ok(Answer::success())
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let ids = ids(cx)?;
    cx.model.delete_changes(&ids)?;
    Ok(Answer::success())
}

/// A text beside a change control.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    #[serde(deserialize_with = "text")]
    cc_id: String,
    notes: String,
}

pub(super) fn note(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Note { cc_id, notes } = cx.body()?;
    cx.model.changes.get_mut(&cc_id).ok_or_else(no_data)?.notes = notes;
    Ok(Answer::success())
}
