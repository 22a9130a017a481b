//! What can be wrong with what is kept in the store, found by looking at it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
}

impl Document for Manifest {
    const VERSION: u32 = 1;
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
    /// A link or a folder where a file should be.
    #[error("`{0}` is no plain file")]
    NotAFile(String),
    /// Somebody else could have written it.
    #[error("`{name}` belongs to the user {uid}, or others may write it")]
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
    #[error("`{name}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        name: String,
        /// What the system said.
        why: String,
    },
}

/// Looks at the entry in `folder`, which should have the key `key`. Contents are read only if it is to be `thorough`.
pub(super) fn examine(folder: &Path, key: &str, thorough: bool) -> Result<Manifest, Damage> {
    let itself = fs::symlink_metadata(folder).map_err(|error| unreadable("", &error))?;
    if !itself.is_dir() {
        return Err(Damage::NotAFile(String::new()));
    }
    owned("", &itself)?;
    plain(folder, MANIFEST)?;
    let manifest: Manifest = match store::read(&folder.join(MANIFEST)) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Err(Damage::Missing(MANIFEST.to_owned())),
        Err(StoreError::Version { found, .. }) => return Err(Damage::Version { found }),
        Err(error) => return Err(Damage::Manifest(format!("{:#}", anyhow::Error::from(error)))),
    };
    let of_lines: String = manifest.lines.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    let of_lines = super::key::digest(of_lines.as_bytes());
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
    for (name, Sum { bytes, sha256 }) in &manifest.files {
        let found = plain(folder, name)?.len();
        if found != *bytes {
            return Err(Damage::Length { name: name.clone(), found, wanted: *bytes });
        }
        if thorough {
            let content = sum(&folder.join(name)).map_err(|error| unreadable(name, &error))?;
            if content.sha256 != *sha256 {
                return Err(Damage::Content(name.clone()));
            }
        }
    }
    Ok(manifest)
}

/// That a file is one, and ours.
fn plain(folder: &Path, name: &str) -> Result<Metadata, Damage> {
    // A name from a manifest must not lead out of the folder.
    if name.contains('/') || name.starts_with('.') {
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
    let is_ours = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0;
    if is_ours { Ok(()) } else { Err(Damage::Owner { name: name.to_owned(), uid: found.uid() }) }
}

fn unreadable(name: &str, error: &io::Error) -> Damage {
    Damage::Unreadable { name: name.to_owned(), why: error.to_string() }
}

/// What a file has.
///
/// # Errors
/// It cannot be read.
pub fn sum(path: &Path) -> io::Result<Sum> {
    let (mut file, mut hash, mut room) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    let mut bytes = 0;
    loop {
        let read = file.read(&mut room)?;
        if read == 0 {
            break;
        }
        bytes += u64::try_from(read).unwrap_or_default();
        hash.update(room.get(..read).unwrap_or_default());
    }
    let mut sha256 = String::new();
    for byte in hash.finalize() {
        // Writing to a text cannot fail.
        let _ = write!(sha256, "{byte:02x}");
    }
    Ok(Sum { bytes, sha256 })
}
