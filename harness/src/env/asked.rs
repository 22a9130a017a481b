//! What was asked for, kept beside what was decided: inventories and exports speak in the init file's words.

use serde::{Deserialize, Serialize};

use super::{Env, EnvError, error::file, lago, turn::Home};
use crate::{
    base::store::{self, Document},
    initfile::EnvSpec,
    workdir::LockedPrefix,
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
