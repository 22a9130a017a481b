//! Portals that have less than others, or have it elsewhere: tenants of the cloud service, those without network provisioning,
//! and those that say now and then what is not so.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::json;

use super::rig::{Reply, Server, client, error, ok, portal, spec};
use crate::cvp::{Client, CvpError, Level, Login};

const OFF: &str = "404 page not found";

#[tokio::test]
async fn a_tenant_of_the_cloud_service_is_asked_at_its_own_places() {
    let server = Server::new(portal("2018.1.4", |came| match came.path.as_str() {
        "/cvpservice/inventory/devices" => ok(&json!([{ "systemMacAddress": "aa:01", "hostname": "sw1" }])),
        "/cvpservice/task/getTasks.do" => ok(&json!({ "total": 0, "data": [] })),
        "/api/resources/changecontrol/v1/ChangeControl/all" => Reply::Body(200, String::new()),
        _ => Reply::Body(404, OFF.into()),
    }))
    .await;
    let mut tenant = spec(&[&server]);
    tenant.is_cloud = true;
    let with_password = Client::new(tenant.clone(), None).unwrap();
    tenant.login = Login::Token("t0p".into());
    let client = Client::new(tenant, None).unwrap();
    assert_eq!((client.version().await.unwrap(), client.level().await.unwrap()), (None, Level::NEWEST));
    assert_eq!(client.devices().await.unwrap()[0].hostname, "sw1");
    assert_eq!((client.tasks(None).await.unwrap(), client.changes().await.unwrap()), (vec![], vec![]));
    let error = client.containers().await.unwrap_err();
    assert!(matches!(error, CvpError::NoProvisioning { .. }), "{error}");

    // A password is for nobody else to see.
    let error = with_password.devices().await.unwrap_err().to_string();
    assert!(
        error.ends_with("takes the token of a service account only; user and password were not sent"),
        "{error}"
    );
    assert_eq!((server.came("authenticate.do").len(), server.came("getCvpInfo.do").len()), (0, 0));
}

#[rstest::rstest]
#[case::can_be_off("2025.3.0", 404, true)]
#[case::breaks("2025.2.0", 500, true)]
#[case::cannot_be_off("2024.3.0", 404, false)]
#[case::says_no("2025.3.0", 403, false)]
#[tokio::test]
async fn portals_without_network_provisioning_are_told_from_those_that_refuse(
    #[case] version: &'static str,
    #[case] status: u16,
    #[case] is_off: bool,
) {
    let server = Server::new(portal(version, move |came| match came.path.as_str() {
        "/web/inventory/devices" => ok(&json!([])),
        path if path.contains("/provisioning/") => Reply::Body(status, OFF.into()),
        _ => Reply::Body(404, OFF.into()),
    }))
    .await;
    let client = client(&[&server]);
    client.devices().await.unwrap();
    let error = client.held_by_device("aa:01").await.unwrap_err();
    assert_eq!(matches!(error, CvpError::NoProvisioning { .. }), is_off, "{error}");
    assert_eq!(error.to_string().contains("from 2025.2 on"), is_off, "{error}");
    // What has nothing to do with it is refused as ever.
    assert!(matches!(client.tasks(None).await, Err(CvpError::Refused { .. })));
}

#[tokio::test]
async fn a_container_that_is_none_for_a_moment_is_asked_for_again() {
    let asked = AtomicUsize::new(0);
    let server = Server::new(portal("2024.3.0", move |came| match came.query.get("containerId") {
        Some(id) if id == "c" && asked.fetch_add(1, Ordering::Relaxed) > 0 => ok(
            &json!({ "total": 1, "configletList": [{ "key": "k", "name": "ntp" }], "configletMapper": {} }),
        ),
        _ => error("122801", "Invalid Container id"),
    }))
    .await;
    let client = client(&[&server]);
    assert_eq!(client.held_by_container("c").await.unwrap().configlets[0].name, "ntp");
    let error = client.held_by_container("absent").await.unwrap_err().to_string();
    assert!(error.ends_with("Invalid Container id (code 122801)"), "{error}");
    assert_eq!(server.came("getConfigletsByContainerId.do").len(), 2 + 3);
}

#[tokio::test]
async fn a_node_that_hangs_keeps_only_those_waiting_who_found_it_so() {
    let hangs = Server::new(portal("2024.3.0", |_| Reply::Hang)).await;
    let other = Server::new(portal("2024.3.0", |_| ok(&json!([])))).await;
    let mut both = spec(&[&hangs, &other]);
    both.limits.slow_answer = Duration::from_secs(5);
    let client = Client::new(both, None).unwrap();
    let error = client.devices().await.unwrap_err().to_string();
    assert!(error.contains(&format!("{} did not answer within 5.0 s", hangs.node)), "{error}");
    client.devices().await.unwrap();
    assert_eq!((hangs.came("/inventory/devices").len(), other.came("/inventory/devices").len()), (1, 1));
}
