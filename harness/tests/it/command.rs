//! The `polder` command, as people and scripts use it: prefixes on real labs, and everything that needs none.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use crate::typed::{Ground, Said};

/// One small machine.
fn one() -> Ground {
    Ground::new(include_str!("../suites/one.yaml"))
}

#[test]
fn up_starts_what_it_makes_and_its_shell_is_ours() {
    let ground = one();
    std::fs::rename(ground.path("LagoInitFile"), ground.path("one.yaml")).unwrap();
    ground.polder(&["up"]).fails(2, "cannot read the init file LagoInitFile");
    ground.polder(&["up", "work", "one.yaml"]).ok();
    // From below the workdir, from elsewhere, and by the prefix itself.
    let status = |args: &[&str]| ground.polder(args).ok().contains("status: running");
    assert!(status(&["-w", "work", "status"]) && status(&["-p", "work/default", "status"]));
    assert_eq!(ground.polder_in("work/default", &["shell", "only", "hostname"]).ok(), "only");
    let shell = |words: &[&str]| ground.polder(&[&["-w", "work", "shell"], words].concat());
    let said = shell(&["only", "sh", "-c", "echo \"$0 $1\"; echo no >&2; exit 7", "a b", "$HOME"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(7), "a b $HOME", "no"));
    // A line for the guest's shell, as Lago takes it; a machine by the end of its name; a script of the host.
    assert_eq!(shell(&["nly", "-c", "echo $((6*7)) | cat"]).ok(), "42");
    std::fs::write(ground.path("job.sh"), "hostname\nexit 3\n").unwrap();
    let script = shell(&["only", "job.sh"]);
    assert_eq!((script.code, script.out.as_str()), (Some(3), "only"), "{script:?}");
    ground.polder(&["-w", "work", "pause"]).ok();
    let status = ground.json(&["-w", "work", "status"]);
    assert_eq!(status["Prefix"]["VMs"]["only"]["status"], "paused");
    let console = status["Prefix"]["Lab"]["consoles"]["only"].as_str().unwrap();
    assert!(std::path::Path::new(console).is_file(), "{console}");
    ground.polder(&["-w", "work", "resume"]).ok();
    let stopped = ground.json(&["-w", "work", "shutdown", "--timeout", "60"]);
    assert_eq!(stopped, serde_json::json!({"only": "graceful"}));
    assert_eq!(ground.labs(), 0);

    ground.polder(&["-w", "work", "lock", "in", "use", "by", "Ada"]).ok();
    ground.polder(&["-w", "work", "down"]).fails(1, "is locked: in use by Ada");
    ground.polder(&["-w", "work", "unlock"]).ok();
    let destroy = ["-w", "work", "destroy"];
    // One who mistypes the format wants nothing done.
    ground.polder(&["-f", "jsno", "-w", "work", "destroy", "-y"]).fails(2, "did you mean `json`?");
    ground.polder(&destroy).fails(2, "there is no terminal; give `--yes`");
    let answered = |answer: &[u8]| {
        let mut child = ground.command(&destroy);
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer).unwrap();
        Said::of(&child.wait_with_output().unwrap()).ok()
    };
    assert_eq!(answered(b"no\n"), "nothing was destroyed");
    assert!(ground.path("work/default/initialized").is_file());
    let gone = answered(b"y\n");
    assert!(gone.ends_with("work/default") && !ground.path("work").exists(), "{gone}");
}

