//! Jobs that do not end well: what is told of them, and what becomes of the others.

use std::{
    io::Read,
    process::{Child, Stdio},
    time::Duration,
};

use polder::cvp::server::Fault;
use serde_json::{Value, json};

use super::{Rig, add, outcomes, results};
use crate::typed::Said;

/// `polder cvp apply jobs.json`, as soon as the device's task runs.
fn applying(rig: &Rig, device: &str) -> Child {
    let mut command = rig.command(&["apply", "jobs.json", "-f", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let mut byte = [0];
    while !told.contains(&format!("{device}: running")) {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{told}");
        told.push(char::from(byte[0]));
    }
    // Whatever else it says, somebody takes it.
    std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
    child
}

#[test]
fn a_device_that_fails_keeps_from_being_done_what_builds_on_it_and_nothing_else() {
    let rig = Rig::new();
    rig.portal.faults().devices("sw2").unreachable(true).unwrap();
    let (code, report) = rig.apply(json!([
        add(&["sw1", "sw2"], true),
        {"type": "configlet", "action": "update", "configlet": "configs/ntp-lab", "apply": true},
        {"type": "container", "action": "create", "container": "Rack 7"},
        {"type": "change-control", "apply": true},
    ]));
    assert_eq!(
        (code, outcomes(&report)),
        (Some(1), vec!["failed", "skipped", "done", "skipped"]),
        "{report:#}"
    );
    let first = &report["jobs"][0];
    assert_eq!(results(first), [("sw1", "completed"), ("sw2", "failed")]);
    assert!(
        first["why"].as_str().unwrap().starts_with("sw2 failed: ") && first["tasks"] == json!(["1", "2"]),
        "{first}"
    );
    assert_eq!(report["jobs"][1]["why"], "it builds on job 1 (`push ntp`), which failed");
    // It has to be put there before it is deleted; and is not, while a device runs it.
    let delete = json!([{"type": "configlet", "action": "delete", "configlet": "ntp-lab"}]);
    let (code, report) = rig.apply(delete.clone());
    assert_eq!((code, results(&report["jobs"][0])), (Some(1), vec![("sw1", "completed"), ("sw2", "failed")]));
    assert_eq!(report["jobs"][0]["note"], "`ntp-lab` is not deleted, because sw2 still runs it");
    assert_eq!(rig.json(&["configlets"])[0]["name"], "ntp-lab");
    rig.portal.faults().heal();
    let (code, _) = rig.apply(delete);
    assert_eq!((code, rig.json(&["configlets"])), (Some(0), json!([])));
}

#[test]
fn time_is_up_in_seconds_and_another_portal_s_refusal_is_not_the_next_job_s() {
    let rig = Rig::new();
    rig.portal.faults().devices("sw1").slow(Duration::from_secs(60)).unwrap();
    let (code, report) = rig.apply_with(json!([add(&["sw1", "sw2"], true)]), &["--timeout", "1"]);
    assert_eq!(
        (code, results(&report["jobs"][0])),
        (Some(1), vec![("sw1", "timed-out"), ("sw2", "completed")])
    );
    let last = report["jobs"][0]["devices"].to_string();
    assert!(last.contains("task 1 running"), "{last}");

    rig.portal.faults().next("/configlet/updateConfiglet.do", 1, Fault::Status(500));
    rig.write("configs/ntp-lab", "ntp server 192.0.2.9\n");
    let update =
        json!({"name": "u", "type": "configlet", "action": "update", "configlet": "configs/ntp-lab"});
    let rack = json!({"name": "r", "type": "container", "action": "create", "container": "Rack 7"});
    let (code, report) = rig.apply(json!([update, rack]));
    assert_eq!((code, outcomes(&report)), (Some(1), vec!["failed", "done"]), "{report:#}");
    let why = report["jobs"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("the portal refused to update the configlet `ntp-lab`: 500"), "{why}");
}

#[test]
fn a_change_control_that_fails_says_what_each_device_has() {
    let rig = Rig::new();
    rig.portal.faults().devices("sw1").unreachable(true).unwrap();
    let (code, report) = rig.apply(json!([
        add(&["sw1", "sw2"], false),
        {"name": "window 7", "type": "change-control", "mode": "incremental", "apply": true},
    ]));
    let change = &report["jobs"][1];
    assert_eq!((code, change["outcome"].as_str()), (Some(1), Some("failed")), "{report:#}");
    let why = change["why"].as_str().unwrap();
    assert!(
        why.starts_with("the change control `window_7` failed: ") && change["change_control"].is_string(),
        "{why}"
    );
    assert_eq!(results(change), [("sw1", "failed"), ("sw2", "skipped")], "{change:#}");
}

#[test]
fn who_stops_it_is_told_what_is_done_and_what_is_not() {
    let rig = Rig::new();
    rig.portal.faults().devices("sw1").slow(Duration::from_secs(60)).unwrap();
    let rack = json!({"name": "rack", "type": "container", "action": "create", "container": "Rack 7"});
    rig.write("jobs.json", &json!([rack, add(&["sw1"], true), {"type": "change-control"}]).to_string());
    let child = applying(&rig, "sw1");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let said = Said::of(&child.wait_with_output().unwrap());
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, outcomes(&report)), (Some(4), vec!["done", "stopped", "skipped"]), "{report:#}");
    let device = &report["jobs"][1]["devices"][0];
    assert!(device["why"].as_str().unwrap().starts_with("its task 1 is running"), "{device}");
    assert_eq!(
        (&report["stopped"], &report["jobs"][2]["why"]),
        (&json!(true), &json!("it was stopped before"))
    );
}

