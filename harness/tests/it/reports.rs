//! Reports of runs, as those see them who read them: parsers that are not ours, a browser, people at a terminal.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{binary::run, browser::look_at};

/// A run that is made up, in the documented vocabulary; one in ten of its scenarios fails, each tenth is flaky.
struct MadeUp {
    lines: String,
    at: f64,
}

impl MadeUp {
    fn tell(&mut self, kind: &str, mut event: Value) {
        event["kind"] = kind.into();
        let stamped = json!({ "time": 1_795_238_105.0 + self.at, "since_start": self.at, "event": event });
        self.lines += &format!("{stamped}\n");
        self.at += 0.05;
    }

    fn of(suites: usize, scenarios: usize) -> String {
        let mut run = Self { lines: String::new(), at: 0.0 };
        let names: Vec<String> = (0..suites).map(|n| format!("area{n}::suite")).collect();
        let head = json!({ "version": 1, "polder": "0.1.0", "run": "20261121T051505Z-7", "suites": names, "scenarios": suites * scenarios });
        run.tell("run_started", head);
        for suite in &names {
            run.suite(suite, scenarios);
        }
        run.tell(
            "run_finished",
            json!({ "passed": 1, "failed": 1, "not_run": 0, "ignored": 0, "seconds": run.at }),
        );
        run.lines
    }

    fn suite(&mut self, suite: &str, scenarios: usize) {
        let of = |name: &str, mut event: Value| {
            event["suite"] = suite.into();
            event["scenario"] = name.into();
            event
        };
        self.tell("suite_started", json!({ "suite": suite, "place": "tests/area.rs:7" }));
        self.tell("scenario_started", of("environment", json!({ "prerequisite": false })));
        for machine in ["web", "db"] {
            self.tell(
                "suite_progress",
                json!({ "suite": suite, "text": format!("{machine}: answers over ssh") }),
            );
        }
        self.tell(
            "scenario_finished",
            of("environment", json!({ "outcome": { "outcome": "passed" }, "seconds": 0.2 })),
        );
        let machine = |name: &str, ip: &str| json!({ "name": name, "image": "debian12", "addresses": [ip] });
        let machines = [machine("web", "10.0.0.2"), machine("db", "10.0.0.3")];
        self.tell(
            "environment_ready",
            json!({ "suite": suite, "prefix": "/var/cache/e1", "machines": machines }),
        );
        for n in 0..scenarios {
            let name = format!("scenario_{n:03}");
            let begun = self.at;
            self.tell(
                "scenario_started",
                of(&name, json!({ "prerequisite": n == 1, "place": format!("tests/area.rs:{}", n + 9) })),
            );
            if n % 10 == 4 {
                let failed =
                    json!({ "attempt": 1, "fault": "product", "error": "too early", "seconds": 0.1 });
                self.tell("attempt_failed", of(&name, failed));
                self.tell("scenario_started", of(&name, json!({ "prerequisite": false, "attempt": 2 })));
            }
            let on = if n % 2 == 0 { "web" } else { "db" };
            let command = format!("succeed machine={on} command=\"systemctl start app-{n}\"");
            self.tell("span_started", of(&name, json!({ "span": 0, "machine": on, "text": command })));
            self.tell("log", of(&name, json!({ "span": 0, "text": format!("out: started needle-{n}") })));
            self.tell("span_finished", of(&name, json!({ "span": 0, "seconds": 0.1 })));
            let is_bad = n % 10 == 3;
            let end = if is_bad { "late" } else { "true" };
            let wait = json!({ "what": "port 8080 of web", "end": end, "seen": "connection refused", "history": "", "looks": 4, "seconds": 0.05 });
            self.tell("waited", of(&name, wait));
            let outcome = match n % 10 {
                3 => {
                    let fault = json!({ "text": "the link of web is worse, seed 17: loss 5%" });
                    self.tell("fault", of(&name, fault));
                    let trouble = json!({ "machine": "web", "trouble": "oops", "text": "Oops: 0002 [#1] <b>", "expected": false });
                    self.tell("trouble", of(&name, trouble));
                    let error = "cannot reach the app\ncaused by: waited 5.0 s for port 8080 of web: it did not come true in time\n\
                                 caused by: connection refused\nat tests/area.rs:42:9";
                    json!({ "outcome": "failed", "fault": "product", "error": error })
                }
                5 => json!({ "outcome": "not_run", "reason": "needs `scenario_003`, which failed" }),
                6 => json!({ "outcome": "ignored", "reason": "slow" }),
                _ => json!({ "outcome": "passed" }),
            };
            let seconds = self.at - begun;
            self.tell("scenario_finished", of(&name, json!({ "outcome": outcome, "seconds": seconds })));
        }
        let usage = json!({ "cpu_seconds": 12.5, "peak_memory_mib": 700.0 });
        self.tell("suite_finished", json!({ "suite": suite, "usage": usage, "seconds": 60.0 }));
    }
}

