//! Devices that are machines, and what becomes of them when something breaks; the machine is an ssh server on this host.

use std::{fs, path::Path, process::Stdio, sync::Arc, sync::atomic::Ordering, time::Instant};

use super::*;
use crate::guest::tests::Rig;

const MAC: &str = "00:1c:73:00:00:01";
const LINE: &str = "vlan 7\n";
/// The folder of the process that is killed, and what its machine does before that.
const FOLDER: &str = "POLDER_TEST_KILLED_IN";
const LATE: &str = "POLDER_TEST_KILLED_BEFORE_IT_RUNS";

/// `leaf-1` is this machine.
fn machine(rig: &Rig, adapter: Adapter, time_factor: f64) -> PortalSpec {
    let guest = crate::guest::Guest::new(crate::guest::GuestSpec { time_factor, ..rig.spec() });
    let machines = Machines::default();
    machines.add("leaf-1", guest, adapter);
    PortalSpec { driver: Arc::new(machines), ..PortalSpec::default() }
}

impl Ground {
    async fn compliance(&self) -> String {
        let check = json!({"nodeId": MAC, "nodeType": "netelement"});
        let checked = self.post("/web/provisioning/checkCompliance.do", check).await;
        checked["complianceCode"].as_str().unwrap().to_owned()
    }
}

async fn appears(file: &Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} does not appear", file.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_be_reached_fails_its_task_and_the_change_says_why() {
    let Some(rig) = Rig::start("") else { return };
    let config = rig.dir.path().join("config");
    let adapter = Adapter::file(config.to_str().unwrap(), "");
    let ground = ground(machine(&rig, adapter, 0.02)).await;
    let key = ground.configlet("a", LINE).await;
    let task = ground.assign(&[&key]).await;
    rig.server.refuses.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let failed = ground.execute(&task).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(failed["taskStatus"], "FAILED");
    let note = failed["note"].as_str().unwrap();
    assert!(note.contains("not reachable: ") && !note.contains("mktemp"), "{note}");
    let change = format!(
        "/api/resources/changecontrol/v1/ChangeControl?key.id={}",
        failed["ccIdV2"].as_str().unwrap()
    );
    let change = ground.get(&change).await;
    assert!(change["value"]["error"].as_str().unwrap().contains("not reachable"), "{change}");
    assert_eq!(ground.compliance().await, "0005");
    assert!(!config.exists());

    rig.server.refuses.store(false, Ordering::SeqCst);
    // What it runs now is nothing at all.
    assert_eq!(ground.compliance().await, "0001");
    assert_eq!(ground.execute(&task).await["taskStatus"], "COMPLETED");
    assert_eq!(ground.compliance().await, "0000");
    assert!(fs::read_to_string(config).unwrap().contains(LINE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_stops_answering_does_not_hold_its_task_for_ever() {
    let Some(rig) = Rig::start("") else { return };
    let config = rig.dir.path().join("config");
    let begun = rig.dir.path().join("begun");
    let apply = format!("cp \"$1\" {} && touch {} && sleep 1000", config.display(), begun.display());
    let ground = ground(machine(&rig, Adapter::new(apply, format!("cat {}", config.display())), 0.05)).await;
    fs::write(&config, "hostname leaf-1\n").unwrap();
    let task = ground.assign(&[&ground.configlet("a", LINE).await]).await;
    let stop = async {
        appears(&begun).await;
        rig.server.signal("STOP");
    };
    let (failed, ()) = tokio::join!(ground.execute(&task), stop);
    assert_eq!(failed["taskStatus"], "FAILED");
    let note = failed["note"].as_str().unwrap();
    let is_told = note.contains("no answer in ") || note.contains("lost in the middle: ");
    assert!(is_told && !note.contains("mktemp"), "{note}");
    rig.server.signal("CONT");
    // It runs all the same, and that is what is told.
    assert_eq!(ground.compliance().await, "0000");
}

/// A portal whose machine is told to take its time, until it is killed. In the middle of that its state is saved.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `a_portal_that_is_killed_in_the_middle_of_a_task_knows_what_its_machine_runs`"]
async fn a_portal_that_is_killed() {
    let dir = std::path::PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let Some(rig) = Rig::start("") else { return };
    let path = |name: &str| dir.join(name).display().to_string();
    let (config, begun, killed) = (path("config"), path("begun"), path("killed"));
    let wait = format!("touch {begun}; until [ -e {killed} ]; do sleep 0.02; done");
    let apply = match std::env::var_os(LATE) {
        Some(_) => format!("{wait}; exit 1"),
        None => format!("cp \"$1\" {config}; {wait}"),
    };
    let ground = ground(machine(&rig, Adapter::new(apply, format!("cat {config}")), 1.0)).await;
    let task = ground.assign(&[&ground.configlet("a", LINE).await]).await;
    ground.portal.save(&dir.join("before")).unwrap();
    ground.post("/web/task/executeTask.do", json!({"data": [task]})).await;
    appears(Path::new(&begun)).await;
    ground.portal.save(&dir.join("meanwhile")).unwrap();
    fs::write(dir.join("saved"), task).unwrap();
    std::future::pending::<()>().await;
}

#[rstest::rstest]
#[case::begins_again_what_the_machine_took("meanwhile", false)]
#[case::begins_again_what_the_machine_did_not_take("meanwhile", true)]
#[case::has_not_begun_what_the_machine_took("before", false)]
#[case::has_not_begun_what_the_machine_did_not_take("before", true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_killed_in_the_middle_of_a_task_knows_what_its_machine_runs(
    #[case] state: &str,
    #[case] is_late: bool,
) {
    let Some(rig) = Rig::start("") else { return };
    let dir = rig.dir.path().join("other");
    fs::create_dir(&dir).unwrap();
    let config = dir.join("config");
    let old = &DeviceSpec::demo(1).remove(0).config;
    fs::write(&config, old).unwrap();
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    let name = "cvp::server::tests::machines::a_portal_that_is_killed";
    process.args(["--ignored", "--exact", name]).env(FOLDER, &dir).stdout(Stdio::null());
    if is_late {
        process.env(LATE, "1");
    }
    let mut process = process.spawn().unwrap();
    appears(&dir.join("saved")).await;
    process.kill().unwrap();
    process.wait().unwrap();
    fs::write(dir.join("killed"), "").unwrap();

    let spec = machine(&rig, Adapter::file(config.to_str().unwrap(), ""), 1.0);
    let json = fs::read(dir.join(state)).unwrap();
    let ground = ground(PortalSpec { state: Some(json.into()), ..spec }).await;
    let task = fs::read_to_string(dir.join("saved")).unwrap();
    let found = format!("/web/task/getTaskById.do?taskId={task}");
    let mut ended = ground.get(&found).await;
    let began = Instant::now();
    while ended["workOrderUserDefinedStatus"] == "In-Progress" && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        ended = ground.get(&found).await;
    }
    let runs = fs::read_to_string(&config).unwrap().contains(LINE);
    let (is_done, was_saved_late) = (ended["taskStatus"] == "COMPLETED", state == "meanwhile");
    assert_eq!(is_done, was_saved_late, "what was being done is done again: {ended}");
    assert_eq!(runs, !is_late || was_saved_late);
    assert_eq!(ground.compliance().await, if runs { "0000" } else { "0001" });
    let told = ground.get(&format!("/web/inventory/device/config?netElementId={MAC}")).await;
    assert_eq!(told["output"], fs::read_to_string(&config).unwrap());
}
