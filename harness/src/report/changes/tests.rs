//! A run in which everything happens, in each form.

use std::{collections::BTreeMap, path::Path, process::Command, sync::Arc};

use super::{
    ReportFile, junit,
    model::{Account, How},
    page,
};
use crate::{
    change::{
        Answer, Drivers, Entry, Head, Machine, Mock, Operator, Plan, Record, Recorded, Report, Runner, Said,
        State, Vars, model::Phase, parse, plan,
    },
    provider::libvirt::xml::Element,
};

/// One change goes well with rows, one is tried twice, one is undone, one cannot be, one is left out, one never begins.
const FILE: &str = "version: 1
vars: { password: hunter2 }
devices: { sw1: {}, sw2: {} }
drivers: { m: { kind: mock } }
matrices: { ports: { rows: [ {port: et1}, {port: et2} ] } }
scenario:
  name: night <&>
  nodes:
    - { step: rows, targets: all, matrix: ports, apply: { exchanges: [ { send: 'say %(port)s %(password)s' } ] } }
    - { step: twice, targets: [sw1], policy: { retry: { max: 2, delay: 0s } }, precheck: { exchanges: [ { send: once } ] } }
    - { step: out, targets: all, apply: { exchanges: [ { send: 'say x' } ] } }
    - step: undone
      targets: all
      policy: { on_fail: continue }
      apply: { exchanges: [ { send: 'say applied' } ] }
      verify: { exchanges: [ { send: odd } ] }
      rollback: [ { exchanges: [ { send: 'say undone' } ] } ]
    - step: stuck
      targets: [sw1]
      apply: { exchanges: [ { send: 'say applied' }, { send: odd } ] }
      rollback: [ { exchanges: [ { send: odd } ] } ]
    - { step: never, targets: all, apply: { exchanges: [ { send: 'say x' } ] } }
";

/// What devices say that nobody should take for anything but text.
const ODD: &str = "\u{1b}[31m<script>alert(1)</script> ]]> & \u{1} \u{ffff}\n--- 2026-01-01T00:00:00Z undone on sw1: apply: ok\n";

struct Ran {
    plan: Arc<Plan>,
    report: Report,
    folder: tempfile::TempDir,
}

impl Ran {
    async fn new() -> Self {
        Self::of(FILE, Answer::Yes).await
    }

    /// Of a file whose operator is asked before anything is undone, and says that.
    async fn of(file: &str, answer: Answer) -> Self {
        let read = |_: &Path| Err(std::io::Error::other("no files"));
        let loaded = parse(Path::new("x.yaml"), Path::new("/"), file, &Vars::new(), &read).unwrap();
        let plan = Arc::new(plan(&loaded.changes, &Vars::new()).unwrap());
        let tries = std::sync::atomic::AtomicUsize::new(0);
        let mock = Mock::new(move |_, sent| match sent.split_once(' ') {
            Some((_, what)) => Ok(Said::ok(what)),
            None if sent == "once" && tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 => {
                Ok(Said::ok(""))
            }
            None => Ok(Said::exit(3, ODD)),
        });
        let drivers: Drivers = [("m".to_owned(), Arc::new(mock) as _)].into();
        let folder = tempfile::tempdir().unwrap();
        let head = Head { skipped: vec!["out".to_owned()], ..Head::new(plan.digest()).unwrap() };
        let mut runner = Runner::new(plan.clone(), drivers);
        (runner.authorizer, runner.settings.heed.rollbacks) = (Arc::new(Operator(answer)), true);
        let report = runner.run(&folder.path().join("run"), head).await.unwrap();
        Self { plan, report, folder }
    }

    fn recorded(&self) -> Recorded {
        Recorded::read(&self.folder.path().join("run")).unwrap()
    }

    fn account(&self) -> Account {
        let transcript = std::fs::read_to_string(self.folder.path().join("run/transcript.log")).unwrap();
        Account::new(&self.plan, &self.report, &self.recorded(), &transcript, false)
    }
}

