//! Machines that are controlled, hurt and watched over, in one environment; what is said of it.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use crate::binary::{self, Ran};

/// For an environment with a Debian in it, on a host with much else to do.
const LIMIT: Duration = Duration::from_secs(360);

/// Trouble with the scenario in which it was noticed: (scenario, machine, kind, whether it was expected).
fn troubles(events: &[Value]) -> BTreeSet<(String, String, String, bool)> {
    let of = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    let troubles = events.iter().filter(|event| event["kind"] == "trouble");
    troubles
        .map(|event| {
            let expected = event["expected"].as_bool().unwrap();
            (of(event, "scenario"), of(event, "machine"), of(event, "trouble"), expected)
        })
        .collect()
}

/// The texts of faults and the outcome of a scenario, in order.
fn course(events: &[Value], scenario: &str) -> Vec<String> {
    let own = events.iter().filter(|event| event["scenario"] == scenario);
    let told = own.filter_map(|event| match event["kind"].as_str()? {
        "fault" => event["text"].as_str().map(str::to_owned),
        "scenario_finished" => Some("the end".to_owned()),
        _ => None,
    });
    told.collect()
}

#[test]
fn machines_are_controlled_and_their_health_is_blamed_on_who_is_at_work() {
    let ran = binary::start("mishaps", &[]).wait_within(LIMIT);
    let (outcomes, events) = (ran.outcomes(), ran.events());
    insta::assert_snapshot!(outcomes.join("\n"), @r"
    mishaps::a_machine_is_paused ... ok
    mishaps::a_disk_is_full ... ok
    mishaps::a_screen_is_seen ... ok
    mishaps::a_machine_crashes_and_keeps_what_was_written ... ok
    mishaps::what_is_expected_is_nobodys_fault ... ok
    mishaps::blamed_for_a_unit_and_a_core ... FAILED
    mishaps::blamed_for_what_the_kernel_says ... FAILED
    mishaps::blamed_for_a_panic ... FAILED
    mishaps::nobody_is_blamed_for_the_past ... ok
    ");
    let trouble = |scenario: &str, machine: &str, kind: &str, expected: bool| {
        (scenario.to_owned(), machine.to_owned(), kind.to_owned(), expected)
    };
    let expected = [
        trouble("a_machine_crashes_and_keeps_what_was_written", "plain", "panic", true),
        trouble("what_is_expected_is_nobodys_fault", "full", "failed_unit", true),
        trouble("what_is_expected_is_nobodys_fault", "plain", "oops", true),
        trouble("blamed_for_a_unit_and_a_core", "full", "failed_unit", false),
        trouble("blamed_for_a_unit_and_a_core", "full", "core_dump", false),
        trouble("blamed_for_what_the_kernel_says", "plain", "out_of_memory", false),
        trouble("blamed_for_what_the_kernel_says", "plain", "hung_task", false),
        trouble("blamed_for_what_the_kernel_says", "plain", "oops", false),
        trouble("blamed_for_a_panic", "plain", "panic", false),
    ];
    assert_eq!(troubles(&events), BTreeSet::from(expected));
    told(&ran);
    // Also what was only dropped is over before the end.
    let paused = ["plain is paused", "no longer: plain is paused"];
    assert_eq!(course(&events, "a_machine_is_paused"), [paused.as_slice(), &paused, &["the end"]].concat());
    let full = course(&events, "a_disk_is_full");
    let last = ["full has 2048 KiB left in /root", "no longer: full has 2048 KiB left in /root", "the end"];
    assert!(full.ends_with(&last.map(str::to_owned)), "{full:?}");
}

/// People are told while it happens, and with the failure.
fn told(ran: &Ran) {
    let error = ran.file("mishaps/blamed_for_a_unit_and_a_core/error.txt");
    let unit = "health: full: failed unit: doomed.service: Failed with result 'exit-code'.";
    let core = "health: full: core dump: Process 77 (web) dumped core.";
    assert_eq!(error, format!("{unit}\n{core}\n"));
    let error = ran.file("mishaps/blamed_for_what_the_kernel_says/error.txt");
    for words in ["Out of memory: Killed process", "blocked for more than", "Oops: 0002"] {
        assert!(error.contains(words), "{error}");
    }
    assert!(ran.notes.contains("\nmishaps: full: failed unit: doomed.service"), "{}", ran.notes);
    assert!(ran.notes.contains("\nmishaps: plain: expected kernel panic: "), "{}", ran.notes);
    // What was collected shows what there was to see.
    let folder = ran.root().join("latest/mishaps/blamed_for_a_panic/plain");
    let screen = std::fs::read(folder.join("screen.png")).unwrap();
    assert!(screen.starts_with(b"\x89PNG"));
    // By this run, or by the one whose state it goes on from.
    let printed = std::fs::read_to_string(folder.join("deploy/1-greet.sh.out")).unwrap();
    assert_eq!(printed, "deployed on plain\n");
}
