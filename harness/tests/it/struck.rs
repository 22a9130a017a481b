//! SIGKILL of whoever a suite needs, amid one of its scenarios: the verdict blames the environment and names who died, what
//! could be collected is there, and nothing is left.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{arena, binary, twelve::nextest};

const LIMIT: Duration = Duration::from_secs(240);

/// Who is killed, and what is said of it where somebody is left who can say it.
const VICTIMS: [(&str, &str); 5] = [
    ("runner", ""),
    ("nextest", "stopped by the operator before its end"),
    ("warden", "the lab has ended: its warden is gone"),
    ("libvirtd", "the lab has ended: its daemon ended with status 137"),
    ("qemu-system", "machine only has lost its emulator"),
];

/// A run of the suite in which somebody is to be killed.
struct Life {
    victim: &'static str,
    said: &'static str,
    /// What was started: the suite, or who runs it.
    process: i32,
    labs: PathBuf,
    output: PathBuf,
}

impl Life {
    /// Starts one with folders of its own below `ground`; nothing where there is no nextest.
    fn start(ground: &Path, victim: &'static str, said: &'static str, panics: bool) -> Option<Self> {
        let home = ground.join(victim);
        let (labs, output) = (home.join("labs"), home.join("out"));
        fs::create_dir_all(&labs).unwrap();
        let mut command = match victim {
            "nextest" => nextest(&["run", "--workspace", "--test", "struck"], &output)?,
            _ => {
                let mut command = Command::new(std::env::var("POLDER_TEST_BINARY").unwrap());
                command.env_remove("NEXTEST");
                command
            }
        };
        if panics {
            command.env("FIXTURE_PANICS", "1");
        }
        let log = fs::File::create(home.join("log")).unwrap();
        command.env("POLDER_RUNTIME_DIR", &labs).env("POLDER_OUTPUT_DIR", &output);
        let process =
            arena::start(command.stdout(Stdio::from(log.try_clone().unwrap())).stderr(Stdio::from(log)));
        Some(Self { victim, said, process, labs, output })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.output.with_file_name("log")).unwrap()
    }

    fn file(&self, path: &str) -> String {
        let path = self.output.join("latest").join(path);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), self.log()))
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < LIMIT, "{}: {what}\n{}", self.victim, self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the victim.
    fn strike(&self) {
        if ["runner", "nextest"].contains(&self.victim) {
            return arena::kill(self.process);
        }
        let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let is_it = |pid: &i32| match self.victim {
            "warden" => arena::warden(self.process) == Some(*pid),
            other => name(*pid).starts_with(other),
        };
        let found: Vec<i32> = arena::all_below(Some(self.process)).into_iter().filter(is_it).collect();
        let [pid] = found.as_slice() else { panic!("{}: {found:?}\n{}", self.victim, self.log()) };
        arena::kill(*pid);
    }

    fn events(&self) -> Vec<Value> {
        let text = self.file("events.jsonl");
        // The last one may be cut short.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|mut line| line["event"].take()).collect()
    }

    fn is_over(&self) -> bool {
        self.events().iter().any(|event| event["kind"] == "run_finished")
    }

    fn outcome(&self, scenario: &str) -> Value {
        let events = self.events();
        let mut ended =
            events.iter().filter(|e| e["kind"] == "scenario_finished" && e["scenario"] == scenario);
        ended.next().map(|event| event["outcome"].clone()).unwrap_or_default()
    }

    /// What is told of the run afterwards.
    fn report(&self) -> (String, String) {
        let run = self.output.join("latest");
        let ran = Command::new(env!("CARGO_BIN_EXE_polder")).arg("report").arg(run).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        assert!(self.file("report.html").contains("amid"));
        (said, self.file("junit.xml"))
    }

    fn judge(&self) {
        assert_eq!(self.outcome("before")["outcome"], "passed", "{}", self.log());
        match self.victim {
            "runner" => {
                let (said, junit) = self.report();
                assert!(said.contains("the end of the run is not known: it was killed"), "{said}");
                assert_eq!(self.outcome("amid"), Value::Null);
                assert!(junit.contains("its end is not known: the run was killed"), "{junit}");
            }
            "nextest" => {
                let amid = self.outcome("amid");
                assert_eq!((&amid["outcome"], &amid["reason"]), (&"not_run".into(), &self.said.into()));
                let end = self.events().into_iter().rfind(|event| event["kind"] == "run_finished").unwrap();
                assert_eq!((&end["stopped"], &end["failed"]), (&true.into(), &0.into()));
                let (_, junit) = self.report();
                assert!(junit.contains(self.said) && !junit.contains("<failure"), "{junit}");
                assert!(self.file("report.html").contains(self.said));
            }
            _ => self.blamed(),
        }
    }

    /// The environment is to blame, and nothing of what is tested.
    fn blamed(&self) {
        let (amid, log) = (self.outcome("amid"), self.log());
        assert_eq!(
            (&amid["outcome"], &amid["fault"]),
            (&"failed".into(), &"environment".into()),
            "{amid}\n{log}"
        );
        assert!(amid["error"].as_str().unwrap().contains(self.said), "{amid}");
        for scenario in ["depends", "apart"] {
            let outcome = self.outcome(scenario);
            let reason = outcome["reason"].as_str().unwrap_or_default();
            assert_eq!(outcome["outcome"], "not_run", "{scenario}: {outcome}");
            assert!(reason.contains("the environment broke") && reason.contains(self.said), "{outcome}");
        }
        for part in ["test struck::amid ... FAILED", self.said, "at fault: the environment", "; 1 failed;"] {
            assert!(log.contains(part), "{part} is not in\n{log}");
        }
        let junit = self.file("junit.xml");
        assert!(junit.contains("<error ") && junit.contains("type=\"environment\""), "{junit}");
        assert!(junit.contains(self.said) && !junit.contains("<failure"), "{junit}");
        let collected = self.events().into_iter().find(|event| event["kind"] == "collected");
        let collected = collected.unwrap_or_else(|| panic!("nothing was collected\n{log}"));
        assert_eq!((&collected["scenario"], collected["items"] == 0), (&"amid".into(), false), "{collected}");
        assert!(self.file("struck/amid/only/console.log").contains("polder-identity"), "{log}");
        assert!(self.file("report.html").contains(self.said));
    }
}

