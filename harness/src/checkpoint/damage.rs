//! What can be wrong with what is kept in the store, found by looking at it. What is in files is `content`'s.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::key::{Key, digest};
use crate::base::store::{self, Document, StoreError};

/// The file that says what an entry has. It is written last.
pub(super) const MANIFEST: &str = "manifest.json";
/// The file whose time of change says when an entry was used, and that is locked while it is.
pub(super) const USED: &str = "used";

/// What an entry has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The digest of its key, which is its name.
    pub key: String,
    /// What went into the key.
    pub lines: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// Its files.
    pub files: BTreeMap<String, Sum>,
    /// The digest of all of this, with an empty seal.
    pub seal: String,
}

impl Document for Manifest {
    const VERSION: u32 = 2;
}

impl Manifest {
    /// That of an entry that is made now.
    pub(super) fn new(key: &Key, files: BTreeMap<String, Sum>) -> Result<Self, serde_json::Error> {
        let lines = key.lines().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let made = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { key: key.digest(), lines, made, files, seal: String::new() }.sealed()
    }

    fn sealed(self) -> Result<Self, serde_json::Error> {
        let open = Self { seal: String::new(), ..self };
        Ok(Self { seal: digest(&store::text(&open)?), ..open })
    }

    /// What a manifest's text says, if that is exactly what was written.
    fn parse(path: &Path, text: &[u8]) -> Result<Self, Damage> {
        let wrong = |error: anyhow::Error| Damage::Manifest(format!("{error:#}"));
        let manifest: Self = store::parse(path, text).map_err(|error| match error {
            StoreError::Version { found, .. } => Damage::Version { found },
            error => wrong(error.into()),
        })?;
        let written = manifest.clone().sealed().and_then(|sealed| store::text(&sealed));
        if written.map_err(|error| wrong(error.into()))? != text {
            return Err(Damage::Manifest("it is not as it was written".to_owned()));
        }
        Ok(manifest)
    }
}

/// What a file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It says of itself nothing that can be read.
    #[error("its manifest cannot be read: {0}")]
    Manifest(String),
    /// Another version of Polder made it.
    #[error("another version of polder made it: its format is {found}")]
    Version {
        /// The version of the format.
        found: u64,
    },
    /// It has another key than its name says.
    #[error("it belongs to another key, {found}")]
    Key {
        /// The key it has.
        found: String,
    },
    /// A file is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// There is a file that it should not have.
    #[error("`{0}` does not belong to it")]
    Stray(String),
    /// A link or a folder where a file should be; empty: no folder where its folder should be.
    #[error("{} is no plain {}", told(.0), if .0.is_empty() { "folder" } else { "file" })]
    NotAFile(String),
    /// Somebody else could have written it.
    #[error("{} belongs to the user {uid}, or others may write it", told(name))]
    Owner {
        /// The file; empty: the folder.
        name: String,
        /// Whose it is.
        uid: u32,
    },
    /// A file is shorter or longer.
    #[error("`{name}` has {found} bytes instead of {wanted}")]
    Length {
        /// The file.
        name: String,
        /// The bytes it has.
        found: u64,
        /// The bytes it should have.
        wanted: u64,
    },
    /// A file has something else in it.
    #[error("`{0}` has something else in it than when it was written")]
    Content(String),
    /// It cannot be looked at.
    #[error("{} cannot be read: {why}", told(name))]
    Unreadable {
        /// The file.
        name: String,
        /// What the system said.
        why: String,
    },
}

/// A file by its name, and the entry's folder by none.
fn told(name: &str) -> String {
    if name.is_empty() { "its folder".to_owned() } else { format!("`{name}`") }
}

/// Looks at the entry in `folder`, which should have the key `key`, but for what is in its files.
pub(super) fn examine(folder: &Path, key: &str) -> Result<Manifest, Damage> {
    let itself = fs::symlink_metadata(folder).map_err(|error| unreadable("", &error))?;
    if !itself.is_dir() {
        return Err(Damage::NotAFile(String::new()));
    }
    owned("", &itself)?;
    plain(folder, MANIFEST)?;
    let path = folder.join(MANIFEST);
    let text = fs::read(&path).map_err(|error| unreadable(MANIFEST, &error))?;
    let manifest = Manifest::parse(&path, &text)?;
    let of_lines: String = manifest.lines.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    let of_lines = digest(of_lines.as_bytes());
    if let Some(found) = [&manifest.key, &of_lines].into_iter().find(|found| *found != key) {
        return Err(Damage::Key { found: found.clone() });
    }
    let there: BTreeSet<String> = fs::read_dir(folder)
        .map_err(|error| unreadable("", &error))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let stray = there
        .iter()
        .find(|name| !matches!(name.as_str(), MANIFEST | USED) && !manifest.files.contains_key(*name));
    if let Some(stray) = stray {
        return Err(Damage::Stray(stray.clone()));
    }
    plain(folder, USED)?;
    for (name, Sum { bytes, .. }) in &manifest.files {
        let found = plain(folder, name)?.len();
        if found != *bytes {
            return Err(Damage::Length { name: name.clone(), found, wanted: *bytes });
        }
    }
    Ok(manifest)
}

/// That a file is one, and ours.
pub(super) fn plain(folder: &Path, name: &str) -> Result<Metadata, Damage> {
    // A name from a manifest must not lead out of the folder.
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(Damage::Stray(name.to_owned()));
    }
    let found = match fs::symlink_metadata(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Damage::Missing(name.to_owned()));
        }
        found => found.map_err(|error| unreadable(name, &error))?,
    };
    if !found.is_file() {
        return Err(Damage::NotAFile(name.to_owned()));
    }
    owned(name, &found)?;
    Ok(found)
}

fn owned(name: &str, found: &Metadata) -> Result<(), Damage> {
    if is_ours(found) { Ok(()) } else { Err(Damage::Owner { name: name.to_owned(), uid: found.uid() }) }
}

/// Whether nobody else can have written it.
pub(super) fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0
}

pub(super) fn unreadable(name: &str, error: &io::Error) -> Damage {
    Damage::Unreadable { name: name.to_owned(), why: error.to_string() }
}
