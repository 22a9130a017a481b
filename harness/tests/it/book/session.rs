//! Blocks of `sh` as people type them: those of a page run one after another, in a folder of their own. Pages that need no machines
//! run here; `walkthrough` has the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    blocks,
    markdown::{Block, Page, pages},
};
use crate::walkthrough;

/// What stands behind `sh` where a block is not run, and what that means.
const NOT_RUN: &[(&str, &str)] = &[
    ("root", "it changes the host, as root"),
    ("away", "it asks servers or devices that are elsewhere"),
    ("long", "it builds or tests all of Polder"),
    ("person", "somebody has to look or press a key"),
    ("yours", "it names what only its reader has"),
    ("cargo", "cargo does it, and machines are there where cargo is not"),
];

/// How many blocks are not run. One more needs a reason that is better than work.
const AT_MOST: usize = 18;

/// What else a page's session begins with, by the page.
const BEFORE: &[(&str, &str)] = &[
    ("docs/reports.md", "cargo test\nln -s target/polder/latest RUN\n"),
    // The portal that the page calls `cvp.example`, in a network and with names of its own.
    (
        "docs/migrating/configlet-uploader.md",
        r#"
echo '127.0.0.1 cvp.example' > hosts
mount --bind hosts /etc/hosts
echo '{"version": 1, "devices": {"00:1c:73:aa:00:01": {"hostname": "sw1", "ip": "192.0.2.1", "unmanaged": "",
    "placement": {"container": "root"}}}}' > state.json
polder cvp serve --listen 127.0.0.1:443 --user ops --password secret --state state.json > portal.txt &
trap "kill $!" EXIT
until grep -q url portal.txt; do kill -0 $!; sleep 0.1; done
export CERT_VALIDATION=false
"#,
    ),
];

/// A folder in which lines are typed, with labs of its own, which goes with what was started in it.
pub(crate) struct Session {
    folder: tempfile::TempDir,
    /// Lines that were run.
    done: BTreeSet<String>,
    /// What they said.
    pub(crate) said: String,
}

impl Session {
    /// One in which `cargo test` runs `suites`, by the names of their targets, without building them again.
    pub(crate) fn new(suites: &[(&str, PathBuf)]) -> Self {
        let folder = tempfile::Builder::new().prefix("pw").tempdir_in("/var/tmp").unwrap();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let mut script = String::from("#!/bin/bash\n[ \"$1\" = test ] || exec \"$CARGO\" \"$@\"\nshift\n");
        for (name, program) in suites {
            let program = program.display();
            let _ = writeln!(
                script,
                "if [ \"$1 $2\" = '--test {name}' ]; then shift 2; [ $# = 0 ] || shift; exec {program} \"$@\"; fi"
            );
        }
        let first = suites[0].1.display();
        let _ = writeln!(script, "[ \"$1\" != --test ] || exit 64\n[ $# = 0 ] || shift\nexec {first} \"$@\"");
        let cargo = programs.join("cargo");
        fs::write(&cargo, script).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, done: BTreeSet::new(), said: String::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A program that stands in the folder and finds ours.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let ours = Path::new(env!("CARGO_BIN_EXE_polder")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.path().join("programs"), ours].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap()).env("XDG_CONFIG_HOME", self.path());
        let is_ours = |name: &str| {
            ["POLDER_CVP_", "GITHUB_", "GITLAB_", "NEXTEST"].iter().any(|start| name.starts_with(start))
        };
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_ours) {
                command.env_remove(name);
            }
        }
        command
            .env("CARGO", env!("CARGO"))
            .env("POLDER_OUTPUT_DIR", self.path().join("target/polder"))
            .env("POLDER_RUNTIME_DIR", self.path().join("labs"))
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Takes these lines for run, with what they said.
    pub(crate) fn has_run(&mut self, lines: &[&str], said: &str) {
        self.done.extend(lines.iter().map(|line| (*line).to_owned()));
        self.said.push_str(said);
    }

    /// Writes the files of pages, then runs their blocks in one shell that `program` is or starts. A line that was run in
    /// this session is not run again.
    pub(crate) fn run<'a>(
        &mut self,
        mut program: Command,
        before: &str,
        blocks: impl Iterator<Item = &'a Block>,
    ) {
        let mut script = format!("exec 2>&1\nset -eux -o pipefail\n{before}");
        for block in blocks {
            if let Some(path) = block.value("file") {
                let path = self.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &block.text).unwrap();
            } else if is_run(block) {
                let _ = writeln!(script, ": {}", block.place);
                let new: Vec<_> =
                    block.text.lines().filter(|line| self.done.insert((*line).to_owned())).collect();
                script.push_str(&typed(block, &new));
            }
        }
        let path = self.path().join("script");
        fs::write(&path, script).unwrap();
        let output = program.arg(&path).output().unwrap();
        self.said.push_str(&String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", self.said);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ =
            self.command(env!("CARGO_BIN_EXE_polder")).args(["destroy", "--yes", "--all-prefixes"]).output();
    }
}

