//! Change controls: trees of stages that execute tasks and take snapshots. The portal had three APIs for them over the years;
//! which one is spoken is decided by its version, and nobody else has to know.

mod legacy;
mod model;
mod resource;
mod service;

use std::time::{Duration, SystemTime};

pub use model::{Change, ChangeControl, ChangeStatus, Legacy, Stage, StageState, StageStatus};
use serde_json::{Value, json};

use super::{
    ask::Ask,
    client::{AT_ONCE, Client},
    error::CvpError,
    task::TaskId,
    version::{Level, Version},
};
use crate::base::{
    parallel,
    wait::{Deadline, Pauses},
};

/// The API that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Resource,
    Service,
    Legacy,
}

/// The shortest and the longest pause between two looks at a change control.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(50), Duration::from_secs(5));

impl Client {
    async fn change_api(&self) -> Result<Api, CvpError> {
        let level = self.level().await?;
        Ok(match level {
            level if level >= Level::RESOURCES => Api::Resource,
            level if level >= Level::SERVICE_CHANGE_CONTROL => Api::Service,
            _ => Api::Legacy,
        })
    }

    /// Makes a change control, which does nothing before it is approved and started. Returns its id, which is the change's own
    /// but on the oldest portals.
    ///
    /// # Errors
    /// [`CvpError::BadChange`] for a change that no portal can do; [`CvpError::NotFound`] for a snapshot's template; the portal cannot be asked, or refuses.
    pub async fn create_change(&self, change: &Change) -> Result<String, CvpError> {
        change.check().map_err(|why| CvpError::BadChange { name: change.name.clone(), why })?;
        let change = &self.with_template_keys(change).await?;
        match self.change_api().await? {
            Api::Resource => resource::create(self, change).await,
            Api::Service => service::create(self, change).await,
            Api::Legacy => legacy::create(self, change).await,
        }
    }

    /// All change controls.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses; portals from 2019.0 to 2021.1 cannot list them.
    pub async fn changes(&self) -> Result<Vec<ChangeControl>, CvpError> {
        match self.change_api().await? {
            Api::Resource => resource::all(self).await,
            Api::Service => {
                let version = self.version().await?.map(|version| version.to_string()).unwrap_or_default();
                let hint = "look one up by its id";
                Err(CvpError::NotInThisVersion { what: "list the change controls".into(), version, hint })
            }
            Api::Legacy => legacy::all(self).await,
        }
    }