const TWO: &str = "
domains:
  web:
    memory: 128
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  db:
    memory: 128
    nics: [{net: lan}, {net: back}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
  back: {type: isolated}
";

#[test]
fn a_start_that_is_stopped_half_way_undoes_what_it_began_and_nothing_else() {
    let ground = Ground::new(TWO);
    ground.polder(&["init"]).ok();
    ground.polder(&["start", "web"]).ok();
    ground.polder(&["pause"]).ok();
    let lab =
        std::fs::read_dir(ground.path("labs")).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir());
    let uri = format!("qemu:///system?socket={}", lab.unwrap().join("sock/libvirt-sock").display());
    let nets = || {
        let out = std::process::Command::new("virsh")
            .args(["-q", "-c", &uri, "net-list", "--name"])
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap().lines().filter(|line| !line.trim().is_empty()).count()
    };
    for _ in 0..5 {
        let child = ground.command(&["start"]).stderr(Stdio::piped()).spawn().unwrap();
        // Its net is made before it is.
        let begun = std::time::Instant::now();
        while nets() < 2 {
            assert!(begun.elapsed().as_secs() < 30, "its net was not made");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let said = Said::of(&child.wait_with_output().unwrap());
        if said.code == Some(0) {
            // Too late this time.
            ground.polder(&["stop", "db"]).ok();
            continue;
        }
        said.fails(4, "stopped by a signal");
        let flat = ground.polder(&["-f", "flat", "status"]).ok();
        for line in ["Networks/back/status: down", "VMs/db/status: down", "VMs/web/status: paused"] {
            assert!(flat.lines().any(|l| l == line), "no `{line}` in\n{flat}");
        }
        return;
    }
    panic!("never stopped in time");
}

#[test]
fn what_lago_made_is_shown_told_and_destroyed_without_its_daemon() {
    let ground = one();
    ground.lagos_prefix();
    // Nobody's daemon is there.
    let uri = format!("qemu:///system?socket={}", ground.path("nowhere").display());
    let polder = |args: &[&str]| {
        let mut command = ground.command(args);
        Said::of(
            &command
                .current_dir(ground.path(".lago/default"))
                .env("POLDER_LIBVIRT_URL", &uri)
                .output()
                .unwrap(),
        )
    };
    let place = ground.path(".lago/default").canonicalize().unwrap();
    let place = place.display();
    assert_eq!(
        polder(&["status"]).ok(),
        format!(
            "\
[Prefix]:
    Base directory: {place}
    [Networks]:
        [lab]:
            gateway: 192.168.210.1
            management: True
            status: down
    UUID: 0a1b2c3d4e5f11e69d3c525400aabbcc
    [VMs]:
        [web]:
            [NICs]:
                [eth0]:
                    ip: 192.168.210.2
                    network: lab
            distro: el7
            [metadata]:
                deploy-scripts:\x20
            root password: 123456
            status: down"
        )
    );
    assert_eq!(
        polder(&["-f", "yaml", "status"]).ok(),
        format!(
            "\
Prefix:
  Base directory: {place}
  Networks:
    lab:
      gateway: 192.168.210.1
      management: true
      status: down
  UUID: 0a1b2c3d4e5f11e69d3c525400aabbcc
  VMs:
    web:
      NICs:
        eth0:
          ip: 192.168.210.2
          network: lab
      distro: el7
      metadata:
        deploy-scripts: []
      root password: '123456'
      snapshots: ''
      status: down"
        )
    );
    let json = format!(
        "{{
    \"Prefix\": {{
        \"Base directory\": \"{place}\",
        \"Networks\": {{
            \"lab\": {{
                \"gateway\": \"192.168.210.1\",
                \"management\": true,
                \"status\": \"down\"
            }}
        }},
        \"UUID\": \"0a1b2c3d4e5f11e69d3c525400aabbcc\",
        \"VMs\": {{
            \"web\": {{
                \"NICs\": {{
                    \"eth0\": {{
                        \"ip\": \"192.168.210.2\",
                        \"network\": \"lab\"
                    }}
                }},
                \"distro\": \"el7\",
                \"metadata\": {{
                    \"deploy-scripts\": []
                }},
                \"root password\": \"123456\",
                \"snapshots\": \"\",
                \"status\": \"down\"
            }}
        }}
    }}
}}"
    );
    assert_eq!(polder(&["-f", "json", "status"]).ok(), json);
    // Who is busy with it is seen by others.
    let prefix = polder::workdir::Prefix::at(&ground.path(".lago/default"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let held = runtime.block_on(prefix.lock("export", std::time::Duration::ZERO)).unwrap();
    let busy = polder(&["status"]).ok();
    assert!(busy.contains("In use: `export` (process "), "{busy}");
    drop(held);
    let hosts = polder(&["ansible-hosts"]).ok();
    let line = format!(
        "[vm_type_default]\nweb ansible_host=192.168.210.2 ansible_user=root ansible_ssh_private_key_file={place}/id_rsa\n"
    );
    assert!(hosts.starts_with(&line), "{hosts}");
    let files: serde_json::Value =
        serde_json::from_str(&polder(&["-f", "json", "export", "--collect-only"]).ok()).unwrap();
    assert!(files["web"][0].as_str().unwrap().ends_with("/web+root.qcow2"), "{files}");
    let gone = polder(&["destroy", "-y"]).ok();
    assert!(gone.contains("no machine that runs") && !ground.path(".lago").exists(), "{gone}");
}

#[test]
fn another_prefix_is_never_destroyed_instead_of_the_one_that_is_meant() {
    let ground = one();
    let workdir = ground.path(".polder");
    for name in ["good", "bad"] {
        std::fs::create_dir_all(workdir.join(name)).unwrap();
        std::fs::write(workdir.join(name).join("uuid"), "0a1b2c3d4e5f41e69d3c525400aabbcc").unwrap();
    }
    std::fs::write(workdir.join("good/initialized"), "").unwrap();
    std::os::unix::fs::symlink("good", workdir.join("current")).unwrap();
    let gone = ground.polder_in(".polder/bad", &["destroy", "-y"]).ok();
    assert!(gone.ends_with("/.polder/bad") && workdir.join("good").exists(), "{gone}");
    // With a folder in place of the link nobody can say which is current, but all can go.
    std::fs::remove_file(workdir.join("current")).unwrap();
    std::fs::create_dir(workdir.join("current")).unwrap();
    ground.polder(&["destroy", "-y"]).fails(2, "is malformed: its entry `current` is not a link");
    ground.polder(&["destroy", "-y", "--all-prefixes"]).ok();
    assert!(!workdir.join("good").exists() && workdir.join("current").exists());
}

#[test]
fn a_failed_init_leaves_its_log_and_nothing_else() {
    let ground = one();
    let output = ground.command(&["init"]).env("POLDER_CACHE_DIR", "/proc/nowhere").output().unwrap();
    Said::of(&output).fails(5, "all of it is in");
    let left: Vec<_> =
        std::fs::read_dir(ground.path(".polder")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["default.init.log"]);
    let log = std::fs::read_to_string(ground.path(".polder/default.init.log")).unwrap();
    assert!(log.contains("/proc/nowhere"), "{log}");
    // What is wrong with the file is found before anything is made.
    std::fs::write(ground.path("bad.yaml"), "domains: {a: {memroy: 1}}\n").unwrap();
    let bad = one();
    std::fs::write(bad.path("LagoInitFile"), "domains: {a: {memroy: 1}}\n").unwrap();
    bad.polder(&["init"]).fails(2, "memroy");
    assert!(!bad.path(".polder").exists());
}

#[test]
fn every_verb_has_help_and_wrong_usage_is_told() {
    let ground = one();
    let help = ground.polder(&["--help"]).ok();
    let verbs = "new init up down start stop shutdown reboot pause resume cleanup destroy status list snapshot revert export gc set-current lock \
        unlock shell ansible-hosts proxy generate-config plan validate schema templates images doctor completions man";
    for verb in verbs.split_whitespace() {
        assert!(help.contains(&format!("\n  {verb} ")), "no {verb} in\n{help}");
        assert!(ground.polder(&[verb, "--help"]).ok().contains("Usage: polder "), "{verb}");
    }
    assert!(ground.polder(&["--version"]).ok().starts_with("polder "));
    ground.polder(&["status", "--nonsense"]).fails(2, "unexpected argument '--nonsense'");
    ground
        .polder(&["statsu"])
        .fails(2, "no verb `statsu` and no program `polder-statsu` on the path; did you mean `status`?");
    ground.polder(&["list", "-f", "jsno"]).fails(2, "no output format `jsno`; did you mean `json`?");
    ground.polder(&["--libvirt-url", "qemu:///system", "list"]).fails(2, "with `lab = \"system\"`");
    let system =
        ground.command(&["list", "--libvirt-user", "ada"]).env("POLDER_LAB", "system").output().unwrap();
    Said::of(&system).fails(2, "configure `libvirt_username` (POLDER_LIBVIRT_USERNAME)");
    ground.polder(&["shutdown", "-r", "--timeout", "5"]).fails(2, "cannot be used with");
    ground.polder(&["templates", "verify", "x"]).fails(2, "is not `REPO:TEMPLATE:VERSION`");
    let images = ground.json(&["images", "list"]);
    assert!(images.as_array().unwrap().iter().any(|image| image["name"] == "minimal"), "{images}");
    ground.polder(&["images", "path", "nope"]).fails(2, "no image `nope`");
    ground.polder(&["--loglevel", "loud", "list"]).fails(2, "--loglevel: `loglevel` is `loud`");
}

#[test]
fn the_configuration_says_where_every_value_came_from() {
    let ground = one();
    std::fs::create_dir_all(ground.path("config/polder")).unwrap();
    let file = ground.path("config/polder/polder.toml");
    std::fs::write(&file, "ssh_user = \"ada\"\n\n[shutdown]\ntimeout = 7\n").unwrap();
    let text = ground.polder(&["--logdepth", "5", "generate-config"]).ok();
    let from = format!("# from {}:1\nssh_user = ada\n", file.display());
    for part in
        ["# Generated on 20", "\n[polder]\n", &from, "# from --logdepth\nlogdepth = 5\n", "\n[shutdown]\n"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let json = ground.polder(&["-f", "json", "generate-config"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["shutdown"]["timeout"]["value"], "7");
    std::fs::write(&file, "ssh_usre = \"ada\"\n").unwrap();
    ground.polder(&["list"]).fails(2, "polder.toml:1: unknown key `ssh_usre`; did you mean `ssh_user`?");
    assert!(ground.polder(&["--help"]).ok().contains("Usage"));
}

#[test]
fn programs_on_the_path_are_verbs_that_know_the_prefix() {
    let ground = one();
    ground.polder(&["init"]).ok();
    std::fs::create_dir(ground.path("bin")).unwrap();
    let program = ground.path("bin/polder-where");
    std::fs::write(&program, "#!/bin/sh\necho $LAGO_PREFIX_PATH $POLDER_WORKDIR_PATH \"$@\"\nexit 9\n")
        .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", ground.path("bin").display(), std::env::var("PATH").unwrap());
    let said = Said::of(&ground.command(&["where", "--a", "b c"]).env("PATH", path).output().unwrap());
    let root = ground.path(".polder").display().to_string();
    assert_eq!((said.code, said.out), (Some(9), format!("{root}/default {root} --a b c")));
}

#[test]
fn completions_and_manual_pages_are_made() {
    let ground = one();
    assert!(ground.polder(&["completions", "bash"]).ok().contains("set-current"));
    ground.polder(&["man", "pages"]).ok();
    assert!(ground.path("pages/polder.1").is_file() && ground.path("pages/polder-start.1").is_file());
}

#[test]
fn the_doctor_is_content_with_a_host_on_which_tests_run() {
    let text = one().polder(&["doctor"]).ok();
    assert!(text.ends_with("hermetic labs work on this host"), "{text}");
    let report = one().json(&["doctor"]);
    assert!(report["ok"] == true && report["findings"][0]["grade"] == "ok", "{report}");
}

/// Has all folders of the root folder in this one, and runs a command there; bound on itself first, if that is asked for.
const CHROOT: &str = r#"
set -e
[ "$1" = plain ] || mount --bind . .
cd "$PWD"
for entry in /*; do
    if [ -L "$entry" ]; then cp -P "$entry" .; elif [ -d "$entry" ]; then mkdir ".$entry"; mount --rbind "$entry" ".$entry"; fi
done
shift
exec chroot . "$@"
"#;

#[test]
fn in_a_plain_chroot_the_doctor_says_what_is_lacking() {
    let doctor = |how: &str| {
        let ground = one();
        let folder = ground.path("chroot");
        fs::create_dir(&folder).unwrap();
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", CHROOT, "sh", how, env!("CARGO_BIN_EXE_polder"), "doctor"]);
        Said::of(&unshare.current_dir(&folder).output().unwrap())
    };
    let said = doctor("plain");
    assert!(said.code != Some(0) && said.out.contains("its folder has to be bound on itself"), "{said:?}");
    let said = doctor("bound");
    assert!(said.out.ends_with("hermetic labs work on this host"), "{said:?}");
}

#[test]
fn a_plan_shows_everything_and_makes_nothing() {
    let ground = one();
    let text = ground.polder(&["plan"]).ok();
    for part in ["only", "192.168.200.77", "54:52:c0:a8:c8:4d", "minimal", "192.168.200.1/24"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert_eq!((ground.labs(), ground.path(".polder").exists()), (0, false));
    let json: serde_json::Value = serde_json::from_str(&ground.polder(&["-f", "json", "plan"]).ok()).unwrap();
    assert_eq!(json["machines"][0]["name"], "only");
}
