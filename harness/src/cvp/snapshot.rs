//! Snapshots: what devices answered to a template's commands. The portal takes them now and then, or as stages of change
//! controls; what was taken last is read from its telemetry.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::Ask,
    change_control::{Change, Stage},
    client::{Client, as_text, or_default, time},
    error::CvpError,
    version::Level,
};
use crate::base::wait::Deadline;

/// What is asked of devices, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SnapshotTemplate {
    /// What the portal calls it.
    pub key: String,
    /// What people call it.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
}

/// What a template asks of which devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotPlan {
    /// Commands of EOS.
    pub commands: Vec<String>,
    /// Serial numbers of the devices that are asked now and then.
    pub devices: Vec<String>,
    /// How often that is, in whole seconds; `None`: only by change controls.
    pub every: Option<Duration>,
}

/// What a device answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Serial number of the device.
    pub device: String,
    /// When.
    pub at: Option<SystemTime>,
    /// Each command and its output.
    pub outputs: Vec<(String, String)>,
}

impl Snapshot {
    /// What the device answered to a command.
    #[must_use]
    pub fn output(&self, command: &str) -> Option<&str> {
        self.outputs.iter().find(|(asked, _)| asked == command).map(|(_, output)| output.as_str())
    }
}

/// What the portal's telemetry tells of the last snapshot of a device: under the template's key, which output is where.
#[derive(Deserialize)]
struct Telemetry {
    #[serde(default, deserialize_with = "or_default")]
    notifications: Vec<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(default, deserialize_with = "or_default")]
    updates: BTreeMap<String, Update>,
}

#[derive(Deserialize)]
struct Update {
    #[serde(default)]
    value: Value,
}

/// Where a command's output is: in pieces, under this name with `_0`, `_1` and so on.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    command: String,
    result: String,
}

/// Nanoseconds in a millisecond.
const NANOS: f64 = 1_000_000.0;

impl Telemetry {
    fn snapshot(self, template: &str, device: &str) -> Option<Snapshot> {
        let mut updates = BTreeMap::new();
        for notification in self.notifications {
            updates.extend(notification.updates);
        }
        let listed = updates.get(template)?.value.get("Output").cloned()?;
        let listed: Vec<Output> = serde_json::from_value(listed).ok()?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let output = |one: Output| {
            let piece =
                |n: usize| updates.get(&format!("{}_{n}", one.result)).map(|update| text(&update.value));
            (one.command, (0..).map_while(piece).collect::<String>())
        };
        let outputs = listed.into_iter().map(output).collect();
        let at = updates.get("ExecutionTime").and_then(|update| update.value.as_f64());
        Some(Snapshot { device: device.to_owned(), at: at.and_then(|nanos| time(nanos / NANOS)), outputs })
    }
}

const HINT: &str = "portals from 2018.2 on do";
/// Before it is looked again whether a snapshot has arrived.
const PAUSE: Duration = Duration::from_millis(200);

