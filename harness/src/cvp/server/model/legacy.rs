//! Change controls as the oldest API has them: tasks with numbers, one template of snapshots, a clock on a wall.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    change::{ChangeControl, Flag, Phase, Stage, What},
    clock::Ms,
    refused::{About, Refused, Why},
    state::Model,
};

/// What only the oldest API knows of a change control.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Legacy {
    /// `Custom` or `Rollback`.
    pub(crate) kind: String,
    pub(crate) time_zone: String,
    /// The country the time zone was chosen by.
    pub(crate) country: String,
    /// `YYYY-MM-DD HH:MM`, or nothing.
    pub(crate) date_time: String,
    pub(crate) template: String,
    pub(crate) tasks: Vec<LegacyTask>,
    pub(crate) cancelled: bool,
    pub(crate) created_by: String,
    pub(crate) created_at: Ms,
}

/// A task in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LegacyTask {
    pub(crate) id: String,
    /// Those with the same number run together, smaller ones before.
    pub(crate) order: u32,
    pub(crate) template: String,
}

/// Whether a template is named at all; one client sends a word for none.
fn is_named(template: &str) -> bool {
    !matches!(template, "" | "None")
}

impl Model {
    /// Makes a change control of the oldest API, or changes it; `at` is when it starts by itself.
    pub(crate) fn set_legacy(
        &mut self,
        user: &str,
        id: Option<&str>,
        change: (String, String, bool),
        mut legacy: Legacy,
        at: Option<Ms>,
    ) -> Result<String, Refused> {
        let (name, notes, stop_on_error) = change;
        if at.is_some_and(|at| at <= self.clock.now()) {
            return Err(Refused::invalid(
                About::Resource,
                format!("dateTime {} is in the past", legacy.date_time),
            ));
        }
        for task in &legacy.tasks {
            let known = self.task(&task.id)?;
            let other = self.changes.iter().find(|(other, change)| {
                change.legacy.as_ref().is_some_and(|legacy| !legacy.cancelled)
                    && id != Some(other.as_str())
                    && change.phase == Phase::NotStarted
                    && change.tasks().any(|id| *id == task.id)
            });
            if let Some((other, _)) = other {
                let text = format!("task {} belongs to change control {other}", known.id);
                return Err(Refused::new(About::Resource, Why::InUse, text));
            }
        }
        if let Some(known) = id {
            self.change(known)?;
        }
        legacy.created_by = user.to_owned();
        legacy.created_at = self.clock.stamp();
        let id = id.map_or_else(|| self.clock.uuid(), str::to_owned);
        let change = ChangeControl {
            name,
            notes,
            root: "root".to_owned(),
            stages: self.stages_of(&legacy),
            goes_on: !stop_on_error,
            legacy: Some(legacy),
            ..ChangeControl::default()
        };
        self.set_change(user, &id, change)?;
        // There is nobody to approve it in that API.
        let version = self.change(&id)?.time;
        self.approve(user, &id, true, "", Some(version))?;
        self.schedule(user, &id, at, "")?;
        Ok(id)
    }

    fn stages_of(&self, legacy: &Legacy) -> BTreeMap<String, Stage> {
        let mut stages = BTreeMap::new();
        let mut groups: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let mut devices = vec![];
        for task in &legacy.tasks {
            let device = self.task(&task.id).ok().and_then(|task| self.devices.get(&task.device));
            let serial = device.map(|device| device.serial.clone()).unwrap_or_default();
            let args = BTreeMap::from([("TaskID".to_owned(), task.id.clone())]);
            let own = action(&mut stages, &format!("task {}", task.id), "task", args);
            let id = if is_named(&task.template) {
                let before =
                    snapshot(&mut stages, &format!("before task {}", task.id), &serial, &task.template);
                let after =
                    snapshot(&mut stages, &format!("after task {}", task.id), &serial, &task.template);
                let id = format!("around task {}", task.id);
                let what = What::Rows([before, own, after].map(|id| vec![id]).to_vec());
                stages.insert(id.clone(), Stage { name: id.clone(), what, ..Stage::default() });
                id
            } else {
                own
            };
            groups.entry(task.order).or_default().push(id);
            if !devices.contains(&serial) {
                devices.push(serial);
            }
        }
        let mut rows: Vec<Vec<String>> = groups.into_values().collect();
        if is_named(&legacy.template) {
            let all = |stages: &mut BTreeMap<String, Stage>, when: &str| {
                let one =
                    |device: &String| snapshot(stages, &format!("{when} {device}"), device, &legacy.template);
                devices.iter().map(one).collect::<Vec<_>>()
            };
            rows.insert(0, all(&mut stages, "before"));
            rows.push(all(&mut stages, "after"));
        }
        let root = Stage { name: "root".to_owned(), what: What::Rows(rows), ..Stage::default() };
        stages.insert("root".to_owned(), root);
        stages
    }

