//! Change controls: trees of stages, approved, started, run to their end. One of them, whichever API it came by.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    clock::Ms,
    job::Job,
    legacy::Legacy,
    refused::{About, Refused, Why},
    state::Model,
};

/// A change control.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChangeControl {
    pub(crate) name: String,
    pub(crate) notes: String,
    /// The id of its outermost stage.
    pub(crate) root: String,
    pub(crate) stages: BTreeMap<String, Stage>,
    /// When the change was changed last: what an approval names.
    pub(crate) time: Ms,
    pub(crate) user: String,
    pub(crate) approve: Option<Flag<bool>>,
    /// What was approved.
    pub(crate) approved: Option<Ms>,
    pub(crate) start: Option<Flag<bool>>,
    /// When it is to start.
    pub(crate) schedule: Option<Flag<Ms>>,
    pub(crate) phase: Phase,
    pub(crate) error: Option<String>,
    /// Whether rows go on after one with an error.
    pub(crate) goes_on: bool,
    /// What only the oldest API knows.
    pub(crate) legacy: Option<Legacy>,
}

/// A switch, with who set it when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag<T> {
    pub(crate) value: T,
    pub(crate) notes: String,
    pub(crate) time: Ms,
    pub(crate) user: String,
}

/// How far something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    #[default]
    NotStarted,
    Running,
    Completed,
}

/// A part of a change control.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) what: What,
    pub(crate) phase: Phase,
    pub(crate) error: Option<String>,
    pub(crate) started: Option<Ms>,
    pub(crate) ended: Option<Ms>,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// Stages of one row run side by side, rows one after another.
    Rows(Vec<Vec<String>>),
    /// Something by its name.
    Action {
        /// What: `task`, `snapshot`, or a word of somebody's own.
        name: String,
        /// With what.
        args: BTreeMap<String, String>,
        /// How long it may take, in seconds; 0: for ever.
        timeout: u64,
    },
}

impl Default for What {
    fn default() -> Self {
        Self::Rows(vec![])
    }
}

impl Stage {
    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether it does something itself that is no task.
    pub(super) fn acts(&self) -> bool {
        matches!(&self.what, What::Action { name, .. } if name != "task")
    }

    /// The task it runs.
    pub(crate) fn task(&self) -> Option<&str> {
        match &self.what {
            What::Action { name, args, .. } if name == "task" => args.get("TaskID").map(String::as_str),
            _ => None,
        }
    }

    fn deadline(&self) -> Option<Ms> {
        match &self.what {
            What::Action { timeout: 1.., .. } if !self.is_running() => None,
            What::Action { timeout: timeout @ 1.., .. } => Some(self.started? + timeout.saturating_mul(1000)),
            _ => None,
        }
    }
}

impl ChangeControl {
    /// When something happens to it by itself.
    pub(super) fn due(&self) -> Option<Ms> {
        let schedule = self.schedule.as_ref().map(|schedule| schedule.value);
        let schedule = schedule.filter(|_| self.phase == Phase::NotStarted);
        schedule.into_iter().chain(self.stages.values().filter_map(Stage::deadline)).min()
    }

    /// Ids of the tasks it runs.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &str> {
        self.stages.values().filter_map(Stage::task)
    }

    fn is_approved(&self) -> bool {
        self.approve.as_ref().is_some_and(|approve| approve.value) && self.approved == Some(self.time)
    }

    /// Whether stages make one tree: each that is named is there, has one place, and none is in itself.
    fn is_tree(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.root.as_str()];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                return Err(format!("stage {id} stands at two places"));
            }
            let stage = self.stages.get(id).ok_or_else(|| format!("stage {id} does not exist"))?;
            if let What::Rows(rows) = &stage.what {
                open.extend(rows.iter().flatten().map(String::as_str));
            }
        }
        match self.stages.keys().find(|id| !seen.contains(id.as_str())) {
            Some(id) => Err(format!("stage {id} stands nowhere below {}", self.root)),
            None => Ok(()),
        }
    }
}

