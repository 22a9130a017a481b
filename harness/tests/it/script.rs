//! What users of Lago do with environments, typed at the command, in labs of both kinds: from the first `init` to an
//! empty project, with a host that is as it was.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    own_host::{self, OwnHost},
    typed::{Ground, Said},
};

const TWO: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    groups: [front-end]
    nics: [{net: front}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  db:
    memory: 128
    vcpu: 1
    nics: [{net: front}, {net: back}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}, dns_domain_name: script.test}
  back: {type: bridge}
";

/// It is never started: that is too much for any disk, and found out when nearly all else is made.
const TOO_MUCH: &str = "
domains:
  big:
    memory: 128
    nics: [{net: lan}]
    disks:
      - {name: root, type: template, template_name: minimal, dev: vda, format: qcow2}
      - {name: data, type: empty, size: 1000000T, dev: vdb, format: qcow2}
nets:
  lan: {type: nat, management: true}
";

#[test]
fn lagos_verbs_do_in_a_lab_of_its_own_what_they_did() {
    let ground = Ground::new(TWO);
    play(&ground, true, &|| (ground.labs(), 0));
}

#[test]
fn lagos_verbs_do_on_a_daemon_what_they_did() {
    own_host::run("script::on_a_daemon", &[]);
}

#[test]
#[ignore = "a process of `lagos_verbs_do_on_a_daemon_what_they_did`"]
fn on_a_daemon() {
    let own = OwnHost::here();
    let ground = Ground::on(&own, TWO);
    let running = || {
        let lines = |what: &str| own.virsh(&[what, "--name"]).split_whitespace().count();
        let leases = fs::read_dir(own.root.join("leases")).into_iter().flatten().flatten();
        let leases = leases.filter(|e| e.path().extension().is_some_and(|e| e == "lease"));
        (lines("list") + lines("net-list"), leases.count())
    };
    play(&ground, false, &running);
    lagos_own(&ground, &own);
}

/// `left` counts what runs, and what is leased.
fn play(ground: &Ground, hermetic: bool, left: &dyn Fn() -> (usize, usize)) {
    prefixes(ground);
    if hermetic {
        somebody_is_busy(ground);
    }
    let leased = left();
    assert_eq!(leased.0, 0);
    one_at_a_time(ground);
    running(ground, hermetic);
    snapshots(ground);
    if hermetic {
        controlled(ground);
    }
    exported(ground);
    cleaned_up(ground);
    failed_init(ground, &|| left().1);

    // From inside a prefix; the others stay. Then all of them.
    ground.polder_in(".polder/second", &["destroy", "-y"]).ok();
    assert_eq!(ground.polder(&["list"]).ok(), "default\nthird");
    let status = ground.polder(&["status"]).ok();
    assert!(status.contains("/.polder/default"), "{status}");
    std::os::unix::fs::symlink(".polder", ground.path("link")).unwrap();
    let link = ground.polder(&["-w", "link", "destroy", "-y", "--all-prefixes"]).ok();
    assert!(link.contains("removed the link") && ground.path(".polder/default").exists(), "{link}");
    // Of a running one, and one that is locked.
    ground.polder(&["-P", "third", "lock", "in", "use", "by", "Ada"]).ok();
    let status = ground.polder(&["-P", "third", "status"]).ok();
    assert!(status.contains("Locked: in use by Ada"), "{status}");
    let some = ground.polder(&["destroy", "-y", "--all-prefixes"]);
    assert!(some.out.contains("/.polder/default"), "{some:?}");
    some.fails(1, "is locked: in use by Ada");
    assert_eq!((ground.polder(&["list"]).ok().as_str(), left().0), ("third", 0));
    ground.polder(&["destroy", "-y", "--force", "--all-prefixes"]).ok();
    assert_eq!((left(), ground.path(".polder").exists()), ((0, 0), false));
    ground.polder(&["gc"]).ok();
}

#[test]
fn what_cannot_be_made_is_told_alone() {
    let disk = "{name: root, type: template, template_name: minmal, dev: vda, format: qcow2}";
    let ground = Ground::new(&format!(
        "domains: {{web: {{nics: [{{net: lan}}], disks: [{disk}]}}}}\nnets: {{lan: {{type: nat}}}}\n"
    ));
    let said = ground.polder(&["up"]);
    let expected = "there is no image `minmal`; did you mean `minimal`?";
    assert!(said.err.starts_with("error: ") && said.err.ends_with(expected), "{said:?}");
    assert_eq!((said.code, ground.path(".polder/default").exists()), (Some(2), false));
}