#[test]
#[ignore = "a process of the tests below"]
fn strikes() {
    arena::become_subreaper();
    let ground = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    let victims = std::env::var("POLDER_TEST_VICTIMS").unwrap();
    let (_, mut dice) = arena::campaign(1);
    let lives: Vec<Life> = VICTIMS
        .iter()
        .filter(|(victim, _)| victims.split(' ').any(|wanted| wanted == *victim))
        .filter_map(|&(victim, said)| Life::start(&ground, victim, said, dice.below(2) == 0))
        .collect();
    for life in &lives {
        life.until("it does not begin", || life.output.join("latest/struck/amid/begun").exists());
        thread::sleep(Duration::from_millis(dice.below(300)));
        life.strike();
    }
    for life in lives.iter().filter(|life| life.victim != "runner") {
        life.until("the run has no end", || life.is_over());
    }
    let left = arena::emptied_but(None, Duration::from_secs(10));
    left.unwrap_or_else(|left| panic!("{left}"));
    for life in &lives {
        assert_eq!(arena::remains(&life.labs), Vec::<String>::new(), "{}\n{}", life.victim, life.log());
        life.judge();
    }
}

/// Has these killed, all at the same time.
fn strike(victims: &str) {
    let dir = tempfile::Builder::new().prefix("ps").tempdir_in("/var/tmp").unwrap();
    let vars = [
        ("POLDER_TEST_ROOT", dir.path().display().to_string()),
        ("POLDER_TEST_BINARY", binary::path("struck").display().to_string()),
        ("POLDER_TEST_VICTIMS", victims.to_owned()),
    ];
    arena::in_own_process("struck::strikes", &vars);
}

#[test]
fn whoever_is_killed_amid_a_scenario_is_told_of() {
    strike("runner warden libvirtd qemu-system");
}

#[test]
fn nextest_killed_amid_a_scenario_is_a_stop() {
    strike("nextest");
}
