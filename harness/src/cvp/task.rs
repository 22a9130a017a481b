//! Tasks: pending or executed changes of one device each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    ask::Ask,
    client::{Client, as_text, millis, or_default},
    error::CvpError,
    version::Level,
};
use crate::base::wait::{Deadline, Pauses};

/// What the portal calls a task: digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(#[serde(deserialize_with = "as_text")] pub String);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Row")]
pub struct Task {
    /// What the portal calls it.
    pub id: TaskId,
    /// What it is for.
    pub description: String,
    /// How far it is.
    pub state: TaskState,
    /// MAC address of the device.
    pub device: String,
    /// The device's host name.
    pub hostname: String,
    /// A note; of a failed one, often the reason.
    pub note: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// Who executed it.
    pub executed_by: String,
    /// The change control it belongs to; empty if there is none.
    pub change_control: String,
    /// Its stage there.
    pub stage: String,
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Nobody has executed it.
    Pending,
    /// It is executed now; the portal's word for where it is.
    Running(String),
    /// The device has what was designed for it.
    Completed,
    /// The device does not have it.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl TaskState {
    /// Whether it stays like this, unless somebody executes it anew.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    pub(super) fn of(word: &str, status: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "pending" => Self::Pending,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" | "canceled" => Self::Cancelled,
            // Old versions leave one of the two words empty.
            "" if status == "COMPLETED" => Self::Completed,
            "" if status == "FAILED" => Self::Failed,
            "" => Self::Pending,
            _ => Self::Running(word.to_owned()),
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Running(word) => return write!(f, "running ({word})"),
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// A task as the portal tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    work_order_id: TaskId,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    #[serde(default, deserialize_with = "or_default")]
    work_order_user_defined_status: String,
    #[serde(default, deserialize_with = "or_default")]
    task_status: String,
    #[serde(default, deserialize_with = "or_default")]
    note: String,
    #[serde(default, deserialize_with = "or_default")]
    created_by: String,
    #[serde(default, deserialize_with = "millis")]
    created_on_in_long_format: Option<SystemTime>,
    #[serde(default, deserialize_with = "or_default")]
    executed_by: String,
    #[serde(default, deserialize_with = "or_default")]
    cc_id: String,
    #[serde(default, rename = "ccIdV2", deserialize_with = "or_default")]
    cc_id_v2: String,
    #[serde(default, deserialize_with = "or_default")]
    stage_id: String,
    #[serde(default, deserialize_with = "or_default")]
    work_order_details: Details,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default, deserialize_with = "or_default")]
    net_element_id: String,
    #[serde(default, deserialize_with = "or_default")]
    net_element_host_name: String,
}

impl From<Row> for Task {
    fn from(row: Row) -> Self {
        Self {
            state: TaskState::of(&row.work_order_user_defined_status, &row.task_status),
            id: row.work_order_id,
            description: row.description,
            device: row.work_order_details.net_element_id,
            hostname: row.work_order_details.net_element_host_name,
            note: row.note,
            created_by: row.created_by,
            created: row.created_on_in_long_format,
            executed_by: row.executed_by,
            change_control: if row.cc_id_v2.is_empty() { row.cc_id } else { row.cc_id_v2 },
            stage: row.stage_id,
        }
    }
}

/// A line of what a task did.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// What happened.
    #[serde(default, alias = "activity", deserialize_with = "or_default")]
    pub log_details: String,
    /// When.
    #[serde(default, rename = "dateTimeInLongFormat", deserialize_with = "millis")]
    pub at: Option<SystemTime>,
    /// Who did it.
    #[serde(default, deserialize_with = "or_default")]
    pub user_name: String,
}

/// Some of all tasks.
#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "or_default")]
    data: Vec<Task>,
}

/// What the portal says of an unknown task.
const NO_TASK: &str = "142WF606";
/// The shortest and the longest pause between two looks at tasks.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(50), Duration::from_secs(5));
/// The newest tasks, among which those that are waited for are looked up at once.
const NEWEST: usize = 200;

