//! Tests of reports, over runs that are made up from events.

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    junit,
    left::Left,
    made_up::*,
    model::{Account, Counts, Verdict, What},
    page,
    write::{ReportError, write},
};
use crate::{
    event::{Fault, Outcome, RunEvent, Stamped},
    provider::libvirt::xml::Element,
};

fn account() -> Account {
    Account::new(&recording(eventful()))
}

#[test]
fn events_become_entries_with_all_that_happened_in_them() {
    let account = account();
    let verdicts: Vec<(&str, Verdict)> =
        account.entries().map(|(_, e)| (e.name.as_str(), e.verdict())).collect();
    let expected = [
        ("environment", Verdict::Passed),
        ("boots", Verdict::Passed),
        ("breaks", Verdict::Failed),
        ("flickers", Verdict::Flaky),
        ("stays", Verdict::Failed),
        ("waits", Verdict::NotRun),
        ("sleeps", Verdict::Ignored),
        ("known", Verdict::Expected),
        ("environment", Verdict::Failed),
    ];
    assert_eq!(verdicts, expected);
    let words = Counts::of(account.entries().map(|(_, entry)| entry)).words();
    assert_eq!(words, "3 failed, 1 flaky, 1 passed, 1 failed as expected, 1 not run, 1 ignored");
    let [demo, late] = &account.suites[..] else { panic!("{:?}", account.suites) };
    assert_eq!((late.began, late.entries.len()), (None, 0));
    let progress = &demo.entries[0].nodes[0];
    assert_eq!((progress.machine.as_deref(), progress.at), (Some("web"), 3.0));
    let breaks = &demo.entries[2];
    let told: Vec<(Option<usize>, Option<&str>, &What)> =
        breaks.nodes.iter().map(|node| (node.parent, node.machine.as_deref(), &node.what)).collect();
    let wait = |node: &(Option<usize>, Option<&str>, &What)| matches!(node.2, What::Wait { looks: 10, .. });
    assert_eq!(told[0], (None, None, &What::Line));
    assert_eq!(told[1], (None, Some("web"), &What::Span { took: None }));
    assert_eq!(told[2], (Some(1), Some("web"), &What::Span { took: Some(0.25) }));
    assert_eq!(told[3], (Some(2), Some("web"), &What::Line));
    assert!(wait(&told[4]) && told[4].0 == Some(1) && told[4].1 == Some("web"), "{told:?}");
    assert_eq!(told[5], (None, Some("web"), &What::Fault { took: Some(2.0) }));
    assert_eq!(told[6], (None, Some("web"), &What::Trouble { expected: false }));
    assert_eq!(told.len(), 7);
    assert_eq!(breaks.phases[0].transcript, "net.demo/changes/1/transcript");
    assert_eq!((demo.entries[3].seconds, demo.entries[3].attempts.len()), (1.75, 1));
    // The end tells how long it took, whenever its begin was told.
    assert_eq!((demo.entries[1].began, demo.entries[1].seconds), (Some(5.75), 1.25));
}

#[test]
fn what_a_killed_run_was_at_did_not_end_and_counts_as_bad() {
    let events = vec![
        RunEvent::SuiteStarted { suite: suite(), place: None },
        started("boots", 1),
        log("boots", None, "on the way"),
    ];
    let account = Account::new(&recording(events));
    let (_, entry) = account.entries().next().unwrap();
    assert_eq!((entry.verdict(), entry.seconds, account.finished), (Verdict::Unfinished, 1.0, false));
    let text = junit::document(&account, &Left::default(), Path::new("/r"));
    let root = Element::parse(&text).unwrap();
    assert_eq!((root.get("tests"), root.get("errors")), (Some("1"), Some("1")), "{text}");
    let page = page::document(&account, &Left::default(), &["the end is not known".to_owned()]);
    assert!(page.contains("1 did not end") && page.contains("the end is not known"), "{page}");
}

/// The folder of a run with a few files.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("net.demo/breaks/error.txt", "no boat\n");
    put("net.demo/breaks/web/console.log", "booting\r\n\u{1b}[31mlogin:\u{1b}[0m");
    put("net.demo/consoles/web/console.log", &format!("{}the end\n", "x\n".repeat(10_000)));
    let manifest = serde_json::json!({ "entries": [
        { "path": "web/console.log", "source": "its serial console", "bytes": 15, "seconds": 0.1 },
        { "path": "web/journal.txt", "source": "the journal", "seconds": 5.0, "missing": "no answer" },
    ]});
    put("net.demo/breaks/manifest.json", &manifest.to_string());
    let call = serde_json::json!({
        "startedDateTime": "2026-11-21T05:15:07.500Z", "time": 12.5,
        "request": { "method": "POST", "url": "https://p/cvpservice/x.do?a=1", "postData": { "text": "{}" } },
        "response": { "status": 404, "content": { "text": "no such thing" } },
    });
    put(
        "net.demo/cvp.har",
        &serde_json::json!({ "log": { "entries": [call, { "odd": true }] } }).to_string(),
    );
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("net.demo/breaks/elsewhere")).unwrap();
    let line = |event: &Stamped| serde_json::to_string(event).unwrap() + "\n";
    put("events.jsonl", &recording(eventful()).events.iter().map(line).collect::<String>());
    folder
}