impl Client {
    /// All templates of snapshots.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn snapshot_templates(&self) -> Result<Vec<SnapshotTemplate>, CvpError> {
        let what = "list the templates of snapshots";
        self.require(Level::BARE_INVENTORY, what, HINT).await?;
        let ask = Ask::get(what, "/snapshot/templates").query("queryparam", "");
        self.rows(&ask, "templateKeys", |one: &SnapshotTemplate| one.key.clone()).await
    }

    /// The template of this name or key.
    ///
    /// # Errors
    /// [`CvpError::NotFound`] with the nearest name there is; [`CvpError::Ambiguous`]: older portals take a name twice;
    /// the portal cannot be asked, or refuses.
    pub async fn snapshot_template(&self, name: &str) -> Result<SnapshotTemplate, CvpError> {
        named(&self.snapshot_templates().await?, name)
    }

    /// What a template asks of which devices.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn snapshot_plan(&self, template: &SnapshotTemplate) -> Result<SnapshotPlan, CvpError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "or_default")]
            commands: Vec<String>,
            #[serde(default, deserialize_with = "or_default")]
            device_list: Vec<String>,
            #[serde(default, deserialize_with = "as_text")]
            frequency: String,
        }
        let what = format!("read the snapshot template `{}`", template.name);
        let ask = Ask::get(what, "/snapshot/template").query("templateId", &template.key);
        let answer: Answer = self.read(&ask).await?;
        let every = answer.frequency.parse().ok().filter(|seconds| *seconds > 0);
        Ok(SnapshotPlan {
            commands: answer.commands,
            devices: answer.device_list,
            every: every.map(Duration::from_secs),
        })
    }

    /// Makes a template.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses: a device is not there.
    pub async fn add_snapshot_template(
        &self,
        name: &str,
        plan: &SnapshotPlan,
    ) -> Result<SnapshotTemplate, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "templateKey")]
            key: String,
        }
        let what = format!("make the snapshot template `{name}`");
        self.require(Level::BARE_INVENTORY, &what, HINT).await?;
        let body = json!({
            "name": name, "commands": plan.commands, "deviceList": plan.devices,
            "frequency": plan.every.unwrap_or_default().as_secs().to_string(),
        });
        let answer: Answer = self.read(&Ask::post(what, "/snapshot/templates/schedule", body)).await?;
        Ok(SnapshotTemplate { key: answer.key, name: name.to_owned() })
    }

    /// Removes a template; what was taken by it stays.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses: it is not there.
    pub async fn delete_snapshot_template(&self, template: &SnapshotTemplate) -> Result<(), CvpError> {
        let what = format!("delete the snapshot template `{}`", template.name);
        self.ask(&Ask::delete(what, "/snapshot/templates", json!([template.key]))).await.map(drop)
    }

    /// What a device, named by its serial number, answered last to a template's commands.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn snapshot(
        &self,
        template: &SnapshotTemplate,
        device: &str,
    ) -> Result<Option<Snapshot>, CvpError> {
        let what = format!("read the snapshot `{}` of {device}", template.name);
        self.require(Level::BARE_INVENTORY, &what, HINT).await?;
        let path = format!("/api/v1/rest/cvp/snapshots/status/{device}/snapshots/ids/{}", template.key);
        let telemetry: Telemetry = match self.read(&Ask::get(what, path)).await {
            Err(CvpError::Refused { refusal, .. }) if refusal.status == 404 => return Ok(None),
            other => other?,
        };
        Ok(telemetry.snapshot(&template.key, device))
    }

    /// Takes a snapshot of each device, named by its serial number, and returns what they answered. It is taken by a change
    /// control of its own, which is removed once that has ended well.
    ///
    /// # Errors
    /// [`CvpError::ChangeFailed`]: a device or the template is not there, or cannot be reached; [`CvpError::Late`];
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn take_snapshots(
        &self,
        template: &SnapshotTemplate,
        devices: &[String],
        limit: Duration,
    ) -> Result<Vec<Snapshot>, CvpError> {
        let what = format!("take the snapshot `{}`", template.name);
        let hint = "portals from 2019.0 on do; take them around a change control that executes tasks";
        self.require(Level::SERVICE_CHANGE_CONTROL, &what, hint).await?;
        let deadline = Deadline::within(limit);
        let mut before = Vec::new();
        for device in devices {
            before.push(self.snapshot(template, device).await?.and_then(|snapshot| snapshot.at));
        }
        let stage =
            |device: &String| Stage::Snapshot { template: template.key.clone(), device: device.clone() };
        let change = Change::new(what).row(devices.iter().map(stage));
        let id = self.create_change(&change).await?;
        self.run_change(&id, limit, |_| {}).await?;
        let mut taken = Vec::new();
        for (device, before) in devices.iter().zip(before) {
            taken.push(self.newer_snapshot(template, device, before, deadline, limit).await?);
        }
        self.delete_change(&id).await?;
        Ok(taken)
    }

    /// Telemetry comes after the change control's end.
    async fn newer_snapshot(
        &self,
        template: &SnapshotTemplate,
        device: &str,
        before: Option<SystemTime>,
        deadline: Deadline,
        limit: Duration,
    ) -> Result<Snapshot, CvpError> {
        loop {
            match self.snapshot(template, device).await? {
                Some(snapshot) if snapshot.at != before => return Ok(snapshot),
                _ if deadline.passed() => {
                    let what = format!("the snapshot `{}` of {device}", template.name);
                    return Err(CvpError::Late { what, limit, seen: "none that is new".to_owned() });
                }
                _ => tokio::time::sleep(PAUSE.min(deadline.left())).await,
            }
        }
    }

    /// A change whose snapshots name their templates by keys; names and keys are taken. The oldest portals cannot be asked
    /// for names: what they are told is a key.
    pub(super) async fn with_template_keys(&self, change: &Change) -> Result<Change, CvpError> {
        let mut change = change.clone();
        if !snapshots(&mut change.rows).is_empty() && self.level().await? >= Level::BARE_INVENTORY {
            let templates = self.snapshot_templates().await?;
            for template in snapshots(&mut change.rows) {
                *template = named(&templates, template)?.key;
            }
        }
        Ok(change)
    }
}

/// The template of a name or key.
fn named(all: &[SnapshotTemplate], name: &str) -> Result<SnapshotTemplate, CvpError> {
    let kind = "snapshot template";
    if let Some(one) = all.iter().find(|one| one.key == name) {
        return Ok(one.clone());
    }
    let found: Vec<&SnapshotTemplate> = all.iter().filter(|one| one.name == name).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(CvpError::not_found(kind, name, all.iter().map(|one| one.name.as_str()))),
        more => {
            let which = more.iter().map(|one| one.key.clone()).collect();
            Err(CvpError::Ambiguous { kind, name: name.to_owned(), which })
        }
    }
}

/// Where the snapshots of stages name their templates.
fn snapshots(rows: &mut [Vec<Stage>]) -> Vec<&mut String> {
    let mut all = Vec::new();
    for stage in rows.iter_mut().flatten() {
        match stage {
            Stage::Snapshot { template, .. } => all.push(template),
            Stage::Rows { rows, .. } => all.extend(snapshots(rows)),
            Stage::Task(_) | Stage::Action { .. } => {}
        }
    }
    all
}
