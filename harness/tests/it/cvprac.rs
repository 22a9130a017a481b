//! The embedded portal, judged by the client that its users have: Arista's own, unmodified.

use std::{path::Path, process::Command};

use crate::{portal::Served, python::programs_of};

/// The newest one there was when this was written.
const CLIENT: &str = "cvprac==2.3.0";

/// Has the client do what `script` says; fails with the names of checks that fail.
fn judge(script: &str, args: &[&str]) {
    let Some(programs) = programs_of(CLIENT, "the embedded portal with Arista's client") else { return };
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let served = Served::start(folder.path(), args);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cvprac").join(script);
    let output = Command::new(programs.join("python3"))
        .arg(script)
        .arg(&served.line)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let (checks, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed: Vec<&str> = checks.lines().filter(|line| line.starts_with("FAILED ")).collect();
    assert!(failed.is_empty() && output.status.success(), "{}\n{errors}", failed.join("\n"));
    assert!(checks.lines().any(|line| line.starts_with("ok ")), "nothing was checked");
    served.stop();
}

#[test]
fn aristas_client_works_on_the_portal() {
    judge("session.py", &[]);
}

#[test]
fn aristas_client_works_on_portals_before_and_after() {
    for version in ["2022.2.0", "2026.3.0"] {
        judge("session.py", &["--imitate", version]);
    }
}

#[test]
fn aristas_client_works_on_an_old_portal() {
    judge("old.py", &["--imitate", "2018.1.4"]);
}
