//! The service API, of portals from 2019.0 to 2021.1. Its answers are lists.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{Change, ChangeControl, ChangeStatus, Stage, StageState, StageStatus};
use crate::cvp::{ask::Ask, client::Client, client::or_default, error::CvpError};

fn call(what: String, method: &str, body: Value) -> Ask {
    Ask::post(what, format!("/api/v3/services/ccapi.ChangeControl/{method}"), body)
}

pub(super) async fn create(client: &Client, change: &Change) -> Result<String, CvpError> {
    let mut next = 0;
    let body = json!({ "config": {
        "id": change.id, "name": change.name,
        "root_stage": { "id": "root", "stage_row": rows(&change.rows, &mut next) },
    }});
    let ask = call(format!("make the change control {}", change.name), "Update", body);
    // The id is ours: a second one changes nothing.
    let answer = client.ask(&ask.repeatable()).await?;
    if let Some(time) = answer.pointer("/0/update_timestamp").and_then(Value::as_str) {
        client.note_change(&change.id, time.to_owned());
    }
    Ok(change.id.clone())
}

fn rows(rows: &[Vec<Stage>], next: &mut usize) -> Vec<Value> {
    let mut one = |stage: &Stage| {
        let id = format!("stage{next}");
        *next += 1;
        match stage {
            Stage::Task(task) => {
                json!({ "id": id, "action": { "name": "task", "args": { "TaskID": task } } })
            }
            Stage::Snapshot { template, device } => {
                let args = json!({ "DeviceID": device, "TemplateID": template });
                json!({ "id": id, "action": { "name": "snapshot", "args": args } })
            }
            Stage::Action { action, args } => json!({ "id": id, "action": { "name": action, "args": args } }),
            Stage::Rows { rows: inner, .. } => json!({ "id": id, "stage_row": self::rows(inner, next) }),
        }
    };
    rows.iter().map(|row| json!({ "stage": row.iter().map(&mut one).collect::<Vec<_>>() })).collect()
}

pub(super) async fn one(client: &Client, id: &str) -> Result<Option<ChangeControl>, CvpError> {
    #[derive(Deserialize)]
    struct Answer {
        status: Option<Status>,
    }
    #[derive(Deserialize)]
    struct Status {
        id: String,
        #[serde(default, deserialize_with = "or_default")]
        state: String,
        #[serde(default, deserialize_with = "or_default")]
        error: String,
        #[serde(default, deserialize_with = "or_default")]
        stages: BTreeMap<String, One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default, deserialize_with = "or_default")]
        state: String,
        #[serde(default, deserialize_with = "or_default")]
        error: String,
    }
    let ask =
        call(format!("look up the change control {id}"), "GetStatus", json!({ "cc_id": id })).repeatable();
    let answers: Vec<Answer> = match client.read(&ask).await {
        Ok(answers) => answers,
        Err(CvpError::Refused { refusal, .. }) if refusal.status == 404 => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(status) = answers.into_iter().find_map(|answer| answer.status) else { return Ok(None) };
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let stage = |(id, one): (String, One)| {
        let status = match one.state.as_str() {
            "Running" => StageStatus::Running,
            "Completed" => StageStatus::Completed,
            _ => StageStatus::NotStarted,
        };
        (id.clone(), StageState { name: id, task: None, status, error: said(one.error) })
    };
    Ok(Some(ChangeControl {
        name: status.id.clone(),
        id: status.id,
        status: match status.state.as_str() {
            "Running" => ChangeStatus::Running,
            "Completed" => ChangeStatus::Completed,
            "Failed" => ChangeStatus::Failed,
            _ => ChangeStatus::NotStarted,
        },
        error: said(status.error),
        is_approved: None,
        schedule: None,
        version: String::new(),
        stages: status.stages.into_iter().map(stage).collect(),
    }))
}

pub(super) async fn approve(client: &Client, change: &ChangeControl) -> Result<(), CvpError> {
    // Of one that somebody else made, the time is not told.
    let now = || crate::base::time::Utc::from(std::time::SystemTime::now()).to_string();
    let body =
        json!({ "cc_id": change.id, "cc_timestamp": client.change_time(&change.id).unwrap_or_else(now) });
    ask(client, format!("approve the change control {}", change.id), "AddApproval", body).await
}

pub(super) async fn unapprove(client: &Client, id: &str) -> Result<(), CvpError> {
    ask(
        client,
        format!("take back the approval of the change control {id}"),
        "DeleteApproval",
        json!({ "cc_id": id }),
    )
    .await
}

pub(super) async fn start(client: &Client, id: &str) -> Result<(), CvpError> {
    ask(client, format!("start the change control {id}"), "Start", json!({ "cc_id": id })).await
}

pub(super) async fn stop(client: &Client, id: &str) -> Result<(), CvpError> {
    ask(client, format!("stop the change control {id}"), "Stop", json!({ "cc_id": id })).await
}

pub(super) async fn delete(client: &Client, id: &str) -> Result<(), CvpError> {
    ask(client, format!("delete the change control {id}"), "Delete", json!({ "cc_id": id })).await
}

async fn ask(client: &Client, what: String, method: &str, body: Value) -> Result<(), CvpError> {
    client.ask(&call(what, method, body)).await.map(drop)
}
