//! Why no suite was made.

use std::{io, path::PathBuf};

/// Why no suite was made.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NewError {
    /// Files that would be overwritten, all of them.
    #[error("already there, and nothing is overwritten: {}", listed(.0))]
    InTheWay(Vec<PathBuf>),
    /// A manifest that cannot be read, or not changed without a person.
    #[error("{}: {why}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, or to be written by hand.
        why: String,
    },
    /// `--path` leads elsewhere.
    #[error("--path: {} is neither the package `polder` nor a checkout of its repository", .0.display())]
    NotPolder(PathBuf),
    /// Somebody else is at it.
    #[error("another process is making {}", .0.display())]
    Busy(PathBuf),
    /// A file or folder.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// For `map_err`: what was tried with what.
pub(super) fn at(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> NewError {
    let path = path.into();
    move |source| NewError::File { what, path, source }
}
