//! Requests, to a server that answers as an appliance would, and over TLS to a portal of our own.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use super::*;
use crate::cvp::server::{Portal, PortalSpec};

/// A server at a port; what it is told is kept.
pub(super) fn server(
    answer: impl Fn(&str) -> Option<(u16, String)> + Send + 'static,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut request, mut piece) = (String::new(), [0; 4096]);
            loop {
                let read = stream.read(&mut piece).unwrap_or(0);
                request.push_str(&String::from_utf8_lossy(&piece[..read]));
                let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
                let length = head.to_lowercase();
                let length =
                    length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if read == 0 || body.len() >= length.unwrap_or(0) {
                    break;
                }
            }
            noted.lock().unwrap().push(request.clone());
            // Else it never answers.
            let Some((status, body)) = answer(&request) else {
                std::mem::forget(stream);
                continue;
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    (port, told)
}

#[tokio::test]
async fn xml_goes_in_and_what_it_says_of_itself_counts() {
    let (port, told) = server(|request| {
        let failed = request.contains("<volume-create>");
        let results = match failed {
            true => "<results status='failed' errno='13040' reason='there is a volume'/>",
            false => "<results status='passed'><volumes><name>vol0</name></volumes></results>",
        };
        Some((200, format!("<?xml version='1.0'?><netapp>{results}</netapp>")))
    });
    let driver = format!(
        "kind: http, url: 'http://%(device.ipaddress)s:{port}/servlets/filer', user: '%(device.login)s', \
         password_env: FILER, headers: {{ X-Device: '%(device.name)s' }}"
    );
    let changes = changes(Path::new("/"), &driver, "ipaddress: 127.0.0.1, login: root");
    let outside = outside(&[("FILER", "hunter2")]);
    let mut session = open(&changes, &outside).await.unwrap();
    let said = send(&mut session, "<netapp><volume-list/></netapp>").await.unwrap();
    assert_eq!((said.status.as_deref(), said.errno, &said.failure), (Some("passed"), None, &None));
    assert_eq!(said.tree.unwrap().children[0].children[0].children[0].text, "vol0");
    let said = send(&mut session, "<netapp><volume-create></volume-create></netapp>").await.unwrap();
    assert_eq!((said.status.as_deref(), said.errno), (Some("failed"), Some(13040)));
    assert_eq!(said.failure.as_deref(), Some("failed: there is a volume"));
    // What is said to this server is not for another.
    for elsewhere in ["DELETE //192.0.2.1/api", "DELETE /\\192.0.2.1/api"] {
        let error = send(&mut session, elsewhere).await.unwrap_err();
        assert!(matches!(error, DriverError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("is no path at its server"), "{error}");
    }
    let told = told.lock().unwrap();
    assert!(told[0].starts_with("POST /servlets/filer HTTP/1.1\r\n"), "{}", told[0]);
    let head = told[0].to_lowercase();
    assert!(head.contains("content-type: text/xml") && head.contains("x-device: sw1"), "{head}");
    assert!(told[0].contains("Basic cm9vdDpodW50ZXIy"), "root:hunter2");
    let shown = format!("{:?}", drivers(&changes, &outside).unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("User("), "{shown}");
}

#[tokio::test]
async fn a_text_may_say_its_method_and_path() {
    let (port, told) = server(|request| match request.starts_with("DELETE /api/vlans/7 ") {
        true => Some((404, "no vlan 7".to_owned())),
        false => Some((200, "{}".to_owned())),
    });
    let driver = format!("kind: http, url: 'http://127.0.0.1:{port}/api', token_env: T, method: GET");
    let changes = changes(Path::new("/"), &driver, "");
    let mut session = open(&changes, &outside(&[("T", "t0p")])).await.unwrap();
    send(&mut session, "").await.unwrap();
    send(&mut session, "PUT /api/vlans/8\n\n{\"name\": \"x\"}").await.unwrap();
    let said = send(&mut session, "DELETE /api/vlans/7").await.unwrap();
    assert_eq!((said.errno, said.failure.as_deref()), (Some(404), Some("HTTP status 404 Not Found")));
    assert_eq!(said.output, "no vlan 7");
    let told = told.lock().unwrap();
    assert!(told[0].starts_with("GET /api HTTP/1.1") && told[0].contains("Bearer t0p"), "{}", told[0]);
    assert!(
        told[1].starts_with("PUT /api/vlans/8 ") && told[1].ends_with("\r\n\r\n{\"name\": \"x\"}"),
        "{}",
        told[1]
    );
    assert!(told[1].to_lowercase().contains("content-type: application/json"), "{}", told[1]);
}

#[tokio::test]
async fn a_server_that_is_silent_or_away_fails_in_time() {
    let (port, _told) = server(|_| None);
    let mut session = opened(&format!("kind: http, url: 'http://127.0.0.1:{port}'"), "").await;
    let late = Deadline::within(Duration::from_millis(300));
    let error = exchange(&mut session, None, Some("x"), late).await.unwrap_err();
    assert_eq!(error.to_string(), format!("sw1 took too long: http://127.0.0.1:{port} did not answer"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut session = opened(&format!("kind: http, url: 'http://ada:hunter2@127.0.0.1:{nobody}'"), "").await;
    let error = send(&mut session, "x").await.unwrap_err();
    assert!(
        matches!(error, DriverError::Connect { .. }) && !error.to_string().contains("hunter2"),
        "{error}"
    );
    let changes = changes(Path::new("/"), "kind: http, url: 'ftp://%(device.name)s'", "");
    let error = open(&changes, &outside(&[])).await.err().unwrap();
    assert_eq!(error.to_string(), "cannot connect to sw1: `ftp://sw1` is no URL of http or https");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_have_to_be_good() {
    let portal = Portal::start(PortalSpec::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), portal.ca().unwrap()).unwrap();
    let ask = async |more: &str| {
        let driver = format!("kind: http, method: GET, url: '{}/web/login/home.do'{more}", portal.url());
        let mut session = open(&changes(dir.path(), &driver, ""), &outside(&[])).await.unwrap();
        send(&mut session, "").await
    };
    let error = ask("").await.unwrap_err();
    assert!(error.to_string().contains("its certificate is not trusted: nobody we trust"), "{error}");
    assert_eq!(ask(", ca_file: ca.pem").await.unwrap().errno, Some(401), "it is a portal that wants a login");
    assert_eq!(ask(", insecure: true").await.unwrap().errno, Some(401));
}
