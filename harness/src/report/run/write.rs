//! The files of a report, made from a run's folder.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{junit, left::Left, model::Account, page};
use crate::{
    event::{ReadError, Recording, read},
    report::sink::EVENTS,
};

/// What reports are called in the folder of a run.
const JUNIT: &str = "junit.xml";
const PAGE: &str = "report.html";

/// What was written, and what is worth knowing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// For programs.
    pub(crate) junit: PathBuf,
    /// For people.
    pub(crate) page: PathBuf,
    /// What the report does not tell, in words.
    pub(crate) notes: Vec<String>,
}

/// A report could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The events cannot be had.
    #[error("cannot read the events of the run in {}", path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// They cannot be understood.
    #[error("cannot make a report from {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// A file of the report.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Writes `junit.xml` and `report.html` into the folder of a run, from its events and what else is there.
///
/// # Errors
/// The events cannot be read or understood, or a file not be written.
pub(crate) fn write(folder: &Path) -> Result<Written, ReportError> {
    let path = folder.join(EVENTS);
    let events = fs::read(&path).map_err(|source| ReportError::Events { path: path.clone(), source })?;
    let recording = read(&events).map_err(|source| ReportError::Content { path, source })?;
    let account = Account::new(&recording);
    let left = Left::read(&account, folder);
    // Those who take attachments know nothing of our folder.
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let written =
        Written { junit: folder.join(JUNIT), page: folder.join(PAGE), notes: notes(&recording, &account) };
    let texts = [
        (&written.junit, junit::document(&account, &left, &absolute)),
        (&written.page, page::document(&account, &left, &written.notes)),
    ];
    for (path, text) in texts {
        replace(path, text.as_bytes()).map_err(|source| ReportError::Write { path: path.clone(), source })?;
    }
    Ok(written)
}

fn notes(recording: &Recording, account: &Account) -> Vec<String> {
    let mut notes = Vec::new();
    if !account.finished {
        notes.push("the end of the run is not known: it was killed, or goes on".to_owned());
    }
    if recording.torn {
        notes.push("the last event is cut short, and left out".to_owned());
    }
    if recording.unknown > 0 {
        let count = recording.unknown;
        notes.push(format!("{count} events of kinds that only a later version of Polder knows are left out"));
    }
    notes
}

/// Puts a file in the place of `path`: a reader finds the old or the new one. It is for whoever may read the other files of a run,
/// such as one who collects reports.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(".new-").permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
    file.write_all(content)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