/// Made, listed, chosen; the status of what was never started.
fn prefixes(ground: &Ground) {
    ground.polder(&["status"]).fails(2, "looked for:");
    ground.polder(&["-p", "x", "init"]).fails(2, "`--workdir-path` and `--prefix-name`");
    assert!(!ground.path(".polder").exists());
    assert_eq!(ground.polder(&["init"]).ok(), "");
    assert_eq!(ground.link(".polder/current"), std::path::Path::new("default"));
    assert!(ground.path(".polder/default/logs/polder.log").is_file());
    // Passwords may stand in it.
    let copy = fs::metadata(ground.path(".polder/default/init-file")).unwrap();
    assert_eq!(copy.permissions().mode() & 0o077, 0);
    ground.polder(&["init"]).fails(2, "prefix `default` exists in");
    ground.polder(&["-P", "second", "init", "LagoInitFile"]).ok();
    assert_eq!(ground.link(".polder/current"), std::path::Path::new("default"));
    ground.polder(&["-P", "third", "init", "--set-current"]).ok();
    assert_eq!(ground.link(".polder/current"), std::path::Path::new("third"));
    ground.polder(&["set-current", "deafult"]).fails(2, "did you mean `default`?");
    ground.polder(&["set-current", "default"]).ok();
    assert_eq!(ground.polder(&["list"]).ok(), "default\nsecond\nthird");
    assert_eq!(ground.json(&["list", "."]), serde_json::json!(["default", "second", "third"]));

    let status = ground.polder(&["status"]).ok();
    assert!(status.contains("/.polder/default\n") && !status.contains("status: up"), "{status}");
    assert!(ground.polder(&["-P", "second", "status"]).ok().contains("/.polder/second\n"));
    assert!(ground.polder(&["-p", ".polder/third", "status"]).ok().contains("/.polder/third\n"));
    assert_eq!(ground.polder(&["--ignore-warnings", "status"]).ok(), status);
    ground.polder(&["shell", "web", "true"]).fails(1, "web is not running");
    ground.polder(&["snapshot", "--delete", "x"]).fails(2, "no snapshot `x`");
}

/// Verbs wait as long as is configured, and say for whom.
fn somebody_is_busy(ground: &Ground) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let prefix = polder::workdir::Prefix::at(&ground.path(".polder/default"));
    let held = runtime.block_on(prefix.lock("repair", std::time::Duration::from_secs(5))).unwrap();
    for verb in [&["pause"][..], &["destroy", "-y"]] {
        let begun = std::time::Instant::now();
        let said = Said::of(&ground.command(verb).env("POLDER_LOCK_TIMEOUT", "2").output().unwrap());
        assert!((2..9).contains(&begun.elapsed().as_secs()), "{:?}: {said:?}", begun.elapsed());
        assert_eq!(said.err.matches("waiting for `repair` (process ").count(), 1, "{said:?}");
        said.fails(1, "repair");
    }
    drop(held);
}

/// Whether each of these is up.
fn up(ground: &Ground) -> [bool; 4] {
    let flat = ground.polder(&["-f", "flat", "status"]).ok();
    let says = |what: &str| flat.lines().any(|line| line == what);
    [
        says("Networks/front/status: up"),
        says("Networks/back/status: up"),
        says("VMs/web/status: running"),
        says("VMs/db/status: running"),
    ]
}

fn one_at_a_time(ground: &Ground) {
    // Nothing runs: there is nothing to do.
    for verb in ["stop", "shutdown", "reboot", "pause", "resume"] {
        ground.polder(&[verb]).ok();
    }
    ground.polder(&["start", "wbe"]).fails(2, "no machine `wbe`; did you mean `web`?");
    ground.polder(&["start", "web"]).ok();
    assert_eq!(up(ground), [true, false, true, false]);
    let paused = |words: &[&str]| {
        ground.polder(words).ok();
        ground.polder(&["-f", "flat", "status"]).ok().contains("VMs/web/status: paused")
    };
    assert!(paused(&["pause"]) && !paused(&["resume", "web"]));
    // Nothing is done for one who mistypes the format.
    ground.polder(&["-f", "jsno", "stop"]).fails(2, "did you mean `json`?");
    ground.polder(&["start"]).ok();
    let again = ground.polder(&["start"]);
    assert!(again.err.contains("web runs already") && again.err.contains("db runs already"), "{again:?}");
    assert_eq!(up(ground), [true; 4]);
}

