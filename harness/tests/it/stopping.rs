//! The operator's Ctrl-C, once and twice, and the death of whoever started us.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::binary::{Running, path, start, start_with};

fn begun(running: &Running) {
    running.until(&running.scenario("endless", "goes_on_and_on").join("begun"));
}

#[rstest::rstest]
#[case(Signal::INT)]
#[case(Signal::TERM)]
#[case(Signal::HUP)]
fn the_first_signal_tears_down(#[case] signal: Signal) {
    let running = start("endless", &[]);
    begun(&running);
    let start = Instant::now();
    running.signal(signal);
    let ran = running.wait();
    assert_eq!(ran.code, Some(4), "{}", ran.notes);
    assert_eq!(
        ran.outcomes(),
        [
            "endless::quick ... ok",
            "endless::goes_on_and_on ... not run: stopped by the operator before its end",
            "endless::never_begins ... not run: stopped by the operator",
        ]
    );
    assert_eq!(ran.result(), "stopped. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    assert_eq!(ran.file("endless/teardown/done"), "", "teardown ran to its end");
    assert!(ran.notes.contains("Ctrl-C leaves at once"), "{}", ran.notes);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_second_signal_leaves_at_once() {
    let running = start_with("endless", &[], |command| {
        command.env("FIXTURE_SLOW", "1");
    });
    begun(&running);
    running.signal(Signal::INT);
    running.until(&running.scenario("endless", "teardown").join("begun"));
    let start = Instant::now();
    running.signal(Signal::INT);
    let ran = running.wait();
    assert_eq!(ran.code, Some(4));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(!ran.root().join("latest/endless/teardown/done").exists());
}

#[test]
fn the_death_of_the_parent_is_a_first_signal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("polder/latest/endless");
    // A shell that does not become the suite: it is killed as a runner can be.
    let mut shell = Command::new("sh")
        .args(["-c", "\"$0\"; true"])
        .arg(path("endless"))
        .env_remove("NEXTEST")
        .env("POLDER_OUTPUT_DIR", folder.path().join("polder"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait = |path: &std::path::Path| {
        let start = Instant::now();
        while !path.exists() {
            assert!(start.elapsed() < Duration::from_secs(10), "{} did not appear", path.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait(&file.join("goes_on_and_on/begun"));
    shell.kill().unwrap();
    shell.wait().unwrap();
    wait(&file.join("teardown/done"));
    // The run's last event is written although nobody reads the output any more.
    let events = folder.path().join("polder/latest/events.jsonl");
    let start = Instant::now();
    while !std::fs::read_to_string(&events).unwrap().contains("run_finished") {
        assert!(start.elapsed() < Duration::from_secs(10), "the run did not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}
