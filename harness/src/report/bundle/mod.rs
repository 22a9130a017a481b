//! A run as one file that somebody else can open: what lies in its folder but for what is secret or of no use elsewhere (`write`,
//! `secrets` what is hidden in it), and a folder from such a file (`open`), which trusts nothing in it.

mod open;
mod secrets;
#[cfg(test)]
mod tests;
mod write;

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::report::run::ReportError;

pub(crate) use open::open;
pub(crate) use write::write;

/// A bundle could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    /// A file or folder of this host.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is something where the bundle, or what is in it, is to be.
    #[error("{} is there already; name another place", .0.display())]
    Exists(PathBuf),
    /// It is none of ours, or was made to do harm.
    #[error("{} is no bundle of a run: {why}", path.display())]
    Strange {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Its reports.
    #[error(transparent)]
    Report(#[from] ReportError),
}

fn at(what: &'static str, path: &Path) -> impl Fn(io::Error) -> BundleError + use<> {
    let path = path.to_owned();
    move |source| BundleError::File { what, path: path.clone(), source }
}
