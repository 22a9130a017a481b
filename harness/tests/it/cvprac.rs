//! The embedded portal, judged by the client that its users have: Arista's own, unmodified.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::python::programs_of;

/// The newest one there was when this was written.
const CLIENT: &str = "cvprac==2.3.0";

/// `polder cvp serve`, which is stopped as an operator does it.
struct Served {
    child: Child,
    /// The line it says when it answers.
    line: String,
}

impl Served {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(["cvp", "serve"]).args(args).current_dir(folder).env("XDG_CONFIG_HOME", folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "nothing was said: {line:?} {:?}", child.wait_with_output());
        Self { child, line }
    }

    fn says(&self, key: &str) -> String {
        let said: Value = serde_json::from_str(&self.line).unwrap();
        said[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.line)).to_owned()
    }

    /// Ends it, which it takes well.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(status.success(), "{status}: {told}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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

#[test]
fn what_the_portal_knows_outlives_it() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let file = folder.path().join("portal.json");
    let state = file.to_str().unwrap();
    let first = Served::start(
        folder.path(),
        &["--state", state, "--devices", "2", "--user", "me", "--password", "p w"],
    );
    assert!(first.says("url").starts_with("https://127.0.0.1:"));
    assert_eq!((first.says("username").as_str(), first.says("password").as_str()), ("me", "p w"));
    let ca = first.says("ca_file");
    assert!(std::fs::read_to_string(&ca).unwrap().contains("BEGIN CERTIFICATE"));
    first.stop();
    assert!(!Path::new(&ca).exists(), "nothing is left but the state");
    let saved: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(saved["devices"].as_object().unwrap().len(), 2);
    assert!(!saved.to_string().contains("p w"));
    let second = Served::start(folder.path(), &["--state", state, "--plain-http", "--imitate", "2021.1.0"]);
    assert!(second.says("url").starts_with("http://"));
    second.stop();
    let saved: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(saved["devices"].as_object().unwrap().len(), 2, "no devices to play with are added");
    assert_eq!(saved["settings"]["imitate"], "2021.1.0");
}
