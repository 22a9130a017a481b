//! Tests of the vocabulary: what is written is what is documented, and can be read again.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// The words `T` can be, in the order of its variants, as its own reader tells them.
fn words<T: DeserializeOwned + std::fmt::Debug>(wrong: Value) -> Vec<String> {
    let error = serde_json::from_value::<T>(wrong).unwrap_err().to_string();
    let (_, list) = error.split_once("expected one of ").unwrap();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// One of every kind and outcome, with all there can be in it.
fn all() -> Vec<RunEvent> {
    let (suite, scenario) = (|| "net::demo".to_owned(), || "boots".to_owned());
    let finished =
        |outcome| RunEvent::ScenarioFinished { suite: suite(), scenario: scenario(), outcome, seconds: 1.5 };
    let machine = || "web".parse::<MachineName>().unwrap();
    vec![
        RunEvent::RunStarted {
            version: VERSION,
            polder: "0.1.0".into(),
            run: "20261121T051505Z-7".into(),
            suites: vec![suite()],
            scenarios: 1,
            seed: Some(7),
        },
        RunEvent::SuiteStarted { suite: suite(), place: Some("a.rs:1".into()) },
        RunEvent::SuiteProgress { suite: suite(), text: "web: boots".into() },
        RunEvent::SuiteWaiting { suite: suite(), text: "for 512 MiB of memory".into() },
        RunEvent::EnvironmentReady {
            suite: suite(),
            prefix: "/tmp/x".into(),
            machines: vec![MachineFacts {
                name: machine(),
                image: Some("debian12".into()),
                addresses: vec!["10.0.0.1".parse().unwrap()],
            }],
        },
        RunEvent::PortalReached { suite: suite(), portal: "https://p".into(), archive: "/x/cvp.har".into() },
        RunEvent::ScenarioStarted {
            suite: suite(),
            scenario: scenario(),
            prerequisite: true,
            attempt: 2,
            place: Some("a.rs:7".into()),
        },
        RunEvent::AttemptFailed {
            suite: suite(),
            scenario: scenario(),
            attempt: 1,
            fault: Fault::Product,
            error: "1 != 2".into(),
            seconds: 0.5,
        },
        RunEvent::StateKept { suite: suite(), scenario: scenario(), seconds: 0.5 },
        RunEvent::Restored { suite: suite(), scenario: scenario(), from: Some("a".into()), seconds: 0.5 },
        RunEvent::SpanStarted {
            suite: suite(),
            scenario: scenario(),
            span: 1,
            parent: Some(0),
            machine: Some("web".into()),
            text: "exec".into(),
        },
        RunEvent::SpanFinished { suite: suite(), scenario: scenario(), span: 1, seconds: 0.5 },
        RunEvent::Failing { suite: suite(), scenario: scenario(), error: "1 != 2".into() },
        RunEvent::Log { suite: suite(), scenario: scenario(), span: Some(1), text: "line".into() },
        RunEvent::Waiting {
            suite: suite(),
            scenario: scenario(),
            span: Some(1),
            what: "rain".into(),
            seen: "sun".into(),
        },
        RunEvent::Waited {
            suite: suite(),
            scenario: scenario(),
            span: Some(1),
            what: "rain".into(),
            end: WaitEnd::Late,
            seen: "sun".into(),
            history: "0.1 s sun".into(),
            looks: 3,
            seconds: 2.0,
        },
        RunEvent::Fault {
            suite: suite(),
            scenario: scenario(),
            text: "seed 7".into(),
            machine: Some("web".into()),
            seed: Some(7),
        },
        RunEvent::Change {
            suite: suite(),
            scenario: scenario(),
            change: "mtu".into(),
            device: "sw1".into(),
            phase: "apply".into(),
            error: Some("no".into()),
            seconds: 0.5,
            transcript: "/x/transcript".into(),
        },
        RunEvent::ChangeReported {
            suite: suite(),
            scenario: scenario(),
            change: "mtu".into(),
            state: "success".into(),
            report: "/x/report.html".into(),
        },
        RunEvent::MachineState {
            suite: suite(),
            scenario: scenario(),
            machine: "web".into(),
            state: "up".into(),
        },
        RunEvent::Trouble {
            suite: suite(),
            scenario: scenario(),
            machine: machine(),
            trouble: Trouble::Oops,
            text: "Oops: 2".into(),
            expected: false,
        },
        finished(Outcome::Passed),
        finished(Outcome::Failed { fault: Fault::Harness, error: "no".into() }),
        finished(Outcome::ExpectedFailure {
            error: "no".into(),
            reason: "bug 7".into(),
            until: "2027-01-31".into(),
        }),
        finished(Outcome::NotRun { reason: "why".into() }),
        finished(Outcome::Ignored { reason: Some("slow".into()) }),
        RunEvent::Collected {
            suite: suite(),
            scenario: scenario(),
            folder: "/x".into(),
            items: 3,
            missing: 1,
        },
        RunEvent::Leak {
            suite: suite(),
            scenario: scenario(),
            leak: "process".into(),
            what: "process 7 `sleep 9`".into(),
        },
        RunEvent::Paused {
            suite: suite(),
            scenario: scenario(),
            folder: Some("/tmp/run/net.demo".into()),
            machines: vec![machine()],
            portal: Some("/tmp/run/net.demo/portal.env".into()),
        },
        RunEvent::Resumed { suite: suite(), seconds: 60.5 },
        RunEvent::PortalKept {
            suite: suite(),
            state: Some("/tmp/run/net.demo/portal.json".into()),
            portal: Some("https://cvp".into()),
        },
        RunEvent::EnvironmentKept { suite: suite(), folder: "/x/net.demo".into(), machines: vec![machine()] },
        RunEvent::SuiteFinished {
            suite: suite(),
            usage: Some(Usage { cpu_seconds: 1.0, peak_memory_mib: 2.0 }),
            seconds: 3.0,
        },
        RunEvent::RunFinished {
            passed: 1,
            failed: 0,
            not_run: 0,
            ignored: 0,
            expected_failures: 0,
            stopped: true,
            seconds: 4.0,
        },
    ]
}

/// The paths of all fields in `value`.
fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                fields(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(list) => {
            list.iter().filter(|value| value.is_object()).for_each(|v| fields(v, &format!("{at}[]"), found));
        }
        _ => {}
    }
}

