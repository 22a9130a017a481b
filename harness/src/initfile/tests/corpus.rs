//! The texts of `good.txt` and `malformed.txt`, case by case.

use std::{env, path::Path};

use super::*;

/// One case: `=== title [--allow-unknown] [--var NAME=VALUE]`, an init file, further files each after a line
/// `@@@ name`, `>>>`, and what is said about it.
pub(super) struct Case {
    pub(super) title: String,
    rest: String,
    pub(super) text: String,
    pub(super) files: HashMap<PathBuf, String>,
    variables: BTreeMap<String, String>,
    pub(super) allow_unknown: bool,
    expected: String,
}

impl Case {
    fn new(case: &str) -> Self {
        let (title, rest) = case.split_once('\n').unwrap();
        let (rest, expected) = rest.split_once(">>>\n").unwrap();
        let words: Vec<&str> = title.split_whitespace().collect();
        let variables = words.windows(2).filter(|pair| pair[0] == "--var").map(|pair| {
            let (name, value) = pair[1].split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let all = format!("\n{}", rest.replace("<TAB>", "\t").replace("<CR>", "\r"));
        let mut parts = all.split("\n@@@ ");
        let text = parts.next().unwrap().trim_start_matches('\n').to_owned();
        let files = parts.map(|part| {
            let (name, text) = part.split_once('\n').unwrap();
            (Path::new("/lab").join(name), format!("{}\n", text.trim_end_matches('\n')))
        });
        Self {
            title: title.to_owned(),
            rest: rest.to_owned(),
            text,
            files: files.collect(),
            variables: variables.collect(),
            allow_unknown: words.contains(&"--allow-unknown"),
            expected: expected.trim_end().to_owned(),
        }
    }

    pub(super) fn read(&self) -> Result<Loaded, InitFileError> {
        read_with(&self.text, &self.files, &self.variables, self.allow_unknown)
    }

    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        match self.read() {
            Ok(loaded) => loaded.warnings,
            Err(InitFileError::Invalid(all)) => all,
            Err(InitFileError::Unreadable { .. }) => unreachable!("nothing is read"),
        }
    }
}

pub(super) fn good() -> Vec<Case> {
    cases(include_str!("good.txt"))
}

pub(super) fn malformed() -> Vec<Case> {
    cases(include_str!("malformed.txt"))
}

fn cases(all: &str) -> Vec<Case> {
    all.split("\n=== ").skip(1).map(Case::new).collect()
}

/// Holds every case against what is expected of it, or writes that down.
fn hold(name: &str, all: &str, good: bool) {
    let mut wrong = String::new();
    let mut blessed = all.split("\n=== ").next().unwrap().to_owned();
    for case in cases(all) {
        let got = listed(&case.diagnostics());
        let shown = format!("\n=== {}\n{}>>>\n{got}", case.title, case.rest);
        if got.trim_end() != case.expected || case.read().is_ok() != good {
            wrong.push_str(&shown);
        }
        blessed.push_str(&shown);
    }
    if env::var_os("POLDER_BLESS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/initfile/tests").join(name);
        fs::write(path, blessed).unwrap();
    }
    assert!(wrong.is_empty(), "these came out otherwise:\n{wrong}");
}

#[test]
fn malformed_files_say_what_is_wrong_and_where() {
    hold("malformed.txt", include_str!("malformed.txt"), false);
    assert!(malformed().len() >= 60, "only {} cases", malformed().len());
}

#[test]
fn good_files_are_accepted() {
    hold("good.txt", include_str!("good.txt"), true);
}

/// Every diagnostic names a place that is there.
#[test]
fn places_are_inside_their_files() {
    for case in malformed().iter().chain(&good()) {
        for d in case.diagnostics() {
            let text = match case.files.get(&Path::new("/lab").join(&d.file)) {
                Some(text) => text,
                None => &case.text,
            };
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            let mut lines: Vec<&str> = text.split('\n').collect();
            lines.push("");
            let line = lines.get(d.line - 1).unwrap_or_else(|| panic!("{d:?} in {}", case.title));
            assert!(d.column <= line.chars().count() + 1, "{d:?} in {}", case.title);
        }
    }
}
