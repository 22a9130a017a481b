//! Messages that `docs/troubleshooting.md` explains: what does not change of each stands in the source.

use std::{fs, path::Path};

use super::markdown::{page, root};

/// The sources of one folder as texts, as the messages in them read: lines joined, values as `…`.
fn sources(folder: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "sh") {
            all.push(as_read(&fs::read_to_string(path).unwrap()));
        }
    }
}

fn as_read(text: &str) -> String {
    let mut read = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        match line.strip_suffix('\\') {
            Some(line) => {
                read.push_str(line);
                if let Some(next) = lines.peek_mut() {
                    *next = next.trim_start();
                }
            }
            None => {
                read.push_str(line);
                read.push('\n');
            }
        }
    }
    let mut plain = String::new();
    let mut rest = read.replace("\\\"", "\"").replace('`', "");
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        rest = match after.split_once('}') {
            Some((value, after)) if value.len() < 40 && !value.contains(['\n', ';']) => {
                plain.push('…');
                after.to_owned()
            }
            _ => {
                plain.push('{');
                after.to_owned()
            }
        };
    }
    plain + &rest
}

/// Whether all that is fixed of a message stands in one source.
fn stands_in(message: &str, sources: &[String]) -> bool {
    let parts: Vec<&str> = message.split('…').map(str::trim).filter(|part| !part.is_empty()).collect();
    let is_said = parts.iter().any(|part| part.len() >= 9);
    is_said && sources.iter().any(|source| parts.iter().all(|part| source.contains(part)))
}

#[test]
fn every_message_that_is_explained_is_one_that_is_said() {
    let mut all = vec![];
    for folder in ["harness/src", "macros/src", "ci/src"] {
        sources(&root().join(folder), &mut all);
    }
    let messages: Vec<_> = page("docs/troubleshooting.md")
        .headings
        .into_iter()
        .filter(|heading| heading.text.contains(' '))
        .collect();
    // Sections have headings of one or two words that no program says.
    let told: Vec<_> = messages.iter().filter(|heading| heading.text.split(' ').count() > 3).collect();
    let wrong: Vec<_> = told
        .iter()
        .filter(|heading| !stands_in(&heading.text, &all))
        .map(|heading| format!("docs/troubleshooting.md:{}: nobody says {:?}", heading.number, heading.text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(told.len() >= 25, "{} messages", told.len());
}

#[test]
fn messages_are_found_however_they_are_written() {
    let source = as_read(
        "#[error(\n \"cannot read `{}`: \\\n    is \\\"it\\\" {there}?\",\n path)]\nfn f() {\n g();\n}\n",
    );
    assert!(stands_in("cannot read …: is \"it\" …?", std::slice::from_ref(&source)), "{source}");
    assert!(!stands_in("cannot write …", std::slice::from_ref(&source)));
    assert!(!stands_in("is …", std::slice::from_ref(&source)), "too little to be found");
}
