//! Runs that were killed or interrupted: they go on, are undone, or are named among what is left.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use super::{Desk, FILES, Said, WAIT};

#[test]
fn a_run_that_is_killed_or_interrupted_goes_on_or_is_undone() {
    for signal in ["-KILL", "-INT"] {
        let desk = Desk::new(FILES);
        std::fs::write(desk.path("wait.sh"), WAIT).unwrap();
        let mut command = desk.command(&["run", "changes.yaml"]);
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        desk.until("waits");
        let killed = Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap();
        assert!(killed.success());
        if signal == "-KILL" {
            run.wait().unwrap();
            std::fs::write(desk.path("go"), "").unwrap();
            let said = desk.polder(&["resume", "--autobackout"]).ok();
            assert!(said.contains("changes: 3 ok"), "{said}");
            // What was half done is done anew.
            let shown = desk.json(&["show", "--json"]);
            let ends = shown["entries"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|entry| entry["record"]["end"].as_object());
            let ends: Vec<String> =
                ends.map(|end| format!("{} {}", end["key"]["step"], end["phase"]).replace('"', "")).collect();
            assert_eq!(ends, ["a apply", "b rollback", "b apply", "b verify", "c apply"]);
            assert!(["a", "b", "c"].iter().all(|name| desk.path(name).exists()));
        } else {
            // It is heard while the change is under way, which is ended in order.
            std::thread::sleep(Duration::from_millis(300));
            std::fs::write(desk.path("go"), "").unwrap();
            let said = Said::of(&run.wait_with_output().unwrap());
            assert!(said.code == Some(4) && said.out.contains("successful: a, b\n"), "{said:?}");
            assert!(desk.path("b").exists() && !desk.path("c").exists());
        }
        desk.polder(&["rollback", "--autobackout"]).ok();
        assert!(["a", "b", "c"].iter().all(|name| !desk.path(name).exists()));
    }
}

#[test]
fn a_run_that_was_killed_is_named_among_what_is_left_and_undone() {
    let desk = Desk::new(FILES);
    std::fs::write(desk.path("wait.sh"), "touch waits; exec sleep 600").unwrap();
    let mut run = desk.command(&["run", "changes.yaml"]).stderr(Stdio::null()).spawn().unwrap();
    desk.until("waits");
    // What else this host has is nothing to this test.
    let left = || Said::of(&desk.verb("gc", &["--dry-run"]).output().unwrap()).out;
    let said = left();
    assert!(!said.contains("run of changes"), "it still runs: {said}");
    run.kill().unwrap();
    run.wait().unwrap();
    let said = left();
    let name =
        std::fs::read_dir(desk.path("cache/polder/changes")).unwrap().next().unwrap().unwrap().file_name();
    let name = name.to_str().unwrap();
    let why = "which is gone; it may have left changed: a on here, b on here; ";
    let how = format!("`polder change resume {name}` goes on, `polder change rollback {name}` undoes it");
    assert!(said.contains("keep    run of changes ") && said.contains(&format!("{why}{how}")), "{said}");
    assert!(desk.path("a").exists() && desk.path("b").exists(), "nothing is undone by itself");
    desk.polder(&["rollback", name, "--autobackout"]).ok();
    assert!(!desk.path("a").exists() && !desk.path("b").exists());
    let said = left();
    assert!(!said.contains("run of changes"), "{said}");
}
