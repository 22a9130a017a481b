//! What a session does to a portal, written down before it is done, with how it is undone: whatever happens to this process,
//! somebody else can set everything back. Addresses and the user's name are in it, passwords and tokens never.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::lease::Lease;
use crate::base::{lines::Lines, owner::Owner};

/// The first line: which portal, and whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Addresses of the portal's nodes.
    pub nodes: Vec<String>,
    /// The user; none with a token.
    pub user: Option<String>,
    /// What the names of everything begin with that the session makes.
    pub prefix: String,
    /// The process whose session it is.
    pub owner: Owner,
    /// Whether the portal is a part of that process, and gone with it.
    pub is_embedded: bool,
}

/// How one thing is undone. Each can be done twice, and does nothing where there is nothing to undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum Undo {
    /// A configlet was made.
    DeleteConfiglet {
        /// Its name.
        name: String,
    },
    /// A configlet's text was changed.
    RestoreConfiglet {
        /// Its name.
        name: String,
        /// The text before.
        text: String,
    },
    /// The configlets of a device were changed.
    RestoreDevice {
        /// The device's MAC address.
        device: String,
        /// Names of its own configlets before, in order.
        configlets: Vec<String>,
    },
    /// The configlets of a container were changed.
    RestoreContainer {
        /// The container's name.
        container: String,
        /// Names of its own configlets before, in order.
        configlets: Vec<String>,
    },
    /// A device was moved.
    MoveBack {
        /// The device's MAC address.
        device: String,
        /// Key of the container it was in.
        container: String,
    },
    /// A container was made.
    DeleteContainer {
        /// Its name.
        name: String,
    },
    /// A change control was made.
    DeleteChange {
        /// Its id; on the oldest portals, its name.
        id: String,
    },
    /// A device or container was leased: the tasks that were made for it since then, and that nobody has executed, go.
    EndLease {
        /// The device's MAC address, or the container's key.
        of: String,
        /// What the lease says.
        by: Lease,
    },
}

impl Undo {
    /// What the session made that is to go, by its name or id.
    pub(super) fn about(&self) -> Option<&String> {
        match self {
            Self::DeleteConfiglet { name } | Self::DeleteContainer { name } => Some(name),
            Self::DeleteChange { id } => Some(id),
            Self::EndLease { of, .. } => Some(of),
            _ => None,
        }
    }
}

/// What is undone, for people.
impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteConfiglet { name } => write!(f, "delete the configlet `{name}`"),
            Self::RestoreConfiglet { name, .. } => write!(f, "set the text of the configlet `{name}` back"),
            Self::RestoreDevice { device, .. } => write!(f, "set the configlets of the device {device} back"),
            Self::RestoreContainer { container, .. } => {
                write!(f, "set the configlets of the container `{container}` back")
            }
            Self::MoveBack { device, .. } => write!(f, "move the device {device} back"),
            Self::DeleteContainer { name } => write!(f, "remove the container `{name}`"),
            Self::DeleteChange { id } => write!(f, "delete the change control {id}"),
            Self::EndLease { of, .. } => write!(f, "end the lease of {of}"),
        }
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Head(Head),
    /// It is about to be done; it may have been done from now on.
    About {
        number: u64,
        #[serde(flatten)]
        undo: Undo,
    },
    /// It is undone, or was never done.
    Undone {
        number: u64,
    },
}

/// The journal of one session.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Lines,
    next: u64,
    standing: Vec<(u64, Undo)>,
    /// Nothing more is to be done.
    is_over: bool,
}

/// A journal as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub head: Head,
    /// What is to be undone, newest first.
    pub standing: Vec<(u64, Undo)>,
}

