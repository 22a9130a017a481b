//! Tags, and the workspaces they are edited in.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::model::{Assignment, Build, Refused, Tag, Workspace, rfc3339},
    Answer, Cx, resource,
};

/// An edit, as it is sent.
#[derive(Deserialize)]
struct Sent {
    key: Key,
    #[serde(default)]
    remove: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Key {
    workspace_id: String,
    element_type: String,
    label: String,
    value: String,
    device_id: String,
    interface_id: String,
}

fn sent(cx: &Cx<'_>) -> Result<Assignment, Refused> {
    let body = resource::camelled(&cx.body);
    let Sent { key, remove } = Sent::deserialize(&body).map_err(|error| Refused::invalid(cx.about, error))?;
    let tag = Tag {
        workspace: key.workspace_id,
        kind: key.element_type,
        label: key.label,
        value: key.value,
        remove,
    };
    Ok(Assignment { tag, device: key.device_id, interface: key.interface_id })
}

fn tag_row(tag: &Tag) -> Value {
    json!({"key": {
        "workspaceId": tag.workspace, "elementType": tag.kind, "label": tag.label, "value": tag.value,
    }})
}

fn edit_row(tag: &Tag) -> Value {
    let mut row = tag_row(tag);
    if let Some(row) = row.as_object_mut() {
        row.insert("remove".to_owned(), Value::from(tag.remove));
    }
    row
}

fn assignment_row(assignment: &Assignment) -> Value {
    let mut row = edit_row(&assignment.tag);
    if let Some(key) = row.get_mut("key").and_then(Value::as_object_mut) {
        key.insert("deviceId".to_owned(), Value::from(assignment.device.clone()));
        key.insert("interfaceId".to_owned(), Value::from(assignment.interface.clone()));
    }
    row
}

fn answered(cx: &Cx<'_>, rows: Vec<Value>) -> Answer {
    let now = rfc3339(cx.model.clock.now());
    resource::stream(cx, rows.into_iter().map(|row| (row, now.clone())))
}

/// Tags: those that every device has by itself, those that are merged, and those a workspace has edited.
pub(super) fn tags(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let own = cx.model.devices.values().map(|device| Tag {
        workspace: String::new(),
        kind: "ELEMENT_TYPE_DEVICE".to_owned(),
        label: "device".to_owned(),
        value: device.serial.clone(),
        remove: false,
    });
    let there = cx.model.tags.iter().filter(|tag| !tag.remove);
    Ok(answered(cx, own.map(|tag| tag_row(&tag)).chain(there.map(tag_row)).collect()))
}

pub(super) fn edits(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let edits = cx.model.tags.iter().filter(|tag| !tag.workspace.is_empty());
    Ok(answered(cx, edits.map(edit_row).collect()))
}

pub(super) fn set(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Assignment { tag, .. } = sent(cx)?;
    cx.model.edit_tag(tag)?;
    Ok(resource::one(resource::camelled(&cx.body), cx.model.clock.now()))
}

pub(super) fn assignments(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let there = cx.model.assignments.iter().filter(|assignment| !assignment.tag.remove);
    Ok(answered(cx, there.map(assignment_row).collect()))
}

pub(super) fn assignment_edits(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let edits = cx.model.assignments.iter().filter(|assignment| !assignment.tag.workspace.is_empty());
    Ok(answered(cx, edits.map(assignment_row).collect()))
}

pub(super) fn assign(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let assignment = sent(cx)?;
    cx.model.edit_assignment(assignment)?;
    Ok(resource::one(resource::camelled(&cx.body), cx.model.clock.now()))
}

fn workspace_row(id: &str, workspace: &Workspace) -> Value {
    let last = workspace.builds.last().map(|build| build.id.clone()).unwrap_or_default();
    json!({
        "key": {"workspaceId": id}, "displayName": workspace.name, "description": workspace.description,
        "state": workspace.state.words(), "createdAt": rfc3339(workspace.created_at),
        "createdBy": workspace.created_by, "lastModifiedAt": rfc3339(workspace.changed_at),
        "lastModifiedBy": workspace.created_by, "lastBuildId": last, "needsBuild": workspace.dirty,
        "ccIds": {"values": []},
    })
}

pub(super) fn workspace(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.workspaceId");
    let workspace = cx.model.workspaces.get(id).ok_or_else(resource::absent)?;
    Ok(resource::one(workspace_row(id, workspace), workspace.changed_at))
}

pub(super) fn workspaces(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let all = cx.model.workspaces.iter();
    Ok(resource::stream(cx, all.map(|(id, w)| (workspace_row(id, w), rfc3339(w.changed_at)))))
}

/// What a workspace is to be, and what is to be done with it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    key: ConfigKey,
    display_name: Option<String>,
    description: Option<String>,
    #[serde(default)]
    request: String,
    #[serde(default)]
    request_params: RequestParams,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigKey {
    workspace_id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestParams {
    request_id: String,
}

pub(super) fn set_workspace(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let body = resource::camelled(&cx.body);
    let config = Config::deserialize(&body).map_err(|error| Refused::invalid(cx.about, error))?;
    let words = (config.display_name.as_deref(), config.description.as_deref());
    let request = (config.request.as_str(), config.request_params.request_id.as_str());
    let user = cx.user();
    cx.model.set_workspace(&user, &config.key.workspace_id, words, request)?;
    Ok(resource::one(body, cx.model.clock.now()))
}

/// What a workspace was set to, without what became of it.
fn config_row(id: &str, workspace: &Workspace) -> (Value, String) {
    let row = json!({
        "key": {"workspaceId": id}, "displayName": workspace.name, "description": workspace.description,
    });
    (row, rfc3339(workspace.changed_at))
}

pub(super) fn workspace_config(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.workspaceId");
    let workspace = cx.model.workspaces.get(id).ok_or_else(resource::absent)?;
    Ok(resource::one(config_row(id, workspace).0, workspace.changed_at))
}

pub(super) fn workspace_configs(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(resource::stream(cx, cx.model.workspaces.iter().map(|(id, workspace)| config_row(id, workspace))))
}

fn build_row(workspace: &str, build: &Build) -> Value {
    let state = match (build.done, build.error.as_str()) {
        (false, _) => "BUILD_STATE_IN_PROGRESS",
        (true, "") => "BUILD_STATE_SUCCESS",
        (true, _) => "BUILD_STATE_FAIL",
    };
    json!({"key": {"workspaceId": workspace, "buildId": build.id}, "state": state, "error": build.error})
}

pub(super) fn builds(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let of = |(id, workspace): (&String, &Workspace)| {
        let time = rfc3339(workspace.changed_at);
        workspace.builds.iter().map(|build| (build_row(id, build), time.clone())).collect::<Vec<_>>()
    };
    let all: Vec<_> = cx.model.workspaces.iter().flat_map(of).collect();
    Ok(resource::stream(cx, all))
}

pub(super) fn build(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (id, build) = (cx.query("key.workspaceId"), cx.query("key.buildId"));
    let workspace = cx.model.workspaces.get(id).ok_or_else(resource::absent)?;
    let known = workspace.builds.iter().find(|known| known.id == build).ok_or_else(resource::absent)?;
    Ok(resource::one(build_row(id, known), workspace.changed_at))
}
