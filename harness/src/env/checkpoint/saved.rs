//! What is written down of a checkpoint, and how its files are called; what others keep beside it. Reads and writes, decides
//! nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    base::{
        id::MachineName,
        store::{self, Document},
    },
    checkpoint::Entry,
    env::{EnvError, error::file, keys::Keys, state::EnvState},
    initfile::EnvSpec,
    provider::spec::ImageFormat,
};

/// The file of it.
const FILE: &str = "saved.json";
/// How names begin of files with what others have to say.
const DOCUMENT: &str = "+";

/// What is kept with an environment that is not of machines: the contents of files, by name. What is in them is the business of
/// who hands them over.
pub type Documents = BTreeMap<String, Vec<u8>>;

/// What an environment was when it was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// What was asked for.
    pub(super) asked: EnvSpec,
    /// What was written down of it there.
    pub(super) state: EnvState,
    /// By what each machine is told that it goes on.
    pub(super) wakes: BTreeMap<MachineName, String>,
    /// The images of disks, by machine and device.
    pub(super) disks: BTreeMap<MachineName, BTreeMap<String, Vec<Image>>>,
}

/// One image of a disk; the first lies over what the plan says, each over the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) format: ImageFormat,
    /// The size of the disk in bytes, as its machine sees it.
    pub(super) size: u64,
}

impl Document for Saved {
    const VERSION: u32 = 1;
}

impl Saved {
    /// Writes it into the folder of a checkpoint, with the keys that its machines know.
    pub(super) fn write(&self, keys: &Keys, folder: &Path) -> Result<(), EnvError> {
        keys.save(folder)?;
        Ok(store::write(&folder.join(FILE), self)?)
    }

    /// Reads it back.
    pub(super) fn read(folder: &Path) -> Result<(Self, Keys), EnvError> {
        let path = folder.join(FILE);
        let missing = || file("read", &path)(std::io::ErrorKind::NotFound.into());
        let saved: Self = store::read(&path)?.ok_or_else(missing)?;
        let keys = Keys::load(folder, saved.state.host_keys.clone())?;
        Ok((saved, keys))
    }
}

/// Writes what else is kept into the folder of a checkpoint.
pub(super) fn write_documents(documents: &Documents, folder: &Path) -> Result<(), EnvError> {
    documents.iter().try_for_each(|(name, content)| {
        let path = folder.join(format!("{DOCUMENT}{name}"));
        fs::write(&path, content).map_err(file("write", &path))
    })
}

/// Reads it back.
pub(super) fn read_documents(entry: &Entry) -> Result<Documents, EnvError> {
    let named = entry.manifest.files.keys().filter_map(|kept| Some((kept, kept.strip_prefix(DOCUMENT)?)));
    let read = named.map(|(kept, name)| {
        let path = entry.folder.join(kept);
        Ok((name.to_owned(), fs::read(&path).map_err(file("read", &path))?))
    });
    read.collect()
}

/// A machine's memory.
pub(super) fn memory(machine: &MachineName) -> PathBuf {
    PathBuf::from(format!("{machine}.memory"))
}

/// What a machine had said on its console.
pub(super) fn console(machine: &MachineName) -> PathBuf {
    PathBuf::from(format!("{machine}.console"))
}

/// Where an environment in `folder` has an image of its own that was kept.
pub(super) fn copied(folder: &Path, image: &Path) -> PathBuf {
    folder.join("images").join(image)
}

/// What its deploy scripts had printed: a folder's worth of files, each under its own name behind this.
pub(super) fn printed(machine: &MachineName) -> String {
    format!("{machine}+deploy+")
}

/// A machine's UEFI variables.
pub(super) fn variables(machine: &MachineName) -> PathBuf {
    PathBuf::from(format!("{machine}.nvram"))
}

/// The image number `number` of a disk; `+` is in no name.
pub(super) fn image(machine: &MachineName, dev: &str, number: usize) -> PathBuf {
    PathBuf::from(format!("{machine}+{dev}+{number}"))
}
