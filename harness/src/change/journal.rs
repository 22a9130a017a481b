//! The journal of a run: what is about to happen is on disk before it does. A run is a folder with the journal, and beside it
//! what was said to devices and by them. Values of variables are in neither, secrets nowhere.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    plan::Plan,
    state_machine::{Entry, Machine, Record, Report},
};
use crate::base::{
    lines::{self, Lines, LinesError},
    owner::Owner,
};

/// The version of the form.
const VERSION: u32 = 1;
const JOURNAL: &str = "journal.jsonl";
pub(crate) const TRANSCRIPT: &str = "transcript.log";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The version of the form.
    pub version: u32,
    /// What tells the plan from others.
    pub digest: String,
    /// Whose run it is.
    pub owner: Owner,
    /// The file that the changes are from, if they are from one.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Which dialect was asked for, instead of the one that the file says.
    #[serde(default)]
    pub dialect: Option<String>,
    /// The only devices.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Changes that count as done.
    #[serde(default)]
    pub skipped: Vec<String>,
    /// Whether everything counts as applied from the beginning.
    #[serde(default)]
    pub backout_only: bool,
    /// The number of another order than the declared one.
    #[serde(default)]
    pub seed: Option<u64>,
}

/// A journal of our own, to be written.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
    files: Arc<Mutex<Files>>,
}

#[derive(Debug)]
struct Files {
    journal: Lines,
    transcript: File,
}

/// A journal as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The folder of the run.
    pub folder: PathBuf,
    /// The first line.
    pub head: Head,
    /// What happened.
    pub entries: Vec<Entry>,
}

/// A journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file.
    #[error("cannot {what} the journal in {}", folder.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The folder of the run.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is damaged.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// It has no first line, because its run ended before it began.
    #[error("the journal in {} is empty: its run ended before anything was done", .0.display())]
    Empty(PathBuf),
    /// Another version of the program wrote it.
    #[error("the journal in {} has format {found}, this polder knows format {VERSION}; use the version that wrote it", folder.display())]
    Version {
        /// The folder of the run.
        folder: PathBuf,
        /// The format it has.
        found: u32,
    },
    /// Its plan is another one.
    #[error(
        "the run in {} had another plan: the changes, their variables or devices are not what they were; \
         set them back to go on with it",
        .0.display()
    )]
    OtherPlan(PathBuf),
}

impl JournalError {
    /// Whether somebody else has the journal at this moment.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether there is no journal, because its run ended before anything was done.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Lines(LinesError::File { source, .. }) => source.kind() == io::ErrorKind::NotFound,
            error => matches!(error, Self::Empty(_)),
        }
    }
}

/// The line of a file, one at a time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Head(Head),
    Entry(Entry),
}

impl Head {
    /// The first line of a run of this process.
    ///
    /// # Errors
    /// The process cannot be told from others.
    pub fn new(digest: String) -> io::Result<Self> {
        Ok(Self {
            version: VERSION,
            digest,
            owner: Owner::current()?,
            file: None,
            dialect: None,
            devices: Vec::new(),
            skipped: Vec::new(),
            backout_only: false,
            seed: None,
        })
    }
}

impl Journal {
    /// Begins a journal in `folder`, which is made unless it is there.
    ///
    /// # Errors
    /// It cannot be written, or there is one.
    pub fn create(folder: &Path, head: Head) -> Result<Self, JournalError> {
        let file = |source| JournalError::File { what: "begin", folder: folder.to_owned(), source };
        let grown = grows(folder);
        fs::create_dir_all(folder).map_err(file)?;
        for grown in grown {
            File::open(grown).and_then(|grown| grown.sync_all()).map_err(file)?;
        }
        let mut journal = Lines::create(&folder.join(JOURNAL), &Line::Head(head)).map_err(file)?;
        journal.lock().map_err(file)?;
        Self::with(folder, journal)
    }

    fn with(folder: &Path, journal: Lines) -> Result<Self, JournalError> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        let transcript = options.create(true).append(true).mode(0o600).open(folder.join(TRANSCRIPT));
        let transcript = transcript.map_err(|source| JournalError::File {
            what: "begin the transcript beside",
            folder: folder.to_owned(),
            source,
        })?;
        Ok(Self { folder: folder.to_owned(), files: Arc::new(Mutex::new(Files { journal, transcript })) })
    }

    /// Brings entries to disk, all with one flush, and what was said meanwhile beside them.
    ///
    /// # Errors
    /// They could not be brought to disk; what they announce must not be done then.
    pub async fn append(&self, entries: Vec<Entry>, said: String) -> Result<(), JournalError> {
        let files = Arc::clone(&self.files);
        let write = move || {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            if !said.is_empty() {
                files.transcript.write_all(said.as_bytes())?;
            }
            let lines: Vec<Line> = entries.into_iter().map(Line::Entry).collect();
            if lines.is_empty() { Ok(()) } else { files.journal.append(&lines) }
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(io::Error::other).flatten();
        written.map_err(|source| JournalError::File { what: "write", folder: self.folder.clone(), source })
    }

    /// The folder of the run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where what was said is.
    #[must_use]
    pub fn transcript(&self) -> PathBuf {
        self.folder.join(TRANSCRIPT)
    }
}

