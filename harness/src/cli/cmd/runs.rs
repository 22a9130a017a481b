//! Runs of suites, as verbs name them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    base::text::did_you_mean,
    cli::{context::Cx, exit::BadInput},
    report::sink::{EVENTS, LATEST},
};

/// The folder of the run that is meant: named by its path, or by its name where runs are; the newest one when none is named.
pub(super) fn find(cx: &Cx, run: Option<&str>) -> anyhow::Result<PathBuf> {
    let named = run.map(|run| cx.absolute(Path::new(run))).transpose()?;
    if let Some(folder) = named {
        if folder.join(EVENTS).is_file() {
            return Ok(folder);
        }
        // More than a name is no name of a run.
        if run.is_some_and(|run| run.contains('/')) {
            let why = if folder.exists() {
                format!("there is no {EVENTS} in it")
            } else {
                "it is not there".into()
            };
            return Err(BadInput(format!("{} is no run: {why}", folder.display())).into());
        }
    }
    let root = root(&cx.cwd)?;
    let folder = root.join(run.unwrap_or(LATEST));
    if folder.join(EVENTS).is_file() {
        return Ok(fs::canonicalize(&folder).unwrap_or(folder));
    }
    let runs = fs::read_dir(&root).into_iter().flatten().flatten();
    let runs: Vec<String> = runs.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let message = match run {
        Some(run) => {
            let hint = did_you_mean(run, runs.iter().map(String::as_str));
            let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            format!(
                "there is no run `{run}` in {}, nor is that a folder with {EVENTS} in it{hint}",
                root.display()
            )
        }
        None => format!("there is no run of suites in {}", root.display()),
    };
    Err(BadInput(message).into())
}

/// Where runs of suites are: as suites are told, or in cargo's target folder of the project in which one stands.
fn root(cwd: &Path) -> Result<PathBuf, BadInput> {
    if let Some(root) = env::var_os("POLDER_OUTPUT_DIR") {
        return Ok(cwd.join(root));
    }
    let mut targets = cwd.ancestors().map(|folder| folder.join("target/polder"));
    targets.find(|root| root.is_dir()).ok_or_else(|| {
        BadInput(format!(
            "there is no target/polder in {} or above it; name the folder of a run, or set POLDER_OUTPUT_DIR as for the suites",
            cwd.display()
        ))
    })
}