#[test]
fn what_lies_in_the_folder_is_read_and_links_are_not_followed() {
    let folder = folder();
    let left = Left::read(&account(), folder.path());
    let breaks = left.entry("net::demo", "breaks").unwrap();
    let paths: Vec<(&str, Option<&str>)> =
        breaks.files.iter().map(|file| (file.path.as_str(), file.source.as_deref())).collect();
    let expected = [
        ("net.demo/breaks/error.txt", None),
        ("net.demo/breaks/manifest.json", None),
        ("net.demo/breaks/web/console.log", Some("its serial console")),
    ];
    assert_eq!(paths, expected);
    assert_eq!(breaks.missing, [("web/journal.txt: the journal".to_owned(), "no answer".to_owned())]);
    assert_eq!(breaks.consoles[0].text, "booting\nlogin:");
    let suite = left.suite("net::demo").unwrap();
    assert!(suite.consoles[0].cut && suite.consoles[0].text.ends_with("x\nthe end"));
    assert_eq!(suite.archive.as_deref(), Some("net.demo/cvp.har"));
    let call = &suite.calls[0];
    assert_eq!((call.at, call.status, call.path.as_str()), (2.5, 404, "/cvpservice/x.do?a=1"));
    assert_eq!((suite.calls.len(), call.answered.as_str()), (1, "no such thing"));
    assert!(left.entry("net::demo", "boots").is_none());
}

#[test]
fn pictures_and_captured_packets_are_on_the_page() {
    let folder = folder();
    let breaks = folder.path().join("net.demo/breaks");
    let header: Vec<u8> =
        [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1, 7, 0, 3, 60].map(u32::to_le_bytes).concat();
    fs::write(breaks.join("lan.pcap"), [header, vec![1, 2, 3]].concat()).unwrap();
    fs::write(breaks.join("no.pcap"), "text").unwrap();
    fs::write(breaks.join("web/screen.png"), [0x89, b'P', b'N', b'G']).unwrap();
    fs::write(breaks.join("web/huge.png"), vec![0; 300 * 1024]).unwrap();
    let left = Left::read(&account(), folder.path());
    let found = left.entry("net::demo", "breaks").unwrap();
    assert_eq!(found.files.len(), 7, "{found:?}");
    let [packets] = found.packets.as_slice() else { panic!("{:?}", found.packets) };
    assert_eq!((packets.path.as_str(), packets.packets, packets.bytes), ("net.demo/breaks/lan.pcap", 1, 60));
    let [picture] = found.pictures.as_slice() else { panic!("{:?}", found.pictures) };
    assert_eq!(
        (picture.path.as_str(), picture.data.as_str()),
        ("net.demo/breaks/web/screen.png", "iVBORw==")
    );
    let page = page::document(&account(), &left, &[]);
    assert!(page.contains("iVBORw==") && page.contains("img-src data:"), "{page}");
}

