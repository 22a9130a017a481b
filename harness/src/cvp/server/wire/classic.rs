//! Bodies of the classic API, the one whose paths end in `.do`. Times are in milliseconds since 1970.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// What is sent to log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    pub(crate) user_id: String,
    pub(crate) password: String,
}

/// A part of a longer list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Page<T> {
    /// How many there are, not how many are here.
    pub(crate) total: usize,
    pub(crate) data: Vec<T>,
}

/// A list under the name `data`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Data<T> {
    pub(crate) data: T,
}

/// A device of the inventory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Device {
    pub(crate) system_mac_address: String,
    /// `Registered`; empty when it is not provisioned.
    pub(crate) status: String,
    pub(crate) mlag_enabled: bool,
    pub(crate) danz_enabled: bool,
    /// The key of its container; empty when it is not provisioned.
    pub(crate) parent_container_key: String,
    /// In seconds.
    pub(crate) bootup_timestamp: f64,
    pub(crate) internal_build: String,
    pub(crate) hostname: String,
    pub(crate) fqdn: String,
    pub(crate) serial_number: String,
    pub(crate) ip_address: String,
    pub(crate) model_name: String,
    pub(crate) version: String,
    pub(crate) internal_version: String,
    pub(crate) architecture: String,
    pub(crate) hardware_revision: String,
    pub(crate) domain_name: String,
    pub(crate) device_type: String,
    /// `active` or `inactive`.
    pub(crate) streaming_status: String,
    pub(crate) compliance_code: String,
    pub(crate) compliance_indication: String,
    pub(crate) ztp_mode: bool,
    pub(crate) un_authorized: bool,
}

/// A device in answers about the topology.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Node {
    pub(crate) key: String,
    pub(crate) fqdn: String,
    pub(crate) hostname: String,
    pub(crate) system_mac_address: String,
    pub(crate) serial_number: String,
    pub(crate) ip_address: String,
    pub(crate) model_name: String,
    pub(crate) version: String,
    pub(crate) internal_version: String,
    pub(crate) architecture: String,
    pub(crate) hardware_revision: String,
    pub(crate) device_status: String,
    pub(crate) device_info: String,
    pub(crate) parent_container_id: String,
    pub(crate) container_name: String,
    pub(crate) compliance_code: String,
    pub(crate) compliance_indication: String,
    #[serde(rename = "isMLAGEnabled")]
    pub(crate) is_mlag_enabled: bool,
    #[serde(rename = "isDANZEnabled")]
    pub(crate) is_danz_enabled: bool,
    #[serde(rename = "bootupTimeStamp")]
    pub(crate) bootup_time_stamp: f64,
    pub(crate) internal_build_id: String,
    pub(crate) temp_action: Option<Value>,
    pub(crate) ztp_mode: bool,
    pub(crate) un_authorized: bool,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// A container in the list of containers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContainerRow {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) created_by: String,
    pub(crate) created_on: u64,
    pub(crate) mode: String,
}

/// A container and what it has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerInfo {
    pub(crate) name: String,
    pub(crate) parent_name: Option<String>,
    pub(crate) date: u64,
    pub(crate) user_id: String,
    pub(crate) bundle_name: Option<String>,
    pub(crate) associated_switches: usize,
    pub(crate) associated_configlets: usize,
    pub(crate) danz_enabled_switches: usize,
}

/// A container that was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerHit {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) root: bool,
    pub(crate) undefined: bool,
    pub(crate) mode: String,
    pub(crate) user_id: String,
    pub(crate) date_time_in_long_format: u64,
    pub(crate) factory_id: u32,
    pub(crate) id: u32,
}

/// Where a device that was found is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Whereabouts {
    pub(crate) container_key: String,
    pub(crate) container_name: String,
    pub(crate) net_element_key: String,
}

/// What a search of the topology finds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Found {
    pub(crate) total: usize,
    pub(crate) keyword_list: Vec<String>,
    pub(crate) container_list: Vec<ContainerHit>,
    pub(crate) net_element_list: Vec<Node>,
    pub(crate) net_element_container_list: Vec<Whereabouts>,
}