/// What there is to be read about events; beside the package, where that is not in its workspace.
fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events.md")).unwrap()
}

/// By kinds, the fields that are documented, with their types.
fn documented() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut kind = None;
    for line in document().lines() {
        if line.starts_with('#') {
            let name = line.strip_prefix("### `").and_then(|rest| rest.strip_suffix('`'));
            kind = name.map(str::to_owned);
            if let Some(kind) = &kind {
                assert!(found.insert(kind.clone(), BTreeMap::new()).is_none(), "{kind} is there twice");
            }
        } else if let (Some(kind), Some(row)) = (&kind, line.strip_prefix("| `")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            let name = cells[0].strip_suffix('`').unwrap().to_owned();
            assert!(cells.len() == 3, "{line}");
            found.get_mut(kind).unwrap().insert(name, cells[1].to_owned());
        }
    }
    found
}

#[test]
fn every_kind_and_field_is_documented_and_nothing_else() {
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in all() {
        let mut value = serde_json::to_value(&event).unwrap();
        let kind = value.as_object_mut().unwrap().remove("kind").unwrap();
        fields(&value, "", written.entry(kind.as_str().unwrap().to_owned()).or_default());
    }
    let documented = documented();
    let names: BTreeMap<String, BTreeSet<String>> =
        documented.iter().map(|(kind, fields)| (kind.clone(), fields.keys().cloned().collect())).collect();
    type Names = BTreeMap<String, BTreeSet<String>>;
    let differ = |one: &Names, other: &Names| -> Names {
        let differs = |(kind, fields): &(&String, &BTreeSet<String>)| other.get(*kind) != Some(*fields);
        one.iter().filter(differs).map(|(kind, fields)| (kind.clone(), fields.clone())).collect()
    };
    let (of_page, of_events) = (differ(&names, &written), differ(&written, &names));
    assert_eq!(of_page, of_events, "docs/events.md (left) does not say what `all` in this file has (right)");
    // None is forgotten here, and readers know all of them.
    let kinds = words::<RunEvent>(json!({ "kind": "" }));
    assert_eq!(kinds, RunEvent::KINDS, "the kinds there are (left) are not those of `KINDS` (right)");
    let kinds: BTreeSet<_> = kinds.into_iter().collect();
    assert_eq!(kinds, written.into_keys().collect(), "`all` in this file (right) has not one of each");
    // What a field can say is documented, too.
    let text = document();
    let wrong = || json!("");
    let said = [words::<Trouble>(wrong()), words::<WaitEnd>(wrong()), words::<Fault>(wrong())];
    let said = said.into_iter().flatten().chain(words::<Outcome>(json!({ "outcome": "" })));
    for word in said {
        assert!(text.contains(&format!("`{word}`")), "no word of `{word}`");
    }
    assert!(text.contains(&format!("the `version` of this vocabulary, which is {VERSION}")));
}

