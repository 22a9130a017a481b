//! What a step's parameters are made from, and the folder for what it wants to keep.

use std::{
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::{Result, base::random::Seeds, cvp::Cvp, env::Env, event::Outcome};

use super::{
    changes::Changes,
    held::Holdings,
    registry::{Param, StepDef},
};

/// Where a step runs: its suite, environment and folder.
#[derive(Debug)]
pub struct SuiteCx {
    pub(crate) suite: Arc<str>,
    pub(crate) step: &'static StepDef,
    pub(crate) env: Option<Env>,
    pub(crate) cvp: Option<Cvp>,
    pub(crate) changes: Changes,
    pub(crate) folder: PathBuf,
    /// Seeds of what chance has a part in.
    pub(crate) seeds: Seeds,
    /// How the suite did, for its teardown.
    pub(crate) outcome: Option<Outcome>,
    /// Values of parameters that live as long as the step.
    pub(crate) of_step: Holdings,
    /// Those that live as long as the suite.
    pub(crate) of_suite: Holdings,
}

impl SuiteCx {
    /// The suite's name.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// The running environment.
    ///
    /// # Errors
    /// When the suite names no init file.
    pub fn env(&self) -> Result<&Env> {
        self.env.as_ref().ok_or_else(|| {
            anyhow::anyhow!("suite `{}` has no environment: it names no init file", self.suite)
        })
    }

    /// The session at a portal.
    ///
    /// # Errors
    /// When the suite has none.
    pub fn cvp(&self) -> Result<&Cvp> {
        self.cvp.as_ref().ok_or_else(|| {
            anyhow::anyhow!(
                "suite `{}` has no session at a portal: write `cvp` in its `#[polder::suite(..)]`",
                self.suite
            )
        })
    }

    /// How the suite did until its teardown: passed, or what failed first.
    ///
    /// # Errors
    /// In other steps.
    pub fn outcome(&self) -> Result<&Outcome> {
        self.outcome.as_ref().ok_or_else(|| {
            anyhow::anyhow!("`{}` is no `#[teardown]`, which alone is told the outcome", self.step.name)
        })
    }

    /// Changes that are undone when the suite ends.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The step's folder.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        Artifacts { folder: Arc::from(self.folder.as_path()) }
    }

    /// By how much slower than usual the machines are; limits are multiplied by it. 1 without an environment.
    #[must_use]
    pub fn time_factor(&self) -> f64 {
        self.env.as_ref().map_or(1.0, Env::time_factor)
    }

    pub(crate) fn param(&self, index: usize) -> Result<&'static Param> {
        let param = self.step.params.get(index);
        param.ok_or_else(|| anyhow::anyhow!("`{}` has no parameter {index}", self.step.name))
    }
}

/// The folder of a scenario, below `target/polder/<run>/`: files put there stay, whatever the outcome.
///
/// ```no_run
/// use polder::prelude::*;
///
/// async fn keeps_its_numbers(web: &Vm, artifacts: &Artifacts) -> Result {
///     artifacts.add("load.txt", web.succeed("cat /proc/loadavg").await?)?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: Arc<Path>,
}

/// A file that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactsError {
    /// Not a plain file name.
    #[error("`{name}` is not a file name: one part, without `/`")]
    BadName {
        /// As given.
        name: String,
    },
    /// The folder or file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Artifacts {
    /// Keeps `bytes` as the file `name`.
    ///
    /// # Errors
    /// [`ArtifactsError`].
    pub fn add(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<(), ArtifactsError> {
        let path = self.path(name)?;
        std::fs::write(&path, bytes).map_err(|source| ArtifactsError::Write { path, source })
    }

    /// A path for the file `name`, to be written by the caller; the folder is there afterwards.
    ///
    /// # Errors
    /// [`ArtifactsError`].
    pub fn path(&self, name: &str) -> Result<PathBuf, ArtifactsError> {
        let mut parts = Path::new(name).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name) {
            return Err(ArtifactsError::BadName { name: name.to_owned() });
        }
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| ArtifactsError::Write { path: self.folder.to_path_buf(), source })?;
        Ok(self.folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts { folder: Arc::from(dir.path().join("a/b")) };
        artifacts.add("x.txt", "text").unwrap();
        assert_eq!(std::fs::read(dir.path().join("a/b/x.txt")).unwrap(), b"text");
        for name in ["", ".", "..", "../x", "/etc/x", "a/b", "a/"] {
            assert!(matches!(artifacts.add(name, ""), Err(ArtifactsError::BadName { .. })), "{name:?}");
        }
    }
}