/// In machines that run, and from one to the other.
fn running(ground: &Ground, hermetic: bool) {
    let shell = |machine: &str, line: &str| ground.polder(&["shell", machine, line]).ok();
    assert_eq!(shell("web", "hostname"), "web");
    assert_eq!(shell("db", "hostname -f"), "db.script.test");
    for (from, to) in [("web", "db"), ("db", "web"), ("web", "db.script.test")] {
        shell(from, &format!("ping -c 1 -w 5 {to}"));
    }
    passed_through(ground);
    ground.polder(&["export", "-d", "out"]).fails(2, "machines that run cannot be exported: web, db");

    let hosts = ground.polder(&["ansible-hosts", "-k", "disks/-1/template_name", "nics/0/net"]).ok();
    assert!(hosts.starts_with("[disks__1_template_name_minimal]\ndb ansible_host="), "{hosts}");
    assert!(hosts.contains("\n[nics_0_net_front]\n") && hosts.contains("\n[front_end]\nweb "), "{hosts}");
    // As Ansible would: the variables of a host are what ssh is given.
    let line = hosts.lines().find(|line| line.starts_with("web ")).unwrap();
    let words = shlex::split(line).unwrap();
    let value = |name: &str| words.iter().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-i", value("ansible_ssh_private_key_file").unwrap()]);
    match value("ansible_ssh_common_args") {
        Some(args) => ssh.args(shlex::split(args).unwrap()),
        None => ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]),
    };
    assert_eq!(value("ansible_ssh_common_args").is_some(), hermetic, "{line}");
    let who = format!("{}@{}", value("ansible_user").unwrap(), value("ansible_host").unwrap());
    let said = Said::of(&ssh.args([who.as_str(), "hostname; exit 3"]).output().unwrap());
    assert_eq!((said.code, said.out.as_str()), (Some(3), "web"), "{said:?}");
}

/// What is run in a machine has our streams, and we have its status.
fn passed_through(ground: &Ground) {
    let with = |input: &str, words: &[&str]| {
        let mut command = ground.command(words);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Said::of(&child.wait_with_output().unwrap())
    };
    let text = "cat; echo \"$1 $V\"; id -un; pwd; echo wrong >&2; exit 7";
    let argv = ["sh", "-c", text, "sh", "a  b"];
    for way in ["--ssh", "--agent", "--console"] {
        let how = ["exec", "web", way, "--user", "nobody", "--env", "V=v", "--cwd", "/tmp", "--"];
        let said = with("in\n", &[&how[..], &argv].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(7), "in\na  b v\nnobody\n/tmp"), "{said:?}");
        assert!(said.err.lines().any(|line| line == "wrong"), "{said:?}");
    }
    let said = with("in", &["-f", "json", "exec", "web", "sh", "-c", "cat; kill -TERM $$"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&json["stdout"], &json["signal"], said.code), (&"in".into(), &"TERM".into(), Some(143)));
    ground
        .polder(&["exec", "web", "--timeout", "1", "sleep", "1000"])
        .fails(1, "did not end on web within 1.0 s");
    ground.polder(&["exec", "web", "--ssh", "--agent", "true"]).fails(2, "cannot be used with");
    ground.polder(&["exec", "web", "--user", "a b", "true"]).fails(2, "not a name for a user");

    fs::write(ground.path("deploy"), "#!/bin/sh -e\necho $0 $1\nfalse\necho never\n").unwrap();
    for words in [&["script", "web", "deploy", "-x"][..], &["shell", "web", "deploy"]] {
        let said = ground.polder(words);
        assert!(said.code == Some(1) && said.out.starts_with("/tmp/.polder-"), "{said:?}");
        let path = said.out.split(' ').next().unwrap();
        ground.polder(&["exec", "web", "test", "!", "-e", path]).ok();
    }
    ground.polder(&["script", "web", "no-such"]).fails(2, "cannot read ");

    let mut console = ground.command(&["console", "web"]);
    let mut console = console.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut typing, mut printed) = (console.stdin.take().unwrap(), console.stdout.take().unwrap());
    typing.write_all(b"\recho typed $((40+2))\r").unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("typed 42") {
        let mut piece = [0; 256];
        let read = printed.read(&mut piece).unwrap();
        assert!(read > 0, "{:?}", String::from_utf8_lossy(&seen));
        seen.extend(&piece[..read]);
    }
    typing.write_all(b"\x1d").unwrap();
    assert!(console.wait().unwrap().success());
    let status = ground.json(&["status"]);
    let recorded = status["Prefix"]["Lab"]["consoles"]["web"].as_str().unwrap();
    assert!(fs::read_to_string(recorded).unwrap().contains("typed 42"));
}

