//! What is written down of a running environment, so that another process can join it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{EnvError, error::file, keys::Keys, plan::EnvPlan};

/// The version of the file's format; another one is refused.
const VERSION: u32 = 1;

/// `state.json` in the environment's folder.
#[derive(Serialize, Deserialize)]
pub(super) struct EnvState {
    version: u32,
    pub(super) plan: EnvPlan,
    pub(super) keys: Keys,
    /// Factor by which deadlines are stretched.
    pub(super) factor: f64,
}

impl EnvState {
    pub(super) fn new(plan: EnvPlan, keys: Keys, factor: f64) -> Self {
        Self { version: VERSION, plan, keys, factor }
    }

    /// Writes it into the environment's folder, readable for this user alone (the folder is).
    pub(super) fn save(&self, folder: &Path) -> Result<(), EnvError> {
        let path = path(folder);
        let text = serde_json::to_vec_pretty(self).map_err(|e| file("write", &path)(e.into()))?;
        fs::write(&path, text).map_err(file("write", &path))
    }

    /// Reads it back.
    pub(super) fn load(folder: &Path) -> Result<Self, EnvError> {
        let path = path(folder);
        let text = fs::read(&path).map_err(file("read", &path))?;
        let state: Self = serde_json::from_slice(&text).map_err(|e| file("read", &path)(e.into()))?;
        if state.version == VERSION {
            return Ok(state);
        }
        let newer = format!("it has format {}, this polder knows {VERSION}", state.version);
        Err(file("read", &path)(std::io::Error::other(newer)))
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("state.json")
}
