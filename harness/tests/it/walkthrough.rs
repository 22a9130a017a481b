//! What the book has its reader do on machines: the tutorial from its beginning to its end, and the command by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    binary::beside_us,
    book::{
        crates,
        markdown::{self, Page},
        picture::svg,
    },
    screen::Terminal,
};

const LIMIT: Duration = Duration::from_secs(300);

/// The tutorial's test target; whoever runs us without cargo has let it be built before.
fn program(name: &str) -> PathBuf {
    if std::env::var_os("POLDER_TEST_PREBUILT").is_none() {
        crates::build();
    }
    beside_us(name)
}

fn numberless(line: &str) -> String {
    let mut out = String::new();
    for c in line.trim_end().chars() {
        match c {
            '0'..='9' if out.ends_with('0') => {}
            '0'..='9' => out.push('0'),
            c => out.push(c),
        }
    }
    out
}

/// Lines of the pages' `text run` blocks that `said` does not have: numbers may be others, and `…` stands for anything.
fn unsaid(pages: &[Page], said: &str) -> Vec<String> {
    let lines: Vec<String> = said.lines().map(numberless).collect();
    let is_said = |line: &str| {
        let line = numberless(line);
        let mut parts = line.split('…').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        lines.iter().any(|said| {
            let Some(mut tail) = (if rest.is_empty() {
                (*said == line).then_some("")
            } else {
                said.trim_start().strip_prefix(first.trim_start())
            }) else {
                return false;
            };
            rest.iter().all(|part| match tail.find(part) {
                Some(at) => {
                    tail = &tail[at + part.len()..];
                    true
                }
                None => false,
            })
        })
    };
    let blocks = pages
        .iter()
        .flat_map(|page| &page.blocks)
        .filter(|block| block.language == "text" && block.is("run"));
    blocks
        .flat_map(|block| block.text.lines().map(move |line| (block, line)))
        .filter(|(_, line)| !line.trim().is_empty() && line.trim() != "…" && !is_said(line))
        .map(|(block, line)| format!("{}: {line}", block.place))
        .collect()
}

fn pages_below(folder: &str) -> Vec<Page> {
    markdown::book().into_iter().filter(|page| page.path.starts_with(folder)).collect()
}

#[test]
fn lines_are_compared_but_for_their_numbers() {
    let page = |text: &str| [markdown::read("p.md", &format!("```text run\n{text}\n```\n"))];
    let said = "test a::b ... ok (12.1 s)\nleft in /tmp/x/a/b: error.txt, 12 items\n";
    assert_eq!(unsaid(&page("test a::b ... ok (0.1 s)\n…\nleft in …/a/b: error.txt, …"), said), [""; 0]);
    assert_eq!(unsaid(&page("test a::b ... FAILED\nleft in …/a/c: …"), said).len(), 2);
}

#[test]
fn the_tutorial_goes_as_it_says() {
    let program = program("hello");
    let mut terminal = Terminal::open((120, 110), &program, "", &[("RUST_BACKTRACE", "1")]).within(LIMIT);
    terminal.see(&["    a_reboot_keeps_the_page ", "reboot", "scenarios, "]);
    let picture = svg(&terminal.cells(), "Two machines and a suite that is under way");
    let code = terminal.wait();
    let screen = terminal.screen();
    assert_eq!(code, Some(101), "{screen}");
    assert_eq!(unsaid(&pages_below("docs/tutorial/"), &screen), [""; 0], "in\n{screen}");
    let report = fs::read_to_string(terminal.run().join("report.html")).unwrap();
    assert!(report.contains("the_page_says_goodbye"), "no failure on the page");
    let path = markdown::root().join("docs/images/run.svg");
    if std::env::var_os("POLDER_BLESS").is_some() {
        fs::write(&path, &picture).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    for word in ["test hello::the_page_says_hello ...", "a_reboot_keeps_the_page"] {
        assert!(kept.contains(word) && picture.contains(word), "no {word:?} in the picture:\n{picture}");
    }
}

#[test]
fn the_tutorials_suite_at_a_portal_passes() {
    let program = program("leafs");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POLDER_CVP_"))
    {
        command.env_remove(name);
    }
    command
        .env("POLDER_OUTPUT_DIR", folder.path())
        .env("POLDER_CACHE_DIR", folder.path())
        .env_remove("NEXTEST");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("test result: ok. 2 passed"), "{said}");
}

/// A project with labs of its own, which goes with what was started in it.
struct Project(tempfile::TempDir);

impl Project {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let programs = Path::new(env!("CARGO_BIN_EXE_polder")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(programs).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap()).env("XDG_CONFIG_HOME", self.0.path());
        command
            .env("POLDER_RUNTIME_DIR", self.0.path().join("labs"))
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ =
            self.command(env!("CARGO_BIN_EXE_polder")).args(["destroy", "--yes", "--all-prefixes"]).output();
    }
}

#[test]
fn the_command_does_by_hand_what_its_page_says() {
    let page = markdown::page("docs/how-to/command.md");
    let project = Project(tempfile::Builder::new().prefix("pw").tempdir_in("/var/tmp").unwrap());
    let mut script = String::from("set -eux -o pipefail\n");
    for block in &page.blocks {
        if let Some(path) = block.value("file") {
            let path = project.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &block.text).unwrap();
        } else if block.is("run") && block.language == "sh" {
            script.push_str(&block.text);
        }
    }
    let path = project.0.path().join("script");
    fs::write(&path, format!("exec 2>&1\n{script}")).unwrap();
    let output = project.command("bash").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(unsaid(&[page], &said), [""; 0], "in\n{said}");
    let left = project.command(env!("CARGO_BIN_EXE_polder")).args(["list", "-f", "json"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("default"), "the page leaves an environment");
}
