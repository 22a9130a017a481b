//! Through a portal of our own.

use super::*;
use crate::cvp::{
    Change, Client, CvpSpec, Login, Node, Trust,
    server::{DeviceSpec, Portal, PortalSpec},
};

const MAC: &str = "00:1c:73:00:00:01";

async fn portal() -> (Portal, Client) {
    let portal =
        Portal::start(PortalSpec { devices: DeviceSpec::demo(2), ..PortalSpec::default() }).await.unwrap();
    let login = Login::Token(portal.token().to_owned());
    let trust = Trust::CaPem(portal.ca().unwrap().into());
    let spec = CvpSpec { trust, ..CvpSpec::new(Node::parse(&portal.url()).unwrap(), login) };
    let client = Client::new(spec, None).unwrap();
    (portal, client)
}

/// A session with the first device, at the portal that is configured.
async fn talk(client: &Client, device: &str) -> Box<dyn Session> {
    let outside = Outside { portal: Some(client.clone()), ..outside(&[]) };
    open(&changes(Path::new("/"), "kind: cvp", device), &outside).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configlet_is_put_on_a_device_and_taken_off_again() {
    let (portal, client) = portal().await;
    let before = client.running_config(MAC).await.unwrap();
    let mut session = talk(&client, "fqdn: leaf-1").await;
    let said = send(&mut session, "configlet ntp\nntp server 192.0.2.1\n").await.unwrap();
    assert!(said.failure.is_none() && said.output.contains("pushed by task"), "{said:?}");
    assert!(client.running_config(MAC).await.unwrap().contains("ntp server 192.0.2.1"));
    assert!(client.compliance(MAC).await.unwrap().is_in_sync());
    // Again, nothing is done; with another text, it runs that.
    let said = send(&mut session, "configlet ntp\nntp server 192.0.2.1\n").await.unwrap();
    assert!(said.output.contains("nothing had to be pushed"), "{said:?}");
    send(&mut session, "configlet ntp\nntp server 192.0.2.2\n").await.unwrap();
    let running = client.running_config(MAC).await.unwrap();
    assert!(running.contains("192.0.2.2") && !running.contains("192.0.2.1"), "{running}");
    // What others hold stays theirs.
    let mut other = talk(&client, "ipaddress: 10.0.0.2").await;
    send(&mut other, "configlet ntp\nntp server 192.0.2.2\n").await.unwrap();
    let said = send(&mut session, "no configlet ntp").await.unwrap();
    assert!(said.output.contains("others hold it: leaf-2"), "{said:?}");
    assert!(client.compliance(MAC).await.unwrap().is_in_sync());
    let lines = |config: &str| {
        config.lines().filter(|line| !line.contains('!')).map(str::to_owned).collect::<Vec<_>>()
    };
    let after = client.running_config(MAC).await.unwrap();
    assert_eq!(lines(&after), lines(&before).into_iter().filter(|line| line != "end").collect::<Vec<_>>());
    let said = send(&mut other, "no configlet ntp").await.unwrap();
    assert!(said.output.contains("the configlet is deleted"), "{said:?}");
    assert!(client.configlet("ntp").await.unwrap().is_none());
    let said = send(&mut other, "no configlet ntp").await.unwrap();
    assert_eq!((said.exitcode, said.output.as_str()), (Some(0), "there is no configlet ntp\n"));
    assert!(client.tasks(Some("Pending")).await.unwrap().is_empty());
    session.close(soon()).await.unwrap();
    assert!(client.devices().await.is_ok(), "the session at the portal is not ours to end");
    portal.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_get_and_lose_one_configlet_at_the_same_time() {
    let (portal, client) = portal().await;
    for round in 0..20 {
        let mut one = talk(&client, "fqdn: leaf-1").await;
        let mut other = talk(&client, "fqdn: leaf-2").await;
        for command in ["configlet ntp\nntp server 192.0.2.1\n", "no configlet ntp"] {
            let (one, other) = tokio::join!(send(&mut one, command), send(&mut other, command));
            for said in [one.unwrap(), other.unwrap()] {
                assert!(said.failure.is_none(), "round {round}: {said:?}");
            }
        }
        assert!(client.configlet("ntp").await.unwrap().is_none(), "round {round}");
    }
    portal.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_refuses_is_an_answer_and_a_portal_that_is_gone_is_none() {
    let (portal, client) = portal().await;
    let mut session = talk(&client, "fqdn: leaf-1").await;
    portal.faults().devices("leaf-1").rejects(Some("vlan 7")).unwrap();
    let said = send(&mut session, "configlet bad\nvlan 7\n").await.unwrap();
    let why = said.failure.as_deref().zip(Some(said.output.as_str())).unwrap();
    assert!(why.0 == "exit status 1" && why.1.contains("vlan 7") && why.1.contains("failed"), "{said:?}");
    portal.faults().heal();
    let error = send(&mut session, "show version").await.unwrap_err();
    assert!(error.to_string().contains("`no configlet NAME`"), "{error}");
    let mut stranger = talk(&client, "fqdn: leaf-9").await;
    let said = send(&mut stranger, "configlet x\nvlan 7\n").await.unwrap();
    assert!(said.output.contains("has no device `sw1`"), "{said:?}");
    // It takes longer than it may.
    portal.faults().devices("leaf-1").slow(Duration::from_secs(60)).unwrap();
    let late = Deadline::within(Duration::from_millis(700));
    let error = exchange(&mut session, None, Some("configlet slow\nvlan 8\n"), late).await.unwrap_err();
    assert!(matches!(error, DriverError::TimedOut { .. }), "{error:?}");
    portal.stop().await;
    let error = send(&mut session, "no configlet bad").await.unwrap_err();
    assert!(matches!(error, DriverError::Connect { .. } | DriverError::Lost { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_control_is_run_by_its_name() {
    let (portal, client) = portal().await;
    let device = client.inventory().await.unwrap().device("leaf-1").unwrap().clone();
    let made = client.add_configlet("night", "vlan 9\n").await.unwrap();
    let tasks = client.put_on_device(&device, &[made]).await.unwrap();
    client.create_change(&Change::new("Night shift").series(tasks)).await.unwrap();
    // With a login of the file's own.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), portal.ca().unwrap()).unwrap();
    let driver =
        format!("kind: cvp, url: '{}', user: cvpadmin, password_env: P, ca_file: ca.pem", portal.url());
    let password: &'static str = portal.password().to_owned().leak();
    let variables: &'static [(&str, &str)] = vec![("P", password)].leak();
    let mut session = open(&changes(dir.path(), &driver, ""), &outside(variables)).await.unwrap();
    let said = send(&mut session, "change-control Night shift").await.unwrap();
    assert!(said.failure.is_none() && said.output.contains("1 of 1 tasks done"), "{said:?}");
    assert!(client.running_config(MAC).await.unwrap().contains("vlan 9"));
    let said = send(&mut session, "change-control Nigth shift").await.unwrap();
    assert!(said.output.contains("did you mean `Night shift`?"), "{said:?}");
    session.close(soon()).await.unwrap();
    portal.stop().await;
}
