//! The `polder` command, as people and scripts use it: prefixes on real labs, and everything that needs none.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const HOSTS_WITHOUT_TERMINAL: &str = "there is no terminal; give `--yes`";

struct Ground(tempfile::TempDir);

impl Ground {
    /// A project with an init file.
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pc").tempdir_in("/var/tmp").unwrap();
        let text = include_str!("../suites/one.yaml");
        std::fs::write(dir.path().join("LagoInitFile"), text).unwrap();
        Self(dir)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(args).current_dir(self.0.path()).env("POLDER_RUNTIME_DIR", self.path("labs"));
        // The configuration of whoever runs the tests is not ours.
        command.env("XDG_CONFIG_HOME", self.path("config")).stdin(Stdio::null());
        // It is for these tests, not a key of the configuration.
        command.env_remove("POLDER_TEST_PREBUILT");
        command
    }

    fn polder(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn labs(&self) -> usize {
        let entries = std::fs::read_dir(self.path("labs")).into_iter().flatten().flatten();
        entries.filter(|e| e.path().is_dir()).count()
    }
}

/// An environment that a failed test would leave.
impl Drop for Ground {
    fn drop(&mut self) {
        self.polder(&["unlock"]);
        self.polder(&["destroy", "--yes", "--all-prefixes"]);
    }
}

/// What a command came to.
#[derive(Debug, PartialEq)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It went well; what it printed.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// It ended with that code and said that.
    #[track_caller]
    fn fails(self, code: i32, message: &str) {
        assert!(self.code == Some(code) && self.err.contains(message), "{self:?}");
    }
}

#[test]
fn an_environment_lives_from_init_to_destroy() {
    let ground = Ground::new();
    ground.polder(&["status"]).fails(2, "looked for:");
    assert_eq!(ground.polder(&["init"]).ok(), "");
    assert_eq!(std::fs::read_link(ground.path(".polder/current")).unwrap(), Path::new("default"));
    assert!(ground.path(".polder/default/logs/polder.log").is_file());
    ground.polder(&["init"]).fails(2, "prefix `default` exists in");
    let flat = ground.polder(&["-f", "flat", "status"]).ok();
    for line in
        ["Networks/lan/status: down", "VMs/only/NICs/eth0/ip: 192.168.200.77", "VMs/only/status: down"]
    {
        assert!(flat.lines().any(|l| l == line), "no `{line}` in\n{flat}");
    }
    assert_eq!(ground.labs(), 0);
    ground.polder(&["shell", "only", "true"]).fails(1, "only is not running");

    ground.polder(&["start", "onyl"]).fails(2, "no machine `onyl`; did you mean `only`?");
    ground.polder(&["start"]).ok();
    ground.polder(&["--quiet", "start", "only"]).ok();
    let status: serde_json::Value =
        serde_json::from_str(&ground.polder(&["status", "-f", "json"]).ok()).unwrap();
    assert_eq!(status["Prefix"]["VMs"]["only"]["status"], "running");
    let words = ["shell", "only", "sh", "-c", "echo \"$0 $1\"; echo no >&2; exit 7", "a b", "$HOME"];
    let shell = ground.polder(&words);
    assert_eq!((shell.code, shell.out.as_str(), shell.err.as_str()), (Some(7), "a b $HOME", "no"));
    // A line for the guest's shell, as Lago takes it; a machine by the end of its name; a script of the host.
    assert_eq!(ground.polder(&["shell", "nly", "-c", "echo $((6*7)) | cat"]).ok(), "42");
    std::fs::write(ground.path("job.sh"), "hostname\nexit 3\n").unwrap();
    let script = ground.polder(&["shell", "only", "job.sh"]);
    assert_eq!((script.code, script.out.as_str()), (Some(3), "only"), "{script:?}");
    let hosts = ground.polder(&["ansible-hosts"]).ok();
    assert!(
        hosts.contains("[vm_type_default]\nonly ansible_host=192.168.200.77 ansible_user=root"),
        "{hosts}"
    );

    let stopped = ground.polder(&["-f", "json", "shutdown", "--timeout", "60"]).ok();
    assert!(stopped.contains("\"only\": \"graceful\""), "{stopped}");
    assert_eq!(ground.labs(), 0);
    ground.polder(&["lock", "in", "use", "by", "Ada"]).ok();
    ground.polder(&["destroy", "--yes"]).fails(1, "is locked: in use by Ada");
    ground.polder(&["unlock"]).ok();
    ground.polder(&["destroy"]).fails(2, HOSTS_WITHOUT_TERMINAL);
    let gone = ground.polder(&["destroy", "-y"]).ok();
    assert!(gone.ends_with("/.polder/default"), "{gone}");
    assert!(!ground.path(".polder").exists());
}

