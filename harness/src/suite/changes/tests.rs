//! Changes of a suite by a driver that keeps what is set on its devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;

use super::{all::Tell, *};
use crate::change::{
    self, Driver, Mock, Said,
    model::{OnFail, Policy, Retry},
};

/// What is told of a run.
const SHORT: Tell = |_, report, recorded| {
    let page = recorded.folder.join("page");
    std::fs::write(&page, report.summary())?;
    Ok(page)
};

/// A driver whose devices understand `set X`, `unset X`, `ping` and nothing else, and what is set on them.
struct World {
    there: Arc<Mutex<BTreeSet<String>>>,
    mock: Mock,
    changes: Changes,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let changes = Changes::new("demo", folder.path().join("changes"), None, SHORT, Source::default());
        let there = Arc::<Mutex<BTreeSet<String>>>::default();
        let kept = Arc::clone(&there);
        let mock = Mock::new(move |device, sent| {
            let (verb, what) = sent.split_once(' ').unwrap_or((sent, ""));
            let thing = format!("{device} {what}");
            let mut kept = kept.lock().unwrap();
            match verb {
                "set" => drop(kept.insert(thing)),
                "unset" => drop(kept.remove(&thing)),
                "ping" => {}
                // As it is the first time.
                "once" if kept.insert(format!("{device} tried")) => return Ok(Said::exit(1, "no")),
                "once" => {}
                _ => return Ok(Said::exit(1, "no")),
            }
            Ok(Said::ok(""))
        });
        Self { there, mock, changes, folder }
    }

    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.mock.clone())
    }

    fn there(&self) -> String {
        self.there.lock().unwrap().iter().cloned().collect::<Vec<_>>().join(", ")
    }

    fn sent(&self) -> Vec<String> {
        self.mock.seen().sent.into_iter().map(|(device, text)| format!("{device} {text}")).collect()
    }

    fn last_run(&self) -> std::path::PathBuf {
        change::run_folders(&self.folder.path().join("changes")).unwrap().pop().unwrap()
    }

    /// Does a change on devices.
    async fn done(&self, change: Change, devices: &[&str]) -> Result<change::Report, String> {
        let done = self.changes.apply(change).on(devices.iter().copied()).by(self.driver()).await;
        done.map_err(|error| error.to_string())
    }
}

fn set(what: &str) -> Change {
    Change::new(what).apply(&format!("set {what}")).rollback(&format!("unset {what}"))
}

#[tokio::test]
async fn what_is_applied_is_undone_at_the_end_last_first_unless_it_stays() {
    let world = World::new();
    world.done(set("a"), &["sw1", "sw2"]).await.unwrap();
    world.done(set("b"), &["sw1", "sw1"]).await.unwrap();
    world.changes.apply(set("c")).on(["sw1"]).by(world.driver()).keep().await.unwrap();
    // One that fails is undone at once, and says why, and where all of it is.
    let error = world.done(set("d").verify("check d"), &["sw1"]).await.unwrap_err();
    let page = world.folder.path().join("changes/4-d/page");
    let why = "sw1 (rolled_back): `check d`: exit status 1";
    assert_eq!(error, format!("the change `d` failed: {why}; all of it is in {}", page.display()));
    assert_eq!(world.there(), "sw1 a, sw1 b, sw1 c, sw2 a");
    world.changes.undo(0).await.unwrap();
    assert_eq!(world.there(), "sw1 c");
    let sent = world.sent();
    assert_eq!(sent[sent.len() - 3..], ["sw1 unset b", "sw2 unset a", "sw1 unset a"]);
    assert!(world.changes.made() == 0);
    // Without an environment there are no machines.
    let error = world.changes.apply(set("y")).on(["web"]).await.unwrap_err().to_string();
    assert_eq!(error, "no machine of the environment: web");
}

#[tokio::test]
async fn a_name_that_is_no_file_name_leads_nowhere_else() {
    let world = World::new();
    let name = format!("../mtu 9000/{}", "x".repeat(300));
    world.done(Change::new(&name).apply("set a").rollback("unset a"), &["sw1"]).await.unwrap();
    let folder = world.folder.path().join("changes").join(format!("1-..-mtu-9000-{}", "x".repeat(28)));
    assert_eq!(world.last_run(), folder);
}

