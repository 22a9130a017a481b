//! Real trouble of real machines, noticed while it happens and blamed on who is at work.

use std::{collections::BTreeSet, time::Duration};

use crate::binary;

/// For an environment with a Debian in it that starts three times, on a host with much else to do.
const LIMIT: Duration = Duration::from_secs(900);

#[test]
fn real_trouble_is_blamed_on_who_is_at_work_unless_it_is_allowed() {
    let ran = binary::start("health", &[]).wait_within(LIMIT);
    let (outcomes, events) = (ran.outcomes(), ran.events());
    insta::assert_snapshot!(outcomes.join("\n"), @r"
    health::what_is_allowed_is_nobodys_fault ... ok
    health::blamed_for_what_is_not_allowed ... FAILED
    health::blamed_for_a_hung_task ... FAILED
    health::blamed_for_an_oops ... FAILED
    health::blamed_for_want_of_memory ... FAILED
    health::machines_crash_without_their_guests_help ... ok
    health::blamed_for_a_panic_without_a_word ... FAILED
    ");
    let of = |event: &serde_json::Value, field: &str| event[field].as_str().unwrap().to_owned();
    let seen = events.iter().filter(|event| event["kind"] == "trouble");
    let seen: BTreeSet<String> = seen
        .map(|event| {
            let expected = if event["expected"].as_bool().unwrap() { " (expected)" } else { "" };
            format!("{}: {}: {}{expected}", of(event, "scenario"), of(event, "machine"), of(event, "trouble"))
        })
        .collect();
    let seen: Vec<String> = seen.into_iter().collect();
    insta::assert_snapshot!(seen.join("\n"), @r"
    blamed_for_a_hung_task: full: hung_task
    blamed_for_a_panic_without_a_word: full: panic
    blamed_for_an_oops: full: oops
    blamed_for_an_oops: plain: oops
    blamed_for_want_of_memory: full: failed_unit (expected)
    blamed_for_want_of_memory: full: out_of_memory
    blamed_for_what_is_not_allowed: full: core_dump
    blamed_for_what_is_not_allowed: full: failed_unit (expected)
    machines_crash_without_their_guests_help: full: panic (expected)
    machines_crash_without_their_guests_help: plain: panic (expected)
    what_is_allowed_is_nobodys_fault: full: failed_unit (expected)
    ");
    let error = |scenario: &str| ran.file(&format!("health/{scenario}/error.txt"));
    let crashed = error("blamed_for_what_is_not_allowed");
    assert!(crashed.contains("]: segfault at 1 ip") && !crashed.contains("doomed"), "{crashed}");
    let oops = error("blamed_for_an_oops");
    for words in ["plain: kernel oops", "NULL pointer", "full: kernel oops", "invalid opcode: 0000 [#1]"] {
        assert!(oops.contains(words), "no `{words}`: {oops}");
    }
    assert!(error("blamed_for_a_hung_task").contains("blocked for more than"));
    assert!(error("blamed_for_want_of_memory").contains("out of memory: Killed process"));
    // While it happens: before what the scenario does afterwards.
    let at = |kind: &str| {
        events.iter().position(|event| event["kind"] == kind && event["scenario"] == "blamed_for_an_oops")
    };
    assert!(at("trouble").unwrap() < at("fault").unwrap(), "{events:?}");
}
