//! What the client does with configlets, containers, devices, tasks and change controls one call at a time, at the portal of
//! our own.

use std::time::{Duration, SystemTime};

use super::portal::{client, portal};
use crate::cvp::{Change, ChangeStatus, CvpError, TaskState, UNDEFINED};

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[rstest::rstest]
#[case("2018.1.4")]
#[case("2019.1.0")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn a_configlet_has_a_history_a_note_and_holders(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let ntp = client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap();
    client.add_configlet("dns", "ip name-server 192.0.2.3\n").await.unwrap();
    let tasks = client.update_configlet(&ntp.key, "ntp", "ntp server 192.0.2.2\n").await.unwrap();
    assert_eq!(tasks, [], "nobody holds it");
    client.note_configlet(&ntp, "of the lab").await.unwrap();
    let history = client.configlet_history(&ntp).await.unwrap();
    let texts: Vec<_> = history.iter().map(|one| (one.old_text.as_str(), one.new_text.as_str())).collect();
    assert_eq!(texts, [("ntp server 192.0.2.1\n", "ntp server 192.0.2.2\n"), ("", "ntp server 192.0.2.1\n")]);
    assert!(history[0].at > history[1].at && history[0].new_user_id == portal.username(), "{history:?}");
    let found = client.search_configlets("NT").await.unwrap();
    assert_eq!(
        (found.len(), found[0].note.as_str(), found[0].text.as_str()),
        (1, "of the lab", "ntp server 192.0.2.2\n")
    );

    let taken = client.update_configlet(&ntp.key, "dns", "x").await.unwrap_err();
    assert!(matches!(taken, CvpError::Exists { .. }), "{taken}");
    client.update_configlet(&ntp.key, "time", "ntp server 192.0.2.2\n").await.unwrap();
    let absent = client.existing_configlet("tim").await.unwrap_err().to_string();
    assert!(absent.contains("did you mean `time`?"), "{absent}");
    let ntp = client.existing_configlet("time").await.unwrap();

    let inventory = client.inventory().await.unwrap();
    let demo = inventory.container("Demo").unwrap();
    let tasks = client.put_on_container(demo, std::slice::from_ref(&ntp)).await.unwrap();
    assert_eq!(tasks.len(), 3);
    let holders = client.holders().await.unwrap();
    assert!(holders.iter().any(|one| one.kind == "container" && one.object == demo.key), "{holders:?}");
    let inherits = |one: &&crate::cvp::Holder| one.kind == "netelement" && one.inherited_from == demo.key;
    assert_eq!(holders.iter().filter(inherits).count(), 3, "{holders:?}");
    let error = client.delete_configlets(std::slice::from_ref(&ntp)).await.unwrap_err();
    assert_eq!(error.to_string(), "the configlet `time` is in use by Demo, leaf-1, leaf-2, leaf-3");
    client.take_off_container(demo, std::slice::from_ref(&ntp)).await.unwrap();
    client.delete_configlets(&[ntp]).await.unwrap();
    assert_eq!(client.configlets().await.unwrap().len(), 1);

    let device = &inventory.devices[0].mac;
    assert!(client.validate(device, "vlan 7\n").await.unwrap().is_good());
    let bad = client.validate(device, "vlan 7\ntypo 9\n").await.unwrap();
    assert!(bad.errors.len() == 1 && bad.errors[0].contains("typo"), "{bad:?}");
}

#[rstest::rstest]
#[case("2019.1.0")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn devices_and_containers_come_move_and_go(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let error = client.add_devices(&["10.9.9.9", "nowhere"]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the portal cannot take in the device at nowhere: this is no address of a device"
    );
    let device = client.inventory().await.unwrap().device("10.9.9.9").unwrap().clone();
    assert_eq!(device.container, UNDEFINED);
    let demo = client.inventory().await.unwrap().container("Demo").unwrap().clone();
    let rack = client.add_container("rack", &demo).await.unwrap();
    let taken = client.add_container("rack", &demo).await.unwrap_err();
    assert!(matches!(taken, CvpError::Exists { .. }), "{taken}");
    client.rename_container(&rack, "Rack 7 & more").await.unwrap();
    let tasks = client.move_device(&device, &rack).await.unwrap();
    client.run_tasks(&tasks, LIMIT, |_| {}).await.unwrap();
    let inventory = client.inventory().await.unwrap();
    let device = inventory.device(&device.serial).unwrap();
    assert_eq!(inventory.container("Rack 7 & more").unwrap().key, device.container);
    assert_eq!(client.move_device(device, &rack).await.unwrap(), [], "it is there already");
    let held = client.delete_container(&rack).await.unwrap_err();
    assert!(matches!(held, CvpError::InUse { .. }), "{held}");
    let tasks = client.reset_device(device).await.unwrap();
    client.run_tasks(&tasks, LIMIT, |_| {}).await.unwrap();
    client.delete_container(&rack).await.unwrap();
    client.delete_devices(std::slice::from_ref(device)).await.unwrap();
    assert!(client.inventory().await.unwrap().device("10.9.9.9").is_err());
    assert_eq!(portal.contradictions(), Vec::<String>::new());
}

