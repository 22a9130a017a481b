//! `polder change` as people use it: a file is checked, planned, run, looked at, undone. Who is asked is in `asked`, runs that
//! were ended before their time in `ended`, and what is told of them in `told`.

mod asked;
mod ended;
mod told;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::typed::{Ground, Said};

const FILE: &str = "version: 1
vars: { mtu: '9000' }
devices: { sw1: {}, sw2: {} }
drivers: { nothing: { kind: 'null' } }
matrices: { ports: { rows: [ {port: et1}, {port: et2} ] } }
templates:
  set:
    apply: { exchanges: [ { send: 'interface %(port)s mtu %(mtu)s, %(password)s' } ] }
    rollback: [ { exchanges: [ { send: 'interface %(port)s mtu 1500' } ] } ]
scenario:
  name: jumbo
  nodes:
    - { step: backup, targets: all, apply: { exchanges: [ { send: copy running backup } ] }, rollback: [ { exchanges: [ { send: restore } ] } ] }
    - { step: mtu, template: set, matrix: ports, targets: all }
    - { step: last, targets: [sw1], verify: { checks: [ 'vars.mtu == \"9000\"' ] } }
";

/// Files that are made one after the other; the second one takes until there is a file `go`.
const FILES: &str = "version: 1
devices: { here: {} }
drivers: { local: { kind: local } }
scenario:
  name: files
  nodes:
    - { step: a, targets: all, apply: { exchanges: [ { send: touch a } ] }, rollback: [ { exchanges: [ { send: rm -f a } ] } ] }
    - step: b
      targets: all
      apply: { exchanges: [ { send: touch b }, { send: sh wait.sh } ] }
      verify: { exchanges: [ { send: test -e b } ] }
      rollback: [ { exchanges: [ { send: rm -f b } ] } ]
    - { step: c, targets: all, apply: { exchanges: [ { send: touch c } ] }, rollback: [ { exchanges: [ { send: rm -f c } ] } ] }
";

/// The second change of [`FILES`] ends once there is a file `go`, and by itself when nobody is left to end it.
const WAIT: &str = "i=0; while [ ! -e go ] && [ $i -lt 600 ]; do touch waits; sleep 0.1; i=$((i+1)); done";

