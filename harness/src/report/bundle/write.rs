//! Making a bundle: a copy of the run's folder without what is secret, with reports of its own, as one archive. The same folder
//! becomes the same bytes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};
use serde_json::Value;
use tar::{Builder, EntryType, Header};

use super::{BundleError, at, secrets::Secrets};
use crate::{
    event::{PORTAL_STATE, STATES},
    report::{run, sink::EVENTS},
    workdir::paths::FOLDER as WORKDIR,
};

/// Facts of the host on which it is made, and what is left out and why, in the bundle.
const HOST: &str = "host.json";
const LEFT_OUT: &str = "left-out.json";
/// Larger files are left out.
const LARGEST: u64 = 64 << 20;
/// Files that say how one gets into a portal, or what it knows: its users are in it.
const PRIVATE: [&str; 3] = ["portal.env", "portal-ca.pem", PORTAL_STATE];
/// Endings of files with keys.
const KEYS: [&str; 3] = ["key", "pem", "p12"];
/// Folders of what suites have beside their steps, in which are init files and files of changes.
const SAID: &str = "environment";

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundled {
    /// Files in it.
    pub(crate) files: usize,
    /// What is left out, and why, by paths in the run's folder.
    pub(crate) left_out: BTreeMap<String, String>,
}

/// Writes the run in `folder` into the file `to`, which is not there yet; with `facts` of this host, and without the values of
/// these variables that their names call secret.
///
/// # Errors
/// [`BundleError`].
pub(crate) fn write(
    folder: &Path,
    facts: &Value,
    variables: impl Iterator<Item = (String, String)>,
    to: &Path,
) -> Result<Bundled, BundleError> {
    if to.symlink_metadata().is_ok() {
        return Err(BundleError::Exists(to.to_owned()));
    }
    let folder = fs::canonicalize(folder).map_err(at("read", folder))?;
    let beside = to.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stage = tempfile::Builder::new().prefix(".polder-bundle-").tempdir_in(beside);
    let stage = stage.map_err(at("make a folder in", beside))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let copy = stage.path().join(&name);
    fs::create_dir(&copy).map_err(at("make", &copy))?;

    let mut found = Found::default();
    found.look(&folder, Path::new(""))?;
    let mut secrets = secrets(&folder, &found.files, variables);
    secrets.replace(&folder.display().to_string(), ".");
    for path in &found.files {
        let (from, into) = (folder.join(path), copy.join(path));
        into.parent().map_or(Ok(()), fs::create_dir_all).map_err(at("write", &into))?;
        let bytes = fs::read(&from).map_err(at("read", &from))?;
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => secrets.without(&text).into_bytes(),
            Err(binary) => binary.into_bytes(),
        };
        fs::write(&into, bytes).map_err(at("write", &into))?;
    }
    let json = |value: &Value| format!("{value:#}\n");
    for (file, text) in [(HOST, json(facts)), (LEFT_OUT, json(&serde_json::json!(found.left_out)))] {
        let path = copy.join(file);
        fs::write(&path, text).map_err(at("write", &path))?;
    }
    // Of what is there; the ways in them are from the folder.
    let written = run::write(&copy)?;
    let absolute = fs::canonicalize(&copy).map_err(at("read", &copy))?;
    for report in [&written.junit, &written.page] {
        let text = fs::read_to_string(report).map_err(at("read", report))?;
        let mut ways = Secrets::default();
        for way in [&absolute, &copy] {
            ways.replace(&format!("{}/", way.display()), "");
        }
        fs::write(report, ways.without(&secrets.without(&text))).map_err(at("write", report))?;
    }

    let mut all = Found::default();
    all.look(&copy, Path::new(""))?;
    let archive = stage.path().join("archive");
    pack(&copy, &name, &all.files, &archive).map_err(at("write", &archive))?;
    // Whole, or not there; a link never takes the place of another file.
    match fs::hard_link(&archive, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BundleError::Exists(to.to_owned()));
        }
        // Not every file system has them.
        Err(_) => fs::rename(&archive, to).map_err(at("write", to))?,
        Ok(()) => {}
    }
    Ok(Bundled { files: all.files.len(), left_out: found.left_out })
}

/// Files of a folder.
#[derive(Debug, Default)]
struct Found {
    /// In order, below the folder.
    files: Vec<PathBuf>,
    left_out: BTreeMap<String, String>,
}

impl Found {
    fn look(&mut self, root: &Path, below: &Path) -> Result<(), BundleError> {
        let folder = root.join(below);
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(at("read", &folder))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = below.join(entry.file_name());
            // Without following links, which may lead anywhere.
            let data = entry.metadata().map_err(at("read", &entry.path()))?;
            match why_not(&path, &data) {
                Some(why) => drop(self.left_out.insert(path.display().to_string(), why)),
                None if data.is_dir() => self.look(root, &path)?,
                None => self.files.push(path),
            }
        }
        Ok(())
    }
}

/// Why a file or folder is left out.
fn why_not(path: &Path, data: &fs::Metadata) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if path.to_str().is_none() {
        return Some("its name is no text".to_owned());
    }
    if data.is_dir() {
        return match name.as_str() {
            WORKDIR => Some("machines that stay, with their keys".to_owned()),
            STATES => Some("memory of machines, with their keys".to_owned()),
            _ => None,
        };
    }
    match () {
        () if !data.is_file() => Some("it is no file".to_owned()),
        () if PRIVATE.contains(&name.as_str())
            || KEYS.contains(&ending.as_str())
            || name.starts_with("id_") =>
        {
            Some("it is secret".to_owned())
        }
        () if data.len() > LARGEST => Some(format!("it has more than {} MiB", LARGEST >> 20)),
        () => None,
    }
}

/// What is hidden: what the files that were asked for call secret, and variables.
fn secrets(folder: &Path, files: &[PathBuf], variables: impl Iterator<Item = (String, String)>) -> Secrets {
    let mut secrets = Secrets::default();
    let said = |path: &&PathBuf| path.parent().is_some_and(|parent| parent.ends_with(SAID));
    for path in files.iter().filter(said) {
        if let Ok(text) = fs::read_to_string(folder.join(path)) {
            secrets.hide_in(&text);
        }
    }
    variables.for_each(|(name, value)| secrets.hide_variable(&name, &value));
    secrets
}

/// Puts files into an archive, in a folder of that name; no time and no owner are in it.
fn pack(folder: &Path, name: &str, files: &[PathBuf], to: &Path) -> io::Result<()> {
    let out = GzBuilder::new().mtime(0).write(File::create(to)?, Compression::default());
    let mut archive = Builder::new(out);
    for path in files {
        let mut content = Vec::new();
        File::open(folder.join(path))?.read_to_end(&mut content)?;
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        archive.append_data(&mut header, Path::new(name).join(path), content.as_slice())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()
}

/// Whether a folder is that of a run.
pub(super) fn is_run(folder: &Path) -> bool {
    folder.join(EVENTS).is_file()
}
