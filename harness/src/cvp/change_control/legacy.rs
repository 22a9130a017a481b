//! The legacy API, of portals before 2019.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{Change, ChangeControl, ChangeStatus, Stage, StageState, StageStatus};
use crate::cvp::{
    ask::Ask,
    client::{Client, as_text, or_default},
    error::CvpError,
    task::{TaskId, TaskState},
};

/// What the portal says of an unknown one.
const NO_DATA: &str = "132532";

pub(super) async fn create(client: &Client, change: &Change) -> Result<String, CvpError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "ccId", deserialize_with = "as_text")]
        id: String,
    }
    let template = snapshot_template(change)?;
    let body = json!({
        "timeZone": change.legacy.time_zone, "countryId": change.legacy.country, "dateTime": change.legacy.at,
        "ccName": change.name, "snapshotTemplateKey": template,
        "type": if change.legacy.is_rollback { "Rollback" } else { "Custom" },
        "stopOnError": if change.legacy.stop_on_error { "true" } else { "false" },
        "deletedTaskIds": [], "changeControlTasks": tasks(change, &template)?,
    });
    let what = format!("make the change control {}", change.name);
    let answer: Answer =
        client.read(&Ask::post(what, "/changeControl/addOrUpdateChangeControl.do", body)).await?;
    Ok(answer.id)
}

/// The tasks with the numbers of their rows: equal numbers run together.
fn tasks(change: &Change, template: &str) -> Result<Vec<Value>, CvpError> {
    let rows =
        change.rows.iter().map(|row| row.iter().filter(|stage| !is_snapshot(stage)).collect::<Vec<_>>());
    let mut all = Vec::new();
    for (at, row) in rows.filter(|row| !row.is_empty()).enumerate() {
        for stage in row {
            let Stage::Task(task) = stage else { return Err(too_much(change)) };
            all.push(json!({ "taskId": task, "taskOrder": at + 1, "snapshotTemplateKey": template, "clonedCcId": "" }));
        }
    }
    Ok(all)
}

fn is_snapshot(stage: &Stage) -> bool {
    matches!(stage, Stage::Snapshot { .. })
}

/// The one template whose snapshots are taken before everything and after everything.
fn snapshot_template(change: &Change) -> Result<String, CvpError> {
    let mut templates: Vec<&String> = change
        .rows
        .iter()
        .flatten()
        .filter_map(|stage| match stage {
            Stage::Snapshot { template, .. } => Some(template),
            _ => None,
        })
        .collect();
    templates.dedup();
    match templates.as_slice() {
        [] => Ok(String::new()),
        [one] => Ok((*one).clone()),
        _ => Err(too_much(change)),
    }
}

fn too_much(change: &Change) -> CvpError {
    CvpError::NotInThisVersion {
        what: format!("make the change control {}", change.name),
        version: "before 2019".to_owned(),
        hint: "they know rows of tasks, and one template of snapshots around all of them",
    }
}

/// A change control as it is told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    #[serde(deserialize_with = "as_text")]
    cc_id: String,
    #[serde(default, deserialize_with = "or_default")]
    cc_name: String,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    #[serde(default, deserialize_with = "or_default")]
    date_time: String,
    #[serde(default, deserialize_with = "or_default")]
    change_control_tasks: Tasks,
}

#[derive(Default, Deserialize)]
struct Tasks {
    #[serde(default, deserialize_with = "or_default")]
    data: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    work_order_id: TaskId,
    #[serde(default, deserialize_with = "or_default")]
    net_element_host_name: String,
    #[serde(default, deserialize_with = "or_default")]
    work_order_user_defined_status: String,
    #[serde(default, deserialize_with = "or_default")]
    note: String,
}

impl From<Read> for ChangeControl {
    fn from(read: Read) -> Self {
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let status = match read.status.to_ascii_lowercase().as_str() {
            "inprogress" | "in progress" => ChangeStatus::Running,
            "completed" => ChangeStatus::Completed,
            "failed" => ChangeStatus::Failed,
            "cancelled" => ChangeStatus::Cancelled,
            _ if !read.date_time.is_empty() => ChangeStatus::Scheduled,
            _ => ChangeStatus::NotStarted,
        };
        let stage = |row: Row| {
            let state = TaskState::of(&row.work_order_user_defined_status, "");
            let error = (state == TaskState::Failed)
                .then(|| said(&row.note).unwrap_or_else(|| "the task failed".to_owned()));
            let status = match state {
                TaskState::Pending => StageStatus::NotStarted,
                TaskState::Running(_) => StageStatus::Running,
                _ => StageStatus::Completed,
            };
            let task = Some(row.work_order_id.clone());
            (row.work_order_id.0, StageState { name: row.net_element_host_name, task, status, error })
        };
        Self {
            id: read.cc_id,
            name: read.cc_name,
            status,
            error: None,
            is_approved: Some(true),
            schedule: said(&read.date_time),
            version: String::new(),
            stages: read.change_control_tasks.data.into_iter().map(stage).collect(),
        }
    }
}

pub(super) async fn all(client: &Client) -> Result<Vec<ChangeControl>, CvpError> {
    let ask =
        Ask::get("list the change controls", "/changeControl/getChangeControls.do").query("searchText", "");
    let all: Vec<Read> = client.rows(&ask, "data", |read: &Read| read.cc_id.clone()).await?;
    Ok(all.into_iter().map(ChangeControl::from).collect())
}

pub(super) async fn one(client: &Client, id: &str) -> Result<Option<ChangeControl>, CvpError> {
    let what = format!("look up the change control {id}");
    let ask = Ask::get(what, "/changeControl/getChangeControlInformation.do").rows(0, 0).query("ccId", id);
    match client.read::<Read>(&ask).await {
        Ok(read) => Ok(Some(read.into())),
        Err(error) if error.is(NO_DATA) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn start(client: &Client, id: &str) -> Result<(), CvpError> {
    let body = json!({ "ccIds": [{ "ccId": id }] });
    client
        .ask(&Ask::post(format!("start the change control {id}"), "/changeControl/executeCC.do", body))
        .await
        .map(drop)
}

pub(super) async fn cancel(client: &Client, id: &str) -> Result<(), CvpError> {
    let body = json!({ "ccIds": [id] });
    let what = format!("stop the change control {id}");
    client.ask(&Ask::post(what, "/changeControl/cancelChangeControl.do", body)).await.map(drop)
}

pub(super) async fn delete(client: &Client, id: &str) -> Result<(), CvpError> {
    let body = json!({ "ccIds": [id] });
    let what = format!("delete the change control {id}");
    client.ask(&Ask::post(what, "/changeControl/deleteChangeControls.do", body)).await.map(drop)
}

/// These portals are told when they are made: a change control cannot be scheduled afterwards.
pub(super) async fn schedule(_client: &Client, id: &str, _at: Option<SystemTime>) -> Result<(), CvpError> {
    Err(CvpError::NotInThisVersion {
        what: format!("schedule the change control {id}"),
        version: "before 2019".to_owned(),
        hint: "say the time when it is made",
    })
}
