//! Bodies in the forms that real portals of several versions send, so that our portal and our client cannot agree on the same
//! mistake.

use std::time::Duration;

use serde_json::json;

use super::rig::{Came, Reply, Server, client, error, ok, portal};
use crate::cvp::{
    Change, ChangeStatus, Configlet, ConfigletKind, Container, CvpError, Device, Legacy, Stage, TaskId,
    TaskState,
};

fn ids(ids: &[&str]) -> Vec<TaskId> {
    ids.iter().map(|id| TaskId((*id).to_owned())).collect()
}

#[tokio::test]
async fn the_inventory_of_2018_1_is_wrapped_and_names_its_fields_otherwise() {
    let server = Server::new(portal("2018.1.4", |came| match came.path.as_str() {
        "/web/inventory/getInventory.do" => ok(&json!({
            "total": 1,
            "containerList": { "44:4c:a8:00:00:01": "Leafs" },
            "netElementList": [{
                "ipAddress": "192.0.2.11", "modelName": "DCS-7050SX-64", "internalVersion": "4.20.1F", "systemMacAddress": "44:4c:a8:00:00:01",
                "serialNumber": "JPE00000001", "memTotal": 0, "bootupTimeStamp": 1_512_000_000.0, "version": "4.20.1F",
                "fqdn": "leaf1.lab.example", "hostname": "leaf1", "key": "44:4c:a8:00:00:01", "deviceStatus": "Registered",
                "parentContainerId": "container_5_86", "complianceCode": "0001", "complianceIndication": "WARNING",
                "type": "netelement", "tempAction": null, "dcaKey": null, "isMLAGEnabled": false, "ztpMode": "false", "unAuthorized": false,
            }],
        })),
        _ => Reply::Body(404, String::new()),
    }))
    .await;
    let devices = client(&[&server]).devices().await.unwrap();
    let device = &devices[0];
    assert_eq!(
        [&device.mac, &device.container, &device.status, &device.compliance.0, &device.hostname],
        ["44:4c:a8:00:00:01", "container_5_86", "Registered", "0001", "leaf1"]
    );
    assert_eq!(device.compliance.to_string(), "the configuration is out of sync");
}

#[tokio::test]
async fn the_inventory_of_2024_is_a_bare_list_and_has_fields_that_are_null() {
    let server = Server::new(portal("2024.3.0", |came| match came.path.as_str() {
        "/web/inventory/devices" => ok(&json!([{
            "modelName": "vEOS", "internalVersion": "4.32.1F", "systemMacAddress": "52:54:00:aa:00:01", "serialNumber": "SN01",
            "domainName": "lab.example", "hostname": "leaf1", "fqdn": "leaf1.lab.example", "ipAddress": "192.0.2.21", "version": "4.32.1F",
            "deviceType": "eos", "architecture": "i686", "parentContainerKey": "container_0b1", "status": "Registered", "mlagEnabled": false,
            "danzEnabled": false, "ztpMode": false, "complianceCode": "0000", "complianceIndication": "", "streamingStatus": "active",
            "bootupTimestamp": 1_700_000_000.25, "internalBuild": "abc",
        }, {
            "systemMacAddress": "52:54:00:aa:00:02", "hostname": null, "fqdn": null, "ipAddress": null, "status": "", "parentContainerKey": "",
            "complianceCode": null,
        }])),
        "/web/provisioning/filterTopology.do" => ok(&json!({ "type": "topology", "topology": {
            "key": "root", "name": "Site A", "type": "container", "parentContainerId": null, "childNetElementList": [],
            "childContainerList": [
                { "key": "undefined_container", "name": "Undefined", "childContainerList": [], "childNetElementList": null },
                { "key": "container_0b1", "name": "Leafs", "childContainerList": null },
            ],
        }})),
        _ => Reply::Body(404, String::new()),
    }))
    .await;
    let inventory = client(&[&server]).inventory().await.unwrap();
    assert_eq!(inventory.device("leaf1").unwrap().streaming, "active");
    assert_eq!(inventory.devices[1].name(), "52:54:00:aa:00:02");
    assert_eq!(inventory.container("Site A").unwrap().key, "root");
    assert_eq!(inventory.container("Leafs").unwrap().parent.as_deref(), Some("root"));
    assert_eq!(inventory.below("root").count(), 1);
    // Two questions, however many containers there are, and one for the version.
    assert_eq!(server.came("").len(), 4);
}

