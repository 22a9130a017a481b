//! The portal over HTTP: shapes of answers, errors, what goes wrong on demand.

use std::{sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

/// What was answered.
#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A portal without TLS that two devices are in, and the session of somebody.
struct Ground {
    portal: Portal,
    session: String,
}

async fn ground(spec: PortalSpec) -> Ground {
    let devices = DeviceSpec::demo(2);
    let portal = Portal::start(PortalSpec { plain_http: true, devices, ..spec }).await.unwrap();
    let mut ground = Ground { portal, session: String::new() };
    ground.session =
        ground.login(ground.portal.password()).await.json()["sessionId"].as_str().unwrap().to_owned();
    ground
}

impl Ground {
    async fn login(&self, password: &str) -> Answered {
        let body = json!({"userId": self.portal.username(), "password": password}).to_string();
        self.raw("POST", "/web/login/authenticate.do", "", &body).await.unwrap()
    }

    /// Asks, with these lines among the headers; `None` when the connection ends without an answer.
    async fn raw(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<Answered> {
        let mut stream = TcpStream::connect(self.portal.address()).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             {headers}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answered { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answered {
        let header = format!("APP_SESSION_ID: {}\r\n", self.session);
        self.raw(method, path, &header, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").await.json()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, &body.to_string()).await.json()
    }

    async fn configlet(&self, name: &str, config: &str) -> String {
        let made = self.post("/web/configlet/addConfiglet.do", json!({"name": name, "config": config})).await;
        made["data"]["key"].as_str().unwrap().to_owned()
    }

    /// Assigns configlets to the first device; returns the task.
    async fn assign(&self, keys: &[&str]) -> String {
        let action = json!({"action": "associate", "nodeType": "configlet", "toId": "00:1c:73:00:00:01",
            "toIdType": "netelement", "configletList": keys, "info": "test"});
        self.post(
            "/web/provisioning/addTempAction.do?format=topology&queryParam=&nodeId=root",
            json!({"data": [action]}),
        )
        .await;
        let saved = self.post("/web/provisioning/v2/saveTopology.do", json!([])).await;
        saved["data"]["taskIds"][0].as_str().unwrap().to_owned()
    }

    /// Executes a task and waits for its end; returns how it is then.
    async fn execute(&self, task: &str) -> Value {
        self.post("/web/task/executeTask.do", json!({"data": [task]})).await;
        for _ in 0..2000 {
            let found = self.get(&format!("/web/task/getTaskById.do?taskId={task}")).await;
            if !matches!(found["workOrderUserDefinedStatus"].as_str(), Some("Pending" | "In-Progress")) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("task {task} does not end");
    }
}

/// Whether every key is there, at the end of a path of keys and numbers.
fn has(value: &Value, at: &str, keys: &str) {
    let part = value.pointer(at).unwrap_or_else(|| panic!("nothing at {at} of {value}"));
    for key in keys.split(' ') {
        assert!(part.get(key).is_some(), "no {key} at {at} of {value}");
    }
}

#[rstest::rstest]
#[case::version("/cvpInfo/getCvpInfo.do", "", "version")]
#[case::devices(
    "/inventory/devices?provisioned=True",
    "/0",
    "systemMacAddress status mlagEnabled danzEnabled parentContainerKey bootupTimestamp internalBuild hostname fqdn serialNumber ipAddress modelName version complianceCode complianceIndication streamingStatus"
)]
#[case::containers("/inventory/containers", "/0", "Key Name CreatedBy CreatedOn Mode")]
#[case::config("/inventory/device/config?netElementId=00:1c:73:00:00:01", "", "output warnings")]
#[case::element(
    "/provisioning/getNetElementInfoById.do?netElementId=00%3A1c%3A73%3A00%3A00%3A01",
    "",
    "bundleName imageBundleId imageBundleMapper"
)]
#[case::container(
    "/provisioning/getContainerInfoById.do?containerId=undefined_container",
    "",
    "name parentName date userId associatedSwitches"
)]
#[case::found(
    "/provisioning/searchTopology.do?queryParam=LEAF-1&startIndex=0&endIndex=0",
    "",
    "total keywordList containerList netElementList netElementContainerList"
)]
#[case::found_device(
    "/provisioning/v3/searchTopology.do?queryParam=leaf-1&startIndex=0&endIndex=0",
    "/netElementList/0",
    "deviceStatus parentContainerId fqdn systemMacAddress serialNumber ipAddress key"
)]
#[case::found_where(
    "/provisioning/searchTopology.do?queryParam=00:1c:73:00:00:02&startIndex=0&endIndex=0",
    "/netElementContainerList/0",
    "containerKey containerName netElementKey"
)]
#[case::topology(
    "/provisioning/filterTopology.do?nodeId=root&format=topology&startIndex=0&endIndex=0",
    "/topology",
    "key name type childContainerCount childNetElementCount childContainerList childNetElementList tempAction deviceStatus"
)]
#[case::actions("/provisioning/getAllTempActions.do?startIndex=0&endIndex=0", "", "total data")]
#[case::of_device(
    "/provisioning/getConfigletsByNetElementId.do?netElementId=00:1c:73:00:00:01&startIndex=0&endIndex=0",
    "",
    "total configletList configletMapper"
)]
#[case::of_container(
    "/provisioning/getConfigletsByContainerId.do?containerId=root&startIndex=0&endIndex=0",
    "",
    "total configletList configletMapper"
)]
#[case::proposed(
    "/provisioning/getTempConfigsByNetElementId.do?netElementId=00:1c:73:00:00:01",
    "",
    "proposedConfiglets existingConfiglets"
)]
#[case::configlet(
    "/configlet/getConfigletByName.do?name=a+b%20c",
    "",
    "key name config type user note reconciled containerCount netElementCount dateTimeInLongFormat isDefault isAutoBuilder editable sslConfig visible isDraft typeStudioConfiglet factoryId id"
)]
#[case::configlets("/configlet/getConfiglets.do?startIndex=0&endIndex=0", "/data/0", "key name config type")]
#[case::searched("/configlet/searchConfiglets.do?queryparam=A+B&startIndex=0&endIndex=0", "/data/0", "key")]
#[case::mappers(
    "/configlet/getConfigletsAndAssociatedMappers.do",
    "/data",
    "configlets configletBuilders configletMappers generatedConfigletMappers"
)]
#[case::applied(
    "/configlet/getAppliedDevices.do?configletName=a+b%20c&startIndex=0&endIndex=0",
    "",
    "total data"
)]
#[case::tasks(
    "/task/getTasks.do?queryparam=&startIndex=0&endIndex=0",
    "/data/0",
    "workOrderId description note workOrderUserDefinedStatus taskStatus currentTaskName ccId ccIdV2 stageId workOrderDetails data createdOnInLongFormat"
)]
#[case::task(
    "/task/getTaskById.do?taskId=1",
    "/workOrderDetails",
    "netElementId netElementHostName ipAddress serialNumber"
)]
#[case::task_data(
    "/task/getTaskById.do?taskId=1",
    "/data",
    "WORKFLOW_ACTION VIEW NETELEMENT_ID currentparentContainerId newparentContainerId configletList ignoreConfigletList"
)]
#[case::log(
    "/task/getLogsById.do?id=1&queryparam=&startIndex=0&endIndex=0",
    "/data/0",
    "logDetails dateTimeInLongFormat userName objectName workOrderId key"
)]
#[case::user(
    "/user/getUser.do?userId=cvpadmin",
    "/user",
    "userId userStatus userType email firstName lastName"
)]
#[case::users("/user/getUsers.do?queryparam=&startIndex=0&endIndex=0", "", "total users roles")]
#[case::roles(
    "/role/getRoles.do?startIndex=0&endIndex=0",
    "/roles/0",
    "key name description moduleList moduleListSize createdBy createdOn"
)]
#[case::templates("/snapshot/templates?queryparam=&startIndex=0&endIndex=0", "", "total templateKeys")]
#[case::images("/image/getImages.do?queryparam=&startIndex=0&endIndex=0", "", "total data")]
#[tokio::test]
async fn answers_have_what_clients_read(#[case] path: &str, #[case] at: &str, #[case] keys: &str) {
    let ground = ground(PortalSpec::default()).await;
    let key = ground.configlet("a b c", "vlan 1\n").await;
    ground.assign(&[&key]).await;
    for prefix in ["/web", "//cvpservice/"] {
        has(&ground.get(&format!("{prefix}{path}")).await, at, keys);
    }
}