fn snapshots(ground: &Ground) {
    let shell = |line: &str| ground.polder(&["shell", "web", line]).ok();
    shell("echo before > /root/file; sync");
    ground.polder(&["snapshot", "--memory", "clean"]).ok();
    ground.polder(&["snapshot", "clean"]).fails(2, "there is a snapshot `clean` already");
    let flat = ground.polder(&["-f", "flat", "status"]).ok();
    assert!(
        flat.contains("VMs/db/snapshots: clean\n") && flat.contains("VMs/web/snapshots: clean\n"),
        "{flat}"
    );
    let list = ground.json(&["snapshot", "--list"]);
    assert!(list["web"]["clean"]["disks"]["vda"].is_string() && list["db"]["clean"].is_object(), "{list}");
    shell("echo after > /root/file; sync");
    ground.polder(&["revert", "claen"]).fails(2, "did you mean `clean`?");
    ground.polder(&["revert", "clean"]).ok();
    assert_eq!(shell("cat /root/file"), "before");
    shell("echo exported > /root/file; sync");
}

/// What a person at the machine can do.
fn controlled(ground: &Ground) {
    let console = ground.json(&["status"])["Prefix"]["Lab"]["consoles"]["db"].as_str().unwrap().to_owned();
    ground.polder(&["send-key", "db", "ret", "no-such"]).fails(5, "press keys of domain");
    ground.polder(&["send-key", "db", "--text", "echo Ü"]).fails(2, "no key makes 'Ü'");
    ground.polder(&["screenshot", "db", "db.png"]).fails(2, "`graphics: true` in the init file gives it one");
    assert!(!ground.path("db.png").exists());
    ground.polder(&["fault", "db", "cable", "nowhere"]).fails(2, "no net `nowhere`; there are: front, back");
    ground.polder(&["fault", "db", "memory", "100000"]).fails(1, "MiB are free");
    let mut fault = ground.command(&["fault", "db", "disk-full", "/root", "64"]).spawn().unwrap();
    // Writing there to find out could make room for itself.
    let full = || {
        let left = "test $(df -k /root | tail -n 1 | awk '{ print $4 }') -le 64";
        ground.polder(&["shell", "db", left]).code == Some(0)
    };
    let since = Instant::now();
    while !full() {
        assert!(since.elapsed() < Duration::from_secs(60), "it does not become full");
    }
    ground.polder(&["shell", "db", "dd if=/dev/zero of=/root/more bs=1M count=1"]).fails(1, "No space left");
    let pid = rustix::process::Pid::from_child(&fault);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(fault.wait().unwrap().code(), Some(0));
    assert!(!full());
    ground.polder(&["crash", "bd"]).fails(2, "did you mean `db`?");
    ground.polder(&["crash", "db"]).ok();
    assert!(fs::read_to_string(&console).unwrap().contains("sysrq triggered crash"));
    ground.polder(&["power-cut", "db"]).ok();
    assert_eq!(ground.polder(&["shell", "db", "hostname"]).ok(), "db");
}