/// A folder with a file of changes, and runs of its own.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(file: &str) -> Self {
        let desk = Self { folder: tempfile::tempdir_in("/var/tmp").unwrap() };
        std::fs::write(desk.path("changes.yaml"), file).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        self.verb("change", args)
    }

    fn verb(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.arg(verb).args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POLDER_"))
        {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.path("config")).env("XDG_CACHE_HOME", self.path("cache"));
        command.env("POLDER_VAR_password", "hunter2");
        // Labs of others are nothing to these tests.
        command.env("POLDER_RUNTIME_DIR", self.path("labs"));
        command
    }

    fn polder(&self, args: &[&str]) -> Said {
        let said = Said::of(&self.command(args).output().unwrap());
        assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
        said
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.polder(args).ok()).unwrap()
    }

    /// Waits until a file is there.
    fn until(&self, name: &str) {
        let start = Instant::now();
        while !self.path(name).exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "`{name}` never came");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_file_is_checked_and_planned_without_doing_anything() {
    let desk = Desk::new(FILE);
    let good = desk.polder(&["check", "changes.yaml"]).ok();
    assert!(
        good.contains("is good: devices: 2, drivers: 1, iterators: 1, templates: 1, changes: 3"),
        "{good}"
    );
    assert!(good.contains("wave 1: backup\nwave 2: mtu\nwave 3: last"), "{good}");
    let json = desk.json(&["check", "changes.yaml", "--json"]);
    assert_eq!((&json["ok"], &json["counts"]["changes"]), (&true.into(), &3.into()));
    assert_eq!(json["waves"][1][0], "mtu");
    let plan = desk.polder(&["plan", "changes.yaml", "--skip", "last", "sw2"]).ok();
    assert!(plan.contains("on sw2 row 2\n      apply: send \"interface et2 mtu 9000, ***\""), "{plan}");
    assert!(!plan.contains("sw1") && plan.ends_with("skipped: last"), "{plan}");
    let json = desk.json(&["plan", "changes.yaml", "--json", "--set", "mtu=1400"]);
    let units = json["units"].as_array().unwrap();
    assert_eq!(units.len(), 2 + 4 + 1);
    assert_eq!(units[2]["phases"]["apply"]["exchanges"][0]["send"], "interface et1 mtu 1400, ***");
    assert_eq!(units[2]["phases"]["rollback"][0]["script"]["exchanges"][0]["send"], "interface et1 mtu 1500");
    assert!(!desk.path("cache/polder/changes").exists());

    std::fs::write(desk.path("bad.yaml"), FILE.replace("targets: all, apply", "targets: [sw3], apply"))
        .unwrap();
    let bad = desk.polder(&["check", "bad.yaml", "--json"]);
    let json: Value = serde_json::from_str(&bad.out).unwrap();
    assert_eq!((bad.code, &json["diagnostics"][0]["code"]), (Some(2), &"device.unknown".into()), "{bad:?}");
    assert_eq!(desk.polder(&["run", "bad.yaml"]).code, Some(2));
    for (args, word) in [
        (["run", "changes.yaml", "sw3"].as_slice(), "there is no device `sw3`; did you mean"),
        (&["run", "changes.yaml", "--only", "mtv"], "there is no change `mtv`; did you mean `mtu`?"),
        (&["run", "changes.yaml", "--set", "device.name=x"], "is a name of ours"),
        (&["check", "nowhere.yaml"], "cannot read the file of changes nowhere.yaml"),
        (&["show"], "there are no runs"),
        (&["resume", "x"], "there is no run `x`"),
    ] {
        let said = desk.polder(args);
        assert!(said.code == Some(2) && said.err.contains(word), "{args:?}: {said:?}");
    }
}

#[test]
fn a_run_is_told_kept_shown_and_undone() {
    let desk = Desk::new(FILE);
    let said = desk.polder(&["run", "changes.yaml", "--report", "report.json"]);
    assert!(said.err.contains("mtu on sw2 row 2: apply ok"), "{said:?}");
    let text = said.ok();
    assert!(text.contains("changes: 3 ok, 0 failed, 0 skipped (100% ok)"), "{text}");
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(desk.path("report.json")).unwrap()).unwrap();
    assert_eq!(
        (&report["state"], &report["steps"][1]["devices"][0]["result"]),
        (&"success".into(), &"ok".into())
    );
    let runs = desk.path("cache/polder/changes");
    let run = std::fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    let transcript = std::fs::read_to_string(run.join("transcript.log")).unwrap();
    assert!(
        transcript.contains("mtu on sw1 row 1: apply: ok\n> interface et1 mtu 9000, ***\n"),
        "{transcript}"
    );
    assert!(!std::fs::read_to_string(run.join("journal.jsonl")).unwrap().contains("hunter2"));

    assert!(desk.polder(&["show"]).ok().contains("successful: backup, mtu, last"));
    let name = run.file_name().unwrap().to_str().unwrap();
    // Nothing is left to go on with, everything can be undone, in reverse.
    desk.polder(&["resume", name]).ok();
    let undone = desk.json(&["rollback", name, "--autobackout", "--json"]);
    assert_eq!((&undone["state"], &undone["undone"]), (&"backout_ok".into(), &true.into()));
    let transcript = std::fs::read_to_string(run.join("transcript.log")).unwrap();
    let undone: Vec<&str> = transcript.lines().filter(|line| line.contains("rollback: ok")).collect();
    let devices: Vec<&str> =
        undone.iter().filter_map(|line| line.split_once("Z ")).map(|(_, rest)| rest).collect();
    assert_eq!(devices[0], "mtu on sw2 row 2: rollback: ok", "{devices:?}");
    assert_eq!(devices.last(), Some(&"backup on sw1: rollback: ok"));
    assert!(desk.json(&["show", name, "--json"])["report"]["undone"] == true);

    // A file that says something else now is no way back.
    std::fs::write(desk.path("changes.yaml"), FILE.replace("9000", "9001")).unwrap();
    let said = desk.polder(&["rollback", name]);
    assert!(said.code == Some(2) && said.err.contains("had another plan"), "{said:?}");
    assert!(desk.polder(&["show", name]).ok().contains("had another plan"));
}