#[tokio::test]
async fn a_login_has_what_clients_read() {
    let ground = ground(PortalSpec::default()).await;
    let login = ground.login(ground.portal.password()).await;
    has(&login.json(), "", "sessionId username user roles permissionList authenticationType cookie");
    assert!(
        login.head.contains("set-cookie: session_id=session_") && login.head.contains("path=/"),
        "{login:?}"
    );
    assert!(!login.head.contains("secure"), "there is no TLS");
    let wrong = ground.login("wrong").await;
    assert_eq!((wrong.status, wrong.json()["errorCode"].as_str()), (401, Some("112955")));
    assert!(wrong.head.starts_with("http/1.1 401 unauthorized"));
    let broken = ground.raw("POST", "/web/login/authenticate.do", "", "{").await.unwrap();
    assert_eq!((broken.status, broken.json()["errorCode"].as_str()), (400, Some("112718")));
}

#[rstest::rstest]
#[case("GET", "/web/no/such.do", "", 404, "MNF404")]
#[case("PUT", "/web/task/getTasks.do", "", 405, "152718")]
#[case("POST", "/web/configlet/addConfiglet.do", "{not", 400, "132718")]
#[case("POST", "/web/configlet/addConfiglet.do", "[]", 200, "132718")]
#[case("POST", "/web/configlet/addConfiglet.do", r#"{"config": "x"}"#, 200, "132718")]
#[case("POST", "/web/configlet/addConfiglet.do", r#"{"name": " ", "config": "x"}"#, 200, "132718")]
#[case(
    "POST",
    "/web/configlet/addConfiglet.do",
    r#"{"name": "taken", "config": "x", "unknown": 1}"#,
    200,
    "132518"
)]
#[case("GET", "/web/configlet/getConfigletByName.do?name=absent", "", 200, "132801")]
#[case(
    "POST",
    "/web/configlet/updateConfiglet.do",
    r#"{"key": "absent", "name": "n", "config": ""}"#,
    200,
    "132532"
)]
#[case("POST", "/web/configlet/deleteConfiglet.do", r#"[{"key": "absent", "name": "n"}]"#, 200, "132718")]
#[case("GET", "/web/configlet/getConfigletHistory.do?configletId=absent", "", 200, "132801")]
#[case("GET", "/web/task/getTaskById.do?taskId=x", "", 200, "142WF606")]
#[case("POST", "/web/task/executeTask.do", r#"{"data": [99]}"#, 200, "142WF606")]
#[case("GET", "/web/provisioning/getContainerInfoById.do?containerId=absent", "", 200, "122801")]
#[case("GET", "/web/provisioning/getConfigletsByNetElementId.do?netElementId=absent", "", 200, "122801")]
#[case("GET", "/web/inventory/device/config?netElementId=absent", "", 200, "122801")]
#[case("GET", "/web/user/getUser.do?userId=absent", "", 200, "202889")]
#[case("GET", "/web/role/getRole.do?roleId=absent", "", 200, "232889")]
#[case("POST", "/web/role/deleteRoles.do", r#"["network-admin"]"#, 200, "232809")]
#[tokio::test]
async fn the_classic_api_refuses(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let ground = ground(PortalSpec::default()).await;
    ground.configlet("taken", "").await;
    let answer = ground.ask(method, path, body).await;
    assert_eq!((answer.status, answer.json()["errorCode"].as_str()), (status, Some(code)), "{answer:?}");
    assert_eq!(status == 405, answer.head.contains("allow: get"), "{answer:?}");
}

