//! `polder cvp` as people use it at a portal: job files in all their parts, and what is asked and done beside them.

mod portals;
mod trouble;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use polder::cvp::{
    Client, CvpSpec, Login, Node, Trust,
    server::{DeviceSpec, Portal, PortalSpec},
};
use serde_json::{Value, json};

use crate::typed::Said;

/// A portal with `sw1`, `sw2` and `sw3`, and a folder with job files in which `polder` is typed.
struct Rig {
    portal: Portal,
    /// The portal's, which ends after it.
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self::imitating("2024.3.0", Duration::from_millis(5))
    }

    fn imitating(version: &str, task_delay: Duration) -> Self {
        Self::of(version, task_delay, 3)
    }

    fn of(version: &str, task_delay: Duration, devices: u16) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut devices = DeviceSpec::demo(devices);
        for (number, device) in devices.iter_mut().enumerate() {
            device.config = device.config.replace("leaf-", "sw");
            device.hostname = format!("sw{}", number + 1);
        }
        let template = json!({
            "name": "before and after", "commands": ["show version"], "devices": [], "frequency": 0,
            "created_by": "me", "created_at": 1, "due": null,
        });
        let state =
            json!({ "version": 1, "settings": {"imitate": version}, "templates": {"tmpl-1": template} });
        let spec = PortalSpec {
            username: "me".into(),
            password: Some("the passw0rd".into()),
            imitate: Some(version.parse().unwrap()),
            task_delay,
            devices,
            state: Some(state.to_string().into_bytes().into()),
            ..PortalSpec::default()
        };
        let portal = runtime.block_on(Portal::start(spec)).unwrap();
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::write(folder.path().join("ca.pem"), portal.ca().unwrap()).unwrap();
        std::fs::create_dir(folder.path().join("configs")).unwrap();
        let rig = Self { portal, runtime, folder };
        rig.write("configs/ntp-lab", "ntp server 192.0.2.1\n");
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// `polder cvp`, with an environment of its own.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.arg("cvp").args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            ["CVP_", "TZ_COUNTRY", "CERT_VALIDATION", "POLDER_", "LAGO"]
                .iter()
                .any(|own| name.starts_with(own))
        }) {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.folder.path());
        command.env("CVP_HOST", self.portal.url()).env("CVP_USER", "me").env("CVP_PASS", "the passw0rd");
        command.env("CVP_CA_FILE", "ca.pem");
        command
    }

    fn polder(&self, args: &[&str]) -> Said {
        let said = Said::of(&self.command(args).output().unwrap());
        assert!(!format!("{said:?}").contains("passw0rd"), "{said:?}");
        said
    }

    fn with(&self, args: &[&str], variables: &[(&str, &str)]) -> Said {
        Said::of(&self.command(args).envs(variables.iter().copied()).output().unwrap())
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.polder(&[args, &["-f", "json"]].concat()).ok()).unwrap()
    }

    /// Applies these jobs; the exit status, and what is said of them.
    fn apply(&self, jobs: Value) -> (Option<i32>, Value) {
        self.apply_with(jobs, &[])
    }

    fn apply_with(&self, jobs: Value, more: &[&str]) -> (Option<i32>, Value) {
        self.write("jobs.json", &jobs.to_string());
        let said = self.polder(&[&["apply", "jobs.json", "-f", "json"], more].concat());
        let report = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        (said.code, report)
    }

    /// What the portal knows, without who has logged in and how time goes by.
    fn state(&self) -> Value {
        let mut state: Value = serde_json::from_slice(&self.portal.dump().unwrap()).unwrap();
        let fields = state.as_object_mut().unwrap();
        for passing in ["clock", "users", "sessions", "tokens", "log"] {
            fields.remove(passing);
        }
        state
    }

    /// What runs on a device.
    fn runs(&self, device: &str) -> String {
        let state = self.state();
        let devices = state["devices"].as_object().unwrap().values();
        let device = devices.into_iter().find(|one| one["hostname"] == device).unwrap();
        device["running"].as_str().unwrap().to_owned()
    }
}

/// What became of each job.
fn outcomes(report: &Value) -> Vec<&str> {
    report["jobs"].as_array().unwrap().iter().map(|job| job["outcome"].as_str().unwrap()).collect()
}

/// What became of each device of a job, in the order of their names.
fn results(job: &Value) -> Vec<(&str, &str)> {
    let devices = job["devices"].as_array().unwrap();
    let mut all: Vec<(&str, &str)> = devices
        .iter()
        .map(|one| (one["device"].as_str().unwrap(), one["result"].as_str().unwrap()))
        .collect();
    all.sort_unstable();
    all
}