impl Client {
    /// All tasks, newest first; with a state's name (`Pending`, `Failed`, ...) those in that state.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn tasks(&self, state: Option<&str>) -> Result<Vec<Task>, CvpError> {
        let ask =
            Ask::get("list the tasks", "/task/getTasks.do").query("queryparam", state.unwrap_or_default());
        self.rows(&ask, "data", |task: &Task| task.id.0.clone()).await
    }

    /// One task, if there is one of that id.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn task(&self, id: &TaskId) -> Result<Option<Task>, CvpError> {
        let ask = Ask::get(format!("look up the task {id}"), "/task/getTaskById.do").query("taskId", id);
        match self.read(&ask).await {
            Ok(task) => Ok(Some(task)),
            Err(error) if error.is(NO_TASK) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tasks that were made at `since` or later, in the portal's time, newest first.
    pub(super) async fn tasks_since(&self, since: SystemTime) -> Result<Vec<Task>, CvpError> {
        let mut found: BTreeMap<TaskId, Task> = BTreeMap::new();
        let mut start = 0;
        loop {
            let ask = Ask::get("look at the newest tasks", "/task/getTasks.do").query("queryparam", "");
            let page: Page = self.read(&ask.rows(start, start + NEWEST)).await?;
            let came = page.data.len();
            let (old, new): (Vec<_>, Vec<_>) =
                page.data.into_iter().partition(|task| task.created.is_none_or(|created| created < since));
            found.extend(new.into_iter().map(|task| (task.id.clone(), task)));
            if came < NEWEST || !old.is_empty() {
                break;
            }
            start += came;
        }
        let mut found: Vec<Task> = found.into_values().collect();
        found.sort_by_key(|task| std::cmp::Reverse(task.created));
        Ok(found)
    }

    /// Begins to execute tasks; they go on by themselves, see [`wait_for_tasks`](Self::wait_for_tasks).
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses: one of them is neither pending nor failed, or not there.
    pub async fn execute_tasks(&self, ids: &[TaskId]) -> Result<(), CvpError> {
        if ids.is_empty() {
            return Ok(());
        }
        let what = format!("execute the task{} {}", plural(ids), list(ids));
        match self.ask(&Ask::post(what, "/task/executeTask.do", json!({ "data": ids }))).await {
            Ok(_) => Ok(()),
            // What runs or has run was begun.
            Err(error) if error.may_have_happened() => {
                let tasks = self.these_tasks(ids).await?;
                let begun = tasks.values().all(|task| !matches!(task.state, TaskState::Pending));
                if begun && tasks.len() == ids.len() { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Cancels tasks that nobody has executed. What was assigned by them stays assigned.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses: one of them is not pending, or not there.
    pub async fn cancel_tasks(&self, ids: &[TaskId]) -> Result<(), CvpError> {
        if ids.is_empty() {
            return Ok(());
        }
        let what = format!("cancel the task{} {}", plural(ids), list(ids));
        match self.ask(&Ask::post(what, "/task/cancelTask.do", json!({ "data": ids }))).await {
            Ok(_) => Ok(()),
            Err(error) if error.may_have_happened() => {
                let tasks = self.these_tasks(ids).await?;
                let gone = tasks.values().all(|task| task.state == TaskState::Cancelled);
                if gone && tasks.len() == ids.len() { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a task a note.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn note_task(&self, id: &TaskId, note: &str) -> Result<(), CvpError> {
        let body = json!({ "workOrderId": id, "note": note });
        let ask = Ask::post(format!("note something on the task {id}"), "/task/addNoteToTask.do", body);
        self.ask(&ask.repeatable()).await.map(drop)
    }

    /// What a task did, in the portal's words.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn task_log(&self, id: &TaskId) -> Result<Vec<LogLine>, CvpError> {
        let task = self.task(id).await?.ok_or_else(|| CvpError::not_found("task", &id.0, []))?;
        let what = format!("read the log of the task {id}");
        let own = |line: &LogLine| format!("{:?}{}", line.at, line.log_details);
        if self.level().await? < Level::AUDIT_LOG || task.change_control.is_empty() {
            let ask = Ask::get(what, "/task/getLogsById.do").query("id", id).query("queryparam", "");
            return self.rows(&ask, "data", own).await;
        }
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "or_default")]
            data: Vec<LogLine>,
        }
        let mut body = json!({
            "category": "ChangeControl", "objectKey": task.change_control, "startTime": 0, "endTime": 0,
            "dataSize": 75, "lastRetrievedAudit": {},
        });
        if let (false, Some(body)) = (task.stage.is_empty(), body.as_object_mut()) {
            body.insert("tags".into(), json!({ "stageId": task.stage }));
        }
        let ask = Ask::post(what, "/cvpservice/audit/getLogs.do", body).repeatable();
        Ok(self.read::<Answer>(&ask).await?.data)
    }

    /// These tasks as they are now, those that are there.
    pub(super) async fn these_tasks(&self, ids: &[TaskId]) -> Result<BTreeMap<TaskId, Task>, CvpError> {
        let wanted: BTreeSet<&TaskId> = ids.iter().collect();
        let mut found = BTreeMap::new();
        if wanted.len() > 1 {
            let ask = Ask::get("look at the newest tasks", "/task/getTasks.do").query("queryparam", "");
            let page: Page = self.read(&ask.rows(0, NEWEST.max(ids.len() * 2))).await?;
            let ours = page.data.into_iter().filter(|task| wanted.contains(&task.id));
            found.extend(ours.map(|task| (task.id.clone(), task)));
        }
        for id in wanted {
            if !found.contains_key(id)
                && let Some(task) = self.task(id).await?
            {
                found.insert(id.clone(), task);
            }
        }
        Ok(found)
    }

    /// Waits until none of these tasks goes on any more, and returns them as they ended; whether they ended well is for the
    /// caller to see, or for [`Task::succeeded`]. `seen` is told each change of a task's state.
    ///
    /// # Errors
    /// [`CvpError::Late`] with what was seen last; [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn wait_for_tasks(
        &self,
        ids: &[TaskId],
        limit: Duration,
        mut seen: impl FnMut(&Task),
    ) -> Result<Vec<Task>, CvpError> {
        let deadline = Deadline::within(limit);
        let mut before: BTreeMap<TaskId, TaskState> = BTreeMap::new();
        let mut pauses = PAUSES;
        loop {
            let tasks = self.these_tasks(ids).await?;
            if let Some(missing) = ids.iter().find(|id| !tasks.contains_key(id)) {
                return Err(CvpError::not_found("task", &missing.0, []));
            }
            let mut moved = false;
            for task in tasks.values() {
                if before.get(&task.id) != Some(&task.state) {
                    before.insert(task.id.clone(), task.state.clone());
                    seen(task);
                    moved = true;
                }
            }
            if tasks.values().all(|task| task.state.is_final()) {
                return Ok(ids.iter().filter_map(|id| tasks.get(id).cloned()).collect());
            }
            if deadline.passed() {
                let open = tasks.values().filter(|task| !task.state.is_final());
                let seen = open
                    .map(|task| format!("task {} {}", task.id, task.state))
                    .collect::<Vec<_>>()
                    .join(", ");
                let what = format!("the task{} {}", plural(ids), list(ids));
                return Err(CvpError::Late { what, limit, seen });
            }
            if moved {
                pauses.shorten();
            }
            pauses.pause(deadline).await;
        }
    }

    /// The reason why a failed task failed: its note, else the end of its log.
    pub(super) async fn why_failed(&self, task: &Task) -> String {
        if !task.note.is_empty() {
            return task.note.clone();
        }
        let log = self.task_log(&task.id).await.unwrap_or_default();
        let last = log.iter().max_by_key(|line| line.at).map(|line| line.log_details.trim().to_owned());
        last.filter(|line| !line.is_empty()).unwrap_or_else(|| "the portal does not say why".to_owned())
    }

    /// Executes tasks and waits for their end; all of them have to end well.
    ///
    /// # Errors
    /// [`CvpError::Tasks`] with each that did not and why; like [`execute_tasks`](Self::execute_tasks) and
    /// [`wait_for_tasks`](Self::wait_for_tasks).
    pub async fn run_tasks(
        &self,
        ids: &[TaskId],
        limit: Duration,
        seen: impl FnMut(&Task),
    ) -> Result<Vec<Task>, CvpError> {
        self.execute_tasks(ids).await?;
        let tasks = self.wait_for_tasks(ids, limit, seen).await?;
        self.all_succeeded(&tasks).await?;
        Ok(tasks)
    }

    /// # Errors
    /// [`CvpError::Tasks`] with each that did not end well and why.
    pub(super) async fn all_succeeded(&self, tasks: &[Task]) -> Result<(), CvpError> {
        let mut failed = Vec::new();
        for task in tasks.iter().filter(|task| !task.succeeded()) {
            let why = if task.state == TaskState::Failed {
                format!("failed: {}", self.why_failed(task).await)
            } else {
                task.state.to_string()
            };
            failed.push((task.id.clone(), task.hostname.clone(), why));
        }
        if failed.is_empty() { Ok(()) } else { Err(CvpError::Tasks(failed)) }
    }
}

impl Task {
    /// Whether the device has what was designed for it.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.state == TaskState::Completed
    }
}

fn plural(ids: &[TaskId]) -> &'static str {
    if ids.len() == 1 { "" } else { "s" }
}

fn list(ids: &[TaskId]) -> String {
    ids.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("Pending", "ACTIVE", TaskState::Pending)]
    #[case("Completed", "COMPLETED", TaskState::Completed)]
    #[case("Failed", "FAILED", TaskState::Failed)]
    #[case("Cancelled", "ACTIVE", TaskState::Cancelled)]
    #[case("In-Progress", "ACTIVE", TaskState::Running("In-Progress".into()))]
    #[case("Task Update In Progress", "ACTIVE", TaskState::Running("Task Update In Progress".into()))]
    #[case("", "COMPLETED", TaskState::Completed)]
    #[case("", "FAILED", TaskState::Failed)]
    #[case("", "ACTIVE", TaskState::Pending)]
    fn states_are_read_from_two_words(#[case] word: &str, #[case] status: &str, #[case] expected: TaskState) {
        assert_eq!(TaskState::of(word, status), expected);
    }

    #[test]
    fn tasks_are_read_with_what_versions_leave_out() {
        let row = json!({ "workOrderId": 17, "workOrderUserDefinedStatus": "Pending", "note": null,
            "workOrderDetails": { "netElementId": "aa:01", "netElementHostName": "sw1" }, "ccId": "7" });
        let task: Task = serde_json::from_value(row).unwrap();
        assert_eq!(
            (task.id.0.as_str(), task.hostname.as_str(), task.change_control.as_str()),
            ("17", "sw1", "7")
        );
        assert_eq!(json!([task.id]), json!(["17"]));
    }
}