#[rstest::rstest]
#[case("GET", "ChangeControl?key.id=absent", "", 404, 5)]
#[case("DELETE", "ChangeControlConfig?key.id=absent", "null", 404, 5)]
#[case("POST", "ChangeControlConfig", "null", 400, 3)]
#[case("POST", "ChangeControlConfig", r#"{"change": {"name": "x"}}"#, 400, 3)]
#[case("POST", "ChangeControlConfig", r#"{"key": {"id": "a"}, "start": {"value": true}}"#, 404, 5)]
#[case(
    "POST",
    "ChangeControlConfig",
    r#"{"key": {"id": "a"}, "change": {"rootStageId": "r", "stages": {"values": {"r": {}}}}}"#,
    400,
    3
)]
#[case("POST", "ChangeControlConfig", r#"{"key": {"id": "a"}, "change": {"name": "n", "rootStageId": "r", "stages": {"values": {"r": {"action": {"name": "task", "args": {"values": {"TaskID": 1}}}}}}}}"#, 400, 3)]
#[case("POST", "ApproveConfig", r#"{"key": {"id": "there"}, "approve": {"value": true}}"#, 400, 3)]
#[case(
    "POST",
    "ApproveConfig",
    r#"{"key": {"id": "there"}, "approve": {"value": true}, "version": "2001-01-01T00:00:00Z"}"#,
    400,
    9
)]
#[case("POST", "ChangeControlConfig", r#"{"key": {"id": "there"}, "start": {"value": true}}"#, 400, 9)]
#[case("GET", "ApproveConfig?key.id=there", "", 404, 5)]
#[tokio::test]
async fn the_resource_api_refuses(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &str,
    #[case] status: u16,
    #[case] code: u8,
) {
    let base = "/api/resources/changecontrol/v1/";
    let ground = ground(PortalSpec::default()).await;
    let there = json!({"key": {"id": "there"}, "change": {"name": "n", "root_stage_id": "r", "stages": {"values": {"r": {}}}}});
    assert_eq!(
        ground.ask("POST", &format!("{base}ChangeControlConfig"), &there.to_string()).await.status,
        200
    );
    let answer = ground.ask(method, &format!("{base}{path}"), body).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (status, Some(code.into())), "{answer:?}");
}

