//! GitHub Actions: a workflow's one job, step by step. Actions are known by their names, with what they may be told.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    machine::Machine,
    repository::{Job, Repository, cases},
};

pub(super) const RECIPE: &str = ".github/workflows/polder.yml";

/// Actions and their inputs.
const ACTIONS: &[(&str, &[&str])] = &[
    ("actions/checkout@v5", &["fetch-depth", "submodules", "path", "repository", "ref"]),
    ("actions/cache/restore@v5", &["path", "key", "restore-keys", "fail-on-cache-miss", "lookup-only"]),
    ("actions/cache/save@v5", &["path", "key"]),
    ("actions/upload-artifact@v6", &["name", "path", "if-no-files-found", "retention-days", "overwrite"]),
];

/// What names of artifacts and paths in them must not have.
const FORBIDDEN: [char; 9] = ['"', ':', '<', '>', '|', '*', '?', '\r', '\n'];

/// A run of the workflow, which is the `number`th of its repository; a job for each part of the suites.
pub(super) fn run(repository: &mut Repository, number: u32, tested: &Path) -> Vec<Job> {
    let workflow: Value = yaml_serde::from_str(&repository.read(RECIPE)).unwrap();
    let parts = workflow["jobs"]["suites"]["strategy"]["matrix"]["shard"].as_array().unwrap().clone();
    let mut names = std::collections::BTreeSet::new();
    let jobs = parts.iter().enumerate().map(|(index, part)| {
        let mut machine = repository.machine(tested);
        let summary = machine.workspace().with_file_name("summary");
        for (name, value) in [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_WORKSPACE", machine.workspace().display().to_string()),
            ("GITHUB_STEP_SUMMARY", summary.display().to_string()),
            ("GITHUB_RUN_ID", number.to_string()),
            ("RUNNER_OS", "Linux".to_owned()),
        ] {
            machine.set(name, value);
        }
        let mut runner = Runner {
            part: part.as_str().unwrap(),
            index,
            number,
            restored: None,
            job: Job {
                green: true,
                log: String::new(),
                cases: vec![],
                artifact: Default::default(),
                calls: String::new(),
            },
            artifact_name: String::new(),
        };
        for (name, value) in workflow["env"].as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), |text| runner.filled(&machine, text));
            machine.set(name, text);
        }
        for step in workflow["jobs"]["suites"]["steps"].as_array().unwrap() {
            runner.step(repository, &machine, step);
        }
        assert!(names.insert(runner.artifact_name.clone()), "two artifacts {}", runner.artifact_name);
        let mut job = runner.job;
        job.calls = machine.calls();
        job.log += &std::fs::read_to_string(&summary).unwrap_or_default();
        job
    });
    jobs.collect()
}

struct Runner<'a> {
    part: &'a str,
    index: usize,
    number: u32,
    /// The key under which the cache step found something, if any.
    restored: Option<String>,
    job: Job,
    artifact_name: String,
}

impl Runner<'_> {
    fn step(&mut self, repository: &mut Repository, machine: &Machine, step: &Value) {
        let goes = match step["if"].as_str() {
            None => self.job.green,
            Some("always()" | "${{ !cancelled() }}") => true,
            Some(other) => panic!("`if: {other}`"),
        };
        if !goes {
            return;
        }
        if let Some(script) = step["run"].as_str() {
            let folder = step["working-directory"].as_str().unwrap_or(".");
            let (script, folder) = (self.filled(machine, script), self.filled(machine, folder));
            let (well, said) = machine.shell(&["bash", "-e"], &folder, &script);
            self.job.green &= well;
            self.job.log += &said;
            return;
        }
        let action = step["uses"].as_str().unwrap();
        let (_, inputs) =
            ACTIONS.iter().find(|(known, _)| *known == action).unwrap_or_else(|| panic!("{action}"));
        for input in step["with"].as_object().into_iter().flatten() {
            assert!(inputs.contains(&input.0.as_str()), "{action} has no input {}", input.0);
        }
        let input = |name: &str| self.filled(machine, step["with"][name].as_str().unwrap_or_default());
        match action.split('@').next().unwrap() {
            "actions/checkout" => {}
            "actions/cache/restore" => {
                let beginnings: Vec<String> = input("restore-keys").lines().map(str::to_owned).collect();
                let (key, folder) = (input("key"), at(machine, &input("path")));
                assert!(!key.contains(',') && key.len() < 512, "{key}");
                self.restored = repository.kept(&key, &beginnings).map(str::to_owned);
                if let Some(key) = &self.restored {
                    repository.bring(key, &folder);
                }
            }
            "actions/cache/save" => {
                let (key, folder) = (input("key"), at(machine, &input("path")));
                // What has a key is never written again, and a folder that is not there is none.
                if !repository.keys().contains(&key.as_str()) && folder.is_dir() {
                    repository.keep(&key, &folder);
                }
            }
            "actions/upload-artifact" => {
                let (name, path) = (input("name"), input("path"));
                self.artifact_name = name;
                assert!(!self.artifact_name.contains(FORBIDDEN) && !self.artifact_name.contains(['/', '\\']));
                // Hidden files are left out.
                let hidden = |path: &str| path.split('/').any(|part| part.starts_with('.'));
                self.job.artifact = machine.found(&path);
                self.job.artifact.retain(|path, _| !hidden(path));
                for path in self.job.artifact.keys() {
                    assert!(!path.contains(FORBIDDEN), "one such file, and nothing is kept: {path}");
                }
                let results = self.job.artifact.iter().filter(|(path, _)| path.ends_with("/junit.xml"));
                self.job.cases = results.flat_map(|(_, path)| cases(path)).collect();
            }
            _ => unreachable!(),
        }
    }

    /// A text with its expressions as what they come to.
    fn filled(&self, machine: &Machine, text: &str) -> String {
        let mut parts = text.split("${{");
        let mut filled = parts.next().unwrap().to_owned();
        for part in parts {
            let (expression, rest) = part.split_once("}}").unwrap();
            filled += &match expression.trim() {
                "github.workspace" => machine.workspace().display().to_string(),
                "github.run_id" => self.number.to_string(),
                "github.run_attempt" => "1".to_owned(),
                "runner.os" => "Linux".to_owned(),
                "matrix.shard" => self.part.to_owned(),
                "strategy.job-index" => self.index.to_string(),
                other => match other.strip_prefix("env.") {
                    Some(name) => machine.variable(name).to_owned(),
                    None => panic!("`{other}` in {text}"),
                },
            };
            filled += rest;
        }
        filled
    }
}

fn at(machine: &Machine, path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(below) => machine.home().join(below),
        None => machine.workspace().join(path),
    }
}
