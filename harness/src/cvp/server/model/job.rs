//! What the model wants done outside of it, and what it takes back when that is done.

use super::{clock::Ms, state::Model};

/// Something that takes its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// Write a device's configuration for a task.
    Push {
        /// The task.
        task: u64,
    },
    /// Do what a stage of a change control asks for that is no task.
    Act {
        /// The change control.
        change: String,
        /// The stage.
        stage: String,
    },
    /// Go on with what is bound to a time of its own.
    Wake,
}

/// What is to be written to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Push {
    /// Its MAC address.
    pub(crate) device: String,
    /// All of the configuration it is to run.
    pub(crate) config: String,
    /// How much longer this takes, in milliseconds.
    pub(crate) slow: Ms,
}

impl Model {
    /// What happens by itself as time goes by: schedules, and stages that take too long.
    pub(crate) fn tick(&mut self) {
        self.tick_changes();
        self.tick_templates();
        self.tick_workspaces();
        self.tick_decommissionings();
    }

    /// When something happens by itself next.
    pub(crate) fn next_tick(&self) -> Option<Ms> {
        let templates = self.templates.values().filter_map(|template| template.due);
        let changes = self.changes.values().filter_map(super::change::ChangeControl::due);
        templates.chain(changes).min()
    }

    /// After loading: what was being done is done again.
    pub(super) fn resume(&mut self) {
        let running = self.tasks.values().filter(|task| task.is_running());
        self.jobs = running.map(|task| Job::Push { task: task.id }).collect();
        for (id, change) in &self.changes {
            let acting = change.stages.iter().filter(|(_, stage)| stage.is_running() && stage.acts());
            self.jobs.extend(acting.map(|(stage, _)| Job::Act { change: id.clone(), stage: stage.clone() }));
        }
        self.jobs.push(Job::Wake);
    }
}