#[tokio::test]
async fn what_cannot_be_undone_is_told_whoever_has_its_journal() {
    let world = World::new();
    world.done(Change::new("x").apply("set x").rollback("fail x"), &["sw1"]).await.unwrap();
    let error = world.changes.undo(0).await.unwrap_err().to_string();
    let why = "could not be undone: sw1 (rollback_failed): `fail x`: exit status 1; all of it is in ";
    assert!(error.contains(why), "{error}");
    // A scenario that was ended may still write; who never lets go is named.
    world.done(set("z"), &["sw1"]).await.unwrap();
    let taken = change::Recorded::read(&world.last_run()).unwrap().take().unwrap();
    let again = world.changes.begun().last().cloned().unwrap();
    let error = world.changes.undo_within(0, Duration::from_millis(1)).await.unwrap_err();
    assert!(format!("{error:#}").contains("another process has it"), "{error:#}");
    world.changes.begun().push(again);
    let (ended, ()) = tokio::join!(world.changes.undo(0), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(taken);
    });
    ended.unwrap();
    assert!(!world.there().contains("sw1 z"));
    // One that was ended before it wrote anything has done nothing.
    world.done(set("w"), &["sw1"]).await.unwrap();
    std::fs::write(world.last_run().join("journal.jsonl"), "").unwrap();
    world.changes.undo(0).await.unwrap();
}

#[tokio::test]
async fn a_report_that_cannot_be_written_hides_nothing() {
    let mut world = World::new();
    let folder = world.folder.path().join("changes");
    world.changes =
        Changes::new("demo", folder, None, |_, _, _| anyhow::bail!("the disk is full"), Source::default());
    world.done(set("a"), &["sw1"]).await.unwrap();
    let error = world.done(set("d").verify("check d"), &["sw1"]).await.unwrap_err();
    assert_eq!(error, "the change `d` failed: sw1 (rolled_back): `check d`: exit status 1");
    world.changes.undo(0).await.unwrap();
    assert_eq!(world.there(), "");
}

