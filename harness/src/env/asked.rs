//! What was asked for, kept beside what was decided: inventories and exports speak in the init file's words.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{Env, EnvError, error::file, lago, turn::Home};
use crate::{
    base::store::{self, Document},
    initfile::{EnvSpec, Loaded},
    workdir::{LockedPrefix, Prefix},
};

/// The file, in the environment's folder.
const FILE: &str = "spec.json";

#[derive(Serialize, Deserialize)]
struct Asked {
    spec: EnvSpec,
}

impl Document for Asked {
    const VERSION: u32 = 1;
}

/// Keeps it in a prefix.
pub(super) fn keep(prefix: &LockedPrefix, spec: &EnvSpec) -> Result<(), EnvError> {
    Ok(prefix.write(FILE, &Asked { spec: spec.clone() })?)
}

/// Keeps copies of the init file and, numbered because they may be called alike, of what it includes.
pub(super) fn copy(prefix: &Prefix, asked: &Loaded) -> Result<(), EnvError> {
    // Passwords stand in them: nobody else may read the copies.
    let write = |path: &Path, text: &[u8]| store::replace(path, text).map_err(file("write", path));
    let origin = &asked.spec.origin;
    // One that was never a file is in the spec alone.
    if origin.is_file() {
        write(&prefix.paths().init_file(), &fs::read(origin).map_err(file("read", origin))?)?;
    }
    let folder = prefix.path().join("included");
    for (number, (included, text)) in (1..).zip(&asked.included) {
        fs::create_dir_all(&folder).map_err(file("make", &folder))?;
        let name = included.file_name().unwrap_or_default().to_string_lossy();
        write(&folder.join(format!("{number}-{name}")), text.as_bytes())?;
    }
    Ok(())
}

impl Env {
    /// What was asked for when the environment of a prefix was made.
    ///
    /// # Errors
    /// The file cannot be read; suites' environments have none. Of a prefix made by Lago, it is what Lago wrote down.
    pub fn spec(&self) -> Result<EnvSpec, EnvError> {
        let path = self.folder().join(FILE);
        let asked: Option<Asked> = store::read(&path)?;
        match (asked, self.home()) {
            (Some(asked), _) => Ok(asked.spec),
            (None, Home::Prefix(prefix)) if prefix.paths().virt().exists() => lago::spec(prefix),
            (None, _) => Err(file("read", &path)(std::io::ErrorKind::NotFound.into())),
        }
    }
}
