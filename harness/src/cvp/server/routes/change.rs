//! Change controls over the resource API.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::model::{
        About, ChangeControl, Flag, Model, Ms, Phase, Refused, Stage, What, Why, parse_rfc3339, rfc3339,
    },
    Answer, Cx, resource,
};
use crate::cvp::server::wire::resource::{self as wire, Key, Values};

fn phase(phase: Phase, of: &str) -> String {
    let word = match phase {
        Phase::NotStarted => "UNSPECIFIED",
        Phase::Running => "RUNNING",
        Phase::Completed => "COMPLETED",
    };
    format!("{of}_{word}")
}

fn flag<T, U>(flag: &Flag<T>, value: impl Fn(&T) -> U) -> wire::Flag<U> {
    wire::Flag {
        value: value(&flag.value),
        notes: Some(flag.notes.clone()),
        time: Some(rfc3339(flag.time)),
        user: Some(flag.user.clone()),
    }
}

/// A change control, as it is read. What is not set is absent.
fn row(model: &Model, id: &str, change: &ChangeControl) -> wire::ChangeControl {
    let mut devices: BTreeMap<String, Values<Vec<String>>> = BTreeMap::new();
    for (name, stage) in &change.stages {
        let task = stage.task().and_then(|task| model.task(task).ok());
        if let Some(device) = task.and_then(|task| model.devices.get(&task.device)) {
            devices.entry(device.serial.clone()).or_default().values.push(name.clone());
        }
    }
    let stages = change.stages.iter().map(|(name, stage)| (name.clone(), stage_row(stage))).collect();
    let scheduled = change.schedule.is_some() && change.phase == Phase::NotStarted;
    let status = match change.phase {
        _ if scheduled => Some("CHANGE_CONTROL_STATUS_SCHEDULED".to_owned()),
        Phase::NotStarted => None,
        other => Some(phase(other, "CHANGE_CONTROL_STATUS")),
    };
    wire::ChangeControl {
        key: Key { id: id.to_owned() },
        change: Some(wire::Change {
            name: Some(change.name.clone()),
            notes: Some(change.notes.clone()),
            root_stage_id: Some(change.root.clone()),
            stages: Some(Values { values: stages }),
            time: Some(rfc3339(change.time)),
            user: Some(change.user.clone()),
        }),
        approve: change.approve.as_ref().map(|approve| flag(approve, |value| *value)),
        start: change.start.as_ref().map(|start| flag(start, |value| *value)),
        schedule: change.schedule.as_ref().map(|at| flag(at, |at| Some(rfc3339(*at)))),
        status,
        error: change.error.clone(),
        device_ids: Some(Values { values: devices.keys().cloned().collect() }),
        device_id_to_stage_ids: Some(Values { values: devices }),
    }
}

fn stage_row(stage: &Stage) -> wire::Stage {
    let (action, rows) = match &stage.what {
        What::Rows(rows) => {
            let rows = rows.iter().map(|row| Values { values: row.clone() }).collect();
            (None, Some(Values { values: rows }))
        }
        What::Action { name, args, timeout } => {
            let args = Some(Values { values: args.clone() });
            (Some(wire::Action { name: name.clone(), timeout: Some(*timeout), args }), None)
        }
    };
    let begun = stage.phase != Phase::NotStarted;
    wire::Stage {
        name: Some(stage.name.clone()),
        action,
        rows,
        status: begun.then(|| phase(stage.phase, "STAGE_STATUS")),
        error: stage.error.clone(),
        start_time: stage.started.map(rfc3339),
        end_time: stage.ended.map(rfc3339),
    }
}

fn value(row: &impl serde::Serialize) -> Result<Value, Refused> {
    serde_json::to_value(row).map_err(|error| Refused::invalid(About::Resource, error))
}

/// When it was touched last.
fn touched(change: &ChangeControl) -> Ms {
    let start = change.start.as_ref().map(|start| start.time);
    let approve = change.approve.as_ref().map(|approve| approve.time);
    let ended = change.stages.values().filter_map(|stage| stage.ended).max();
    [Some(change.time), start, approve, ended].into_iter().flatten().max().unwrap_or_default()
}

pub(super) fn one(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.id");
    let change = cx.model.change(id)?;
    Ok(resource::one(value(&row(cx.model, id, change))?, touched(change)))
}

pub(super) fn all(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let row = |(id, change): (&String, &ChangeControl)| {
        Ok((value(&row(cx.model, id, change))?, rfc3339(touched(change))))
    };
    let rows = cx.model.changes.iter().map(row).collect::<Result<Vec<_>, Refused>>()?;
    Ok(resource::stream(cx, rows))
}

fn key_of(cx: &Cx<'_>) -> Result<String, Refused> {
    let id = cx.body.pointer("/key/id").and_then(Value::as_str).unwrap_or_default();
    if id.is_empty() {
        return Err(Refused::invalid(About::Resource, "key.id is missing"));
    }
    Ok(id.to_owned())
}

/// Takes the parts that were sent, all or none.
pub(super) fn set(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = key_of(cx)?;
    cx.body = resource::camelled(&cx.body);
    let config: wire::ChangeControlConfig = cx.body()?;
    if config.change.is_none() && config.schedule.is_none() && config.start.is_none() {
        // There is nothing to make one of.
        cx.model.change(&id)?;
    }
    let before = cx.model.changes.get(&id).cloned();
    let noted = cx.model.log.len();
    // A start comes last: whatever is refused has begun no task.
    if let Err(refused) = take(cx, &id, config) {
        match before {
            Some(before) => cx.model.changes.insert(id, before),
            None => cx.model.changes.remove(&id),
        };
        cx.model.log.truncate(noted);
        return Err(refused);
    }
    let at = cx.model.clock.now();
    Ok(resource::one(cx.body.clone(), at))
}

