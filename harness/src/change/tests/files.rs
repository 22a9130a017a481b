//! Files of every kind, what they are read to, and that they say the same.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;

use crate::change::{
    ChangeFileError, Changes, Loaded, Vars,
    file::{converted, parse},
    model::{Node, OnFail, Parallel, RollbackAction, Step, Word},
    plan::plan,
};

pub(super) fn read(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/lab/lab.csv") => Ok("port\net1\net2\n".to_owned()),
        Some("/lab/ragged.csv") => Ok("port,speed\net1\n".to_owned()),
        Some("/lab/parts/cli.xml") => Ok(CLI.to_owned()),
        Some("/lab/loop.xml") => Ok("<config xmlns:xi='x'><xi:include href='loop.xml'/></config>".to_owned()),
        Some("/lab/ours.csv") => Ok("run.x\n1\n".to_owned()),
        Some("/lab/whole.xml") => Ok("<config/>".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

const CLI: &str = r#"<provisioner name="cli" type="MultiConnectingProvisioner" command_timeout="60">
  <connect_command>ssh "admin@%(device.ipaddress)s"</connect_command></provisioner>"#;

pub(super) fn loaded(text: &str) -> Result<Loaded, ChangeFileError> {
    let environment = Vars::from([("login".to_owned(), "admin".to_owned())]);
    parse(Path::new("c.yaml"), Path::new("/lab"), text, &environment, &read)
}

fn good(text: &str) -> Changes {
    loaded(text).unwrap_or_else(|error| panic!("{error}")).changes
}

const YAML: &str = r#"
version: 1
vars: { mtu: "9000" }
devices: { sw1: { ipaddress: 192.0.2.11 }, sw2: { ipaddress: 192.0.2.12, vars: { mtu: "1500" } } }
drivers: { cli: { kind: command, argv: [ssh, "admin@%(device.ipaddress)s", "%(command.send)s"], command_timeout: 60s } }
matrices: { ports: { rows: [ { port: et1 }, { port: et2 } ] }, lab: { csv: lab.csv } }
templates:
  set_mtu:
    precheck: { exchanges: [ { send: "show interface %(port)s" } ], checks: [ 'results.cmdoutput.find("%(port)s is up") >= 0' ] }
    apply:    { exchanges: [ { send: "interface %(port)s mtu %(mtu)s" } ] }
    rollback: [ { when: 'results.timed_out', alert: "console needed" }, { exchanges: [ { send: "interface %(port)s mtu 1500" } ] } ]
scenario:
  name: jumbo-frames
  nodes:
    - { step: backup, targets: all, apply: { exchanges: [ { send: copy running backup } ] } }
    - { step: mtu, template: set_mtu, matrix: ports, targets: [sw1, sw2], after: [backup],
        policy: { on_fail: rollback_all, devices: { parallel: 4 } } }
    - scenario: traffic
      after: [mtu]
      nodes: [ { step: ping, targets: [sw1], policy: { retry: { max: 5, delay: 2s } }, apply: { exchanges: [ { send: ping -c1 sw2 } ] } } ]
"#;

const XML: &str = r#"<config xmlns:xi="http://www.w3.org/2001/XInclude">
  <namespace><entry name="mtu">9000</entry></namespace>
  <xi:include href="parts/cli.xml"/>
  <device name="sw1"><ipaddress>192.0.2.11</ipaddress></device>
  <device name="sw2"><ipaddress>192.0.2.12</ipaddress><namespace><entry name="a b"> "x: # </entry></namespace></device>
  <iterator name="ports"><dict><entry name="port">et1</entry></dict><dict><entry name="port">et2</entry></dict></iterator>
  <iterator name="lab" type="CSV" file="lab.csv" delay="2"/>
  <changetemplate name="set_mtu" type="CommandChange">
    <preimpl>
      <command><send>show interface %(port)s</send></command>
      <condition>results.cmdoutput.find("%(port)s is up") &gt;= 0</condition>
    </preimpl>
    <impl><command><expect timeout="20">\$ $</expect><send>interface %(port)s mtu %(mtu)s</send></command></impl>
    <backout><pause/><command><send>interface %(port)s mtu 1500</send></command><command><send/></command></backout>
  </changetemplate>
  <change name="ping" type="CommandChange" onfail="retry" max_retries="-1"><target name="sw1"/>
    <preimpl><command><send>ping -c1 sw2</send></command></preimpl></change>
  <change name="mtu" template="set_mtu" iterator="ports" onfail="continue">
    <target name="sw1"/><target name="sw2"/><target name="sw1"/><prereq> backup </prereq></change>
  <change name="backup" type="CommandChange"><target name="ALL_TARGETS"/>
    <impl><command><send>copy running backup</send></command></impl></change>
  <prereq for="ping">mtu</prereq>
</config>"#;

const LEGACY: &str = r#"<config dialect="legacy">
  <device name="sw1"/>
  <provisioner name="sh" module="provisioner_command" type="MultiConnectingProvisioner">
    <command>ssh admin@%(device.name)s %(command.send)s</command></provisioner>
  <iterator name="rows"><namespace><entry name="x">1</entry></namespace></iterator>
  <change name="a" type="CommandChange" iterator="rows"><useprov>sh</useprov><target>sw1</target>
    <impl><command><send>%(x)s</send></command><condition>exitcode == 0</condition><condition>cmdoutput</condition></impl>
  </change>
</config>"#;

#[test]
fn the_documented_file_is_good() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/changes.md");
    let text = std::fs::read_to_string(path).expect("it is in the workspace");
    let yaml = text
        .split("```yaml changes\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("it is there");
    assert_eq!(plan(&good(yaml), &Vars::new()).expect("it was checked").steps().len(), 3);
}

fn step<'c>(changes: &'c Changes, name: &str) -> &'c Step {
    let found = changes.scenario.nodes.iter().find(|node| node.name().as_str() == name);
    let Some(Node::Step(step)) = found else { panic!("no step {name}") };
    step
}