#[tokio::test]
async fn lists_of_2019_have_no_texts() {
    let server = Server::new(portal("2019.1.0", |came| match came.path.as_str() {
        "/web/configlet/getConfiglets.do" => ok(&json!({ "total": 2, "data": [
            { "key": "configlet_1_1", "name": "ntp", "type": "Static", "user": "ada", "note": "", "reconciled": false, "containerCount": 0,
              "netElementCount": 1, "dateTimeInLongFormat": 1_553_000_000_000_i64, "isDefault": "no", "isAutoBuilder": "", "editable": true },
            { "key": "configlet_1_2", "name": "old", "type": "Builder" },
        ]})),
        "/web/configlet/getConfigletByName.do" if came.query["name"] == "ntp" => {
            ok(&json!({ "key": "configlet_1_1", "name": "ntp", "config": "ntp server 192.0.2.1\n", "type": "Static" }))
        }
        // It went away meanwhile.
        _ => error("132801", "Entity does not exist"),
    }))
    .await;
    let all = client(&[&server]).configlets().await.unwrap();
    assert_eq!((all[0].text.as_str(), &all[1].kind), ("ntp server 192.0.2.1\n", &ConfigletKind::Builder));
}

#[rstest::rstest]
#[case::with_ids(json!({ "data": "Configlet ntp successfully updated and task initiated.", "taskIds": ["17", "18"] }), &["17", "18"])]
#[case::with_numbers(json!({ "data": "Configlet is successfully updated", "taskIds": [17] }), &["17"])]
#[case::without(json!({ "data": "Configlet is successfully updated" }), &[])]
#[case::with_nothing(json!({ "data": "Configlet is successfully updated", "taskIds": null }), &[])]
#[tokio::test]
async fn an_update_names_its_tasks_if_there_are_any(
    #[case] body: serde_json::Value,
    #[case] expected: &[&str],
) {
    let server = Server::new(portal("2024.3.0", move |_| ok(&body))).await;
    let tasks = client(&[&server]).update_configlet("k", "ntp", "ntp server 192.0.2.2").await.unwrap();
    assert_eq!(tasks, ids(expected));
    let came = &server.came("updateConfiglet.do")[0];
    assert_eq!(came.body["waitForTaskIds"], true);
}

fn configlet(key: &str, kind: ConfigletKind) -> Configlet {
    let (key, name) = (key.to_owned(), format!("name of {key}"));
    Configlet {
        key,
        name,
        kind,
        text: String::new(),
        user: String::new(),
        note: String::new(),
        container_count: 0,
        device_count: 0,
        changed: None,
    }
}

#[tokio::test]
async fn assigning_keeps_what_is_there_in_order_without_what_is_inherited_and_saves_in_one_step() {
    let server = Server::new(portal("2024.3.0", |came| match came.path.as_str() {
        "/web/provisioning/getConfigletsByNetElementId.do" => ok(&json!({
            "total": 3,
            "configletList": [
                { "key": "above", "name": "a", "type": "Static" }, { "key": "own", "name": "o", "type": "Static" },
                { "key": "rest", "name": "r", "type": "Reconciled" },
            ],
            "configletMapper": {
                "above": { "id": "root", "name": "Tenant", "type": "container" },
                "own": { "id": "aa:01", "name": "sw1", "type": "netelement" },
                "rest": { "id": "aa:01", "name": "sw1", "type": "netelement" },
            },
        })),
        _ => ok(&json!({ "data": { "status": "success", "taskIds": ["44"] } })),
    }))
    .await;
    let client = client(&[&server]);
    let device =
        Device { mac: "aa:01".into(), fqdn: "sw1.lab".into(), ip: "192.0.2.1".into(), ..Device::default() };
    let new = [configlet("new", ConfigletKind::Static), configlet("above", ConfigletKind::Static)];
    assert_eq!(client.put_on_device(&device, &new).await.unwrap(), ids(&["44"]));
    let saved = server.came("saveTopology.do").pop().unwrap();
    let actions: serde_json::Value =
        serde_json::from_str(saved.body[0]["taskJson"].as_str().unwrap()).unwrap();
    assert_eq!(actions[0]["configletList"], json!(["own", "new", "rest"]));
    assert_eq!((&actions[0]["toId"], &actions[0]["nodeIpAddress"]), (&json!("aa:01"), &json!("192.0.2.1")));
    assert_eq!(server.came("addTempAction.do").len(), 0);

    assert_eq!(client.put_on_device(&device, &new[1..]).await.unwrap(), []);
    let own = [configlet("own", ConfigletKind::Static)];
    client.take_off_device(&device, &own).await.unwrap();
    let saved = server.came("saveTopology.do").pop().unwrap();
    let actions: serde_json::Value =
        serde_json::from_str(saved.body[0]["taskJson"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&actions[0]["configletList"], &actions[0]["ignoreConfigletList"]),
        (&json!(["rest"]), &json!(["own"]))
    );
    assert_eq!(server.came("saveTopology.do").len(), 2);
}