impl Recorded {
    /// Reads the journal in a folder. A last line that was cut short never counted.
    ///
    /// # Errors
    /// There is none, it is damaged, or another version wrote it.
    pub fn read(folder: &Path) -> Result<Self, JournalError> {
        let path = folder.join(JOURNAL);
        let mut lines = lines::read::<Line>(&path)?.into_iter();
        let head = match lines.next() {
            Some(Line::Head(head)) => head,
            Some(Line::Entry(_)) => {
                let why = "the first line has to say whose run it is".to_owned();
                return Err(LinesError::Damaged { path, line: 1, why }.into());
            }
            None => return Err(JournalError::Empty(folder.to_owned())),
        };
        if head.version != VERSION {
            return Err(JournalError::Version { folder: folder.to_owned(), found: head.version });
        }
        let entry = |(number, line)| match line {
            Line::Entry(entry) => Ok(entry),
            Line::Head(_) => {
                let why = "a second beginning".to_owned();
                Err(LinesError::Damaged { path: path.clone(), line: number + 2, why }.into())
            }
        };
        let entries = lines.enumerate().map(entry).collect::<Result<_, JournalError>>()?;
        Ok(Self { folder: folder.to_owned(), head, entries })
    }

    /// Takes the journal, to write on in it.
    ///
    /// # Errors
    /// Somebody else has it, or it cannot be written.
    pub fn take(&self) -> Result<Journal, JournalError> {
        let journal = Lines::take(&self.folder.join(JOURNAL)).map_err(|source| JournalError::File {
            what: "take",
            folder: self.folder.clone(),
            source,
        })?;
        Journal::with(&self.folder, journal)
    }

    /// Whether somebody works on it: the process that began it, or one that has its journal.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn is_busy(&self) -> Result<bool, JournalError> {
        let is_over = self.entries.last().is_some_and(|entry| matches!(entry.record, Record::Over { .. }));
        if is_over || self.head.owner.is_alive() {
            return Ok(!is_over);
        }
        let journal = File::open(self.folder.join(JOURNAL)).map_err(|source| JournalError::File {
            what: "open",
            folder: self.folder.clone(),
            source,
        })?;
        Ok(journal.try_lock_shared().is_err())
    }

    /// Whether its plan is the one with this digest.
    ///
    /// # Errors
    /// It is another one.
    pub fn check(&self, digest: &str) -> Result<(), JournalError> {
        if self.head.digest == digest { Ok(()) } else { Err(JournalError::OtherPlan(self.folder.clone())) }
    }

    /// What becomes of a machine to which all of this happened.
    pub fn replay(&self, machine: &mut Machine<'_>) {
        if self.head.backout_only {
            machine.assume_applied();
        }
        self.entries.iter().for_each(|entry| machine.fold(entry));
    }

    /// What has become of this run of `plan` by now, or by the time of the last entry: what nobody runs stands still.
    #[must_use]
    pub fn report(&self, plan: &Plan, now: Option<u64>) -> Report {
        let mut machine = Machine::new(plan, 1, &self.head.skipped);
        self.replay(&mut machine);
        machine.next(now.unwrap_or_else(|| self.entries.last().map_or(0, |entry| entry.at)));
        machine.report()
    }
}

/// The folders that get a new one in them when this one is made.
fn grows(folder: &Path) -> Vec<PathBuf> {
    let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let parent = |folder: &Path| match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => folder.to_owned(),
    };
    missing.map(parent).collect()
}

/// The folder of runs below the one in which everything is kept that outlasts a run.
#[must_use]
pub fn run_folder(cache: &Path) -> PathBuf {
    cache.join("changes")
}

/// The folders of runs in `folder`, oldest first by their names. A folder that is not there has none.
///
/// # Errors
/// It cannot be read.
pub fn run_folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join(JOURNAL).is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64) -> Entry {
        Entry { at, record: Record::Stopped { why: "x".to_owned() } }
    }

    #[tokio::test]
    async fn what_was_cut_short_never_counted_and_other_damage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let head = Head::new("d1".to_owned()).unwrap();
        let journal = Journal::create(&folder, head.clone()).unwrap();
        journal.append(vec![entry(1), entry(2)], "said".to_owned()).await.unwrap();
        journal.append(vec![], String::new()).await.unwrap();
        assert!(Journal::create(&folder, head.clone()).is_err());
        let recorded = Recorded::read(&folder).unwrap();
        assert_eq!((recorded.head.clone(), recorded.entries.clone()), (head, vec![entry(1), entry(2)]));
        assert_eq!(fs::read_to_string(journal.transcript()).unwrap(), "said");
        // It is taken until its writer is gone.
        assert!(recorded.take().is_err());
        drop(journal);
        let path = folder.join(JOURNAL);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let cut = Recorded::read(&folder).unwrap();
        assert_eq!(cut.entries, [entry(1)]);
        cut.take().unwrap().append(vec![entry(3)], String::new()).await.unwrap();
        assert_eq!(Recorded::read(&folder).unwrap().entries, [entry(1), entry(3)]);
        assert!(cut.check("d1").is_ok());
        let other = cut.check("d2").unwrap_err().to_string();
        assert!(other.contains("had another plan"), "{other}");
    }

    #[rstest::rstest]
    #[case("", "ended before anything was done")]
    #[case("{\"entry\":{\"at\":1,\"record\":\"resumed\"}}\n", "line 1: the first line has to say")]
    #[case("nonsense\n", "damaged at line 1")]
    fn what_is_no_journal_is_named(#[case] text: &str, #[case] expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(JOURNAL), text).unwrap();
        let error = Recorded::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn another_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut head = Head::new("d".to_owned()).unwrap();
        head.version = 2;
        Journal::create(dir.path(), head).unwrap();
        let error = Recorded::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("has format 2"), "{error}");
    }
}
