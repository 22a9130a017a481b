//! Finds packages on this host. Blocking.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    deb,
    spec::{At, Format, Package},
};

/// The packages at `path`, a package or a folder; what is wrong with any of them goes to `problems`.
pub(super) fn packages(path: &Path, problems: &mut Vec<String>) -> Vec<Package> {
    let mut found = Vec::new();
    let mut add = |path: &Path, format, problems: &mut Vec<String>| match package(path, format) {
        Ok(package) => found.push(package),
        Err(why) => problems.push(format!("{}: {why}", path.display())),
    };
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => match files(path) {
            Ok(files) => files.iter().for_each(|(file, format)| add(file, *format, problems)),
            Err((path, error)) => problems.push(format!("cannot read {}: {error}", path.display())),
        },
        Ok(_) => match Format::of(&name(path)) {
            Some(format) => add(path, format, problems),
            None => problems.push(format!("{} is neither a folder nor a package", path.display())),
        },
        Err(error) => problems.push(format!("cannot read {}: {error}", path.display())),
    }
    found
}

/// The packages below a folder, in the order of their paths. Links to folders are not followed.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Format)>, (PathBuf, io::Error)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| (folder.clone(), error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            } else if let Some(format) = Format::of(&name(&entry.path())) {
                found.push((entry.path(), format));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The package in a file.
pub(super) fn package(path: &Path, format: Format) -> Result<Package, String> {
    let at = At::File(path.to_owned());
    match format {
        Format::Deb => {
            let control = deb::control(path).map_err(|error| error.to_string())?;
            Package::from_control(control.trim_matches('\n'), at)
        }
        Format::Rpm => Package::from_rpm_name(&name(path), at),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