#[test]
fn yaml_says_all_of_the_model() {
    let changes = good(YAML);
    let mtu = step(&changes, "mtu");
    assert_eq!(mtu.policy.on_fail, OnFail::RollbackAll);
    assert!(matches!(mtu.policy.devices, Parallel::Max(max) if max.get() == 4));
    assert!(
        matches!(&mtu.rollback[0].action, RollbackAction::Alert(text) if text.to_string() == "console needed")
    );
    assert!(mtu.rollback[0].when.is_some() && mtu.rollback[1].when.is_none());
    let Node::Scenario(traffic) = &changes.scenario.nodes[2] else { panic!("no scenario") };
    let Node::Step(ping) = &traffic.nodes[0] else { panic!("no step") };
    assert_eq!((ping.policy.retry.max, ping.policy.retry.delay), (Some(5), Duration::from_secs(2)));
    assert_eq!(changes.matrices[1].rows.len(), 2);
    let plan = plan(&changes, &Vars::new()).expect("it was checked").to_string();
    let expected = "\
wave 1
  step backup by cli
    on sw1
      apply: send \"copy running backup\"
    on sw2
      apply: send \"copy running backup\"
wave 2
  step mtu by cli
    on sw1 row 1
      precheck: send \"show interface et1\"
      precheck: check results.cmdoutput.find(\"%(port)s is up\") >= 0
      apply: send \"interface et1 mtu 9000\"
    on sw1 row 2
";
    assert!(plan.starts_with(expected), "{plan}");
    assert!(plan.contains("send \"interface et2 mtu 1500\""), "{plan}");
    assert!(plan.contains("wave 3\n  scenario traffic\n    wave 1\n      step ping by cli\n"), "{plan}");
}

#[test]
fn json_is_read_as_yaml_is() {
    let json = r#"{"version": 1, "devices": {"sw1": {}}, "drivers": {"sh": {"kind": "local"}},
        "scenario": {"name": "all", "nodes": [{"step": "a", "targets": "all"}]}}"#;
    let yaml = "version: 1\ndevices:\n  sw1: {}\ndrivers:\n  sh:\n    kind: local\n\
                scenario:\n  name: all\n  nodes:\n  - step: a\n    targets: all\n";
    assert_eq!(good(json), good(yaml));
}

#[test]
fn xml_says_what_modipys_files_say() {
    let changes = good(XML);
    let mtu = step(&changes, "mtu");
    let names = |words: &[Word]| words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!((names(&mtu.targets), names(&mtu.after)), ("sw1 sw2".to_owned(), "backup".to_owned()));
    assert_eq!(mtu.policy.on_fail, OnFail::Continue);
    let apply = mtu.apply.as_ref().expect("from the template");
    assert_eq!(apply.exchanges[0].timeout, Some(Duration::from_secs(20)));
    let RollbackAction::Script(rollback) = &mtu.rollback[0].action else { panic!("no script") };
    assert!(
        rollback.pause && rollback.exchanges[1].send.as_ref().is_some_and(|text| text.to_string().is_empty())
    );
    assert_eq!(step(&changes, "ping").policy.retry.max, None);
    assert_eq!(changes.drivers[0].argv.len(), 3);
    assert_eq!((changes.matrices[1].rows.len(), changes.matrices[1].delay), (2, Duration::from_secs(2)));
    assert_eq!(changes.devices[1].vars["a b"], " \"x: # ");
    let plan = plan(&changes, &Vars::new()).expect("it was checked");
    let names: Vec<_> = plan.steps().iter().map(|step| step.step.name.to_string()).collect();
    assert_eq!(names, ["backup", "mtu", "ping"]);
}

