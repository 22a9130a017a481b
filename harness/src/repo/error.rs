//! What can go wrong with repositories of packages.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{base::process::ProcessError, template::TemplateError};

/// A repository could not be built or served.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// What is to be built cannot be built from what there is; every reason.
    #[error("{}", .0.join("\n"))]
    Input(Vec<String>),
    /// Something could not be downloaded, or another process builds here.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file could not be used.
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
    /// A mirror gave something else than its index says.
    #[error("{url} is not what the index of its mirror says: {found} instead of {expected}")]
    Mismatch {
        /// What was downloaded.
        url: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Packages of the format RPM cannot be indexed.
    #[error(
        "{packages} of the packages are RPMs, which `createrepo_c` indexes: install the package `createrepo-c` (Debian, Ubuntu) or `createrepo_c` (Fedora, SUSE)"
    )]
    NoIndexer {
        /// How many.
        packages: usize,
    },
    /// The program that indexes packages of the format RPM failed.
    #[error("the RPMs could not be indexed")]
    Indexer(#[from] ProcessError),
}

impl RepoError {
    /// Whether what was asked for is to blame.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Input(_) => true,
            Self::Template(error) => error.is_input(),
            _ => false,
        }
    }
}

/// Names the path in an input or output error.
pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RepoError + use<> {
    let path = path.to_owned();
    move |source| RepoError::File { what, path, source }
}
