//! Tasks: changes of one device each, waiting, being made, or over.

use serde::{Deserialize, Serialize};

use super::{
    clock::Ms,
    device::Placement,
    eos::Lines,
    job::{Job, Push},
    refused::{About, Refused, Why},
    state::{Entry, Model},
};

/// A change of a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    pub(crate) id: u64,
    /// The MAC address of the device.
    pub(crate) device: String,
    pub(crate) description: String,
    pub(crate) note: String,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) created_by: String,
    pub(crate) created_at: Ms,
    pub(crate) executed_by: String,
    pub(crate) executed_at: Ms,
    pub(crate) completed_at: Ms,
    /// The change control that makes it.
    pub(crate) change: String,
    /// The stage of it.
    pub(crate) stage: String,
    /// Where the device was to be when it was made, and what it was to hold itself.
    pub(crate) placement: Placement,
    /// The keys of configlets that were taken off.
    pub(crate) ignored: Vec<String>,
    /// What happened, for people.
    pub(crate) log: Vec<Entry>,
}

/// What a task does besides writing the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Push,
    /// From this container.
    Move(String),
    /// Wipe it; it was in this container.
    Reset(String),
    Image,
    /// The device is then reached at this address.
    Address(String),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl State {
    /// As the portal writes it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "In-Progress",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

impl Task {
    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether it can be executed.
    fn is_open(&self) -> bool {
        matches!(self.state, State::Pending | State::Failed)
    }

    fn say(&mut self, at: Ms, user: &str, text: impl Into<String>) {
        let (object, part) = (self.id.to_string(), String::new());
        self.log.push(Entry { at, user: user.to_owned(), object, part, text: text.into() });
    }
}

/// A task to be made.
#[derive(Debug)]
pub(super) struct NewTask<'a> {
    pub(super) user: &'a str,
    pub(super) device: String,
    pub(super) description: String,
    pub(super) kind: Kind,
    pub(super) ignored: Vec<String>,
}

impl Model {
    pub(super) fn add_task(&mut self, new: NewTask<'_>) -> u64 {
        let id = self.next_task;
        self.next_task += 1;
        let created_at = self.clock.stamp();
        let placement = self.devices.get(&new.device).map(|device| device.placement.clone());
        let mut task = Task {
            id,
            device: new.device,
            description: new.description,
            note: String::new(),
            kind: new.kind,
            state: State::Pending,
            created_by: new.user.to_owned(),
            created_at,
            executed_by: String::new(),
            executed_at: 0,
            completed_at: 0,
            change: String::new(),
            stage: String::new(),
            placement: placement.unwrap_or_default(),
            ignored: new.ignored,
            log: vec![],
        };
        task.say(created_at, new.user, format!("Task {id} created"));
        self.tasks.insert(id, task);
        id
    }

    /// A task by its id, which may be any text.
    pub(crate) fn task(&self, id: &str) -> Result<&Task, Refused> {
        let task = id.parse().ok().and_then(|id: u64| self.tasks.get(&id));
        task.ok_or_else(|| Refused::new(About::Task, Why::Absent, "Invalid WorkOrderId"))
    }

    /// Tasks that are all there and open, by their ids.
    fn open_tasks(&self, ids: &[String], what: &str, open: fn(&Task) -> bool) -> Result<Vec<u64>, Refused> {
        let mut found = vec![];
        for id in ids {
            let task = self.task(id)?;
            if !open(task) {
                let state = task.state.words();
                let text = format!("{what} failed due to invalid task status: task {id} is {state}");
                return Err(Refused::new(About::Task, Why::State, text));
            }
            if !found.contains(&task.id) {
                found.push(task.id);
            }
        }
        Ok(found)
    }

    /// Executes tasks, all or none. From API level 3 on each gets a change control of its own.
    pub(crate) fn execute_tasks(&mut self, user: &str, ids: &[String]) -> Result<(), Refused> {
        for id in self.open_tasks(ids, "Execution", Task::is_open)? {
            if self.settings.imitate.level() < 3 {
                self.begin_task(user, id, "", "")
                    .map_err(|text| Refused::new(About::Task, Why::State, text))?;
            } else {
                self.run_in_change_of_its_own(user, id);
            }
        }
        Ok(())
    }

