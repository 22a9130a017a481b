//! What is to be done and in which order, and how far it is: the same for all of the portal's APIs.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use crate::{
    base::id::random_uuid,
    cvp::{error::CvpError, task::TaskId},
};

/// A change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What the portal shall call it: unlike any other. The oldest portals make their own.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// A note.
    pub notes: String,
    /// Rows of stages: those of one row at the same time, the rows one after the other.
    pub rows: Vec<Vec<Stage>>,
    /// When it shall start by itself once it is approved, on the oldest portals; others are told by
    /// [`Client::schedule_change`](crate::cvp::Client::schedule_change).
    pub legacy: Legacy,
}

/// What only portals before 2019 know of change controls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legacy {
    /// Whether it takes the devices back to a snapshot, instead of executing tasks.
    pub is_rollback: bool,
    /// The country of the time zone, as the portal's page calls it.
    pub country: String,
    /// The time zone of its schedule, such as `Europe/Paris`.
    pub time_zone: String,
    /// Whether nothing more is begun after a task failed; newer portals always stop.
    pub stop_on_error: bool,
    /// When it shall start, `YYYY-MM-DD HH:MM` in its time zone; empty: when it is started.
    pub at: String,
}

impl Default for Legacy {
    fn default() -> Self {
        Self {
            is_rollback: false,
            country: String::new(),
            time_zone: "UTC".to_owned(),
            stop_on_error: true,
            at: String::new(),
        }
    }
}

/// A stage of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// A task is executed.
    Task(TaskId),
    /// A snapshot is taken of a device.
    Snapshot {
        /// Name or key of the snapshot's template.
        template: String,
        /// Serial number of the device.
        device: String,
    },
    /// Something else the portal can do.
    Action {
        /// The action's name, such as `mlaghealthcheck`.
        action: String,
        /// Its arguments.
        args: BTreeMap<String, String>,
    },
    /// Further rows of stages.
    Rows {
        /// What people call it.
        name: String,
        /// The rows.
        rows: Vec<Vec<Stage>>,
    },
}

impl Change {
    /// A change without stages, of an id of its own.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            id: random_uuid(),
            name: name.into(),
            notes: String::new(),
            rows: Vec::new(),
            legacy: Legacy::default(),
        }
    }

    /// With further stages, one after the other.
    #[must_use]
    pub fn series(mut self, tasks: impl IntoIterator<Item = TaskId>) -> Self {
        self.rows.extend(tasks.into_iter().map(|task| vec![Stage::Task(task)]));
        self
    }

    /// With further stages, all at the same time.
    #[must_use]
    pub fn parallel(mut self, tasks: impl IntoIterator<Item = TaskId>) -> Self {
        let row: Vec<Stage> = tasks.into_iter().map(Stage::Task).collect();
        if !row.is_empty() {
            self.rows.push(row);
        }
        self
    }

    /// With a further row of stages.
    #[must_use]
    pub fn row(mut self, stages: impl IntoIterator<Item = Stage>) -> Self {
        self.rows.push(stages.into_iter().collect());
        self
    }

    /// With a snapshot of each device, named by its serial number, before everything and after everything.
    #[must_use]
    pub fn snapshots(mut self, template: &str, devices: &[String]) -> Self {
        let row = || -> Vec<Stage> {
            let snapshot =
                |device: &String| Stage::Snapshot { template: template.into(), device: device.clone() };
            devices.iter().map(snapshot).collect()
        };
        if !devices.is_empty() {
            self.rows.insert(0, row());
            self.rows.push(row());
        }
        self
    }

    /// The tasks in it, in order.
    #[must_use]
    pub fn tasks(&self) -> Vec<&TaskId> {
        fn of<'a>(rows: &'a [Vec<Stage>], all: &mut Vec<&'a TaskId>) {
            for stage in rows.iter().flatten() {
                match stage {
                    Stage::Task(id) => all.push(id),
                    Stage::Rows { rows, .. } => of(rows, all),
                    Stage::Snapshot { .. } | Stage::Action { .. } => {}
                }
            }
        }
        let mut all = Vec::new();
        of(&self.rows, &mut all);
        all
    }

    /// What is wrong with it, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.id.trim().is_empty() {
            return Err("it has no id, which breaks the portal's page".to_owned());
        }
        if self.name.trim().is_empty() {
            return Err("it has no name".to_owned());
        }
        if self.rows.iter().all(Vec::is_empty) {
            return Err("it has no stage".to_owned());
        }
        let mut known = HashSet::new();
        match self.tasks().into_iter().find(|task| !known.insert(*task)) {
            Some(twice) => Err(format!("the task {twice} is in it twice")),
            None => Ok(()),
        }
    }
}

/// A change control of the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeControl {
    /// What the portal calls it.
    pub id: String,
    /// What people call it; some have no name.
    pub name: String,
    /// How far it is.
    pub status: ChangeStatus,
    /// What went wrong; newer portals call it completed all the same.
    pub error: Option<String>,
    /// Whether it is approved as it is now; portals from 2019.0 to 2021.1 do not tell.
    pub is_approved: Option<bool>,
    /// When it starts by itself, in the portal's words.
    pub schedule: Option<String>,
    /// When it was changed last, in the portal's words; an approval names it.
    pub version: String,
    /// Its stages by their ids.
    pub stages: BTreeMap<String, StageState>,
}

/// How far a change control is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeStatus {
    /// It was not started.
    NotStarted,
    /// It starts by itself.
    Scheduled,
    /// It runs.
    Running,
    /// It is over, well or not: see [`ChangeControl::error`].
    Completed,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl ChangeStatus {
    pub(super) fn has_begun(self) -> bool {
        !matches!(self, Self::NotStarted | Self::Scheduled)
    }
}