#[test]
fn when_the_portal_is_lost_everything_after_it_is_skipped() {
    let rig = Rig::new();
    rig.portal.faults().devices("sw1").slow(Duration::from_secs(60)).unwrap();
    let rack = json!({"name": "rack", "type": "container", "action": "create", "container": "Rack 7"});
    rig.write("jobs.json", &json!([add(&["sw1"], true), rack]).to_string());
    let child = applying(&rig, "sw1");
    let Rig { portal, runtime, folder } = rig;
    runtime.block_on(portal.stop());
    let said = Said::of(&child.wait_with_output().unwrap());
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, outcomes(&report)), (Some(1), vec!["failed", "skipped"]), "{report:#}");
    let why = report["jobs"][1]["why"].as_str().unwrap();
    assert!(
        why.starts_with("an earlier job lost the portal: ") && why.contains("Connection refused"),
        "{why}"
    );
    let device = &report["jobs"][0]["devices"][0];
    assert_eq!(device["why"], "its task 1 is running (In-Progress), and goes on by itself");
    drop(folder);
}

#[test]
fn twenty_devices_are_served_at_once_and_the_others_after_them() {
    let rig = Rig::of("2024.3.0", Duration::from_millis(20), 45);
    let names: Vec<String> = (1..=45).map(|number| format!("sw{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (code, report) = rig.apply(json!([add(&names, true)]));
    assert_eq!(code, Some(0), "{report:#}");
    assert!(results(&report["jobs"][0]).iter().all(|(_, result)| *result == "completed"), "{report:#}");
    let state = rig.state();
    let times = |name: &str, range: std::ops::Range<u64>| -> Vec<u64> {
        range.map(|id| state["tasks"][id.to_string()][name].as_u64().unwrap()).collect()
    };
    for begin in [21, 41] {
        let before = times("completed_at", begin - 20..begin).into_iter().max().unwrap();
        let after = times("executed_at", begin..(begin + 20).min(46)).into_iter().min().unwrap();
        assert!(
            before <= after,
            "the tasks from {begin} on are executed at {after}, those before end at {before}"
        );
    }
}
