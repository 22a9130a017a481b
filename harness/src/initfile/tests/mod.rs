//! Whole init files: what good ones become (`good.txt`, `meaning.rs`), and what is said of bad ones (`malformed.txt`).
//! `POLDER_BLESS=1` writes what comes out into the two texts.

mod corpus;
mod hostile;
mod meaning;
mod schema;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Diagnostic, EnvSpec, InitFileError, Loaded, Options, Severity, Surroundings, fuzz_text, parse};

/// Reads `lab.yaml` among other files, in a folder `/lab` of a world where every file exists whose name does not say
/// otherwise.
fn read_with(
    text: &str,
    files: &HashMap<PathBuf, String>,
    variables: &BTreeMap<String, String>,
    allow_unknown: bool,
) -> Result<Loaded, InitFileError> {
    let env = |name: &str| match name {
        "ISOS" => Some("/isos".to_owned()),
        "HOSTED" => Some("https://images.test".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let check_file = |path: &Path| match path.to_string_lossy() {
        p if p.contains("missing") => Err(io::Error::from(io::ErrorKind::NotFound)),
        p if p.contains("secret") => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        _ => Ok(()),
    };
    let read_file = |path: &Path| {
        check_file(path)?;
        files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let surroundings = Surroundings {
        options: Options { env: &env, variables, allow_unknown },
        folder: Path::new("/lab"),
        check_file: &check_file,
        read_file: &read_file,
    };
    parse(Path::new("lab.yaml"), text, &surroundings)
}

fn read(text: &str) -> Result<EnvSpec, InitFileError> {
    read_with(text, &HashMap::new(), &BTreeMap::new(), false).map(|loaded| loaded.spec)
}

/// `[file:]line:column [warning] code >offending text< message; help`, one line for each.
fn listed(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for d in diagnostics {
        let file = Some(d.file.display()).filter(|f| f.to_string() != "lab.yaml");
        let file = file.map(|f| format!("{f}:")).unwrap_or_default();
        let kind = if d.severity == Severity::Warning { "warning " } else { "" };
        let help = d.help.as_ref().map(|h| format!("; {h}")).unwrap_or_default();
        let _ =
            writeln!(out, "{file}{}:{} {kind}{} >{}< {}{help}", d.line, d.column, d.code, d.text, d.message);
    }
    out
}
