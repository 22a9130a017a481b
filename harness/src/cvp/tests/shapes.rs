//! Bodies of the rarer resources in the forms that real portals of several versions send.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::{Came, Reply, Server, client, error, ok, portal};
use crate::cvp::{
    CvpError, Device, Login, SnapshotTemplate, Tag, TagAssignment, TagEdit, User, WorkspaceState,
};

const LIMIT: Duration = Duration::from_secs(20);

async fn server(version: &'static str, answer: impl Fn(&Came) -> Reply + Send + Sync + 'static) -> Server {
    Server::new(portal(version, answer)).await
}

fn device() -> Device {
    Device {
        mac: "aa:01".into(),
        serial: "SN1".into(),
        hostname: "sw1".into(),
        fqdn: "sw1.lab".into(),
        ip: "192.0.2.1".into(),
        ..Device::default()
    }
}

#[tokio::test]
async fn a_snapshot_is_put_together_from_what_telemetry_says() {
    let server = server("2021.3.0", |came| match came.path.as_str() {
        "/api/v1/rest/cvp/snapshots/status/SN1/snapshots/ids/t1" => ok(&json!({ "notifications": [
            { "timestamp": "1700000000000000000", "updates": {
                "t1": { "key": "t1", "value": { "Output": [
                    { "Command": "show version", "Result": "t1Output_0" }, { "Command": "show vlan", "Result": "t1Output_1" },
                ], "Status": 0 } },
                "ExecutionTime": { "key": "ExecutionTime", "value": 1_700_000_000_000_000_000_u64 },
                "t1Output_0_0": { "key": "t1Output_0_0", "value": "Arista " },
            }},
            { "timestamp": "1700000000000000001", "updates": {
                "t1Output_0_1": { "key": "t1Output_0_1", "value": "vEOS" },
                "t1Output_1_0": { "key": "t1Output_1_0", "value": { "vlans": 3 } },
            }},
        ]})),
        _ => ok(&json!({ "notifications": [] })),
    })
    .await;
    let client = client(&[&server]);
    let template = SnapshotTemplate { key: "t1".into(), name: "x".into() };
    let found = client.snapshot(&template, "SN1").await.unwrap().unwrap();
    assert_eq!(found.output("show version"), Some("Arista vEOS"));
    assert_eq!(found.output("show vlan"), Some(r#"{"vlans":3}"#));
    let at = found.at.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(at.as_secs(), 1_700_000_000);
    assert_eq!(client.snapshot(&template, "SN2").await.unwrap(), None);
}

#[tokio::test]
async fn a_template_whose_name_is_there_twice_has_to_be_named_by_its_key() {
    let server = server("2021.3.0", |came| match came.path.as_str() {
        "/web/snapshot/templates" => ok(&json!({ "total": 2, "templateKeys": [
            { "key": "t1", "name": "x", "default": false, "commandCount": 1 }, { "key": "t2", "name": "x" } ] })),
        _ => ok(&json!({ "name": "x", "commands": ["show version"], "deviceList": null, "frequency": 350 })),
    })
    .await;
    let client = client(&[&server]);
    let refused = client.snapshot_template("x").await.unwrap_err();
    assert!(matches!(&refused, CvpError::Ambiguous { which, .. } if which == &["t1", "t2"]), "{refused}");
    let two = client.snapshot_template("t2").await.unwrap();
    let plan = client.snapshot_plan(&two).await.unwrap();
    assert_eq!((plan.every, plan.devices), (Some(Duration::from_secs(350)), vec![]));
}

#[tokio::test]
async fn bundles_of_images_in_lists_and_look_ups_of_all_versions() {
    let server = server("2019.1.0", |came| match came.path.as_str() {
        "/web/image/getImages.do" => ok(&json!({ "total": 1, "data": [{
            "name": "EOS-4.20.7M.swi", "imageId": "EOS-4.20.7M.swi", "version": "4.20.7M", "isRebootRequired": "true",
            "imageBundleKeys": null, "swiVarient": "US", "swiMaxHwepoch": "1", "md5": "", "sha512": "ab" }] })),
        "/web/image/getImageBundles.do" => ok(&json!({ "total": 2, "data": [
            { "key": "imagebundle_1", "name": "a", "imageIds": ["EOS-4.20.7M.swi"], "isCertifiedImageBundle": "true",
              "appliedDevicesCount": 2, "appliedContainersCount": 0 },
            { "id": "imagebundle_2", "name": "b", "images": [{ "name": "EOS-4.20.7M.swi" }], "isCertifiedImage": "false" },
        ]})),
        "/web/image/getImageBundleByName.do" => error("172801", "Entity does not exist"),
        "/web/provisioning/getNetElementInfoById.do" => ok(&json!({ "bundleName": null, "imageBundleId": null })),
        _ => Reply::Body(404, String::new()),
    })
    .await;
    let client = client(&[&server]);
    let image = client.images().await.unwrap().remove(0);
    assert!(image.needs_reboot && image.bundles.is_empty(), "{image:?}");
    let bundles = client.image_bundles().await.unwrap();
    assert_eq!(
        (bundles[0].key.as_str(), bundles[0].is_certified, bundles[0].device_count),
        ("imagebundle_1", true, 2)
    );
    assert_eq!((bundles[1].key.as_str(), bundles[1].is_certified), ("imagebundle_2", false));
    assert_eq!(bundles[0].images, bundles[1].images);
    assert_eq!(client.image_bundle("c").await.unwrap(), None);
    assert_eq!(client.image_of_device(&device()).await.unwrap(), None);
}

/// A workspace whose request was answered like this.
fn workspace(state: &str, response: Value) -> impl Fn(&Came) -> Reply + Send + Sync + use<> {
    let request = std::sync::Mutex::new(String::new());
    let state = state.to_owned();
    move |came| match came.path.as_str() {
        "/api/resources/workspace/v1/WorkspaceConfig" => {
            came.body["requestParams"]["requestId"]
                .as_str()
                .unwrap()
                .clone_into(&mut request.lock().unwrap());
            ok(&json!({ "value": came.body, "time": "x" }))
        }
        "/api/resources/workspace/v1/Workspace" => {
            let mut responses = serde_json::Map::new();
            responses.insert(request.lock().unwrap().clone(), response.clone());
            ok(&json!({ "time": "x", "value": {
                "key": { "workspaceId": "w1" }, "createdAt": "x", "createdBy": "ada", "displayName": "racks", "state": state,
                "lastBuildId": "b", "needsBuild": false, "ccIds": { "values": ["cc1"] }, "responses": { "values": responses } } }))
        }
        _ => ok(&json!({ "time": "x", "value": { "key": { "workspaceId": "w1", "buildId": "b" },
            "state": "BUILD_STATE_FAIL", "error": "studio inputs are wrong" } })),
    }
}

#[rstest::rstest]
#[case("WORKSPACE_STATE_SUBMITTED", json!({ "status": "RESPONSE_STATUS_SUCCESS" }), Ok(&["cc1"][..]))]
#[case("WORKSPACE_STATE_PENDING", json!({ "status": "RESPONSE_STATUS_FAIL", "message": "inputs changed" }), Err("inputs changed"))]
#[case("WORKSPACE_STATE_CONFLICTS", json!({}), Err("Conflicts"))]
#[tokio::test]
async fn the_end_of_a_workspace_is_what_the_portal_makes_of_the_request(
    #[case] state: &str,
    #[case] response: Value,
    #[case] expected: Result<&[&str], &str>,
) {
    let server = server("2024.3.0", workspace(state, response)).await;
    let client = client(&[&server]);
    match (client.submit_workspace("w1", LIMIT).await, expected) {
        (Ok(over), Ok(changes)) => {
            assert_eq!(
                (over.state, over.change_controls),
                (WorkspaceState::Submitted, changes.iter().map(|&one| one.into()).collect::<Vec<String>>())
            );
        }
        (Err(error), Err(words)) => {
            assert!(error.to_string().starts_with("cannot submit the workspace w1: "), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
    assert_eq!(server.came("WorkspaceConfig")[0].body["request"], "REQUEST_SUBMIT");
    let failed = client.build_workspace("w1", LIMIT).await.unwrap_err().to_string();
    assert_eq!(failed, "cannot build the workspace w1: studio inputs are wrong");
    let late = client.abandon_workspace("w1", Duration::from_millis(300)).await;
    assert!(matches!(late, Err(CvpError::Late { .. } | CvpError::Failed { .. })), "{late:?}");
}

#[tokio::test]
async fn tags_of_workspaces_are_not_taken_for_merged_ones() {
    let server = server("2023.1.0", |came| {
        let row = |key: Value, more: Value| json!({ "result": { "value": { "key": key, "remove": more }, "time": "x", "type": "INITIAL" } });
        let kind = "ELEMENT_TYPE_DEVICE";
        let merged = row(json!({ "elementType": kind, "label": "rack", "value": "r1" }), json!(null));
        let own = row(json!({ "workspaceId": "w1", "elementType": kind, "label": "rack", "value": "r2", "deviceId": "SN1" }), json!(true));
        let other = row(json!({ "workspaceId": "w2", "elementType": kind, "label": "rack", "value": "r3" }), json!(false));
        assert_eq!(came.method, "POST");
        Reply::Body(200, format!("{merged}\n{own}\n{other}\n"))
    })
    .await;
    let client = client(&[&server]);
    assert_eq!(client.tags().await.unwrap(), [Tag::of_device("rack", "r1")]);
    let gone =
        TagAssignment { tag: Tag::of_device("rack", "r2"), device: "SN1".into(), interface: String::new() };
    let edits = client.tag_assignment_edits("w1").await.unwrap();
    assert_eq!(edits, [TagEdit { what: gone, is_removal: true }]);
    let filter = &server.came("TagAssignmentConfig/all")[0].body;
    assert_eq!(filter["partialEqFilter"][0]["key"]["workspaceId"], "w1");
}

#[tokio::test]
async fn a_user_that_was_made_although_no_answer_came_is_found() {
    let made = std::sync::Mutex::new(Value::Null);
    let server = server("2024.3.0", move |came| match came.path.as_str() {
        "/web/user/addUser.do" => {
            *made.lock().unwrap() = came.body.clone();
            Reply::Cut
        }
        // Some fields are null, and others are there that nobody needs.
        "/web/user/getUser.do" => {
            let made = made.lock().unwrap();
            ok(&json!({ "roles": made["roles"], "user": {
                "userId": "eve", "firstName": null, "email": "", "userStatus": "Enabled", "userType": "Local", "password": null,
                "currentStatus": "Offline", "lastAccessed": 0 } }))
        }
        _ => error("202889", "Invalid user"),
    })
    .await;
    let client = client(&[&server]);
    client.add_user(&User::new("eve", "network-admin"), "s3cret").await.unwrap();
    assert_eq!(server.came("addUser.do").len(), 1);
    let error = client.update_user(&User::new("bob", "x"), Some("s3cret")).await.unwrap_err();
    assert!(matches!(error, CvpError::NotFound { .. }) && !error.to_string().contains("s3cret"), "{error}");
    assert!(client.update_user(&User::new("bob", "x"), None).await.is_err());
    assert_eq!(server.came("updateUser.do")[1].body["user"].get("password"), None);
}

#[rstest::rstest]
#[case("2022.2.0", json!([{ "value": { "key": { "id": "7" }, "user": "ci", "valid_for": "60s", "token": "ey" }, "time": "x" }]))]
#[case("2024.3.0", json!({ "value": { "key": { "id": "7" }, "user": "ci", "validFor": "60s", "token": "ey" }, "time": "x" }))]
#[tokio::test]
async fn tokens_of_accounts_in_both_apis(#[case] version: &'static str, #[case] body: Value) {
    let server = server(version, move |_| ok(&body)).await;
    let made = client(&[&server]).add_account_token("ci", "", Duration::from_secs(60)).await.unwrap();
    assert_eq!((made.id.as_str(), made.login), ("7", Login::Token("ey".into())));
}

#[rstest::rstest]
#[case("2022.2.0", json!({ "data": "ey" }), Some("ey"))]
#[case("2024.3.0", json!({ "enrollmentToken": { "token": "ey", "groups": [] } }), Some("ey"))]
#[case("2025.1.0", json!([{ "enrollmentToken": { "token": "ey", "field_mask": null } }]), Some("ey"))]
#[case("2025.1.0", json!([]), None)]
#[tokio::test]
async fn tokens_to_enrol_with_in_all_forms(
    #[case] version: &'static str,
    #[case] body: Value,
    #[case] expected: Option<&str>,
) {
    let server = server(version, move |_| ok(&body)).await;
    let made = client(&[&server]).enrolment_token(&["*".into()], Duration::from_secs(86_400)).await;
    match expected {
        Some(token) => assert_eq!(made.unwrap().reveal(), token),
        None => assert!(made.unwrap_err().to_string().ends_with("there is no token in the portal's answer")),
    }
}

#[tokio::test]
async fn a_device_that_cannot_go_says_why() {
    let server = server("2022.1.0", |came| match came.method.as_str() {
        "POST" => ok(&json!({ "value": came.body, "time": "x" })),
        _ => ok(&json!({ "value": { "key": { "requestId": "x" }, "deviceId": "SN1",
            "status": "DECOMMISSIONING_STATUS_FAILURE", "statusMessage": "device not found" }, "time": "x" })),
    })
    .await;
    let error = client(&[&server]).decommission(&device(), LIMIT).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot decommission sw1: device not found");
    let sent = &server.came("DeviceDecommissioningConfig")[0].body;
    assert_eq!(sent["deviceId"], "SN1");
    assert_eq!(server.came("DeviceDecommissioning")[0].query["key.requestId"], sent["key"]["requestId"]);
}

#[tokio::test]
async fn reconciling_an_old_portal_that_does_not_tell_what_it_made() {
    let server = server("2018.1.4", |came| match came.path.as_str() {
        "/web/provisioning/getConfigletsByNetElementId.do" => {
            ok(&json!({ "total": 0, "configletList": [], "configletMapper": null }))
        }
        "/web/provisioning/v2/validateAndCompareConfiglets.do" => ok(&json!({
            "total": 2, "new": 0, "mismatch": 0, "reconcile": 2, "errors": "", "warnings": [], "isReconcileInvoked": false,
            "reconciledConfig": { "name": "RECONCILE_192.0.2.1", "config": "hostname sw1\nip routing\n", "reconciled": true },
        })),
        "/web/provisioning/updateReconcileConfiglet.do" => ok(&json!({ "data": "success" })),
        "/web/configlet/getConfigletByName.do" => ok(&json!({ "key": "k", "name": came.query["name"], "config": "hostname sw1\nip routing\n", "type": "Reconciled" })),
        _ => ok(&json!({ "data": { "status": "success", "taskIds": ["9"] } })),
    })
    .await;
    let made = client(&[&server]).reconcile(&device()).await.unwrap().unwrap();
    assert_eq!((made.configlet.name.as_str(), made.tasks.len()), ("RECONCILE_192.0.2.1", 1));
    let sent = &server.came("updateReconcileConfiglet.do")[0];
    assert_eq!((sent.query["netElementId"].as_str(), &sent.body["reconciled"]), ("aa:01", &json!(true)));
    assert_eq!(sent.body["config"], "hostname sw1\nip routing");
}

#[tokio::test]
async fn rows_that_a_search_finds() {
    let server = server("2021.2.0", |_| {
        ok(&json!({ "total": 2, "keywordList": [], "netElementContainerList": [],
            "netElementList": [{ "systemMacAddress": "aa:01", "key": "aa:01", "fqdn": "sw1.lab", "deviceStatus": "Registered",
                "parentContainerId": "c", "complianceCode": null, "serialNumber": "SN1", "ipAddress": "192.0.2.1", "hasZTR": false }],
            "containerList": [{ "key": "c", "name": "Rack 7", "root": false, "undefined": false, "dateTimeInLongFormat": 1 }] }))
    })
    .await;
    let found = client(&[&server]).search("7 +&").await.unwrap();
    assert_eq!((found.devices[0].container.as_str(), found.devices[0].status.as_str()), ("c", "Registered"));
    assert_eq!(found.containers[0].name, "Rack 7");
    // Before 2021.3 there is one version of it.
    assert_eq!(server.came("/web/provisioning/searchTopology.do")[0].query["queryParam"], "7 +&");
}
