//! Who may use whom: the ladder of `ARCHITECTURE.md`, checked by reading the paths the source names.
//! A new arrow is a change to that document first and to the table below second.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

use crate::{
    source::{self, Named},
    workspace::{self, Package},
};

/// One rung: a module uses the groups above its own.
struct Group {
    modules: &'static [&'static str],
    /// Whether the group is a ladder itself, lowest first; else its members may not use one another.
    ladder: bool,
}

const LADDER: &[Group] = &[
    Group { modules: &["base", "event", "trace"], ladder: true },
    Group { modules: &["config", "initfile", "workdir", "template", "image", "net"], ladder: false },
    Group { modules: &["change"], ladder: false },
    Group { modules: &["lab"], ladder: false },
    Group {
        modules: &["provider", "guest", "sysprep", "service", "artifact", "repo", "fault", "health"],
        ladder: false,
    },
    Group { modules: &["checkpoint"], ladder: false },
    Group { modules: &["env", "cvp"], ladder: false },
    Group { modules: &["driver"], ladder: false },
    Group { modules: &["reap"], ladder: false },
    Group { modules: &["suite", "report"], ladder: false },
    Group { modules: &["front", "cli"], ladder: true },
];

/// Files that see everything: the crate's root and what authors and generated code import.
const ROOTS: &[&str] = &["lib.rs", "prelude.rs", "private.rs"];

/// Files and folders with these names decide and never act.
const PURE: &[&str] = &[
    "spec",
    "plan",
    "schema",
    "check",
    "merge",
    "order",
    "model",
    "state_machine",
    "topology",
    "tree",
    "paths",
    "judge",
    "key",
    "xml",
];

/// What acting looks like: paths by their beginning.
const ACTING: &[&[&str]] =
    &[&["tokio"], &["std", "fs"], &["std", "process"], &["std", "env"], &["std", "net", "TcpStream"]];

/// What acting looks like: calls.
const CALLS: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    ".exists()",
    ".is_file()",
    ".is_dir()",
    ".canonicalize()",
    ".read_dir()",
    ".symlink_metadata()",
];

/// Which member may need which other one: (member, needed, also for its tests).
const CRATES: &[(&str, &[&str], &[&str])] = &[
    ("polder-macros", &[], &["polder"]),
    ("polder", &["polder-macros"], &["polder-macros"]),
    ("polder-fixtures", &["polder"], &["polder"]),
    ("polder-suites", &["polder", "polder-fixtures"], &["polder", "polder-fixtures"]),
    ("polder-ci", &[], &[]),
];

/// An arrow that may not be.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// The verb.
pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    Ok(ExitCode::SUCCESS)
}

/// Checks the harness's modules and the workspace's crates; fails with all findings printed.
pub(crate) fn check() -> Result<()> {
    let source = workspace::root().join("harness/src");
    let mut findings = vec![];
    let mut files = 0;
    for path in rust_files(&source)? {
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        findings.extend(findings_in(path.strip_prefix(&source).unwrap_or(&path), &text));
        files += 1;
    }
    findings.extend(wrong_crates(&workspace::metadata()?.packages));
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} arrows that the ladder in ARCHITECTURE.md does not have", findings.len());
    }
    println!("{files} files keep to the ladder");
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let context = || format!("could not read folder {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(context)? {
            let path = entry.with_context(context)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What is wrong in one file, given by its path below the crate's `src`.
fn findings_in(file: &Path, text: &str) -> Vec<Finding> {
    let names: Vec<String> =
        file.with_extension("").iter().map(|n| n.to_string_lossy().into_owned()).collect();
    let Some(module) = names.first().map(String::as_str) else {
        return vec![];
    };
    let is_root = names.len() == 1 && ROOTS.iter().any(|root| root.strip_suffix(".rs") == Some(module));
    if is_root || module == "bin" || names.last().is_some_and(|n| n == "tests") {
        return vec![];
    }
    let finding = |line, what| Finding { file: file.to_owned(), line, what };
    let Some(place) = place(module) else {
        return vec![finding(1, format!("module `{module}` is not on the ladder"))];
    };
    let code = source::code(text);
    let mut findings = vec![];
    for named in source::paths(&code, &["crate", "super"]) {
        if let Some(used) = top_module(&names, &named)
            && used != module
            && let Some(why) = forbidden(place, used)
        {
            findings.push(finding(named.line, format!("`{module}` may not use `{used}`: {why}")));
        }
    }
    if names.iter().any(|name| PURE.contains(&name.as_str())) {
        for named in source::paths(&code, &["tokio", "std"]) {
            if ACTING.iter().any(|acting| {
                named.path.iter().map(String::as_str).take(acting.len()).eq(acting.iter().copied())
            }) {
                findings.push(finding(named.line, format!("a pure file names `{}`", named.path.join("::"))));
            }
        }
        for (number, line) in code.lines().enumerate() {
            for call in CALLS.iter().filter(|call| line.contains(**call)) {
                findings.push(finding(number + 1, format!("a pure file calls `{call}`")));
            }
        }
    }
    findings
}

/// Group and position of a module.
fn place(module: &str) -> Option<(usize, usize)> {
    LADDER
        .iter()
        .enumerate()
        .find_map(|(group, rung)| Some((group, rung.modules.iter().position(|m| *m == module)?)))
}

/// Why the module at `place` may not use `used`, if it may not.
fn forbidden(place: (usize, usize), used: &str) -> Option<&'static str> {
    if ROOTS.iter().any(|root| root.strip_suffix(".rs") == Some(used)) {
        return Some("that is for authors and generated code");
    }
    let (group, position) = self::place(used)?;
    if group != place.0 {
        return (group > place.0).then_some("it is further down the ladder");
    }
    let ladder = LADDER.get(group).is_some_and(|g| g.ladder);
    (!ladder || position > place.1).then_some("it is a neighbour")
}