pub(crate) fn is_run(block: &Block) -> bool {
    block.language == "sh" && (block.is("run") || block.is("serve"))
}

/// The lines as a script has them. One that serves until it is stopped is stopped when it has said something; what runs tests
/// of which one is to fail may end as that does.
fn typed(block: &Block, lines: &[&str]) -> String {
    let mut script = String::new();
    for line in lines {
        let _ = if block.is("serve") {
            writeln!(
                script,
                "coproc SERVER {{ exec 2>&1 {line}\n}}\nserver=$SERVER_PID\nread -r -t 60 answer <&\"${{SERVER[0]}}\"\n\
                 echo \"$answer\"\nkill $server\nwait $server"
            )
        } else if block.is("failed") && line.contains("cargo test") {
            writeln!(script, "{line} || test $? = 101")
        } else {
            writeln!(script, "{line}")
        };
    }
    script
}

/// A network and mounts of its own for what serves at a port that is named.
fn alone() -> (&'static str, Vec<&'static str>) {
    let mut args = vec!["--net", "--mount", "bash"];
    if !rustix::process::getuid().is_root() {
        args.insert(0, "--map-root-user");
    }
    ("unshare", args)
}

fn here(page: &&Page) -> bool {
    page.blocks.iter().any(is_run) && !walkthrough::runs(&page.path)
}

#[test]
fn what_pages_have_typed_without_machines_goes() {
    let suite = walkthrough::program("leafs");
    let mut failed = vec![];
    let pages = pages();
    for page in pages.iter().filter(here) {
        let gone = std::panic::catch_unwind(|| {
            let mut session = Session::new(&[("leafs", suite.clone())]);
            blocks::surround(session.path());
            let (program, args) = alone();
            let mut shell = session.command(program);
            // Not those of whoever runs this, which the lines would tell of and remove.
            shell.args(args).env("POLDER_CACHE_DIR", session.path().join("cache"));
            let before = BEFORE.iter().find(|(path, _)| *path == page.path).map_or("", |(_, lines)| lines);
            session.run(shell, &format!("ip link set lo up\n{before}"), page.blocks.iter());
            let unsaid = walkthrough::unsaid(std::slice::from_ref(page), &session.said);
            assert!(unsaid.is_empty(), "{unsaid:?} in\n{}", session.said);
        });
        failed.extend(gone.is_err().then_some(&page.path));
    }
    assert!(failed.is_empty(), "{failed:?}, see above");
}

#[test]
fn every_block_that_is_typed_is_run_or_says_why_not() {
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| &page.blocks).filter(|block| block.language == "sh");
    let (mut run, mut not) = (0, BTreeMap::<&str, Vec<&str>>::new());
    for block in blocks {
        let reasons: Vec<_> = NOT_RUN.iter().filter(|(word, _)| block.is(word)).collect();
        assert_eq!(reasons.len() + usize::from(is_run(block)), 1, "{}: run, or why not?", block.place);
        match reasons.first() {
            Some((_, why)) => not.entry(why).or_default().push(&block.place),
            None => run += 1,
        }
    }
    let number: usize = not.values().map(Vec::len).sum();
    println!("{run} blocks are run, {number} are not: {not:#?}");
    assert!(run >= 35 && number <= AT_MOST, "{run} blocks are run, {number} are not: {not:#?}");
}