fn add(devices: &[&str], apply: bool) -> Value {
    json!({"name": "push ntp", "type": "configlet", "action": "add", "configlet": "configs/ntp-lab",
           "devices": devices, "apply": apply})
}

/// The example of the documentation.
const EXAMPLE: &str = r#"[
  {"name": "push ntp",    "type": "configlet", "action": "add",    "configlet": "configs/ntp-lab", "devices": ["sw1", "sw2"], "apply": false},
  {"name": "refresh ntp", "type": "configlet", "action": "update", "configlet": "configs/ntp-lab", "apply": true},
  {"name": "sw3 too",     "type": "configlet", "action": "add-devices", "configlet": "ntp-lab", "devices": ["sw3"], "apply": false},
  {"name": "window 7",    "type": "change-control", "schedule_at": "2031-05-04 03:30", "timezone": "Europe/Paris",
   "country": "France",   "snapid": "tmpl-1", "apply": true},
  {"name": "new rack",    "type": "container", "action": "create", "container": "Rack 7", "parent": "Tenant"},
  {"name": "into rack",   "type": "container", "action": "attach-device", "container": "Rack 7", "devices": ["sw3"], "apply": true},
  {"name": "clean up",    "type": "configlet", "action": "delete", "configlet": "configs/ntp-lab", "apply": true}
]"#;

