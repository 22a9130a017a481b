//! Snapshots: what devices answered to a template's commands, now and then or around changes.

use serde::{Deserialize, Serialize};

use super::{
    change::What,
    clock::Ms,
    device::Device,
    refused::{About, Refused},
    state::Model,
};

/// What is asked of which devices, and how often.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) commands: Vec<String>,
    /// Serial numbers.
    pub(crate) devices: Vec<String>,
    /// In seconds; 0: only when asked for.
    pub(crate) frequency: u64,
    pub(crate) created_by: String,
    pub(crate) created_at: Ms,
    /// When the next one is taken.
    pub(crate) due: Option<Ms>,
}

/// What a device answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snapshot {
    pub(crate) id: String,
    pub(crate) template: String,
    /// A serial number.
    pub(crate) device: String,
    pub(crate) at: Ms,
    /// Command and answer.
    pub(crate) outputs: Vec<(String, String)>,
}

/// The template that every portal has.
pub(crate) const INITIAL: &str = "Initial_Template";
/// How many snapshots are kept: one template every second must not fill the memory.
const KEPT: usize = 10_000;

impl Model {
    /// Adds a template; returns its key.
    pub(crate) fn add_template(&mut self, user: &str, mut template: Template) -> Result<String, Refused> {
        if template.name.trim().is_empty() {
            return Err(Refused::invalid(About::Snapshot, "name is empty"));
        }
        if let Some(serial) = template.devices.iter().find(|serial| self.device_by_serial(serial).is_none()) {
            return Err(Refused::invalid(About::Snapshot, format!("there is no device {serial}")));
        }
        if self.settings.imitate.level() >= 19 && self.templates.values().any(|t| t.name == template.name) {
            return Err(Refused::exists(About::Snapshot));
        }
        user.clone_into(&mut template.created_by);
        template.created_at = self.clock.stamp();
        let due = template.created_at.saturating_add(template.frequency.saturating_mul(1000));
        template.due = (template.frequency > 0).then_some(due);
        let key = self.clock.uuid();
        self.templates.insert(key.clone(), template);
        self.jobs.push(super::job::Job::Wake);
        Ok(key)
    }

    /// Removes templates, all or none; what was taken stays.
    pub(crate) fn delete_templates(&mut self, keys: &[String]) -> Result<(), Refused> {
        if keys.iter().any(|key| !self.templates.contains_key(key)) {
            return Err(Refused::absent(About::Snapshot));
        }
        self.templates.retain(|key, _| !keys.contains(key));
        Ok(())
    }

    pub(super) fn tick_templates(&mut self) {
        let now = self.clock.now();
        let due = |template: &super::snapshot::Template| template.due.is_some_and(|due| due <= now);
        let due: Vec<String> =
            self.templates.iter().filter(|(_, t)| due(t)).map(|(key, _)| key.clone()).collect();
        for key in due {
            let Some(template) = self.templates.get_mut(&key) else { continue };
            template.due = Some(now.saturating_add(template.frequency.max(1).saturating_mul(1000)));
            for serial in template.devices.clone() {
                // One that went since is passed over.
                let _ = self.take_snapshot(&key, &serial);
            }
        }
    }

    fn take_snapshot(&mut self, template: &str, serial: &str) -> Result<(), String> {
        let commands = match self.templates.get(template) {
            Some(known) => known.commands.clone(),
            None if template == INITIAL => vec!["show inventory".to_owned()],
            None => return Err(format!("snapshot template {template} does not exist")),
        };
        let device = self.device_by_serial(serial);
        let device = device.ok_or_else(|| format!("device {serial} does not exist"))?;
        if device.faults.unreachable {
            return Err(format!("device {} is not reachable", device.fqdn()));
        }
        let outputs = commands.into_iter().map(|command| {
            let output = answer(device, &command);
            (command, output)
        });
        let outputs = outputs.collect();
        let snapshot = Snapshot {
            id: self.clock.uuid(),
            template: template.to_owned(),
            device: serial.to_owned(),
            at: self.clock.stamp(),
            outputs,
        };
        self.snapshots.push(snapshot);
        let over = self.snapshots.len().saturating_sub(KEPT);
        self.snapshots.drain(..over);
        Ok(())
    }

    /// Does what a stage asks for that is no task, and ends it.
    pub(crate) fn act(&mut self, change: &str, stage: &str) {
        let what = self.changes.get(change).and_then(|c| c.stages.get(stage)).map(|stage| stage.what.clone());
        let Some(What::Action { name, args, .. }) = what else { return };
        let arg = |key: &str| args.get(key).map(String::as_str).unwrap_or_default();
        let done = if name == "snapshot" {
            self.take_snapshot(arg("TemplateID"), arg("DeviceID"))
        } else {
            match args.get("DeviceID").map(|serial| (serial, self.device_by_serial(serial))) {
                Some((serial, None)) => Err(format!("device {serial} does not exist")),
                Some((_, Some(device))) if device.faults.unreachable => {
                    Err(format!("device {} is not reachable", device.fqdn()))
                }
                _ => Ok(()),
            }
        };
        self.finish_stage(change, stage, done.err());
    }
}

/// What a device answers to a command, as far as the portal knows it.
fn answer(device: &Device, command: &str) -> String {
    match command.trim() {
        "show running-config" => device.running.clone(),
        "show version" => format!(
            "Arista {}\nSerial number: {}\nSystem MAC address: {}\nSoftware image version: {}\n",
            device.model, device.serial, device.mac, device.eos
        ),
        "show hostname" => format!("Hostname: {}\nFQDN: {}\n", device.hostname, device.fqdn()),
        "show inventory" => format!("System information\n{} {}\n", device.model, device.serial),
        other => format!("% Invalid input: {other}\n"),
    }
}
