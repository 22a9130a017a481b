//! What is where: each place with its methods, and the API levels that have it.

use std::ops::RangeInclusive;

use hyper::Method;
use serde_json::Value;

use super::{
    Answer, Cx, Request, account, ccapi, change, compliance, configlet, enrolment, held, image, inventory,
    legacy, provision, session, snapshot, tag, task, topology, user,
};
use crate::cvp::server::model::{About, Model, Refused};

/// A place.
pub(super) struct Route {
    pub(super) method: &'static Method,
    pub(super) path: &'static str,
    pub(super) about: About,
    levels: RangeInclusive<u8>,
    pub(super) handler: Handler,
}

type Handler = fn(&mut Cx<'_>) -> Result<Answer, Refused>;

const GET: &Method = &Method::GET;
const POST: &Method = &Method::POST;
const DELETE: &Method = &Method::DELETE;

/// All levels.
const ALL: RangeInclusive<u8> = 1..=u8::MAX;
/// From one level on.
const fn from(level: u8) -> RangeInclusive<u8> {
    level..=u8::MAX
}

const fn at_levels(
    method: &'static Method,
    path: &'static str,
    about: About,
    levels: RangeInclusive<u8>,
    handler: Handler,
) -> Route {
    Route { method, path, about, levels, handler }
}

const fn get(path: &'static str, about: About, handler: Handler) -> Route {
    at_levels(GET, path, about, ALL, handler)
}

const fn post(path: &'static str, about: About, handler: Handler) -> Route {
    at_levels(POST, path, about, ALL, handler)
}

use About::{Configlet, Image, Login, Node, Resource, Role, Snapshot, Task, User};

const CHANGE: &str = "/api/resources/changecontrol/v1/ChangeControl";
const CHANGES: &str = "/api/resources/changecontrol/v1/ChangeControl/all";
const CHANGE_CONFIG: &str = "/api/resources/changecontrol/v1/ChangeControlConfig";
const CHANGE_CONFIGS: &str = "/api/resources/changecontrol/v1/ChangeControlConfig/all";
const APPROVE: &str = "/api/resources/changecontrol/v1/ApproveConfig";
const APPROVES: &str = "/api/resources/changecontrol/v1/ApproveConfig/all";
const ACCOUNT: &str = "/api/resources/serviceaccount/v1/AccountConfig";
const ACCOUNTS: &str = "/api/resources/serviceaccount/v1/AccountConfig/all";
const WORKSPACE: &str = "/api/resources/workspace/v1/WorkspaceConfig";
const WORKSPACES: &str = "/api/resources/workspace/v1/WorkspaceConfig/all";
const BUILDS: &str = "/api/resources/workspace/v1/WorkspaceBuild/all";
const TEMPLATES: &str = "/snapshot/templates";
const DEVICES: &str = "/inventory/devices";

const ROUTES: &[Route] = &[
    post(session::LOGIN, Login, session::never),
    post(session::LOGOUT, Login, session::logout),
    get("/login/home.do", Login, session::home),
    get("/api/v1/rest/", Login, session::rest),
    get("/api/v1/rest", Login, session::rest),
    get("/cvpInfo/getCvpInfo.do", Login, session::version),
    get("/event/getEventById.do", Login, session::no_event),
    at_levels(GET, "/aaa/getServerById.do", User, from(2), session::no_server),
    at_levels(POST, "/aaa/saveAAADetails.do", User, from(2), session::no_details),
    // Inventory.
    at_levels(GET, DEVICES, Node, from(2), inventory::devices),
    at_levels(POST, DEVICES, Node, from(2), inventory::add),
    at_levels(DELETE, DEVICES, Node, from(2), inventory::remove_by_serial),
    at_levels(GET, "/inventory/device/config", Node, from(4), inventory::running),
    at_levels(GET, "/inventory/getInventoryConfiguration.do", Node, 1..=3, inventory::running),
    at_levels(GET, "/inventory/getInventory.do", Node, 1..=1, inventory::old_devices),
    at_levels(POST, "/inventory/deleteDevices.do", Node, 1..=3, inventory::remove_by_mac),
    at_levels(GET, "/inventory/containers", Node, from(2), inventory::containers),
    at_levels(GET, "/inventory/add/searchContainers.do", Node, 1..=1, inventory::old_containers),
    get("/provisioning/getNetElementInfoById.do", Node, inventory::element),
    get("/provisioning/getContainerInfoById.do", Node, inventory::container),
    get("/provisioning/searchTopology.do", Node, topology::search),
    at_levels(GET, "/provisioning/v3/searchTopology.do", Node, from(7), topology::search),
    get("/provisioning/filterTopology.do", Node, topology::filter),
    get("/provisioning/getAllNetElementList.do", Node, topology::below),
    post("/provisioning/checkCompliance.do", Node, compliance::check),
    at_levels(
        POST,
        "/api/resources/inventory/v1/DeviceDecommissioningConfig",
        Resource,
        from(7),
        inventory::decommission,
    ),
    at_levels(
        GET,
        "/api/resources/inventory/v1/DeviceDecommissioning",
        Resource,
        from(7),
        inventory::decommissioning,
    ),
    at_levels(
        GET,
        "/api/resources/inventory/v1/DeviceDecommissioning/all",
        Resource,
        from(7),
        inventory::decommissionings,
    ),
    at_levels(
        POST,
        "/api/resources/inventory/v1/DeviceDecommissioning/all",
        Resource,
        from(7),
        inventory::decommissionings,
    ),
    at_levels(POST, "/api/resources/admin.Enrollment/AddEnrollmentToken", Resource, from(14), enrolment::add),
    at_levels(POST, "/enroll/createToken", Resource, 6..=13, enrolment::old_add),
    // Configlets.
    post("/configlet/addConfiglet.do", Configlet, configlet::add),
    get("/configlet/getConfigletByName.do", Configlet, configlet::by_name),
    get("/configlet/getConfigletById.do", Configlet, configlet::by_id),
    post("/configlet/updateConfiglet.do", Configlet, configlet::update),
    post("/configlet/deleteConfiglet.do", Configlet, configlet::delete),
    get("/configlet/getConfiglets.do", Configlet, configlet::list),
    get("/configlet/searchConfiglets.do", Configlet, configlet::search),
    get("/configlet/getConfigletHistory.do", Configlet, configlet::history),
    post("/configlet/addNoteToConfiglet.do", Configlet, configlet::note),
    post("/configlet/addConfigletBuilder.do", Configlet, configlet::add_builder),
    post("/configlet/updateConfigletBuilder.do", Configlet, configlet::update_builder),
    get("/configlet/getConfigletBuilder.do", Configlet, configlet::builder),
    post("/configlet/validateConfig.do", Configlet, compliance::validate),
    get("/configlet/getAppliedDevices.do", Configlet, held::applied_devices),
    get("/configlet/getAppliedContainers.do", Configlet, held::applied_containers),
    get("/configlet/getConfigletsAndAssociatedMappers.do", Configlet, held::mappers),
    get("/provisioning/getConfigletsByNetElementId.do", Node, held::by_device),
    get("/provisioning/getConfigletsByContainerId.do", Node, held::by_container),
    get("/provisioning/getTempConfigsByNetElementId.do", Node, held::proposed),
    post("/provisioning/v2/validateAndCompareConfiglets.do", Node, compliance::compare),
    post("/provisioning/updateReconcileConfiglet.do", Node, configlet::reconcile),
    // Changes of the topology.
    post("/provisioning/addTempAction.do", Node, provision::add),
    post("/provisioning/v2/saveTopology.do", Node, provision::save),
    get("/provisioning/getAllTempActions.do", Node, provision::list),
    post("/provisioning/deleteAllTempAction.do", Node, provision::drop_all),
    at_levels(DELETE, "/provisioning/deleteAllTempAction.do", Node, ALL, provision::drop_all),
    // Tasks.
    get("/task/getTaskById.do", Task, task::by_id),
    get("/task/getTaskStatusById.do", Task, task::status),
    get("/task/getTasks.do", Task, task::list),
    post("/task/executeTask.do", Task, task::execute),
    post("/task/cancelTask.do", Task, task::cancel),
    post("/task/addNoteToTask.do", Task, task::note),
    get("/task/getLogsById.do", Task, task::log),
    at_levels(POST, "/audit/getLogs.do", Task, from(5), task::audit),
    at_levels(
        POST,
        "/api/v3/services/compliancecheck.Compliance/GetConfigDiffForTask",
        Resource,
        from(3),
        compliance::diff,
    ),
    at_levels(
        POST,
        "/api/v3/services/compliancecheck.Compliance/GetConfig",
        Resource,
        from(3),
        compliance::config,
    ),
    // Change controls, newest API first.
    at_levels(GET, CHANGE, Resource, from(6), change::one),
    at_levels(GET, CHANGES, Resource, from(6), change::all),
    at_levels(POST, CHANGES, Resource, from(6), change::all),
    at_levels(POST, CHANGE_CONFIG, Resource, from(6), change::set),
    at_levels(DELETE, CHANGE_CONFIG, Resource, from(6), change::delete),
    at_levels(GET, CHANGE_CONFIG, Resource, from(6), change::config),
    at_levels(GET, CHANGE_CONFIGS, Resource, from(6), change::configs),
    at_levels(POST, APPROVE, Resource, from(6), change::approve),
    at_levels(GET, APPROVE, Resource, from(6), change::approval),
    at_levels(GET, APPROVES, Resource, from(6), change::approvals),
    at_levels(POST, APPROVES, Resource, from(6), change::approvals),
    at_levels(POST, "/api/v3/services/ccapi.ChangeControl/Update", Resource, from(3), ccapi::update),
    at_levels(POST, "/api/v3/services/ccapi.ChangeControl/AddApproval", Resource, from(3), ccapi::approve),
    at_levels(
        POST,
        "/api/v3/services/ccapi.ChangeControl/DeleteApproval",
        Resource,
        from(3),
        ccapi::unapprove,
    ),
    at_levels(POST, "/api/v3/services/ccapi.ChangeControl/Start", Resource, from(3), ccapi::start),
    at_levels(POST, "/api/v3/services/ccapi.ChangeControl/Stop", Resource, from(3), ccapi::stop),
    at_levels(POST, "/api/v3/services/ccapi.ChangeControl/Delete", Resource, from(3), ccapi::delete),
    at_levels(POST, "/api/v3/services/ccapi.ChangeControl/GetStatus", Resource, from(3), ccapi::status),
    at_levels(POST, "/changeControl/addOrUpdateChangeControl.do", Resource, 1..=2, legacy::set),
    at_levels(GET, "/changeControl/getChangeControls.do", Resource, 1..=2, legacy::list),
    at_levels(GET, "/changeControl/getTasksByStatus.do", Resource, 1..=2, legacy::available),
    at_levels(GET, "/changeControl/getChangeControlInformation.do", Resource, 1..=2, legacy::one),
    at_levels(POST, "/changeControl/executeCC.do", Resource, 1..=2, legacy::execute),
    at_levels(POST, "/changeControl/cancelChangeControl.do", Resource, 1..=2, legacy::cancel),
    at_levels(POST, "/changeControl/deleteChangeControls.do", Resource, 1..=2, legacy::delete),
    at_levels(POST, "/changeControl/addNotesToChangeControl.do", Resource, 1..=2, legacy::note),
    // Snapshots.
    at_levels(POST, "/snapshot/templates/schedule", Snapshot, from(2), snapshot::add),
    at_levels(GET, TEMPLATES, Snapshot, from(2), snapshot::list),
    at_levels(DELETE, TEMPLATES, Snapshot, from(2), snapshot::delete),
    at_levels(GET, "/snapshot/template", Snapshot, from(2), snapshot::one),
    at_levels(GET, "/snapshot/getDefaultSnapshotTemplate.do", Snapshot, 1..=1, snapshot::default),
    at_levels(GET, "/snapshot/getSnapshots.do", Snapshot, 1..=1, snapshot::taken),
    at_levels(GET, super::request::SNAPSHOT, Snapshot, from(2), snapshot::last),
    // Users and roles.
    post("/user/addUser.do", User, user::add),
    post("/user/updateUser.do", User, user::update),
    get("/user/getUser.do", User, user::one),
    get("/user/getUsers.do", User, user::list),
    post("/user/deleteUsers.do", User, user::delete),
    get("/role/getRoles.do", Role, user::roles),
    get("/role/getRole.do", Role, user::role),
    post("/role/createRole.do", Role, user::add_role),
    post("/role/updateRole.do", Role, user::update_role),
    post("/role/deleteRoles.do", Role, user::delete_roles),
    // Accounts of programs.
    at_levels(GET, "/api/resources/serviceaccount/v1/Account", Resource, from(14), account::one),
    at_levels(GET, "/api/resources/serviceaccount/v1/Account/all", Resource, from(14), account::all),
    at_levels(POST, "/api/resources/serviceaccount/v1/Account/all", Resource, from(14), account::all),
    at_levels(GET, ACCOUNT, Resource, from(14), account::config),
    at_levels(GET, ACCOUNTS, Resource, from(14), account::configs),
    at_levels(POST, ACCOUNTS, Resource, from(14), account::configs),
    at_levels(POST, ACCOUNT, Resource, from(14), account::set),
    at_levels(DELETE, ACCOUNT, Resource, from(14), account::delete),
    at_levels(GET, "/api/resources/serviceaccount/v1/Token", Resource, from(14), account::token),
    at_levels(GET, "/api/resources/serviceaccount/v1/Token/all", Resource, from(14), account::tokens),
    at_levels(POST, "/api/resources/serviceaccount/v1/Token/all", Resource, from(14), account::tokens),
    at_levels(POST, "/api/resources/serviceaccount/v1/TokenConfig", Resource, from(14), account::add_token),
    at_levels(
        DELETE,
        "/api/resources/serviceaccount/v1/TokenConfig",
        Resource,
        from(14),
        account::delete_token,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.AccountService/GetAll",
        Resource,
        7..=13,
        account::old_all,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.AccountService/GetOne",
        Resource,
        7..=13,
        account::old_one,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.AccountConfigService/Set",
        Resource,
        7..=13,
        account::old_set,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.AccountConfigService/Delete",
        Resource,
        7..=13,
        account::old_delete,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.TokenService/GetAll",
        Resource,
        7..=13,
        account::old_tokens,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.TokenService/GetOne",
        Resource,
        7..=13,
        account::old_token,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.TokenConfigService/Set",
        Resource,
        7..=13,
        account::old_add_token,
    ),
    at_levels(
        POST,
        "/api/v3/services/arista.serviceaccount.v1.TokenConfigService/Delete",
        Resource,
        7..=13,
        account::old_delete_token,
    ),
    // Images.
    post("/image/addImage.do", Image, image::upload),
    post("/softwaremanagement/v1/uploads", Image, image::upload),
    post("/image/cancelImages.do", Image, image::cancel),
    get("/image/getImages.do", Image, image::list),
    get("/image/getImageBundles.do", Image, image::bundles),
    get("/image/getImageBundleByName.do", Image, image::bundle),
    post("/image/saveImageBundle.do", Image, image::save_bundle),
    post("/image/updateImageBundle.do", Image, image::update_bundle),
    post("/image/deleteImageBundles.do", Image, image::delete_bundles),
    get("/provisioning/getImageBundleByContainerId.do", Image, image::of_container),
    // Tags and workspaces.
    at_levels(POST, "/api/resources/tag/v2/Tag/all", Resource, from(6), tag::tags),
    at_levels(GET, "/api/resources/tag/v2/Tag/all", Resource, from(6), tag::tags),
    at_levels(POST, "/api/resources/tag/v2/TagConfig", Resource, from(6), tag::set),
    at_levels(POST, "/api/resources/tag/v2/TagConfig/all", Resource, from(6), tag::edits),
    at_levels(POST, "/api/resources/tag/v2/TagAssignmentConfig", Resource, from(6), tag::assign),
    at_levels(
        POST,
        "/api/resources/tag/v2/TagAssignmentConfig/all",
        Resource,
        from(6),
        tag::assignment_edits,
    ),
    at_levels(POST, "/api/resources/tag/v2/TagAssignment/all", Resource, from(6), tag::assignments),
    at_levels(GET, "/api/resources/workspace/v1/Workspace", Resource, from(6), tag::workspace),
    at_levels(GET, "/api/resources/workspace/v1/Workspace/all", Resource, from(6), tag::workspaces),
    at_levels(POST, "/api/resources/workspace/v1/Workspace/all", Resource, from(6), tag::workspaces),
    at_levels(POST, WORKSPACE, Resource, from(6), tag::set_workspace),
    at_levels(GET, WORKSPACE, Resource, from(6), tag::workspace_config),
    at_levels(GET, WORKSPACES, Resource, from(6), tag::workspace_configs),
    at_levels(POST, WORKSPACES, Resource, from(6), tag::workspace_configs),
    at_levels(GET, BUILDS, Resource, from(6), tag::builds),
    at_levels(POST, BUILDS, Resource, from(6), tag::builds),
    at_levels(GET, "/api/resources/workspace/v1/WorkspaceBuild", Resource, from(6), tag::build),
];

/// What is at a place for those of a level, one for each method.
pub(super) fn at(path: &str, level: u8) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| route.path == path && route.levels.contains(&level))
}