#[rstest::rstest]
#[case(XML)]
#[case(LEGACY)]
fn converted_files_are_read_to_the_same(#[case] xml: &str) {
    let read: &dyn Fn(&Path) -> io::Result<String> = &read;
    let yaml = converted(Path::new("c.xml"), Path::new("/lab"), xml, read).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(good(&yaml), good(xml), "{yaml}");
}

#[test]
fn old_files_need_the_old_dialect() {
    good(LEGACY);
    let error = loaded(&LEGACY.replace(" dialect=\"legacy\"", "")).expect_err("it is old").to_string();
    for words in
        ["no element `command`", "no element `namespace`", "no element `useprov`", "attribute `name`"]
    {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn the_nearest_value_of_a_variable_wins() {
    // Each level sets the variable of its name, and those of the levels that have more say.
    let levels = "row device change template driver inner outer global environment".split(' ');
    let levels: Vec<&str> = levels.collect();
    let vars = |level: &str| {
        let from = levels.iter().position(|l| *l == level).expect("it is one");
        let vars: Vec<String> = levels[..=from].iter().map(|key| format!("{key}: {level}")).collect();
        format!("{{ {} }}", vars.join(", "))
    };
    let send = levels.iter().map(|key| format!("%({key})s")).collect::<Vec<_>>().join(" ");
    let text = format!(
        "version: 1\nvars: {}\ndevices: {{ sw1: {{ vars: {} }} }}\n\
         drivers: {{ sh: {{ kind: local, vars: {} }} }}\nmatrices: {{ m: {{ rows: [ {} ] }} }}\n\
         templates: {{ t: {{ vars: {} }} }}\nscenario:\n  name: all\n  vars: {}\n  nodes:\n  - scenario: in\n    \
         vars: {}\n    nodes:\n    - {{ step: a, template: t, matrix: m, targets: all, vars: {}, \
         apply: {{ exchanges: [ {{ send: '{send}' }} ] }} }}\n",
        vars("global"),
        vars("device"),
        vars("driver"),
        vars("row"),
        vars("template"),
        vars("outer"),
        vars("inner"),
        vars("change"),
    );
    let environment: Vars = levels.iter().map(|key| ((*key).to_owned(), "environment".to_owned())).collect();
    let loaded = parse(Path::new("c.yaml"), Path::new("/lab"), &text, &environment, &read);
    let plan = plan(&loaded.unwrap_or_else(|e| panic!("{e}")).changes, &environment).expect("it was checked");
    assert!(plan.to_string().contains(&format!("send \"{}\"", levels.join(" "))), "{plan}");
}

#[test]
fn what_is_in_a_value_is_not_substituted() {
    let text = YAML.replace("mtu: \"9000\"", "mtu: \"%(port)s 100%\"");
    let plan = plan(&good(&text), &Vars::new()).expect("it was checked").to_string();
    assert!(plan.contains("interface et1 mtu %(port)s 100%"), "{plan}");
}

/// Files with a piece taken out, put in, or both.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "", "<", ">", "\"", "{", "}", "[", ":", "%", "&x;", "é", "name", "'", "/>",
    ]);
    (any::<prop::sample::Index>(), 0_usize..30, pieces).prop_map(move |(at, length, piece)| {
        let chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        let rest = chars.iter().skip(at + length);
        chars.iter().take(at).chain(&piece.chars().collect::<Vec<_>>()).chain(rest).collect()
    })
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in prop_oneof![damaged(YAML), damaged(XML), damaged(LEGACY)]) {
        match loaded(&text) {
            Ok(loaded) => {
                prop_assert!(plan(&loaded.changes, &Vars::from([("login".to_owned(), String::new())])).is_ok());
            }
            Err(ChangeFileError::Invalid(all)) => prop_assert!(!all.is_empty()),
            Err(error) => prop_assert!(false, "{}", error),
        }
        let _ = converted(&PathBuf::from("c"), Path::new("/lab"), &text, &read);
    }
}
