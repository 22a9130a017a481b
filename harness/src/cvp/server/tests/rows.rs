//! Places that no client of ours asks, and what is refused after a part of it was good.

use super::*;

const CHANGES: &str = "/api/resources/changecontrol/v1/";

async fn imitating(version: &str) -> Ground {
    ground(PortalSpec { imitate: Some(version.parse().unwrap()), ..PortalSpec::default() }).await
}

/// Waits until it is so.
async fn until(so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it never came to that");
}

/// A change control of one task.
fn change(id: &str, task: &str) -> Value {
    json!({"key": {"id": id}, "change": {"name": id, "rootStageId": "r", "stages": {"values": {
        "r": {"name": "r", "rows": {"values": [{"values": ["s"]}]}},
        "s": {"name": "push", "action": {"name": "task", "timeout": 3000, "args": {"values": {"TaskID": task}}}},
    }}}})
}

#[rstest::rstest]
#[case("/login/home.do", "", "data")]
#[case(
    "/ztp/getAllNetElementList.do?nodeId=root&startIndex=0&endIndex=0",
    "/netElementList/0",
    "fqdn key deviceStatus"
)]
#[case("/task/getTaskStatusById.do?taskId=1", "", "taskStatus")]
#[case("/workflow/getTasks.do?queryparam=pending", "/data/0", "workOrderId")]
#[case(
    "/configlet/getAppliedContainers.do?configletName=a&startIndex=0&endIndex=0",
    "/data/0",
    "containerName hostName ipAddress appliedBy appliedDate totalDevicesCount"
)]
#[case("/image/v2/getImageBundles.do?startIndex=0&endIndex=0", "", "total data")]
#[tokio::test]
async fn answers_have_what_other_clients_read(#[case] path: &str, #[case] at: &str, #[case] keys: &str) {
    let ground = ground(PortalSpec::default()).await;
    let key = ground.configlet("a", "vlan 1\n").await;
    let action = json!({"action": "associate", "nodeType": "configlet", "toId": "root", "toIdType": "container",
        "configletList": [key], "info": "test"});
    let task_json = json!([action]).to_string();
    let saved = json!([{"NetworkRollbackTask": false, "taskJson": task_json}]);
    ground.post("/web/provisioning/v2/saveTopology.do", saved).await;
    has(&ground.get(&format!("/web{path}")).await, at, keys);
}

#[rstest::rstest]
#[case(
    "/inventory/getInventory.do?queryparam=leaf&startIndex=0&endIndex=0",
    "/netElementList/0",
    "key fqdn deviceStatus parentContainerId"
)]
#[case(
    "/inventory/getInventory.do?queryparam=&startIndex=0&endIndex=0",
    "/containerList",
    "00:1c:73:00:00:01"
)]
#[case(
    "/inventory/add/searchContainers.do?startIndex=0&endIndex=0",
    "/data/0",
    "key name parentId parentName"
)]
#[case("/inventory/getInventoryConfiguration.do?netElementId=00:1c:73:00:00:01", "", "output warnings")]
#[case(
    "/snapshot/getDefaultSnapshotTemplate.do?startIndex=0&endIndex=0",
    "",
    "key name default isDefault commandCount createdBy ccTasksTagged note snapshotCount totalSnapshotCount createdTimestamp"
)]
#[case("/snapshot/getSnapshots.do", "", "total data")]
#[tokio::test]
async fn answers_of_the_oldest_have_what_its_clients_read(
    #[case] path: &str,
    #[case] at: &str,
    #[case] keys: &str,
) {
    has(&imitating("2018.1.4").await.get(&format!("/web{path}")).await, at, keys);
}

