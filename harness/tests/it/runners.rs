//! Suites under runners that are not ours: cargo's own, and nextest's protocol.

use crate::binary::{cargo, start_with};

fn under_nextest(name: &str, args: &[&str]) -> crate::binary::Ran {
    start_with(name, args, |command| {
        command.env("NEXTEST", "1");
    })
    .wait()
}

#[test]
fn a_suite_is_one_test_to_nextest() {
    assert_eq!(
        under_nextest("side_by_side", &["--list", "--format", "terse"]).out,
        "left: test\ninner::right: test\n"
    );
    assert_eq!(under_nextest("side_by_side", &["--list", "--format", "terse", "--ignored"]).out, "");
    let ran = under_nextest("ordinary", &["--exact", "ordinary", "--nocapture"]);
    assert_eq!(
        (ran.code, ran.result()),
        (Some(0), "ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out")
    );
    let ran = under_nextest("failing", &["--exact", "bad_teardown", "--nocapture"]);
    assert_eq!(
        (ran.code, ran.result()),
        (Some(101), "FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 20 filtered out")
    );
}

#[test]
fn nextest_itself_lists_and_runs_suites() {
    let nextest = |args: &[&str]| {
        let mut command = cargo();
        command.arg("nextest").args(args);
        command.env("POLDER_OUTPUT_DIR", tempfile::tempdir().unwrap().path());
        command.output().unwrap()
    };
    if !nextest(&["--version"]).status.success() {
        eprintln!("SKIPPED: cargo-nextest is not installed");
        return;
    }
    let targets = ["--workspace", "--test", "failing", "--test", "ordinary"];
    let listed = nextest(&[&["list", "-T", "oneline"], &targets[..]].concat());
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut names: Vec<&str> = listed.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "bad_setup",
            "bad_teardown",
            "badly_changed",
            "left_changed",
            "limits",
            "mixed",
            "ordinary",
            "unbootable",
            "whole_limit"
        ],
        "{listed}"
    );
    let ran =
        nextest(&[&["run", "--no-fail-fast"], &targets[..], &["-E", "test(ordinary) | test(bad_)"]].concat());
    let text = String::from_utf8(ran.stderr).unwrap();
    assert!(text.contains("3 tests run: 1 passed, 2 failed, 6 skipped"), "{text}");
}
