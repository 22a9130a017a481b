//! Does what a plan says, job by job, at the portal. A job that failed keeps those from being done that build on it, and no
//! others.

use std::time::Duration;

use tokio::sync::watch;

use super::{
    pace::Pace,
    plan::{ChangeStep, ConfigletStep, Doing, Plan, Step},
    report::{DeviceResult, JobEvent, JobReport, Outcome, Report},
    spec::Start,
};
use crate::cvp::{
    Change, ChangeControl, Client, Configlet, CvpError, Device, Legacy, Task, TaskId, TaskState, action,
};

/// Why a job goes no further.
#[derive(Debug)]
pub(super) enum Halt {
    /// Something of it cannot be done.
    Failed(String),
    /// Nothing can be done at the portal any more.
    Lost(String),
    /// The operator wants it to end; what is not done.
    Stopped(String),
}

impl From<CvpError> for Halt {
    fn from(error: CvpError) -> Self {
        let text = error.to_string();
        let is_lost =
            matches!(error, CvpError::Login(_) | CvpError::Unreachable { .. } | CvpError::NoSession { .. });
        if is_lost { Self::Lost(text) } else { Self::Failed(text) }
    }
}

/// How jobs are done.
pub struct Run<'a> {
    /// At which portal.
    pub client: &'a Client,
    /// How long the tasks of a job may take.
    pub limit: Duration,
    /// Whether the operator wants it to end: what runs at the portal goes on there, and nothing more is begun.
    pub stop: watch::Receiver<bool>,
    /// Is told how far it is.
    pub tell: &'a mut (dyn FnMut(&JobEvent) + Send),
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("client", self.client).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Run<'_> {
    /// Does all jobs of a plan; what became of them is for the caller to see.
    pub async fn jobs(self, plan: &Plan) -> Report {
        let mut runner = Runner { pace: Pace::new(self), waiting: Vec::new() };
        let mut report = Report::default();
        let mut lost: Option<String> = None;
        let of = plan.steps.len();
        for (number, step) in plan.steps.iter().enumerate() {
            let mut job = JobReport::of(step);
            let failed = step
                .after
                .iter()
                .find(|at| report.jobs.get(**at).is_some_and(|job: &JobReport| job.outcome != Outcome::Done));
            let failed = failed.and_then(|at| Some((*at, report.jobs.get(*at)?)));
            if runner.pace.is_stopped() {
                job.outcome = Outcome::Skipped { why: "it was stopped before".to_owned() };
            } else if let Some(why) = &lost {
                job.outcome = Outcome::Skipped { why: why.clone() };
            } else if let Some((at, before)) = failed {
                let ended = match &before.outcome {
                    Outcome::Failed { .. } => "failed".to_owned(),
                    other => format!("was {}", other.word()),
                };
                let why = format!("it builds on job {} (`{}`), which {ended}", at + 1, before.name);
                job.outcome = Outcome::Skipped { why };
            } else {
                runner.pace.tell(&JobEvent::Begins { number: number + 1, of, name: step.name.clone() });
                let done = runner.step(step, &mut job).await;
                if let Err(Halt::Lost(why)) = &done {
                    lost = Some(format!("an earlier job lost the portal: {why}"));
                }
                job.end(&step.targets, done);
            }
            runner.pace.tell(&JobEvent::Ends { report: job.clone() });
            report.jobs.push(job);
        }
        report.stopped =
            runner.pace.is_stopped() && !report.jobs.iter().all(|job| job.outcome == Outcome::Done);
        report
    }
}

/// A task that waits for somebody to execute it.
#[derive(Debug)]
struct Waiting {
    id: TaskId,
    /// The device's MAC address.
    device: String,
}

struct Runner<'a> {
    pace: Pace<'a>,
    /// Tasks of this run that nobody has executed.
    waiting: Vec<Waiting>,
}