    /// Cancels tasks, all or none. What they were made for stays assigned.
    pub(crate) fn cancel_tasks(&mut self, user: &str, ids: &[String]) -> Result<(), Refused> {
        let at = self.clock.stamp();
        for id in self.open_tasks(ids, "Cancellation", |task| task.state == State::Pending)? {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.state = State::Cancelled;
                task.say(at, user, format!("Task {id} cancelled"));
            }
        }
        Ok(())
    }

    /// Cancels what waits for a device that goes.
    pub(super) fn cancel_all_of(&mut self, mac: &str) {
        let at = self.clock.stamp();
        for task in self.tasks.values_mut().filter(|task| task.device == mac && task.is_open()) {
            task.state = State::Cancelled;
            task.say(at, "cvp system", "the device was removed");
        }
    }

    /// Writes a note to a task.
    pub(crate) fn note_task(&mut self, id: &str, note: &str) -> Result<(), Refused> {
        let id = self.task(id)?.id;
        if let Some(task) = self.tasks.get_mut(&id) {
            note.clone_into(&mut task.note);
        }
        Ok(())
    }

    /// Lets a task run; why it cannot, if so.
    pub(super) fn begin_task(
        &mut self,
        user: &str,
        id: u64,
        change: &str,
        stage: &str,
    ) -> Result<(), String> {
        let at = self.clock.stamp();
        let task = self.tasks.get_mut(&id).ok_or_else(|| format!("task {id} does not exist"))?;
        if !task.is_open() {
            return Err(format!("task {id} is {} and cannot be executed", task.state.words()));
        }
        task.state = State::Running;
        user.clone_into(&mut task.executed_by);
        task.executed_at = at;
        task.completed_at = 0;
        change.clone_into(&mut task.change);
        stage.clone_into(&mut task.stage);
        task.say(at, user, format!("Task {id} execution started"));
        self.jobs.push(Job::Push { task: id });
        Ok(())
    }

    /// What a running task writes, or why its device does not take it.
    pub(crate) fn push_of(&mut self, id: u64) -> Result<Push, String> {
        let task = self.tasks.get(&id).ok_or_else(|| format!("task {id} does not exist"))?;
        let (reset, mac) = (matches!(task.kind, Kind::Reset(_)), task.device.clone());
        let device = self.devices.get(&mac).ok_or_else(|| format!("device {mac} does not exist"))?;
        if device.faults.unreachable {
            return Err(format!("device {} is not reachable", device.fqdn()));
        }
        // A device that is reset forgets; one that waits to be provisioned is left alone.
        let config = match (device.is_undefined(), reset) {
            (true, false) => Lines::parse(&device.running).render(),
            _ => self.target(device),
        };
        let held: Vec<_> = self.held(device).into_iter().filter_map(|h| self.configlets.get(h.key)).collect();
        let invalid = held.iter().find_map(|configlet| {
            let line = self.refused_lines(Some(device), &configlet.config).into_iter().next()?;
            Some(format!("configlet {}: {line}", configlet.name))
        });
        if let Some(invalid) = invalid {
            return Err(format!("device {} refused its configuration: {invalid}", device.fqdn()));
        }
        let (name, slow) = (device.fqdn(), device.faults.slow);
        if let Some(device) = self.devices.get_mut(&mac).filter(|device| device.faults.failing > 0) {
            device.faults.failing -= 1;
            return Err(format!("device {name} failed to take its configuration"));
        }
        Ok(Push { device: mac, config, slow })
    }

    /// Takes what a device runs, as it was read back; nothing, where it does not tell.
    pub(crate) fn observe(&mut self, mac: &str, running: Option<String>) {
        if let Some(device) = self.devices.get_mut(mac) {
            device.is_silent = running.is_none();
            device.running = running.unwrap_or_else(|| std::mem::take(&mut device.running));
        }
    }

    /// Ends a running task: with what its device runs now, or with why not.
    pub(crate) fn finish_task(&mut self, id: u64, result: Result<String, String>) {
        let at = self.clock.stamp();
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.is_running()) else { return };
        task.completed_at = at;
        let user = task.executed_by.clone();
        let error = result.as_ref().err().map(|why| format!("Task {id} failed: {why}"));
        match &error {
            None => {
                task.state = State::Completed;
                task.say(at, &user, format!("Task {id} completed"));
            }
            Some(text) => {
                task.state = State::Failed;
                task.say(at, &user, text.clone());
            }
        }
        let (mac, kind) = (task.device.clone(), task.kind.clone());
        let (change, stage) = (task.change.clone(), task.stage.clone());
        if let Ok(running) = result {
            let image = self.devices.get(&mac).and_then(|device| self.image_of(device));
            let version = image.map(|bundle| bundle.version.clone()).filter(|version| !version.is_empty());
            if let Some(device) = self.devices.get_mut(&mac) {
                device.running = running;
                device.is_silent = false;
                if let Kind::Address(ip) = kind {
                    device.ip = ip;
                }
                if let Some(version) = version {
                    device.eos = version;
                }
            }
        }
        self.finish_stage(&change, &stage, error);
    }
}