#[test]
fn up_starts_what_it_makes_and_down_removes_it() {
    let ground = Ground::new();
    std::fs::rename(ground.path("LagoInitFile"), ground.path("one.yaml")).unwrap();
    ground.polder(&["up"]).fails(2, "cannot read the init file LagoInitFile");
    ground.polder(&["up", "work", "one.yaml"]).ok();
    // From below the workdir, from elsewhere, and by the prefix itself.
    let status = |args: &[&str]| ground.polder(args).ok().contains("status: running");
    assert!(status(&["-w", "work", "status"]) && status(&["-p", "work/default", "status"]));
    let inside =
        ground.command(&["shell", "only", "hostname"]).current_dir(ground.path("work/default")).output();
    assert_eq!(Said::of(&inside.unwrap()).ok(), "only");
    ground.polder(&["-w", "work", "pause"]).ok();
    assert!(ground.polder(&["-w", "work", "status"]).ok().contains("status: paused"));
    ground.polder(&["-w", "work", "resume"]).ok();
    ground.polder(&["-w", "work", "down"]).ok();
    assert_eq!((ground.labs(), ground.path("work").exists()), (0, false));
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
    let ground = Ground::new();
    std::fs::write(ground.path("LagoInitFile"), TWO).unwrap();
    ground.polder(&["init"]).ok();
    ground.polder(&["start", "web"]).ok();
    ground.polder(&["pause"]).ok();
    let lab =
        std::fs::read_dir(ground.path("labs")).unwrap().flatten().map(|e| e.path()).find(|p| p.is_dir());
    let uri = format!("qemu:///system?socket={}", lab.unwrap().join("sock/libvirt-sock").display());
    let nets = || {
        let out = Command::new("virsh").args(["-q", "-c", &uri, "net-list", "--name"]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().lines().filter(|line| !line.trim().is_empty()).count()
    };
    for _ in 0..5 {
        let child = ground.command(&["start"]).stderr(Stdio::piped()).spawn().unwrap();
        // Its net is made before it is.
        let begun = std::time::Instant::now();
        while nets() < 2 && begun.elapsed().as_secs() < 30 {}
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

#[test]
fn prefixes_are_listed_chosen_and_destroyed_by_name() {
    let ground = Ground::new();
    for name in ["current", "nightly", "weekly"] {
        ground.polder(&["--prefix-name", name, "init"]).ok();
    }
    assert_eq!(ground.polder(&["list"]).ok(), "default\nnightly\nweekly");
    somebody_is_busy(&ground);
    assert_eq!(
        ground.polder(&["list", "-f", "json", "."]).ok().split_whitespace().collect::<String>(),
        r#"["default","nightly","weekly"]"#
    );
    ground.polder(&["set-current", "nihgtly"]).fails(2, "did you mean `nightly`?");
    ground.polder(&["set-current", "nightly"]).ok();
    assert!(ground.polder(&["status"]).ok().contains("/.polder/nightly"));
    ground.polder(&["destroy", "-y"]).ok();
    assert!(ground.polder(&["status"]).ok().contains("/.polder/default"));
    std::os::unix::fs::symlink(".polder", ground.path("link")).unwrap();
    let link = ground.polder(&["-w", "link", "destroy", "-y", "--all-prefixes"]).ok();
    assert!(link.contains("removed the link") && ground.path(".polder/default").exists(), "{link}");
    ground.polder(&["destroy", "-y", "--all-prefixes"]).ok();
    assert!(!ground.path(".polder").exists());
}

#[test]
fn a_failed_init_leaves_its_log_and_nothing_else() {
    let ground = Ground::new();
    let output = ground.command(&["init"]).env("POLDER_CACHE_DIR", "/proc/nowhere").output().unwrap();
    Said::of(&output).fails(5, "all of it is in");
    let left: Vec<_> =
        std::fs::read_dir(ground.path(".polder")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["default.init.log"]);
    let log = std::fs::read_to_string(ground.path(".polder/default.init.log")).unwrap();
    assert!(log.contains("/proc/nowhere"), "{log}");
    // What is wrong with the file is found before anything is made.
    std::fs::write(ground.path("bad.yaml"), "domains: {a: {memroy: 1}}\n").unwrap();
    let bad = Ground::new();
    std::fs::write(bad.path("LagoInitFile"), "domains: {a: {memroy: 1}}\n").unwrap();
    bad.polder(&["init"]).fails(2, "memroy");
    assert!(!bad.path(".polder").exists());
}

#[test]
fn every_verb_has_help_and_wrong_usage_is_told() {
    let ground = Ground::new();
    let help = ground.polder(&["--help"]).ok();
    let verbs = "init up down start stop shutdown reboot pause resume cleanup destroy status list snapshot revert export gc set-current lock \
        unlock shell ansible-hosts generate-config plan validate schema templates images doctor completions man";
    for verb in verbs.split_whitespace() {
        assert!(help.contains(&format!("\n  {verb} ")), "no {verb} in\n{help}");
        assert!(ground.polder(&[verb, "--help"]).ok().contains("Usage: polder "), "{verb}");
    }
    assert!(ground.polder(&["--version"]).ok().starts_with("polder "));
    ground.polder(&["status", "--nonsense"]).fails(2, "unexpected argument '--nonsense'");
    ground
        .polder(&["statsu"])
        .fails(2, "no verb `statsu` and no program `polder-statsu` on the path; did you mean `status`?");
    ground.polder(&["list", "-f", "jsno"]).fails(2, "no workdir");
    ground.polder(&["--libvirt-url", "qemu:///system", "list"]).fails(2, "configure `lab = \"system\"`");
    ground.polder(&["--loglevel", "loud", "list"]).fails(2, "--loglevel: `loglevel` is `loud`");
}

#[test]
fn the_configuration_says_where_every_value_came_from() {
    let ground = Ground::new();
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
    let ground = Ground::new();
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
    let ground = Ground::new();
    assert!(ground.polder(&["completions", "bash"]).ok().contains("set-current"));
    ground.polder(&["man", "pages"]).ok();
    assert!(ground.path("pages/polder.1").is_file() && ground.path("pages/polder-start.1").is_file());
}

#[test]
fn the_doctor_is_content_with_a_host_on_which_tests_run() {
    let text = Ground::new().polder(&["doctor"]).ok();
    assert!(text.ends_with("hermetic labs work on this host"), "{text}");
}

#[test]
fn a_plan_shows_everything_and_makes_nothing() {
    let ground = Ground::new();
    let text = ground.polder(&["plan"]).ok();
    for part in ["only", "192.168.200.77", "54:52:c0:a8:c8:4d", "minimal", "192.168.200.1/24"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert_eq!((ground.labs(), ground.path(".polder").exists()), (0, false));
    let json: serde_json::Value = serde_json::from_str(&ground.polder(&["-f", "json", "plan"]).ok()).unwrap();
    assert_eq!(json["machines"][0]["name"], "only");
}
