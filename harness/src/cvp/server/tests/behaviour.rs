//! What goes wrong on demand, old versions, drivers, sockets, states.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};

use super::*;

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
    assert_eq!((refused.status, refused.json()["errorCode"].as_str()), (200, Some("112403")), "{refused:?}");
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
#[case("{\"version\": 1,\n\"devises\": {}}", "lab.json is damaged: unknown field `devises`, expected one of")]
#[case(
    "{\"version\": 1,\n\"devices\": 7}",
    "lab.json is damaged: invalid type: integer `7`, expected a map at line 2 column 12"
)]
#[case(
    r#"{"version": 1, "devices": {"a": {"placement": {"container": "absent"}}}}"#,
    "lab.json contradicts itself: device a is in a container that is not there"
)]
#[case(r#"{"version": 1, "settings": {"imitate": "new"}}"#, "`new` is no version")]
#[tokio::test]
async fn states_that_make_no_sense_are_refused(#[case] state: &str, #[case] expected: &str) {
    let state = SavedState { file: "lab.json".into(), json: state.as_bytes().to_vec() };
    let spec = PortalSpec { state: Some(state), ..PortalSpec::default() };
    let error = Portal::start(spec).await.unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn what_is_dumped_is_taken() {
    let ground = ground(PortalSpec::default()).await;
    ground.configlet("kept", "vlan 1\n").await;
    let state = ground.portal.dump().unwrap();
    let spec = PortalSpec { state: Some(state.into()), plain_http: true, ..PortalSpec::default() };
    let portal = Portal::start(spec).await.unwrap();
    let again = Ground { session: portal.token().to_owned(), portal };
    let header = format!("Authorization: Bearer {}\r\n", again.session);
    let found =
        again.raw("GET", "/web/configlet/getConfigletByName.do?name=kept", &header, "").await.unwrap();
    has(&found.json(), "", "key config");
}
