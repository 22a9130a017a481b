//! Jenkins: a build of a pipeline in a workspace that stays. Each step has a shell of its own.

use super::{
    machine::Machine,
    repository::{Job, cases},
};

pub(super) const RECIPE: &str = "Jenkinsfile";

/// A build.
pub(super) fn build(machine: &mut Machine) -> Job {
    let recipe = std::fs::read_to_string(machine.workspace().join(RECIPE)).unwrap();
    let workspace = machine.workspace().display().to_string();
    machine.set("WORKSPACE", workspace.as_str());
    let lines = || recipe.lines().map(str::trim);
    let quoted = |text: &str| {
        let text = text.strip_prefix(['\'', '"'])?.strip_suffix(['\'', '"'])?;
        Some(text.replace("${env.WORKSPACE}", &workspace))
    };
    for (name, value) in lines().filter_map(|line| line.split_once(" = ")) {
        machine.set(name, quoted(value).unwrap());
    }
    let mut job = Job {
        green: true,
        log: String::new(),
        cases: vec![],
        artifact: Default::default(),
        calls: String::new(),
    };
    for script in lines().filter_map(|line| quoted(line.strip_prefix("sh ")?)) {
        if job.green {
            let (well, said) = machine.shell(&["sh", "-xe"], ".", &script);
            job.green = well;
            job.log += &said;
        }
    }
    // What comes after stands in `always`.
    let (_, after) = recipe.split_once("always {").unwrap();
    let argument = |step: &str| {
        let (_, rest) = after.split_once(step).unwrap();
        rest.split('\'').nth(1).unwrap().to_owned()
    };
    let results = machine.found(&argument("junit testResults:"));
    job.cases = results.values().flat_map(|path| cases(path)).collect();
    let artifacts = argument("archiveArtifacts artifacts:");
    job.artifact = machine.found(artifacts.strip_suffix("/**").unwrap());
    job.calls = machine.calls();
    job
}