#[tokio::test]
async fn streams_have_one_line_end_between_two() {
    let ground = ground(PortalSpec::default()).await;
    let all = "/api/resources/changecontrol/v1/ChangeControl/all";
    assert_eq!(ground.ask("GET", all, "").await.body, "");
    for id in ["one", "two"] {
        let change = json!({"key": {"id": id}, "change": {"name": id, "rootStageId": "r", "stages": {"values": {"r": {}}}}});
        ground.post("/api/resources/changecontrol/v1/ChangeControlConfig", change).await;
    }
    let body = ground.ask("GET", all, "").await.body;
    let lines: Vec<Value> = body.split('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{body}");
    has(&lines[0], "/result", "value time type");
    has(&lines[0], "/result/value", "key change deviceIds deviceIdToStageIds");
    assert!(lines[0].pointer("/result/value/approve").is_none(), "what is not set is absent");
}

#[tokio::test]
async fn old_versions_have_their_ways() {
    let imitate = Some("2018.2.0".parse().unwrap());
    let ground = ground(PortalSpec { imitate, ..PortalSpec::default() }).await;
    let unknown = ground.ask("GET", "/web/no/such.do", "").await;
    assert_eq!((unknown.status, unknown.json()["errorCode"].as_str()), (200, Some("MNF404")));
    let key = ground.configlet("a", "vlan 1\n").await;
    let list = ground.get("/web/configlet/getConfiglets.do?startIndex=0&endIndex=0").await;
    assert!(list["data"][0].get("config").is_none(), "lists of this version have no texts");
    let task = ground.assign(&[&key]).await;
    assert_eq!(ground.execute(&task).await["ccIdV2"], "", "nobody makes a change control for it");
    let new = ground.ask("GET", "/api/resources/changecontrol/v1/ChangeControl/all", "").await;
    assert_eq!(new.json()["errorCode"], "MNF404");
    assert_eq!(ground.ask("POST", "/changeControl/executeCC.do", "{}").await.json()["errorCode"], "152718");
}

#[tokio::test]
async fn what_goes_wrong_on_demand() {
    let ground = ground(PortalSpec::default()).await;
    let (faults, version) = (ground.portal.faults(), "/web/cvpInfo/getCvpInfo.do");
    let header = format!("APP_SESSION_ID: {}\r\n", ground.session);
    faults.next("getCvpInfo", 1, Fault::Status(503));
    let broken = ground.ask("GET", version, "").await;
    assert!(broken.status == 503 && broken.body.contains("<html>"), "{broken:?}");
    faults.next("", 1, Fault::Dropped);
    assert!(ground.raw("GET", version, &header, "").await.is_none());
    faults.next("", 1, Fault::Truncated);
    assert!(serde_json::from_str::<Value>(&ground.ask("GET", version, "").await.body).is_err());
    faults.next("addConfiglet", 1, Fault::Lost);
    let body = json!({"name": "lost", "config": ""}).to_string();
    assert!(ground.raw("POST", "/web/configlet/addConfiglet.do", &header, &body).await.is_none());
    has(&ground.get("/web/configlet/getConfigletByName.do?name=lost").await, "", "key");
    faults.latency(Duration::from_millis(300));
    let began = std::time::Instant::now();
    ground.get(version).await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    faults.heal();
    faults.expire_sessions();
    let out = ground.ask("GET", version, "").await;
    assert_eq!((out.status, out.json()["errorCode"].as_str()), (401, Some("112498")));
    assert!(faults.devices("nobody").unreachable(true).is_err());
}

#[tokio::test]
async fn devices_that_do_not_do_as_told() {
    let ground = ground(PortalSpec::default()).await;
    let faults = ground.portal.faults();
    let key = ground.configlet("a", "vlan 1\nvlan 2\n").await;
    let task = ground.assign(&[&key]).await;
    faults.devices("leaf-1").unreachable(true).unwrap();
    let failed = ground.execute(&task).await;
    assert_eq!(failed["taskStatus"], "FAILED");
    assert!(failed["note"].as_str().unwrap().contains("not reachable"), "{failed}");
    let check = json!({"nodeId": "00:1c:73:00:00:01", "nodeType": "netelement"});
    assert_eq!(ground.post("/web/provisioning/checkCompliance.do", check).await["complianceCode"], "0005");
    faults.heal();
    faults.devices("leaf-1").rejects(Some("vlan 2")).unwrap();
    assert!(ground.execute(&task).await["note"].as_str().unwrap().contains("vlan 2"));
    faults.heal();
    faults.devices("00:1c:73:00:00:01").fail_pushes(1).unwrap();
    assert_eq!(ground.execute(&task).await["taskStatus"], "FAILED");
    faults.devices("leaf-1").slow(Duration::from_millis(200)).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(ground.execute(&task).await["taskStatus"], "COMPLETED");
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(ground.portal.contradictions(), Vec::<String>::new());
}

/// A driver whose device somebody else changes, too.
#[derive(Debug, Default)]
struct Shared(std::sync::Mutex<Option<String>>);

impl Driver for Shared {
    fn push<'a>(
        &'a self,
        _: &'a Target,
        config: &'a str,
    ) -> crate::base::dial::BoxFuture<'a, Result<String, PushError>> {
        Box::pin(async move {
            *self.0.lock().unwrap() = Some(config.to_owned());
            Ok(config.to_owned())
        })
    }

    fn read<'a>(
        &'a self,
        _: &'a Target,
    ) -> crate::base::dial::BoxFuture<'a, Result<Option<String>, PushError>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().clone()) })
    }
}

