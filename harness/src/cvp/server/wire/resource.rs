//! Bodies of the resource API: what is unset is absent, lists and maps are wrapped in `values`, times are RFC 3339.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A list or a map, as protocol buffers wrap it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Values<T> {
    #[serde(default)]
    pub(crate) values: T,
}

/// What tells a change control from others.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Key {
    pub(crate) id: String,
}

/// What is to be of a change control; parts that are absent stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChangeControlConfig {
    pub(crate) key: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Flag<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<Flag<Option<String>>>,
}

/// A change control, as it is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChangeControl {
    pub(crate) key: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approve: Option<Flag<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Flag<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schedule: Option<Flag<Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_ids: Option<Values<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_id_to_stage_ids: Option<Values<BTreeMap<String, Values<Vec<String>>>>>,
}

/// What a change control does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notes: Option<String>,
    #[serde(alias = "root_stage_id", skip_serializing_if = "Option::is_none")]
    pub(crate) root_stage_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stages: Option<Values<BTreeMap<String, Stage>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

/// A stage of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Stage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<Values<Vec<Values<Vec<String>>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(alias = "start_time", skip_serializing_if = "Option::is_none")]
    pub(crate) start_time: Option<String>,
    #[serde(alias = "end_time", skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<String>,
}

/// What a stage does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Action {
    pub(crate) name: String,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) args: Option<Values<BTreeMap<String, String>>>,
}

/// A switch, with who set it when and why.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Flag<T> {
    pub(crate) value: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

/// Whether a change control is approved.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ApproveConfig {
    pub(crate) key: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approve: Option<Flag<bool>>,
    /// The `time` of the change that is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
}