/// `polder report` for `run`, in `folder`.
fn report(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
    command.arg("report").args(args).current_dir(folder).env("XDG_CONFIG_HOME", folder);
    command.env_remove("POLDER_OUTPUT_DIR").output().unwrap()
}

/// A project with a run of that name and these events, and what was collected of a failure.
fn project(events: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let run = folder.path().join("target/polder/20261121T051505Z-7");
    let put = |path: &str, text: &str| {
        let path = run.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("events.jsonl", events);
    put("area0.suite/scenario_003/error.txt", "cannot reach the app\n");
    put("area0.suite/scenario_003/web/console.log", "web login: \n");
    put("area0.suite/consoles/web/console.log", "Reached target Power-Off.\n");
    let call = json!({
        "startedDateTime": "2026-11-21T05:15:06.400Z", "time": 12.5,
        "request": { "method": "GET", "url": "https://p/cvpservice/task/getTasks.do" },
        "response": { "status": 500, "content": { "text": "no" } },
    });
    put("area0.suite/cvp.har", &json!({ "log": { "entries": [call] } }).to_string());
    std::os::unix::fs::symlink("20261121T051505Z-7", folder.path().join("target/polder/latest")).unwrap();
    (folder, run)
}

/// Python's parser: how many test cases there are, and how many of each kind of element that says how they went.
const COUNT: &str = "
import collections, sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
cases = list(root.iter('testcase'))
found = collections.Counter(child.tag for case in cases for child in case)
assert sum(int(suite.get('tests')) for suite in root) == int(root.get('tests')) == len(cases)
for kind, count in (('failure', 'failures'), ('error', 'errors'), ('skipped', 'skipped')):
    assert found[kind] == int(root.get(count)), (kind, found, root.attrib)
print(len(cases), found['failure'] + found['error'], found['skipped'], found['flakyFailure'])
";

/// What parsers that are not ours find in it: cases, bad ones, skipped ones, flaky ones.
fn parsed(junit: &Path) -> String {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/junit.xsd");
    match Command::new("xmllint").args(["--noout", "--schema"]).arg(schema).arg(junit).output() {
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "SKIP junit.xml and its schema: there is no xmllint");
        }
    }
    let said = Command::new("python3").args(["-c", COUNT]).arg(junit).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn a_run_leaves_reports_that_others_can_read() {
    let ran = run("failing", &["mixed", "bad_setup", "bad_teardown", "left_changed"]);
    let junit = ran.root().join("latest/junit.xml");
    // Scenarios, and two set-ups and teardowns and the changes that failed.
    assert_eq!(parsed(&junit), "16 8 5 0");
    let text = fs::read_to_string(&junit).unwrap();
    let panic = "message=\"no harbour (at harness/tests/suites/failing.rs:";
    assert!(text.contains(panic), "{text}");
    assert!(text.contains("/mixed/logs/log.txt]]") && text.contains("not run: `setup` failed"), "{text}");
    assert!(text.contains("file=\"harness/tests/suites/failing.rs\" line=\""), "{text}");
    let page = ran.file("report.html");
    assert!(page.contains("8 failed, 3 passed, 3 not run, 2 ignored"), "{}", &page[..page.len().min(9_000)]);
    let named = ran.notes.lines().find_map(|line| line.strip_prefix("report: ")).unwrap();
    assert!(ran.notes.contains("\nagain: `cargo test -- --rerun-failed`"), "{}", ran.notes);
    assert!(Path::new(named).is_file() && named.ends_with("report.html"), "{named}");
    let passed = run("failing", &["mixed::passes"]);
    assert!(
        !passed.notes.contains("report:")
            && !passed.notes.contains("again:")
            && passed.root().join("latest/report.html").is_file()
    );
}

