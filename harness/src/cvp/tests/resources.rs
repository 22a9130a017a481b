//! What a portal has beside devices, configlets, tasks and change controls, asked at the portal of our own.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::portal::{client, portal, spec};
use crate::cvp::{
    Change, Client, ConfigletKind, CvpError, Element, Login, Module, Recorder, Role, ServiceAccount,
    SnapshotPlan, Tag, TagAssignment, TagEdit, User, WorkspaceState, server::Portal,
};

/// Long enough for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn not_found<T: std::fmt::Debug>(asked: Result<T, CvpError>, words: &str) {
    let error = asked.unwrap_err();
    assert!(matches!(error, CvpError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

fn exists<T: std::fmt::Debug>(asked: Result<T, CvpError>) {
    let error = asked.unwrap_err();
    assert!(matches!(error, CvpError::Exists { .. }), "{error}");
}

fn not_in_this_version<T: std::fmt::Debug>(asked: Result<T, CvpError>) {
    let error = asked.unwrap_err();
    assert!(matches!(error, CvpError::NotInThisVersion { .. }), "{error}");
}

/// Somebody else at the same portal.
fn other(portal: &Portal, login: Login) -> Client {
    Client::new(crate::cvp::CvpSpec { login, ..spec(portal) }, None).unwrap()
}

#[rstest::rstest]
#[case("2020.2.0")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_taken_around_changes_by_the_name_of_their_template(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let device = client.devices().await.unwrap().remove(0);
    let plan = SnapshotPlan {
        commands: vec!["show running-config".into(), "show hostname".into()],
        devices: vec![device.serial.clone()],
        every: Some(Duration::from_secs(3600)),
    };
    let template = client.add_snapshot_template("around it", &plan).await.unwrap();
    assert_eq!(client.snapshot_template("around it").await.unwrap(), template);
    assert_eq!(client.snapshot_template(&template.key).await.unwrap().name, "around it");
    assert_eq!(client.snapshot_plan(&template).await.unwrap(), plan);
    not_found(client.snapshot_template("around").await, "`around`; did you mean `around it`?");
    assert_eq!(client.snapshot(&template, &device.serial).await.unwrap(), None);

    let ntp = client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap();
    let tasks = client.put_on_device(&device, &[ntp]).await.unwrap();
    let nameless = Change::new("x").snapshots("aroundit", std::slice::from_ref(&device.serial));
    not_found(client.create_change(&nameless).await, "snapshot template `aroundit`");
    let change = Change::new("x").series(tasks).snapshots("around it", std::slice::from_ref(&device.serial));
    let id = client.create_change(&change).await.unwrap();
    client.run_change(&id, LIMIT, |_| {}).await.unwrap();
    let after = client.snapshot(&template, &device.serial).await.unwrap().unwrap();
    assert!(after.output("show running-config").unwrap().contains("ntp server 192.0.2.1"), "{after:?}");
    assert!(after.output("show hostname").unwrap().contains(&device.hostname), "{after:?}");
    assert_eq!((after.output("show version"), after.at.is_some()), (None, true));

    let changes = client.changes().await.map(|all| all.len()).ok();
    let serials = [device.serial.clone()];
    let again = client.take_snapshots(&template, &serials, LIMIT).await.unwrap().remove(0);
    assert!(again.at > after.at, "{again:?} {after:?}");
    assert_eq!(client.changes().await.map(|all| all.len()).ok(), changes, "nothing is left of it");
    let error = client.take_snapshots(&template, &["absent".into()], LIMIT).await.unwrap_err();
    assert!(matches!(error, CvpError::ChangeFailed { .. }), "{error}");
    client.delete_snapshot_template(&template).await.unwrap();
    assert_eq!(client.snapshot_templates().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_output_comes_in_pieces_and_is_whole() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let device = client.devices().await.unwrap().remove(0);
    let text: String = (1..4000).map(|vlan| format!("vlan {vlan}\n   name ü{vlan}\n")).collect();
    let long = client.add_configlet("long", &text).await.unwrap();
    let tasks = client.put_on_device(&device, &[long]).await.unwrap();
    client.run_tasks(&tasks, LIMIT, |_| {}).await.unwrap();
    let commands = vec!["show running-config".into()];
    let plan = SnapshotPlan { commands, ..SnapshotPlan::default() };
    let template = client.add_snapshot_template("long", &plan).await.unwrap();
    let taken = client.take_snapshots(&template, std::slice::from_ref(&device.serial), LIMIT).await.unwrap();
    let runs = client.running_config(&device.mac).await.unwrap();
    assert!(runs.len() > 60_000);
    assert_eq!(taken[0].output("show running-config"), Some(runs.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_portals_have_no_templates_to_ask_for() {
    let portal = portal("2018.1.4").await;
    let client = client(&portal);
    not_in_this_version(client.snapshot_templates().await);
}

#[rstest::rstest]
#[case("2018.1.4")]
#[case("2024.3.0")]
#[case("2025.1.0")]
#[tokio::test(flavor = "multi_thread")]
async fn images_are_sent_bundled_and_run(#[case] version: &str) {
    let portal = portal(version).await;
    let client = client(&portal);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("EOS-4.33.1F.swi");
    // More than is read at once, with what ends the parts of forms in it.
    let content = b"image\r\n--polder\r\n\0\xff".repeat(40_000);
    std::fs::write(&file, &content).unwrap();
    let image = client.upload_image(&file, LIMIT).await.unwrap();
    assert_eq!((image.name.as_str(), image.version.as_str()), ("EOS-4.33.1F.swi", "4.33.1F"));
    assert!(image.needs_reboot);
    let state: Value = serde_json::from_slice(&portal.dump().unwrap()).unwrap();
    let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(state["images"]["EOS-4.33.1F.swi"]["sha256"], digest);
    exists(client.upload_image(&file, LIMIT).await);
    let error = client.upload_image(&dir.path().join("absent.swi"), LIMIT).await.unwrap_err();
    assert!(matches!(&error, CvpError::Unreadable { file, .. } if file.ends_with("absent.swi")), "{error}");

    let mut bundle = client.add_image_bundle("eos", &["EOS-4.33.1F.swi"], true).await.unwrap();
    assert_eq!((bundle.images.as_slice(), bundle.is_certified), (&["EOS-4.33.1F.swi".to_owned()][..], true));
    exists(client.add_image_bundle("eos", &["EOS-4.33.1F.swi"], true).await);
    assert!(client.add_image_bundle("none", &["absent.swi"], true).await.is_err());
    bundle.is_certified = false;
    client.update_image_bundle(&bundle).await.unwrap();
    assert_eq!(client.image_bundles().await.unwrap(), std::slice::from_ref(&bundle));
    assert_eq!(client.images().await.unwrap()[0].bundles, std::slice::from_ref(&bundle.key));

    let inventory = client.inventory().await.unwrap();
    let (device, demo) = (&inventory.devices[0], inventory.container("Demo").unwrap());
    assert_eq!(client.image_of_device(device).await.unwrap(), None);
    let tasks = client.put_image_on_device(device, &bundle).await.unwrap();
    client.run_tasks(&tasks, LIMIT, |_| {}).await.unwrap();
    assert_eq!(client.image_of_device(device).await.unwrap().as_deref(), Some("eos"));
    assert_eq!(client.devices().await.unwrap()[0].version, "4.33.1F");
    let error = client.delete_image_bundle(&bundle).await.unwrap_err();
    assert!(matches!(error, CvpError::InUse { .. }), "{error}");
    assert!(client.delete_image("EOS-4.33.1F.swi").await.is_err());
    client.take_image_off_device(device, &bundle).await.unwrap();
    assert_eq!(client.put_image_on_container(demo, &bundle).await.unwrap().len(), 3);
    assert_eq!(client.image_of_container(demo).await.unwrap().unwrap().name, "eos");
    client.take_image_off_container(demo, &bundle).await.unwrap();
    assert_eq!(client.image_of_container(demo).await.unwrap(), None);
    client.delete_image_bundle(&bundle).await.unwrap();
    client.delete_image("EOS-4.33.1F.swi").await.unwrap();
    not_found(client.delete_image("EOS-4.33.1F.swi").await, "image");
    assert_eq!((client.images().await.unwrap(), client.image_bundle("eos").await.unwrap()), (vec![], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_edited_in_workspaces_that_are_built_and_submitted() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let device = client.devices().await.unwrap().remove(0);
    let space = client.add_workspace("racks", "who is where").await.unwrap();
    assert_eq!((space.name.as_str(), &space.state), ("racks", &WorkspaceState::Pending));
    let rack = Tag::of_device("rack", "r1");
    let port = Tag { element: Element::Interface, ..Tag::of_device("role", "uplink") };
    let on_device =
        TagAssignment { tag: rack.clone(), device: device.serial.clone(), interface: String::new() };
    let on_port =
        TagAssignment { tag: port.clone(), device: device.serial.clone(), interface: "Ethernet1".into() };
    let nowhere = TagAssignment { device: "absent".into(), ..on_device.clone() };
    client.add_tag(&space.id, &rack).await.unwrap();
    for to in [&on_device, &on_port, &nowhere] {
        client.assign_tag(&space.id, to).await.unwrap();
    }
    let error = client.submit_workspace(&space.id, LIMIT).await.unwrap_err();
    assert!(matches!(error, CvpError::Refused { .. }), "{error}");
    let error = client.build_workspace(&space.id, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("there is no tag role:uplink; there is no device absent"), "{error}");
    client.add_tag(&space.id, &port).await.unwrap();
    client.unassign_tag(&space.id, &nowhere).await.unwrap();
    let made = TagEdit { what: rack.clone(), is_removal: false };
    assert_eq!(client.tag_edits(&space.id).await.unwrap()[0], made);
    let edits = client.tag_assignment_edits(&space.id).await.unwrap();
    assert_eq!(edits.iter().filter(|edit| edit.is_removal).count(), 1, "{edits:?}");
    assert!(!client.tags().await.unwrap().contains(&rack), "it is not merged");
    assert!(client.workspace(&space.id).await.unwrap().unwrap().needs_build);
    client.build_workspace(&space.id, LIMIT).await.unwrap();
    let over = client.submit_workspace(&space.id, LIMIT).await.unwrap();
    assert_eq!(over.state, WorkspaceState::Submitted);
    let there = client.tags().await.unwrap();
    assert!(there.contains(&rack) && there.contains(&port), "{there:?}");
    assert_eq!(client.tag_assignments().await.unwrap(), [on_device, on_port]);
    assert!(client.add_tag(&space.id, &rack).await.is_err(), "it is closed");

    let space = client.add_workspace("given up", "").await.unwrap();
    client.remove_tag(&space.id, &rack).await.unwrap();
    assert_eq!(client.abandon_workspace(&space.id, LIMIT).await.unwrap().state, WorkspaceState::Abandoned);
    assert!(client.tags().await.unwrap().contains(&rack));
    assert_eq!(client.workspaces().await.unwrap().len(), 2);
    assert_eq!(client.workspace("absent").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_roles_come_and_go() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let modules = vec![Module { name: "configlet".into(), mode: "r".into() }];
    let role = Role { name: "reader".into(), modules, ..Role::default() };
    let mut role = client.add_role(&role).await.unwrap();
    exists(client.add_role(&role).await);
    role.description = "reads".into();
    client.update_role(&role).await.unwrap();
    assert_eq!(client.role("reader").await.unwrap(), role);
    not_found(client.role("raeder").await, "did you mean `reader`?");

    let mut user = User { email: "a@b".into(), ..User::new("ada", &role.key) };
    client.add_user(&user, "first").await.unwrap();
    exists(client.add_user(&user, "first").await);
    assert_eq!(client.user("ada").await.unwrap().as_ref(), Some(&user));
    let login = |password: &str| Login::Password { user: "ada".into(), password: password.into() };
    let ada = other(&portal, login("first"));
    ada.log_in().await.unwrap();
    user.last_name = "Lovelace".into();
    client.update_user(&user, None).await.unwrap();
    other(&portal, login("first")).log_in().await.unwrap();
    client.update_user(&user, Some("second")).await.unwrap();
    assert!(ada.devices().await.is_err(), "its session is over and its password no longer good");
    other(&portal, login("second")).log_in().await.unwrap();
    assert!(client.delete_role(&role).await.is_err(), "somebody has it");
    assert_eq!(client.users().await.unwrap().iter().find(|one| one.name == "ada"), Some(&user));
    client.delete_users(&["ada"]).await.unwrap();
    not_found(client.delete_users(&["ada"]).await, "ada");
    not_found(client.update_user(&user, None).await, "ada");
    assert_eq!(client.user("ada").await.unwrap(), None);
    client.delete_role(&role).await.unwrap();
    assert!(client.roles().await.unwrap().iter().all(|one| one.name != "reader"));
}

#[rstest::rstest]
#[case("2022.2.0")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_programs_have_tokens_to_come_in_with(#[case] version: &str) {
    let portal = portal(version).await;
    let dir = tempfile::tempdir().unwrap();
    let har = dir.path().join("cvp.har");
    let client = Client::new(spec(&portal), Some(Recorder::create(&har).unwrap())).unwrap();
    let mut account = ServiceAccount {
        name: "ci".into(),
        description: "builds".into(),
        roles: vec!["network-admin".into()],
        is_enabled: true,
    };
    client.set_service_account(&account).await.unwrap();
    assert!(client.service_accounts().await.unwrap().contains(&account));
    let token = client.add_account_token("ci", "a run", Duration::from_secs(3600)).await.unwrap();
    let known = client.account_tokens().await.unwrap();
    let known = known.iter().find(|known| known.id == token.id).unwrap();
    assert_eq!((known.account.as_str(), known.description.as_str()), ("ci", "a run"));
    assert!(known.valid_until.starts_with("20"), "{known:?}");
    assert_eq!(other(&portal, token.login.clone()).devices().await.unwrap().len(), 3);
    let Login::Token(secret) = &token.login else { panic!("{token:?}") };
    assert!(!format!("{token:?}").contains(secret));
    assert!(!std::fs::read_to_string(&har).unwrap().contains(secret), "it is in the archive");
    account.is_enabled = false;
    client.set_service_account(&account).await.unwrap();
    assert!(other(&portal, token.login.clone()).devices().await.is_err(), "its account is off");
    client.delete_account_token(&token.id).await.unwrap();
    not_found(client.delete_account_token(&token.id).await, "token");
    client.delete_service_account("ci").await.unwrap();
    not_found(client.delete_service_account("ci").await, "service account `ci`");
    assert!(client.add_account_token("ci", "", Duration::from_secs(60)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_and_is_in_no_design_is_kept_by_reconciling() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let device = client.devices().await.unwrap().remove(0);
    let before = client.compare_with_design(&device).await.unwrap();
    assert!(before.reconcile > 0 && before.new == 0, "{before:?}");
    let made = client.reconcile(&device).await.unwrap().unwrap();
    assert_eq!(made.configlet.kind, ConfigletKind::Reconciled);
    assert!(made.configlet.text.contains(&format!("hostname {}", device.hostname)), "{made:?}");
    assert_eq!(client.compare_with_design(&device).await.unwrap().reconcile, 0);
    client.run_tasks(&made.tasks, LIMIT, |_| {}).await.unwrap();

    // What is put on it later comes before, and a second time nothing is new.
    let ntp = client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap();
    let tasks = client.put_on_device(&device, std::slice::from_ref(&ntp)).await.unwrap();
    client.run_tasks(&tasks, LIMIT, |_| {}).await.unwrap();
    let held = client.held_by_device(&device.mac).await.unwrap();
    assert_eq!(held.configlets.last().unwrap().key, made.configlet.key);
    let again = client.reconcile(&device).await.unwrap().unwrap();
    assert_eq!((again.tasks, again.configlet.key), (vec![], made.configlet.key));

    // What no design has any more still runs: it is taken in.
    client.take_off_device(&device, &[ntp]).await.unwrap();
    let taken_in = client.reconcile(&device).await.unwrap().unwrap();
    assert!(taken_in.configlet.text.contains("ntp server 192.0.2.1"), "{taken_in:?}");
    assert_eq!(taken_in.tasks.len(), 1);
    assert_eq!(portal.contradictions(), Vec::<String>::new());
}

#[rstest::rstest]
#[case("2022.2.0")]
#[case("2024.3.0")]
#[tokio::test(flavor = "multi_thread")]
async fn tokens_to_enrol_with_are_told_once_and_kept_nowhere(#[case] version: &str) {
    let portal = portal(version).await;
    let dir = tempfile::tempdir().unwrap();
    let har = dir.path().join("cvp.har");
    let client = Client::new(spec(&portal), Some(Recorder::create(&har).unwrap())).unwrap();
    let serial = client.devices().await.unwrap().remove(0).serial;
    let token = client.enrolment_token(&[serial], Duration::from_secs(86_400)).await.unwrap();
    assert!(token.reveal().len() > 20 && !format!("{token:?}").contains(token.reveal()));
    assert!(!std::fs::read_to_string(&har).unwrap().contains(token.reveal()), "it is in the archive");
    let state = String::from_utf8(portal.dump().unwrap()).unwrap();
    assert!(state.contains("enrolments") && !state.contains(token.reveal()));
    let year = Duration::from_secs(366 * 86_400);
    let error = client.enrolment_token(&[], year).await.unwrap_err().to_string();
    assert!(error.contains("a month at most"), "{error}");
    assert!(client.enrolment_token(&["absent".into()], Duration::from_secs(60)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_searched_for_and_decommissioned() {
    let portal = portal("2024.3.0").await;
    let client = client(&portal);
    let found = client.search("LEAF-2").await.unwrap();
    let device = &found.devices[0];
    assert_eq!((found.devices.len(), device.hostname.as_str(), found.containers.len()), (1, "leaf-2", 0));
    assert_eq!(client.search(&device.serial).await.unwrap(), found);
    assert_eq!(client.search("emo").await.unwrap().containers[0].name, "Demo");
    assert_eq!(client.search("a&b=c").await.unwrap(), client.search("").await.unwrap());
    // It is at work.
    let ntp = client.add_configlet("ntp", "ntp server 192.0.2.1\n").await.unwrap();
    let tasks = client.put_on_device(device, &[ntp]).await.unwrap();
    portal.faults().devices(&device.mac).slow(Duration::from_secs(3600)).unwrap();
    client.execute_tasks(&tasks).await.unwrap();
    let error = client.decommission(device, LIMIT).await.unwrap_err();
    assert!(matches!(error, CvpError::Failed { .. }) && error.to_string().contains("runs"), "{error}");
    let idle = client.search("leaf-3").await.unwrap().devices.remove(0);
    client.decommission(&idle, LIMIT).await.unwrap();
    assert_eq!(client.devices().await.unwrap().len(), 2);
    assert!(client.decommission(&idle, LIMIT).await.is_err(), "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_version_does_not_have_is_said_before_it_is_asked_for() {
    let portal = portal("2020.2.0").await;
    let client = client(&portal);
    let device = client.search("leaf-1").await.unwrap().devices.remove(0);
    not_in_this_version(client.workspaces().await);
    not_in_this_version(client.add_workspace("x", "").await);
    not_in_this_version(client.tags().await);
    not_in_this_version(client.service_accounts().await);
    not_in_this_version(client.add_account_token("x", "", Duration::from_secs(60)).await);
    not_in_this_version(client.enrolment_token(&[], Duration::from_secs(60)).await);
    not_in_this_version(client.decommission(&device, LIMIT).await);
}
