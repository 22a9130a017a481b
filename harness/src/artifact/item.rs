//! What is to be collected, and what became of it.

use std::{error::Error, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::dial::BoxFuture;

/// One thing to collect.
pub struct Item {
    /// Where it goes, below the folder of the collection; the folder for its parts when it brings several.
    pub path: PathBuf,
    /// From where, for people: "journalctl in web".
    pub source: String,
    /// Gets it.
    pub fetch: Fetch,
}

/// How an item is got: given the path of a file that is not there yet, which becomes the item when it is whole.
pub type Fetch = Box<dyn FnOnce(PathBuf) -> Fetching + Send>;

/// An item on its way.
pub type Fetching = BoxFuture<'static, Result<Fetched, Box<dyn Error + Send + Sync>>>;

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} from {})", self.path.display(), self.source)
    }
}

/// What a fetch brought.
#[derive(Debug)]
pub enum Fetched {
    /// Its content, to be written.
    Bytes(Vec<u8>),
    /// A file of this host, to be copied.
    File(PathBuf),
    /// It wrote to the path it was given by itself.
    InPlace {
        /// In which of several ways it came, for people: "ssh".
        how: String,
    },
    /// Many at once, each with a result of its own; what came is in its place.
    Several(Vec<Part>),
}

/// One of many things that came at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it is, below the item's folder.
    pub path: PathBuf,
    /// From where, for people.
    pub source: String,
    /// The path or pattern somebody asked for, where it came of one.
    pub wanted: Option<String>,
    /// In which of several ways it came, for people.
    pub how: Option<String>,
    /// Its size; nothing when nothing of it came.
    pub bytes: Option<u64>,
    /// Why it could not be had, or not whole.
    pub missing: Option<String>,
}

/// What was collected and what was not, in `manifest.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Every item, in the order it was asked for.
    pub entries: Vec<Entry>,
    /// Why `manifest.json` itself could not be written.
    #[serde(skip)]
    pub unwritten: Option<String>,
}

impl Manifest {
    /// How many items could be had whole.
    #[must_use]
    pub fn had(&self) -> usize {
        self.entries.iter().filter(|e| e.missing.is_none()).count()
    }

    /// How many could not.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.entries.len() - self.had()
    }
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place below the collection's folder.
    pub path: PathBuf,
    /// From where.
    pub source: String,
    /// The path or pattern somebody asked for, where it came of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// How it came, where there are several ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// Its size; with `missing`, the size of the part that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it could not be had, or not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}
