//! What is repeated, and over what (rows 25 to 32 of the contract), and what templates give.

use std::{path::Path, sync::Arc};

use super::super::{files::read, lab::*};
use crate::{
    base::exit::Exit,
    change::{Vars, parse, plan},
};

fn sent(lab: &Lab) -> Vec<String> {
    lab.mock.seen().sent.into_iter().map(|(device, text)| format!("{device} {text}")).collect()
}

/// Each row is done with its own values, in order, on each device; none that it does not have are asked for.
#[rstest::rstest]
#[case::row_25("[ {a: x} ]", "sw1 set x-; sw2 set x-")]
#[case::row_26("[ {a: x, b: y, c: z, d: w} ]", "sw1 set xy; sw2 set xy")]
#[case::row_27_32(
    "[ {a: x}, {a: y}, {a: z} ]",
    "sw1 set x-; sw1 set y-; sw1 set z-; sw2 set x-; sw2 set y-; sw2 set z-"
)]
#[case::row_28(
    "[ {a: x}, {a: y, b: '1'}, {a: z, c: '2'} ]",
    "sw1 set x-; sw1 set y1; sw1 set z-; sw2 set x-; sw2 set y1; sw2 set z-"
)]
#[tokio::test]
async fn of_dicts(#[case] rows: &str, #[case] expected: &str) {
    let lab = Lab::new(&format!(
        "vars: {{ b: '-' }}\ndevices: {{ sw1: {{}}, sw2: {{}} }}\nmatrices: {{ m: {{ rows: {rows} }} }}\nscenario:\n  name: all\n  \
         nodes:\n    - {{ step: one, matrix: m, targets: all, apply: {{ exchanges: [ {{ send: 'set %(a)s%(b)s' }} ] }} }}\n"
    ));
    assert_eq!(lab.run().await.exit(), Exit::Done);
    assert_eq!(sent(&lab).join("; "), expected);
}

/// Rows 30 to 32: rows of a csv file have the names of its first line, and are there for every device, change and attempt.
#[tokio::test]
async fn row_30_of_csv() {
    let mut lab =
        Lab::new("devices: { sw1: {} }\nscenario: { name: all, nodes: [ { step: one, targets: all } ] }\n");
    let text = "version: 1\ndrivers: { m: { kind: mock } }\ndevices: { sw1: {}, sw2: {} }\nmatrices: { m: { csv: lab.csv } }\n\
        scenario:\n  name: all\n  nodes:\n    \
        - { step: one, matrix: m, targets: all, policy: { retry: { max: 1 } }, \
            apply: { exchanges: [ { send: 'set %(port)s' }, { send: once x@sw2 } ] }, \
            rollback: [ { exchanges: [ { send: 'unset %(port)s' } ] } ] }\n    \
        - { step: two, matrix: m, targets: [sw1], apply: { exchanges: [ { send: 'set two-%(port)s' } ] } }\n";
    let loaded = parse(Path::new("x.yaml"), Path::new("/lab"), text, &Vars::new(), &read).unwrap();
    lab.runner.plan = Arc::new(plan(&loaded.changes, &Vars::new()).unwrap());
    let report = lab.run().await;
    assert_eq!((report.exit(), report.steps[0].attempts), (Exit::Done, 2), "{}", states(&report));
    assert_eq!(lab.there(), "sw1 et1, sw1 et2, sw1 two-et1, sw1 two-et2, sw2 et1, sw2 et2");
    let of_sw2: Vec<String> = sent(&lab).into_iter().filter(|line| line.contains("set et")).collect();
    let expected =
        ["sw1 set et1", "sw1 set et2", "sw2 set et1", "sw2 unset et1", "sw2 set et1", "sw2 set et2"];
    assert_eq!(of_sw2, expected);
}

#[tokio::test]
async fn a_template_gives_all_that_it_has() {
    let lab = Lab::new(
        "devices: { sw1: {}, sw2: {}, sw3: {} }\nmatrices: { m: { rows: [ {p: a}, {p: b} ] } }\ntemplates:\n  t: { targets: [sw1], \
         matrix: m, vars: { v: t }, policy: { on_fail: continue, retry: { max: 1, delay: 3s } }, \
         apply: { exchanges: [ { send: 'set %(v)s-%(p)s' } ] }, verify: { exchanges: [ { send: fail } ] }, \
         rollback: [ { exchanges: [ { send: 'unset %(v)s-%(p)s' } ] } ] }\nscenario:\n  name: all\n  nodes:\n    \
         - { step: one, template: t, targets: [sw2], verify: { exchanges: [ { send: 'check %(v)s-%(p)s' } ] } }\n    \
         - { step: two, template: t, targets: { replace: [sw3] }, vars: { v: own } }\n",
    );
    let report = lab.run().await;
    // Targets are added, a phase is replaced as a whole, the rest is as the template has it.
    let expected = "one success (sw1 ok, sw2 ok); two backout_ok (sw3 rolled_back)";
    assert_eq!(states(&report), expected);
    assert_eq!(lab.there(), "sw1 t-a, sw1 t-b, sw2 t-a, sw2 t-b");
    assert_eq!((report.steps[0].attempts, report.steps[1].attempts), (1, 2));
    assert!(sent(&lab).contains(&"sw3 set own-a".to_owned()), "{:?}", sent(&lab));
    assert_eq!(lab.runner.clock.now(), 3000);
}