#[test]
fn exit_codes_say_what_became_of_it() {
    let failing = |phase: &str| {
        let text = "    - { step: last, targets: [sw1], verify: { checks: [ 'vars.mtu == \"9000\"' ] } }";
        let check = "checks: [ '%(mtu)s == \"1\"' ]";
        FILE.replace(text, &format!(
            "    - {{ step: last, targets: [sw1], {phase}: {{ {check} }}, apply: {{ exchanges: [ {{ send: x }} ] }}, \
             rollback: [ {{ exchanges: [ {{ send: y }} ] }} ] }}"
        ))
    };
    // Untouched; undone; and with nobody to ask, left changed.
    let verify = Desk::new(&failing("verify"));
    for (desk, args, code, word) in [
        (&Desk::new(&failing("precheck")), &[] as &[&str], 1, "failed: last"),
        (&verify, &["--autobackout"], 1, "backed out: last"),
        (&verify, &[], 3, "ALERT: last on sw1 is left changed"),
    ] {
        let said = desk.polder(&[&["run", "changes.yaml"], args].concat());
        assert!(said.code == Some(code) && format!("{}{}", said.out, said.err).contains(word), "{said:?}");
    }
    // A question that nobody can answer ends the run; later it goes on.
    let pausing = Desk::new(
        &FILE
            .replace("apply: { exchanges: [ { send: copy", "apply: { pause: true, exchanges: [ { send: copy"),
    );
    let said = pausing.polder(&["run", "changes.yaml"]);
    assert!(said.code == Some(4) && said.out.contains("polder change resume "), "{said:?}");
    let said = pausing.polder(&["resume", "--nopause"]).ok();
    assert!(said.contains("changes: 3 ok"), "{said}");
    // Everything is undone as if it had been done.
    let said = pausing.polder(&["run", "changes.yaml", "--backout-only", "--autobackout"]).ok();
    assert!(said.contains("backed out: "), "{said}");
}

