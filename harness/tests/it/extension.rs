//! Extension points, used by a crate outside the workspace: one of each.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Builds the crate in `tests/extension` with what is built of the workspace.
fn build() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/extension");
    let target = Path::new(env!("CARGO_BIN_EXE_polder")).ancestors().nth(2).unwrap();
    // The same versions as ours, so that nothing is looked up anywhere.
    std::fs::copy(here.join("../../../Cargo.lock"), here.join("Cargo.lock")).unwrap();
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--manifest-path"])
        .arg(here.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status();
    assert!(status.unwrap().success(), "the crate in {} cannot be built", here.display());
    target.join("debug/polder-extended")
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
    let program = build();
    let dir = tempfile::Builder::new().prefix("px").tempdir_in("/var/tmp").unwrap();
    let extended = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args).current_dir(dir.path()).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", dir.path()).env("POLDER_RUNTIME_DIR", dir.path().join("labs"));
        text(&command.output().unwrap())
    };
    for name in ["a", "b"] {
        std::fs::create_dir_all(dir.path().join(".polder").join(name)).unwrap();
    }
    assert_eq!(extended(&["list", "-f", "count"]).1, "2");

    let init_file = |nics: &str| std::fs::write(dir.path().join("f"), MACHINE.replace("NICS", nics)).unwrap();
    init_file("[{net: lan}]");
    let (code, _, error) = extended(&["plan", "f"]);
    assert!(
        code == Some(2) && error.contains("machine r1 is no router: it has fewer than two NICs"),
        "{error}"
    );
    init_file("[{net: lan}, {net: wan}]");
    let (_, plan, error) = extended(&["plan", "-f", "json", "f"]);
    assert!(plan.contains("/etc/frr/frr.conf"), "{error}{plan}");

    std::fs::write(dir.path().join("made.json"), MANIFEST).unwrap();
    let fetch =
        ["templates", "--template-repo-path", "made.json", "--template-store", "store", "fetch", "tiny"];
    let (code, path, error) = extended(&fetch);
    assert!(
        code == Some(0) && Path::new(&path).metadata().is_ok_and(|m| m.len() == 1 << 20),
        "{path}{error}"
    );

    // The stock command knows neither, and says what it knows.
    let stock =
        Command::new(env!("CARGO_BIN_EXE_polder")).args(["plan", "f"]).current_dir(dir.path()).output();
    let (code, _, error) = text(&stock.unwrap());
    assert!(code == Some(2) && error.contains("router"), "{error}");
}
