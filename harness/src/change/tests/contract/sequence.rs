//! The orders of the contract (rows 6 to 16, table 1.10), done by a driver and undone by it.

use std::path::Path;

use super::super::lab::*;
use crate::{
    base::exit::Exit,
    change::{Vars, parse},
};

const MANY: &str = "begin branch1 c1 c14 c7 c18 alan c12 c41 meetup fnord wibble beatrice";
const MANY_EDGES: &str = "branch1:begin c1:branch1 c14:branch1 c7:c1 c18:c1 alan:c14 c12:c7 c41:c18 meetup:c12,c41 \
                          fnord:c41,alan wibble:meetup beatrice:fnord,meetup";

/// Changes with what each waits for.
fn file(declared: &str, edges: &str) -> String {
    let mut text =
        String::from("devices: { sw1: {}, sw2: {} }\nscenario:\n  name: all\n  unordered: true\n  nodes:\n");
    for name in declared.split(' ') {
        let after = edges.split_whitespace().filter_map(|edge| edge.split_once(':'));
        let after: Vec<&str> = after.filter(|(of, _)| *of == name).map(|(_, after)| after).collect();
        text += &format!(
            "    - {{ step: '{name}', targets: all, after: [{}], apply: {{ exchanges: [ {{ send: set {name} }} ] }}, \
             rollback: [ {{ exchanges: [ {{ send: unset {name} }} ] }} ] }}\n",
            after
                .iter()
                .flat_map(|after| after.split(','))
                .map(|name| format!("'{name}'"))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    text
}

#[rstest::rstest]
#[case::row_06_14("1", "", "1")]
#[case::row_07_15("1 2", "2:1", "1 2")]
#[case::row_08("1 2", "1:2", "2 1")]
#[case::row_09("1 2 3 4", "2:1 3:2 4:3", "1 2 3 4")]
#[case::row_11("1 2 3 4", "2:1 4:3", "1 3 2 4")]
#[case::row_12("1 2 3 4 5", "3:1 5:1 4:3 2:5", "1 3 5 2 4")]
#[case::row_13_16(MANY, MANY_EDGES, MANY)]
#[tokio::test]
async fn it_is_done_in_order_and_undone_in_exactly_the_reverse(
    #[case] declared: &str,
    #[case] edges: &str,
    #[case] order: &str,
) {
    let lab = Lab::new(&file(declared, edges));
    assert_eq!(lab.run().await.exit(), Exit::Done);
    let done = lab.mock.seen().sent;
    let expected: Vec<(String, String)> = order
        .split(' ')
        .flat_map(|name| ["sw1", "sw2"].map(|device| (device.to_owned(), format!("set {name}"))))
        .collect();
    assert_eq!(done, expected);
    assert_eq!(lab.runner.rollback(lab.folder.path()).await.unwrap().exit(), Exit::Done);
    let undone = lab.mock.seen().sent.split_off(done.len());
    let reverse: Vec<(String, String)> =
        done.into_iter().rev().map(|(device, text)| (device, format!("un{text}"))).collect();
    assert_eq!((undone, lab.there().as_str()), (reverse, ""));
}

/// A circle is told when the file is read, with its path; so nothing of it ever runs.
#[test]
fn row_10() {
    let text = format!("version: 1\ndrivers: {{ m: {{ kind: mock }} }}\n{}", file("1 2", "2:1 1:2"));
    let read = |_: &Path| Err(std::io::Error::other("no files"));
    let error = parse(Path::new("x.yaml"), Path::new("/"), &text, &Vars::new(), &read).unwrap_err();
    let said = format!("{error}");
    assert!(said.contains("`1` -> `2` -> `1`") || said.contains("`2` -> `1` -> `2`"), "{said}");
}
