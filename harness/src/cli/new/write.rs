//! Writes the files of a new suite: a new package appears at once, whole; nothing is overwritten that was not read before.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, OFlags};

use super::{
    error::{NewError, at},
    plan::{Entry, Kind, Plan},
};

/// What was done.
#[derive(Debug, Default)]
pub(in crate::cli) struct Made {
    /// Files that are new, or were changed.
    pub(in crate::cli) made: Vec<PathBuf>,
    /// Files that were there and stay as they are.
    pub(in crate::cli) kept: Vec<PathBuf>,
}

/// Writes all files of `plan`, but for those that are there as they should be.
///
/// # Errors
/// [`NewError::InTheWay`] with all files that would be overwritten: then nothing is written. What the system said; then a new
/// package is not there, and calling it again goes on.
pub(in crate::cli) fn write(plan: &Plan) -> Result<Made, NewError> {
    let (mut made, mut wrong, mut missing) = (Made::default(), Vec::new(), Vec::new());
    for entry in &plan.entries {
        match (look(entry)?, &entry.kind) {
            (There::Nothing, Kind::Own | Kind::Shared) => missing.push(entry),
            (There::Same, _) => {}
            (There::Other, Kind::Shared) => made.kept.push(entry.path.clone()),
            (There::Before, Kind::Changed(_)) => missing.push(entry),
            _ => wrong.push(entry.path.clone()),
        }
    }
    if !wrong.is_empty() {
        return Err(NewError::InTheWay(wrong));
    }
    sweep(&plan.package)?;
    let is_new = plan.package.symlink_metadata().is_err();
    let (inside, outside): (Vec<&Entry>, Vec<&Entry>) =
        missing.iter().partition(|entry| is_new && entry.path.starts_with(&plan.package));
    let (changed, first): (Vec<&Entry>, Vec<&Entry>) =
        outside.into_iter().partition(|entry| matches!(entry.kind, Kind::Changed(_)));
    first.into_iter().try_for_each(add)?;
    if !inside.is_empty() {
        package(&plan.package, &inside)?;
    }
    changed.into_iter().try_for_each(replace)?;
    made.made.extend(missing.into_iter().map(|entry| entry.path.clone()));
    Ok(made)
}

/// What is where a file should be.
enum There {
    Nothing,
    /// The file.
    Same,
    /// What it was when the change was decided.
    Before,
    Other,
}

fn look(entry: &Entry) -> Result<There, NewError> {
    match fs::read(&entry.path) {
        Ok(text) if text == entry.text.as_bytes() => Ok(There::Same),
        Ok(text) => match &entry.kind {
            Kind::Changed(old) if text == old.as_bytes() => Ok(There::Before),
            _ => Ok(There::Other),
        },
        // A link to nowhere is something, too.
        Err(error) if error.kind() == io::ErrorKind::NotFound && entry.path.symlink_metadata().is_err() => {
            Ok(There::Nothing)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(at("read", &entry.path)(error)),
        Err(_) => Ok(There::Other),
    }
}

/// Where a package or file is made, beside its place.
fn stage(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    path.with_file_name(format!(".polder-new-{}", name.display()))
}

/// Removes what one that was killed has left beside the package.
fn sweep(folder: &Path) -> Result<(), NewError> {
    let stage = stage(folder);
    let held = match File::open(&stage) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(at("open", &stage))?,
    };
    held.try_lock().map_err(|_| NewError::Busy(folder.to_owned()))?;
    fs::remove_dir_all(&stage).map_err(at("remove", &stage))
}

/// Makes the package beside its place, and puts it there.
fn package(folder: &Path, entries: &[&Entry]) -> Result<(), NewError> {
    let stage = stage(folder);
    fs::create_dir(&stage).map_err(at("make", &stage))?;
    let held = File::open(&stage).map_err(at("open", &stage))?;
    held.try_lock().map_err(|_| NewError::Busy(folder.to_owned()))?;
    let whole = stage.join("whole");
    let result =
        fill(folder, &whole, entries).and_then(|()| fs::rename(&whole, folder).map_err(at("make", folder)));
    let removed = fs::remove_dir_all(&stage).map_err(at("remove", &stage));
    result.and(removed)
}

fn fill(folder: &Path, whole: &Path, entries: &[&Entry]) -> Result<(), NewError> {
    for entry in entries {
        let path = entry.path.strip_prefix(folder).map_or_else(|_| whole.to_owned(), |path| whole.join(path));
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(at("make the folder of", &path))?;
        fs::write(&path, &entry.text).map_err(at("write", &path))?;
    }
    Ok(())
}

/// Puts a file where nothing is: it has no name before it is whole, so that nobody sees half of it, whoever is killed.
fn add(entry: &Entry) -> Result<(), NewError> {
    let folder = entry.path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at("make", folder))?;
    put(folder, &entry.path, &entry.text)
}

fn put(folder: &Path, path: &Path, text: &str) -> Result<(), NewError> {
    let nameless = || -> io::Result<()> {
        let flags = OFlags::TMPFILE.bits().cast_signed();
        let mut file = File::options().write(true).mode(0o666).custom_flags(flags).open(folder)?;
        file.write_all(text.as_bytes())?;
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    };
    match nameless() {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(NewError::InTheWay(vec![path.to_owned()]))
        }
        // Not every file system can do it.
        Err(_) => {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".polder-new-").permissions(fs::Permissions::from_mode(0o666));
            let mut file = builder.tempfile_in(folder).map_err(at("make a file in", folder))?;
            file.write_all(text.as_bytes()).map_err(at("write", path))?;
            file.persist_noclobber(path).map(drop).map_err(|error| at("write", path)(error.error))
        }
    }
}

/// Puts a file in the place of the one that it was made from, with the permissions of that.
fn replace(entry: &Entry) -> Result<(), NewError> {
    let path = fs::canonicalize(&entry.path).map_err(at("find", &entry.path))?;
    let permissions = fs::metadata(&path).map_err(at("look at", &path))?.permissions();
    // One name, so that what one who was killed left is found by the next.
    let new = stage(&path);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", &new)(error)),
        _ => put(path.parent().unwrap_or(Path::new(".")), &new, &entry.text),
    }?;
    fs::set_permissions(&new, permissions).map_err(at("write", &new))?;
    fs::rename(&new, &path).map_err(at("write", &path))
}
