//! Jobs as they stand in a job file, with the place of every word that the portal may have to say something about. Nothing
//! here was held against a portal yet.

use std::time::SystemTime;

use crate::initfile::Span;

/// A word of a job file, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: Span,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// What people call it; `job 3` where it has no name.
    pub(super) name: String,
    /// Where it begins.
    pub(super) at: Span,
    pub(super) action: Action,
    /// Whether what it makes is executed now; absent: what is usual for the action.
    pub(super) apply: Option<bool>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// There shall be this configlet with this text, and these devices shall hold it.
    Add { configlet: Word, text: String, devices: Vec<Word> },
    /// The configlet shall have this text; where there is none, it is added.
    Update { configlet: Word, text: String, devices: Option<Vec<Word>> },
    /// Nobody shall hold the configlet, and it shall be gone.
    Delete { configlet: Word },
    /// These devices shall hold the configlet.
    AddDevices { configlet: Word, devices: Vec<Word> },
    /// These devices shall not hold it.
    RemoveDevices { configlet: Word, devices: Vec<Word> },
    /// Tasks are executed by a change control.
    Change(Box<ChangeJob>),
    /// There shall be a new container.
    Create { container: Word, parent: Option<Word> },
    /// An empty container shall be gone.
    Destroy { container: Word },
    /// These devices shall be in the container.
    Attach { container: Word, devices: Vec<Word> },
}

impl Action {
    /// Its type and action, as they are written.
    pub(super) fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Add { .. } => ("configlet", "add"),
            Self::Update { .. } => ("configlet", "update"),
            Self::Delete { .. } => ("configlet", "delete"),
            Self::AddDevices { .. } => ("configlet", "add-devices"),
            Self::RemoveDevices { .. } => ("configlet", "remove-devices"),
            Self::Change(_) => ("change-control", ""),
            Self::Create { .. } => ("container", "create"),
            Self::Destroy { .. } => ("container", "destroy"),
            Self::Attach { .. } => ("container", "attach-device"),
        }
    }
}

/// A change control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangeJob {
    /// What the portal shall call it.
    pub(super) name: String,
    pub(super) start: Start,
    /// The zone of its clock, for portals that show it.
    pub(super) time_zone: Option<String>,
    /// The country, as the oldest portals' page calls it.
    pub(super) country: String,
    /// Key or name of the template of snapshots that are taken before and after.
    pub(super) template: Option<Word>,
    pub(super) order: Order,
    pub(super) stop_on_error: StopOnError,
    pub(super) tasks: Which,
}

/// When a change control starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// When somebody approves and starts it.
    Manual,
    /// At once.
    Now,
    /// By itself, at a time.
    At {
        at: SystemTime,
        /// The same on a clock of its time zone, `YYYY-MM-DD HH:MM`.
        wall: String,
        /// Where it was written.
        span: Span,
    },
}

/// The order of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// All at once; `linear` to the uploader.
    Parallel,
    /// One after the other; `incremental` to the uploader.
    Serial,
}

/// What becomes of the rest when a task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopOnError {
    /// Nothing more is begun.
    Yes,
    /// It goes on, which only the oldest portals know; where that was said.
    No(Span),
}

/// Which tasks a change control executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that earlier jobs of the file made and nobody has executed.
    OfThisRun,
    /// All that are pending at the portal, whoever made them.
    Pending,
}