impl fmt::Display for ChangeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "not started",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// A stage and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageState {
    /// What people call it.
    pub name: String,
    /// The task it executes, if it executes one.
    pub task: Option<TaskId>,
    /// How far it is.
    pub status: StageStatus,
    /// What went wrong.
    pub error: Option<String>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StageStatus {
    /// It was not begun.
    #[default]
    NotStarted,
    /// It runs.
    Running,
    /// It is over, well or not.
    Completed,
}

impl ChangeControl {
    /// Whether nothing of it goes on any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let over =
            matches!(self.status, ChangeStatus::Completed | ChangeStatus::Failed | ChangeStatus::Cancelled);
        // One that was not approved when its time came is told so, and never starts.
        over || (self.error.is_some() && !matches!(self.status, ChangeStatus::Running))
    }

    pub(in crate::cvp) fn is_running(&self) -> bool {
        self.status == ChangeStatus::Running
    }

    /// The tasks in it, each with its stage's name.
    #[must_use]
    pub fn tasks(&self) -> Vec<(TaskId, String)> {
        self.stages.values().filter_map(|stage| Some((stage.task.clone()?, stage.name.clone()))).collect()
    }

    /// Whether it ended well.
    ///
    /// # Errors
    /// [`CvpError::ChangeFailed`] with the stages that failed and why.
    pub fn outcome(&self) -> Result<(), CvpError> {
        let mut failed: Vec<String> = Vec::new();
        for stage in self.stages.values() {
            if let Some(error) = &stage.error {
                let task = stage.task.as_ref().map(|task| format!(" (task {task})")).unwrap_or_default();
                failed.push(format!("stage {}{task}: {error}", stage.name));
            }
        }
        // Errors are copied up to the stages above and to the whole: they are told once.
        if let Some(error) = &self.error
            && failed.iter().all(|told| !told.contains(error.as_str()))
        {
            failed.insert(0, error.clone());
        }
        let ended_well = self.status == ChangeStatus::Completed && failed.is_empty();
        if ended_well {
            return Ok(());
        }
        if failed.is_empty() {
            failed.push(format!("it is {}", self.status));
        }
        Err(CvpError::ChangeFailed { name: self.shown().to_owned(), why: failed.join("; ") })
    }

    /// How far it is, in one line.
    #[must_use]
    pub fn progress(&self) -> String {
        let count = |status| {
            self.stages.values().filter(|stage| stage.task.is_some() && stage.status == status).count()
        };
        let (done, running) = (count(StageStatus::Completed), count(StageStatus::Running));
        let all = self.tasks().len();
        format!("{}, {done} of {all} tasks done, {running} running", self.status)
    }

    fn shown(&self) -> &str {
        if self.name.is_empty() { &self.id } else { &self.name }
    }

    /// What changes while it runs.
    pub(super) fn states(&self) -> (ChangeStatus, Option<String>, Vec<StageStatus>) {
        (self.status, self.error.clone(), self.stages.values().map(|stage| stage.status).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<TaskId> {
        ids.iter().map(|id| TaskId((*id).to_owned())).collect()
    }

    #[test]
    fn rows_follow_one_another_with_snapshots_around_them() {
        let change = Change::new("x").series(ids(&["1", "2"])).parallel(ids(&["3", "4"]));
        let lengths = |change: &Change| change.rows.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&change), [1, 1, 2]);
        let change = change.snapshots("t", &["SN1".into(), "SN2".into(), "SN3".into()]);
        assert_eq!(lengths(&change), [3, 1, 1, 2, 3]);
        assert_eq!(change.tasks(), ids(&["1", "2", "3", "4"]).iter().collect::<Vec<_>>());
        assert_eq!(change.check(), Ok(()));
    }

    #[rstest::rstest]
    #[case(Change::new("x"), "it has no stage")]
    #[case(Change::new(" ").series(ids(&["1"])), "it has no name")]
    #[case(Change { id: String::new(), ..Change::new("x").series(ids(&["1"])) }, "it has no id, which breaks the portal's page")]
    #[case(Change::new("x").series(ids(&["1", "2"])).parallel(ids(&["2"])), "the task 2 is in it twice")]
    fn changes_that_no_portal_can_do(#[case] change: Change, #[case] why: &str) {
        assert_eq!(change.check(), Err(why.to_owned()));
    }

    fn ended(status: ChangeStatus, error: Option<&str>, stage: Option<&str>) -> Result<(), String> {
        let state = StageState {
            name: "s1".into(),
            task: Some(TaskId("7".into())),
            status: StageStatus::Completed,
            error: stage.map(str::to_owned),
        };
        let change = ChangeControl {
            id: "c".into(),
            name: "window 7".into(),
            status,
            error: error.map(str::to_owned),
            is_approved: Some(true),
            schedule: None,
            version: String::new(),
            stages: [("s1".to_owned(), state)].into(),
        };
        change.outcome().map_err(|error| error.to_string())
    }

    #[rstest::rstest]
    #[case(ChangeStatus::Completed, None, None, Ok(()))]
    #[case(
        ChangeStatus::Completed,
        Some("boom"),
        Some("boom"),
        Err("the change control `window 7` failed: stage s1 (task 7): boom")
    )]
    #[case(
        ChangeStatus::Completed,
        Some("stopped"),
        None,
        Err("the change control `window 7` failed: stopped")
    )]
    #[case(ChangeStatus::Cancelled, None, None, Err("the change control `window 7` failed: it is cancelled"))]
    fn success_is_an_end_without_any_error(
        #[case] status: ChangeStatus,
        #[case] error: Option<&str>,
        #[case] stage: Option<&str>,
        #[case] expected: Result<(), &str>,
    ) {
        assert_eq!(ended(status, error, stage), expected.map_err(str::to_owned));
    }
}