#[tokio::test]
async fn a_configlet_in_use_is_not_deleted_and_the_holders_are_named_whatever_the_portal_says() {
    let server = Server::new(portal("2024.3.0", |came| match came.path.as_str() {
        // As some versions do, which delete nothing all the same.
        "/web/configlet/deleteConfiglet.do" => ok(&json!({ "data": "success" })),
        "/web/configlet/getConfigletByName.do" => ok(&json!({ "key": "k", "name": "ntp", "config": "" })),
        "/web/configlet/getAppliedDevices.do" => {
            ok(&json!({ "total": 1, "data": [{ "hostName": "sw1", "containerName": "Leafs" }] }))
        }
        _ => ok(&json!({ "total": 0, "data": [] })),
    }))
    .await;
    let one = Configlet { name: "ntp".into(), ..configlet("k", ConfigletKind::Static) };
    let error = client(&[&server]).delete_configlets(&[one]).await.unwrap_err();
    assert_eq!(error.to_string(), "the configlet `ntp` is in use by sw1");
}

/// Pending, running, over: one step with each look.
fn task_that_ends(end: &'static str) -> impl Fn(&Came) -> Reply + Send + Sync {
    let looks = std::sync::atomic::AtomicUsize::new(0);
    move |came| match came.path.as_str() {
        "/web/task/getTaskById.do" => {
            let look = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let word = ["Pending", "Configlet Push In Progress", end].get(look).copied().unwrap_or(end);
            let status = match word {
                "Completed" => "COMPLETED",
                "Failed" => "FAILED",
                _ => "ACTIVE",
            };
            ok(&json!({
                "workOrderId": "7", "workOrderUserDefinedStatus": word, "taskStatus": status, "workOrderState": "ACTIVE", "description": "x",
                "note": "", "ccIdV2": "", "workOrderDetails": { "netElementId": "aa:01", "netElementHostName": "sw1" },
            }))
        }
        "/web/task/getLogsById.do" => ok(&json!({ "total": 2, "data": [
            { "logDetails": "line 3 was refused: % Invalid input", "dateTimeInLongFormat": 2000, "userName": "ada" },
            { "logDetails": "pushing", "dateTimeInLongFormat": 1000, "userName": "ada" },
        ]})),
        _ => ok(&json!({ "data": "Task execution triggered successfully" })),
    }
}

#[tokio::test]
async fn a_task_is_watched_to_its_end() {
    let server = Server::new(portal("2024.3.0", task_that_ends("Completed"))).await;
    let mut seen = Vec::new();
    let tasks = client(&[&server])
        .run_tasks(&ids(&["7"]), Duration::from_secs(20), |task| seen.push(task.state.clone()))
        .await
        .unwrap();
    assert!(tasks[0].succeeded());
    let running = TaskState::Running("Configlet Push In Progress".into());
    assert_eq!(seen, [TaskState::Pending, running, TaskState::Completed]);
}