#[test]
fn another_order_is_the_same_for_the_same_number_and_who_is_strict_takes_no_success_without_work() {
    let file = "version: 1
devices: { sw1: {} }
drivers: { nothing: { kind: 'null' } }
matrices: { none: { rows: [] } }
scenario:
  name: many
  unordered: true
  nodes:
    - { step: a, targets: all, apply: { exchanges: [ { send: a } ] }, rollback: [ { exchanges: [ { send: x } ] } ] }
    - { step: b, targets: all, apply: { exchanges: [ { send: b } ] }, rollback: [ { exchanges: [ { send: x } ] } ] }
    - { step: c, targets: all, after: [a, b], apply: { exchanges: [ { send: c } ] }, rollback: [ { exchanges: [ { send: x } ] } ] }
";
    let desk = Desk::new(file);
    let order = |args: &[&str]| {
        let plan = desk.json(&[&["plan", "changes.yaml", "--json"], args].concat());
        plan["units"]
            .as_array()
            .unwrap()
            .iter()
            .map(|unit| unit["step"].as_str().unwrap())
            .collect::<String>()
    };
    assert_eq!(order(&[]), "abc");
    let other =
        (0..64).map(|seed: u32| seed.to_string()).find(|seed| order(&["--seed", seed]) == "bac").unwrap();
    assert_eq!(order(&["--seed", &other]), "bac");
    desk.polder(&["run", "changes.yaml", "--seed", &other]).ok();
    // The run knows its order.
    desk.polder(&["rollback", "--autobackout"]).ok();
    let ends = desk.json(&["show", "--json"]);
    let ends =
        ends["entries"].as_array().unwrap().iter().filter_map(|entry| entry["record"]["end"].as_object());
    let ends: String = ends.map(|end| end["key"]["step"].as_str().unwrap()).collect();
    assert_eq!(ends, "baccab");

    desk.polder(&["check", "changes.yaml"]).ok();
    let said = desk.polder(&["check", "changes.yaml", "--strict"]);
    assert!(said.code == Some(2) && said.out.contains("the matrix `none` has no rows"), "{said:?}");
    std::fs::write(desk.path("changes.yaml"), file.replace("matrices: { none: { rows: [] } }\n", ""))
        .unwrap();
    std::fs::write(
        desk.path("idle.yaml"),
        format!("{file}    - {{ step: d, targets: all }}\n").replace("none: { rows: [] }", ""),
    )
    .unwrap();
    let said = desk.polder(&["check", "idle.yaml", "--strict"]);
    assert!(said.code == Some(2) && said.out == "idle.yaml: `d` does nothing", "{said:?}");
    let said = desk.polder(&["check", "idle.yaml", "--strict", "--json"]);
    let json: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &json["ok"]), (Some(2), &false.into()), "{said:?}");
    assert_eq!(json["diagnostics"][0]["message"], "`d` does nothing");
    desk.polder(&["check", "changes.yaml", "--strict"]).ok();
    desk.polder(&["plan", "changes.yaml", "--skip", "a"]).ok();
    for verb in ["plan", "run"] {
        let said = desk.polder(&[verb, "changes.yaml", "--strict", "--skip", "a"]);
        assert!(
            said.code == Some(2) && said.err.contains("`c` waits for `a`, which is left out"),
            "{said:?}"
        );
    }
}

#[test]
fn changes_are_repeated_over_the_machines_of_the_prefix_one_stands_in() {
    let file = "version: 1
devices: { dns: {} }
drivers: { nothing: { kind: 'null' } }
matrices: { vms: { machines: all } }
scenario:
  name: names
  nodes:
    - step: name
      targets: all
      matrix: vms
      apply: { exchanges: [ { send: '%(machine.name)s %(machine.address)s %(machine.distro)s %(machine.type)s' } ] }
";
    let ground = Ground::new("");
    ground.lagos_prefix();
    std::fs::write(ground.path("changes.yaml"), file).unwrap();
    let plan = ground.polder(&["change", "plan", "changes.yaml"]).ok();
    assert!(plan.contains("apply: send \"web 192.168.210.2 el7 default\""), "{plan}");
    // Elsewhere there are none.
    let said = Desk::new(file).polder(&["check", "changes.yaml"]);
    assert!(said.code == Some(2) && said.out.contains("there is no environment whose machines"), "{said:?}");
}

#[test]
fn an_old_file_is_converted_and_its_dialect_can_be_given() {
    let desk = Desk::new(FILE);
    let old = "<config><device name=\"sw1\"/><provisioner name=\"p\" type=\"CommandProvisioner\"/>\
               <change name=\"banner\" type=\"CommandChange\"><target>sw1</target><impl><command><send>x</send></command>\
               <condition>exitcode == 0</condition></impl></change></config>";
    std::fs::write(desk.path("old.xml"), old).unwrap();
    assert_eq!(desk.polder(&["check", "old.xml"]).code, Some(2));
    assert!(desk.polder(&["check", "old.xml", "--dialect", "legacy"]).ok().contains("changes: 1"));
    assert!(desk.polder(&["run", "old.xml", "--dialect", "legacy"]).ok().contains("1 ok"));
    let legacy = old.replace("<config>", "<config dialect=\"legacy\">");
    std::fs::write(desk.path("old.xml"), legacy).unwrap();
    std::fs::write(desk.path("new.yaml"), desk.polder(&["convert", "old.xml"]).ok()).unwrap();
    assert!(desk.polder(&["check", "new.yaml"]).ok().contains("changes: 1"));
    assert_eq!(desk.polder(&["check", "old.xml", "--dialect", "current"]).code, Some(2));
}
