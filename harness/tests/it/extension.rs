//! Extension points, used by a crate outside the workspace: one of each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

use crate::{binary, new};

/// The folder of programs of the crate in `tests/extension`.
pub(crate) static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(build);

/// Builds a copy of the crate with what is built of the workspace; whoever runs us without cargo has let it be built
/// before.
fn build() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_polder")).parent().unwrap();
    if std::env::var_os("POLDER_TEST_PREBUILT").is_some() {
        return programs.to_owned();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = outside();
    copy_folder(&here.join("tests/extension/src"), &copy.join("src"));
    let manifest = fs::read_to_string(here.join("tests/extension/Cargo.toml")).unwrap();
    let manifest = manifest.replace("path = \"../..\"", &format!("path = {:?}", here.display().to_string()));
    // What `polder new` makes is built with it.
    let manifest = manifest.replace("[workspace]", "[workspace]\nmembers = [\"fresh\"]");
    let workspace = fs::read_to_string(here.join("../Cargo.toml")).unwrap();
    write(&copy.join("Cargo.toml"), &(manifest + &profile(&workspace)));
    // The same versions as ours, so that nothing is looked up anywhere.
    write(&copy.join("Cargo.lock"), &fs::read_to_string(here.join("../Cargo.lock")).unwrap());
    new::generate(&copy.join("fresh"));
    // Of the whole workspace, here and there: one package alone has other features of what it needs.
    built(&["build", "--workspace", "--quiet"]);
    programs.to_owned()
}

/// A workspace beside ours, in which crates are built with what is built of ours.
pub(crate) fn outside() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("extension")
}

/// What cargo says when it builds something of that workspace.
pub(crate) fn built(args: &[&str]) -> String {
    let target = Path::new(env!("CARGO_BIN_EXE_polder")).ancestors().nth(2).unwrap();
    let mut cargo = binary::cargo();
    cargo.args(args).args(["--offline", "--target-dir"]).arg(target);
    let output = cargo.current_dir(outside()).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "the crates cannot be built:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// How the workspace is built, so that what is built of it serves here, too: nearly all would be built once more otherwise.
pub(crate) fn profile(workspace: &str) -> String {
    let begin = workspace.find("[profile.dev]").unwrap();
    let profile = &workspace[begin..];
    let mut sections = profile.lines().filter(|line| line.starts_with('['));
    assert!(
        sections.all(|section| section.starts_with("[profile.dev")),
        "more than profiles follow: {profile}"
    );
    // What is a dependency here is a member there.
    let debug = profile.lines().find(|line| line.starts_with("debug = ")).unwrap();
    let members =
        ["polder", "polder-macros"].map(|name| format!("\n[profile.dev.package.{name}]\n{debug}\n"));
    format!("\n{profile}{}", members.concat())
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        match entry.path() {
            path if path.is_dir() => copy_folder(&path, &to),
            path => write(&to, &fs::read_to_string(path).unwrap()),
        }
    }
}

/// Leaves a file alone that is as it should be: cargo looks at times.
pub(crate) fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).unwrap();
}

