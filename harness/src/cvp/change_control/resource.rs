//! The resource API, of portals from 2021.2 on.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::model::{Change, ChangeControl, ChangeStatus, Stage, StageState, StageStatus};
use crate::{
    base::time::Utc,
    cvp::{
        ask::Ask,
        client::Client,
        client::{Values, or_default},
        error::CvpError,
        task::TaskId,
    },
};

const CONFIG: &str = "/api/resources/changecontrol/v1/ChangeControlConfig";
const READ: &str = "/api/resources/changecontrol/v1/ChangeControl";
const APPROVE: &str = "/api/resources/changecontrol/v1/ApproveConfig";
/// How long a task may take before the portal gives it up, in seconds.
const TASK_TIMEOUT: u32 = 3000;

pub(super) async fn create(client: &Client, change: &Change) -> Result<String, CvpError> {
    let stages = stages(&change.name, &change.rows);
    let body = json!({
        "key": { "id": change.id },
        "change": { "name": change.name, "notes": change.notes, "rootStageId": "root", "stages": { "values": stages } },
    });
    // The id is ours: a second one changes nothing.
    let ask = Ask::post(format!("make the change control {}", change.name), CONFIG, body).repeatable();
    client.ask(&ask).await?;
    Ok(change.id.clone())
}

/// All stages by their ids; the root is a series, because not all portals take another one.
fn stages(name: &str, rows: &[Vec<Stage>]) -> Map<String, Value> {
    let mut all = Map::new();
    let mut next = 0;
    let root = row_ids(rows, &mut all, &mut next);
    all.insert("root".into(), json!({ "name": name, "rows": root }));
    all
}

fn row_ids(rows: &[Vec<Stage>], all: &mut Map<String, Value>, next: &mut usize) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let ids: Vec<String> = row.iter().map(|stage| add(stage, all, next)).collect();
            json!({ "values": ids })
        })
        .collect();
    json!({ "values": rows })
}

fn add(stage: &Stage, all: &mut Map<String, Value>, next: &mut usize) -> String {
    let id = format!("stage{next}");
    *next += 1;
    let action = |name: &str, args: Value| json!({ "name": name, "timeout": TASK_TIMEOUT, "args": { "values": args } });
    let value = match stage {
        Stage::Task(task) => {
            json!({ "name": format!("task {task}"), "action": action("task", json!({ "TaskID": task })) })
        }
        Stage::Snapshot { template, device } => json!({
            "name": format!("snapshot of {device}"),
            "action": action("snapshot", json!({ "DeviceID": device, "TemplateID": template })),
        }),
        Stage::Action { action: name, args } => json!({ "name": name, "action": action(name, json!(args)) }),
        Stage::Rows { name, rows } => {
            let rows = row_ids(rows, all, next);
            json!({ "name": name, "rows": rows })
        }
    };
    all.insert(id.clone(), value);
    id
}

pub(super) async fn all(client: &Client) -> Result<Vec<ChangeControl>, CvpError> {
    let ask = Ask::get("list the change controls", format!("{READ}/all"));
    Ok(client.values::<Read>(ask).await?.into_iter().map(ChangeControl::from).collect())
}

pub(super) async fn one(client: &Client, id: &str) -> Result<Option<ChangeControl>, CvpError> {
    let ask = Ask::get(format!("look up the change control {id}"), READ).query("key.id", id);
    Ok(client.value::<Read>(&ask).await?.map(ChangeControl::from))
}

pub(super) async fn approve(
    client: &Client,
    change: &ChangeControl,
    approve: bool,
    notes: &str,
) -> Result<(), CvpError> {
    let body = json!({
        "key": { "id": change.id },
        "approve": { "value": approve, "notes": notes },
        "version": change.version,
    });
    let verb = if approve { "approve" } else { "take back the approval of" };
    // It names what it approves: a second one approves the same.
    client
        .ask(&Ask::post(format!("{verb} the change control {}", change.id), APPROVE, body).repeatable())
        .await
        .map(drop)
}

pub(super) async fn start(client: &Client, id: &str, start: bool, notes: &str) -> Result<(), CvpError> {
    let body = json!({ "key": { "id": id }, "start": { "value": start, "notes": notes } });
    let verb = if start { "start" } else { "stop" };
    client.ask(&Ask::post(format!("{verb} the change control {id}"), CONFIG, body)).await.map(drop)
}

pub(super) async fn schedule(
    client: &Client,
    id: &str,
    at: Option<SystemTime>,
    notes: &str,
) -> Result<(), CvpError> {
    let at = at.map(|at| Utc::from(at).to_string()).unwrap_or_default();
    let body = json!({ "key": { "id": id }, "schedule": { "value": at, "notes": notes } });
    client
        .ask(&Ask::post(format!("schedule the change control {id}"), CONFIG, body).repeatable())
        .await
        .map(drop)
}

pub(super) async fn delete(client: &Client, id: &str) -> Result<(), CvpError> {
    let ask = Ask::delete(format!("delete the change control {id}"), CONFIG, Value::Null);
    client.ask(&ask.query("key.id", id)).await.map(drop)
}

/// A change control as it is told. What was never set is absent.
#[derive(Deserialize)]
struct Read {
    key: Key,
    #[serde(default)]
    change: ReadChange,
    approve: Option<Flag>,
    schedule: Option<Text>,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    #[serde(default, deserialize_with = "or_default")]
    error: String,
}

#[derive(Deserialize)]
struct Key {
    id: String,
}

#[derive(Deserialize)]
struct Flag {
    #[serde(default)]
    value: bool,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default, deserialize_with = "or_default")]
    value: String,
}

#[derive(Default, Deserialize)]
struct ReadChange {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    time: String,
    #[serde(default, deserialize_with = "or_default")]
    stages: Values<BTreeMap<String, ReadStage>>,
}

#[derive(Deserialize)]
struct ReadStage {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    action: Option<ReadAction>,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    #[serde(default, deserialize_with = "or_default")]
    error: String,
}

#[derive(Deserialize)]
struct ReadAction {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    args: Values<BTreeMap<String, String>>,
}

impl From<Read> for ChangeControl {
    fn from(read: Read) -> Self {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let status = match read.status.trim_start_matches("CHANGE_CONTROL_STATUS_") {
            "RUNNING" => ChangeStatus::Running,
            "COMPLETED" => ChangeStatus::Completed,
            "SCHEDULED" => ChangeStatus::Scheduled,
            _ => ChangeStatus::NotStarted,
        };
        let stage = |(id, stage): (String, ReadStage)| {
            let task = stage.action.filter(|action| action.name == "task");
            let state = StageState {
                name: said(stage.name).unwrap_or_else(|| id.clone()),
                task: task.and_then(|task| task.args.values.get("TaskID").cloned()).map(TaskId),
                status: match stage.status.trim_start_matches("STAGE_STATUS_") {
                    "RUNNING" => StageStatus::Running,
                    "COMPLETED" => StageStatus::Completed,
                    _ => StageStatus::NotStarted,
                },
                error: said(stage.error),
            };
            (id, state)
        };
        Self {
            id: read.key.id,
            name: read.change.name,
            status,
            error: said(read.error),
            is_approved: Some(read.approve.is_some_and(|approve| approve.value)),
            schedule: read.schedule.and_then(|schedule| said(schedule.value)),
            version: read.change.time,
            stages: read.change.stages.values.into_iter().map(stage).collect(),
        }
    }
}