fn state(text: impl Into<String>) -> Refused {
    Refused::new(About::Resource, Why::State, text)
}

impl Model {
    /// A change control by its id.
    pub(crate) fn change(&self, id: &str) -> Result<&ChangeControl, Refused> {
        let text = "resource not found";
        self.changes.get(id).ok_or_else(|| Refused::new(About::Resource, Why::Absent, text))
    }

    fn known(&mut self, id: &str) -> Result<&mut ChangeControl, Refused> {
        let text = || format!("change control with ID \"{id}\" does not exist");
        self.changes.get_mut(id).ok_or_else(|| Refused::new(About::Resource, Why::Absent, text()))
    }

    /// Puts a change control in its place, new or changed; its approval goes.
    pub(crate) fn set_change(
        &mut self,
        user: &str,
        id: &str,
        mut change: ChangeControl,
    ) -> Result<(), Refused> {
        if id.is_empty() {
            return Err(Refused::invalid(About::Resource, "key.id is empty"));
        }
        let known = self.changes.get(id);
        if change.name.is_empty() && known.is_none() {
            return Err(Refused::invalid(About::Resource, "change.name is empty"));
        }
        if known.is_some_and(|known| known.phase != Phase::NotStarted) {
            return Err(state(format!("change control {id} was started and cannot be changed")));
        }
        change.is_tree().map_err(|what| Refused::invalid(About::Resource, what))?;
        change.time = self.clock.stamp();
        user.clone_into(&mut change.user);
        change.approved = None;
        change.approve = None;
        self.changes.insert(id.to_owned(), change);
        self.note(user, id, "", format!("Change control {id} changed"));
        Ok(())
    }

    /// Approves a change as it was at `version`, or takes the approval back.
    pub(crate) fn approve(
        &mut self,
        user: &str,
        id: &str,
        value: bool,
        notes: &str,
        version: Option<Ms>,
    ) -> Result<Ms, Refused> {
        let time = self.clock.stamp();
        let change = self.changes.get_mut(id);
        let change =
            change.ok_or_else(|| Refused::new(About::Resource, Why::Absent, "resource not found"))?;
        if value && version.is_none() {
            return Err(Refused::invalid(About::Resource, "version is missing"));
        }
        if version.is_some_and(|version| version != change.time) {
            return Err(state("version does not match"));
        }
        if change.phase != Phase::NotStarted {
            return Err(state(format!("change control {id} was started")));
        }
        change.approve = Some(Flag { value, notes: notes.to_owned(), time, user: user.to_owned() });
        change.approved = value.then_some(change.time);
        self.note(user, id, "", if value { "Change control approved" } else { "Change control unapproved" });
        self.jobs.push(Job::Wake);
        Ok(time)
    }

    /// Lets a change control start at a time, or not by itself any more.
    pub(crate) fn schedule(
        &mut self,
        user: &str,
        id: &str,
        at: Option<Ms>,
        notes: &str,
    ) -> Result<(), Refused> {
        let time = self.clock.stamp();
        let change = self.known(id)?;
        if change.phase != Phase::NotStarted {
            return Err(state(format!("change control {id} was started and cannot be scheduled")));
        }
        change.schedule =
            at.map(|value| Flag { value, notes: notes.to_owned(), time, user: user.to_owned() });
        self.jobs.push(Job::Wake);
        Ok(())
    }

    /// Starts an approved change control.
    pub(crate) fn start(&mut self, user: &str, id: &str, notes: &str) -> Result<(), Refused> {
        let time = self.clock.stamp();
        let change = self.known(id)?;
        if change.phase != Phase::NotStarted {
            return Err(state(format!("change control {id} was started before")));
        }
        if !change.is_approved() {
            return Err(state("Change Control cannot be started without approval"));
        }
        change.start = Some(Flag { value: true, notes: notes.to_owned(), time, user: user.to_owned() });
        change.phase = Phase::Running;
        self.note(user, id, "", "Change control started");
        self.advance(id);
        Ok(())
    }