fn take(cx: &mut Cx<'_>, key: &str, config: wire::ChangeControlConfig) -> Result<(), Refused> {
    let (id, user) = (key.to_owned(), cx.user());
    if let Some(new) = config.change {
        let merged = merge(cx.model.changes.get(&id).cloned().unwrap_or_default(), new)?;
        cx.model.set_change(&user, &id, merged)?;
    }
    if let Some(schedule) = config.schedule {
        let at = schedule.value.filter(|at| !at.is_empty());
        let at = at.map(|at| parse_rfc3339(&at).ok_or(at)).transpose();
        let at = at.map_err(|at| Refused::invalid(About::Resource, format!("schedule.value {at}")))?;
        cx.model.schedule(&user, &id, at, &schedule.notes.unwrap_or_default())?;
    }
    if let Some(start) = config.start {
        let notes = start.notes.unwrap_or_default();
        if start.value {
            cx.model.start(&user, &id, &notes)?;
        } else {
            cx.model.stop(&user, &id, &notes)?;
        }
    }
    Ok(())
}

/// Maps are merged by their keys, everything else is put in place of what was there.
fn merge(mut change: ChangeControl, new: wire::Change) -> Result<ChangeControl, Refused> {
    change.name = new.name.unwrap_or(change.name);
    change.notes = new.notes.unwrap_or(change.notes);
    change.root = new.root_stage_id.unwrap_or(change.root);
    for (id, stage) in new.stages.map(|stages| stages.values).unwrap_or_default() {
        let known = change.stages.entry(id.clone()).or_default();
        known.name = stage.name.unwrap_or_else(|| std::mem::take(&mut known.name));
        match (stage.action, stage.rows) {
            (Some(_), Some(_)) => {
                let text = format!("stage {id} has both an action and rows");
                return Err(Refused::invalid(About::Resource, text));
            }
            (Some(action), None) => {
                known.what = What::Action {
                    name: action.name,
                    args: action.args.map(|args| args.values).unwrap_or_default(),
                    timeout: action.timeout.unwrap_or(0),
                };
            }
            (None, Some(rows)) => {
                known.what = What::Rows(rows.values.into_iter().map(|row| row.values).collect());
            }
            (None, None) => {}
        }
    }
    Ok(change)
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.id").to_owned();
    cx.model.delete_changes(std::slice::from_ref(&id))?;
    let time = rfc3339(cx.model.clock.now());
    Ok(Answer::json(&serde_json::json!({"key": {"id": id}, "time": time})))
}

/// What was asked for, without what became of it.
fn config_row(id: &str, change: &ChangeControl, model: &Model) -> Result<Value, Refused> {
    let wire::ChangeControl { key, change, start, schedule, .. } = row(model, id, change);
    value(&wire::ChangeControlConfig { key, change, start, schedule })
}

pub(super) fn config(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.id");
    let change = cx.model.change(id)?;
    Ok(resource::one(config_row(id, change, cx.model)?, change.time))
}

pub(super) fn configs(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let row = |(id, change): (&String, &ChangeControl)| {
        Ok((config_row(id, change, cx.model)?, rfc3339(change.time)))
    };
    let rows = cx.model.changes.iter().map(row).collect::<Result<Vec<_>, Refused>>()?;
    Ok(resource::stream(cx, rows))
}

pub(super) fn approve(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = key_of(cx)?;
    let config: wire::ApproveConfig = cx.body()?;
    let Some(approve) = config.approve else {
        return Err(Refused::invalid(About::Resource, "approve is missing"));
    };
    let version = config.version.filter(|version| !version.is_empty());
    let version = version.map(|text| parse_rfc3339(&text).ok_or(text)).transpose();
    let version = version.map_err(|text| Refused::invalid(About::Resource, format!("version {text}")))?;
    let (user, notes) = (cx.user(), approve.notes.unwrap_or_default());
    let at = cx.model.approve(&user, &id, approve.value, &notes, version)?;
    Ok(resource::one(cx.body.clone(), at))
}

fn approval_row(id: &str, change: &ChangeControl) -> Option<wire::ApproveConfig> {
    let approve = change.approve.as_ref()?;
    Some(wire::ApproveConfig {
        key: Key { id: id.to_owned() },
        approve: Some(wire::Flag {
            value: approve.value,
            notes: Some(approve.notes.clone()),
            ..wire::Flag::default()
        }),
        version: Some(rfc3339(change.time)),
    })
}

pub(super) fn approval(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.id");
    let change = cx.model.change(id)?;
    let never = || Refused::new(About::Resource, Why::Absent, "resource not found");
    let row = approval_row(id, change).ok_or_else(never)?;
    Ok(resource::one(value(&row)?, change.approve.as_ref().map_or(change.time, |approve| approve.time)))
}

pub(super) fn approvals(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let row = |(id, change): (&String, &ChangeControl)| {
        let row = approval_row(id, change)?;
        let time = rfc3339(change.approve.as_ref()?.time);
        Some(value(&row).map(|value| (value, time)))
    };
    let rows = cx.model.changes.iter().filter_map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(resource::stream(cx, rows))
}