#[rstest::rstest]
#[case::now("2024.3.0")]
#[case::old("2018.2.0")]
#[tokio::test]
async fn what_is_not_there_is_said_in_the_words_that_clients_look_for(#[case] version: &str) {
    let ground = imitating(version).await;
    let event = ground.get("/web/event/getEventById.do?eventId=1").await;
    assert_eq!(event["errorMessage"], "Invalid Event Id");
    let server = ground.ask("GET", "/web/aaa/getServerById.do", "").await;
    assert!(server.status == 200 && server.json()["errorCode"].is_string(), "{server:?}");
    assert_eq!(ground.ask("POST", "/web/aaa/saveAAADetails.do", "null").await.status, 400);
}

#[tokio::test]
async fn builders_are_kept_as_they_were_sent() {
    let ground = ground(PortalSpec::default()).await;
    let data = |text: &str| json!({"name": "b", "data": {"formList": [{"fieldId": "x"}], "main_script": {"data": text}}});
    let made = ground.post("/web/configlet/addConfigletBuilder.do?isDraft=false", data("one")).await;
    let key = made["data"]["key"].as_str().unwrap();
    let update = format!("/web/configlet/updateConfigletBuilder.do?isDraft=false&id={key}&action=save");
    ground.post(&update, data("two")).await;
    let builder = ground.get(&format!("/web/configlet/getConfigletBuilder.do?id={key}")).await;
    let expected = json!({"isAssigned": false, "name": "b", "formList": [{"fieldId": "x"}], "main_script": {"data": "two"}});
    assert_eq!(builder["data"], expected);
    ground.configlet("static", "").await;
    let listed = ground.get("/web/configlet/getConfiglets.do?startIndex=0&endIndex=0&type=Builder").await;
    assert_eq!((&listed["total"], &listed["data"][0]["type"]), (&json!(1), &json!("Builder")));
    let by_id = ground.get(&format!("/web/configlet/getConfigletById.do?id={key}")).await;
    assert_eq!(by_id, listed["data"][0], "a configlet is the same wherever it is told of");
    let plain = ground.configlet("plain", "").await;
    let path = format!("/web/configlet/updateConfigletBuilder.do?id={plain}");
    let none = ground.ask("POST", &path, &data("x").to_string()).await;
    assert_eq!(none.json()["errorCode"], "132718");
}

#[tokio::test]
async fn change_controls_and_approvals_are_read_back_as_they_were_sent() {
    let ground = ground(PortalSpec::default()).await;
    let key = ground.configlet("a", "vlan 1\n").await;
    let task = ground.assign(&[&key]).await;
    let all = ["ChangeControlConfig/all", "ApproveConfig/all"].map(|all| format!("{CHANGES}{all}"));
    for all in &all {
        assert_eq!(ground.ask("GET", all, "").await.body, "", "{all}");
    }
    ground.post(&format!("{CHANGES}ChangeControlConfig"), change("one", &task)).await;
    ground.post(&format!("{CHANGES}ChangeControlConfig"), change("two", &task)).await;
    let time =
        ground.get(&format!("{CHANGES}ChangeControl?key.id=one")).await["value"]["change"]["time"].clone();
    let approve = json!({"key": {"id": "one"}, "approve": {"value": true, "notes": "fine"}, "version": time});
    ground.post(&format!("{CHANGES}ApproveConfig"), approve.clone()).await;
    let config = ground.get(&format!("{CHANGES}ChangeControlConfig?key.id=one")).await;
    let args = "/value/change/stages/values/s/action/args/values/TaskID";
    assert_eq!(config.pointer(args), Some(&json!(task)), "{config}");
    assert!(config.pointer("/value/start").is_none(), "nobody has started it: {config}");
    assert_eq!(ground.get(&format!("{CHANGES}ApproveConfig?key.id=one")).await["value"], approve);
    let told = async |method: &str, all: &str, filter: &str| {
        ground.ask(method, all, filter).await.body.lines().count()
    };
    assert_eq!((told("GET", &all[0], "").await, told("GET", &all[1], "").await), (2, 1));
    let of = |id: &str| json!({"partialEqFilter": [{"key": {"id": id}}]}).to_string();
    assert_eq!((told("POST", &all[1], &of("one")).await, told("POST", &all[1], &of("two")).await), (1, 0));

    // What a task did is told to whoever asks for its change control, or for its stage.
    ground
        .post(
            &format!("{CHANGES}ChangeControlConfig"),
            json!({"key": {"id": "one"}, "start": {"value": true}}),
        )
        .await;
    until(async || {
        ground.get(&format!("/web/task/getTaskById.do?taskId={task}")).await["taskStatus"] == "COMPLETED"
    })
    .await;
    let log = async |category: &str, tags: Value| {
        let body = json!({"category": category, "objectKey": "one", "startTime": 0, "endTime": 0, "dataSize": 75,
            "lastRetrievedAudit": {}, "tags": tags});
        ground.post("/cvpservice/audit/getLogs.do?", body).await
    };
    let whole = log("ChangeControl", Value::Null).await;
    has(&whole, "/data/0", "activity subObjectName dateTimeInLongFormat userName objectKey");
    let part = log("ChangeControl", json!({"stageId": "s"})).await;
    assert!(part["total"].as_u64() < whole["total"].as_u64() && part["total"] != 0, "{part} of {whole}");
    assert_eq!(log("Devices", Value::Null).await["total"], 0, "nothing of that is kept");
}

