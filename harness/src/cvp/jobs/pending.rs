//! Pending tasks, whoever made them, executed and waited for.

use super::{
    exec::{Halt, Run},
    pace::Pace,
    report::{DeviceResult, JobEvent, JobReport},
};
use crate::cvp::{CvpError, Task, TaskId};

impl Run<'_> {
    /// Executes these tasks and waits for their end; those of change controls are left to these.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn tasks(self, tasks: Vec<Task>) -> Result<JobReport, CvpError> {
        let mut pace = Pace::new(self);
        let mut job = JobReport {
            name: "pending tasks".to_owned(),
            kind: "tasks",
            action: "run",
            ..JobReport::empty()
        };
        let (theirs, ours): (Vec<Task>, Vec<Task>) =
            tasks.into_iter().partition(|task| !task.change_control.is_empty());
        for task in theirs {
            let why = format!("its task is for the change control {}", task.change_control);
            job.tell_of(&task, DeviceResult::Skipped { why });
        }
        let ids: Vec<TaskId> = ours.iter().map(|task| task.id.clone()).collect();
        job.tasks.clone_from(&ids);
        pace.tell(&JobEvent::Begins { number: 1, of: 1, name: job.name.clone() });
        let done: Result<(), Halt> = pace.execute(&ids, &mut job).await;
        job.end(&[], done);
        pace.tell(&JobEvent::Ends { report: job.clone() });
        Ok(job)
    }
}
