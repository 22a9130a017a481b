//! A run as somebody sees it who watches: at a terminal, in the log of a CI system, with everything told; and what is left of
//! one that is killed.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    binary::{Ran, path, start_with},
    screen::Terminal,
};

const LIMIT: Duration = Duration::from_secs(60);

/// The suites `watched` at a terminal.
fn open(rows: u16, columns: u16, args: &str, set: &[(&str, &str)]) -> Terminal {
    Terminal::open((rows, columns), path("watched"), &format!("--test-threads 2 {args}"), set)
}

#[test]
fn what_is_under_way_is_seen_at_a_terminal_and_gone_in_the_end() {
    let terminal = open(30, 70, "", &[]);
    let tree = [
        "harbour ",
        "    has_a_crane ",
        "        crane: waits for ",
        "sea ",
        "    is_calm ",
        "1 of 4 scenarios, ",
    ];
    let screen = terminal.see(&tree);
    // Above it is what stays, also what is not ours.
    let above = screen.split("\n\n").nth(1).unwrap_or_default();
    assert!(
        screen.starts_with("\nrunning 4 tests\n") && screen.contains("test harbour::opens ... ok"),
        "{screen}"
    );
    assert!(screen.contains("printed by the scenario\n"), "{above}\n---\n{screen}");
    let now = screen.lines().position(|line| line.starts_with("harbour ")).unwrap();
    assert!(screen.lines().skip(now).all(|line| !line.starts_with("test ")), "{screen}");

    terminal.resize(9, 40);
    let narrow = terminal.see(&["…"]);
    assert!(narrow.lines().count() <= 9 && narrow.contains("1 of 4 scenarios, "), "{narrow}");
    terminal.resize(40, 80);
    terminal.go();
    let (code, screen, all) = terminal.end();
    assert_eq!(code, Some(101), "{screen}");
    for stays in ["test sea::is_calm ... ok (", "test result: FAILED. 3 passed; 1 failed"] {
        assert!(screen.contains(stays), "no {stays:?} in\n{screen}");
    }
    assert!(!screen.contains("of 4 scenarios") && !screen.contains("    is_calm"), "{screen}");
    assert!(screen.trim_end().lines().next_back().unwrap().starts_with("report: "), "{screen}");
    assert!(all.contains("\x1b[32mok\x1b[0m") && all.contains("\x1b[38;5;"), "no colours: {all:?}");
}

#[test]
fn who_wants_no_colours_or_no_tree_has_none() {
    let terminal = open(30, 70, "", &[("NO_COLOR", "1")]);
    terminal.see(&["harbour ", "        crane: waits for "]);
    terminal.go();
    let (_, _, all) = terminal.end();
    assert!(!all.contains("\x1b[3") && !all.contains("\x1b[1m"), "{all:?}");
    for (args, set) in [("", ("TERM", "dumb")), ("--verbose", ("TERM", "xterm")), ("-q", ("TERM", "xterm"))] {
        let terminal = open(30, 70, args, &[set]);
        terminal.go();
        let (code, _, all) = terminal.end();
        assert_eq!(code, Some(101), "{all}");
        assert!(!all.contains("\x1b[J") && !all.contains("of 4 scenarios"), "{args}: {all:?}");
    }
}

#[rstest::rstest]
// The first one ends it in order, the second one at once.
#[case(1)]
#[case(2)]
fn an_interrupted_run_leaves_a_clean_terminal(#[case] times: usize) {
    let mut terminal = open(30, 70, "sea", &[]);
    terminal.see(&["sea ", "    is_calm ", "0 of 1 scenarios, "]);
    for _ in 0..times {
        terminal.press(b"\x03");
    }
    let (code, screen, _) = terminal.end();
    assert_eq!(code, Some(4), "{screen}");
    assert!(!screen.contains("of 1 scenarios") && !screen.contains("    is_calm"), "{screen}");
    assert!(screen.contains("stopping: asked to"), "{screen}");
}

/// Runs what fails at once, elsewhere than at a terminal.
fn piped(args: &[&str], set: &[(&str, &str)]) -> Ran {
    let args = [&["harbour::is_closed", "harbour::opens"], args].concat();
    let running = start_with("watched", &args, |command| {
        command.envs(set.iter().copied());
    });
    running.wait()
}

