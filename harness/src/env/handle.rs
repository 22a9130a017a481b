//! Stand-in for running environments: the names of the init file, and no machines behind them.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use saphyr::{LoadableYamlNode, Yaml};

use crate::{base::wait::Deadline, event::Usage};

/// An environment that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// The init file is wrong.
    #[error("{}: {problem}", origin.display())]
    File {
        /// The file.
        origin: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It did not come up.
    #[error("{0}")]
    Up(String),
}

/// What an environment is started from.
pub struct UpOptions {
    /// The init file's path: base of relative paths in it, and named in messages.
    pub origin: PathBuf,
    /// Its text.
    pub text: String,
    /// Limit for the start, before scaling; absent: each part's own.
    pub limit: Option<Duration>,
    /// Where consoles are recorded, and what can be had is collected when it does not come up.
    pub folder: PathBuf,
    /// Told what is being done, in words for people.
    pub progress: Arc<dyn Fn(String) + Send + Sync>,
}

impl fmt::Debug for UpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpOptions")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Machines and nets of an init file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The machines.
    pub machines: Vec<String>,
    /// The nets.
    pub nets: Vec<String>,
}

impl Names {
    /// The machine a Rust identifier means: `-` and `.` of a name are `_` in it.
    #[must_use]
    pub fn machine(&self, ident: &str) -> Option<&str> {
        find(&self.machines, ident)
    }

    /// The net a Rust identifier means.
    #[must_use]
    pub fn net(&self, ident: &str) -> Option<&str> {
        find(&self.nets, ident)
    }
}

fn find<'a>(names: &'a [String], ident: &str) -> Option<&'a str> {
    let exact = names.iter().find(|name| *name == ident);
    exact
        .or_else(|| names.iter().find(|name| name.replace(['-', '.'], "_") == ident))
        .map(String::as_str)
}

/// What was collected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Items that could be had.
    pub items: usize,
    /// Items that could not.
    pub missing: usize,
}

/// A running environment.
#[derive(Debug, Clone)]
pub struct Env(Arc<Names>);

/// A machine.
#[derive(Debug, Clone)]
pub struct Vm(Arc<str>);

/// A net.
#[derive(Debug, Clone)]
pub struct Net(Arc<str>);

impl Env {
    /// Names in an init file.
    ///
    /// # Errors
    /// [`EnvError::File`].
    pub fn read_names(origin: &Path, text: &str) -> Result<Names, EnvError> {
        let bad = |problem: String| EnvError::File {
            origin: origin.to_owned(),
            problem,
        };
        let documents = Yaml::load_from_str(text).map_err(|error| bad(error.to_string()))?;
        let keys = |section: &str| -> Vec<String> {
            let mapping = documents
                .first()
                .and_then(|d| d.as_mapping_get(section))
                .and_then(|d| d.as_mapping());
            mapping
                .map(|m| m.keys().filter_map(|k| k.as_str().map(str::to_owned)).collect())
                .unwrap_or_default()
        };
        Ok(Names {
            machines: keys("domains"),
            nets: keys("nets"),
        })
    }

    /// Starts an environment. Dropping the future undoes what it did.
    ///
    /// # Errors
    /// [`EnvError`].
    pub async fn up(options: UpOptions) -> Result<Self, EnvError> {
        let names = Self::read_names(&options.origin, &options.text)?;
        (options.progress)("nothing to start yet".to_owned());
        if options.text.contains("template_name: missing") {
            return Err(EnvError::Up("no template `missing`".to_owned()));
        }
        Ok(Self(Arc::new(names)))
    }

    /// Names of its machines and nets.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.0
    }

    /// The machine called `name`.
    #[must_use]
    pub fn vm(&self, name: &str) -> Option<Vm> {
        self.0
            .machines
            .iter()
            .find(|n| *n == name)
            .map(|n| Vm(Arc::from(n.as_str())))
    }

    /// The net called `name`.
    #[must_use]
    pub fn net(&self, name: &str) -> Option<Net> {
        self.0
            .nets
            .iter()
            .find(|n| *n == name)
            .map(|n| Net(Arc::from(n.as_str())))
    }

    /// By how much limits are stretched here.
    #[must_use]
    pub fn time_factor(&self) -> f64 {
        1.0
    }

    /// What it used so far.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        None
    }

    /// Collects what a failure left into `folder`.
    pub async fn collect(&self, folder: &Path, deadline: Deadline) -> Manifest {
        let _ = (folder, deadline);
        Manifest::default()
    }

    /// Ends it, whatever happens on the way.
    pub async fn down(self) -> Vec<EnvError> {
        Vec::new()
    }
}

impl Vm {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Net {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}
