//! The test binaries of the workspace, as cargo names them, and which of them run side by side.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::{command, workspace};

/// Targets that run beside all others, which wait most of the time: those that start machines of their own and one that compiles.
const BESIDE: &[&str] = &["demo", "environment", "router", "routing", "ui"];

/// A built test binary.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binary {
    pub(crate) package: String,
    pub(crate) target: String,
    /// What the target is: `lib`, `bin`, `test`.
    pub(crate) kind: String,
    pub(crate) folder: PathBuf,
    pub(crate) executable: PathBuf,
}

impl Binary {
    /// Whether it runs beside all others.
    pub(crate) fn is_beside(&self) -> bool {
        self.kind == "test" && BESIDE.contains(&self.target.as_str())
    }
}

/// Asks cargo for the test binaries it built.
pub(crate) fn built() -> Result<Vec<Binary>> {
    let arguments = ["test", "--workspace", "--no-run", "--quiet", "--message-format", "json"];
    let messages = command::output(command::cargo(&arguments).current_dir(workspace::root()))?;
    let all = parse_messages(&messages);
    if all.is_empty() {
        bail!("cargo names no test binaries");
    }
    Ok(all)
}

/// What `cargo test` is told to run those of `binaries` that are beside the others, or the others: all of them are in one of
/// both.
pub(crate) fn chosen(binaries: &[Binary], beside: bool) -> Vec<&str> {
    let targets = binaries.iter().filter(|one| one.kind == "test" && one.is_beside() == beside);
    // Several packages may have targets of one name.
    let names: BTreeSet<&str> = targets.map(|one| one.target.as_str()).collect();
    let mut words: Vec<&str> = if beside { vec![] } else { vec!["--lib", "--bins"] };
    words.extend(names.into_iter().flat_map(|name| ["--test", name]));
    words
}

fn parse_messages(messages: &str) -> Vec<Binary> {
    #[derive(Deserialize)]
    struct Message {
        manifest_path: PathBuf,
        target: Target,
        profile: Profile,
        executable: Option<PathBuf>,
        package_id: String,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let binary = |message: Message| {
        Some(Binary {
            package: package_name(&message.package_id, &message.manifest_path),
            target: message.target.name,
            kind: message.target.kind.into_iter().next()?,
            folder: message.manifest_path.parent()?.to_owned(),
            executable: message.executable?,
        })
    };
    messages.filter(|message| message.profile.test).filter_map(binary).collect()
}

/// `path+file:///somewhere/harness#polder@0.1.0`, or without the name where the folder has it.
fn package_name(id: &str, manifest: &Path) -> String {
    let folder = manifest.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let named =
        id.rsplit_once('#').and_then(|(_, name)| name.split_once('@')).map(|(name, _)| name.to_owned());
    named.or(folder).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(package: &str, target: &str, kind: &str, folder: &str, executable: &str) -> Binary {
        Binary {
            package: package.to_owned(),
            target: target.to_owned(),
            kind: kind.to_owned(),
            folder: folder.into(),
            executable: executable.into(),
        }
    }

    #[test]
    fn test_binaries_are_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/harness#polder@0.1.0","manifest_path":"/w/harness/Cargo.toml","target":{"kind":["test"],"name":"it"},"profile":{"test":true},"executable":"/t/it-1"}
{"reason":"compiler-artifact","package_id":"path+file:///w/ci#0.1.0","manifest_path":"/w/ci/Cargo.toml","target":{"kind":["bin"],"name":"x"},"profile":{"test":true},"executable":"/t/x-1"}
{"reason":"compiler-artifact","package_id":"path+file:///w/harness#polder@0.1.0","manifest_path":"/w/harness/Cargo.toml","target":{"kind":["lib"],"name":"polder"},"profile":{"test":false},"executable":null}
{"reason":"build-finished","success":true}
not JSON
"#;
        let expected = [
            binary("polder", "it", "test", "/w/harness", "/t/it-1"),
            binary("ci", "x", "bin", "/w/ci", "/t/x-1"),
        ];
        assert_eq!(parse_messages(messages), expected);
    }

    #[test]
    fn every_target_runs_once() {
        let targets = [("polder", "lib"), ("it", "test"), ("demo", "test"), ("new", "test"), ("new", "test")];
        let all: Vec<Binary> = targets.map(|(target, kind)| binary("p", target, kind, "/w", "/t")).into();
        assert_eq!(chosen(&all, true), ["--test", "demo"]);
        assert_eq!(chosen(&all, false), ["--lib", "--bins", "--test", "it", "--test", "new"]);
    }
}