#[rstest::rstest]
#[case("2018.1.4")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_noted_on_cancelled_and_logged(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let devices = client.devices().await.unwrap();
    let ntp = [client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap()];
    let first = client.put_on_device(&devices[0], &ntp).await.unwrap();
    let second = client.put_on_device(&devices[1], &ntp).await.unwrap();
    assert_eq!(client.tasks(Some("Pending")).await.unwrap().len(), 2);
    client.note_task(&first[0], "wait for it").await.unwrap();
    client.cancel_tasks(&first).await.unwrap();
    let cancelled = client.task(&first[0]).await.unwrap().unwrap();
    assert_eq!((&cancelled.state, cancelled.note.as_str()), (&TaskState::Cancelled, "wait for it"));
    assert!(client.execute_tasks(&first).await.is_err());
    client.run_tasks(&second, LIMIT, |_| {}).await.unwrap();
    assert!(!client.task_log(&second[0]).await.unwrap().is_empty());
    assert_eq!(client.tasks(Some("Pending")).await.unwrap(), []);
}

#[rstest::rstest]
#[case::legacy("2018.2.0", Some(true))]
#[case::service("2019.1.0", None)]
#[case::service_by_serial("2020.2.0", None)]
#[case::service_with_an_audit_log("2021.1.0", None)]
#[case::resource("2024.3.0", Some(true))]
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_in_a_change_control_says_why_in_its_own_log(
    #[case] version: &str,
    #[case] approved: Option<bool>,
) {
    let portal = portal(version).await;
    let client = client(&portal);
    let devices = client.devices().await.unwrap();
    let ntp = [client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap()];
    let mut tasks = client.put_on_device(&devices[0], &ntp).await.unwrap();
    tasks.extend(client.put_on_device(&devices[1], &ntp).await.unwrap());
    portal.faults().devices(&devices[0].mac).unreachable(true).unwrap();
    let id = client.create_change(&Change::new("window").parallel(tasks.clone())).await.unwrap();
    let error = client.run_change(&id, LIMIT, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("leaf-1 is not reachable"), "{error}");
    assert_eq!(client.change(&id).await.unwrap().unwrap().is_approved, approved);

    let [failed, done] = [&tasks[0], &tasks[1]];
    assert_eq!(client.task(failed).await.unwrap().unwrap().state, TaskState::Failed);
    let log = client.task_log(failed).await.unwrap();
    assert!(log.iter().any(|line| line.log_details.contains("leaf-1 is not reachable")), "{log:?}");
    assert!(log.iter().all(|line| line.at.is_some() && line.user_name == portal.username()), "{log:?}");
    let log = client.task_log(done).await.unwrap();
    assert!(!log.is_empty() && log.iter().all(|line| !line.log_details.contains("not reachable")), "{log:?}");
}

#[rstest::rstest]
#[case::legacy("2018.2.0")]
#[case::service("2020.2.0")]
#[case::resource("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn a_change_control_that_is_stopped_begins_nothing_more_and_can_go(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let devices = client.devices().await.unwrap();
    let ntp = [client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap()];
    let mut tasks = client.put_on_device(&devices[0], &ntp).await.unwrap();
    tasks.extend(client.put_on_device(&devices[1], &ntp).await.unwrap());
    let id = client.create_change(&Change::new("window").series(tasks.clone())).await.unwrap();
    client.approve_change(&id, "").await.unwrap();
    client.unapprove_change(&id, "").await.unwrap();
    if version != "2018.2.0" {
        assert!(client.start_change(&id, "").await.is_err(), "the approval was taken back");
        client.approve_change(&id, "").await.unwrap();
    }
    portal.faults().devices(&devices[0].mac).slow(Duration::from_secs(3600)).unwrap();
    client.start_change(&id, "").await.unwrap();
    assert_eq!(client.change(&id).await.unwrap().unwrap().status, ChangeStatus::Running);
    assert!(client.delete_change(&id).await.is_err(), "it runs");
    client.stop_change(&id, "enough").await.unwrap();
    let over = client.wait_for_change(&id, LIMIT, |_| {}).await.unwrap();
    assert!(over.outcome().is_err(), "{over:?}");
    assert_eq!(client.task(&tasks[1]).await.unwrap().unwrap().state, TaskState::Pending);
    client.delete_change(&id).await.unwrap();
    assert_eq!(client.change(&id).await.unwrap(), None);
    assert_eq!(portal.contradictions(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn change_controls_wait_for_approval_and_for_their_time() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let devices = client.devices().await.unwrap();
    let ntp = [client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap()];
    let tasks = client.put_on_device(&devices[0], &ntp).await.unwrap();
    let id = client.create_change(&Change::new("window").series(tasks)).await.unwrap();
    assert!(client.start_change(&id, "").await.is_err(), "nobody approved it");
    client.approve_change(&id, "fine").await.unwrap();
    client.unapprove_change(&id, "not now").await.unwrap();
    assert!(client.start_change(&id, "").await.is_err(), "the approval was taken back");
    client.approve_change(&id, "fine").await.unwrap();
    let soon = SystemTime::now() + Duration::from_secs(2);
    client.schedule_change(&id, Some(soon), "").await.unwrap();
    assert_eq!(client.change(&id).await.unwrap().unwrap().status, ChangeStatus::Scheduled);
    let over = client.wait_for_change(&id, LIMIT, |_| {}).await.unwrap();
    over.outcome().unwrap();
    assert!(client.running_config(&devices[0].mac).await.unwrap().contains("192.0.2.1"));
    client.delete_change(&id).await.unwrap();
    assert_eq!(client.change(&id).await.unwrap(), None);
}