#[test]
fn ci_systems_are_told_in_their_own_words_and_nobody_elses() {
    let plain = piped(&[], &[("CI", "true")]);
    assert!(
        !plain.notes.contains("::error ") && plain.out.contains("\n::error::not from us\n"),
        "{}",
        plain.out
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "before\n").unwrap();
    let page = file.path().display().to_string();

    let ran = piped(&["--verbose"], &[("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", &page)]);
    let place = "::error file=harness/tests/suites/watched.rs,line=";
    let error = ran.notes.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(error.starts_with(place), "{error}");
    assert!(
        error.contains(",title=harbour%3A%3Ais_closed::closed on Fridays%0A::error::not from us"),
        "{error}"
    );
    let lines: Vec<&str> = ran.notes.lines().collect();
    let group = lines.iter().position(|line| *line == "::group::harbour").unwrap();
    let end = lines.iter().position(|line| *line == "::endgroup::").unwrap();
    assert!(lines[group..end].iter().any(|line| line.ends_with("@ look at=the gate")), "{}", ran.notes);
    // What is ours are three lines, and none of what is printed is a command besides.
    let commands =
        ran.notes.lines().chain(ran.out.lines()).filter(|line| line.trim_start().starts_with("::"));
    assert_eq!(commands.count(), 3, "{}\n{}", ran.out, ran.notes);
    assert!(ran.out.contains("\n: :error::not from us\n"), "{}", ran.out);
    let page = fs::read_to_string(file.path()).unwrap();
    assert!(page.starts_with("before\n| suite |") && page.contains("| ❌ harbour | 1 | 1 | 0 |"), "{page}");

    let ran = piped(&["--verbose"], &[("GITLAB_CI", "true")]);
    assert!(
        ran.notes.contains("\x1b[0Ksection_start:") && ran.notes.contains("\r\x1b[0Kharbour\n"),
        "{}",
        ran.notes
    );
    assert!(!ran.notes.contains("::error "), "{}", ran.notes);
}

#[test]
fn everything_is_told_to_who_asks_for_it() {
    let ran = piped(&["--verbose"], &[]);
    let lines: Vec<&str> =
        ran.notes.lines().filter_map(|line| Some(line.split_once(" harbour::is_closed ")?.1)).collect();
    let expected = ["begins", "@ look at=the gate", "  it is shut"];
    assert_eq!(lines[..3], expected, "{}", ran.notes);
    assert!(lines[3].starts_with("@ look at=the gate (0."), "{}", ran.notes);
    assert!(ran.out.contains("log:\n") && ran.out.contains(" @ look at=the gate (0."), "{}", ran.out);
    let quiet = piped(&[], &[]);
    // What failed, what to do about it, and where the rest is.
    let lines: Vec<&str> = quiet.notes.lines().collect();
    assert!(lines.len() == 3 && lines[1].starts_with("again: "), "{}", quiet.notes);
}

#[test]
fn a_killed_run_leaves_what_happened_until_then() {
    let go = PathBuf::from("/nonexistent/polder-go");
    let mut running = start_with("watched", &[], |command| {
        command.env("WATCHED_GO", &go);
    });
    let events = running.scenario("", "").join("events.jsonl");
    let start = Instant::now();
    let told = || fs::read_to_string(&events).unwrap_or_default();
    while !["\"waiting\"", "harbour\",\"scenario\":\"has_a_crane\"", "sea\",\"scenario\":\"is_calm\""]
        .iter()
        .all(|word| told().contains(word))
    {
        assert!(start.elapsed() < LIMIT, "{}", told());
        thread::sleep(Duration::from_millis(10));
    }
    running.signal(Signal::KILL);
    running.child.wait().unwrap();
    let ran = running.wait();
    let kinds: Vec<String> =
        ran.events().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds[0], "run_started");
    assert_eq!(kinds.iter().filter(|kind| *kind == "scenario_started").count(), 3, "{kinds:?}");
    assert!(!kinds.contains(&"run_finished".to_owned()));
}