    /// Stops one; of one that is over it is only written down. What runs runs to its end.
    pub(crate) fn stop(&mut self, user: &str, id: &str, notes: &str) -> Result<(), Refused> {
        let time = self.clock.stamp();
        let change = self.known(id)?;
        change.start = Some(Flag { value: false, notes: notes.to_owned(), time, user: user.to_owned() });
        if change.phase == Phase::Running {
            change.phase = Phase::Completed;
            change.error = Some("Change control was stopped".to_owned());
        }
        self.note(user, id, "", "Change control stopped");
        Ok(())
    }

    /// Removes those that do not run, all or none; their tasks stay as they are.
    pub(crate) fn delete_changes(&mut self, ids: &[String]) -> Result<(), Refused> {
        for id in ids {
            if self.known(id)?.phase == Phase::Running {
                return Err(state(format!("change control {id} runs and cannot be deleted")));
            }
        }
        self.changes.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    /// Executes one task in a change control made for it.
    pub(super) fn run_in_change_of_its_own(&mut self, user: &str, task: u64) {
        let id = format!("CC_Task_{}", self.clock.uuid());
        let (stage, root, time) = (format!("Task_{task}"), "root".to_owned(), self.clock.stamp());
        let action = What::Action {
            name: "task".to_owned(),
            args: BTreeMap::from([("TaskID".to_owned(), task.to_string())]),
            timeout: 7200,
        };
        let stages = BTreeMap::from([
            (
                root.clone(),
                Stage { name: root.clone(), what: What::Rows(vec![vec![stage.clone()]]), ..Stage::default() },
            ),
            (stage.clone(), Stage { name: stage, what: action, ..Stage::default() }),
        ]);
        let flag = |notes: &str| Flag { value: true, notes: notes.to_owned(), time, user: user.to_owned() };
        let change = ChangeControl {
            name: format!("Change Control {id}"),
            notes: "Auto Generated Request".to_owned(),
            root,
            stages,
            time,
            user: user.to_owned(),
            approve: Some(flag("Auto Approve")),
            approved: Some(time),
            start: Some(flag("Auto Start")),
            phase: Phase::Running,
            ..ChangeControl::default()
        };
        self.changes.insert(id.clone(), change);
        self.note(user, &id, "", "Change control started");
        self.advance(&id);
    }

    pub(super) fn tick_changes(&mut self) {
        let now = self.clock.now();
        let due: Vec<String> = self
            .changes
            .iter()
            .filter(|(_, change)| change.due().is_some_and(|due| due <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.tick_change(&id, now);
        }
    }

    fn tick_change(&mut self, id: &str, now: Ms) {
        let Some(change) = self.changes.get_mut(id) else { return };
        let late = |stage: &Stage| stage.deadline().is_some_and(|deadline| deadline <= now);
        let late: Vec<String> =
            change.stages.iter().filter(|(_, stage)| late(stage)).map(|(name, _)| name.clone()).collect();
        let scheduled = change.schedule.as_ref().filter(|at| at.value <= now).map(|at| at.user.clone());
        if let Some(user) = scheduled.filter(|_| change.phase == Phase::NotStarted) {
            change.schedule = None;
            if change.is_approved() {
                let started = self.start(&user, id, "Scheduled start");
                // Looked at just before.
                debug_assert!(started.is_ok(), "{started:?}");
            } else {
                change.error = Some("Reschedule required: not approved at schedule time".to_owned());
            }
        }
        for stage in late {
            self.finish_stage(id, &stage, Some(format!("stage {stage} took longer than it may")));
        }
    }

    /// Ends a stage that runs, and goes on with its change control.
    pub(crate) fn finish_stage(&mut self, id: &str, stage: &str, error: Option<String>) {
        let at = self.clock.stamp();
        let Some(change) = self.changes.get_mut(id) else { return };
        let Some(ended) = change.stages.get_mut(stage).filter(|stage| stage.is_running()) else { return };
        ended.phase = Phase::Completed;
        ended.ended = Some(at);
        let text = error.clone().unwrap_or_else(|| format!("Stage {stage} completed"));
        ended.error = error;
        let user = change.start.as_ref().map(|start| start.user.clone()).unwrap_or_default();
        self.note(&user, id, stage, text);
        self.advance(id);
    }

    /// Begins what can begin now, until nothing can.
    fn advance(&mut self, id: &str) {
        let user = match self.changes.get(id) {
            Some(change) if change.phase == Phase::Running => {
                change.start.as_ref().map(|start| start.user.clone()).unwrap_or_default()
            }
            _ => return,
        };
        while let Some(step) = self.changes.get(id).and_then(|change| change.next_step(&change.root)) {
            let at = self.clock.stamp();
            match step {
                Step::End { stage, error } => {
                    let Some(change) = self.changes.get_mut(id) else { return };
                    if stage == change.root {
                        change.phase = Phase::Completed;
                        change.error.clone_from(&error);
                    }
                    if let Some(stage) = change.stages.get_mut(&stage) {
                        stage.phase = Phase::Completed;
                        stage.ended = Some(at);
                        stage.error = error;
                    }
                }
                Step::Begin(stage) => {
                    let Some(begun) = self.changes.get_mut(id).and_then(|c| c.stages.get_mut(&stage)) else {
                        return;
                    };
                    begun.phase = Phase::Running;
                    begun.started = Some(at);
                    let failed = match begun.what.clone() {
                        What::Rows(_) => None,
                        What::Action { name, args, .. } if name == "task" => {
                            let task = args.get("TaskID").cloned().unwrap_or_default();
                            let task = task.parse().map_err(|_| format!("task {task} does not exist"));
                            task.and_then(|task| self.begin_task(&user, task, id, &stage)).err()
                        }
                        What::Action { .. } => {
                            self.jobs.push(Job::Act { change: id.to_owned(), stage: stage.clone() });
                            None
                        }
                    };
                    let text = failed.clone().unwrap_or_else(|| format!("Stage {stage} started"));
                    self.note(&user, id, &stage, text);
                    if let Some(stage) = self
                        .changes
                        .get_mut(id)
                        .and_then(|change| change.stages.get_mut(&stage))
                        .filter(|_| failed.is_some())
                    {
                        stage.phase = Phase::Completed;
                        stage.ended = Some(at);
                        stage.error = failed;
                    }
                }
            }
        }
        self.jobs.push(Job::Wake);
    }
}

/// What happens next to a change control.
enum Step {
    Begin(String),
    End { stage: String, error: Option<String> },
}

impl ChangeControl {
    /// What can happen now at a stage or below it.
    fn next_step(&self, id: &str) -> Option<Step> {
        let stage = self.stages.get(id)?;
        match (stage.phase, &stage.what) {
            (Phase::NotStarted, _) => Some(Step::Begin(id.to_owned())),
            (Phase::Completed, _) | (Phase::Running, What::Action { .. }) => None,
            (Phase::Running, What::Rows(rows)) => {
                let mut first_error = None;
                for row in rows {
                    if let Some(step) = row.iter().find_map(|below| self.next_step(below)) {
                        return Some(step);
                    }
                    let below: Vec<&Stage> = row.iter().filter_map(|id| self.stages.get(id)).collect();
                    if below.iter().any(|stage| stage.phase != Phase::Completed) {
                        return None;
                    }
                    let error = below.iter().find_map(|stage| stage.error.clone());
                    first_error = first_error.or(error);
                    if first_error.is_some() && !self.goes_on {
                        break;
                    }
                }
                Some(Step::End { stage: id.to_owned(), error: first_error })
            }
        }
    }
}