impl Runner<'_> {
    fn client(&self) -> Client {
        self.pace.client.clone()
    }

    async fn step(&mut self, step: &Step, job: &mut JobReport) -> Result<(), Halt> {
        match &step.doing {
            Doing::Configlet(it) => self.configlet(step, it, job).await,
            Doing::Change(it) => self.change(it, job).await,
            Doing::Create { container, parent } => {
                let inventory = self.client().inventory().await?;
                self.client().add_container(container, inventory.container(parent)?).await?;
                Ok(())
            }
            Doing::Destroy { container } => {
                let inventory = self.client().inventory().await?;
                Ok(self.client().delete_container(inventory.container(container)?).await?)
            }
            Doing::Attach { container, moved } => {
                let inventory = self.client().inventory().await?;
                let container = inventory.container(container)?;
                for device in moved {
                    self.pace.go_on("not all devices were moved")?;
                    let device = inventory.device(&device.mac)?;
                    let made = self.client().move_device(device, container).await;
                    self.made(device, made, job)?;
                }
                self.finish(step, job).await
            }
        }
    }

    async fn configlet(&mut self, step: &Step, it: &ConfigletStep, job: &mut JobReport) -> Result<(), Halt> {
        let client = self.client();
        let name = &it.configlet;
        let configlet = match &it.text {
            Some((None, text)) => client.add_configlet(name, text).await?,
            Some((Some(before), text)) => {
                let there = client.existing_configlet(name).await?;
                if there.text != *before {
                    let why = format!(
                        "somebody has changed `{name}` since the jobs were planned; look, and try again"
                    );
                    return Err(Halt::Failed(why));
                }
                let made = client.update_configlet(&there.key, name, text).await?;
                self.note(&made, job).await?;
                Configlet { text: text.clone(), ..there }
            }
            None => client.existing_configlet(name).await?,
        };
        let one = std::slice::from_ref(&configlet);
        for device in &it.put {
            self.pace.go_on("not all devices hold it")?;
            let made = client.put_on_device(device, one).await;
            self.made(device, made, job)?;
        }
        for device in &it.take {
            self.pace.go_on("not all devices have lost it")?;
            let made = client.take_off_device(device, one).await;
            self.made(device, made, job)?;
        }
        for container in &it.take_from {
            self.pace.go_on("not all containers have lost it")?;
            let made = client.take_off_container(container, one).await?;
            self.note(&made, job).await?;
        }
        if step.apply && step.is_kept() {
            self.renew(step, &configlet, job).await?;
        }
        self.finish(step, job).await?;
        if it.delete {
            if let Some(bad) = job.devices.iter().find(|one| one.is_bad()) {
                let why = format!("`{name}` is not deleted, because {} still runs it", bad.device);
                job.note = Some(why);
                return Ok(());
            }
            self.pace.go_on("nobody holds it any more, but it is not deleted")?;
            client.delete_configlets(one).await?;
        }
        Ok(())
    }

    /// Gives a task to those that hold everything already, and do not run it.
    async fn renew(&mut self, step: &Step, configlet: &Configlet, job: &mut JobReport) -> Result<(), Halt> {
        let client = self.client();
        let idle = |one: &&Device| self.waiting.iter().all(|task| task.device != one.mac);
        let idle: Vec<Device> =
            step.targets.iter().filter(idle).filter(|one| !job.has(one)).cloned().collect();
        for device in idle {
            self.pace.go_on("not all devices were looked at")?;
            if client.compliance(&device.mac).await?.is_in_sync() {
                let why = format!("it runs `{}` already", configlet.name);
                job.tell(&device, DeviceResult::Skipped { why });
                continue;
            }
            let held = client.held_by_device(&device.mac).await?;
            let own: Vec<&Configlet> = held.own().collect();
            let again = action::hold(&action::Target::Device(&device), &own, &[]);
            let made = client.save(format!("push the configuration of {device} again"), vec![again]).await;
            self.made(&device, made, job)?;
        }
        Ok(())
    }

    /// Executes the tasks of the devices a job is about, if it is to apply them, and says what became of each device.
    async fn finish(&mut self, step: &Step, job: &mut JobReport) -> Result<(), Halt> {
        let is_target = |mac: &str| step.targets.iter().any(|one| one.mac == mac);
        let mut ids = Vec::new();
        if step.apply {
            ids =
                self.waiting.iter().filter(|one| is_target(&one.device)).map(|one| one.id.clone()).collect();
            self.waiting.retain(|one| !is_target(&one.device));
            self.pace.execute(&ids, job).await?;
        }
        let left = if step.apply {
            "the job does not name it; its task waits"
        } else {
            "not applied; its task waits"
        };
        let tasks = self.client().these_tasks(&job.tasks).await?;
        for task in tasks.values().filter(|task| !ids.contains(&task.id)) {
            job.tell_of(task, DeviceResult::Skipped { why: left.to_owned() });
        }
        let why = match (&step.doing, step.words.1) {
            (Doing::Attach { .. }, _) => "it is there already",
            (_, "remove-devices") => "it does not hold it",
            (_, "delete") => "it has no task",
            _ => "it holds it already",
        };
        for device in step.targets.iter().filter(|device| !job.has(device)).cloned().collect::<Vec<_>>() {
            job.tell(&device, DeviceResult::Skipped { why: why.to_owned() });
        }
        Ok(())
    }

    /// Tasks were made for a device, or that failed, which is told and keeps nobody else from being served.
    fn made(
        &mut self,
        device: &Device,
        made: Result<Vec<TaskId>, CvpError>,
        job: &mut JobReport,
    ) -> Result<(), Halt> {
        match made.map_err(Halt::from) {
            Ok(ids) => {
                let waiting = |id: &TaskId| Waiting { id: id.clone(), device: device.mac.clone() };
                self.waiting.extend(ids.iter().map(waiting));
                job.tasks.extend(ids);
                Ok(())
            }
            Err(Halt::Failed(reason)) => {
                job.tell(device, DeviceResult::Failed { reason });
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// Tasks were made, and only the portal knows for whom.
    async fn note(&mut self, ids: &[TaskId], job: &mut JobReport) -> Result<(), Halt> {
        if ids.is_empty() {
            return Ok(());
        }
        job.tasks.extend(ids.iter().cloned());
        let tasks = self.client().these_tasks(ids).await?;
        self.waiting.extend(tasks.into_values().map(|task| Waiting { id: task.id, device: task.device }));
        Ok(())
    }

    async fn change(&mut self, it: &ChangeStep, job: &mut JobReport) -> Result<(), Halt> {
        let client = self.client();
        let mut ids: Vec<TaskId> = self.waiting.drain(..).map(|one| one.id).collect();
        ids.extend(it.pending.iter().map(|(id, _)| id.clone()));
        let tasks = client.these_tasks(&ids).await?;
        // Others may have been quicker.
        ids.retain(|id| tasks.get(id).is_some_and(|task| task.state == TaskState::Pending));
        if ids.is_empty() {
            job.note = Some("no task waits, so there is no change control".to_owned());
            return Ok(());
        }
        let devices: Vec<&str> =
            ids.iter().filter_map(|id| tasks.get(id)).map(|one| one.device.as_str()).collect();
        let mut change = Change::new(&it.job.name);
        change = if it.is_serial() { change.series(ids.clone()) } else { change.parallel(ids.clone()) };
        if let Some(template) = &it.template {
            let all = client.devices().await?;
            let serials =
                all.into_iter().filter(|one| devices.contains(&one.mac.as_str())).map(|one| one.serial);
            change = change.snapshots(template, &serials.collect::<Vec<_>>());
        }
        change.notes = "made by polder".to_owned();
        change.legacy = Legacy {
            country: it.job.country.clone(),
            time_zone: it.job.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
            stop_on_error: it.job.stop_on_error == super::spec::StopOnError::Yes,
            at: if let Start::At { wall, .. } = &it.job.start { wall.clone() } else { String::new() },
            is_rollback: false,
        };
        self.pace.go_on("the change control was not made")?;
        let id = client.create_change(&change).await?;
        job.change_control = Some(id.clone());
        let waits =
            |why: String| move |task: &Task| (task.clone(), DeviceResult::Skipped { why: why.clone() });
        let told: Vec<(Task, DeviceResult)> = match &it.job.start {
            Start::Manual => {
                let why = format!("its task waits for the change control {id} to be approved and started");
                tasks.values().map(waits(why)).collect()
            }
            Start::At { at, wall, .. } => {
                client.approve_change(&id, "approved by polder").await?;
                // The oldest portals were told when it was made.
                if client.level().await? >= crate::cvp::Level::SERVICE_CHANGE_CONTROL {
                    client.schedule_change(&id, Some(*at), "scheduled by polder").await?;
                }
                let zone = it.job.time_zone.as_deref().unwrap_or_default();
                job.note = Some(format!("it starts by itself at {wall} ({zone})"));
                tasks.values().map(waits(format!("its task waits for {wall} ({zone})"))).collect()
            }
            Start::Now => return self.run_change(&id, &ids, job).await,
        };
        told.into_iter()
            .filter(|(task, _)| ids.contains(&task.id))
            .for_each(|(task, result)| job.tell_of(&task, result));
        Ok(())
    }

    /// Approves and starts a change control, and waits for its end.
    async fn run_change(&mut self, id: &str, ids: &[TaskId], job: &mut JobReport) -> Result<(), Halt> {
        let client = self.client();
        client.approve_change(id, "approved by polder").await?;
        self.pace.go_on("the change control was made and approved, but not started")?;
        client.start_change(id, "started by polder").await?;
        let ended: Result<ChangeControl, Halt> = self.pace.change(id).await;
        let tasks = client.these_tasks(ids).await?;
        let last = match &ended {
            Ok(_) => None,
            Err(Halt::Failed(why)) => Some(why.clone()),
            Err(_) => return ended.map(drop),
        };
        for task in tasks.values() {
            let result = match (&task.state, &last) {
                (TaskState::Completed, _) => DeviceResult::Completed,
                (TaskState::Failed, _) => DeviceResult::Failed { reason: client.why_failed(task).await },
                (TaskState::Cancelled, _) => {
                    DeviceResult::Failed { reason: "its task was cancelled".to_owned() }
                }
                (state, Some(_)) => DeviceResult::TimedOut { last: format!("task {} {state}", task.id) },
                (state, None) => DeviceResult::Skipped {
                    why: format!("the change control ended before its task, which is {state}"),
                },
            };
            job.tell_of(task, result);
        }
        ended?.outcome()?;
        Ok(())
    }
}
