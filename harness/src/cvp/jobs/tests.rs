//! Job files that are wrong, each with the line it is told at; files of any other kind; and times that are over.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use proptest::prelude::*;

use super::{
    file::{JobFile, JobsError},
    parse::{Around, Defaults},
    view::Seen,
};
use crate::cvp::{Configlet, Container, Device, Inventory, ROOT};

/// What is read of a text, at the end of 2026, where `configs/ntp` is a file and `configs/latin-1` one in another encoding.
fn read(text: &str) -> Result<JobFile, JobsError> {
    let read = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("ntp") => Ok("ntp server 192.0.2.1\n".to_owned()),
        Some("latin-1") => Err(io::Error::from(io::ErrorKind::InvalidData)),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let around = Around { defaults: &Defaults::default(), now, read: &read };
    JobFile::read(Path::new("jobs.json"), PathBuf::from("/lab"), text, &around)
}

/// What is said of a text, without what goes before all of it.
fn said(text: &str) -> String {
    let error = read(text).expect_err(text).to_string();
    error.strip_prefix("nothing was changed:\n").unwrap_or(&error).to_owned()
}

#[rstest::rstest]
#[case::empty(
    "",
    "jobs.json:1:1: bad JSON: EOF while parsing a value; a job file is a list: `[{\"type\": ...}, ...]`"
)]
#[case::cut("[\n  {\"name\": \"x\",\n", "jobs.json:3:1: bad JSON: EOF while parsing an object")]
#[case::comma("[\n  {\"name\": \"x\",}\n]", "jobs.json:2:16: bad JSON: key must be a string")]
#[case::yaml("- type: configlet\n", "jobs.json:1:2: bad JSON: invalid number")]
#[case::no_list(
    r#"{"type": "configlet"}"#,
    "jobs.json:1:1: a job file is a list of jobs, this is a mapping; put `[` and `]` around it"
)]
#[case::no_job("[7]", "jobs.json:1:2: a job must be a mapping, this is a single value")]
#[case::no_type(
    "[\n {\"name\": \"x\"}]",
    "jobs.json:2:2: a job needs the key `type`; it is `configlet`, `change-control` or `container`"
)]
#[case::type_(
    r#"[{"type": "configlt"}]"#,
    "jobs.json:1:11: there is no type of job `configlt`; did you mean `configlet`?"
)]
#[case::far_type(
    r#"[{"type": "x"}]"#,
    "jobs.json:1:11: there is no type of job `x`; there are `configlet`, `change-control`, `container`"
)]
#[case::no_action(
    r#"[{"type": "container", "container": "x"}]"#,
    "jobs.json:1:2: a job of type `container` needs the key `action`; it is one of `create`, `destroy`, `attach-device`"
)]
#[case::action(
    r#"[{"type": "configlet", "action": "add-device"}]"#,
    "jobs.json:1:34: there is no action of a configlet `add-device`; did you mean `add-devices`?"
)]
#[case::misspelt(
    r#"[{"type": "change-control", "timzone": "Europe/Paris"}]"#,
    "jobs.json:1:29: a change-control job has no key `timzone`; did you mean `timezone`?"
)]
#[case::key_of_another(
    r#"[{"type": "configlet", "action": "delete", "configlet": "x", "devices": ["a"]}]"#,
    "jobs.json:1:62: a job that deletes a configlet has no key `devices`; known keys: `name`, `type`, `action`, \
     `configlet`, `apply`; `x-` before it makes it yours"
)]
#[case::twice(
    "[{\"type\": \"container\",\n\"action\": \"create\", \"container\": \"x\", \"type\": \"container\"}]",
    "jobs.json:2:39: the key `type` comes twice; it is on line 1 already; remove or rename one of them"
)]
#[case::no_devices(
    r#"[{"type": "configlet", "action": "add", "configlet": "configs/ntp"}]"#,
    "jobs.json:1:2: a job that adds a configlet needs the key `devices`"
)]
#[case::one_device(
    r#"[{"type": "configlet", "action": "add-devices", "configlet": "ntp", "devices": "sw1"}]"#,
    "jobs.json:1:80: `devices` of a job that adds devices must be a list, this is a single value; write `[sw1]`"
)]
#[case::apply(
    r#"[{"type": "configlet", "action": "delete", "configlet": "ntp", "apply": "true"}]"#,
    "jobs.json:1:73: `apply` of a job that deletes a configlet must be true or false, this is `true`; write `true` or `false` without quotes"
)]
#[case::no_file(
    r#"[{"type": "configlet", "action": "update", "configlet": "configs/nope"}]"#,
    "jobs.json:1:57: cannot read /lab/configs/nope: entity not found; a relative path starts at /lab"
)]
#[case::no_text(
    r#"[{"type": "configlet", "action": "update", "configlet": "configs/latin-1"}]"#,
    "jobs.json:1:57: cannot read /lab/configs/latin-1: it is no text in UTF-8"
)]
#[case::folder(
    r#"[{"type": "configlet", "action": "delete", "configlet": ".."}]"#,
    "jobs.json:1:57: `..` names no file"
)]
#[case::empty_name(
    r#"[{"type": "container", "action": "create", "container": " "}]"#,
    "jobs.json:1:57: `container` is empty"
)]
#[case::zone(
    r#"[{"type": "change-control", "timezone": "France", "apply": true}]"#,
    "jobs.json:1:41: there is no time zone `France`; "
)]
#[case::no_zone(
    r#"[{"type": "change-control", "schedule": "2031-05-04 03:30", "apply": true}]"#,
    "jobs.json:1:41: a schedule means nothing without a time zone; say `timezone`, or set CVP_TZ"
)]
#[case::no_time(
    r#"[{"type": "change-control", "schedule_at": "soon", "timezone": "UTC", "apply": true}]"#,
    "jobs.json:1:44: `soon` is no time; write `YYYY-MM-DD HH:MM`, such as `2031-05-04 03:30`"
)]
#[case::over(
    r#"[{"type": "change-control", "schedule_at": "2026-01-01-10-00", "timezone": "UTC", "apply": true}]"#,
    "jobs.json:1:44: 2026-01-01 10:00 in UTC is over"
)]
#[case::skipped(
    r#"[{"type": "change-control", "schedule": "2027-03-28 02:30", "timezone": "Europe/Paris", "apply": true}]"#,
    "jobs.json:1:41: clocks in Europe/Paris never show 2027-03-28 02:30: they are put forward then"
)]
#[case::two_times(
    r#"[{"type": "change-control", "schedule": "2031-05-04 03:30", "schedule_at": "2031-05-04 04:30", "timezone": "UTC"}]"#,
    "jobs.json:1:41: `schedule` and `schedule_at` say different times; they mean the same; keep one"
)]
#[case::mode(
    r#"[{"type": "change-control", "mode": "lineear"}]"#,
    "jobs.json:1:37: `mode` of a change-control job must be one of `parallel`, `serial`, `linear`, `incremental`, \
     this is `lineear`; did you mean `linear`?"
)]
fn what_is_wrong_is_told_with_its_place(#[case] text: &str, #[case] words: &str) {
    let error = said(text);
    assert!(error == words || (words.ends_with("; ") && error.starts_with(words)), "{error}");
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_file() {
    let text = r#"[
  {"type": "configlet", "action": "ad", "configlet": "x"},
  {"type": "configlet", "action": "add", "configlet": "gone", "devices": [], "appply": true},
  {"type": "change-control", "timzone": "UTC", "schedule": "later", "timezone": "UTC"}
]"#;
    let error = said(text);
    let lines: Vec<&str> = error.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        lines,
        ["jobs.json:2:35", "jobs.json:3:55", "jobs.json:3:78", "jobs.json:4:30", "jobs.json:4:60"],
        "{error}"
    );
}

