//! The suite binaries of `tests/suites`, built once, run with a folder and an environment of their own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Nothing here takes as long; what does is stuck.
const LIMIT: Duration = Duration::from_secs(60);

const NAMES: [&str; 22] = [
    "cached",
    "watched",
    "struck",
    "leaky",
    "debugged",
    "changed",
    "twelve",
    "kept",
    "returning",
    "attributes",
    "health",
    "mishaps",
    "crowd",
    "crash",
    "ordinary",
    "pair",
    "failing",
    "side_by_side",
    "endless",
    "portals",
    "wrong_names",
    "forgotten",
];

/// The binary of a test target.
pub(crate) fn path(name: &str) -> &'static Path {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    &BUILT.get_or_init(build)[name]
}

/// The cargo that runs us, as if a person had called it: what it says of the package of this test would make build
/// scripts run again, each time the other way.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "NEXTEST"].iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Cargo builds targets with `test = false` only when they are named. Whoever runs us without cargo has let it build
/// them before, beside us.
fn build() -> BTreeMap<String, PathBuf> {
    if std::env::var_os("POLDER_TEST_PREBUILT").is_some() {
        return NAMES.iter().map(|name| ((*name).to_owned(), beside_us(name))).collect();
    }
    let mut cargo = cargo();
    // Of the whole workspace, because that is how we were built: for a package alone, all it depends on would be built
    // again with what that package asks of it.
    cargo.args(["test", "--workspace", "--no-run", "--message-format=json"]);
    cargo.args(NAMES.iter().flat_map(|name| ["--test", name]));
    let output = cargo.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the suites do not compile");
    let text = String::from_utf8(output.stdout).unwrap();
    executables(&text)
}

/// The executables that cargo says it has built, by the names of their targets.
pub(crate) fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let built = messages.filter_map(|message| {
        let binary = message["executable"].as_str()?;
        Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(binary)))
    });
    built.collect()
}

/// The newest binary of a target in our own folder.
pub(crate) fn beside_us(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let entries = fs::read_dir(own.parent().unwrap()).unwrap().flatten().map(|entry| entry.path());
    let built = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && !rest.contains('.'))
    };
    let modified = |path: &PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    entries.filter(built).max_by_key(modified).unwrap_or_else(|| panic!("{name} is not built"))
}

/// A binary under way.
pub(crate) struct Running {
    pub(crate) child: Child,
    folder: TempDir,
}

/// What a run of a binary left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) notes: String,
    folder: TempDir,
}

/// Starts `name` with `args`, set up by `prepare`.
pub(crate) fn start_with(name: &str, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Running {
    start_at(path(name), args, prepare)
}

/// The same with the binary at `path`.
pub(crate) fn start_at(path: &Path, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(path);
    command.args(args).env_remove("NEXTEST").env("POLDER_OUTPUT_DIR", folder.path().join("polder"));
    // Wherever we run ourselves.
    for name in ["GITHUB_ACTIONS", "GITLAB_CI", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"] {
        command.env_remove(name);
    }
    let file = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
    command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    prepare(&mut command);
    // One that was just written may still be open for that in a process that another thread is about to start.
    let child = loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            child => break child.unwrap(),
        }
    };
    Running { child, folder }
}

/// Starts `name` with `args`.
pub(crate) fn start(name: &str, args: &[&str]) -> Running {
    start_with(name, args, |_| {})
}

/// Runs `name` with `args` to its end.
pub(crate) fn run(name: &str, args: &[&str]) -> Ran {
    start(name, args).wait()
}

impl Running {
    /// The run's folder for `suite::scenario`.
    pub(crate) fn scenario(&self, suite: &str, scenario: &str) -> PathBuf {
        self.folder.path().join("polder/latest").join(suite).join(scenario)
    }

    /// Waits until `path` exists.
    pub(crate) fn until(&self, path: &Path) {
        let start = Instant::now();
        while !path.exists() {
            assert!(start.elapsed() < LIMIT, "{} did not appear", path.display());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> Ran {
        self.wait_within(LIMIT)
    }

    /// Waits for the end of one that may take longer.
    pub(crate) fn wait_within(mut self, limit: Duration) -> Ran {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > limit {
                self.child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        };
        let text = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap();
        Ran { code: status.code(), out: text("stdout"), notes: text("stderr"), folder: self.folder }
    }
}

impl Ran {
    /// Where runs lie.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("polder")
    }

    /// The text of a file of the run.
    pub(crate) fn file(&self, path: &str) -> String {
        let path = self.root().join("latest").join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Every event, without its times.
    pub(crate) fn events(&self) -> Vec<Value> {
        let lines = self.file("events.jsonl");
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take()).collect()
    }

    /// The lines that give a scenario's outcome, without times.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let lines = self.out.lines().filter_map(|line| line.strip_prefix("test "));
        let untimed = |line: &str| match line.rsplit_once(" (") {
            Some((outcome, time)) => {
                format!("{outcome}{}", if time.contains("prerequisite") { " as prerequisite" } else { "" })
            }
            None => line.to_owned(),
        };
        lines.filter(|line| line.contains(" ... ")).map(untimed).collect()
    }

    /// The line with the result, without the time.
    pub(crate) fn result(&self) -> &str {
        let line = self.out.lines().find_map(|line| line.strip_prefix("test result: ")).unwrap_or("none");
        line.split("; finished").next().unwrap()
    }
}