/// A project, its own labs, and a cloud.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("px").tempdir_in("/var/tmp").unwrap();
        fs::create_dir(dir.path().join("cloud")).unwrap();
        Self(dir)
    }

    fn run(&self, program: &Path, args: &[&str]) -> (Option<i32>, String, String) {
        let folder = self.0.path();
        let mut command = Command::new(program);
        command.args(args).current_dir(folder).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", folder).env("POLDER_RUNTIME_DIR", folder.join("labs"));
        command.env("CLOUD", folder.join("cloud")).env_remove("POLDER_TEST_PREBUILT");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(PROGRAMS.clone()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap());
        text(&command.output().unwrap())
    }

    fn extended(&self, args: &[&str]) -> (Option<i32>, String, String) {
        self.run(&PROGRAMS.join("polder-extended"), args)
    }

    fn stock(&self, args: &[&str]) -> (Option<i32>, String, String) {
        self.run(Path::new(env!("CARGO_BIN_EXE_polder")), args)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn names_in(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.path().join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// An environment that a failed test would leave.
impl Drop for Ground {
    fn drop(&mut self) {
        self.extended(&["destroy", "--yes", "--all-prefixes"]);
    }
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const MACHINE: &str = "
domains:
  r1:
    vm-type: router
    memory: 128
    nics: NICS
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
  wan: {type: nat}
";

const MANIFEST: &str = r#"{"name": "made", "sources": {"air": {"type": "made-up", "args": {}}},
    "templates": {"tiny": {"versions": {"v1": {"source": "air", "handle": "tiny", "timestamp": 1}}}}}"#;

#[test]
fn somebody_elses_binary_is_the_command_with_more() {
    let ground = Ground::new();
    for name in ["a", "b"] {
        fs::create_dir_all(ground.0.path().join(".polder").join(name)).unwrap();
    }
    assert_eq!(ground.extended(&["list", "-f", "count"]).1, "2");

    ground.write("f", &MACHINE.replace("NICS", "[{net: lan}]"));
    let (code, _, error) = ground.extended(&["plan", "f"]);
    assert!(
        code == Some(2) && error.contains("machine `r1` is no `router`: it has fewer than two NICs"),
        "{error}"
    );
    ground.write("f", &MACHINE.replace("NICS", "[{net: lan}, {net: wan}]"));
    let (_, plan, error) = ground.extended(&["plan", "-f", "json", "f"]);
    assert!(plan.contains("/etc/frr/frr.conf"), "{error}{plan}");

    ground.write("made.json", MANIFEST);
    let fetch =
        ["templates", "--template-repo-path", "made.json", "--template-store", "store", "fetch", "tiny"];
    let (code, path, error) = ground.extended(&fetch);
    assert!(
        code == Some(0) && Path::new(&path).metadata().is_ok_and(|m| m.len() == 1 << 20),
        "{path}{error}"
    );

    // The stock command knows neither, and says what it knows.
    let (code, _, error) = ground.stock(&["plan", "f"]);
    assert!(code == Some(2) && error.contains("router"), "{error}");
}

const FILE: &str = "
domains:
  f1: {vm-provider: files, memory: 64, nics: [{net: lan}]}
nets:
  lan: {type: nat, management: true}
";

#[test]
fn machines_of_other_providers_live_without_a_lab() {
    let ground = Ground::new();
    ground.write("LagoInitFile", &FILE.replace("64", "65"));
    let (code, _, error) = ground.extended(&["init"]);
    assert!(code == Some(2) && error.contains("f1") && error.contains("at most 64 MiB"), "{error}");
    ground.write("LagoInitFile", FILE);
    let (code, _, error) = ground.stock(&["init"]);
    assert!(code == Some(2) && error.contains("there is no vm-provider `files`"), "{error}");

    let done = |args: &[&str]| {
        let (code, out, error) = ground.extended(args);
        assert_eq!(code, Some(0), "{args:?}: {error}");
        out
    };
    let status =
        || done(&["status", "-f", "flat"]).lines().find(|l| l.contains("f1/status")).unwrap().to_owned();
    done(&["init"]);
    assert!(status().ends_with("down"));
    done(&["start"]);
    let id = ground.names_in("cloud").pop().unwrap();
    assert!(id.ends_with("-f1") && status().ends_with("running"));
    assert_eq!(ground.names_in("labs"), [""; 0], "nothing here is made by libvirt");

    // What it cannot do is an error for who names the machine.
    for (args, expected) in [
        (["pause", "f1"].as_slice(), "the vm-provider `files` cannot pause machines"),
        (&["snapshot", "now", "-n", "f1"], "the vm-provider `files` cannot take snapshots of machines"),
    ] {
        let (code, _, error) = ground.extended(args);
        assert!(code == Some(2) && error.contains(expected), "{args:?}: {error}");
    }
    done(&["pause"]);

    // A command that lacks the provider can load the environment, but neither stop nor destroy the machine.
    let (code, _, error) = ground.stock(&["stop"]);
    assert!(code == Some(5) && error.contains("made by the vm-provider `files`, which"), "{error}");
    let (code, _, error) = ground.stock(&["destroy", "--yes"]);
    assert!(code == Some(3) && error.contains("vm-provider `files`"), "{code:?} {error}");
    assert_eq!(ground.names_in("cloud"), [id.as_str()]);

    done(&["stop"]);
    assert!(ground.names_in("cloud").is_empty() && status().ends_with("down"));
    done(&["start"]);
    // However little is left of the prefix, its machines are found again.
    fs::remove_file(ground.0.path().join(".polder/default/state.json")).unwrap();
    done(&["destroy", "--yes"]);
    assert!(ground.names_in("cloud").is_empty());
    assert!(!ground.0.path().join(".polder").exists());

    // A start that fails undoes what it did.
    ground.write("LagoInitFile", &FILE.replace("nets:", BROKEN));
    done(&["init"]);
    let (code, _, error) = ground.extended(&["start"]);
    assert!(code == Some(5) && error.contains("machine f2: that file cannot be written"), "{error}");
    assert!(ground.names_in("cloud").is_empty());
    done(&["start", "f1"]);
    assert_eq!(ground.names_in("cloud").len(), 1);
    done(&["destroy", "--yes"]);
    assert!(ground.names_in("cloud").is_empty());
}

const BROKEN: &str =
    "  f2: {vm-provider: files, memory: 64, nics: [{net: lan}], metadata: {broken: true}}\nnets:";

const SMALL: &str = "
domains:
  web:
    memory: 128
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
";

const SERVICE: &str = "mkdir /run/services && cd /run/services && printf '#!/bin/sh\\necho here I am\\nexec sleep 1000\\n' >echo \
    && chmod +x echo";

#[test]
fn services_are_managed_by_a_verb_and_a_manager_of_somebody_elses() {
    let ground = Ground::new();
    ground.write("LagoInitFile", SMALL);
    let done = |args: &[&str]| {
        let (code, out, error) = ground.stock(args);
        assert_eq!(code, Some(0), "{args:?}: {error}");
        out
    };
    done(&["init"]);
    done(&["start"]);
    done(&["shell", "web", SERVICE]);
    let (code, _, error) = ground.stock(&["service", "web", "echo"]);
    let none = "none is there of systemd, systemdcontainer, openrc, sysvinit";
    assert!(code == Some(5) && error.contains(none), "{error}");

    assert_eq!(done(&["svc", "web", "echo", "status"]), "inactive by small");
    for (what, expected) in [
        ("start", "active by small"),
        ("start", "active by small"),
        ("logs", "here I am\nactive by small"),
        ("restart", "active by small"),
        ("stop", "inactive by small"),
    ] {
        assert_eq!(done(&["svc", "web", "echo", what]), expected, "{what}");
    }
    assert_eq!(ground.extended(&["service", "web", "echo", "start"]).1, "active");
    let (code, _, error) = ground.extended(&["service", "web", "nothing", "stop"]);
    assert!(code == Some(5) && error.contains("the service `nothing` is not there, says small"), "{error}");
    done(&["destroy", "--yes"]);
}
