//! GitLab CI: the one job of a pipeline, as often as it says. All its lines run in one shell.

use std::{fmt::Write as _, path::Path};

use serde_json::Value;

use super::repository::{Job, Repository, cases};

pub(super) const RECIPE: &str = ".gitlab-ci.yml";

/// A pipeline; a job for each part of the suites.
pub(super) fn run(repository: &mut Repository, tested: &Path) -> Vec<Job> {
    let pipeline: Value = yaml_serde::from_str(&repository.read(RECIPE)).unwrap();
    let job = &pipeline["suites"];
    let total = job["parallel"].as_u64().unwrap();
    (1..=total).map(|index| one(repository, job, index, total, tested)).collect()
}

fn one(repository: &mut Repository, job: &Value, index: u64, total: u64, tested: &Path) -> Job {
    let mut machine = repository.machine(tested);
    let project = machine.workspace();
    for (name, value) in [
        ("GITLAB_CI", "true".to_owned()),
        ("CI_PROJECT_DIR", project.display().to_string()),
        ("CI_NODE_INDEX", index.to_string()),
        ("CI_NODE_TOTAL", total.to_string()),
    ] {
        machine.set(name, value);
    }
    let filled = |text: &str| {
        let known =
            [("$CI_PROJECT_DIR", project.display().to_string()), ("$CI_NODE_INDEX", index.to_string())];
        let text = known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        assert!(!text.contains('$'), "{text}");
        text
    };
    for (name, value) in job["variables"].as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), filled);
        machine.set(name, text);
    }
    let cache = &job["cache"];
    let (key, folders) = (filled(cache["key"].as_str().unwrap()), strings(&cache["paths"]));
    let [folder] = &folders[..] else { panic!("{folders:?}") };
    if repository.kept(&key, &[]).is_some() {
        repository.bring(&key, &project.join(folder));
    }
    let mut script = "set -eo pipefail\n".to_owned();
    for line in strings(&job["before_script"]).iter().chain(&strings(&job["script"])) {
        let _ = writeln!(script, "{line}");
    }
    let (green, log) = machine.shell(&["bash"], ".", &script);
    let goes = |when: &Value| green || when == "always";
    if goes(&cache["when"]) && project.join(folder).is_dir() {
        repository.keep(&key, &project.join(folder));
    }
    let (mut artifact, mut found) = (Default::default(), vec![]);
    let artifacts = &job["artifacts"];
    if goes(&artifacts["when"]) {
        let [paths] = &strings(&artifacts["paths"])[..] else { panic!("{artifacts}") };
        artifact = machine.found(paths);
        let results = machine.found(artifacts["reports"]["junit"].as_str().unwrap());
        found = results.values().flat_map(|path| cases(path)).collect();
    }
    Job { green, log, cases: found, artifact, calls: machine.calls() }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}