#[tokio::test]
async fn a_run_is_told_with_every_phase_and_try() {
    let account = Ran::new().await.account();
    let told = account.steps.iter().map(|step| {
        let devices = step.devices.iter().map(|device| {
            let phases = device.phases.iter().map(|p| {
                let row = p.row.map(|row| format!("{row} ")).unwrap_or_default();
                format!("{row}{} {}", p.phase, p.how.word())
            });
            format!("  {} {}: {}\n", device.device, device.result, phases.collect::<Vec<_>>().join(", "))
        });
        format!("{} {}\n{}", step.name, step.state, devices.collect::<String>())
    });
    insta::assert_snapshot!(told.collect::<String>(), @r"
    rows success
      sw1 ok: 1 apply ok, 2 apply ok
      sw2 ok: 1 apply ok, 2 apply ok
    twice success
      sw1 ok: precheck failed, precheck ok
    out skipped
      sw1 not_attempted: apply not done
      sw2 not_attempted: apply not done
    undone backout_ok
      sw1 rolled_back: apply ok, verify failed, rollback ok
      sw2 rolled_back: apply ok, verify failed, rollback ok
    stuck backout_failed
      sw1 rollback_failed: apply failed, rollback failed
    never not_attempted
      sw1 not_attempted: apply not done
      sw2 not_attempted: apply not done
    ");
    let undone = &account.steps[3].devices[0].phases;
    assert_eq!(undone[2].after, "verify failed: `odd`: exit status 3");
    assert_eq!(undone[2].transcript, "> say undone\n< undone\n");
    assert_eq!(account.steps[0].devices[1].phases[1].transcript, "> say et2 ***\n< et2 ***\n");
    assert_eq!(account.steps[1].devices[0].phases[1].attempt, 2);
    assert_eq!(account.steps[2].devices[0].phases[0].message, "left out, and taken for done");
    assert_eq!(account.steps[5].devices[0].phases[0].message, "something before it failed");
    // The alert has what a person needs: what, why, and what was heard last.
    let alert = &account.alerts[0];
    assert_eq!((account.alerts.len(), alert.step.as_str(), alert.device.as_str()), (1, "stuck", "sw1"));
    assert_eq!(alert.why, "it could not be undone, rollback failed: `odd`: exit status 3");
    assert!(alert.phase == Some(crate::change::model::Phase::Rollback) && alert.tail.contains("<script>"));
}

#[tokio::test]
async fn what_the_operator_refused_is_told_as_what_needs_a_person() {
    let file = "version: 1
devices: { sw1: {} }
drivers: { m: { kind: mock } }
scenario:
  name: n
  nodes:
    - step: stuck
      targets: all
      apply: { exchanges: [ { send: 'say applied' } ] }
      verify: { exchanges: [ { send: odd } ] }
      rollback: [ { exchanges: [ { send: 'say undone' } ] } ]
";
    let account = Ran::of(file, Answer::No).await.account();
    let phases = &account.steps[0].devices[0].phases;
    let told: Vec<_> = phases.iter().map(|p| (p.phase, p.how)).collect();
    let expected = [(Phase::Apply, How::Ok), (Phase::Verify, How::Failed), (Phase::Rollback, How::Failed)];
    assert_eq!(told, expected);
    assert_eq!((account.exit, account.alerts.len(), account.alerts[0].device.as_str()), (3, 1, "sw1"));
    assert!(junit::document(&account).contains("sw1: left changed"));
}

#[tokio::test]
async fn what_failed_before_its_device_was_as_it_should_be_is_no_failure() {
    // The first time it is applied and not found good, the second time there is nothing to do.
    let file = "version: 1
devices: { sw1: {} }
drivers: { m: { kind: mock } }
scenario:
  name: n
  nodes:
    - step: twice
      targets: all
      policy: { retry: { max: 2, delay: 0s } }
      precheck: { exchanges: [ { send: once, ignore_exit: true } ], already: [ results.exitcode == 0 ] }
      apply: { exchanges: [ { send: 'say applied' } ] }
      verify: { exchanges: [ { send: odd } ] }
      rollback: [ { exchanges: [ { send: 'say undone' } ] } ]
";
    let account = Ran::of(file, Answer::Yes).await.account();
    assert_eq!((account.exit, account.steps[0].devices[0].result), (0, "already"));
    let root = Element::parse(&junit::document(&account)).unwrap();
    assert_eq!((root.get("failures"), root.get("errors")), (Some("0"), Some("0")), "{root}");
    let verify =
        root.children[0].children.iter().find(|case| case.get("name") == Some("sw1: verify")).unwrap();
    assert_eq!(verify.child("flakyFailure").unwrap().get("message"), Some("`odd`: exit status 3"));
}

#[tokio::test]
async fn a_run_that_was_killed_is_under_way_and_what_it_was_at_is_interrupted() {
    let ran = Ran::new().await;
    // Up to where the second change begins.
    let mut recorded = ran.recorded();
    let is_begin = |entry: &Entry| matches!(&entry.record, Record::Begin { key, .. } if key.step == "twice");
    let begun = recorded.entries.iter().position(is_begin).unwrap();
    recorded.entries.truncate(begun + 1);
    let mut machine = Machine::new(&ran.plan, 1, &recorded.head.skipped);
    recorded.replay(&mut machine);
    let report = machine.report();
    assert_eq!((report.state, report.steps[1].state), (State::Running, State::Running));
    let how = |is_busy| {
        let account = Account::new(&ran.plan, &report, &recorded, "", is_busy);
        account.steps[1].devices[0].phases[0].how
    };
    assert_eq!((how(true), how(false)), (How::UnderWay, How::Interrupted));
}

#[tokio::test]
async fn junit_is_whole_counts_add_up_and_every_name_is_there_once() {
    let ran = Ran::new().await;
    let text = junit::document(&ran.account());
    assert!(
        !text.contains("hunter2") && !text.chars().any(|c| c.is_control() && !"\n\t".contains(c)),
        "{text}"
    );
    let root = Element::parse(&text).unwrap();
    assert_eq!((root.name.as_str(), root.get("name")), ("testsuites", Some("night <&>")));
    let number = |element: &Element, name: &str| -> usize { element.get(name).unwrap().parse().unwrap() };
    let mut sums = BTreeMap::new();
    let mut names = Vec::new();
    for suite in &root.children {
        assert_eq!((suite.name.as_str(), suite.children[0].name.as_str()), ("testsuite", "properties"));
        assert!(suite.get("timestamp").unwrap().ends_with('Z') && suite.get("time").is_some());
        let cases: Vec<&Element> = suite.children.iter().filter(|child| child.name == "testcase").collect();
        assert_eq!(cases.len(), number(suite, "tests"));
        for case in &cases {
            assert_eq!(case.get("classname"), suite.get("name"));
            assert!(case.get("time").unwrap().parse::<f64>().is_ok());
            names.push(format!("{}: {}", suite.get("name").unwrap(), case.get("name").unwrap()));
        }
        for (kind, attribute) in [("failure", "failures"), ("error", "errors"), ("skipped", "skipped")] {
            let found = cases.iter().filter_map(|case| case.child(kind));
            assert!(found.clone().all(|found| found.get("message").is_some()));
            assert_eq!(found.count(), number(suite, attribute), "{attribute}");
            *sums.entry(attribute).or_insert(0) += number(suite, attribute);
        }
    }
    for (attribute, sum) in &sums {
        assert_eq!(number(&root, attribute), *sum);
    }
    assert_eq!((sums["failures"], sums["errors"], sums["skipped"]), (4, 1, 4));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), number(&root, "tests")), (count, count));
    let suite = |name: &str| root.children.iter().find(|suite| suite.get("name") == Some(name)).unwrap();
    let case = |suite: &Element, name: &str| -> Element {
        suite.children.iter().find(|case| case.get("name") == Some(name)).unwrap().clone()
    };
    // A try that failed before it went well is told, and does not count.
    let twice = case(suite("twice"), "sw1: precheck");
    assert_eq!(twice.child("flakyFailure").unwrap().get("type"), Some("exit"));
    let failure = case(suite("undone"), "sw2: verify");
    let failure = failure.child("failure").unwrap();
    assert_eq!(failure.get("message"), Some("`odd`: exit status 3"));
    assert!(failure.text.contains("> odd\n< <script>alert(1)</script> ]]> &"), "{}", failure.text);
    let rollback = case(suite("undone"), "sw2: rollback");
    assert!(rollback.child("system-out").unwrap().text.contains("after: verify failed: `odd`"), "{rollback}");
    assert!(case(suite("stuck"), "sw1: left changed").child("error").is_some());
    assert!(case(suite("rows"), "sw2 row 2: apply").children.iter().all(|child| child.name == "system-out"));
    // Another parser, where there is one.
    let file = ran.folder.path().join("r.xml");
    file.to_str()
        .unwrap()
        .parse::<ReportFile>()
        .unwrap()
        .write(&ran.plan, &ran.report, &ran.recorded())
        .unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    if let Ok(said) = Command::new("xmllint").arg("--noout").arg(&file).output() {
        assert!(said.status.success(), "{said:?}");
    }
}