#[test]
fn reports_are_made_again_from_events_alone() {
    let (folder, run) = project(&MadeUp::of(3, 10));
    let told = report(folder.path(), &[]);
    let paths = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let paths: Vec<&Path> = paths.lines().map(Path::new).collect();
    assert_eq!(paths, [run.join("junit.xml"), run.join("report.html")]);
    assert_eq!(parsed(&run.join("junit.xml")), "30 3 6 3");
    // By name, by path, for programs; also of a run whose process was killed.
    let whole = fs::read_to_string(run.join("events.jsonl")).unwrap();
    fs::write(run.join("events.jsonl"), &whole[..whole.len() - 20]).unwrap();
    let below = run.join("area0.suite");
    for named in ["20261121T051505Z-7", run.to_str().unwrap(), ".."] {
        let told = report(&below, &["--out-format", "json", named]);
        assert!(told.status.success(), "{named}: {}", String::from_utf8_lossy(&told.stderr));
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let notes: Vec<&str> = told["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(notes.len() == 2 && notes[0].contains("the end of the run is not known"), "{notes:?}");
    }
    assert!(fs::read_to_string(run.join("report.html")).unwrap().contains("the last event is cut short"));
}

#[test]
fn what_is_no_run_is_said() {
    let (folder, run) = project("not json\n");
    let fails = |folder: &Path, args: &[&str], code: i32, expected: &str| {
        let told = report(folder, args);
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.code() == Some(code) && text.contains(expected), "{args:?}: {text}");
    };
    fails(folder.path(), &[], 2, "events.jsonl: line 1 is no event");
    fails(folder.path(), &["20261121T051505Z-8"], 2, "; did you mean `20261121T051505Z-7`?");
    fails(Path::new("/"), &[], 2, "there is no target/polder in / or above it");
    for at in [folder.path(), Path::new("/")] {
        fails(at, &["/nowhere/run.tar.gz"], 2, "/nowhere/run.tar.gz is no run: it is not there");
    }
    let empty = folder.path().display().to_string();
    fails(Path::new("/"), &[&empty], 2, &format!("{empty} is no run: there is no events.jsonl in it"));
    let newer = "{\"time\":1,\"since_start\":0,\"event\":{\"kind\":\"run_started\",\"version\":2}}\n";
    fs::write(run.join("events.jsonl"), newer).unwrap();
    fails(folder.path(), &[], 2, "it is in version 2 of the vocabulary");
    fs::remove_file(folder.path().join("target/polder/latest")).unwrap();
    fails(folder.path(), &[], 2, "there is no run of suites in ");
    assert!(!run.join("report.html").exists(), "nothing is written of what cannot be read");
}

#[test]
fn the_page_shows_failures_at_once_and_the_rest_when_it_is_opened() {
    let (folder, run) = project(&MadeUp::of(3, 10));
    assert!(report(folder.path(), &[]).status.success());
    let page = format!("file://{}", run.join("report.html").display());
    // The fourth scenario of the first suite, after its environment.
    let what = "the page of a run in a browser";
    let Some(dom) = look_at(&format!("{page}#e4"), folder.path(), what) else { return };
    let (shown, opened) = dom.split_once("id=\"e4\"").unwrap();
    for expected in
        ["3 failed, 3 flaky, 18 passed, 3 not run, 3 ignored", "What failed", "area2::suite::scenario_003"]
    {
        assert!(shown.contains(expected), "no {expected} in {shown}");
    }
    let opened = &opened[..opened.find("id=\"e0\"").unwrap()];
    for expected in [
        "open=\"\"",
        "failed at tests/area.rs:42:9",
        "time was up",
        "connection refused",
        "started needle-3",
        "trouble of web: kernel oops: Oops: 0002 [#1] &lt;b&gt;",
        "seed 17: loss 5%",
        "Files in area0.suite/scenario_003/",
        "href=\"area0.suite/scenario_003/error.txt\">error.txt</a>",
        "<summary>web (1)</summary>",
        "web login:",
        "/cvpservice/task/getTasks.do",
    ] {
        assert!(opened.contains(expected), "no {expected} in {opened}");
    }
    assert_eq!(dom.matches("data-filled").count(), 1, "the others are not filled before they are opened");
    // Each suite has its lane, each scenario that was run its bar.
    assert_eq!((dom.matches("class=\"lane\"").count(), dom.matches("class=\"bar ").count()), (3, 33));
    assert!(dom.contains("33 of 33 shown"), "{dom}");
}

#[test]
fn a_thousand_scenarios_are_shown_at_once() {
    let (folder, run) = project(&MadeUp::of(10, 100));
    assert!(report(folder.path(), &[]).status.success());
    let page = format!("file://{}", run.join("report.html").display());
    let start = Instant::now();
    let Some(dom) = look_at(&page, folder.path(), "the page of a thousand scenarios in a browser") else {
        return;
    };
    assert_eq!(dom.matches("data-verdict=").count(), 1_010);
    assert!(dom.contains("and 50 more, below") && dom.contains("1010 of 1010 shown"));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