/// Stopped, exported, and made again from that.
fn exported(ground: &Ground) {
    let stopped = ground.json(&["shutdown", "db"]);
    assert_eq!(stopped, serde_json::json!({"db": "graceful"}));
    assert_eq!(up(ground), [true, false, true, false]);
    ground.polder(&["stop", "dbb"]).fails(2, "no machine `dbb`");
    // It begins anew; that it comes up is not waited for.
    let status = ground.json(&["status"]);
    let console = status["Prefix"]["Lab"]["consoles"]["web"].as_str().unwrap();
    ground.polder(&["reboot", "web"]).ok();
    let since = Instant::now();
    while !fs::read_to_string(console).unwrap().contains("reboot: Restarting system") {
        assert!(since.elapsed() < Duration::from_secs(60), "it does not go down");
        std::thread::sleep(Duration::from_millis(50));
    }
    ground.polder(&["stop"]).ok();
    assert_eq!(up(ground), [false; 4]);
    let files = ground.json(&["export", "-s", "-n", "web", "-d", "out"]);
    assert!(files["init-file"].as_str().unwrap().ends_with("/out/LagoInitFile"), "{files}");
    ground.polder(&["destroy", "-y"]).ok();
    // Another prefix has become current; the new one is to be it again.
    ground.polder(&["init", "--set-current", "out/LagoInitFile"]).ok();
    ground.polder(&["start"]).ok();
    assert_eq!(ground.polder(&["shell", "web", "cat /root/file"]).ok(), "exported");
}

fn cleaned_up(ground: &Ground) {
    let file = |name: &str| ground.path(".polder/default").join(name);
    let uuid = fs::read_to_string(file("uuid")).unwrap();
    let said = ground.polder(&["cleanup"]);
    assert!(said.code == Some(0) && said.err.contains("web"), "{said:?}");
    assert_eq!(fs::read_to_string(file("uuid")).unwrap(), uuid);
    assert!(!file("initialized").exists());
    ground.polder(&["start"]).fails(2, "is not initialized");
    fs::write(file("initialized"), "").unwrap();
    ground.polder(&["start", "web"]).ok();
    let flat = ground.polder(&["-f", "flat", "status"]).ok();
    assert!(flat.contains(&format!("UUID: {uuid}\n")) && flat.contains("VMs/web/status: running"), "{flat}");
}

/// Leaves its log, and nothing else.
fn failed_init(ground: &Ground, leases: &dyn Fn() -> usize) {
    let before = leases();
    fs::write(ground.path("big.yaml"), TOO_MUCH).unwrap();
    let failed = ground.polder(&["-P", "big", "init", "big.yaml"]);
    let log = fs::read_to_string(ground.path(".polder/big.init.log")).unwrap();
    assert!(log.contains("qemu-img") && !ground.path(".polder/big").exists(), "{log}");
    assert_eq!(leases(), before);
    failed.fails(5, "qemu-img");
}

/// A prefix as Lago left it, with a machine of it that runs, beside somebody else's.
fn lagos_own(ground: &Ground, own: &OwnHost) {
    ground.lagos_prefix();
    let image = ground.path(".lago/default/images/web_root.qcow2").canonicalize().unwrap();
    fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let disk = format!(
        "<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
         <target dev='vda'/></disk></devices>",
        image.display()
    );
    let net = |name: &str, gateway: &str| {
        format!("<network><name>{name}</name><ip address='{gateway}' netmask='255.255.255.0'/></network>")
    };
    let domain = |name: &str, disk: &str| {
        own_host::idle_domain(name, "").replace("</domain>", &format!("{disk}</domain>"))
    };
    for (verb, xml) in [
        ("net-create", net("0a1b-lab", "192.168.210.1")),
        ("net-create", net("0a1b-others", "192.168.211.1")),
        ("create", domain("0a1b2c3d-web", &disk)),
        ("create", domain("0a1b2c3d-db", "")),
    ] {
        let file = ground.path("made.xml");
        fs::write(&file, xml).unwrap();
        own.virsh(&[verb, file.to_str().unwrap()]);
    }
    let flat = ground.polder(&["-f", "flat", "status"]).ok();
    assert!(flat.contains("Networks/lab/status: up\n") && flat.contains("VMs/web/status: running"), "{flat}");
    // What it was called by is gone; its files still say what is its own.
    fs::remove_file(ground.path(".lago/default/uuid")).unwrap();
    let gone = ground.polder(&["destroy", "-y"]).ok();
    assert!(gone.contains("the domain 0a1b2c3d-web\nthe network 0a1b-lab\n"), "{gone}");
    assert!(!ground.path(".lago").exists());
    assert_eq!(own.virsh(&["list", "--name"]), "0a1b2c3d-db");
    assert_eq!(own.virsh(&["net-list", "--name"]), "0a1b-others");
}
