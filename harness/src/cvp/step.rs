//! What changes have a portal do to one device: a configlet is put on it or taken off, and the device runs what it is to run;
//! and change controls that somebody else has put together. What is so already stays so, without a word to the device.

use std::time::Duration;

use super::{
    change_control::ChangeControl,
    client::Client,
    configlet::Configlet,
    error::CvpError,
    inventory::Device,
    task::{Task, TaskId},
};
use crate::base::wait::Deadline;

/// What a step did, for whoever reads its output.
type Told = Result<String, CvpError>;

impl Client {
    /// Has a device hold the configlet of this name with this text, and run it. The configlet is made if there is none; one
    /// that others hold changes for them as well, though nothing is pushed to them.
    pub(crate) async fn step_put(&self, device: &str, name: &str, text: &str, limit: Duration) -> Told {
        let deadline = Deadline::within(limit);
        let device = self.step_device(device).await?;
        let configlet = match self.configlet(name).await? {
            None => match self.add_configlet(name, text).await {
                // It is put on other devices at the same time.
                Err(CvpError::Exists { .. }) => self.existing_configlet(name).await?,
                made => made?,
            },
            Some(there) => {
                if there.text != text {
                    self.update_configlet(&there.key, name, text).await?;
                }
                there
            }
        };
        self.put_on_device(&device, &[configlet]).await?;
        let ran = self.step_push(&device, deadline).await?;
        Ok(format!("{device} holds the configlet {name}; {ran}\n"))
    }

    /// Takes the configlet of this name off a device, and has the device run what is left. It is deleted when nobody else
    /// holds it.
    pub(crate) async fn step_take(&self, device: &str, name: &str, limit: Duration) -> Told {
        let deadline = Deadline::within(limit);
        let device = self.step_device(device).await?;
        let Some(configlet) = self.configlet(name).await? else {
            return Ok(format!("there is no configlet {name}\n"));
        };
        self.take_off_device(&device, std::slice::from_ref(&configlet)).await?;
        let ran = self.step_push(&device, deadline).await?;
        let deleted = match self.step_delete(configlet).await {
            Ok(told) => told,
            // It is taken off other devices at the same time, and the last one deletes it.
            Err(error) => match self.configlet(name).await? {
                None => "the configlet is deleted already".to_owned(),
                Some(_) => return Err(error),
            },
        };
        Ok(format!("{device} does not hold the configlet {name} itself; {ran}; {deleted}\n"))
    }

    /// Deletes a configlet that nobody holds.
    async fn step_delete(&self, configlet: Configlet) -> Told {
        match self.holders_of(&configlet.name).await?.as_slice() {
            [] => {
                self.delete_configlets(&[configlet]).await?;
                Ok("the configlet is deleted".to_owned())
            }
            holders => Ok(format!("others hold it: {}", holders.join(", "))),
        }
    }

    /// Approves and starts the change control of this id or name, and waits for its end, which has to be a good one.
    pub(crate) async fn step_change(&self, name: &str, limit: Duration) -> Told {
        let change = match self.change(name).await? {
            Some(change) => change,
            None => self.step_named(name).await?,
        };
        let ended = self.run_change(&change.id, limit, |_| {}).await?;
        Ok(format!("the change control {name} is over: {}\n", ended.progress()))
    }

    async fn step_named(&self, name: &str) -> Result<ChangeControl, CvpError> {
        let (found, others): (Vec<_>, Vec<_>) =
            self.changes().await?.into_iter().partition(|change| change.name == name);
        match <[ChangeControl; 1]>::try_from(found) {
            Ok([one]) => Ok(one),
            Err(found) if found.is_empty() => {
                let names = others.iter().map(|change| change.name.as_str());
                Err(CvpError::not_found("change control", name, names))
            }
            Err(found) => Err(CvpError::Ambiguous {
                kind: "change control",
                name: name.to_owned(),
                which: found.into_iter().map(|change| change.id).collect(),
            }),
        }
    }

    async fn step_device(&self, name: &str) -> Result<Device, CvpError> {
        Ok(self.inventory().await?.device(name)?.clone())
    }

    /// Executes the tasks that wait for a device: each of them writes all that it is to run.
    async fn step_push(&self, device: &Device, deadline: Deadline) -> Told {
        let waiting = self.tasks(Some("Pending")).await?;
        let own = |task: &Task| task.device.eq_ignore_ascii_case(&device.mac);
        let tasks: Vec<TaskId> = waiting.into_iter().filter(own).map(|task| task.id).collect();
        if tasks.is_empty() {
            return Ok("nothing had to be pushed".to_owned());
        }
        self.run_tasks(&tasks, deadline.left(), |_| {}).await?;
        let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        Ok(format!("pushed by task {}", tasks.join(", ")))
    }
}
