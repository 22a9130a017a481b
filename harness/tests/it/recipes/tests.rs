//! What recipes do: every test once, red where one fails, with results where the service looks for them; and what is kept is used.

use std::{fs, path::Path, process::Command};

use super::{
    github, gitlab, jenkins,
    repository::{Job, Repository},
};
use crate::{binary, new};

/// All that a test binary has, as results name it.
fn listed(tested: &Path) -> Vec<String> {
    let said = Command::new(tested).args(["--list", "--format", "terse"]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let mut names: Vec<String> =
        text.lines().map(|line| line.strip_suffix(": test").unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The results of all jobs are all scenarios, each once; those that failed are red and have left what is to be seen of it.
fn every_one_once(jobs: &[Job], tested: &Path) {
    let all = listed(tested);
    let mut ran: Vec<String> = jobs.iter().flat_map(|job| &job.cases).cloned().collect();
    // What comes before and after scenarios is told when it failed.
    ran.retain(|case| all.contains(case));
    ran.sort();
    assert_eq!(ran, all);
    for job in jobs {
        assert!(!job.cases.is_empty() && !job.green, "{job:?}");
        let [run] = &runs(job)[..] else { panic!("{:?}", job.artifact.keys()) };
        for name in ["report.html", "events.jsonl", "junit.xml"] {
            assert!(
                job.artifact.contains_key(&format!("{run}/{name}")),
                "no {name}: {:?}",
                job.artifact.keys()
            );
        }
        assert!(job.artifact.keys().any(|path| path.ends_with("/error.txt")), "{:?}", job.artifact.keys());
    }
}

/// The runs in an artifact.
fn runs(job: &Job) -> Vec<&str> {
    let mut runs: Vec<&str> = job.artifact.keys().filter_map(|path| path.split('/').next()).collect();
    runs.dedup();
    runs
}

#[test]
fn each_part_in_github_actions_is_run_once_and_leaves_its_results() {
    let mut repository = Repository::new("github");
    // As the recipe says.
    repository.change(github::RECIPE, "shard: [\"1/1\"]", "shard: [\"1/3\", \"2/3\", \"3/3\"]");
    let recipe = repository.read(github::RECIPE);
    assert!(recipe.contains("with three, [\"1/3\", \"2/3\", \"3/3\"]."), "{recipe}");
    let tested = binary::path("failing");
    let jobs = github::run(&mut repository, 1, tested);
    assert_eq!(jobs.len(), 3);
    every_one_once(&jobs, tested);
    for job in &jobs {
        for part in ["::error file=web/", "::group::", "| suite | passed |"] {
            assert!(job.log.contains(part), "no {part:?} in\n{}", job.log);
        }
        let calls: Vec<&str> = job.calls.lines().collect();
        assert_eq!(calls[0], "sudo apt-get update");
        assert!(
            calls[1].starts_with("sudo apt-get install --yes --no-install-recommends pkg-config "),
            "{calls:?}"
        );
    }
    // What a job keeps is also of one that failed, and each has a key of its own.
    let keys = ["1/3", "2/3", "3/3"].map(|part| format!("polder-Linux-{part}-1-1"));
    assert!(repository.keys().iter().all(|key| keys.contains(&(*key).to_owned())), "{:?}", repository.keys());
}

#[test]
fn each_part_in_gitlab_is_run_once_and_leaves_its_results() {
    let mut repository = Repository::new("gitlab");
    repository.change(gitlab::RECIPE, "parallel: 1", "parallel: 3");
    let tested = binary::path("failing");
    let jobs = gitlab::run(&mut repository, tested);
    assert_eq!(jobs.len(), 3);
    every_one_once(&jobs, tested);
    for job in &jobs {
        assert!(job.log.contains("\u{1b}[0Ksection_start:"), "{}", job.log);
        // Who is not root has no use for it.
        let root = rustix::process::getuid().is_root();
        assert_eq!(job.calls.contains("apt-get update\napt-get install --yes "), root, "{}", job.calls);
    }
}

#[test]
fn a_build_in_jenkins_has_what_its_own_run_left() {
    let mut repository = Repository::new("jenkins");
    let tested = binary::path("failing");
    let mut machine = repository.machine(tested);
    let failed = jenkins::build(&mut machine);
    every_one_once(std::slice::from_ref(&failed), tested);
    machine.set("TESTED", binary::path("ordinary").display().to_string());
    let passed = jenkins::build(&mut machine);
    assert!(passed.green && passed.cases.iter().all(|case| case.starts_with("ordinary::")), "{passed:?}");
    assert_eq!(runs(&passed).len(), 1);
    assert_ne!(runs(&passed), runs(&failed));
    assert_eq!(passed.calls, "");
}

/// What an earlier version may have kept: the image and what is known of the host.
fn before() -> tempfile::TempDir {
    let before = tempfile::tempdir_in("/var/tmp").unwrap();
    let image =
        Command::new(env!("CARGO_BIN_EXE_polder")).args(["images", "build", "minimal"]).output().unwrap();
    assert!(image.status.success(), "{image:?}");
    let image = String::from_utf8(image.stdout).unwrap();
    let image = Path::new(image.trim());
    fs::create_dir(before.path().join("images")).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("--archive").arg(image).arg(before.path().join("images"));
    assert!(copy.status().unwrap().success());
    before
}

#[test]
fn what_a_job_keeps_spares_the_next_one_the_image_and_the_boot() {
    let tested = new::suite("fresh");
    let went_on = |job: &Job| {
        let passed = job.cases == ["fresh::the_page_is_served", "fresh::what_is_not_there_is_not_served"];
        assert!(job.green && passed, "{}", job.log);
        assert!(!job.log.contains("building image"), "{}", job.log);
        job.log.contains("all machines go on from checkpoint")
    };
    let before = before();
    let mut github = Repository::new("github");
    github.keep("polder-Linux-1/2-0-1", before.path());
    let first = github::run(&mut github, 1, tested);
    assert!(!went_on(&first[0]));
    assert!(went_on(&github::run(&mut github, 2, tested)[0]));
    let all: Vec<String> = ["1/2-0", "1/1-1", "1/1-2"].map(|key| format!("polder-Linux-{key}-1")).to_vec();
    assert_eq!(github.keys(), all);
    // The other service keeps the same, elsewhere.
    let kept = tempfile::tempdir_in("/var/tmp").unwrap();
    github.bring(&all[1], kept.path());
    let mut gitlab = Repository::new("gitlab");
    gitlab.keep("polder-1", kept.path());
    assert!(went_on(&gitlab::run(&mut gitlab, tested)[0]));
    assert_eq!(gitlab.keys(), ["polder-1", "polder-1"]);
}
