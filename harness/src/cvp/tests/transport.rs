//! Sessions, nodes, and what is asked again.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::rig::{Reply, Server, client, error, ok, portal, spec};
use crate::cvp::{Client, CvpError, Device, Login, Node};

const INVENTORY: &str = "/inventory/devices";
const ADD: &str = "/configlet/addConfiglet.do";

fn empty() -> Reply {
    ok(&json!([]))
}

/// What so many tasks are answered who ask for the devices at once.
async fn at_once(client: &Client, tasks: usize) -> Vec<Result<Vec<Device>, CvpError>> {
    let ask = |_| {
        let client = client.clone();
        tokio::spawn(async move { client.devices().await })
    };
    let asks: Vec<_> = (0..tasks).map(ask).collect();
    let mut answers = Vec::new();
    for ask in asks {
        answers.push(ask.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn all_tasks_share_one_session_which_says_who_we_are_in_every_way() {
    let server = Server::new(portal("2024.3.0", |_| empty())).await;
    let client = client(&[&server]);
    for answer in at_once(&client, 50).await {
        assert_eq!(answer.unwrap(), []);
    }
    assert_eq!(server.came("authenticate.do").len(), 1);
    assert_eq!(server.came("getCvpInfo.do").len(), 1);
    let came = server.came(INVENTORY);
    assert_eq!(came.len(), 50);
    for one in came {
        assert_eq!(
            (one.headers["app_session_id"].as_str(), one.headers["cookie"].as_str()),
            ("s1", "session_id=s1")
        );
        assert_eq!(one.query["provisioned"], "false");
    }
    client.log_out().await;
    assert_eq!(server.came("logout.do")[0].headers["app_session_id"], "s1");
}

/// Whose session is not `s2` is not let in any more.
fn over_after_the_first(came: &super::rig::Came) -> Reply {
    if came.headers["app_session_id"] == "s1" { Reply::Body(401, String::new()) } else { empty() }
}

#[tokio::test]
async fn a_session_that_is_over_is_renewed_once_for_all_and_everything_is_asked_again() {
    let server = Server::new(portal("2024.3.0", over_after_the_first)).await;
    let client = client(&[&server]);
    for answer in at_once(&client, 50).await {
        answer.unwrap();
    }
    assert_eq!(server.came("authenticate.do").len(), 2);
}

#[tokio::test]
async fn sessions_that_end_at_once_are_no_reason_to_go_on_for_ever() {
    let server = Server::new(portal("2024.3.0", |_| error("112498", "User is unauthorized"))).await;
    let error = client(&[&server]).devices().await.unwrap_err();
    assert!(matches!(error, CvpError::NoSession { .. }), "{error}");
    assert_eq!(server.came("authenticate.do").len(), 2);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_at_each_node_whoever_asks() {
    let (one, other) = (
        Server::new(portal("2024.3.0", |_| empty())).await,
        Server::new(portal("2024.3.0", |_| empty())).await,
    );
    let mut spec = spec(&[&one, &other]);
    spec.login = Login::Password { user: "ada".into(), password: "wr0ng".into() };
    let client = Client::new(spec, None).unwrap();
    for answer in at_once(&client, 20).await {
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("refuses the user `ada` with this password: Invalid credentials"), "{error}");
        assert!(error.contains(&one.node.to_string()) && error.contains(&other.node.to_string()), "{error}");
        assert!(!error.contains("wr0ng"), "{error}");
    }
    assert_eq!((one.came("authenticate.do").len(), other.came("authenticate.do").len()), (1, 1));
}

#[rstest::rstest]
#[case("t0p", None)]
#[case(
    "old",
    Some("refuses the token, which may be of another portal or have expired: token expired (code 16)")
)]
#[tokio::test]
async fn tokens_are_checked_before_anything_is_asked(#[case] token: &str, #[case] refused: Option<&str>) {
    let server = Server::new(portal("2024.3.0", |_| empty())).await;
    let mut spec = spec(&[&server]);
    spec.login = Login::Token(token.into());
    let asked = Client::new(spec, None).unwrap().devices().await;
    match refused {
        None => assert_eq!(server.came(INVENTORY)[0].headers["authorization"], "Bearer t0p"),
        Some(words) => assert!(asked.unwrap_err().to_string().contains(words)),
    }
    assert_eq!(server.came("authenticate.do").len(), 0);
}

/// A node where nobody listens.
async fn nobody() -> Node {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    Node::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

#[tokio::test]
async fn a_node_that_is_down_is_passed_over() {
    let server = Server::new(portal("2024.3.0", |_| empty())).await;
    let mut with_down = spec(&[&server]);
    with_down.nodes.insert(0, nobody().await);
    Client::new(with_down, None).unwrap().devices().await.unwrap();

    let mut down = spec(&[&server]);
    down.nodes = vec![nobody().await, nobody().await];
    let error = Client::new(down, None).unwrap().devices().await.unwrap_err().to_string();
    assert_eq!(error.matches("onnection refused").count(), 2, "{error}");
}

#[tokio::test]
async fn a_node_that_goes_down_is_left_for_the_next_one_whatever_is_asked() {
    let one = Server::new(portal("2024.3.0", |_| empty())).await;
    let other = Server::new(portal("2024.3.0", |came| match came.path.as_str() {
        "/web/configlet/getConfigletByName.do" => ok(&json!({ "key": "k", "name": "c", "config": "x" })),
        _ => ok(&json!({})),
    }))
    .await;
    let client = client(&[&one, &other]);
    client.devices().await.unwrap();
    drop(one);
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.add_configlet("c", "x").await.unwrap();
    assert_eq!((other.came("authenticate.do").len(), other.came(ADD).len()), (1, 1));
}

#[rstest::rstest]
#[case::hangs(|| Reply::Hang)]
#[case::cuts(|| Reply::Cut)]
#[tokio::test]
async fn what_reads_is_asked_again_and_what_changes_is_not(#[case] how: fn() -> Reply) {
    let server = Server::new(portal("2024.3.0", move |came| match came.path.as_str() {
        "/web/configlet/getConfigletByName.do" => error("132801", "Entity does not exist"),
        _ => how(),
    }))
    .await;
    let mut spec = spec(&[&server]);
    spec.limits.answer = Duration::from_millis(1500);
    spec.limits.slow_answer = Duration::from_millis(1500);
    let client = Client::new(spec, None).unwrap();
    let read = client.devices().await.unwrap_err();
    assert!(!read.may_have_happened(), "{read}");
    let change = client.add_configlet("c", "x").await.unwrap_err();
    assert!(change.may_have_happened(), "{change}");
    assert!(change.to_string().contains("it may have been done all the same"), "{change}");
    assert_eq!(server.came(ADD).len(), 1);
}

#[tokio::test]
async fn a_read_that_broke_off_is_asked_again() {
    let tried = AtomicUsize::new(0);
    let server = Server::new(portal("2024.3.0", move |_| match tried.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Cut,
        1 => Reply::Body(503, "<html>restarting</html>".into()),
        _ => empty(),
    }))
    .await;
    client(&[&server]).devices().await.unwrap();
    assert_eq!(server.came(INVENTORY).len(), 3);
}

#[tokio::test]
async fn what_was_made_although_no_answer_came_is_found() {
    let made = Mutex::new(Value::Null);
    let server = Server::new(portal("2024.3.0", move |came| match came.path.as_str() {
        "/web/configlet/addConfiglet.do" => {
            *made.lock().unwrap() =
                json!({ "key": "k1", "name": came.body["name"], "config": came.body["config"] });
            Reply::Cut
        }
        _ => ok(&made.lock().unwrap()),
    }))
    .await;
    let made = client(&[&server]).add_configlet("c", "hostname x").await.unwrap();
    assert_eq!((made.key.as_str(), made.text.as_str()), ("k1", "hostname x"));
    assert_eq!(server.came(ADD).len(), 1);
}

#[rstest::rstest]
#[case(
    200,
    "<html><body>Welcome to nginx!</body></html>",
    "answered a web page (`Welcome to nginx!`); is it a CloudVision Portal?"
)]
#[case(200, r#"[{"systemMacAddress": "aa:01""#, "answered JSON that ends in the middle, after 29 bytes")]
#[case(200, r#"{"devices": []}"#, "answered something else than expected")]
#[case(500, "<html>Internal error</html>", "refused to list the devices: Internal error (HTTP status 500)")]
#[case(
    403,
    r#"{"errorCode":"112403","errorMessage":"Forbidden"}"#,
    "refused to list the devices: Forbidden (code 112403)"
)]
#[tokio::test]
async fn answers_that_are_none_are_told(
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] words: &str,
) {
    let server = Server::new(portal("2024.3.0", move |_| Reply::Body(status, body.into()))).await;
    let error = client(&[&server]).devices().await.unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[tokio::test]
async fn whoever_gives_up_waiting_harms_nobody_else() {
    let server = Server::new(portal("2024.3.0", |_| empty())).await;
    let client = client(&[&server]);
    for limit in [0, 1, 2, 5] {
        let _ = tokio::time::timeout(Duration::from_millis(limit), client.devices()).await;
    }
    client.devices().await.unwrap();
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let server = Server::new(portal("2024.3.0", |came| {
        let number = |name: &str| came.query[name].parse::<usize>().unwrap();
        let (start, end) = (number("startIndex"), number("endIndex").min(2500));
        let rows: Vec<Value> =
            (start..end).map(|n| json!({ "key": format!("k{n}"), "name": format!("c{n}") })).collect();
        ok(&json!({ "total": 2500, "data": rows }))
    }))
    .await;
    let all = client(&[&server]).configlets().await.unwrap();
    assert_eq!((all.len(), all[2499].name.as_str()), (2500, "c2499"));
    assert_eq!(server.came("getConfiglets.do").len(), 3);
}