#[test]
fn what_json_may_have_is_understood() {
    for text in [
        "\u{feff}[]",
        "[\t{\"type\":\"container\",\t\"action\":\"create\",\"container\":\"Rack \\u0037\"}\n]",
        r#"[{"type":"container","action":"create","container":"\ud83d\ude80 \\ud83d \/ \u00fc"}]"#,
        r#"[{"type":"configlet","action":"add","configlet":"configs/ntp","devices":["sw1"],"comment":"x","x-mine":[1]}]"#,
        r#"[{"type":"change-control","snapid":null,"country":"France","stop_on_error":false,"tasks":"pending"}]"#,
    ] {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

/// A portal with one device, one configlet that nobody holds, and two containers.
fn seen() -> Seen {
    let container = |key: &str, name: &str, parent: Option<&str>| Container {
        key: key.into(),
        name: name.into(),
        parent: parent.map(str::to_owned),
    };
    let device =
        Device { mac: "aa:01".into(), hostname: "sw1".into(), container: "demo".into(), ..Device::default() };
    let configlet = serde_json::json!({"key": "c1", "name": "ntp", "config": "ntp server 192.0.2.1\n"});
    Seen {
        inventory: Inventory {
            devices: vec![device],
            containers: vec![container(ROOT, "Tenant", None), container("demo", "Demo", Some(ROOT))],
        },
        configlets: vec![serde_json::from_value::<Configlet>(configlet).unwrap()],
        holders: Vec::new(),
        templates: Some(Vec::new()),
        pending: Vec::new(),
        version: None,
    }
}

#[test]
fn what_earlier_jobs_will_have_done_counts() {
    let text = r#"[
  {"type": "configlet", "action": "add", "configlet": "configs/ntp", "devices": ["sw1", "aa:01"]},
  {"type": "container", "action": "create", "container": "New", "parent": "Demo"},
  {"type": "container", "action": "attach-device", "container": "New", "devices": ["sw1"], "apply": true},
  {"type": "configlet", "action": "delete", "configlet": "ntp", "apply": false},
  {"type": "change-control", "apply": true},
  {"type": "container", "action": "destroy", "container": "New"},
  {"type": "configlet", "action": "add-devices", "configlet": "ntp", "devices": ["sw1"]}
]"#;
    let error = read(text).unwrap().against(seen()).unwrap_err().to_string();
    let expected = "nothing was changed:
jobs.json:7:59: the container `New` cannot be destroyed: it holds sw1
jobs.json:8:63: the portal has no configlet `ntp`; an earlier job deletes it";
    assert_eq!(error, expected);
    let good: Vec<&str> = text.lines().take(6).collect();
    let plan = read(&format!("{}]", good.join("\n").trim_end_matches(','))).unwrap().against(seen()).unwrap();
    let json = plan.to_json();
    let of = |key: &str| {
        json["jobs"].as_array().unwrap().iter().map(|job| job[key].to_string()).collect::<Vec<_>>()
    };
    // The text is there already; the device gets a task by each, and the move executes both.
    assert_eq!(of("tasks"), [r#"["sw1"]"#, "[]", r#"["sw1"]"#, r#"["sw1"]"#, "[]"]);
    assert_eq!(of("caught_up")[2], r#"["sw1"]"#);
    assert_eq!(of("after"), ["[]", "[]", "[2]", "[1]", "[1,3,4]"]);
    assert_eq!(
        (json["jobs"][0]["text"].is_null(), &json["jobs"][4]["devices"]),
        (true, &serde_json::json!(["sw1"]))
    );
}

/// Any JSON, with the words of job files in it more often than chance has them.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let word = prop_oneof![
        Just("type"),
        Just("action"),
        Just("configlet"),
        Just("devices"),
        Just("change-control"),
        Just("container"),
        Just("add"),
        Just("attach-device"),
        Just("configs/ntp"),
        Just("schedule"),
        Just("2031-05-04 03:30"),
        Just("timezone"),
        Just("UTC"),
        Just("snapid"),
        Just("apply"),
        Just("<<"),
        Just("sw1"),
        Just("ntp"),
        Just("Demo"),
        Just("delete"),
        Just(""),
    ];
    let word = prop_oneof![3 => word.prop_map(str::to_owned), 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_json_breaks_the_reader(value in json(), cut in 0_usize..400) {
        let text = value.to_string();
        for text in [text.clone(), format!("[{text}]")] {
            if let Ok(plan) = read(&text).and_then(|file| file.against(seen())) {
                prop_assert!(plan.to_json()["jobs"].is_array() && plan.to_string().is_empty() == (text == "[]"));
            }
        }
        let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let _ = read(&text[..cut]);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC*|[\\[\\]{}\",:\\\\ud8-f0-9 \\n\\t]*") {
        let _ = read(&text);
    }
}
