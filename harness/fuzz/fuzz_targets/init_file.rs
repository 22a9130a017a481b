//! Any text as an init file, and as what it includes: an answer in the end, with places that are there.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use polder::initfile::{self, InitFileError, Options, Surroundings};

fuzz_target!(|text: &str| {
    let env = |name: &str| (name.len() % 2 == 0).then(|| name.to_lowercase());
    // The first half includes the second.
    let (first, second) = text.split_once("\n@@@\n").unwrap_or((text, ""));
    let surroundings = Surroundings {
        options: Options { allow_unknown: text.len() % 2 == 0, ..Options::new(&env) },
        folder: Path::new("/lab"),
        check_file: &|_| Ok(()),
        read_file: &|_| Ok(second.to_owned()),
    };
    let diagnostics = match initfile::parse(Path::new("lab.yaml"), first, &surroundings) {
        Ok(loaded) => loaded.warnings,
        Err(InitFileError::Invalid(all)) => {
            assert!(!all.is_empty());
            all
        }
        Err(InitFileError::Unreadable { .. }) => unreachable!("nothing is read"),
    };
    for d in &diagnostics {
        let text = if d.file == Path::new("lab.yaml") { first } else { second };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let line = text.split('\n').nth(d.line - 1).unwrap_or_default();
        assert!(d.column <= line.chars().count() + 1, "{d:?}");
    }
    let _ = initfile::render(&diagnostics, false);
});