impl Journal {
    /// Begins a journal in `folder`, under a name of its own.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(folder: &Path, head: Head) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let name = format!("{}{}-{}.jsonl", head.prefix, head.owner.pid, head.owner.started);
        let path = folder.join(name);
        let file = Lines::create(&path, &Line::Head(head))?;
        Ok(Self { path, state: Mutex::new(State { file, next: 0, standing: Vec::new(), is_over: false }) })
    }

    /// Takes a journal that was found, to undo what stands in it.
    ///
    /// # Errors
    /// It cannot be written, or somebody else has taken it.
    pub fn resume(found: &Found) -> io::Result<Self> {
        let file = Lines::take(&found.path)?;
        let standing = found.standing.iter().rev().cloned().collect();
        let state = State { file, next: 0, standing, is_over: true };
        Ok(Self { path: found.path.clone(), state: Mutex::new(state) })
    }

    /// Must have come back before it is done.
    ///
    /// # Errors
    /// The line could not be brought to disk, or the session is over; then nothing must be done.
    pub fn about(&self, undo: Undo) -> io::Result<u64> {
        let mut state = self.lock();
        if state.is_over {
            return Err(io::Error::other("the session is over"));
        }
        let number = state.next;
        state.file.append(&[Line::About { number, undo: undo.clone() }])?;
        state.next += 1;
        state.standing.push((number, undo));
        Ok(number)
    }

    /// It is undone, or was never done.
    ///
    /// # Errors
    /// The line could not be brought to disk.
    pub fn undone(&self, number: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.file.append(&[Line::Undone { number }])?;
        state.standing.retain(|(other, _)| *other != number);
        Ok(())
    }

    /// What is to be undone, newest first.
    #[must_use]
    pub fn standing(&self) -> Vec<(u64, Undo)> {
        self.lock().standing.iter().rev().cloned().collect()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on nothing more is to be done, only undone.
    pub fn end(&self) {
        self.lock().is_over = true;
    }

    /// Everything is undone: the journal goes.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        self.end();
        fs::remove_file(&self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of journals below the one in which everything is kept that outlasts a run.
#[must_use]
pub fn journal_folder(cache: &Path) -> PathBuf {
    cache.join("portals")
}

/// All journals in `folder`, and the files there that are none. A folder that is not there has none.
///
/// # Errors
/// The folder cannot be read.
pub fn journals(folder: &Path) -> io::Result<(Vec<Found>, Vec<PathBuf>)> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        Err(error) => return Err(error),
    };
    let (mut found, mut odd) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry?.path();
        match fs::read(&path).ok().and_then(|bytes| parse(&bytes)) {
            Some((head, standing)) => found.push(Found { path, head, standing }),
            None => odd.push(path),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((found, odd))
}

/// The head and what is to be undone, newest first; lines that are none are passed over, the last one may have been cut short.
fn parse(bytes: &[u8]) -> Option<(Head, Vec<(u64, Undo)>)> {
    let mut lines = bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let Some(Line::Head(head)) = lines.next() else { return None };
    let (mut standing, mut undone) = (Vec::new(), BTreeSet::new());
    for line in lines {
        match line {
            Line::About { number, undo } => standing.push((number, undo)),
            Line::Undone { number } => drop(undone.insert(number)),
            Line::Head(_) => {}
        }
    }
    standing.retain(|(number, _)| !undone.contains(number));
    standing.reverse();
    Some((head, standing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            nodes: vec!["cvp1".into()],
            user: Some("ada".into()),
            prefix: "polder-x-".into(),
            owner: Owner::current().unwrap(),
            is_embedded: false,
        }
    }

    fn delete(name: &str) -> Undo {
        Undo::DeleteConfiglet { name: name.into() }
    }

    #[test]
    fn what_is_not_undone_stands_newest_first_also_in_the_eyes_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cvp");
        assert_eq!(journals(&folder).unwrap(), (vec![], vec![]));
        let journal = Journal::create(&folder, head()).unwrap();
        let numbers: Vec<u64> =
            ["a", "b", "c"].iter().map(|name| journal.about(delete(name)).unwrap()).collect();
        journal.undone(numbers[1]).unwrap();
        let expected = vec![(2, delete("c")), (0, delete("a"))];
        assert_eq!(journal.standing(), expected);
        let (found, odd) = journals(&folder).unwrap();
        assert_eq!((found[0].standing.clone(), found[0].head.clone(), odd), (expected, head(), vec![]));

        let resumed = Journal::resume(&found[0]).unwrap();
        assert!(Journal::resume(&found[0]).unwrap_err().to_string().contains("another process"));
        assert_eq!(resumed.about(delete("d")).unwrap_err().to_string(), "the session is over");
        for (number, _) in resumed.standing() {
            resumed.undone(number).unwrap();
        }
        assert_eq!(journals(&folder).unwrap().0[0].standing, []);
        resumed.remove().unwrap();
        assert_eq!(journals(&folder).unwrap(), (vec![], vec![]));
    }

    #[test]
    fn a_journal_that_is_cut_anywhere_keeps_all_lines_before() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(dir.path(), head()).unwrap();
        for name in ["a", "b", "c"] {
            journal.about(delete(name)).unwrap();
        }
        let bytes = fs::read(&journal.path).unwrap();
        let first = bytes.iter().position(|&byte| byte == b'\n').unwrap();
        for cut in first..=bytes.len() {
            let (_, standing) = parse(&bytes[..cut]).unwrap();
            let whole = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
            assert!(standing.len() == whole || standing.len() == whole + 1, "{cut}");
        }
        assert_eq!(parse(b"garbage\n"), None);
    }
}