#[test]
fn the_example_does_what_it_says() {
    let rig = Rig::new();
    rig.write("jobs.json", EXAMPLE);
    let before = rig.state();
    let plan = rig.polder(&["apply", "jobs.json", "--dry-run"]).ok();
    for line in [
        "1. push ntp (configlet add)",
        "       +ntp server 192.0.2.1",
        "   put `ntp-lab` on sw1, sw2",
        "   execute what earlier jobs left for sw1, sw2",
        "   make the change control `window_7` of the tasks of sw3, all at once",
        "   snapshots by `tmpl-1` before and after",
        "   it is approved, and starts by itself at 2031-05-04 03:30 (Europe/Paris)",
        "   make the container `Rack 7` in `Tenant`",
        "   move sw3 into the container `Rack 7`",
        "   delete the configlet `ntp-lab`",
    ] {
        assert!(plan.lines().any(|one| one == line), "no `{line}` in\n{plan}");
    }
    let plan = rig.json(&["apply", "jobs.json", "--dry-run"]);
    assert_eq!(plan["jobs"][6]["take"], json!(["sw1", "sw2", "sw3"]));
    let named =
        rig.with(&["apply", "--dry-run", "-f", "json"], &[("CVP_JSON", "jobs.json"), ("CVP_TZ", "UTC")]);
    assert_eq!(serde_json::from_str::<Value>(&named.ok()).unwrap(), plan);
    assert_eq!(rig.state(), before, "a dry run changes nothing");

    let table = rig.polder(&["apply", "jobs.json"]).ok();
    assert!(
        table.starts_with("JOB            WHAT                     RESULT     TASKS\n1 push ntp "),
        "{table}"
    );
    let state = rig.state();
    assert_eq!((&state["configlets"], rig.runs("sw1").contains("ntp server")), (&json!({}), false));
    let racks =
        state["containers"].as_object().unwrap().iter().find(|(_, one)| one["name"] == "Rack 7").unwrap();
    let sw3 = state["devices"].as_object().unwrap().values().find(|one| one["hostname"] == "sw3").unwrap();
    assert_eq!(&sw3["placement"]["container"], racks.0);
    let changes = rig.json(&["cc", "list"]);
    let window = changes.as_array().unwrap().iter().find(|one| one["name"] == "window_7").unwrap();
    assert_eq!(
        (&window["state"], &window["schedule"]),
        (&json!("scheduled"), &json!("2031-05-04T01:30:00.000Z"))
    );
    let stages: Vec<&str> =
        window["stages"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(stages.iter().filter(|name| name.starts_with("snapshot of ")).count(), 2, "{stages:?}");
    assert_eq!(rig.portal.contradictions(), Vec::<String>::new());
    // What is there is refused to be made again, and nothing else is done.
    let before = rig.state();
    rig.polder(&["apply", "jobs.json"])
        .fails(2, "jobs.json:7:81: the portal has a container `Rack 7` already");
    assert_eq!(rig.state(), before);
}

#[rstest::rstest]
#[case("2018.1.4", "linear")]
#[case("2018.2.5", "incremental")]
#[case("2020.2.0", "linear")]
#[case("2021.3.0", "serial")]
fn older_portals_have_the_same_done_in_their_ways(#[case] version: &str, #[case] mode: &str) {
    let rig = Rig::imitating(version, Duration::from_millis(5));
    // The oldest one does not tell the names.
    let template = if version == "2018.1.4" { "tmpl-1" } else { "before and after" };
    let (code, report) = rig.apply(json!([
        add(&["sw1", "sw2"], false),
        {"name": "now", "type": "change-control", "apply": true, "mode": mode, "snapid": template},
        {"type": "container", "action": "create", "container": "Rack 7"},
        {"type": "container", "action": "attach-device", "container": "Rack 7", "devices": ["sw3"], "apply": true},
        {"type": "configlet", "action": "remove-devices", "configlet": "ntp-lab", "devices": ["sw2"], "apply": true},
        {"name": "later", "type": "change-control", "tasks": "pending"},
    ]));
    assert_eq!((code, outcomes(&report)), (Some(0), vec!["done"; 6]), "{report:#}");
    assert_eq!(results(&report["jobs"][1]), [("sw1", "completed"), ("sw2", "completed")], "{report:#}");
    assert!(report["jobs"][1]["change_control"].is_string() && report["jobs"][5]["change_control"].is_null());
    assert_eq!(report["jobs"][5]["note"], "no task waits, so there is no change control");
    let has = |device| rig.runs(device).contains("ntp server 192.0.2.1");
    assert_eq!((has("sw1"), has("sw2")), (true, false));
    let snapshots = rig.state()["snapshots"].as_array().unwrap().len();
    assert!(snapshots >= 4, "one of each device before and after: {snapshots}");
    assert_eq!(rig.portal.contradictions(), Vec::<String>::new());
}

#[rstest::rstest]
#[case("2020.2.0", &["cannot schedule change controls; leave the time out", "always stops after an error"])]
#[case("2021.3.0", &["cannot schedule change controls; leave the time out", "always stops after an error"])]
#[case("2018.1.4", &[])]
fn what_a_portal_cannot_do_is_refused_before_anything_is_done(#[case] version: &str, #[case] words: &[&str]) {
    let rig = Rig::imitating(version, Duration::from_millis(5));
    let jobs = json!([
        add(&["sw1"], false),
        {"name": "at night", "type": "change-control", "schedule": "2031-05-04-03-30", "timezone": "Europe/Paris",
         "country": "France", "stop_on_error": false, "apply": true},
    ]);
    if words.is_empty() {
        let (code, report) = rig.apply(jobs);
        assert_eq!((code, &report["jobs"][1]["outcome"]), (Some(0), &json!("done")), "{report:#}");
        let changes = rig.state()["changes"].clone();
        let legacy = &changes.as_object().unwrap().values().next().unwrap()["legacy"];
        assert_eq!(
            (&legacy["date_time"], &legacy["time_zone"], &legacy["country"]),
            (&json!("2031-05-04 03:30"), &json!("Europe/Paris"), &json!("France"))
        );
        return;
    }
    let before = rig.state();
    rig.write("jobs.json", &jobs.to_string());
    let said = rig.polder(&["apply", "jobs.json"]);
    assert!(said.code == Some(2) && words.iter().all(|word| said.err.contains(word)), "{said:?}");
    assert_eq!(rig.state(), before);
}

#[test]
fn all_that_the_portal_does_not_have_is_said_at_once_and_nothing_is_done() {
    let rig = Rig::new();
    let before = rig.state();
    rig.write(
        "jobs.json",
        r#"[
  {"type": "configlet", "action": "add", "configlet": "configs/ntp-lab", "devices": ["sw1", "sw9", "nobody"]},
  {"type": "configlet", "action": "add-devices", "configlet": "ntp-labb", "devices": ["sw1"]},
  {"type": "container", "action": "attach-device", "container": "Demoo", "devices": ["sw3"]},
  {"type": "container", "action": "destroy", "container": "Demo"},
  {"type": "container", "action": "destroy", "container": "Tenant"},
  {"type": "configlet", "action": "delete", "configlet": "ntp-lab"},
  {"type": "configlet", "action": "update", "configlet": "configs/ntp-lab"},
  {"type": "change-control", "snapid": "tmpl-2"}
]"#,
    );
    let said = rig.polder(&["apply", "jobs.json"]);
    assert_eq!(said.code, Some(2));
    let expected = "error: nothing was changed:
jobs.json:2:93: the portal has no device `sw9`; did you mean `sw1`?
jobs.json:2:100: the portal has no device `nobody`
jobs.json:3:63: the portal has no configlet `ntp-labb`; did you mean `ntp-lab`?
jobs.json:4:65: the portal has no container `Demoo`; did you mean `Demo`?
jobs.json:5:59: the container `Demo` cannot be destroyed: it holds sw1, sw2, sw3
jobs.json:6:59: the container `Tenant` cannot be destroyed: it is always there
jobs.json:8:58: the portal has no configlet `ntp-lab` to update; say the `devices` it shall be added for
jobs.json:9:40: the portal has no template of snapshots `tmpl-2`; did you mean `tmpl-1`?";
    assert_eq!(said.err, expected);
    assert_eq!(rig.state(), before);
    // A file that says nothing sensible is told without asking any portal.
    rig.write("jobs.json", r#"[{"type": "change-control", "timzone": "UTC"}]"#);
    let said = rig.with(&["apply", "jobs.json"], &[("CVP_HOST", "127.0.0.1:1")]);
    said.fails(2, "jobs.json:1:29: a change-control job has no key `timzone`; did you mean `timezone`?");
    rig.polder(&["apply", "nowhere.json"]).fails(2, "cannot read the job file nowhere.json: No such file");
}

#[test]
fn what_is_there_already_makes_no_task_and_what_is_out_of_step_gets_one() {
    let rig = Rig::new();
    assert_eq!(rig.apply(json!([add(&["sw1"], true)])).0, Some(0));
    let (code, report) = rig.apply(json!([add(&["sw1"], true)]));
    let device = &report["jobs"][0]["devices"][0];
    assert_eq!(
        (code, &device["why"], &report["jobs"][0]["tasks"]),
        (Some(0), &json!("it runs `ntp-lab` already"), &json!([]))
    );
    // Somebody's task is cancelled: it is assigned, and does not run.
    rig.write("configs/ntp-lab", "ntp server 192.0.2.9\n");
    rig.apply(json!([{"type": "configlet", "action": "update", "configlet": "configs/ntp-lab"}]));
    assert_eq!(rig.json(&["tasks", "--state", "pending"])[0]["id"], "2");
    let again =
        json!([{"type": "configlet", "action": "update", "configlet": "configs/ntp-lab", "apply": true}]);
    rig.write("jobs.json", &again.to_string());
    let plan = rig.polder(&["apply", "jobs.json", "--dry-run"]).ok();
    assert!(plan.contains("a task each for sw1, out of sync, which is executed"), "{plan}");
    let (code, report) = rig.apply(again);
    assert_eq!((code, &report["jobs"][0]["tasks"]), (Some(0), &json!(["3"])), "{report:#}");
    assert!(rig.runs("sw1").contains("ntp server 192.0.2.9"));
    // Who says so keeps what runs.
    let delete = json!([{"type": "configlet", "action": "delete", "configlet": "ntp-lab", "apply": false}]);
    let (code, report) = rig.apply(delete);
    assert_eq!((code, results(&report["jobs"][0])), (Some(0), vec![("sw1", "skipped")]), "{report:#}");
    assert_eq!(
        (rig.json(&["configlets"]), rig.json(&["tasks", "--state", "pending"])[0]["id"].clone()),
        (json!([]), json!("4"))
    );
    assert!(rig.runs("sw1").contains("ntp server 192.0.2.9"));
}

#[test]
fn what_devices_have_from_a_container_is_taken_off_that() {
    let rig = Rig::new();
    let node = Node::parse(&rig.portal.url()).unwrap();
    let login = Login::Password { user: "me".into(), password: "the passw0rd".into() };
    let mut spec = CvpSpec::new(node, login);
    spec.trust = Trust::CaPem(rig.portal.ca().unwrap().as_bytes().to_vec());
    let client = Client::new(spec, None).unwrap();
    rig.runtime.block_on(async {
        let one = client.add_configlet("ntp-lab", "ntp server 192.0.2.1\n").await.unwrap();
        let inventory = client.inventory().await.unwrap();
        client.put_on_container(inventory.container("Demo").unwrap(), &[one]).await.unwrap();
    });
    rig.write("jobs.json", r#"[{"type": "configlet", "action": "remove-devices", "configlet": "ntp-lab", "devices": ["sw1", "sw2"]}]"#);
    let said = rig.polder(&["apply", "jobs.json"]);
    let words = "jobs.json:1:88: sw1 has `ntp-lab` from the container `Demo`, and cannot lose it alone";
    assert!(said.err.contains(words) && said.err.lines().count() == 3, "{said:?}");
    rig.write("configs/ntp-lab", "ntp server 192.0.2.2\n");
    let (code, report) = rig.apply(json!([
        {"type": "configlet", "action": "update", "configlet": "configs/ntp-lab", "apply": true, "devices": ["sw1"]},
        {"type": "configlet", "action": "delete", "configlet": "ntp-lab"},
    ]));
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(results(&report["jobs"][0]), [("sw1", "completed"), ("sw2", "skipped"), ("sw3", "skipped")]);
    assert_eq!(
        results(&report["jobs"][1]),
        [("sw1", "completed"), ("sw2", "completed"), ("sw3", "completed")]
    );
    assert_eq!((rig.json(&["configlets"]), rig.runs("sw1").contains("ntp")), (json!([]), false));
}
