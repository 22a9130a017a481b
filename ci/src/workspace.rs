//! Where this workspace and what is built from it lie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command;

/// The workspace's root folder.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// What cargo knows about the workspace.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
    /// The members.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// What it needs.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency of a member.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// The package needed.
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// Asks cargo, without the network.
pub(crate) fn metadata() -> Result<Metadata> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let text = command::output(command::cargo(&arguments).current_dir(root()))?;
    serde_json::from_str(&text).context("could not read what `cargo metadata` says")
}

/// Where the harness keeps images and what else it has made, when whoever runs us runs it.
pub(crate) fn cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let shared = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    folder("POLDER_CACHE_DIR").or_else(|| Some(shared?.join("polder")))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use serde_json::Value;

    use super::*;

    /// What is for others; the rest is the workspace's own.
    const PUBLISHED: [&str; 3] = ["polder", "polder-fixtures", "polder-macros"];

    fn packages() -> Vec<Value> {
        let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
        let text = command::output(command::cargo(&arguments).current_dir(root())).unwrap();
        let mut said: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(said["packages"].take()).unwrap()
    }

    #[test]
    fn what_is_published_says_what_it_is() {
        let mut published = BTreeSet::new();
        for package in packages() {
            let name = package["name"].as_str().unwrap();
            // No registry at all, or any.
            if package["publish"] == serde_json::json!([]) {
                continue;
            }
            published.insert(name.to_owned());
            for key in ["description", "license", "readme", "rust_version"] {
                assert!(package[key].is_string(), "{name} has no {key}");
            }
            for key in ["keywords", "categories"] {
                assert!(package[key].as_array().is_some_and(|all| !all.is_empty()), "{name} has no {key}");
            }
            assert_eq!(package["metadata"]["docs"]["rs"]["all-features"], true, "{name}");
            // A path alone is not there any more once it is published.
            for dependency in package["dependencies"].as_array().unwrap() {
                assert!(dependency["req"] != "*", "{name} takes any version of {}", dependency["name"]);
            }
        }
        assert_eq!(published.iter().map(String::as_str).collect::<Vec<_>>(), PUBLISHED);
    }

    /// The files that sources have compiled in, as written.
    fn included(text: &str) -> Vec<String> {
        let after = |start: &'static str| {
            let found = text.match_indices(start).map(move |(at, _)| &text[at + start.len()..]);
            found.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        };
        after("include_str!(\"").chain(after("include_bytes!(\"")).collect()
    }

    #[test]
    fn packages_hold_all_that_is_compiled_into_them() {
        assert_eq!(
            included("include_str!(\"a\") include_bytes!(\"../b\") include_str!(name)"),
            ["a", "../b"]
        );
        let mut seen = 0;
        for package in packages() {
            let name = package["name"].as_str().unwrap();
            if !PUBLISHED.contains(&name) {
                continue;
            }
            let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
            let arguments = ["package", "--list", "--allow-dirty", "--offline", "--package", name];
            let listed = command::output(command::cargo(&arguments).current_dir(root())).unwrap();
            let listed: BTreeSet<&str> = listed.lines().collect();
            for file in ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"] {
                assert!(listed.contains(file), "{name} has no {file}");
            }
            for file in listed.iter().filter(|file| file.starts_with("src/") && file.ends_with(".rs")) {
                for other in included(&fs::read_to_string(folder.join(file)).unwrap()) {
                    let mut path: Vec<&str> = file.split('/').collect();
                    path.pop();
                    for part in other.split('/') {
                        if part == ".." {
                            path.pop();
                        } else {
                            path.push(part);
                        }
                    }
                    let path = path.join("/");
                    assert!(listed.contains(path.as_str()), "{name}: {file} has {path}, which is not packed");
                    seen += 1;
                }
            }
        }
        assert!(seen > 10, "{seen} files are compiled in");
    }
}
