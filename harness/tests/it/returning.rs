//! States that scenarios begin in, on real machines: brought back whole, by whatever way they were kept, and nothing is left of
//! them when whoever runs them is killed.

use serde_json::Value;

use crate::binary::run;

fn told(events: &[Value], kind: &str, field: &str) -> Vec<String> {
    let found = events.iter().filter(|event| event["kind"] == kind && event["suite"] == "states");
    found.map(|event| format!("{} {}", event["scenario"].as_str().unwrap(), event[field])).collect()
}

#[test]
fn scenarios_begin_in_the_state_that_others_left() {
    let ran = run("returning", &["states::"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.notes, ran.out);
    assert_eq!(ran.result(), "ok. 7 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out");
    let events = ran.events();
    let kept: Vec<String> = told(&events, "state_kept", "kind");
    assert_eq!(
        kept,
        ["first \"state_kept\"", "is_tried_again_from_where_it_began \"state_kept\""],
        "nothing is kept that nobody goes back to"
    );
    let expected = [
        "begins_there \"first\"",
        "begins_there_again \"first\"",
        "is_tried_again_from_where_it_began null",
        "is_tried_again_from_where_it_began null",
        "is_tried_again_from_there \"first\"",
        "is_tried_again_from_there \"first\"",
    ];
    assert_eq!(told(&events, "restored", "from"), expected);
    for attempt in ["1", "2"] {
        let error =
            ran.file(&format!("states/is_tried_again_from_where_it_began/attempt-{attempt}/error.txt"));
        assert!(error.starts_with(&format!("not yet, at attempt {attempt}")), "{error}");
    }
}

#[test]
fn what_emulators_cannot_keep_is_kept_by_snapshots() {
    let ran = run("returning", &["--exact", "plain::begins_there", "plain::spoils"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.notes, ran.out);
    let expected =
        ["plain::first ... ok as prerequisite", "plain::spoils ... ok", "plain::begins_there ... ok"];
    assert_eq!(ran.outcomes(), expected);
}