/// A container of the topology with what is in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Branch {
    pub(crate) key: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) mode: String,
    pub(crate) parent_container_id: Option<String>,
    pub(crate) child_container_count: usize,
    pub(crate) child_net_element_count: usize,
    pub(crate) child_task_count: usize,
    pub(crate) hierarchy_net_element_count: usize,
    pub(crate) device_status: Map<String, Value>,
    pub(crate) child_container_list: Vec<Branch>,
    pub(crate) child_net_element_list: Vec<Node>,
    pub(crate) temp_action: Vec<Value>,
    pub(crate) temp_event: Vec<Value>,
}

/// A configlet. Lists of them are long: nothing of what the portal knows is copied for them.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configlet<'a> {
    pub(crate) key: &'a str,
    pub(crate) name: &'a str,
    /// Lists of some versions have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<&'a str>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) user: &'a str,
    pub(crate) note: &'a str,
    pub(crate) reconciled: bool,
    pub(crate) container_count: usize,
    pub(crate) net_element_count: usize,
    pub(crate) date_time_in_long_format: u64,
    pub(crate) is_default: &'static str,
    pub(crate) is_auto_builder: &'static str,
    pub(crate) editable: bool,
    pub(crate) ssl_config: bool,
    pub(crate) visible: bool,
    pub(crate) is_draft: bool,
    pub(crate) type_studio_configlet: bool,
    pub(crate) factory_id: u32,
    pub(crate) id: u32,
}

/// A change of a configlet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConfigletEdit {
    pub(crate) configlet_id: String,
    pub(crate) old_user_id: String,
    pub(crate) new_user_id: String,
    pub(crate) old_config: String,
    pub(crate) new_config: String,
    pub(crate) old_date: String,
    pub(crate) new_date: String,
    pub(crate) old_date_time_in_long_format: u64,
    pub(crate) updated_date_time_in_long_format: u64,
    pub(crate) key: String,
    pub(crate) factory_id: u32,
    pub(crate) id: u32,
}

/// Name and text of a new configlet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NewConfiglet {
    pub(crate) name: String,
    pub(crate) config: String,
}

/// What a configlet is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigletUpdate {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) key: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) wait_for_task_ids: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reconciled: Option<bool>,
}

/// Key and name of something.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Named {
    pub(crate) key: String,
    pub(crate) name: String,
}

/// Who holds a configlet, and through whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Mapper {
    pub(crate) key: String,
    pub(crate) configlet_id: String,
    /// `netelement` or `container`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) object_id: String,
    /// The container it is inherited from; empty when it is assigned directly.
    pub(crate) container_id: String,
    pub(crate) configlet_type: String,
    pub(crate) applied_by: String,
    pub(crate) applied_date_in_long_format: u64,
    pub(crate) is_draft: bool,
    pub(crate) device_id: String,
}

/// A line of a comparison.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Block {
    pub(crate) command: String,
    pub(crate) row_id: usize,
    pub(crate) parent_row_id: usize,
    pub(crate) block_id: usize,
    pub(crate) code: String,
    pub(crate) should_reconcile: bool,
}

/// Lines that are new, differ, or only run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CompareCount {
    pub(crate) mismatch: u64,
    pub(crate) reconcile: u64,
    pub(crate) new: u64,
}

impl CompareCount {
    /// Whether nothing differs.
    pub(crate) fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// A change of the topology.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Action {
    #[serde(deserialize_with = "text")]
    pub(crate) info: String,
    pub(crate) action: String,
    pub(crate) node_type: String,
    #[serde(deserialize_with = "text")]
    pub(crate) node_id: String,
    #[serde(deserialize_with = "text")]
    pub(crate) node_name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) old_node_name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) to_id: String,
    #[serde(deserialize_with = "text")]
    pub(crate) to_name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) to_id_type: String,
    #[serde(deserialize_with = "text")]
    pub(crate) from_id: String,
    #[serde(deserialize_with = "text")]
    pub(crate) node_target_ip_address: String,
    pub(crate) configlet_list: Vec<String>,
    pub(crate) ignore_configlet_list: Vec<String>,
    pub(crate) configlet_builder_list: Vec<String>,
    pub(crate) ignore_configlet_builder_list: Vec<String>,
    #[serde(rename = "configCompareCount", skip_serializing_if = "Option::is_none")]
    pub(crate) compare_count: Option<CompareCount>,
}

