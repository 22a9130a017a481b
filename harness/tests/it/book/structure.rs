//! Whether the book holds together: its summary, links, and how each block says what it is.

use std::{collections::BTreeSet, path::Path};

use super::markdown::{Page, book, page, pages, root};

/// Languages of blocks, and the words that may stand behind each; those that end with `=` have a value.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("rust", &["part", "steps", "file=", "add="]),
    ("yaml", &["part", "changes", "recipe", "file=", "other"]),
    ("toml", &["config", "file=", "add="]),
    ("json", &["jobs", "state", "event", "file="]),
    ("xml", &["changes", "file="]),
    ("sh", &["run", "serve", "failed", "root", "away", "long", "person", "yours", "cargo"]),
    ("text", &["run"]),
];

/// What is wrong with one page's links.
fn wrong_links(page: &Page, all: &[Page]) -> Vec<String> {
    let folder = Path::new(&page.path).parent().unwrap().to_owned();
    let wrong = |link: &str| -> Option<String> {
        if link.starts_with("https://") || link.starts_with("http://") {
            return None;
        }
        let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
        let target = if path.is_empty() { page.path.clone() } else { joined(&folder, path)? };
        if !root().join(&target).exists() {
            return Some(format!("{target} is not there"));
        }
        let anchor = anchor?;
        let known = all
            .iter()
            .find(|one| one.path == target)
            .is_some_and(|one| one.anchors.iter().any(|a| a == anchor));
        (!known).then(|| format!("{target} has no heading `#{anchor}`"))
    };
    let found = page.links.iter().filter_map(|link| {
        let why = wrong(&link.text)?;
        Some(format!("{}:{}: the link {:?} leads nowhere: {why}", page.path, link.number, link.text))
    });
    found.collect()
}

/// The path from the root of the repository.
fn joined(folder: &Path, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.to_str()?.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn every_link_leads_somewhere() {
    let all = pages();
    let wrong: Vec<String> = all.iter().flat_map(|page| wrong_links(page, &all)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_told() {
    let read = |text: &str| super::markdown::read("docs/suites.md", text);
    let all = [read("# One two\n")];
    let told = |text: &str| wrong_links(&read(text), &all).concat();
    assert_eq!(told("[a](#one-two) [b](../README.md) [c](events.md) [d](https://example.com)"), "");
    assert!(told("\n[a](#three)").starts_with("docs/suites.md:2: the link \"#three\""));
    assert!(told("[a](nowhere.md)").contains("docs/nowhere.md is not there"));
    assert!(told("[a](suites.md#one)").contains("no heading `#one`"));
}

#[test]
fn the_summary_has_every_page_once_and_no_other() {
    let linked: Vec<String> =
        page("docs/SUMMARY.md").links.into_iter().map(|link| format!("docs/{}", link.text)).collect();
    let in_summary: BTreeSet<String> = linked.iter().cloned().collect();
    assert_eq!(in_summary.len(), linked.len(), "a page is in the summary twice: {linked:?}");
    let there: BTreeSet<String> =
        book().into_iter().map(|page| page.path).filter(|path| path != "docs/SUMMARY.md").collect();
    let missing: Vec<_> = there.symmetric_difference(&in_summary).collect();
    assert!(missing.is_empty(), "only in docs/ or only in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn paths_in_the_map_are_there() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let is_path = |word: &&str| {
        word.contains('/') && [".rs", ".md", ".toml", ".js"].iter().any(|end| word.ends_with(end))
    };
    let paths: Vec<&str> =
        text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path).collect();
    let is_there = |path: &&&str| {
        ["", "harness/src", "harness/tests/it", "docs"].iter().any(|at| root().join(at).join(path).exists())
    };
    let wrong: Vec<_> = paths.iter().filter(|path| !is_there(path)).collect();
    assert!(paths.len() > 40 && wrong.is_empty(), "of {} paths these are not there: {wrong:?}", paths.len());
}

/// mdBook takes a link to a page out of the book for one to a page of HTML.
#[test]
fn the_book_stands_alone() {
    let leaves = |page: &Page, link: &str| {
        let path = link.split('#').next().unwrap();
        let target = joined(Path::new(&page.path).parent().unwrap(), path);
        !link.starts_with("http") && target.is_none_or(|target| !target.starts_with("docs"))
    };
    for page in book() {
        for link in &page.links {
            assert!(
                !leaves(&page, &link.text),
                "{}:{}: {} is not in the book",
                page.path,
                link.number,
                link.text
            );
        }
    }
}

#[test]
fn every_block_says_how_it_is_checked() {
    let wrong = |language: &str, words: &[String]| {
        let Some((_, known)) = LANGUAGES.iter().find(|(name, _)| *name == language) else {
            return Some(format!("the language {language:?} is not among those that are checked"));
        };
        let is_known = |word: &&String| {
            let name = word.split_inclusive('=').next().unwrap();
            known.contains(&name)
        };
        let odd: Vec<_> = words.iter().filter(|word| !is_known(word)).collect();
        (!odd.is_empty()).then(|| format!("{odd:?} mean nothing behind `{language}`"))
    };
    let found: Vec<String> = pages()
        .iter()
        .flat_map(|page| &page.blocks)
        .filter_map(|block| Some(format!("{}: {}", block.place, wrong(&block.language, &block.words)?)))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(wrong("", &[]).is_some() && wrong("yaml", &["prat".to_owned()]).is_some());
    assert!(wrong("yaml", &["file=x".to_owned(), "part".to_owned()]).is_none());
}
