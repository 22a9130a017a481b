//! Verbs of other people: `polder NAME ARGS` runs `polder-NAME ARGS` from the path, as cargo does.

use std::{
    ffi::OsString,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use clap::CommandFactory;

use super::args::Args;
use crate::base::text::did_you_mean;

/// How an executable of another verb begins.
const BEGINNING: &str = "polder-";

/// Runs the verb of that name with `variables` added to its environment; returns its exit status, or 128 and the signal
/// that ended it.
pub(super) fn run(words: &[OsString], variables: &[(&str, PathBuf)]) -> anyhow::Result<u8> {
    let Some((name, arguments)) = words.split_first() else {
        bail!("no verb was given");
    };
    let name = name.to_string_lossy();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(program) = find(&name, &path) else {
        let own: Vec<String> = Args::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        let others = all(&path);
        let known = own.iter().chain(&others).map(String::as_str);
        let hint = did_you_mean(&name, known)
            .map_or_else(|| "`polder --help` lists all".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(NoSuchVerb(format!(
            "no verb `{name}` and no program `{BEGINNING}{name}` on the path; {hint}"
        ))
        .into());
    };
    let mut command = Command::new(&program);
    command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
    let status =
        command.arg0(&program).status().with_context(|| format!("cannot start {}", program.display()))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// What was typed is no verb.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoSuchVerb(String);

fn find(name: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    // A name is one part of a path, so that nothing beside the path's folders runs.
    if name.is_empty() || name.contains('/') {
        return None;
    }
    std::env::split_paths(path).map(|dir| dir.join(format!("{BEGINNING}{name}"))).find(|p| executable(p))
}

fn executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

/// Names of all verbs on the path, sorted.
pub(super) fn all(path: &std::ffi::OsStr) -> Vec<String> {
    let folders = std::env::split_paths(path).filter_map(|dir| std::fs::read_dir(dir).ok());
    let entries = folders.flatten().flatten().map(|entry| entry.path()).filter(|path| executable(path));
    let name = |path: PathBuf| path.file_name()?.to_str()?.strip_prefix(BEGINNING).map(str::to_owned);
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_executables_with_our_beginning_are_verbs() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("polder-hello", 0o755), ("polder-notes", 0o644), ("hello", 0o755)] {
            let path = dir.path().join(name);
            std::fs::write(&path, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = std::env::join_paths([Path::new("/nonexistent"), dir.path()]).unwrap();
        assert_eq!(all(&path), ["hello"]);
        assert_eq!(find("hello", &path), Some(dir.path().join("polder-hello")));
        assert_eq!((find("notes", &path), find("../hello", &path)), (None, None));
    }
}
