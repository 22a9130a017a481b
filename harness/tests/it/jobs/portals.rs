//! What is looked at and done at a portal without a job file.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Rig, add, results};

#[test]
fn tasks_are_listed_and_those_that_wait_are_executed() {
    let rig = Rig::new();
    assert_eq!(rig.polder(&["tasks", "--run"]).ok(), "no task is pending");
    rig.apply(json!([add(&["sw1", "sw2", "sw3"], false)]));
    let ids = |args: &[&str]| -> Vec<String> {
        let all = rig.json(&[&["tasks"], args].concat());
        all.as_array().unwrap().iter().map(|one| one["device"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (ids(&["--device", "sw1", "sw2"]), ids(&["--state", "failed"])),
        (vec!["sw2".into(), "sw1".into()], vec![])
    );
    rig.polder(&["tasks", "--device", "sw9"]).fails(2, "the portal has no device `sw9`; did you mean `sw1`?");
    let ran = rig.json(&["tasks", "--run", "--device", "sw1"]);
    assert_eq!((results(&ran), ids(&["--state", "pending"]).len()), (vec![("sw1", "completed")], 2));
    rig.portal.faults().devices("sw2").unreachable(true).unwrap();
    let said = rig.polder(&["tasks", "--run"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains("  sw3     completed  3") && said.out.contains("  sw2     failed     2"),
        "{}",
        said.out
    );
    let table = rig.polder(&["tasks"]).ok();
    assert!(table.starts_with("TASK  DEVICE  STATE "), "{table}");
    // What others left is executed by a change control, when that is asked for.
    rig.portal.faults().heal();
    rig.apply(json!([{"type": "configlet", "action": "remove-devices", "configlet": "ntp-lab", "devices": ["sw1", "sw3"]}]));
    let all = json!({"type": "change-control", "apply": true, "tasks": "pending"});
    let (code, report) = rig.apply(json!([{"type": "change-control", "apply": true}, all]));
    assert_eq!(
        (code, report["jobs"][0]["note"].is_string()),
        (Some(0), true),
        "none of this run: {report:#}"
    );
    assert_eq!(results(&report["jobs"][1]), [("sw1", "completed"), ("sw3", "completed")], "{report:#}");
}

#[test]
fn devices_configlets_and_a_backup_of_them() {
    let rig = Rig::new();
    rig.write("configs/a b%.ü", "alias x y\n");
    let other = json!({"type": "configlet", "action": "add", "configlet": "configs/a b%.ü", "devices": []});
    rig.apply(json!([add(&["sw1"], true), other]));
    let table = rig.polder(&["inventory", "SW1"]).ok();
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines.len() == 2
            && lines[1].starts_with("sw1     10.0.0.1  00:1c:73:00:00:01")
            && lines[1].ends_with("Demo       in sync"),
        "{table}"
    );
    let devices = rig.json(&["inventory", "--container", "Demo"]);
    assert_eq!(
        (devices["devices"].as_array().unwrap().len(), &devices["devices"][0]["container"]),
        (3, &json!("Demo"))
    );
    rig.polder(&["inventory", "--container", "Dmo"]).fails(2, "did you mean `Demo`?");
    assert_eq!(rig.json(&["configlets", "--device", "sw1"])[0]["text"], "ntp server 192.0.2.1\n");
    assert_eq!(rig.json(&["configlets", "--device", "sw2"]), json!([]));
    assert!(
        rig.polder(&["configlets", "NTP"])
            .ok()
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("ntp-lab    static  1      1 ")
    );

    std::fs::create_dir(rig.path("kept")).unwrap();
    rig.write("kept/other", "stays");
    let said = rig.with(&["backup"], &[("CVP_BACKUP", "kept")]).ok();
    assert!(said.starts_with("2 configlets are in ") && said.ends_with("/kept"), "{said}");
    let mut names: Vec<String> = std::fs::read_dir(rig.path("kept"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["a%20b%25.%C3%BC.cfg", "a%20b%25.%C3%BC.json", "ntp-lab.cfg", "ntp-lab.json", "other"]
    );
    assert_eq!(std::fs::read_to_string(rig.path("kept/ntp-lab.cfg")).unwrap(), "ntp server 192.0.2.1\n");
    let facts: Value =
        serde_json::from_slice(&std::fs::read(rig.path("kept/ntp-lab.json")).unwrap()).unwrap();
    assert_eq!(
        (&facts["name"], &facts["devices"], &facts["user"]),
        (&json!("ntp-lab"), &json!(["sw1"]), &json!("me"))
    );
}

#[test]
fn change_controls_are_listed_approved_started_and_removed() {
    let rig = Rig::new();
    let (_, report) = rig.apply(json!([add(&["sw1"], false), {"name": "by hand", "type": "change-control"}]));
    let id = report["jobs"][1]["change_control"].as_str().unwrap();
    let list = rig.polder(&["cc", "list"]).ok();
    assert!(list.contains(id) && list.contains("by_hand") && list.contains("not started"), "{list}");
    rig.polder(&["cc", "start", "by_hand"]).fails(1, "the portal refused to start the change control");
    rig.polder(&["cc", "show", "by_hnd"])
        .fails(2, "the portal has no change control `by_hnd`; did you mean `by_hand`?");
    assert_eq!(rig.json(&["cc", "approve", "by_hand"])["approved"], true);
    rig.polder(&["cc", "start", id]).ok();
    let mut shown = rig.json(&["cc", "show", id]);
    for _ in 0..100 {
        if shown["state"] == "completed" {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        shown = rig.json(&["cc", "show", id]);
    }
    assert_eq!((&shown["is_good"], rig.runs("sw1").contains("ntp server")), (&json!(true), true), "{shown}");
    rig.polder(&["cc", "stop", id]).ok();
    assert_eq!(rig.json(&["cc", "delete", id]), json!({"deleted": id}));
    rig.polder(&["cc", "show", id]).fails(2, "the portal has no change control");
    // Portals of those years cannot list them.
    let older = Rig::imitating("2020.2.0", Duration::from_millis(5));
    older
        .polder(&["cc", "list"])
        .fails(2, "a portal of version 2020.2.0 does not have that; look one up by its id");
    older.polder(&["cc", "show", "x"]).fails(2, "the portal has no change control `x`");
}

#[test]
fn a_login_is_checked_and_what_keeps_us_out_is_said() {
    let rig = Rig::new();
    let told = rig.polder(&["login-check"]).ok();
    for words in [
        "version:  2024.3.0 (API level 14)",
        "user:     me",
        "certificate: CN=polder portal",
        "the given authority vouches for it",
    ] {
        assert!(told.contains(words), "no {words} in {told}");
    }
    let json = rig.json(&["login-check"]);
    let pin = json["nodes"][0]["certificate"]["sha256"].as_str().unwrap();
    let with =
        |args: &[&str], variables: &[(&str, &str)]| rig.with(&[&["login-check"], args].concat(), variables);
    assert!(with(&["--pin", pin], &[]).ok().contains("it is the pinned one"));
    assert!(with(&[], &[("CVP_TOKEN", rig.portal.token())]).ok().contains("a service account, by its token"));
    let insecure = with(&[], &[("CERT_VALIDATION", "False"), ("CVP_CA_FILE", "")]);
    assert!(insecure.err.contains("is not checked") && insecure.ok().contains("NOT CHECKED"));
    rig.write("secret", "the passw0rd\nand more\n");
    with(&["--password-file", "secret"], &[("CVP_PASS", "wrong")]).ok();

    let refused = with(&[], &[("CVP_CA_FILE", "")]);
    assert!(refused.err.contains(pin), "who decides to trust it needs to know it: {refused:?}");
    refused.fails(5, "its certificate is not trusted (nobody we trust has signed it)");
    with(&[], &[("CVP_PASS", "wrong")]).fails(2, "it refuses the user `me` with this password");
    with(&[], &[("CVP_TOKEN", "expired")])
        .fails(2, "it refuses the token, which may be of another portal or have expired");
    with(&[], &[("CVP_HOST", "127.0.0.1:1")]).fails(5, "Connection refused");
    with(&[], &[("CVP_CA_FILE", "nowhere.pem")]).fails(2, "cannot read the CA file nowhere.pem");
    with(&[], &[("CVP_PASS", "")]).fails(2, "there is no password, and no terminal to ask for it");
    for option in ["--password", "--token"] {
        let said = with(&[option, "se-cret"], &[]);
        assert!(!said.err.contains("se-cret"), "{said:?}");
        said.fails(2, &format!("{option} is not taken: everybody on this host would see it"));
    }
    let wrong = with(
        &[],
        &[("CVP_PORT", "x"), ("CVP_PROTO", "gopher"), ("CERT_VALIDATION", "maybe"), ("CVP_USER", "")],
    );
    assert_eq!((wrong.code, wrong.err.lines().count()), (Some(2), 4), "{wrong:?}");
    let zone = rig.with(&["apply"], &[("CVP_TZ", "France"), ("CVP_PORT", "0")]);
    assert!(zone.err.contains("$CVP_TZ: there is no time zone `France`"), "{zone:?}");
    zone.fails(2, "$CVP_PORT: `0` is no port");

    // Something else than a portal.
    let page = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", page.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = page.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).unwrap();
        let body = "<html><body>Welcome to nginx!</body></html>";
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    with(&[], &[("CVP_HOST", &at)])
        .fails(5, "it answered a web page (`Welcome to nginx!`); is it a CloudVision Portal?");
    serving.join().unwrap();
}

#[test]
fn on_a_terminal_passwords_are_not_shown_and_one_line_tells_how_far_it_is() {
    let rig = Rig::new();
    rig.portal.faults().devices("sw1").slow(Duration::from_millis(700)).unwrap();
    rig.write("jobs.json", &json!([add(&["sw1"], true)]).to_string());
    let mut command = Command::new("script");
    let line = format!("{} cvp apply jobs.json", env!("CARGO_BIN_EXE_polder"));
    command.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(rig.path(""));
    for (name, value) in rig.command(&[]).get_envs() {
        match value.filter(|_| name != "CVP_PASS") {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut told, mut byte) = (String::new(), [0]);
    while !told.contains("password of me at ") || !told.ends_with(": ") {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{told}");
        told.push(char::from(byte[0]));
    }
    keys.write_all(b"the passw0rd\n").unwrap();
    out.read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success(), "{told}");
    assert!(!told.contains("passw0rd"), "{told}");
    assert!(told.contains("\r\x1b[2K1/1 push ntp sw1 running (In-Progress)"), "{told:?}");
    assert!(told.contains("\r\x1b[2K1/1 push ntp: done\r\n"), "{told:?}");
}
