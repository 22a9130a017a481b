//! Which lab an init file's environment lives in: a small file beside it, for the verbs that come after `up`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// `.polder/<init file>.json`, beside the init file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pointer {
    /// The lab's folder.
    pub(super) lab: PathBuf,
}

impl Pointer {
    fn path(init_file: &Path) -> anyhow::Result<PathBuf> {
        let name = init_file.file_name().with_context(|| format!("{} is not a file", init_file.display()))?;
        let folder = init_file.parent().unwrap_or(Path::new("")).join(".polder");
        Ok(folder.join(format!("{}.json", name.to_string_lossy())))
    }

    /// Writes it.
    pub(super) fn save(&self, init_file: &Path) -> anyhow::Result<()> {
        let path = Self::path(init_file)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, serde_json::to_vec(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads it; `None` when the environment is not up.
    pub(super) fn load(init_file: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(init_file)?;
        match fs::read(&path) {
            Ok(text) => {
                let damaged =
                    || format!("{} is damaged; remove it, the environment ends by itself", path.display());
                let pointer: Self = serde_json::from_slice(&text).with_context(damaged)?;
                Ok(pointer.lab.exists().then_some(pointer))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Reads it for a verb that needs a running environment.
    pub(super) fn require(init_file: &Path) -> anyhow::Result<Self> {
        let hint =
            || format!("the environment of {0} is not up; `polder up {0}` brings it up", init_file.display());
        Self::load(init_file)?.with_context(hint)
    }

    /// Removes it, and its folder when that is empty.
    pub(super) fn forget(init_file: &Path) -> anyhow::Result<()> {
        let path = Self::path(init_file)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        // Not empty: other init files beside this one have environments, too.
        let _ = path.parent().map(fs::remove_dir);
        Ok(())
    }
}