#[tokio::test]
async fn what_a_driver_reads_is_what_runs() {
    let driver = Arc::new(Shared::default());
    let ground = ground(PortalSpec { driver: Arc::clone(&driver) as _, ..PortalSpec::default() }).await;
    let key = ground.configlet("a", "vlan 1\n").await;
    let task = ground.assign(&[&key]).await;
    ground.execute(&task).await;
    *driver.0.lock().unwrap() = Some("somebody was here\n".to_owned());
    let config = ground.get("/web/inventory/device/config?netElementId=00:1c:73:00:00:01").await;
    assert_eq!(config["output"], "somebody was here\n");
    let check = json!({"nodeId": "00:1c:73:00:00:01", "nodeType": "netelement"});
    assert_eq!(ground.post("/web/provisioning/checkCompliance.do", check).await["complianceCode"], "0001");
}

#[tokio::test]
async fn readers_are_told_off_where_that_is_wanted() {
    let ground = ground(PortalSpec { enforce_roles: true, ..PortalSpec::default() }).await;
    let user = json!({"roles": ["network-operator"], "user": {"userId": "reader", "password": "p"}});
    has(&ground.post("/web/user/addUser.do", user).await, "/data", "userId userStatus");
    let body = json!({"userId": "reader", "password": "p"}).to_string();
    let login = ground.raw("POST", "/web/login/authenticate.do", "", &body).await.unwrap().json();
    let header = format!("Cookie: session_id={}\r\n", login["sessionId"].as_str().unwrap());
    let add = json!({"name": "x", "config": ""}).to_string();
    let refused = ground.raw("POST", "/web/configlet/addConfiglet.do", &header, &add).await.unwrap();
    assert_eq!((refused.status, refused.json()["errorCode"].as_str()), (200, Some("132403")), "{refused:?}");
    let url = "/api/resources/changecontrol/v1/ChangeControlConfig";
    assert_eq!(ground.raw("POST", url, &header, "{}").await.unwrap().status, 403);
    let read = ground.raw("GET", "/web/task/getTasks.do", &header, "").await.unwrap();
    assert_eq!(read.status, 200);
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let ground = ground(PortalSpec { body_limit: 1000, ..PortalSpec::default() }).await;
    let add = json!({"name": "x", "config": "y".repeat(1000)}).to_string();
    assert_eq!(ground.ask("POST", "/web/configlet/addConfiglet.do", &add).await.status, 413);
}

