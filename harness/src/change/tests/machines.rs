//! Changes that are repeated over the machines of an environment.

use crate::change::{ChangeFileError, Given, Vars, plan};

fn rows() -> Vec<Vars> {
    let row = |name: &str, address: &str| -> Vars {
        [("machine.name", name), ("machine.address", address)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    };
    vec![row("web", "192.0.2.1"), row("db", "192.0.2.2")]
}

/// What is sent to the one device, a line for each row; or the codes and words of what is wrong.
fn sent(machines: &str, known: Option<Result<Vec<Vars>, String>>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    let text = format!(
        "version: 1\ndevices: {{ dns: {{}} }}\ndrivers: {{ n: {{ kind: 'null' }} }}\nmatrices: {{ vms: {{ {machines} }} }}\nscenario:\n  \
         name: names\n  nodes: [ {{ step: name, targets: all, matrix: vms, apply: {{ exchanges: [ {{ send: '%(machine.name)s is \
         %(machine.address)s' }} ] }} }} ]\n"
    );
    std::fs::write(&file, text).unwrap();
    match (Given { machines: known, ..Given::default() }).load(&file) {
        Ok(loaded) => {
            let plan = plan(&loaded.changes, &Vars::new()).unwrap().to_string();
            plan.lines().filter_map(|line| line.split('"').nth(1)).collect::<Vec<_>>().join(", ")
        }
        Err(ChangeFileError::Invalid(all)) => {
            let told = all.iter().map(|one| {
                let help = one.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                format!("{}: {}{help}", one.code, one.message)
            });
            told.collect::<Vec<_>>().join("; ")
        }
        Err(error) => panic!("{error}"),
    }
}

#[rstest::rstest]
#[case("machines: all", "web is 192.0.2.1, db is 192.0.2.2")]
#[case("machines: [db]", "db is 192.0.2.2")]
#[case("machines: [db, web]", "db is 192.0.2.2, web is 192.0.2.1")]
#[case(
    "machines: [wed, x]",
    "iter.unknown-machine: there is no machine `wed` (did you mean `web`?); iter.unknown-machine: there is no machine `x`"
)]
#[case("machines: all, csv: x.csv", "iter.bad-type: a matrix has one of `rows`, `csv` and `machines`")]
fn rows_are_machines(#[case] machines: &str, #[case] expected: &str) {
    assert_eq!(sent(machines, Some(Ok(rows()))), expected);
}

#[test]
fn without_an_environment_there_are_none() {
    assert_eq!(
        sent("machines: all", None),
        "iter.no-machines: there is no environment whose machines it could be repeated over (stand in a prefix, or name one \
         with `--prefix-path`)"
    );
    let why = "the prefix /p is damaged";
    let known = Some(Err(why.to_owned()));
    assert_eq!(
        sent("machines: [web]", known),
        format!("iter.no-machines: the machines of the environment are not known: {why}")
    );
    // Who does not ask for them is not told.
    let other = "rows: [ { machine.name: a, machine.address: b } ]";
    assert_eq!(sent(other, Some(Err(why.to_owned()))), "a is b");
    assert!(sent("machines: web", Some(Ok(rows()))).contains("`all`"), "{}", sent("machines: web", None));
}