/// The top-level module a path leads to, from a file whose module path is `names`.
fn top_module<'a>(names: &[String], named: &'a Named) -> Option<&'a str> {
    let mut segments = named.path.iter().map(String::as_str).peekable();
    if segments.peek() == Some(&"crate") {
        return segments.nth(1);
    }
    let mut depth = names.len() - usize::from(names.last().is_some_and(|n| n == "mod"));
    while segments.next_if_eq(&"super").is_some() {
        depth = depth.checked_sub(1)?;
    }
    if depth == 0 { segments.next() } else { None }
}

/// Members that need a member they may not.
fn wrong_crates(packages: &[Package]) -> Vec<Finding> {
    let mut findings = vec![];
    for package in packages {
        let finding = |what| Finding { file: PathBuf::from(&package.name).join("Cargo.toml"), line: 1, what };
        let Some((_, normal, tests)) = CRATES.iter().find(|(name, ..)| *name == package.name) else {
            findings.push(finding("a crate that the table in ci/src/layers.rs does not know".to_owned()));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = CRATES.iter().any(|(name, ..)| *name == dependency.name);
            let allowed = if dependency.kind.as_deref() == Some("dev") { tests } else { normal };
            if ours && !allowed.contains(&dependency.name.as_str()) {
                findings.push(finding(format!("`{}` may not use `{}`", package.name, dependency.name)));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn check(file: &str, text: &str, expected: &[&str]) {
        let found: Vec<_> = findings_in(Path::new(file), text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{file}: {text}");
    }

    #[test]
    fn arrows_up_the_ladder_are_fine() {
        check(
            "lab/hermetic.rs",
            "use crate::{base::sys, event::Usage, net::NetPlan, lab::spec, Result};",
            &[],
        );
        check(
            "env/exec.rs",
            "use crate::{provider::Provider, guest, artifact, lab::Lab};\nuse super::plan;",
            &[],
        );
        check("event/mod.rs", "use crate::base::id::MachineName;", &[]);
        check("cli/cmd/up.rs", "use crate::front::main;", &[]);
        check("lib.rs", "pub use crate::front::main;", &[]);
        check("bin/polder.rs", "use polder::cli;", &[]);
        check("initfile/tests.rs", "use crate::env::Env;", &[]);
        check("initfile/mod.rs", "#[cfg(test)]\nmod tests { use crate::env::Env; }", &[]);
        check("lab/deep/file.rs", "use super::super::warden;", &[]);
    }

    #[test]
    fn other_arrows_are_not() {
        check(
            "lab/hermetic.rs",
            "use crate::base::sys;\nuse crate::{\n    net::NetPlan,\n    env::Env,\n};",
            &["lab/hermetic.rs:4: `lab` may not use `env`: it is further down the ladder"],
        );
        check(
            "guest/ssh.rs",
            "fn f() { crate::artifact::collect() }",
            &["guest/ssh.rs:1: `guest` may not use `artifact`: it is a neighbour"],
        );
        check(
            "base/wait.rs",
            "use crate::event::Usage;",
            &["base/wait.rs:1: `base` may not use `event`: it is a neighbour"],
        );
        check(
            "net/topology.rs",
            "use crate::prelude::*;",
            &["net/topology.rs:1: `net` may not use `prelude`: that is for authors and generated code"],
        );
        check(
            "guest/mod.rs",
            "use super::env::Env;",
            &["guest/mod.rs:1: `guest` may not use `env`: it is further down the ladder"],
        );
        check(
            "guest/ssh.rs",
            "use super::super::suite::Cx;",
            &["guest/ssh.rs:1: `guest` may not use `suite`: it is further down the ladder"],
        );
        check("misc/mod.rs", "", &["misc/mod.rs:1: module `misc` is not on the ladder"]);
    }

    #[test]
    fn pure_files_do_not_act() {
        check("env/plan.rs", "use std::{collections::BTreeMap, path::Path};\n// std::fs is elsewhere", &[]);
        check("env/exec.rs", "use std::fs;\nuse tokio::time;", &[]);
        check("env/plan.rs", "use std::{fs, path::Path};", &["env/plan.rs:1: a pure file names `std::fs`"]);
        check(
            "suite/order.rs",
            "fn f() {\n    let t = Instant::now();\n}",
            &["suite/order.rs:2: a pure file calls `Instant::now`"],
        );
        check(
            "initfile/check.rs",
            "fn f(p: &Path) -> bool { p.exists() }",
            &["initfile/check.rs:1: a pure file calls `.exists()`"],
        );
        check(
            "provider/libvirt/xml/domain.rs",
            "async fn f() { tokio::spawn(x) }",
            &["provider/libvirt/xml/domain.rs:1: a pure file names `tokio::spawn`"],
        );
    }

    #[test]
    fn crates_keep_to_their_arrows() {
        let package = |name: &str, needs: &[(&str, Option<&str>)]| Package {
            name: name.to_owned(),
            dependencies: needs
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
                .collect(),
        };
        let found = wrong_crates(&[
            package("polder", &[("polder-macros", None), ("serde", None), ("polder-fixtures", Some("dev"))]),
            package("polder-macros", &[("polder", Some("dev"))]),
            package("polder-ci", &[("polder", None)]),
            package("extra", &[]),
        ]);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "polder/Cargo.toml:1: `polder` may not use `polder-fixtures`",
                "polder-ci/Cargo.toml:1: `polder-ci` may not use `polder`",
                "extra/Cargo.toml:1: a crate that the table in ci/src/layers.rs does not know",
            ]
        );
    }
}
