//! What a fuzzer does with a text; here, so that it is compiled and tried with everything else.

use std::path::Path;

use super::{InitFileError, Options, Surroundings, parse, render};

/// Reads any text as an init file that includes another one, the text behind a line `@@@`.
///
/// # Errors
/// What is wrong with the answer, whatever it is.
#[doc(hidden)]
pub fn fuzz_text(text: &str) -> Result<(), String> {
    let env = |name: &str| name.len().is_multiple_of(2).then(|| name.to_lowercase());
    let (first, second) = text.split_once("\n@@@\n").unwrap_or((text, ""));
    let surroundings = Surroundings {
        options: Options { allow_unknown: text.len().is_multiple_of(2), ..Options::new(&env) },
        folder: Path::new("/lab"),
        check_file: &|_| Ok(()),
        read_file: &|_| Ok(second.to_owned()),
    };
    let diagnostics = match parse(Path::new("lab.yaml"), first, &surroundings) {
        Ok(loaded) => loaded.warnings,
        Err(InitFileError::Invalid(all)) if all.is_empty() => return Err("no reason is given".to_owned()),
        Err(InitFileError::Invalid(all)) => all,
        Err(error @ InitFileError::Unreadable { .. }) => {
            return Err(format!("nothing is to be read: {error}"));
        }
    };
    for d in &diagnostics {
        let text = if d.file == Path::new("lab.yaml") { first } else { second };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let line = d.line.checked_sub(1).and_then(|nth| text.split('\n').nth(nth)).unwrap_or_default();
        if d.column > line.chars().count() + 1 {
            return Err(format!("it is nowhere: {d:?}"));
        }
    }
    let _ = render(&diagnostics, false);
    Ok(())
}
