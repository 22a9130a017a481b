//! Change controls over the service API, the one between the oldest and the resource API.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::model::{About, ChangeControl, Phase, Refused, Stage, What, parse_rfc3339, rfc3339},
    Answer, Cx,
};

/// What a change control is to be.
#[derive(Deserialize)]
struct Update {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    root_stage: Node,
}

/// A stage, with those in it.
#[derive(Deserialize)]
struct Node {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    stage_row: Vec<Row>,
    action: Option<Action>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    stage: Vec<Node>,
}

#[derive(Deserialize)]
struct Action {
    name: String,
    #[serde(default)]
    args: BTreeMap<String, String>,
    #[serde(default)]
    timeout: u64,
}

/// Which one, and as it was when.
#[derive(Deserialize)]
struct Which {
    cc_id: String,
    #[serde(default)]
    cc_timestamp: String,
}

pub(super) fn update(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Update { config } = cx.body()?;
    let mut stages = BTreeMap::new();
    let root = config.root_stage.id.clone();
    flatten(config.root_stage, &mut stages)?;
    let known = cx.model.changes.get(&config.id).cloned().unwrap_or_default();
    let name = if config.name.is_empty() { config.id.clone() } else { config.name };
    let user = cx.user();
    cx.model.set_change(&user, &config.id, ChangeControl { name, root, stages, ..known })?;
    let time = rfc3339(cx.model.change(&config.id)?.time);
    Ok(Answer::json(&json!([{"id": config.id, "update_timestamp": time}])))
}

fn flatten(node: Node, stages: &mut BTreeMap<String, Stage>) -> Result<(), Refused> {
    let Node { id, name, stage_row, action } = node;
    let ids = stage_row.iter().map(|row| row.stage.iter().map(|stage| stage.id.clone()).collect()).collect();
    let what = match action {
        Some(Action { name, args, timeout }) => What::Action { name, args, timeout },
        None => What::Rows(ids),
    };
    let name = if name.is_empty() { id.clone() } else { name };
    if stages.insert(id.clone(), Stage { name, what, ..Stage::default() }).is_some() {
        return Err(Refused::invalid(About::Resource, format!("stage {id} stands at two places")));
    }
    stage_row.into_iter().flat_map(|row| row.stage).try_for_each(|below| flatten(below, stages))
}

fn nothing() -> Answer {
    Answer::json(&json!([{}]))
}

/// An approval by the clock of who approves: good for a change that is not younger.
pub(super) fn approve(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let which: Which = cx.body()?;
    let (user, time) = (cx.user(), cx.model.change(&which.cc_id)?.time);
    let named = parse_rfc3339(&which.cc_timestamp)
        .ok_or_else(|| Refused::invalid(About::Resource, format!("cc_timestamp {}", which.cc_timestamp)))?;
    // Changed since: what was read is not what would be approved.
    let version = if named < time { named } else { time };
    cx.model.approve(&user, &which.cc_id, true, "", Some(version))?;
    Ok(nothing())
}

pub(super) fn unapprove(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let which: Which = cx.body()?;
    let user = cx.user();
    cx.model.approve(&user, &which.cc_id, false, "", None)?;
    Ok(nothing())
}

pub(super) fn start(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let which: Which = cx.body()?;
    let user = cx.user();
    cx.model.start(&user, &which.cc_id, "")?;
    Ok(nothing())
}

pub(super) fn stop(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let which: Which = cx.body()?;
    let user = cx.user();
    cx.model.stop(&user, &which.cc_id, "")?;
    Ok(nothing())
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let which: Which = cx.body()?;
    cx.model.delete_changes(&[which.cc_id])?;
    Ok(nothing())
}

fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::NotStarted => "NotStarted",
        Phase::Running => "Running",
        Phase::Completed => "Completed",
    }
}

pub(super) fn status(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let which: Which = cx.body()?;
    let change = cx.model.change(&which.cc_id)?;
    let stage = |(id, stage): (&String, &Stage)| {
        let error = stage.error.clone().unwrap_or_default();
        (id.clone(), json!({"state": state(stage.phase), "error": error}))
    };
    let stages: Map<String, Value> = change.stages.iter().map(stage).collect();
    let status = json!({
        "id": which.cc_id,
        "state": state(change.phase),
        "error": change.error.clone().unwrap_or_default(),
        "stages": stages,
    });
    Ok(Answer::json(&json!([{ "status": status }])))
}
