//! What is told of runs: reports in their forms, and alerts.

use serde_json::Value;

use super::{Desk, FILE};

#[test]
fn what_became_of_a_run_is_written_in_the_form_that_the_name_says() {
    let desk = Desk::new(FILE);
    let said = desk.polder(&["run", "changes.yaml", "--report", "report.txt"]);
    assert!(said.code == Some(2) && said.err.contains("its name ends with .json"), "{said:?}");
    let said = desk.polder(&["run", "changes.yaml", "--report", "no/where.html"]);
    assert!(said.code == Some(2) && said.err.contains("there is no folder no for the report"), "{said:?}");
    assert!(!desk.path("cache/polder/changes").exists(), "something was run");
    desk.polder(&["run", "changes.yaml", "--skip", "last", "--report", "run.xml"]).ok();
    desk.polder(&["show", "--report", "show.xml"]).ok();
    let read = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap();
    let junit = read("run.xml");
    assert_eq!(junit, read("show.xml"));
    assert!(junit.contains("<testcase name=\"sw2 row 2: apply\" classname=\"mtu\""), "{junit}");
    assert!(junit.contains("interface et2 mtu 9000, ***") && !junit.contains("hunter2"), "{junit}");
    desk.polder(&["rollback", "--autobackout", "--report", "undone.html"]).ok();
    let page = read("undone.html");
    assert!(
        page.contains("Undone after: all of the run was to be undone") && !page.contains("hunter2"),
        "{page}"
    );
    // What cannot be written is the host's fault, not that of what was typed.
    std::fs::create_dir(desk.path("taken.html")).unwrap();
    let said = desk.polder(&["show", "--report", "taken.html"]);
    assert!(said.code == Some(5) && said.err.contains("cannot write the report taken.html"), "{said:?}");
    // Of a run whose plan is not known any more nothing can be told.
    std::fs::write(desk.path("changes.yaml"), FILE.replace("9000", "9001")).unwrap();
    let said = desk.polder(&["show", "--report", "late.html"]);
    assert!(said.code == Some(2) && said.err.contains("had another plan"), "{said:?}");
    assert!(!desk.path("late.html").exists());
}

#[test]
fn what_is_left_changed_is_told_to_whoever_is_to_hear_it() {
    let desk = Desk::new(STUCK);
    let said = desk.polder(&[
        "run",
        "changes.yaml",
        "--autobackout",
        "--alert-command",
        "cp /dev/stdin alert.json",
        "--report",
        "run.json",
    ]);
    let why = "it could not be undone, rollback failed: `sh -c 'echo stuck >&2; exit 7'`: exit status 7";
    let told = format!(
        "ALERT: stuck on here is left changed, a person is needed: {why}; the last failure was in rollback"
    );
    assert!(said.code == Some(3) && said.err.contains(&told) && said.err.contains("\n  < stuck"), "{said:?}");
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(desk.path(name)).unwrap()).unwrap() };
    let alert = read("alert.json");
    assert_eq!(
        (&alert["step"], &alert["device"], &alert["why"]),
        (&"stuck".into(), &"here".into(), &why.into())
    );
    assert_eq!((&alert["phase"], &alert["tail"]), (&"rollback".into(), &"stuck\n".into()));
    assert_eq!(read("run.json")["alerts"][0]["why"], why);
    // One that does not hear it changes nothing, and is told.
    let said = desk.polder(&["run", "changes.yaml", "--autobackout", "--alert-command", "false"]);
    assert!(
        said.code == Some(3) && said.err.contains("the alert did not reach `--alert-command`"),
        "{said:?}"
    );
    let said = desk.polder(&["run", "changes.yaml", "--alert-command", "'"]);
    assert!(said.code == Some(2) && said.err.contains("it has a quote without an end"), "{said:?}");
}

/// A change that fails, and cannot be undone.
const STUCK: &str = "version: 1
devices: { here: {} }
drivers: { local: { kind: local } }
scenario:
  name: files
  nodes:
    - step: stuck
      targets: all
      apply: { exchanges: [ { send: touch a }, { send: 'false' } ] }
      rollback: [ { exchanges: [ { send: \"sh -c 'echo stuck >&2; exit 7'\" } ] } ]
";
