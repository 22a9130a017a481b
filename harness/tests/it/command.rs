//! The `polder` command on a real environment: up, status, shell, down, and what each says when it cannot.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pc").tempdir_in("/var/tmp").unwrap();
        let text = include_str!("../suites/one.yaml");
        std::fs::write(dir.path().join("one.yaml"), text).unwrap();
        Self(dir)
    }

    fn polder(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(args).current_dir(self.0.path()).env("POLDER_RUNTIME_DIR", self.labs());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn labs(&self) -> PathBuf {
        self.0.path().join("labs")
    }
}

/// An environment that a failed test would leave.
impl Drop for Ground {
    fn drop(&mut self) {
        self.polder(&["down", "one.yaml"]);
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

fn folders(of: &Path) -> usize {
    std::fs::read_dir(of).into_iter().flatten().flatten().filter(|e| e.path().is_dir()).count()
}

#[test]
fn an_environment_lives_between_up_and_down() {
    let ground = Ground::new();
    let before = ground.polder(&["shell", "one.yaml", "only"]);
    assert!(err(&before).contains("is not up; `polder up one.yaml` brings it up"), "{}", err(&before));

    let up = ground.polder(&["up", "one.yaml"]);
    assert_eq!(up.status.code(), Some(0), "{}", err(&up));
    let again = ground.polder(&["up", "one.yaml"]);
    assert!(!again.status.success() && err(&again).contains("is up already"), "{}", err(&again));

    let status = ground.polder(&["status", "one.yaml", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&out(&status)).unwrap();
    assert_eq!(
        (status["machines"][0]["name"].as_str(), status["machines"][0]["state"].as_str()),
        (Some("only"), Some("running"))
    );
    assert_eq!(status["machines"][0]["ip"], "192.168.200.77");

    let shell = ground.polder(&[
        "shell",
        "one.yaml",
        "only",
        "--",
        "sh",
        "-c",
        "echo \"$0 $1\"; echo no >&2; exit 7",
        "a b",
        "$HOME",
    ]);
    assert_eq!(
        (shell.status.code(), out(&shell).as_str(), err(&shell).as_str()),
        (Some(7), "a b $HOME", "no")
    );
    let wrong = ground.polder(&["shell", "one.yaml", "onyl"]);
    assert!(err(&wrong).contains("no machine `onyl` in one.yaml; did you mean `only`?"), "{}", err(&wrong));

    assert_eq!(folders(&ground.labs()), 1);
    let down = ground.polder(&["down", "one.yaml"]);
    assert_eq!((down.status.code(), out(&down).as_str()), (Some(0), "down; nothing is left"));
    assert_eq!((folders(&ground.labs()), ground.0.path().join(".polder").exists()), (0, false));
    let twice = ground.polder(&["down", "one.yaml"]);
    assert_eq!(
        (twice.status.code(), out(&twice).as_str()),
        (Some(0), "the environment of one.yaml is not up")
    );
}

#[test]
fn the_doctor_is_content_with_a_host_on_which_tests_run() {
    let ground = Ground::new();
    let output = ground.polder(&["doctor"]);
    assert!(
        output.status.success() && out(&output).ends_with("hermetic labs work on this host"),
        "{}",
        out(&output)
    );
}

#[test]
fn a_plan_shows_everything_and_makes_nothing() {
    let ground = Ground::new();
    let output = ground.polder(&["plan", "one.yaml"]);
    let text = out(&output);
    for part in ["only", "192.168.200.77", "54:52:c0:a8:c8:4d", "minimal", "192.168.200.1/24"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert_eq!(folders(&ground.labs()), 0);
    let json: serde_json::Value =
        serde_json::from_str(&out(&ground.polder(&["plan", "one.yaml", "--json"]))).unwrap();
    assert_eq!(json["machines"][0]["name"], "only");
}