#[tokio::test]
async fn workspaces_and_accounts_are_read_back_as_they_were_set() {
    let ground = ground(PortalSpec::default()).await;
    let (spaces, accounts) =
        ("/api/resources/workspace/v1/Workspace", "/api/resources/serviceaccount/v1/Account");
    let set = json!({"key": {"workspaceId": "w"}, "displayName": "racks", "description": "d"});
    ground.post(&format!("{spaces}Config"), set.clone()).await;
    let mut build = set.clone();
    build["request"] = "REQUEST_START_BUILD".into();
    build["requestParams"] = json!({"requestId": "b"});
    ground.post(&format!("{spaces}Config"), build).await;
    assert_eq!(ground.get(&format!("{spaces}Config?key.workspaceId=w")).await["value"], set);
    assert_eq!(ground.get(&format!("{spaces}Config/all")).await["result"]["value"], set);
    let one = ground.get(&format!("{spaces}Build?key.workspaceId=w&key.buildId=b")).await;
    let all = ground
        .ask("POST", &format!("{spaces}Build/all"), r#"{"partialEqFilter": [{"key": {"workspaceId": "w"}}]}"#)
        .await;
    assert_eq!(all.json()["result"]["value"]["key"], one["value"]["key"]);
    let others = ground
        .ask("POST", &format!("{spaces}Build/all"), r#"{"partialEqFilter": [{"key": {"workspaceId": "x"}}]}"#)
        .await;
    assert_eq!(others.body, "");

    let set = json!({"key": {"name": "ci"}, "status": "ACCOUNT_STATUS_ENABLED", "description": "builds",
        "groups": {"values": ["network-admin"]}});
    ground.post(&format!("{accounts}Config"), set.clone()).await;
    assert_eq!(ground.get(&format!("{accounts}Config?key.name=ci")).await["value"], set);
    assert!(ground.ask("GET", &format!("{accounts}Config/all"), "").await.body.contains("\"ci\""));
    assert_eq!(ground.ask("GET", &format!("{accounts}Config?key.name=no"), "").await.status, 404);
}

#[tokio::test]
async fn who_comes_in_by_http_s_own_way_is_known_by_either_cookie() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let ground = ground(PortalSpec::default()).await;
    let who = BASE64_STANDARD.encode(format!("{}:{}", ground.portal.username(), ground.portal.password()));
    // What else is sent along is of a session that is over.
    let headers = format!("Authorization: Basic {who}\r\nCookie: session_id=stale; access_token=stale\r\n");
    let login = ground.raw("POST", "/cvpservice/login/authenticate.do", &headers, "null").await.unwrap();
    let id = login.json()["sessionId"].as_str().unwrap().to_owned();
    for name in ["session_id", "access_token"] {
        let cookie = format!("Cookie: other=x; {name}={id}\r\n");
        assert_eq!(ground.raw("GET", "/web/login/home.do", &cookie, "").await.unwrap().status, 200, "{name}");
    }
    let wrong = BASE64_STANDARD.encode(format!("{}:wrong", ground.portal.username()));
    let headers = format!("Authorization: Basic {wrong}\r\nCookie: session_id={id}\r\n");
    let refused = ground.raw("POST", "/cvpservice/login/authenticate.do", &headers, "null").await.unwrap();
    assert_eq!(refused.status, 401, "a session that is there does not make up for a wrong password");
}

#[tokio::test]
async fn what_is_refused_after_a_part_of_it_was_good_leaves_nothing() {
    let ground = ground(PortalSpec::default()).await;
    let config = format!("{CHANGES}ChangeControlConfig");
    let with = |id: &str, more: Value| {
        let mut body = change(id, "1");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let at_once = ground.ask("POST", &config, &with("new", json!({"start": {"value": true}}))).await;
    assert_eq!((at_once.status, at_once.json()["code"].as_u64()), (400, Some(9)), "nobody approved it");
    let never = ground.ask("POST", &config, &with("new", json!({"schedule": {"value": "tomorrow"}}))).await;
    assert_eq!((never.status, never.json()["code"].as_u64()), (400, Some(3)));
    assert_eq!(
        ground.ask("POST", &config, r#"{"key": {"id": "new"}}"#).await.status,
        404,
        "there is nothing in it"
    );
    assert_eq!(ground.ask("GET", &format!("{CHANGES}ChangeControl?key.id=new"), "").await.status, 404);
    let log = json!({"category": "ChangeControl", "objectKey": "new"});
    assert_eq!(ground.post("/cvpservice/audit/getLogs.do", log).await["total"], 0);

    // Nor does it change what is there.
    ground.post(&config, change("there", "1")).await;
    let there = ground.get(&format!("{CHANGES}ChangeControl?key.id=there")).await;
    ground.ask("POST", &config, &with("there", json!({"start": {"value": true}}))).await;
    assert_eq!(ground.get(&format!("{CHANGES}ChangeControl?key.id=there")).await, there);

    let workspace = |request: &str| {
        json!({"key": {"workspaceId": "w"}, "displayName": "w", "request": request}).to_string()
    };
    for (request, code) in [("REQUEST_SUBMIT", 9), ("REQUEST_FORGET", 3)] {
        let refused =
            ground.ask("POST", "/api/resources/workspace/v1/WorkspaceConfig", &workspace(request)).await;
        assert_eq!((refused.status, refused.json()["code"].as_u64()), (400, Some(code)), "{refused:?}");
    }
    let none = ground.ask("GET", "/api/resources/workspace/v1/Workspace?key.workspaceId=w", "").await;
    assert_eq!(none.status, 404, "{none:?}");

    let role = |name: &str, key: &str| json!({"name": name, "key": key, "description": "", "moduleList": []});
    let made = ground.post("/web/role/createRole.do", role("reader", "")).await;
    let taken = ground
        .post("/web/role/updateRole.do", role("network-admin", made["data"]["key"].as_str().unwrap()))
        .await;
    assert_eq!(taken["errorCode"], "232518");
    assert_eq!(ground.portal.contradictions(), Vec::<String>::new());
}

#[tokio::test]
async fn who_asks_twice_for_a_device_to_go_is_told_the_same() {
    let ground = ground(PortalSpec::default()).await;
    let base = "/api/resources/inventory/v1/DeviceDecommissioning";
    let serial = ground.get("/web/inventory/devices").await[0]["serialNumber"].clone();
    let wish = |id: &str| json!({"key": {"request_id": id}, "device_id": serial}).to_string();
    for id in ["a", "a"] {
        let told = ground.ask("POST", &format!("{base}Config"), &wish(id)).await;
        assert_eq!((told.status, &told.json()["value"]["deviceId"]), (200, &serial), "{told:?}");
        until(async || {
            let told = ground.get(&format!("{base}?key.requestId=a")).await;
            told["value"]["status"] == "DECOMMISSIONING_STATUS_SUCCESS"
        })
        .await;
    }
    let told = async |id: &str| ground.ask("POST", &format!("{base}Config"), &wish(id)).await.status;
    assert_eq!((told("b").await, told("").await), (404, 400), "it is gone");
    let filter = json!({"partialEqFilter": [{"deviceId": serial}]}).to_string();
    assert_eq!(ground.ask("POST", &format!("{base}/all"), &filter).await.body.lines().count(), 1);
}

#[tokio::test]
async fn what_of_several_actions_cannot_be_done_is_named() {
    let ground = ground(PortalSpec::default()).await;
    let add = |name: &str| {
        json!({"action": "add", "nodeType": "container", "nodeId": "new_container", "nodeName": name,
        "toId": "root", "toIdType": "container", "info": format!("add {name}")})
    };
    let save = async |actions: Value| {
        let task_json = actions.to_string();
        ground.post("/web/provisioning/v2/saveTopology.do", json!([{"taskJson": task_json}])).await
    };
    let refused = save(json!([add("Rack 1"), add("Rack 2"), add("Demo")])).await;
    assert_eq!(
        (&refused["errorCode"], &refused["errorMessage"]),
        (
            &json!("122518"),
            &json!("Data already exists in Database. (action 3 of 3, add container: add Demo)")
        )
    );
    assert_eq!(save(json!([add("Demo")])).await["errorMessage"], "Data already exists in Database.");
    let containers = ground.get("/web/inventory/containers").await;
    assert_eq!(containers.as_array().unwrap().len(), 3, "none was made: {containers}");
}

#[tokio::test]
async fn lists_of_the_oldest_api_are_done_whole_or_not_at_all() {
    let ground = imitating("2018.1.4").await;
    let made = async |name: &str, task: &str| {
        let body = json!({"ccName": name, "timeZone": "UTC", "countryId": "", "dateTime": "", "snapshotTemplateKey": "",
            "type": "Custom", "stopOnError": "true", "deletedTaskIds": [],
            "changeControlTasks": [{"taskId": task, "taskOrder": 1, "snapshotTemplateKey": "", "clonedCcId": ""}]});
        ground.post("/web/changeControl/addOrUpdateChangeControl.do", body).await["ccId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let key = ground.configlet("a", "vlan 1\n").await;
    let slow = made("slow", &ground.assign(&[&key]).await).await;
    let other = ground.configlet("b", "vlan 2\n").await;
    let idle = made("idle", &ground.assign(&[&key, &other]).await).await;
    ground.portal.faults().devices("leaf-1").slow(Duration::from_secs(3600)).unwrap();
    let run = |ids: &[&str]| json!({"ccIds": ids.iter().map(|id| json!({"ccId": id})).collect::<Value>()});
    // Twice the same is once.
    assert_eq!(ground.post("/web/changeControl/executeCC.do", run(&[&slow, &slow])).await["data"], "success");
    let both = json!({"ccIds": [idle, slow]});
    let refused = ground.post("/web/changeControl/deleteChangeControls.do", both).await;
    assert!(refused["errorMessage"].as_str().unwrap().contains("runs and cannot be deleted"), "{refused}");
    let listed =
        ground.get("/web/changeControl/getChangeControls.do?searchText=&startIndex=0&endIndex=0").await;
    assert_eq!(listed["total"], 2, "{listed}");

    // A device is known by its address however that is written.
    let device = "00:1C:73:00:00:02";
    ground.post("/web/inventory/deleteDevices.do", json!({"data": [device]})).await;
    let left = ground.get("/web/inventory/getInventory.do?queryparam=&startIndex=0&endIndex=0").await;
    assert_eq!(left["total"], 1, "{left}");
}