    /// Cancels change controls that did not end; the tasks that wait are free again.
    pub(crate) fn cancel_legacy(&mut self, user: &str, ids: &[String]) -> Result<(), Refused> {
        for id in ids {
            let change = self.change(id)?;
            if change.phase == Phase::Completed
                || change.legacy.as_ref().is_none_or(|legacy| legacy.cancelled)
            {
                let text = format!("change control {id} cannot be cancelled");
                return Err(Refused::new(About::Resource, Why::State, text));
            }
        }
        for id in ids {
            if self.change(id)?.phase == Phase::Running {
                self.stop(user, id, "")?;
            }
            self.schedule(user, id, None, "").or_else(|refused| match refused.why {
                Why::State => Ok(()),
                _ => Err(refused),
            })?;
            if let Some(legacy) = self.changes.get_mut(id).and_then(|change| change.legacy.as_mut()) {
                legacy.cancelled = true;
            }
        }
        Ok(())
    }

    /// Starts change controls of that API, all or none.
    pub(crate) fn execute_legacy(&mut self, user: &str, ids: &[String]) -> Result<(), Refused> {
        for id in ids {
            let change = self.change(id)?;
            let over = change.phase != Phase::NotStarted;
            if over || change.legacy.as_ref().is_none_or(|legacy| legacy.cancelled) {
                let text =
                    format!("change control {id} cannot be executed: it is {}", change.legacy_status());
                return Err(Refused::new(About::Resource, Why::State, text));
            }
        }
        ids.iter().try_for_each(|id| self.start(user, id, ""))
    }

    /// The change control of that API which a task waits in.
    pub(crate) fn legacy_of(&self, task: u64) -> Option<(&String, &ChangeControl)> {
        let task = task.to_string();
        self.changes.iter().find(|(_, change)| {
            change.legacy.as_ref().is_some_and(|legacy| !legacy.cancelled)
                && change.tasks().any(|id| id == task)
        })
    }
}

impl ChangeControl {
    /// How it is, in the words of that API.
    pub(crate) fn legacy_status(&self) -> &'static str {
        match (self.phase, &self.error) {
            _ if self.legacy.as_ref().is_some_and(|legacy| legacy.cancelled) => "Cancelled",
            (Phase::NotStarted, _) => "Pending",
            (Phase::Running, _) => "Inprogress",
            (Phase::Completed, None) => "Completed",
            (Phase::Completed, Some(_)) => "Failed",
        }
    }

    /// When it starts by itself, and who wants that.
    pub(crate) fn scheduled(&self) -> Option<&Flag<Ms>> {
        self.schedule.as_ref()
    }

    /// When its snapshots before, its tasks, and its snapshots after began and ended.
    pub(crate) fn legacy_times(&self) -> [(Ms, Ms); 3] {
        let span = |which: fn(&str) -> bool| {
            let of = || self.stages.iter().filter(|(id, _)| which(id)).map(|(_, stage)| stage);
            let began = of().filter_map(|stage| stage.started).min().unwrap_or(0);
            let all = of().all(|stage| stage.ended.is_some());
            let ended = if all { of().filter_map(|stage| stage.ended).max().unwrap_or(0) } else { 0 };
            (began, ended)
        };
        [
            span(|id| id.starts_with("before")),
            span(|id| id.starts_with("task ")),
            span(|id| id.starts_with("after")),
        ]
    }
}

fn snapshot(stages: &mut BTreeMap<String, Stage>, id: &str, device: &str, template: &str) -> String {
    let args = [("DeviceID", device), ("TemplateID", template)];
    let args = args.map(|(key, value)| (key.to_owned(), value.to_owned()));
    action(stages, id, "snapshot", BTreeMap::from(args))
}

fn action(
    stages: &mut BTreeMap<String, Stage>,
    id: &str,
    name: &str,
    args: BTreeMap<String, String>,
) -> String {
    let what = What::Action { name: name.to_owned(), args, timeout: 3000 };
    stages.insert(id.to_owned(), Stage { name: id.to_owned(), what, ..Stage::default() });
    id.to_owned()
}
