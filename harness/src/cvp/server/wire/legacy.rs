//! Bodies of the oldest API of change controls.

use serde::{Deserialize, Serialize};

use super::classic::{Page, text};

/// What is sent to make or change one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NewChange {
    #[serde(deserialize_with = "text", skip_serializing_if = "String::is_empty")]
    pub(crate) cc_id: String,
    #[serde(deserialize_with = "text")]
    pub(crate) time_zone: String,
    #[serde(deserialize_with = "text")]
    pub(crate) country_id: String,
    /// `YYYY-MM-DD HH:MM`, or nothing.
    #[serde(deserialize_with = "text")]
    pub(crate) date_time: String,
    pub(crate) cc_name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) snapshot_template_key: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `true` or `false`, as text.
    #[serde(deserialize_with = "text")]
    pub(crate) stop_on_error: String,
    pub(crate) deleted_task_ids: Vec<String>,
    pub(crate) change_control_tasks: Vec<NewTask>,
}

/// A task of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NewTask {
    #[serde(deserialize_with = "text")]
    pub(crate) task_id: String,
    #[serde(deserialize_with = "text")]
    pub(crate) task_order: String,
    #[serde(deserialize_with = "text")]
    pub(crate) snapshot_template_key: String,
    #[serde(deserialize_with = "text")]
    pub(crate) cloned_cc_id: String,
}

/// One, as it is answered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Change {
    pub(crate) cc_id: String,
    pub(crate) cc_name: String,
    pub(crate) status: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) time_zone: String,
    pub(crate) country_id: String,
    pub(crate) date_time: String,
    pub(crate) stop_on_error: bool,
    pub(crate) snapshot_template_key: String,
    pub(crate) snapshot_template_name: String,
    pub(crate) task_count: usize,
    pub(crate) device_count: usize,
    pub(crate) notes: String,
    pub(crate) created_by: String,
    pub(crate) created_timestamp: u64,
    pub(crate) scheduled_by: String,
    pub(crate) scheduled_timestamp: u64,
    pub(crate) executed_by: String,
    pub(crate) executed_timestamp: u64,
    pub(crate) pre_snapshot_start_time: u64,
    pub(crate) pre_snapshot_end_time: u64,
    pub(crate) task_start_time: u64,
    pub(crate) task_end_time: u64,
    pub(crate) post_snapshot_start_time: u64,
    pub(crate) post_snapshot_end_time: u64,
    pub(crate) progress_status: String,
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change_control_tasks: Option<Page<ChangeTask>>,
}

/// A task of one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChangeTask {
    pub(crate) work_order_id: String,
    pub(crate) task_order: u32,
    pub(crate) description: String,
    pub(crate) net_element_host_name: String,
    pub(crate) net_element_id: String,
    pub(crate) ip_address: String,
    pub(crate) model: String,
    pub(crate) container_name: String,
    pub(crate) work_order_user_defined_status: String,
    pub(crate) work_order_state: String,
    pub(crate) current_task_name: String,
    pub(crate) snapshot_template_key: String,
    pub(crate) cc_id: String,
    pub(crate) note: String,
    pub(crate) created_by: String,
}
