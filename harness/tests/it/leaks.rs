//! What suites leave on the host is told, with the scenario that made it, and fails the run; those that leave nothing are left
//! alone.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{arena, binary::start_with};

/// Ends what was left on purpose.
struct Left(Vec<i32>);

impl Drop for Left {
    fn drop(&mut self) {
        for pid in &self.0 {
            arena::all_below(Some(*pid)).into_iter().chain([*pid]).for_each(arena::kill);
        }
    }
}

/// Unmounts what is mounted below a folder.
struct Mounts<'a>(&'a Path);

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        let place = |dir: fs::DirEntry| dir.path().join("forgetful/forgets_a_mount/a place");
        for place in fs::read_dir(self.0).into_iter().flatten().flatten().map(place) {
            let _ = Command::new("umount").arg(place).output();
        }
    }
}

fn leaks(events: &[Value]) -> Vec<String> {
    let leaks = events.iter().filter(|event| event["kind"] == "leak");
    let word = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    leaks
        .map(|event| ["suite", "scenario", "leak", "what"].map(|name| word(event, name)).join(" | "))
        .collect()
}

#[test]
fn what_a_suite_leaves_is_told_and_fails_it() {
    let labs = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let mounts = rustix::process::geteuid().is_root();
    let running = start_with("leaky", &["--test-threads=1"], |command| {
        command.env("POLDER_RUNTIME_DIR", labs.path());
        if mounts {
            command.env("FIXTURE_MOUNTS", "1");
        }
    });
    let ran = running.wait();
    let root = ran.root();
    let _mounts = Mounts(&root);
    let events = ran.events();
    let told = leaks(&events);
    let number = |text: &str| text.rsplit_once("process ")?.1.split(' ').next()?.parse::<i32>().ok();
    let _left =
        Left(told.iter().filter(|text| text.contains("| process |")).filter_map(|t| number(t)).collect());
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    let unnumbered = |text: &String| match number(text) {
        Some(number) => text.replace(&number.to_string(), "N"),
        None => text.replace(&format!("{}/", root.display()), ""),
    };
    let mut shown: Vec<String> = told.iter().map(unnumbered).collect();
    if mounts {
        let mount = shown.pop().unwrap();
        assert!(mount.starts_with("forgetful | forgets_a_mount | mount | a mount at "), "{mount}");
        assert!(mount.ends_with("/forgetful/forgets_a_mount/a place"), "{mount}");
    }
    assert_eq!(
        shown,
        [
            "forgetful | forgets_a_process | process | process N `sh -c sleep 47; true`",
            "forgetful | forgets_a_lab | lab | a lab, whose warden is process N"
        ]
    );
    let failed: Vec<&Value> = events.iter().filter(|event| event["outcome"]["outcome"] == "failed").collect();
    let [failed] = failed.as_slice() else { panic!("{failed:?}") };
    assert_eq!((&failed["suite"], &failed["scenario"]), (&"forgetful".into(), &"leaks".into()));
    // In the order in which it is: nothing of the suite comes after that but its end.
    let of_suite: Vec<&Value> = events.iter().filter(|event| event["suite"] == "forgetful").collect();
    let kinds: Vec<&str> =
        of_suite.iter().rev().take(3).map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["suite_finished", "scenario_finished", "leak"]);
    let said = "`sh -c sleep 47; true`, since `forgets_a_process`";
    for (place, text) in
        [("terminal", &ran.out), ("junit", &ran.file("junit.xml")), ("page", &ran.file("report.html"))]
    {
        assert!(text.contains("the suite has ended and left") && text.contains(said), "{place}: {text}");
    }
    assert!(ran.out.contains("---- forgetful::leaks ----") && ran.out.contains("; 1 failed;"), "{}", ran.out);
    // The lab ends with its owner.
    let since = Instant::now();
    while !arena::remains(labs.path()).is_empty() {
        assert!(since.elapsed() < arena::LIMIT, "{:?}", arena::remains(labs.path()));
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn suites_that_leave_nothing_have_no_leaks() {
    let ran = start_with("leaky", &["tidy::", "afterwards::", "--test-threads=2"], |_| {}).wait();
    assert_eq!((ran.code, leaks(&ran.events())), (Some(0), vec![]), "{}", ran.out);
}
