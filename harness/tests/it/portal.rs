//! `polder cvp serve`, as people have it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::browser::look_at;

/// `polder cvp serve`, which is stopped as an operator does it.
pub(crate) struct Served {
    child: Child,
    /// The line it says when it answers.
    pub(crate) line: String,
}

impl Served {
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(["cvp", "serve"]).args(args).current_dir(folder).env("XDG_CONFIG_HOME", folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "nothing was said: {line:?} {:?}", child.wait_with_output());
        Self { child, line }
    }

    pub(crate) fn says(&self, key: &str) -> String {
        let said: Value = serde_json::from_str(&self.line).unwrap();
        said[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.line)).to_owned()
    }

    /// Ends it, which it takes well.
    pub(crate) fn stop(mut self) {
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

#[test]
fn a_state_that_cannot_be_written_is_told_before_there_is_any() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
    command.args(["cvp", "serve", "--state", "absent/portal.json"]).current_dir(folder.path());
    let output = command.env("XDG_CONFIG_HOME", folder.path()).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(told.contains("cannot write ") && told.contains("absent/portal.json: No such file"), "{told}");
}

#[test]
fn its_page_shows_what_there_is() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let served = Served::start(folder.path(), &["--plain-http"]);
    let url = format!("{}/", served.says("url"));
    let Some(dom) = look_at(&url, folder.path(), "the portal's page in a browser") else { return };
    for shown in ["<td>leaf-4</td>", "<td class=\"good\">0000</td>", "imitates 2024.3.0", "Change controls"] {
        assert!(dom.contains(shown), "no {shown} in {dom}");
    }
    served.stop();
}