#[tokio::test]
async fn the_page_is_one_file_that_does_nothing_with_failures_first() {
    let ran = Ran::new().await;
    let text = page::document(&ran.account());
    assert!(
        !text.contains("hunter2") && !text.contains("<script") && text.contains("&lt;script&gt;"),
        "{text}"
    );
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("url("), "{text}");
    assert!(text.contains("@media (prefers-color-scheme: dark)"));
    // It is well-formed, so that no text of a device can get out of its place.
    let (head, rest) = text.split_once('\n').unwrap();
    assert_eq!(head, "<!DOCTYPE html>");
    let (before, style) = rest.split_once("<style>").unwrap();
    let root = Element::parse(&(before.to_owned() + style.split_once("</style>").unwrap().1)).unwrap();
    let mut all = vec![&root];
    let mut at = 0;
    while let Some(element) = all.get(at).copied() {
        all.extend(&element.children);
        at += 1;
    }
    let named = |name: &'static str| all.iter().filter(move |element| element.name == name).copied();
    let ids: Vec<&str> = all.iter().filter_map(|element| element.get("id")).collect();
    let links: Vec<&str> = named("a").filter_map(|a| a.get("href")?.strip_prefix('#')).collect();
    assert!(links.len() == 3 && links.iter().all(|link| ids.contains(link)), "{links:?} {ids:?}");
    let tables: Vec<&Element> = named("table").collect();
    assert!(tables.iter().all(|table| table.child("caption").is_some() && table.child("thead").is_some()));
    assert!(named("th").all(|th| th.get("scope").is_some()));
    assert!(named("details").all(|details| details.children[0].name == "summary"));
    assert_eq!(named("details").count(), 4 + 2 + 2 + 6 + 2 + 2);
    // What needs a person, what failed, then the changes that did.
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    let order =
        ["A person is needed", "What failed", "id=\"c4\"", "id=\"c3\"", "id=\"c0\"", "id=\"c5\""].map(place);
    assert!(order.is_sorted(), "{order:?}");
    assert!(text.contains("Undone after: verify failed: `odd`: exit status 3"));
}

#[tokio::test]
async fn json_has_the_same() {
    let ran = Ran::new().await;
    let file = ran.folder.path().join("r.json");
    file.to_str()
        .unwrap()
        .parse::<ReportFile>()
        .unwrap()
        .write(&ran.plan, &ran.report, &ran.recorded())
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        (&json["state"], &json["exit"], &json["alerts"][0]["phase"]),
        (&"backout_failed".into(), &3.into(), &"rollback".into())
    );
    let verify = &json["steps"][3]["devices"][0]["phases"][1];
    assert_eq!((&verify["how"], &verify["kind"]), (&"failed".into(), &"exit".into()));
    assert!(verify["transcript"].as_str().unwrap().starts_with("> odd\n< "), "{verify}");
}
