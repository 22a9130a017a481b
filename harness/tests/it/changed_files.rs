//! Files of changes that suites name: done by parameter and by name, undone when the suite ends, refused before anything starts.

use std::fs;

use crate::binary::start_with;

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
    let told = ran.events();
    let state = |change: &str| {
        let told =
            told.iter().filter(|event| event["kind"] == "change_reported" && event["change"] == change);
        told.map(|event| event["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(state("first-note"), ["success", "backout_ok"]);
    assert_eq!(state("kept"), ["success"]);
    assert!(state("fails").iter().all(|state| state == "backout_ok"), "{:?}", state("fails"));
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