#[tokio::test]
async fn the_page_shows_no_configuration() {
    let ground = ground(PortalSpec::default()).await;
    ground.configlet("shown", "username secret\n").await;
    let page = ground.raw("GET", "/", "", "").await.unwrap();
    assert!(page.head.contains("text/html") && page.body.contains("<main>"), "{page:?}");
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "nothing from elsewhere");
    let state = ground.raw("GET", "/polder/state.json", "", "").await.unwrap();
    has(&state.json(), "", "version counts devices configlets tasks changes");
    assert!(state.body.contains("shown") && !state.body.contains("username secret"), "{}", state.body);
    assert_eq!(ground.raw("POST", "/", "", "").await.unwrap().status, 405);
}

#[tokio::test]
async fn eight_clients_at_once_leave_no_contradiction() {
    let ground = Arc::new(ground(PortalSpec { task_delay: Duration::ZERO, ..PortalSpec::default() }).await);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let ground = Arc::clone(&ground);
        clients.spawn(async move {
            let login = ground.login(ground.portal.password()).await.json();
            let header = format!("APP_SESSION_ID: {}\r\n", login["sessionId"].as_str().unwrap());
            let post = async |path: &str, body: Value| {
                ground.raw("POST", path, &header, &body.to_string()).await.unwrap().json()
            };
            for round in 0..6 {
                let new =
                    json!({"name": format!("{client} {round}"), "config": format!("vlan {client}{round}\n")});
                let key = post("/web/configlet/addConfiglet.do", new).await["data"]["key"].clone();
                let action = json!({"action": "associate", "nodeType": "configlet", "toIdType": "netelement",
                    "toId": format!("00:1c:73:00:00:0{}", client % 2 + 1), "configletList": [key]});
                post("/web/provisioning/addTempAction.do", json!({"data": [action]})).await;
                let saved = post("/web/provisioning/v2/saveTopology.do", json!([])).await;
                post("/web/task/executeTask.do", json!({"data": saved["data"]["taskIds"]})).await;
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    for task in 1..=48 {
        ground.execute(&task.to_string()).await;
    }
    assert_eq!(ground.portal.contradictions(), Vec::<String>::new());
    let rows = ground.get("/web/inventory/devices?provisioned=true").await;
    assert!(rows.as_array().unwrap().iter().all(|row| row["complianceCode"] == "0000"), "{rows}");
    let tasks = ground.get("/web/task/getTasks.do?queryparam=Completed&startIndex=0&endIndex=1").await;
    assert_eq!((&tasks["total"], tasks["data"].as_array().unwrap().len()), (&json!(48), 1));
}

#[tokio::test]
async fn its_authority_vouches_for_it_and_answers_come_whole() {
    let portal = Portal::start(PortalSpec::default()).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(portal.ca().unwrap().as_bytes()).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for name in ["127.0.0.1", "localhost"] {
        let stream = TcpStream::connect(portal.address()).await.unwrap();
        let mut stream = connector.connect(ServerName::try_from(name).unwrap(), stream).await.unwrap();
        for _ in 0..3 {
            let request = format!(
                "GET /web/cvpInfo/getCvpInfo.do? HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
                portal.token()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut buffer = vec![0; 10_000];
            let read = stream.read(&mut buffer).await.unwrap();
            let answer = String::from_utf8_lossy(&buffer[..read]);
            assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with('}'), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_portal_stops_when_it_is_dropped() {
    let ground = ground(PortalSpec::default()).await;
    let address = ground.portal.address();
    drop(ground);
    let gone = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it stops");
}

#[rstest::rstest]
#[case(r#"{"version": 2}"#, "has format 2")]
#[case(r#"{"version": 1, "devises": {}}"#, "unknown field `devises`")]
#[case(
    r#"{"version": 1, "devices": {"a": {"placement": {"container": "absent"}}}}"#,
    "a container that is not there"
)]
#[case(r#"{"version": 1, "settings": {"imitate": "new"}}"#, "`new` is no version")]
#[tokio::test]
async fn states_that_make_no_sense_are_refused(#[case] state: &str, #[case] expected: &str) {
    let spec = PortalSpec { state: Some(state.as_bytes().to_vec()), ..PortalSpec::default() };
    let error = Portal::start(spec).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn what_is_dumped_is_taken() {
    let ground = ground(PortalSpec::default()).await;
    ground.configlet("kept", "vlan 1\n").await;
    let state = ground.portal.dump().unwrap();
    let spec = PortalSpec { state: Some(state), plain_http: true, ..PortalSpec::default() };
    let portal = Portal::start(spec).await.unwrap();
    let again = Ground { session: portal.token().to_owned(), portal };
    let header = format!("Authorization: Bearer {}\r\n", again.session);
    let found =
        again.raw("GET", "/web/configlet/getConfigletByName.do?name=kept", &header, "").await.unwrap();
    has(&found.json(), "", "key config");
}