/// What `saveTopology` takes besides nothing: actions of its own, as JSON in JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OwnActions {
    #[serde(rename = "NetworkRollbackTask")]
    pub(crate) network_rollback_task: bool,
    pub(crate) task_json: Option<String>,
}

/// A task.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Task {
    pub(crate) work_order_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) note: String,
    pub(crate) template_id: String,
    pub(crate) work_order_state: String,
    pub(crate) current_task_name: String,
    pub(crate) current_task_type: String,
    pub(crate) work_order_user_defined_status: String,
    pub(crate) task_status: String,
    pub(crate) task_status_before_cancel: String,
    pub(crate) created_by: String,
    pub(crate) created_on_in_long_format: u64,
    pub(crate) executed_by: String,
    pub(crate) executed_on_in_long_format: u64,
    pub(crate) completed_on_in_long_format: u64,
    pub(crate) cc_id: String,
    pub(crate) cc_id_v2: String,
    pub(crate) stage_id: String,
    pub(crate) new_parent_container_id: String,
    pub(crate) new_parent_container_name: String,
    pub(crate) dual_supervisor: bool,
    pub(crate) net_element_id: String,
    pub(crate) work_order_details: WorkOrderDetails,
    pub(crate) data: Map<String, Value>,
}

/// Which device a task is for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WorkOrderDetails {
    pub(crate) net_element_id: String,
    pub(crate) net_element_host_name: String,
    pub(crate) ip_address: String,
    pub(crate) serial_number: String,
    pub(crate) work_order_details_id: String,
    pub(crate) work_order_id: String,
}

/// A line of a log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LogRow {
    pub(crate) log_details: String,
    pub(crate) date_time_in_long_format: u64,
    pub(crate) user_name: String,
    pub(crate) object_name: String,
    pub(crate) work_order_id: String,
    pub(crate) key: String,
}

/// A line of the log of a change control.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AuditRow {
    pub(crate) activity: String,
    pub(crate) sub_object_name: String,
    pub(crate) date_time_in_long_format: u64,
    pub(crate) user_name: String,
    pub(crate) object_key: String,
    pub(crate) category: String,
}

/// A user, as it is written and read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct User {
    #[serde(deserialize_with = "text")]
    pub(crate) user_id: String,
    #[serde(deserialize_with = "text", skip_serializing)]
    pub(crate) password: String,
    #[serde(deserialize_with = "text")]
    pub(crate) first_name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) last_name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) email: String,
    #[serde(deserialize_with = "text")]
    pub(crate) contact_number: String,
    #[serde(deserialize_with = "text")]
    pub(crate) user_status: String,
    #[serde(deserialize_with = "text")]
    pub(crate) user_type: String,
    pub(crate) last_accessed: u64,
    #[serde(deserialize_with = "text")]
    pub(crate) current_status: String,
}

/// What is sent of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct UserWithRoles {
    pub(crate) roles: Vec<String>,
    pub(crate) user: User,
}

/// A role.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Role {
    #[serde(deserialize_with = "text")]
    pub(crate) key: String,
    pub(crate) name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) description: String,
    pub(crate) module_list: Vec<Value>,
    pub(crate) module_list_size: usize,
    #[serde(deserialize_with = "text")]
    pub(crate) created_by: String,
    pub(crate) created_on: u64,
}

/// Text; `null` is none, a number is its digits.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(serde::de::Error::custom(format!("{other} is no text"))),
    }
}

/// A list of ids, some of which are numbers.
pub(crate) fn ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<Value>::deserialize(from)?;
    list.into_iter().map(|id| text(id).map_err(serde::de::Error::custom)).collect()
}

/// Ids under the name `data`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Ids {
    #[serde(deserialize_with = "ids")]
    pub(crate) data: Vec<String>,
}
