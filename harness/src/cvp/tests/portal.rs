//! The client and its sessions at the portal of our own, over HTTPS with its certificate checked.

use std::time::Duration;

use crate::{
    base::owner::Owner,
    cvp::{
        Client, Cvp, CvpError, CvpSpec, Inventory, Lease, Login, Node, SessionError, Trust, journals, lease,
        server::{DeviceSpec, Portal, PortalSpec},
    },
};

pub(super) fn client(portal: &Portal) -> Client {
    Client::new(spec(portal), None).unwrap()
}

pub(super) fn spec(portal: &Portal) -> CvpSpec {
    let login = Login::Password { user: portal.username().into(), password: portal.password().into() };
    let mut spec = CvpSpec::new(Node::parse(&portal.url()).unwrap(), login);
    spec.trust = Trust::CaPem(portal.ca().unwrap().as_bytes().to_vec());
    spec
}

pub(super) async fn portal(imitate: &str) -> Portal {
    let imitate = Some(imitate.parse().unwrap());
    Portal::start(PortalSpec { devices: DeviceSpec::demo(3), imitate, ..PortalSpec::default() })
        .await
        .unwrap()
}

/// Everything but histories: configlets, containers, what runs on each device, and what is pending.
async fn state(client: &Client) -> String {
    let Inventory { devices, containers } = client.inventory().await.unwrap();
    let mut all = format!("{containers:?}\n");
    for one in client.configlets().await.unwrap() {
        all += &format!("{}: {}\n", one.name, one.text);
    }
    for device in devices {
        let runs = client.running_config(&device.mac).await.unwrap();
        // Marks between sections are nothing a device runs.
        let lines: Vec<&str> = runs.lines().filter(|line| !matches!(line.trim(), "!" | "end" | "")).collect();
        let runs = lines.join("\n");
        all += &format!("{} in {}: {runs}\n", device.hostname, device.container);
    }
    all + &format!("{:?}", client.tasks(Some("Pending")).await.unwrap().len())
}

#[rstest::rstest]
#[case("2018.1.4")]
#[case("2020.2.0")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn a_session_deploys_and_leaves_nothing_behind(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let before = state(&client).await;
    let devices: Vec<String> =
        client.devices().await.unwrap().iter().map(|device| device.hostname.clone()).collect();
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path(), false).await.unwrap();

    let deployed =
        cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(&devices[..2]).deploy().await.unwrap();
    assert_eq!((deployed.configlet.name.as_str(), deployed.tasks.len()), ("x-ntp", 2));
    for name in &devices[..2] {
        let device = cvp.device(name).await.unwrap();
        assert!(client.running_config(&device.mac).await.unwrap().contains("ntp server 192.0.2.1"));
    }
    // What runs already needs nothing; another text, what holds it.
    let again = cvp.configlet("ntp").on(&devices[..2]).deploy().await.unwrap();
    assert_eq!((again.tasks, again.change), (vec![], None));
    let changed =
        cvp.configlet("ntp").content("ntp server 192.0.2.9\n").on(&devices[..1]).deploy().await.unwrap();
    assert_eq!(changed.tasks.len(), 2);

    let error = cvp.configlet("dns").content("x").on(["nobody", "no one"]).deploy().await.unwrap_err();
    assert!(matches!(error, CvpError::Several(ref all) if all.len() == 2), "{error}");
    assert_eq!(client.configlet("x-dns").await.unwrap(), None);

    // Another session may not have its devices meanwhile.
    let other = Lease { prefix: "y-".into(), owner: Owner::current().unwrap() };
    let device = cvp.device(&devices[0]).await.unwrap();
    let error = lease::take(&client, &device.mac, "it", &other, Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().starts_with("it is leased by process "), "{error}");
    assert!(error.to_string().ends_with("(its names begin with `x-`)"), "{error}");
    cvp.close().await.unwrap();
    assert_eq!(state(&client).await, before);
    assert_eq!((journals(dir.path()).unwrap().0, portal.contradictions()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_session_left_is_set_back_by_whoever_finds_its_journal() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let before = state(&client).await;
    let device = client.devices().await.unwrap().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path(), false).await.unwrap();
    cvp.add_container("rack", "Tenant").await.unwrap();
    cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on([&device.hostname]).deploy().await.unwrap();
    cvp.move_device(&device.hostname, "x-rack").await.unwrap();
    assert_ne!(state(&client).await, before);
    // Nothing of it runs any more, and nobody closed it.
    std::mem::forget(cvp);
    let (found, odd) = journals(dir.path()).unwrap();
    assert_eq!((found.len(), odd.len()), (1, 0));
    let text = std::fs::read_to_string(&found[0].path).unwrap();
    assert!(!text.contains(portal.password()) && text.contains(portal.username()), "{text}");
    Cvp::recover(&client, &found[0]).await.unwrap();
    assert_eq!(state(&client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_device_is_told_and_what_cannot_be_set_back_stays_in_the_journal() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let before = state(&client).await;
    let device = client.devices().await.unwrap().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path(), false).await.unwrap();
    cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on([&device.hostname]).deploy().await.unwrap();
    let faults = portal.faults().devices(&device.mac);
    faults.unreachable(true).unwrap();
    let limit = Duration::from_secs(30);
    let error = cvp
        .configlet("dns")
        .content("ip name-server 192.0.2.2\n")
        .on([&device.hostname])
        .within(limit)
        .deploy()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("failed"), "{error}");
    let error = cvp.close().await.unwrap_err();
    assert!(matches!(&error, SessionError::Left(undone) if !undone.left.is_empty()), "{error}");
    // Nobody else may have the device before it is as it was.
    assert!(client.configlet(&lease::name(&device.mac)).await.unwrap().is_some());
    faults.unreachable(false).unwrap();
    let (found, _) = journals(dir.path()).unwrap();
    Cvp::recover(&client, &found[0]).await.unwrap();
    assert_eq!(state(&client).await, before);
}

#[rstest::rstest]
#[case::nobody_signed_it(Trust::System, Some("its certificate is not trusted"))]
#[case::another_pin(Trust::Pin([7; 32]), Some("it is not the pinned one"))]
#[case::insecure(Trust::Insecure, None)]
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_unless_it_is_said_that_they_shall_not_be(
    #[case] trust: Trust,
    #[case] refused: Option<&str>,
) {
    let portal = portal("2024.3.0").await;
    let mut spec = spec(&portal);
    spec.trust = trust;
    let asked = Client::new(spec, None).unwrap().devices().await;
    match refused {
        None => assert_eq!(asked.unwrap().len(), 3),
        Some(words) => {
            let error = asked.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
