//! Files of changes that suites name: done by parameter and by name, undone when the suite ends, refused before anything starts;
//! and what can be undone when somebody ends the suite amid one.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use rustix::process::Signal;

use crate::{
    arena,
    binary::{Ran, Running, start_with},
};

/// What was told of a change, one after the other.
fn states(ran: &Ran, change: &str) -> Vec<String> {
    let told = ran.events().into_iter();
    let told = told.filter(|event| event["kind"] == "change_reported" && event["change"] == change);
    told.map(|event| event["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn changes_of_a_suites_file_are_done_and_undone() {
    let left = tempfile::tempdir().unwrap();
    let ran = start_with("changed", &[], |command| {
        command.env("POLDER_VAR_dir", left.path());
    });
    let ran = ran.wait();
    // The two suites run side by side.
    let mut outcomes = ran.outcomes();
    outcomes.sort_by_key(|outcome| outcome.starts_with("without"));
    assert_eq!(
        outcomes,
        [
            "changed::is_amid_a_change ... ignored, does not end by itself",
            "changed::does_what_the_parameter_names ... ok",
            "changed::does_what_is_named_on_some ... ok",
            "changed::does_all_of_a_scenario ... ok",
            "changed::says_what_is_unknown ... ok",
            "changed::fails_and_is_undone_at_once ... FAILED",
            "without::has_no_file ... ok",
        ],
        "{}{}",
        ran.out,
        ran.notes
    );
    assert!(
        ran.out.contains("the change `fails` failed: here (rolled_back): `false`: exit status 1"),
        "{}",
        ran.out
    );
    let mut names: Vec<_> = fs::read_dir(left.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["count", "kept-here"], "what is not to stay is undone");
    assert_eq!(states(&ran, "first-note"), ["success", "backout_ok"]);
    assert_eq!(states(&ran, "kept"), ["success"]);
    let fails = states(&ran, "fails");
    assert!(fails.iter().all(|state| state == "backout_ok"), "{fails:?}");
    let page = ran.file("changed/changes/1-first-note/report.html");
    assert!(page.contains("first-note") && page.contains("touch"), "{page}");
}

#[test]
fn what_its_file_lacks_is_said_before_anything_starts() {
    let ran = start_with("changed", &["does_what"], |command| {
        command.env_remove("POLDER_VAR_dir");
    });
    let ran = ran.wait();
    assert_eq!(ran.code, Some(2), "{}", ran.notes);
    assert!(ran.notes.contains("there is no variable `dir` for"), "{}", ran.notes);
    assert!(ran.notes.contains("changed.yaml:7:"), "{}", ran.notes);
    assert!(!ran.root().exists(), "nothing has begun");
}

/// The suite, as soon as both of its devices are amid a change.
fn amid(left: &Path) -> Running {
    let running = start_with("changed", &["--ignored", "--exact", "changed::is_amid_a_change"], |command| {
        command.env("POLDER_VAR_dir", left);
    });
    for device in ["here", "there"] {
        running.until(&left.join(format!("slow-{device}")));
    }
    running
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_suite_that_is_stopped_amid_a_change_undoes_it_on_all_devices() {
    let left = tempfile::tempdir().unwrap();
    let running = amid(left.path());
    running.signal(Signal::INT);
    let ran = running.wait();
    assert_eq!(ran.code, Some(4), "{}", ran.notes);
    let end = "changed::is_amid_a_change ... not run: stopped by the operator before its end";
    assert_eq!(ran.outcomes(), [end], "{}", ran.out);
    assert!(is_empty(left.path()), "{}", ran.notes);
    assert_eq!(states(&ran, "slow"), ["backout_ok"]);
}

#[test]
fn what_a_killed_suite_was_amid_is_undone_by_the_command() {
    let left = tempfile::tempdir().unwrap();
    let mut running = amid(left.path());
    let below = arena::all_below(Some(i32::try_from(running.child.id()).unwrap()));
    running.child.kill().unwrap();
    let ran = running.wait();
    let ended = std::time::Instant::now();
    while below.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        assert!(ended.elapsed() < arena::LIMIT, "what it had started goes on");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!is_empty(left.path()), "nobody undoes it by himself");
    let run = ran.root().join("latest/changed/changes/1-slow");
    let change = |verb: &str, more: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(["change", verb]).arg(&run).args(more).env("POLDER_VAR_dir", left.path());
        command.env("XDG_CONFIG_HOME", left.path().with_extension("none")).output().unwrap()
    };
    // As often as one likes.
    for _ in 0..2 {
        let undone = change("rollback", &["--autobackout"]);
        assert_eq!(undone.status.code(), Some(0), "{undone:?}");
        assert!(is_empty(left.path()), "{undone:?}");
    }
    let shown = String::from_utf8(change("show", &[]).stdout).unwrap();
    assert!(shown.contains("backout_ok"), "{shown}");
}
