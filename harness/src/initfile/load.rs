//! The doors to init files: from a path, or from a text that is already there.

use std::{
    fs::{self, File},
    io,
    path::{self, Path},
};

use super::{
    check::check,
    diagnostic::InitFileError,
    include,
    options::{Loaded, Options, Surroundings},
    problems::Problems,
};

/// Reads and checks an init file.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong with it.
pub fn load(path: &Path, options: &Options<'_>) -> Result<Loaded, InitFileError> {
    let unreadable = |source| InitFileError::Unreadable { path: path.to_owned(), source };
    load_text(path, &fs::read_to_string(path).map_err(unreadable)?, options)
}

/// Checks the text of the init file that lies, or lay when it was read, at `path`.
///
/// # Errors
/// As [`load`].
pub fn load_text(path: &Path, text: &str, options: &Options<'_>) -> Result<Loaded, InitFileError> {
    let absolute =
        path::absolute(path).map_err(|source| InitFileError::Unreadable { path: path.to_owned(), source })?;
    let folder = absolute.parent().unwrap_or(&absolute);
    let read_file = |path: &Path| fs::read_to_string(path);
    let surroundings =
        Surroundings { options: *options, folder, check_file: &check_file, read_file: &read_file };
    parse(path, text, &surroundings)
}

/// Checks the text of an init file; `origin` is how messages name it.
///
/// # Errors
/// With everything that is wrong with it.
pub fn parse(origin: &Path, text: &str, surroundings: &Surroundings<'_>) -> Result<Loaded, InitFileError> {
    let mut problems = Problems::new(surroundings.options.allow_unknown);
    let spec = include::whole(origin, text, surroundings, &mut problems)
        .and_then(|root| check(origin, &root, surroundings, &mut problems));
    problems.verdict(spec)
}

fn check_file(path: &Path) -> io::Result<()> {
    match File::open(path)?.metadata()? {
        metadata if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Ok(()),
    }
}