#[test]
fn types_and_options_are_as_documented() {
    let documented = documented();
    for event in all() {
        let value = serde_json::to_value(&event).unwrap();
        let types = &documented[value["kind"].as_str().unwrap()];
        for (name, kind) in types.iter().filter(|(name, _)| !name.contains(['.', '['])) {
            let value = &value[name];
            let is_it = match kind.as_str() {
                "string" | "string or null" => value.is_string(),
                "number" => value.is_number(),
                "integer" => value.is_u64(),
                "boolean" => value.is_boolean(),
                "object" | "object or null" => value.is_object(),
                kind => kind.starts_with("array of ") && value.is_array(),
            };
            assert!(is_it, "{name}: {kind}: {value}");
        }
    }
    // Files that were written before there were those fields can be read.
    let text = document();
    for event in all() {
        let mut value = serde_json::to_value(&event).unwrap();
        let kind = value["kind"].as_str().unwrap().to_owned();
        let section = text.split("\n### ").find(|part| part.starts_with(&format!("`{kind}`"))).unwrap();
        let rows = section.lines().filter(|row| row.contains("*optional*") || row.contains("*later*"));
        for row in rows {
            let name = row.split('`').nth(1).unwrap();
            value.as_object_mut().unwrap().remove(name);
        }
        serde_json::from_value::<RunEvent>(value).unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

/// A file with these lines, as they are stamped.
fn file(lines: &[Value]) -> String {
    let stamp = |event: &Value| json!({ "time": 1.0, "since_start": 0.5, "event": event }).to_string() + "\n";
    lines.iter().map(stamp).collect()
}

fn head() -> Value {
    json!({ "kind": "run_started", "run": "r", "suites": [], "scenarios": 0 })
}

#[test]
fn all_that_is_written_is_read_again() {
    let events: Vec<Stamped> =
        all().into_iter().map(|event| Stamped { time: 17.5, since_start: 0.25, event }).collect();
    let line = |event: &Stamped| serde_json::to_string(event).unwrap() + "\n";
    let text: String = events.iter().map(line).collect();
    assert_eq!(read(text.as_bytes()).unwrap(), Recording { events, torn: false, unknown: 0 });
}

#[test]
fn what_a_killed_run_left_is_read_wherever_it_ends() {
    let text = file(&[head(), json!({ "kind": "suite_started", "suite": "café" })]);
    let first = text.find('\n').unwrap() + 1;
    let whole = read(text.as_bytes()).unwrap();
    assert_eq!((whole.events.len(), whole.torn), (2, false));
    for end in first..text.len() - 1 {
        let found = read(&text.as_bytes()[..end]).unwrap();
        assert_eq!((found.events.len(), found.torn), (1, end > first), "{end}");
    }
    // All of the last line but its end is there.
    assert_eq!(read(&text.as_bytes()[..text.len() - 1]).unwrap().events, whole.events);
}

#[test]
fn what_later_versions_add_is_passed_over() {
    let mut more = head();
    more["colour"] = json!("blue");
    let recording = read(file(&[more, json!({ "kind": "sunset", "west": true })]).as_bytes()).unwrap();
    assert_eq!((recording.events.len(), recording.unknown), (1, 1));
    let RunEvent::RunStarted { version, polder, .. } = &recording.events[0].event else { panic!() };
    assert_eq!((*version, polder.as_str()), (1, ""));
}

#[rstest::rstest]
#[case("", "it has no event in it")]
#[case("\n\n", "it has no event in it")]
#[case("{\"time\":1", "it has no event in it")]
#[case("not json\n", "line 1 is no event")]
#[case("{}\n", "line 1 is no `run_started`")]
#[case("[]\n", "line 1 is no `run_started`")]
#[case(&file(&[json!({ "kind": "suite_started", "suite": "x" })]), "line 1 is no `run_started`")]
#[case(&file(&[json!({ "kind": "run_started", "version": 2 })]), "it is in version 2 of the vocabulary")]
#[case(&file(&[json!({ "kind": "run_started" })]), "line 1 is no event")]
#[case(&(file(&[head()]) + "torn\n" + &file(&[head()])), "line 2 is no event")]
#[case(&file(&[head(), json!({ "kind": "log", "suite": 7 })]), "line 2 is no event")]
#[case(&file(&[head(), json!({ "no": "kind" })]), "line 2 is no event")]
fn what_is_no_run_is_refused_with_its_place(#[case] text: &str, #[case] expected: &str) {
    let error = read(text.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}