/// Asked with a body, and yet only looking.
const LOOKS: &[&str] = &[
    session::LOGOUT,
    "/provisioning/checkCompliance.do",
    "/configlet/validateConfig.do",
    "/provisioning/v2/validateAndCompareConfiglets.do",
    "/audit/getLogs.do",
];

/// Whether something is changed there.
pub(super) fn writes(route: &Route) -> bool {
    let looks = LOOKS.contains(&route.path)
        || route.path.ends_with("/all")
        || route.path.contains("/Get")
        || route.path.contains("compliancecheck.Compliance");
    route.method != GET && !looks
}

/// The devices whose running configuration an answer tells about, by their MAC addresses.
pub(in crate::cvp::server) fn devices_read(model: &Model, request: &Request) -> Vec<String> {
    let asked = |name: &str| {
        let body = request.json().ok()?;
        body.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let key = match request.path.as_str() {
        "/inventory/device/config" | "/inventory/getInventoryConfiguration.do" => {
            request.query("netElementId").map(str::to_owned)
        }
        "/provisioning/checkCompliance.do" => asked("nodeId"),
        "/provisioning/v2/validateAndCompareConfiglets.do" => asked("netElementId"),
        "/api/v3/services/compliancecheck.Compliance/GetConfigDiffForTask" => {
            asked("task_id").and_then(|id| model.task(&id).ok()).map(|task| task.device.clone())
        }
        _ => None,
    };
    let Some(key) = key else { return vec![] };
    match model.device(&key) {
        Ok(device) => vec![device.mac.clone()],
        Err(_) => model.provisioned_below(&key),
    }
}
