//! How jobs go on: what is told, how long is waited, and where it ends when the operator wants it to.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::watch;

use super::{
    exec::{Halt, Run},
    plan::Step,
    report::{DeviceReport, DeviceResult, JobEvent, JobReport, Outcome},
};
use crate::base::wait::Deadline;
use crate::cvp::{ChangeControl, Client, CvpError, Device, Task, TaskId, TaskState};

/// Tasks that are executed at once: what is in front of a broken network is found out before all devices are behind it.
const AT_ONCE: usize = 20;

/// Executes and waits.
pub(super) struct Pace<'a> {
    pub(super) client: &'a Client,
    limit: Duration,
    stop: watch::Receiver<bool>,
    tell: &'a mut (dyn FnMut(&JobEvent) + Send),
}

impl<'a> Pace<'a> {
    pub(super) fn new(run: Run<'a>) -> Self {
        let Run { client, limit, stop, tell } = run;
        Self { client, limit, stop, tell }
    }

    pub(super) fn tell(&mut self, event: &JobEvent) {
        (self.tell)(event);
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Ends what goes on when the operator wants it; `left` is what is not done then.
    pub(super) fn go_on(&self, left: &str) -> Result<(), Halt> {
        if self.is_stopped() { Err(Halt::Stopped(left.to_owned())) } else { Ok(()) }
    }

    /// Executes tasks, some at once, waits for their end, and says what became of each device.
    pub(super) async fn execute(&mut self, ids: &[TaskId], job: &mut JobReport) -> Result<(), Halt> {
        let deadline = Deadline::within(self.limit);
        let tasks = self.client.these_tasks(ids).await?;
        let mut ended = Ok(());
        for some in ids.chunks(AT_ONCE) {
            let some: BTreeMap<TaskId, Task> =
                some.iter().filter_map(|id| Some((id.clone(), tasks.get(id)?.clone()))).collect();
            if ended.is_ok() {
                ended = self.go_on("not all tasks were executed");
            }
            if ended.is_ok() && !deadline.passed() {
                ended = self.batch(some, deadline.left(), job).await;
                continue;
            }
            for task in some.values() {
                let left = format!("task {} {}, not executed", task.id, task.state);
                job.tell_of(
                    task,
                    match &ended {
                        Ok(()) => DeviceResult::TimedOut { last: left },
                        Err(_) => DeviceResult::Skipped { why: left },
                    },
                );
            }
        }
        ended
    }

    /// Executes these and waits for them; what became of each is told, whatever else there is to tell.
    async fn batch(
        &mut self,
        mut tasks: BTreeMap<TaskId, Task>,
        limit: Duration,
        job: &mut JobReport,
    ) -> Result<(), Halt> {
        let idle = |task: &&Task| matches!(task.state, TaskState::Pending | TaskState::Failed);
        let idle: Vec<TaskId> = tasks.values().filter(idle).map(|task| task.id.clone()).collect();
        let mut begun = self.client.execute_tasks(&idle).await.map_err(Halt::from);
        if let Err(Halt::Failed(reason) | Halt::Lost(reason)) = &begun {
            for task in tasks.values().filter(|task| idle.contains(&task.id)) {
                job.tell_of(task, DeviceResult::Failed { reason: reason.clone() });
            }
            tasks.retain(|id, _| !idle.contains(id));
        }
        if matches!(begun, Err(Halt::Failed(_))) {
            begun = Ok(());
        }
        begun?;
        let (left, ended) = self.wait(tasks, limit).await;
        for task in left.values() {
            let result = match &task.state {
                TaskState::Completed => DeviceResult::Completed,
                TaskState::Failed => DeviceResult::Failed { reason: self.client.why_failed(task).await },
                TaskState::Cancelled => {
                    DeviceResult::Failed { reason: format!("somebody cancelled its task {}", task.id) }
                }
                state if ended.is_err() => {
                    let why = format!("its task {} is {state}, and goes on by itself", task.id);
                    DeviceResult::Skipped { why }
                }
                state => DeviceResult::TimedOut { last: format!("task {} {state}", task.id) },
            };
            job.tell_of(task, result);
        }
        ended
    }

    /// Waits until these tasks have ended, time is up, or the operator has enough; as they are then.
    async fn wait(
        &mut self,
        tasks: BTreeMap<TaskId, Task>,
        limit: Duration,
    ) -> (BTreeMap<TaskId, Task>, Result<(), Halt>) {
        let ids: Vec<TaskId> = tasks.keys().cloned().collect();
        let mut last = tasks;
        if ids.is_empty() {
            return (last, Ok(()));
        }
        let mut stop = self.stop.clone();
        let tell = &mut self.tell;
        let seen = |task: &Task| {
            let (device, state) = (task.hostname.clone(), task.state.to_string());
            tell(&JobEvent::Device { device, state });
            last.insert(task.id.clone(), task.clone());
        };
        let ended = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {
                Err(Halt::Stopped("tasks that were executed are not waited for; they go on by themselves".to_owned()))
            }
            ended = self.client.wait_for_tasks(&ids, limit, seen) => match ended {
                Ok(_) | Err(CvpError::Late { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            },
        };
        (last, ended)
    }

    /// Waits for the end of a change control.
    pub(super) async fn change(&mut self, id: &str) -> Result<ChangeControl, Halt> {
        let mut stop = self.stop.clone();
        let tell = &mut self.tell;
        let seen = |change: &ChangeControl| tell(&JobEvent::Change { progress: change.progress() });
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {
                Err(Halt::Stopped(format!("the change control {id} goes on by itself; `polder cvp cc stop {id}` stops it")))
            }
            ended = self.client.wait_for_change(id, self.limit, seen) => Ok(ended?),
        }
    }
}

impl DeviceReport {
    /// Whether it does not have what it shall have.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self.result, DeviceResult::Failed { .. } | DeviceResult::TimedOut { .. })
    }
}

