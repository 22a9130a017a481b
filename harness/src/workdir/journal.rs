//! What a prefix made outside its folder: a line is on disk before each thing is made and after it has gone, so that
//! whatever happens, somebody can find everything. Not how things are removed.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{WorkdirError, error::file, lock::now};

/// What kinds of things are made outside a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A leased subnet.
    Lease,
    /// A hermetic lab.
    Lab,
    /// A network of libvirt.
    Network,
    /// A domain of libvirt.
    Domain,
    /// A machine that somebody else makes.
    Machine,
    /// A file or folder outside the prefix.
    File,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lease => "lease",
            Self::Lab => "lab",
            Self::Network => "network",
            Self::Domain => "domain",
            Self::Machine => "machine",
            Self::File => "file",
        })
    }
}

/// One thing, named so that it can be found without anything else of the prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// Its name where it lives: libvirt's name, a lease's address, a path.
    pub name: String,
    /// Where it lives: a libvirt URI, a folder of leases, a vm-provider; empty when the name says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What happens to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It is about to be made; it may exist from now on.
    Making,
    /// It exists.
    Made,
    /// It does not exist any more.
    Gone,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in seconds since 1970.
    pub time: u64,
    /// What happened to it.
    pub step: Step,
    /// The thing.
    pub thing: Thing,
}

/// The journal of a prefix whose lock is held.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path }
    }

    /// Must have come back before `thing` is made.
    ///
    /// # Errors
    /// The line could not be brought to disk; then nothing must be made.
    pub fn making(&self, thing: &Thing) -> Result<(), WorkdirError> {
        self.append(Step::Making, thing)
    }

    /// The thing exists now.
    ///
    /// # Errors
    /// The line could not be brought to disk.
    pub fn made(&self, thing: &Thing) -> Result<(), WorkdirError> {
        self.append(Step::Made, thing)
    }

    /// The thing does not exist any more.
    ///
    /// # Errors
    /// The line could not be brought to disk.
    pub fn gone(&self, thing: &Thing) -> Result<(), WorkdirError> {
        self.append(Step::Gone, thing)
    }

    fn append(&self, step: Step, thing: &Thing) -> Result<(), WorkdirError> {
        let entry = Entry { time: now(), step, thing: thing.clone() };
        write_line(&self.path, &entry).map_err(file("write", &self.path))
    }
}

fn write_line(path: &Path, entry: &Entry) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    // The last writer may have been killed in the middle of its line.
    if torn(&file)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line)?;
    file.sync_data()
}

fn torn(file: &fs::File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last != [b'\n'])
}

/// What a journal says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The entries that could be read.
    pub entries: Vec<Entry>,
    /// Numbers of the lines that could not; a last line that was cut short is not among them.
    pub skipped: Vec<usize>,
}

impl Record {
    /// Everything that may still exist, in the order of making.
    #[must_use]
    pub fn standing(&self) -> Vec<Thing> {
        let mut latest: BTreeMap<&Thing, (usize, Step)> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let first =
                latest.get(&entry.thing).filter(|(_, step)| *step != Step::Gone).map_or(at, |(at, _)| *at);
            latest.insert(&entry.thing, (first, entry.step));
        }
        let mut standing: Vec<_> = latest.into_iter().filter(|(_, (_, step))| *step != Step::Gone).collect();
        standing.sort_by_key(|(_, (at, _))| *at);
        standing.into_iter().map(|(thing, _)| thing.clone()).collect()
    }
}

/// Reads what can be read; a prefix without a journal made nothing.
pub(super) fn read(path: &Path) -> Result<Record, WorkdirError> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
        Err(e) => Err(file("read", path)(e)),
    }
}

/// Takes every line that is one, whatever lies between them.
pub(super) fn parse(bytes: &[u8]) -> Record {
    let mut record = Record::default();
    let whole = bytes.ends_with(b"\n");
    let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    for (number, line) in (1..).zip(&lines) {
        match serde_json::from_slice(line) {
            Ok(entry) => record.entries.push(entry),
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(_) if !whole && number == lines.len() => {}
            Err(_) => record.skipped.push(number),
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thing(name: &str) -> Thing {
        Thing { kind: Kind::Domain, name: name.into(), place: "qemu:///system".into() }
    }

    #[test]
    fn what_is_not_gone_stands_in_the_order_of_making() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path().join("journal.jsonl"));
        assert_eq!(read(&journal.path).unwrap(), Record::default());
        journal.making(&thing("b")).unwrap();
        journal.making(&thing("a")).unwrap();
        journal.made(&thing("a")).unwrap();
        journal.making(&thing("c")).unwrap();
        journal.gone(&thing("a")).unwrap();
        journal.made(&thing("b")).unwrap();
        assert_eq!(read(&journal.path).unwrap().standing(), [thing("b"), thing("c")]);
        journal.making(&thing("a")).unwrap();
        assert_eq!(read(&journal.path).unwrap().standing(), [thing("b"), thing("c"), thing("a")]);
    }

    #[test]
    fn a_torn_line_is_forgiven_and_garbage_reported() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path().join("journal.jsonl"));
        journal.making(&thing("a")).unwrap();
        let good = fs::read_to_string(&journal.path).unwrap();
        fs::write(&journal.path, format!("garbage\n{good}\n{}", &good[..20])).unwrap();
        let record = read(&journal.path).unwrap();
        assert_eq!((record.skipped.as_slice(), record.standing()), ([1].as_slice(), vec![thing("a")]));
        // The next line does not become part of the torn one.
        journal.making(&thing("b")).unwrap();
        let record = read(&journal.path).unwrap();
        assert_eq!(
            (record.skipped.as_slice(), record.standing()),
            ([1, 4].as_slice(), vec![thing("a"), thing("b")])
        );
    }

    #[test]
    fn a_line_reads_as_people_expect() {
        let entry =
            Entry { time: 5, step: Step::Making, thing: Thing { place: String::new(), ..thing("a") } };
        let text = r#"{"time":5,"step":"making","thing":{"kind":"domain","name":"a"}}"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
    }

    proptest! {
        /// Cutting the file anywhere loses at most the line that was cut.
        #[test]
        fn a_cut_journal_keeps_its_beginning(count in 1..6_usize, cut in 0..1000_usize) {
            let line = |i: usize| {
                let entry = Entry { time: 1, step: Step::Making, thing: thing(&format!("m{i}")) };
                serde_json::to_string(&entry).unwrap() + "\n"
            };
            let text: String = (0..count).map(line).collect();
            let cut = cut.min(text.len());
            let record = parse(&text.as_bytes()[..cut]);
            let whole = text[..cut].matches('\n').count();
            prop_assert!(record.skipped.is_empty());
            // A line cut right before its end of line is complete, too.
            prop_assert!(record.entries.len() == whole || record.entries.len() == whole + 1);
        }
    }
}
