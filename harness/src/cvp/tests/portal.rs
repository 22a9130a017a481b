//! The client and its sessions at the portal of our own, over HTTPS with its certificate checked.

use std::time::Duration;

use crate::{
    base::owner::Owner,
    cvp::{
        Client, Container, Cvp, CvpError, CvpSpec, Device, Inventory, Lease, Login, Node, SessionError,
        TaskState, Trust, journals, lease,
        server::{DeviceSpec, Fault, Portal, PortalSpec},
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
    let cvp = Cvp::begin(client.clone(), "x-", dir.path()).await.unwrap();

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

#[rstest::rstest]
#[case("2018.1.4")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn several_configlets_go_out_by_one_change(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let before = state(&client).await;
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path()).await.unwrap();
    let ntp = || cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(["leaf-1", "leaf-2"]);
    let dns = || cvp.configlet("dns").content("ip domain-name x.test\n").on(["leaf-2", "leaf-3"]);
    let wrong = cvp.configlet("more").content("ip name-server 192.0.2.3\n").on(["leaf-9"]);
    let error = cvp.deploy([ntp(), wrong]).await.unwrap_err().to_string();
    assert!(error.contains("leaf-9") && state(&client).await == before, "{error}");

    let change = cvp.deploy([ntp(), dns()]).await.unwrap().unwrap();
    let tasks = client.tasks(None).await.unwrap();
    assert_eq!(tasks.len(), 4, "one for each configlet of a device: {tasks:?}");
    assert_eq!(client.changes().await.unwrap().len(), 1, "{change:?}");
    let both = cvp.running_config("leaf-2").await.unwrap();
    assert!(both.contains("ntp server 192.0.2.1") && both.contains("ip domain-name x.test"), "{both}");
    assert!(cvp.compliance("leaf-3").await.unwrap().is_in_sync());
    assert!(cvp.deploy([ntp(), dns()]).await.unwrap().is_none(), "it runs already");

    let typo = cvp.configlet("typo").content("frobnicate\n").on(["leaf-1"]);
    let error = cvp.deploy([typo, dns()]).await.unwrap_err().to_string();
    assert!(error.contains("frobnicate"), "{error}");
    cvp.close().await.unwrap();
    assert_eq!(state(&client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_session_left_is_set_back_by_whoever_finds_its_journal() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let before = state(&client).await;
    let device = client.devices().await.unwrap().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path()).await.unwrap();
    cvp.add_container("rack", "Tenant").await.unwrap();
    cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on([&device.hostname]).deploy().await.unwrap();
    cvp.move_device(&device.hostname, "x-rack").await.unwrap();
    assert_ne!(state(&client).await, before);
    // Nothing of it runs any more, and nobody closed it.
    drop(cvp);
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
    let cvp = Cvp::begin(client.clone(), "x-", dir.path()).await.unwrap();
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

/// The first device, and the container it is in.
async fn first(client: &Client) -> (Device, Container) {
    let inventory = client.inventory().await.unwrap();
    let device = inventory.devices[0].clone();
    (device.clone(), inventory.container(&device.container).unwrap().clone())
}

#[rstest::rstest]
#[case("2018.1.4")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_changed_and_set_back(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let (device, container) = first(&client).await;
    let shared = client.add_configlet("shared", "ntp server 192.0.2.1\n").await.unwrap();
    let tasks = client.put_on_container(&container, std::slice::from_ref(&shared)).await.unwrap();
    client.run_tasks(&tasks, Duration::from_secs(30), |_| {}).await.unwrap();
    let before = state(&client).await;
    let running = async || client.running_config(&device.mac).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path()).await.unwrap();

    // The three devices below hold it.
    let changed = cvp.existing_configlet("shared").content("ntp server 192.0.2.9\n").deploy().await.unwrap();
    assert_eq!(changed.tasks.len(), 3);
    assert!(running().await.contains("ntp server 192.0.2.9"));
    let put = cvp.configlet("dns").content("ip name-server 192.0.2.2\n").on_containers([&container.name]);
    assert_eq!(put.deploy().await.unwrap().tasks.len(), 3);
    assert!(running().await.contains("ip name-server 192.0.2.2"));
    let gone = cvp.existing_configlet("shared").on_containers([&container.name]).remove().await.unwrap();
    assert_eq!(gone.tasks.len(), 3);
    assert!(!running().await.contains("ntp server"));
    cvp.configlet("own").content("ip domain-name x.lab\n").on([&device.hostname]).deploy().await.unwrap();
    cvp.configlet("own").on([&device.hostname]).remove().await.unwrap();
    assert!(!running().await.contains("x.lab"));
    let again = cvp.configlet("own").on([&device.hostname]).remove().await.unwrap();
    assert_eq!((again.tasks, again.change), (vec![], None));

    let wrong = cvp.configlet("dns").on(["leaf-9"]).on_containers(["Demmo"]).deploy().await.unwrap_err();
    assert!(
        wrong.to_string().contains("`leaf-9`") && wrong.to_string().contains("did you mean `Demo`?"),
        "{wrong}"
    );
    let absent = cvp.existing_configlet("shred").content("x").make().await.unwrap_err();
    assert!(absent.to_string().contains("did you mean `shared`?"), "{absent}");
    // Neither the container nor the configlet is anybody else's to change meanwhile.
    let other = Lease { prefix: "y-".into(), owner: Owner::current().unwrap() };
    for of in [&container.key, &shared.key] {
        let taken = lease::take(&client, of, "it", &other, Duration::ZERO).await.unwrap_err();
        assert!(taken.to_string().starts_with("it is leased by process "), "{taken}");
    }
    cvp.close().await.unwrap();
    assert_eq!(state(&client).await, before);
    assert_eq!((journals(dir.path()).unwrap().0, portal.contradictions()), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_whose_answer_was_lost_is_looked_up() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let (device, container) = first(&client).await;
    let before = state(&client).await;
    // Somebody else's, from before: it is nobody's to execute.
    client.add_configlet("theirs", "ip domain-name theirs.lab\n").await.unwrap();
    let theirs = client.existing_configlet("theirs").await.unwrap();
    let pending = client.put_on_device(&device, std::slice::from_ref(&theirs)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path()).await.unwrap();
    let lost = || portal.faults().next("/saveTopology.do", 1, Fault::Lost);

    lost();
    cvp.add_container("rack", "Tenant").await.unwrap();
    lost();
    cvp.move_device("leaf-2", "x-rack").await.unwrap();
    lost();
    let put = cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(["leaf-3"]).deploy().await.unwrap();
    assert_eq!(put.tasks.len(), 1);
    lost();
    let put = cvp.configlet("dns").content("ip name-server 192.0.2.2\n").on_containers([&container.name]);
    assert_eq!(put.deploy().await.unwrap().tasks.len(), 2, "leaf-2 is not there any more");
    let runs = client.running_config("00:1c:73:00:00:03").await.unwrap();
    assert!(runs.contains("ntp server 192.0.2.1") && runs.contains("name-server 192.0.2.2"), "{runs}");
    portal.faults().next("/configlet/updateConfiglet.do", 1, Fault::Lost);
    let changed = cvp.configlet("ntp").content("ntp server 192.0.2.9\n").deploy().await.unwrap();
    assert_eq!(changed.tasks.len(), 1);

    portal.faults().next("/saveTopology.do", 9, Fault::Lost);
    portal.faults().next("/configlet/deleteConfiglet.do", 9, Fault::Lost);
    cvp.close().await.unwrap();
    portal.faults().heal();
    let task = client.task(&pending[0]).await.unwrap().unwrap();
    assert_eq!(task.state, TaskState::Pending);
    client.cancel_tasks(&pending).await.unwrap();
    let tasks = client.take_off_device(&device, std::slice::from_ref(&theirs)).await.unwrap();
    client.run_tasks(&tasks, Duration::from_secs(30), |_| {}).await.unwrap();
    client.delete_configlets(&[theirs]).await.unwrap();
    assert_eq!(state(&client).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_has_a_name_of_the_sessions_is_a_leak_and_nothing_is_done_after_its_end() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client.clone(), "x-", dir.path()).await.unwrap();
    let late = cvp.clone();
    client.add_configlet("x-mine", "x").await.unwrap();
    client.add_configlet("not-x-mine", "x").await.unwrap();
    let root = client.inventory().await.unwrap().container("root").unwrap().clone();
    client.add_container("x-rack", &root).await.unwrap();
    let error = cvp.close().await.unwrap_err();
    let expected = "the portal is not as it was: the configlet `x-mine` is still there, and is not in the journal; \
                    the container `x-rack` is still there, and is not in the journal";
    assert_eq!(error.to_string(), expected);
    assert_eq!(journals(dir.path()).unwrap().0, vec![], "there is nothing to try again");
    let error = late.configlet("late").make().await.unwrap_err().to_string();
    assert!(error.ends_with("the session is over"), "{error}");
    assert_eq!(client.configlet("x-late").await.unwrap(), None);
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

#[rstest::rstest]
#[case::plain_to_tls(false, "is `https` meant?")]
#[case::tls_to_plain(true, "is `http` meant?")]
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_wrong_way_is_told_the_right_one(#[case] plain_http: bool, #[case] hint: &str) {
    let portal = Portal::start(PortalSpec { plain_http, ..PortalSpec::default() }).await.unwrap();
    let wrong = if plain_http { "https" } else { "http" };
    let node = Node::parse(&format!("{wrong}://{}", portal.address())).unwrap();
    let login = Login::Password { user: portal.username().into(), password: portal.password().into() };
    let error = Client::new(CvpSpec::new(node, login), None).unwrap().log_in().await.unwrap_err().to_string();
    assert!(error.ends_with(hint) && !error.contains("error sending request"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_devices_of_our_own_portals_only() {
    let portal = portal("2024.3.0").await;
    let dir = tempfile::tempdir().unwrap();
    let cvp = Cvp::begin(client(&portal), "x-", dir.path()).await.unwrap();
    let error = cvp.onboard([] as [crate::guest::Guest; 0]).await.unwrap_err().to_string();
    assert!(
        error.contains("by the portal at https://127.0.0.1") && error.contains("POLDER_CVP_URL"),
        "{error}"
    );
    cvp.close().await.unwrap();
}
