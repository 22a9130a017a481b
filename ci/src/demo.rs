//! `cargo ci demo`: what Polder does, on real machines; with `--failing`, what it leaves when something fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{self, cargo},
    setup, workspace,
};

/// Where the suites are.
const PACKAGE: [&str; 3] = ["test", "--package", "polder-suites"];

/// Has the demo have its suite that fails on purpose as well.
const FAIL: &str = "POLDER_DEMO_FAIL";

/// How cargo and a test binary say that tests failed.
const TESTS_FAILED: i32 = 101;

/// For the failing suite, whose own limit is far below.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Lines of the listing at most.
const LONGEST: usize = 80;

/// What to look at after a failure, by name or its beginning.
const WORTH: &[(&str, &str)] = &[
    ("error.txt", "what failed, with its causes"),
    ("log.txt", "what the scenario did, as a tree with durations"),
    ("manifest.json", "what was collected, how, and what could not be and why"),
    ("console", "what a machine printed since its power-on"),
    ("journal", "a machine's journal"),
    ("dmesg", "a machine's kernel messages"),
    ("domain", "a machine as libvirt sees it"),
    ("network", "networks and leases"),
    ("libvirtd.log", "the private daemon's log"),
    ("events.jsonl", "everything that happened, as it happened"),
];

/// What to show.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run a suite that fails on purpose instead, and show what it leaves.
    #[arg(long)]
    failing: bool,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    for skip in setup::prepare(setup::For::Suites)? {
        println!("(the demo does without {})", skip.name);
    }
    if args.failing {
        return failing();
    }
    println!("\n=== three routers, two hosts, and a portal that configures them");
    command::run(cargo(&[&PACKAGE[..], &["--test", "routing"]].concat()).current_dir(workspace::root()))?;
    let report = workspace::metadata()?.target_directory.join("polder/latest/report.html");
    println!("\nAll of it, for a browser: {}", report.display());
    println!("What it is made of: suites/routing. What a failure leaves: `cargo ci demo --failing`.");
    Ok(ExitCode::SUCCESS)
}

/// A suite that fails, and what it leaves.
fn failing() -> Result<ExitCode> {
    println!("\n=== a suite that fails on purpose ({FAIL}=1)");
    let mut failing = cargo(&[&PACKAGE[..], &["--test", "demo", "--", "on_purpose"]].concat());
    let code = command::watched(failing.current_dir(workspace::root()).env(FAIL, "1"), LIMIT, |line| {
        println!("{line}");
    })?;
    if code != Some(TESTS_FAILED) {
        bail!("the failing suite had to end with exit code {TESTS_FAILED}, and ended with {code:?}");
    }
    let latest = workspace::metadata()?.target_directory.join("polder/latest");
    let files = files_below(&latest)?;
    println!("\n=== what it left in {}", latest.display());
    for (path, size) in files.iter().take(LONGEST) {
        println!("{size:>10}  {}", path.display());
    }
    if files.len() > LONGEST {
        println!("            and {} more", files.len() - LONGEST);
    }
    println!("\nWorth a look:");
    for (name, what) in WORTH {
        if let Some((path, _)) = files.iter().find(|(path, _)| named(path, name)) {
            println!("  {} - {what}", latest.join(path).display());
        }
    }
    if !files.iter().any(|(path, _)| named(path, "error.txt")) {
        bail!("the failing suite left no error.txt in {}", latest.display());
    }
    println!("\nThe demo did what it should: it failed.");
    Ok(ExitCode::SUCCESS)
}

fn named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name))
}

/// Files below `folder`, sorted, with their sizes; paths are relative to it.
fn files_below(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).with_context(|| format!("could not read folder {}", at.display()))? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(folder).unwrap_or(&path).to_owned(), metadata.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_with_sizes_in_order() {
        let base = std::env::temp_dir().join(format!("polder-ci-files-{}", std::process::id()));
        fs::create_dir_all(base.join("b/c")).unwrap();
        fs::write(base.join("b/c/console.log"), "12345").unwrap();
        fs::write(base.join("a"), "").unwrap();
        let files = files_below(&base).unwrap();
        assert_eq!(files, [(PathBuf::from("a"), 0), (PathBuf::from("b/c/console.log"), 5)]);
        assert!(named(&files[1].0, "console") && !named(&files[0].0, "console"));
        fs::remove_dir_all(&base).unwrap();
        assert!(files_below(&base).unwrap_err().to_string().contains("polder-ci-files"));
    }
}
