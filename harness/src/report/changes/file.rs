//! The file of a report: in which form its name says it is, and how it gets there.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    str::FromStr,
};

use super::{junit, model::Account, page};
use crate::change::{Plan, Recorded, Report};

/// What a page, and a report for programs, are called beside the journal of their run.
const PAGE: &str = "report.html";
const DATA: &str = "report.json";

/// A file that a report is written into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportFile {
    path: PathBuf,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Junit,
    Page,
}

/// A report could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// Nothing says in which form.
    #[error(
        "`{0}` does not say in which form the report is to be: its name ends with .json, with .xml for JUnit's form, or with .html \
         for a page"
    )]
    Ending(String),
    /// There is no folder for it.
    #[error("there is no folder {} for the report; make it first", .0.display())]
    NoFolder(PathBuf),
    /// What the run left could not be read.
    #[error("cannot read {} for the report", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file.
    #[error("cannot write the report {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What a name says.
impl FromStr for ReportFile {
    type Err = ReportError;

    fn from_str(name: &str) -> Result<Self, ReportError> {
        let path = PathBuf::from(name);
        let form = match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Form::Json,
            Some("xml") => Form::Junit,
            Some("html") => Form::Page,
            _ => return Err(ReportError::Ending(name.to_owned())),
        };
        Ok(Self { path, form })
    }
}

impl ReportFile {
    /// Whether it could be written. Looked at before anything is done.
    ///
    /// # Errors
    /// Its folder is not there.
    pub(crate) fn check(&self) -> Result<(), ReportError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match folder.filter(|folder| !folder.is_dir()) {
            Some(folder) => Err(ReportError::NoFolder(folder.to_owned())),
            None => Ok(()),
        }
    }

    /// Writes what became of a run of `plan`: `report`, and what its journal and the transcript beside it have.
    ///
    /// # Errors
    /// The transcript cannot be read, or the file not be written.
    pub(crate) fn write(&self, plan: &Plan, report: &Report, recorded: &Recorded) -> Result<(), ReportError> {
        let transcript = recorded.folder.join(crate::change::TRANSCRIPT);
        // Bytes that are cut short in the middle of a character are those of a process that was killed.
        let said = fs::read(&transcript).map_err(|source| ReportError::Read { path: transcript, source })?;
        let is_busy = recorded.is_busy().unwrap_or(true);
        let account = Account::new(plan, report, recorded, &String::from_utf8_lossy(&said), is_busy);
        let failed = |source| ReportError::Write { path: self.path.clone(), source };
        let text = match self.form {
            Form::Json => serde_json::to_string_pretty(&account).map_err(|e| failed(e.into()))? + "\n",
            Form::Junit => junit::document(&account),
            Form::Page => page::document(&account),
        };
        // It tells what devices said: not for everybody.
        let mut file = OpenOptions::new();
        file.write(true).create(true).truncate(true).mode(0o600);
        file.open(&self.path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
    }
}

/// Writes what became of a run of `plan` beside its journal, for people and for programs; says where the page for people is.
///
/// # Errors
/// The transcript cannot be read, or a file not be written.
pub(crate) fn keep(plan: &Plan, report: &Report, recorded: &Recorded) -> Result<PathBuf, ReportError> {
    let [page, data] = [PAGE, DATA].map(|name| recorded.folder.join(name));
    ReportFile { path: data, form: Form::Json }.write(plan, report, recorded)?;
    ReportFile { path: page.clone(), form: Form::Page }.write(plan, report, recorded)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("r.json", Some(Form::Json))]
    #[case("a/r.xml", Some(Form::Junit))]
    #[case("r.x.html", Some(Form::Page))]
    #[case("r.txt", None)]
    #[case("html", None)]
    #[case(".json", None)]
    #[case("r.html/", Some(Form::Page))]
    #[case("", None)]
    fn the_ending_says_the_form(#[case] name: &str, #[case] form: Option<Form>) {
        let file: Result<ReportFile, _> = name.parse();
        match (file, form) {
            (Ok(file), Some(form)) => assert_eq!(file.form, form),
            (Err(error), None) => assert!(error.to_string().contains("ends with .json"), "{error}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_before() {
        let file: ReportFile = "no/such/folder/r.html".parse().unwrap();
        assert!(file.check().unwrap_err().to_string().contains("no folder no/such/folder"));
        assert!("r.html".parse::<ReportFile>().unwrap().check().is_ok());
    }
}