#[tokio::test]
async fn what_is_to_stay_is_told_also_when_its_scenario_is_ended_while_it_runs() {
    let world = World::new();
    // It waits long before it is tried again.
    let retry = Retry { max: Some(1), delay: Duration::from_secs(3600) };
    let change = set("a").verify("check a").policy(Policy { retry, ..Policy::default() });
    let applying = world.changes.apply(change).on(["sw1"]).by(world.driver()).keep().into_future();
    let tried = async {
        while !world.sent().contains(&"sw1 unset a".to_owned()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = applying => panic!("{done:?}"),
        () = tried => {}
    }
    let (sent, page) = (world.sent(), world.last_run().join("page"));
    assert!(!page.exists());
    world.changes.undo(0).await.unwrap();
    assert!(world.sent() == sent && world.changes.made() == 0);
    let told = std::fs::read_to_string(page).unwrap();
    assert!(told.contains("0 ok") && told.contains(": a"), "{told}");
}

/// A row as a struct.
#[derive(Serialize)]
struct Port {
    port: &'static str,
    mtu: u32,
}

fn mtus(change: Change) -> Change {
    change
        .apply("set %(port)s=%(mtu)s on %(device.name)s, 100%%")
        .rollback("unset %(port)s=%(mtu)s on %(device.name)s, 100%%")
}

#[tokio::test]
async fn a_change_is_done_for_each_row_whatever_the_rows_are() {
    let map = |port: &str, mtu: &str| BTreeMap::from([("port", port.to_owned()), ("mtu", mtu.to_owned())]);
    for change in [
        Change::new("mtu").each([Port { port: "et1", mtu: 9000 }, Port { port: "et2", mtu: 1400 }]),
        Change::new("mtu").each([[("port", "et1"), ("mtu", "9000")], [("port", "et2"), ("mtu", "1400")]]),
        Change::new("mtu")
            .each(vec![vec![("port", "et1"), ("mtu", "9000")], vec![("mtu", "1400"), ("port", "et2")]]),
        Change::new("mtu").each([map("et1", "9000"), map("et2", "1400")]),
    ] {
        let world = World::new();
        let report = world.done(mtus(change), &["sw1", "sw2"]).await.unwrap();
        assert_eq!(report.steps[0].devices.len(), 2);
        let expected = ["sw1", "sw2"].map(|device| {
            ["et1=9000", "et2=1400"].map(|set| format!("{device} set {set} on {device}, 100%"))
        });
        assert_eq!(world.sent(), expected.concat());
        world.changes.undo(0).await.unwrap();
        assert_eq!(world.there(), "");
    }
    // Without rows nothing stands for anything else.
    let world = World::new();
    world.done(Change::new("date").apply("set +%s %(port)s"), &["sw1"]).await.unwrap();
    assert_eq!(world.there(), "sw1 +%s %(port)s");
}

#[tokio::test]
async fn the_rows_of_a_device_that_fails_are_undone_in_reverse_and_tried_again() {
    let rows =
        || [("a", "ping"), ("b", "ping"), ("c", "once")].map(|(what, verb)| [("what", what), ("verb", verb)]);
    let change = |policy| {
        let change = Change::new("rows").each(rows()).policy(policy);
        change.apply("set %(what)s").verify("%(verb)s").rollback("unset %(what)s")
    };
    let world = World::new();
    let error = world.done(change(Policy::default()), &["sw1", "sw2"]).await.unwrap_err();
    assert!(
        error.starts_with("the change `rows` failed: sw1 (rolled_back): `once`: exit status 1"),
        "{error}"
    );
    let sent = world.sent();
    assert_eq!(sent[6..], ["sw1 unset c", "sw1 unset b", "sw1 unset a"], "{sent:?}");
    // With another try, and on all devices.
    let world = World::new();
    let retry = Retry { max: Some(1), delay: Duration::ZERO };
    let policy = Policy { retry, on_fail: OnFail::Continue, ..Policy::default() };
    let report = world.done(change(policy), &["sw1", "sw2"]).await.unwrap();
    assert_eq!(report.steps[0].attempts, 2);
    assert_eq!(world.there(), "sw1 a, sw1 b, sw1 c, sw1 tried, sw2 a, sw2 b, sw2 c, sw2 tried");
}

#[tokio::test]
async fn secrets_of_rows_are_sent_and_written_nowhere() {
    let world = World::new();
    let change = Change::new("user").each([[("user", "ops"), ("password", "hunter2")]]);
    let change = change.apply("set %(user)s %(password)s").verify("check %(password)s");
    let error = world.done(change, &["sw1"]).await.unwrap_err();
    assert_eq!(world.there(), "sw1 ops hunter2");
    let written = ["journal.jsonl", "transcript.log"].map(|name| world.last_run().join(name));
    let written = written.map(|path| std::fs::read_to_string(path).unwrap()).concat();
    assert!(written.contains("set ops ***") && !format!("{error}{written}").contains("hunter2"), "{error}");
}

#[rstest::rstest]
#[case::no_names(Change::new("x").each(["et1"]), "row 1: it is a text; a row has names with one value each")]
#[case::no_pairs(
    Change::new("x").each([vec![1, 2]]),
    "row 1: it is a list of something else than pairs; a row has names with one value each: it is a struct, a map, or pairs"
)]
#[case::no_text_for_a_name(
    Change::new("x").each([BTreeMap::from([((1, 2), "a")])]),
    "row 1: it is nothing that has names: key must be a string"
)]
#[case::several_values(
    Change::new("x").each([BTreeMap::from([("a", vec!["1"])]), BTreeMap::from([("b", vec!["1"])])]),
    "row 1: `a` is a list, and not one value; row 2: `b` is a list, and not one value"
)]
#[case::no_value(Change::new("x").each([[("a", None::<&str>)]]), "row 1: `a` is nothing, and not one value")]
#[case::twice(Change::new("x").each([[("a", "1"), ("a", "2")]]), "row 1: `a` has two values")]
#[case::nameless(Change::new("x").each([[("", "1")]]), "row 1: the value `1` has no name")]
#[case::ours(Change::new("x").each([[("device.name", "1")]]), "row 1: `device.name` is a name of ours; rename it")]
#[case::percent(
    Change::new("x").each([[("a", "1")]]).apply("date +%s").verify("echo 100%"),
    "`date +%s`: this `%` begins no variable; a variable is `%(name)s`, a percent sign is `%%`; `echo 100%`: this"
)]
#[case::unknown(
    Change::new("x").each([[("a", "1")], [("b", "1")]]).apply("set %(a)s"),
    "there is no variable `a` for sw1 row 2"
)]
#[case::no_row(
    Change::new("x").each(Vec::<Port>::new()).apply("set %(port)s"),
    "`x` has no device and row to be done on"
)]
#[case::nothing(Change::new("x").rollback("unset x"), "`x` does nothing")]
#[tokio::test]
async fn what_is_wrong_with_a_change_is_said_and_nothing_begun(
    #[case] change: Change,
    #[case] expected: &str,
) {
    let world = World::new();
    let error = world.done(change, &["sw1"]).await.unwrap_err();
    assert!(error.contains(expected), "{error}");
    assert!(
        world.changes.made() == 0 && world.sent().is_empty() && !world.folder.path().join("changes").exists()
    );
}
