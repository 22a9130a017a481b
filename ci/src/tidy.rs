//! Habits that no compiler checks. Rules are data where they can be; add one when a review says the same thing twice.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::{command, source, workspace};

/// Lines of a source file before its unit tests; beyond that it holds a second idea.
const LONGEST: usize = 600;

/// Words that mean "not done": they belong into an issue.
const MARKS: &[&str] = &["TODO", "FIXME", "XXX"];

/// Macros that are not for code that is kept.
const MACROS: &[&str] = &["todo!", "dbg!", "unimplemented!"];

/// Folders of the machines this is written on; nobody else has them.
const FOREIGN: &[&str] = &[
    "/work/",
    "/root/.cargo",
    "/root/.rustup",
    "/tmp/w/",
    "/tmp/briefs",
];

/// This file names what it looks for.
const THIS: &str = "ci/src/tidy.rs";

/// Compared byte for byte by other tools, or another's words.
const VERBATIM: &[&str] = &[".stderr", ".stdout", ".snap", ".diff", ".lock", "LICENSE-APACHE"];

/// What the README says runs the tests, and `.ci/run` runs.
const TEST_COMMAND: &str = "cargo ci test";

/// The verb.
pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    Ok(ExitCode::SUCCESS)
}

/// Checks every file git tracks or would track; fails with all findings printed.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let mut git = command::command(&[
        "git",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let listed = command::output(git.current_dir(root))?;
    let mut findings = vec![];
    let mut files = 0;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(name);
        // Deleted but not yet committed, or a symbolic link to a folder: nothing to read.
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("could not read {name}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            findings.extend(
                findings_in(name, &text)
                    .into_iter()
                    .map(|(line, what)| format!("{name}:{line}: {what}")),
            );
        }
        files += 1;
    }
    let read =
        |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("could not read {name}"));
    findings.extend(same_command(&read(".ci/run")?, &read("README.md")?));
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} untidy places", findings.len());
    }
    println!("{files} files are tidy");
    Ok(())
}

/// What is untidy in one file: line and words.
fn findings_in(name: &str, text: &str) -> Vec<(usize, String)> {
    let mut findings = vec![];
    if name == THIS || VERBATIM.iter().any(|end| name.ends_with(end)) {
        return findings;
    }
    // Not `lines()`, which hides carriage returns.
    for (number, line) in text.split('\n').enumerate() {
        let mut say = |what| findings.push((number + 1, what));
        if line.ends_with([' ', '\t', '\r']) {
            say("white space at the end of the line".to_owned());
        }
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            say(format!("`{mark}`: do it, or open an issue"));
        }
        if let Some(path) = FOREIGN.iter().find(|path| line.contains(**path)) {
            say(format!("`{path}` exists on one machine only"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push((
            text.lines().count(),
            "no line end at the end of the file".to_owned(),
        ));
    }
    if Path::new(name).extension().is_some_and(|e| e == "rs") {
        findings.extend(rust_findings(name, text));
    }
    findings
}

fn rust_findings(name: &str, text: &str) -> Vec<(usize, String)> {
    let mut findings = vec![];
    // Inputs of compile-fail tests are what authors would write.
    let written_by_authors = name.contains("/tests/ui/");
    if !written_by_authors && !text.starts_with("//!") {
        findings.push((
            1,
            "the first line is not `//!`: say what the file is for, and what not".to_owned(),
        ));
    }
    let code = source::code(text);
    for (number, line) in code.lines().enumerate() {
        if let Some(name) = MACROS.iter().find(|name| line.contains(**name)) {
            findings.push((number + 1, format!("`{name}` is not for code that is kept")));
        }
    }
    let own = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if !name.contains("/tests/") && own > LONGEST {
        findings.push((
            LONGEST,
            format!("{own} lines, {LONGEST} are the limit: look for the second idea"),
        ));
    }
    findings
}

/// Whether the file the hosting service runs and the README agree.
fn same_command(run: &str, readme: &str) -> Option<String> {
    let runs = run
        .lines()
        .any(|line| line.trim() == format!("exec {TEST_COMMAND}"));
    let says = readme
        .lines()
        .any(|line| line.split('#').next().is_some_and(|l| l.trim() == TEST_COMMAND));
    (!runs || !says).then(|| format!(".ci/run and README.md must both run `{TEST_COMMAND}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &[(usize, &str)]) {
        let found = findings_in(name, text);
        assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
        for ((line, what), (expected_line, fragment)) in found.iter().zip(expected) {
            assert!(
                line == expected_line && what.contains(fragment),
                "{name}: {found:?}"
            );
        }
    }

    #[test]
    fn tidy_files_pass() {
        check(
            "a/src/x.rs",
            "//! What for.\nfn f() { todo(); }\n// mktemp XXXXXX\n",
            &[],
        );
        check("a/tests/ui/x.rs", "fn main() {}\n", &[]);
        check("a/tests/ui/x.stderr", "error  \n  |  ", &[]);
        check("README.md", "text\n", &[]);
        check("empty", "", &[]);
        let tested = format!(
            "//! x\n{}#[cfg(test)]\n{}",
            "fn f() {}\n".repeat(500),
            "//\n".repeat(500)
        );
        check("a/src/x.rs", &tested, &[]);
    }

    #[test]
    fn untidy_places_are_named() {
        check("a/src/x.rs", "fn f() {}\n", &[(1, "//!")]);
        check("a.sh", "echo \nx\r\n", &[(1, "white space"), (2, "white space")]);
        check(
            "a.md",
            "one\n- TODO: two\nXXX three",
            &[(2, "TODO"), (3, "XXX"), (3, "no line end")],
        );
        check(
            "a/src/x.rs",
            "//! x\nfn f() { dbg!(1); todo!() }\n",
            &[(2, "todo!")],
        );
        check(
            "a/src/x.rs",
            "//! x\n#[cfg(test)]\nmod t { fn f() { dbg!(1) } }\n",
            &[],
        );
        check("a.yaml", "path: /work/main\n", &[(1, "one machine only")]);
        check(
            "a/src/x.rs",
            &format!("//! x\n{}", "fn f() {}\n".repeat(600)),
            &[(600, "601 lines")],
        );
    }

    #[test]
    fn the_service_runs_what_the_readme_says() {
        let readme = "```sh\ncargo ci test    # everything\n```\n";
        assert_eq!(same_command("#!/bin/sh\nexec cargo ci test\n", readme), None);
        assert!(same_command("#!/bin/sh\nexec cargo test\n", readme).is_some());
        assert!(same_command("#!/bin/sh\nexec cargo ci test\n", "run cargo ci test\n").is_some());
    }
}
