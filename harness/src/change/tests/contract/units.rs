//! The smallest runs of the contract (rows 1 to 5), and what has to have a name.

use super::super::{files::loaded, lab::*};
use crate::{
    base::exit::Exit,
    change::{Act, Head, Machine, State, model::Phase},
};

const ONE: &str = "devices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    - { step: one, targets: all, \
                   precheck: { exchanges: [ { send: PRE } ] }, apply: { exchanges: [ { send: set x } ] } }\n";

/// What is not pending has nothing done to it, whatever its precheck would say.
#[rstest::rstest]
#[case::row_01("say")]
#[case::row_02("fail")]
#[tokio::test]
async fn of_nothing_that_is_pending(#[case] precheck: &str) {
    let lab = Lab::new(&ONE.replace("PRE", precheck));
    let head = Head { skipped: vec!["one".to_owned()], ..lab.head() };
    let report = lab.runner.run(lab.folder.path(), head).await.unwrap();
    assert_eq!((report.exit(), report.steps[0].state), (Exit::Done, State::Skipped));
    assert_eq!(lab.mock.seen().sent, []);
    // That nothing was done is to be seen.
    assert!(report.summary().contains("skipped, and taken for done: one"), "{}", report.summary());
}

#[test]
fn row_03_what_waits_for_nothing_may_begin() {
    let plan = planned(&ONE.replace("PRE", "say"));
    let acts = Machine::new(&plan, 8, &[]).next(0);
    let [Act::Begin { key, phase: Phase::Precheck, .. }] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(key.to_string(), "one on sw1");
}

#[tokio::test]
async fn row_05_what_may_have_no_device_is_done_without_any() {
    let lab = Lab::new(
        "devices: { sw1: {} }\nscenario:\n  name: all\n  nodes:\n    \
         - { step: one, policy: { noop: true }, apply: { exchanges: [ { send: set x } ] } }\n    \
         - { step: two, targets: all, after: [one], apply: { exchanges: [ { send: set y } ] } }\n",
    );
    let report = lab.run().await;
    assert_eq!((report.exit(), lab.there().as_str()), (Exit::Done, "sw1 y"), "{}", states(&report));
    assert!(report.steps[0].empty && !report.steps[1].empty, "it is to be seen: {report:?}");
}

#[rstest::rstest]
#[case::row_29("<config><iterator><dict/></iterator></config>")]
#[case::row_37("<config><provisioner type='Provisioner'/></config>")]
fn what_is_named_by_others_needs_a_name(#[case] text: &str) {
    let error = loaded(text).expect_err("it has no name").to_string();
    assert!(error.contains("needs the attribute `name`"), "{error}");
}
