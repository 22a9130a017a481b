//! What the book has its reader do on machines: the tutorial from its beginning to its end, and the command by hand.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    binary::beside_us,
    book::{
        blocks::surround,
        crates,
        markdown::{self, Page},
        picture::svg,
        session::{Session, is_run},
    },
    screen::Terminal,
};

/// For a run of the suite.
const LIMIT: Duration = Duration::from_secs(300);

/// The tutorial's test target; whoever runs us without cargo has let it be built before.
pub(crate) fn program(name: &str) -> PathBuf {
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
pub(crate) fn unsaid(pages: &[Page], said: &str) -> Vec<String> {
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
    let [hello, leafs] = ["hello", "leafs"].map(program);
    let mut terminal = Terminal::open((120, 110), &hello, "", &[("RUST_BACKTRACE", "1")]).within(LIMIT);
    terminal.see(&["    a_reboot_keeps_the_page ", "reboot", "scenarios, "]);
    let picture = svg(&terminal.cells(), "Two machines and a suite that is under way");
    let code = terminal.wait();
    let screen = terminal.screen();
    assert_eq!(code, Some(101), "{screen}");
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
    let mut pages: Vec<Page> = OF_SUITES.iter().map(|path| markdown::page(path)).collect();
    let mut session = Session::new(&[("hello", hello), ("leafs", leafs)]);
    session.has_run(&["cargo test --test hello", "RUST_BACKTRACE=1 cargo test --test hello"], &screen);
    session.run(session.command("bash"), "", pages.iter().flat_map(|page| &page.blocks));
    pages.extend(pages_below("docs/tutorial/"));
    assert_eq!(unsaid(&pages, &session.said), [""; 0], "in\n{}", session.said);
    assert!(session.said.contains("test result: ok. 2 passed"), "{}", session.said);
}

/// Pages whose lines are typed where those of `command.md` have made an environment, before they end it.
const BY_HAND: &[&str] = &["docs/how-to/states.md", "docs/how-to/packages.md", "docs/how-to/images.md"];

/// Pages whose lines run the tutorial's suites, in the order in which they are typed.
const OF_SUITES: &[&str] = &[
    "docs/tutorial/index.md",
    "docs/tutorial/first-suite.md",
    "docs/tutorial/failure.md",
    "docs/how-to/failed-environment.md",
    "docs/how-to/debug.md",
    "docs/how-to/ci.md",
    "docs/tutorial/portal.md",
];

/// Whether the lines of the page are typed here.
pub(crate) fn runs(page: &str) -> bool {
    page == COMMAND || BY_HAND.contains(&page) || OF_SUITES.contains(&page)
}

const COMMAND: &str = "docs/how-to/command.md";

#[test]
fn the_command_does_by_hand_what_its_page_says() {
    let pages: Vec<Page> = [COMMAND].iter().chain(BY_HAND).map(|path| markdown::page(path)).collect();
    let (command, others) = pages.split_first().unwrap();
    let end = command.blocks.iter().rposition(is_run).unwrap();
    let (begin, end) = command.blocks.split_at(end);
    let mut session = Session::new(&[("hello", "hello".into())]);
    surround(session.path());
    let blocks = begin.iter().chain(others.iter().flat_map(|page| &page.blocks)).chain(end);
    session.run(session.command("bash"), "", blocks);
    assert_eq!(unsaid(&pages, &session.said), [""; 0], "in\n{}", session.said);
    assert!(!session.said.contains("no client/_etc_hostname"), "{}", session.said);
    let left = session.command(env!("CARGO_BIN_EXE_polder")).args(["list", "-f", "json"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains("default"), "the page leaves an environment");
}