impl JobReport {
    pub(super) fn of(step: &Step) -> Self {
        let (kind, action) = step.words;
        Self { name: step.name.clone(), kind, action, ..Self::empty() }
    }

    /// Of nothing yet.
    pub(super) fn empty() -> Self {
        Self {
            name: String::new(),
            kind: "",
            action: "",
            outcome: Outcome::Done,
            note: None,
            devices: Vec::new(),
            tasks: Vec::new(),
            change_control: None,
        }
    }

    /// Whether something is told of a device.
    pub(super) fn has(&self, device: &Device) -> bool {
        self.devices.iter().any(|one| one.device == device.name())
    }

    pub(super) fn tell(&mut self, device: &Device, result: DeviceResult) {
        self.devices.push(DeviceReport { device: device.name().to_owned(), tasks: Vec::new(), result });
    }

    /// Of a device with several tasks, the worst is told.
    pub(super) fn tell_of(&mut self, task: &Task, result: DeviceResult) {
        let rank = |result: &DeviceResult| match result {
            DeviceResult::Skipped { .. } => 0,
            DeviceResult::Completed => 1,
            DeviceResult::TimedOut { .. } => 2,
            DeviceResult::Failed { .. } => 3,
        };
        let device = if task.hostname.is_empty() { &task.device } else { &task.hostname };
        match self.devices.iter_mut().find(|one| one.device == *device) {
            Some(one) => {
                one.tasks.push(task.id.clone());
                if rank(&result) > rank(&one.result) {
                    one.result = result;
                }
            }
            None => {
                let tasks = vec![task.id.clone()];
                self.devices.push(DeviceReport { device: device.clone(), tasks, result });
            }
        }
    }

    /// It is over.
    pub(super) fn end(&mut self, devices: &[Device], done: Result<(), Halt>) {
        let bad: Vec<String> =
            self.devices.iter().filter(|one| one.is_bad()).map(DeviceReport::to_string).collect();
        let (outcome, rest) = match done {
            Ok(()) if bad.is_empty() => (Outcome::Done, ""),
            Ok(()) => (Outcome::Failed { why: bad.join("; ") }, ""),
            Err(Halt::Failed(why) | Halt::Lost(why)) => (Outcome::Failed { why }, "the job failed before"),
            Err(Halt::Stopped(why)) => (Outcome::Stopped { why }, "it was stopped before"),
        };
        self.outcome = outcome;
        if !rest.is_empty() {
            for device in devices {
                if self.has(device) {
                    continue;
                }
                self.tell(device, DeviceResult::Skipped { why: rest.to_owned() });
            }
        }
    }
}

impl std::fmt::Display for DeviceReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.device, self.result.word(), self.result.detail())
    }
}
