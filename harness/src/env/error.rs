//! What can go wrong with an environment.

use std::{io, path::PathBuf};

use crate::{
    base::id::MachineName, env::plan::PlanErrors, guest::GuestError, image::ImageError,
    initfile::InitFileError, lab::LabError, provider::ProviderError,
};

/// An environment could not be made, reached or ended.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// The init file is not one.
    #[error(transparent)]
    InitFile(#[from] InitFileError),
    /// An image could not be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What the file asks for does not fit together.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// The lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// libvirt; with the lab's last words when its daemon has ended.
    #[error("{}{}", error, daemon.as_ref().map(|d| format!("; the daemon: {d}")).unwrap_or_default())]
    Provider {
        /// What happened.
        error: ProviderError,
        /// What became of the daemon, if that is known.
        daemon: Option<String>,
    },
    /// A machine did not become ready.
    #[error("machine {machine} is not ready")]
    NotReady {
        /// Which.
        machine: MachineName,
        /// Why.
        #[source]
        source: Box<GuestError>,
    },
    /// A machine ended while it was needed.
    #[error("machine {machine} {what}")]
    MachineEnded {
        /// Which.
        machine: MachineName,
        /// What was seen.
        what: String,
    },
    /// A command inside the lab failed.
    #[error("`{command}` failed in the lab with status {status}: {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: i32,
        /// What it printed.
        output: String,
    },
    /// A file of the environment could not be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A key could not be made or read.
    #[error("cannot {what}: {error}")]
    Key {
        /// What was tried.
        what: &'static str,
        /// What the key library said.
        error: String,
    },
}

impl From<ProviderError> for EnvError {
    fn from(error: ProviderError) -> Self {
        Self::Provider { error, daemon: None }
    }
}

/// Names the file in an input or output error.
pub(super) fn file(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> EnvError + use<> {
    let path = path.to_owned();
    move |source| EnvError::File { what, path, source }
}