#[test]
fn junit_has_a_case_for_each_scenario_with_why_and_where() {
    let folder = folder();
    let account = account();
    let text = junit::document(&account, &Left::read(&account, folder.path()), Path::new("/runs/r"));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    let root = Element::parse(&text).unwrap();
    let numbers = |element: &Element| {
        ["tests", "failures", "errors", "skipped"]
            .map(|name| element.get(name).unwrap().parse::<usize>().unwrap())
    };
    assert_eq!((numbers(&root), root.get("time")), ([8, 2, 1, 3], Some("30.000")));
    assert_eq!(root.get("timestamp"), Some("2026-11-21T05:15:05Z"));
    let [demo, late] = &root.children[..] else { panic!("{text}") };
    assert_eq!((numbers(demo), numbers(late)), ([8, 2, 1, 3], [0, 0, 0, 0]));
    let properties: Vec<(&str, &str)> = demo.children[0]
        .children
        .iter()
        .map(|property| (property.get("name").unwrap(), property.get("value").unwrap()))
        .collect();
    for expected in
        [("run", RUN), ("prefix", "/cache/e1"), ("machine", "web 10.0.0.7"), ("image", "web debian12")]
    {
        assert!(properties.contains(&expected), "{properties:?}");
    }
    let cases: BTreeMap<&str, &Element> =
        demo.children.iter().skip(1).map(|case| (case.get("name").unwrap(), case)).collect();
    assert_eq!(cases.len(), 8, "each name is there once");
    let breaks = cases["breaks"];
    assert_eq!(
        [breaks.get("classname"), breaks.get("time"), breaks.get("file"), breaks.get("line")],
        [Some("net::demo"), Some("1.250"), Some("tests/demo.rs"), Some("6")]
    );
    let failure = breaks.child("failure").unwrap();
    assert_eq!(failure.get("type"), Some("product"));
    let message = failure.get("message").unwrap();
    assert!(message.ends_with("& <b>: no boat (at tests/demo.rs:9:5)"), "{message}");
    assert_eq!(
        breaks.child("properties").unwrap().children[0].get("value"),
        Some("the link of web is worse, seed 17")
    );
    let out = &breaks.child("system-out").unwrap().text;
    assert!(
        out.contains("    deep\n") && out.contains("[[ATTACHMENT|/runs/r/net.demo/breaks/error.txt]]\n"),
        "{out}"
    );
    assert!(out.contains("[[ATTACHMENT|/runs/r/net.demo/cvp.har]]"), "{out}");
    let flaky = cases["flickers"].child("flakyFailure").unwrap();
    assert_eq!(flaky.child("stackTrace").unwrap().text, "attempt 1 was bad");
    let stays = cases["stays"];
    assert_eq!(stays.child("failure").unwrap().get("message"), Some("attempt 1 was bad"));
    let message = stays.child("rerunError").unwrap().get("message");
    assert_eq!(message, Some("no lab: no disk (at tests/demo.rs:12:1)"));
    let skipped = |name: &str| cases[name].child("skipped").unwrap().get("message").unwrap().to_owned();
    assert_eq!(skipped("waits"), "not run: needs `breaks`, which failed");
    assert_eq!(skipped("sleeps"), "ignored");
    assert_eq!(skipped("known"), "failed as expected: bug 7, expected until 2027-01-31");
    assert_eq!(cases["boots"].child("properties").unwrap().children[0].get("name"), Some("prerequisite"));
    assert_eq!(cases["environment"].child("error").unwrap().get("message"), Some("cannot end it"));
}

/// A page taken apart: what of it is XML, and its scripts by their ids.
fn taken_apart(page: &str) -> (Element, BTreeMap<String, String>) {
    let (mut rest, mut xml, mut scripts) = (page.split_once('\n').unwrap().1, String::new(), BTreeMap::new());
    while let Some((before, after)) = rest.split_once("<script") {
        let (attributes, after) = after.split_once('>').unwrap();
        let (script, after) = after.split_once("</script>").unwrap();
        let id = attributes.split("id=\"").nth(1).map_or("", |id| id.split('"').next().unwrap());
        scripts.insert(id.to_owned(), script.to_owned());
        xml += before;
        rest = after;
    }
    xml += rest;
    let (before, style) = xml.split_once("<style>").unwrap();
    (Element::parse(&(before.to_owned() + style.split_once("</style>").unwrap().1)).unwrap(), scripts)
}

fn every(root: &Element) -> Vec<&Element> {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(element) = all.get(at).copied() {
        all.extend(&element.children);
        at += 1;
    }
    all
}

