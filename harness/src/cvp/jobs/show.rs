//! A plan for people and for programs: exactly what would be changed.

use serde_json::{Value, json};
use similar::TextDiff;

use super::{
    plan::{ChangeStep, ConfigletStep, Doing, Plan, Step},
    spec::Start,
};
use crate::cvp::{Container, Device};

impl Plan {
    /// All of it as one value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "jobs": self.steps.iter().map(Step::to_json).collect::<Vec<_>>() })
    }
}

/// A paragraph for each job.
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            let action = step.words.1;
            let kind = if action.is_empty() {
                step.words.0.to_owned()
            } else {
                format!("{} {action}", step.words.0)
            };
            writeln!(f, "{}. {} ({kind})", number + 1, step.name)?;
            let lines = step.lines();
            if lines.is_empty() {
                writeln!(f, "   nothing: it is so already")?;
            }
            for line in lines {
                writeln!(f, "   {line}")?;
            }
        }
        Ok(())
    }
}

fn names(devices: &[Device]) -> String {
    devices.iter().map(Device::name).collect::<Vec<_>>().join(", ")
}

fn listed(devices: &[Device]) -> Vec<&str> {
    devices.iter().map(Device::name).collect()
}

/// How a text changes, line by line.
fn diff(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(3).to_string()
}

impl Step {
    fn lines(&self) -> Vec<String> {
        let mut lines = match &self.doing {
            Doing::Configlet(step) => step.lines(),
            Doing::Change(step) => return step.lines(),
            Doing::Create { container, parent } => {
                vec![format!("make the container `{container}` in `{parent}`")]
            }
            Doing::Destroy { container } => vec![format!("remove the container `{container}`")],
            Doing::Attach { container, moved } if moved.is_empty() => {
                vec![format!("all devices are in `{container}` already")]
            }
            Doing::Attach { container, moved } => {
                vec![format!("move {} into the container `{container}`", names(moved))]
            }
        };
        if !self.tasks.is_empty() {
            let is_target = |one: &&Device| self.targets.iter().any(|target| target.mac == one.mac);
            let (now, later): (Vec<&Device>, Vec<&Device>) =
                self.tasks.iter().partition(|one| self.apply && is_target(one));
            for (devices, what) in [(now, "which is executed"), (later, "which is left pending")] {
                let devices: Vec<&str> = devices.into_iter().map(Device::name).collect();
                if !devices.is_empty() {
                    lines.push(format!("a task each for {}, {what}", devices.join(", ")));
                }
            }
        }
        if !self.caught_up.is_empty() {
            lines.push(format!("execute what earlier jobs left for {}", names(&self.caught_up)));
        }
        if !self.renewed.is_empty() {
            lines.push(format!("a task each for {}, out of sync, which is executed", names(&self.renewed)));
        }
        if let Doing::Configlet(ConfigletStep { configlet, delete: true, .. }) = &self.doing {
            lines.push(format!("delete the configlet `{configlet}`"));
        }
        lines
    }

    fn to_json(&self) -> Value {
        let mut value = json!({
            "name": self.name, "type": self.words.0, "action": self.words.1, "apply": self.apply,
            "after": self.after.iter().map(|at| at + 1).collect::<Vec<_>>(),
            "tasks": listed(&self.tasks), "caught_up": listed(&self.caught_up),
            "renewed": listed(&self.renewed),
        });
        let more = match &self.doing {
            Doing::Configlet(step) => step.to_json(),
            Doing::Change(step) => step.to_json(),
            Doing::Create { container, parent } => json!({ "container": container, "parent": parent }),
            Doing::Destroy { container } => json!({ "container": container }),
            Doing::Attach { container, moved } => json!({ "container": container, "moved": listed(moved) }),
        };
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    }
}

impl ConfigletStep {
    fn lines(&self) -> Vec<String> {
        let name = &self.configlet;
        let mut lines = Vec::new();
        if let Some((before, after)) = &self.text {
            let verb = if before.is_some() { "change" } else { "make" };
            lines.push(format!("{verb} the configlet `{name}`:"));
            let diff = diff(before.as_deref().unwrap_or_default(), after);
            lines.extend(diff.lines().map(|line| format!("    {line}")));
        }
        if !self.put.is_empty() {
            lines.push(format!("put `{name}` on {}", names(&self.put)));
        }
        if !self.take.is_empty() {
            lines.push(format!("take `{name}` off {}", names(&self.take)));
        }
        for container in &self.take_from {
            lines.push(format!("take `{name}` off the container `{}`", container.name));
        }
        lines
    }

    fn to_json(&self) -> Value {
        let change = self.text.as_ref().map(|(before, after)| {
            json!({
                "is_new": before.is_none(),
                "diff": diff(before.as_deref().unwrap_or_default(), after),
            })
        });
        let containers = self.take_from.iter().map(|one: &Container| one.name.as_str()).collect::<Vec<_>>();
        json!({
            "configlet": self.configlet, "text": change, "put": listed(&self.put), "take": listed(&self.take),
            "take_from": containers, "delete": self.delete,
        })
    }
}

impl ChangeStep {
    /// The devices of its tasks, those that will be made first.
    fn devices(&self) -> Vec<String> {
        let pending = self.pending.iter().map(|(_, device)| device.clone());
        self.waiting.iter().map(|device| device.name().to_owned()).chain(pending).collect()
    }

    fn lines(&self) -> Vec<String> {
        let devices = self.devices();
        if devices.is_empty() {
            return vec!["nothing: no task waits then".to_owned()];
        }
        let order = if self.is_serial() { "one after the other" } else { "all at once" };
        let name = &self.job.name;
        let mut lines =
            vec![format!("make the change control `{name}` of the tasks of {}, {order}", devices.join(", "))];
        if let Some(template) = &self.template {
            lines.push(format!("snapshots by `{template}` before and after"));
        }
        lines.push(match &self.job.start {
            Start::Manual => "it waits for somebody to approve and start it".to_owned(),
            Start::Now => "it is approved, started and waited for".to_owned(),
            Start::At { wall, .. } => {
                let zone = self.job.time_zone.as_deref().unwrap_or_default();
                format!("it is approved, and starts by itself at {wall} ({zone})")
            }
        });
        lines
    }

    fn to_json(&self) -> Value {
        let (start, at) = match &self.job.start {
            Start::Manual => ("manual", None),
            Start::Now => ("now", None),
            Start::At { wall, .. } => ("at", Some(wall)),
        };
        json!({
            "change_control": self.job.name, "devices": self.devices(), "start": start, "at": at,
            "time_zone": self.job.time_zone, "order": if self.is_serial() { "serial" } else { "parallel" },
            "template": self.template,
        })
    }
}