    /// The change control of this id, if there is one.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn change(&self, id: &str) -> Result<Option<ChangeControl>, CvpError> {
        match self.change_api().await? {
            Api::Resource => resource::one(self, id).await,
            Api::Service => service::one(self, id).await,
            Api::Legacy => legacy::one(self, id).await,
        }
    }

    async fn existing_change(&self, id: &str) -> Result<ChangeControl, CvpError> {
        self.change(id).await?.ok_or_else(|| CvpError::not_found("change control", id, []))
    }

    /// Approves a change control as it was read just now. What a device would refuse is found before, and keeps it from being
    /// approved. The oldest portals know no approval.
    ///
    /// # Errors
    /// [`CvpError::Tasks`] with the tasks a device would refuse; [`CvpError::NotFound`]; the portal cannot be asked, or
    /// refuses: it was changed meanwhile.
    pub async fn approve_change(&self, id: &str, notes: &str) -> Result<(), CvpError> {
        let api = self.change_api().await?;
        if api == Api::Legacy {
            return Ok(());
        }
        let change = self.existing_change(id).await?;
        if api == Api::Service {
            return service::approve(self, &change).await;
        }
        let looked = parallel::each(change.tasks(), AT_ONCE, |(task, stage)| {
            let client = self.clone();
            async move {
                let would = client.task_would_fail(&task).await?;
                Ok(would.map(|why| (task, stage, format!("would fail: {why}"))))
            }
        });
        let bad: Vec<_> =
            looked.await.into_iter().filter_map(Result::transpose).collect::<Result<_, CvpError>>()?;
        if !bad.is_empty() {
            return Err(CvpError::Tasks(bad));
        }
        resource::approve(self, &change, true, notes).await
    }

    /// Takes an approval back.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn unapprove_change(&self, id: &str, notes: &str) -> Result<(), CvpError> {
        match self.change_api().await? {
            Api::Resource => resource::approve(self, &self.existing_change(id).await?, false, notes).await,
            Api::Service => service::unapprove(self, id).await,
            Api::Legacy => Ok(()),
        }
    }

    /// What a device would refuse of a task, if it does.
    async fn task_would_fail(&self, id: &TaskId) -> Result<Option<String>, CvpError> {
        let path = "/api/v3/services/compliancecheck.Compliance/GetConfigDiffForTask";
        let ask = Ask::post(format!("look what the task {id} would change"), path, json!({ "task_id": id }))
            .repeatable();
        let parts = match self.ask(&ask.within(self.spec().limits.slow_answer)).await {
            Ok(Value::Array(parts)) => parts,
            Ok(_) => Vec::new(),
            // Not all portals can say so, nor for each task; its end will.
            Err(CvpError::Refused { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let errors = parts
            .iter()
            .filter_map(|part| part.get("error"))
            .filter(|error| error.get("error_code").and_then(Value::as_str) == Some("DEVICEERROR"));
        let words: Vec<&str> = errors
            .map(|error| error.get("error_msg").and_then(Value::as_str).unwrap_or("no reason given"))
            .collect();
        Ok((!words.is_empty()).then(|| words.join("; ")))
    }

    /// Starts an approved change control; it goes on by itself, see [`wait_for_change`](Self::wait_for_change).
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses: it is not approved, or not there.
    pub async fn start_change(&self, id: &str, notes: &str) -> Result<(), CvpError> {
        let started = match self.change_api().await? {
            Api::Resource => resource::start(self, id, true, notes).await,
            Api::Service => service::start(self, id).await,
            Api::Legacy => legacy::start(self, id).await,
        };
        match started {
            Err(error) if error.may_have_happened() => {
                let begun = self.change(id).await?.is_some_and(|change| change.status.has_begun());
                if begun { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }

    /// Stops a change control that runs: stages that have not begun never will, those that run go on to their end.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn stop_change(&self, id: &str, notes: &str) -> Result<(), CvpError> {
        match self.change_api().await? {
            Api::Resource => resource::start(self, id, false, notes).await,
            Api::Service => service::stop(self, id).await,
            Api::Legacy => legacy::cancel(self, id).await,
        }
    }

    /// Lets an approved change control start at a time, or not by itself any more.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn schedule_change(
        &self,
        id: &str,
        at: Option<SystemTime>,
        notes: &str,
    ) -> Result<(), CvpError> {
        let what = format!("schedule the change control {id}");
        match self.change_api().await? {
            Api::Resource => {
                let hint = "portals from 2022.1 on do; start it when it is time";
                self.require(Level::SCHEDULING, &what, hint).await?;
                resource::schedule(self, id, at, notes).await
            }
            Api::Service => {
                let version = self.version().await?.unwrap_or(Version::new(2019, 0, 0)).to_string();
                Err(CvpError::NotInThisVersion { what, version, hint: "start it when it is time" })
            }
            Api::Legacy => legacy::schedule(self, id, at).await,
        }
    }

    /// Removes a change control that does not run; its tasks stay.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses: it runs, or is not there.
    pub async fn delete_change(&self, id: &str) -> Result<(), CvpError> {
        let deleted = match self.change_api().await? {
            Api::Resource => resource::delete(self, id).await,
            Api::Service => service::delete(self, id).await,
            Api::Legacy => legacy::delete(self, id).await,
        };
        match deleted {
            Err(error) if error.may_have_happened() && self.change(id).await?.is_none() => Ok(()),
            other => other,
        }
    }

    /// Waits until a change control is over, and returns it as it ended; whether it ended well is for the caller to see, or
    /// for [`ChangeControl::outcome`]. `seen` is told each change of its state or of a stage's.
    ///
    /// # Errors
    /// [`CvpError::Late`] with what was seen last; [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn wait_for_change(
        &self,
        id: &str,
        limit: Duration,
        mut seen: impl FnMut(&ChangeControl),
    ) -> Result<ChangeControl, CvpError> {
        let deadline = Deadline::within(limit);
        let mut before = None;
        let mut pauses = PAUSES;
        loop {
            let change = self.existing_change(id).await?;
            let states = change.states();
            let moved = before.as_ref() != Some(&states);
            if moved {
                before = Some(states);
                seen(&change);
            }
            if change.is_over() {
                return Ok(change);
            }
            if deadline.passed() {
                let what = format!("the change control {}", change.name);
                return Err(CvpError::Late { what, limit, seen: change.progress() });
            }
            if moved {
                pauses.shorten();
            }
            pauses.pause(deadline).await;
        }
    }

    /// Approves and starts a change control and waits for its end, which has to be a good one.
    ///
    /// # Errors
    /// [`CvpError::ChangeFailed`] with the stages that failed and why; like the calls it is made of.
    pub async fn run_change(
        &self,
        id: &str,
        limit: Duration,
        seen: impl FnMut(&ChangeControl),
    ) -> Result<ChangeControl, CvpError> {
        self.approve_change(id, "approved by polder").await?;
        self.start_change(id, "started by polder").await?;
        let change = self.wait_for_change(id, limit, seen).await?;
        change.outcome()?;
        Ok(change)
    }
}