#[test]
fn the_page_is_one_file_in_which_no_text_becomes_markup() {
    let folder = folder();
    let account = account();
    let page = page::document(&account, &Left::read(&account, folder.path()), &[]);
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    let (root, scripts) = taken_apart(&page);
    // Its own one, the index, two suites, nine entries.
    assert_eq!(scripts.len(), 1 + 1 + 2 + 9);
    let hash = {
        use base64::Engine;
        use sha2::Digest;
        base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&scripts[""]))
    };
    let policy = every(&root).into_iter().find(|element| element.get("http-equiv").is_some()).unwrap();
    let expected =
        format!("default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{hash}'");
    assert_eq!(policy.get("content"), Some(expected.as_str()));
    for (id, data) in scripts.iter().filter(|(id, _)| !id.is_empty()) {
        assert!(!data.contains('<'), "{id}: {data}");
        serde_json::from_str::<serde_json::Value>(data).unwrap();
    }
    let data: serde_json::Value = serde_json::from_str(&scripts["e2-data"]).unwrap();
    assert_eq!(data["nodes"][0]["text"], "</script><img src=x onerror=alert(1)>");
    assert_eq!((&data["nodes"][4]["is"], &data["nodes"][4]["end"]), (&"wait".into(), &"late".into()));
    let all = every(&root);
    assert!(!all.iter().any(|e| matches!(e.name.as_str(), "img" | "link" | "iframe" | "b")));
    assert!(!page.contains("src=\"") && !page.contains("url("));
    let ids: Vec<&str> = all.iter().filter_map(|element| element.get("id")).collect();
    let links: Vec<&str> = all.iter().filter_map(|e| e.get("href")?.strip_prefix('#')).collect();
    assert!(links.len() == 4 && links.iter().all(|link| ids.contains(link)), "{links:?} {ids:?}");
    // What failed stands at the top with its cause, and first in its suite.
    let failures = all.iter().find(|element| element.get("class") == Some("failures")).unwrap();
    let named: Vec<&str> =
        failures.children.iter().map(|item| item.child("a").unwrap().text.as_str()).collect();
    assert_eq!(named, ["net::demo::breaks", "net::demo::stays", "net::demo::environment"]);
    assert!(failures.children[1].child("pre").unwrap().text.contains("no disk"));
    assert!(all.iter().any(|element| element.name == "code" && element.text == "POLDER_KEEP=failed"));
    // With what else is to be known at once.
    let breaks = failures.children.iter().find(|item| item.child("a").unwrap().text == "net::demo::breaks");
    let more = &breaks.unwrap().child("p").unwrap().text;
    assert!(more.contains("done on purpose: the link of web is worse, seed 17"), "{more}");
    let entries =
        all.iter().filter(|element| element.name == "details" && element.get("data-verdict").is_some());
    let order: Vec<&str> = entries.filter_map(|entry| entry.get("id")).collect();
    assert_eq!(order, ["e2", "e4", "e8", "e0", "e1", "e3", "e5", "e6", "e7"]);
}

#[test]
fn a_thousand_scenarios_make_a_page_that_is_small() {
    let scenario = |n: u32| {
        let name = format!("scenario_{n}");
        let outcome =
            if n % 100 == 7 { failed(Fault::Product, &"no\n".repeat(500)) } else { Outcome::Passed };
        let count = if matches!(n % 100, 0 | 7) { 300 } else { 20 };
        let lines = (0..count).map(|n| log(&name, None, &format!("line {n}")));
        let lines: Vec<RunEvent> = lines.collect();
        std::iter::once(started(&name, 1)).chain(lines).chain([finished(&name, outcome)])
    };
    let account = Account::new(&recording((0..1_000).flat_map(scenario).collect()));
    let page = page::document(&account, &Left::default(), &[]);
    let (root, scripts) = taken_apart(&page);
    assert_eq!(scripts.len(), 1 + 1 + 2 + 1_000);
    // Of what went well only the end is there, of what failed all.
    let nodes = |id: &str| serde_json::from_str::<serde_json::Value>(&scripts[id]).unwrap();
    assert_eq!(
        (nodes("e0-data")["dropped"].as_u64(), nodes("e7-data")["dropped"].as_u64()),
        (Some(100), Some(0))
    );
    assert_eq!(nodes("e0-data")["nodes"][199]["text"], "line 299");
    assert!(page.len() < 2_500_000, "{}", page.len());
    assert!(every(&root).len() < 10_000, "what is shown at once is little");
}

#[test]
fn reports_are_written_for_whoever_may_read_the_run() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let written = write(folder.path()).unwrap();
    assert_eq!(written.notes, [""; 0]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    let events = mode(&folder.path().join("events.jsonl"));
    assert_eq!([mode(&written.junit), mode(&written.page)], [events, events]);
    assert_eq!(write(folder.path()).unwrap(), written, "they are written anew");
    let torn = fs::read(folder.path().join("events.jsonl")).unwrap();
    fs::write(folder.path().join("events.jsonl"), &torn[..torn.len() - 9]).unwrap();
    let notes = write(folder.path()).unwrap().notes;
    assert!(notes.len() == 2 && notes[1].contains("cut short"), "{notes:?}");
    fs::write(folder.path().join("events.jsonl"), "{}\n").unwrap();
    let error = anyhow::Error::from(write(folder.path()).unwrap_err());
    assert!(format!("{error:#}").contains("events.jsonl: line 1 is no `run_started`"), "{error:#}");
    let error = write(Path::new("/no/such/run")).unwrap_err();
    assert!(
        matches!(&error, ReportError::Events { .. }) && error.to_string().contains("/no/such/run/"),
        "{error}"
    );
}
