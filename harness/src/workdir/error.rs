//! What can go wrong with workdirs and prefixes.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{lock::Holder, prefix::Protection};
use crate::base::{store::StoreError, text::did_you_mean};

/// A workdir or a prefix could not be found, made, held or changed.
#[derive(Debug, thiserror::Error)]
pub enum WorkdirError {
    /// There is no workdir from here upwards.
    #[error("no workdir in {} or above it; `polder up FILE` or `polder init FILE` makes one{}{}", start.display(), list("looked for", searched), list("there are prefixes in", hints))]
    NoWorkdir {
        /// Where the search began.
        start: PathBuf,
        /// The places that were searched.
        searched: Vec<PathBuf>,
        /// Prefixes in folders below.
        hints: Vec<PathBuf>,
    },
    /// A path is not in a prefix.
    #[error("no prefix in {} or above it (none of the folders has a file `initialized`); `polder init` makes one", start.display())]
    NoPrefixHere {
        /// Where the search began.
        start: PathBuf,
    },
    /// A folder is meant to be a workdir, but cannot be used as one.
    #[error("the workdir {} is malformed: {why}", path.display())]
    Malformed {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        why: &'static str,
    },
    /// The workdir has no prefix of that name.
    #[error("no prefix `{name}` in {}; {}", workdir.display(), known_names(name, known))]
    NoSuchPrefix {
        /// The name.
        name: String,
        /// The workdir.
        workdir: PathBuf,
        /// Those it has.
        known: Vec<String>,
    },
    /// There is something of that name already.
    #[error("prefix `{name}` exists in {} already; take another name with `--prefix-name NAME`, or `polder --prefix-name {name} destroy` it first", workdir.display())]
    PrefixExists {
        /// The name.
        name: String,
        /// The workdir.
        workdir: PathBuf,
    },
    /// A prefix cannot be called that.
    #[error("a prefix cannot be called `{name}`: {why}")]
    BadName {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// It was cleaned up, or its making was not finished.
    #[error("the prefix {} is not initialized: it was cleaned up, or `polder init` did not come to its end; `polder destroy` removes it", path.display())]
    NotInitialized {
        /// The prefix.
        path: PathBuf,
    },
    /// A folder has nothing that marks it as a prefix.
    #[error("{} does not look like a prefix; if it is to go, remove it by hand", path.display())]
    NotAPrefix {
        /// The folder.
        path: PathBuf,
    },
    /// Its uuid cannot be used.
    #[error("{} does not hold 32 hexadecimal digits", path.display())]
    BadUuid {
        /// The file.
        path: PathBuf,
    },
    /// Another process works on the prefix.
    #[error("the prefix {} is in use{}", path.display(), holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    InUse {
        /// The prefix.
        path: PathBuf,
        /// Who that is, if it said so.
        holder: Option<Box<Holder>>,
    },
    /// The prefix went away while its lock was waited for.
    #[error("the prefix {} is gone", path.display())]
    Gone {
        /// The prefix.
        path: PathBuf,
    },
    /// Somebody locked it with the verb `lock`.
    #[error("the prefix {} is locked: {protection}; `polder unlock` allows to destroy it", path.display())]
    Protected {
        /// The prefix.
        path: PathBuf,
        /// By whom and why.
        protection: Box<Protection>,
    },
    /// A document.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What Lago wrote about it cannot be used; everything that is wrong.
    #[error("cannot use what Lago wrote in {}{}", prefix.display(), problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    Lago {
        /// The prefix.
        prefix: PathBuf,
        /// One line for each problem.
        problems: Vec<String>,
    },
    /// A file or folder.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Names the file in an input or output error.
pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkdirError + use<> {
    let path = path.to_owned();
    move |source| WorkdirError::File { what, path, source }
}

fn list(title: &str, paths: &[PathBuf]) -> String {
    let lines: String = paths.iter().map(|p| format!("\n  {}", p.display())).collect();
    if lines.is_empty() { lines } else { format!("\n{title}:{lines}") }
}

fn known_names(typed: &str, known: &[String]) -> String {
    match did_you_mean(typed, known.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there are: {}", known.join(", ")),
    }
}