#[tokio::test]
async fn a_task_that_fails_says_why_and_one_that_does_not_end_what_was_seen_last() {
    let server = Server::new(portal("2024.3.0", task_that_ends("Failed"))).await;
    let error =
        client(&[&server]).run_tasks(&ids(&["7"]), Duration::from_secs(20), |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "task 7 on sw1 failed: line 3 was refused: % Invalid input");

    let server = Server::new(portal("2024.3.0", task_that_ends("Pending"))).await;
    let error = client(&[&server])
        .wait_for_tasks(&ids(&["7"]), Duration::from_millis(500), |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the task 7 did not end within 0.5 s; last seen: task 7 pending");
}

#[tokio::test]
async fn change_controls_of_the_resource_api() {
    let server = Server::new(portal("2022.1.0", |came| match (came.method.as_str(), came.path.as_str()) {
        ("GET", "/api/resources/changecontrol/v1/ChangeControl") if came.query["key.id"] == "c1" => ok(&json!({
            "time": "2026-11-20T10:00:00.5Z",
            "value": {
                "key": { "id": "c1" }, "status": "CHANGE_CONTROL_STATUS_COMPLETED", "error": "stage stage0: task 17 failed",
                "approve": { "value": true, "notes": "", "time": "x" },
                "change": { "name": "window", "time": "2026-11-20T09:00:00.123456789Z", "rootStageId": "root", "stages": { "values": {
                    "root": { "name": "root", "rows": { "values": [{ "values": ["stage0"] }] }, "status": "STAGE_STATUS_COMPLETED", "error": "stage stage0: task 17 failed" },
                    "stage0": { "name": "task 17", "action": { "name": "task", "timeout": 3000, "args": { "values": { "TaskID": "17" } } },
                        "status": "STAGE_STATUS_COMPLETED", "error": "task 17 failed" },
                }}},
            },
        })),
        ("GET", "/web/snapshot/templates") => ok(&json!({ "total": 1, "templateKeys": [{ "key": "t", "name": "pre" }] })),
        ("GET", "/api/resources/changecontrol/v1/ChangeControl") => Reply::Body(404, r#"{"code":5,"message":"resource not found"}"#.into()),
        ("GET", _) => Reply::Body(200, "{\"result\":{\"value\":{\"key\":{\"id\":\"a\"}},\"type\":\"INITIAL\"}}\n{\"result\":{\"value\":{\"key\":{\"id\":\"b\"},\"status\":\"CHANGE_CONTROL_STATUS_RUNNING\"}}}".into()),
        (_, "/api/v3/services/compliancecheck.Compliance/GetConfigDiffForTask") => ok(&json!([{ "sources": {} }, { "diff": { "entries": [] } }])),
        _ => ok(&json!({ "value": came.body, "time": "x" })),
    }))
    .await;
    let client = client(&[&server]);
    let change = Change::new("window")
        .series(ids(&["17"]))
        .parallel(ids(&["18", "19"]))
        .snapshots("pre", &["SN1".into()]);
    assert_eq!(client.create_change(&change).await.unwrap(), change.id);
    let sent = &server.came("ChangeControlConfig")[0].body["change"];
    assert_eq!(sent["rootStageId"], "root");
    let rows = &sent["stages"]["values"]["root"]["rows"]["values"];
    assert_eq!(
        rows,
        &json!([{ "values": ["stage0"] }, { "values": ["stage1"] }, { "values": ["stage2", "stage3"] }, { "values": ["stage4"] }])
    );
    assert_eq!(sent["stages"]["values"]["stage1"]["action"]["args"]["values"], json!({ "TaskID": "17" }));
    assert_eq!(
        sent["stages"]["values"]["stage0"]["action"]["args"]["values"],
        json!({ "DeviceID": "SN1", "TemplateID": "t" })
    );

    client.approve_change("c1", "fine").await.unwrap();
    // The approval names exactly what was read.
    assert_eq!(server.came("ApproveConfig")[0].body["version"], "2026-11-20T09:00:00.123456789Z");
    let error =
        client.wait_for_change("c1", Duration::from_secs(5), |_| {}).await.unwrap().outcome().unwrap_err();
    assert!(error.to_string().starts_with("the change control `window` failed: "), "{error}");
    assert!(error.to_string().contains("stage task 17 (task 17): task 17 failed"), "{error}");
    assert_eq!(client.change("zz").await.unwrap(), None);
    let all = client.changes().await.unwrap();
    assert_eq!(
        all.iter().map(|one| one.status).collect::<Vec<_>>(),
        [ChangeStatus::NotStarted, ChangeStatus::Running]
    );
}

#[tokio::test]
async fn what_a_device_would_refuse_is_not_approved() {
    let server = Server::new(portal("2024.3.0", |came| match came.path.as_str() {
        "/api/resources/changecontrol/v1/ChangeControl" => ok(&json!({ "value": {
            "key": { "id": "c1" }, "change": { "name": "w", "time": "t", "stages": { "values": { "s": {
                "name": "push", "action": { "name": "task", "args": { "values": { "TaskID": "17" } } } } } } } } })),
        _ => ok(&json!([{ "error": { "error_code": "DEVICEERROR", "error_msg": "% Invalid input", "line_num": 3, "configlet_name": "ntp" } }])),
    }))
    .await;
    let error = client(&[&server]).approve_change("c1", "").await.unwrap_err();
    assert_eq!(error.to_string(), "task 17 on push would fail: % Invalid input");
    assert_eq!(server.came("ApproveConfig").len(), 0);
}

#[tokio::test]
async fn change_controls_of_the_service_api() {
    let server = Server::new(portal("2020.2.0", |came| match came.path.rsplit('/').next() {
        Some("GetStatus") => ok(&json!([{ "status": { "id": "c1", "state": "Completed", "error": "",
            "stages": { "stage0": { "state": "Completed", "error": "" } } } }])),
        Some("Update") => ok(&json!([{ "id": "c1", "update_timestamp": "x" }])),
        _ => ok(&json!([{}])),
    }))
    .await;
    let client = client(&[&server]);
    let change = Change { id: "c1".into(), ..Change::new("window").series(ids(&["17", "18"])) };
    client.create_change(&change).await.unwrap();
    let sent = &server.came("ccapi.ChangeControl/Update")[0].body["config"];
    assert_eq!(
        sent["root_stage"]["stage_row"][1]["stage"][0],
        json!({ "id": "stage1", "action": { "name": "task", "args": { "TaskID": "18" } } })
    );
    client.run_change("c1", Duration::from_secs(5), |_| {}).await.unwrap();
    assert_eq!((server.came("AddApproval").len(), server.came("Start").len()), (1, 1));
    assert!(matches!(client.changes().await, Err(CvpError::NotInThisVersion { .. })));
}

#[tokio::test]
async fn change_controls_of_the_legacy_api() {
    let server = Server::new(portal("2018.1.4", |came| match came.path.rsplit('/').next() {
        Some("addOrUpdateChangeControl.do") => ok(&json!({ "data": "success", "ccId": "12" })),
        Some("getChangeControlInformation.do") if came.query["ccId"] == "12" => ok(&json!({
            "ccId": "12", "ccName": "window", "status": "Failed", "stopOnError": true, "dateTime": "",
            "changeControlTasks": { "total": 2, "data": [
                { "workOrderId": "17", "taskOrder": 1, "netElementHostName": "sw1", "workOrderUserDefinedStatus": "Completed" },
                { "workOrderId": "18", "taskOrder": 2, "netElementHostName": "sw2", "workOrderUserDefinedStatus": "Failed", "note": "unreachable" },
            ]},
        })),
        Some("getChangeControlInformation.do") => error("132532", "Failure -  No data found."),
        _ => ok(&json!({ "data": "success" })),
    }))
    .await;
    let client = client(&[&server]);
    let legacy = Legacy {
        country: "France".into(),
        time_zone: "Europe/Paris".into(),
        at: "2031-05-04 03:30".into(),
        ..Legacy::default()
    };
    let change = Change {
        legacy,
        ..Change::new("window").series(ids(&["17", "18"])).snapshots("t1", &["SN1".into()])
    };
    assert_eq!(client.create_change(&change).await.unwrap(), "12");
    let sent = &server.came("addOrUpdateChangeControl.do")[0].body;
    assert_eq!(
        [
            &sent["timeZone"],
            &sent["countryId"],
            &sent["dateTime"],
            &sent["type"],
            &sent["stopOnError"],
            &sent["snapshotTemplateKey"]
        ],
        ["Europe/Paris", "France", "2031-05-04 03:30", "Custom", "true", "t1"]
    );
    assert_eq!(
        sent["changeControlTasks"],
        json!([
            { "taskId": "17", "taskOrder": 1, "snapshotTemplateKey": "t1", "clonedCcId": "" },
            { "taskId": "18", "taskOrder": 2, "snapshotTemplateKey": "t1", "clonedCcId": "" },
        ])
    );
    let error = client.run_change("12", Duration::from_secs(5), |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "the change control `window` failed: stage sw2 (task 18): unreachable");
    assert_eq!(server.came("executeCC.do")[0].body, json!({ "ccIds": [{ "ccId": "12" }] }));
    assert_eq!(client.change("13").await.unwrap(), None);

    let odd = Change::new("x").row([Stage::Action { action: "mlaghealthcheck".into(), args: [].into() }]);
    assert!(matches!(client.create_change(&odd).await, Err(CvpError::NotInThisVersion { .. })));
}

#[tokio::test]
async fn a_container_with_something_in_it_is_not_removed() {
    let server = Server::new(portal("2024.3.0", |came| match came.path.as_str() {
        "/web/inventory/devices" => {
            ok(&json!([{ "systemMacAddress": "aa:01", "hostname": "sw1", "parentContainerKey": "c" }]))
        }
        "/web/provisioning/filterTopology.do" => ok(&json!({ "topology": { "key": "root", "name": "Tenant",
            "childContainerList": [{ "key": "c", "name": "Rack 7" }] } })),
        _ => ok(&json!({ "data": { "status": "success", "taskIds": [] } })),
    }))
    .await;
    let rack = Container { key: "c".into(), name: "Rack 7".into(), parent: Some("root".into()) };
    let error = client(&[&server]).delete_container(&rack).await.unwrap_err();
    assert_eq!(error.to_string(), "the container `Rack 7` is in use by sw1");
    assert_eq!(server.came("saveTopology.do").len(), 0);
}
