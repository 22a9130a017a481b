//! What is assigned to devices and containers: configlets put on and taken off, devices moved, containers made and
//! removed. Each is one transaction of the portal, which makes the tasks.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    action::{self, Target},
    ask::Ask,
    client::{Client, or_default},
    configlet::{Configlet, ConfigletKind},
    error::CvpError,
    inventory::{Container, Device},
    task::TaskId,
};

/// The configlets a device or container holds, in the order in which their texts follow one another.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// All of them, those of the containers above first.
    pub configlets: Vec<Configlet>,
    /// Keys of those that come from a container above.
    pub inherited: HashSet<String>,
}

impl Held {
    /// Those that are its own, and not a container's above.
    pub fn own(&self) -> impl Iterator<Item = &Configlet> {
        self.configlets.iter().filter(|one| !self.inherited.contains(&one.key))
    }
}

/// What a device's configuration and a design have in common, in numbers of lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Comparison {
    /// Designed, and not there.
    #[serde(default, deserialize_with = "or_default")]
    pub new: u64,
    /// There with another value.
    #[serde(default, deserialize_with = "or_default")]
    pub mismatch: u64,
    /// There, and in no design.
    #[serde(default, deserialize_with = "or_default")]
    pub reconcile: u64,
    /// Those lines: what a reconcile configlet would hold.
    #[serde(default, rename = "reconciledConfig", deserialize_with = "config_of")]
    pub unmanaged: String,
    /// Lines the device would take with a warning.
    #[serde(default, deserialize_with = "lines")]
    pub warnings: Vec<String>,
    /// Lines the device would refuse.
    #[serde(default, deserialize_with = "lines")]
    pub errors: Vec<String>,
}

/// Reads a list whose members are words or objects with an `error`, or an empty word instead of it.
fn lines<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let word = |one: &Value| match one.get("error").unwrap_or(one) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok(match Value::deserialize(from)? {
        Value::Array(all) => all.iter().map(word).collect(),
        _ => Vec::new(),
    })
}

/// Reads the text of what looks like a configlet, or an empty word instead of one.
fn config_of<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let one = Value::deserialize(from)?;
    Ok(one.get("config").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// What the portal says when something is as it shall be already.
const THERE_ALREADY: &str = "Data already exists";

impl Client {
    /// The configlets a device, named by its MAC address, holds.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn held_by_device(&self, device: &str) -> Result<Held, CvpError> {
        let what = format!("look which configlets {device} holds");
        let path = "/provisioning/getConfigletsByNetElementId.do";
        self.held(Ask::get(what, path).query("netElementId", device), "netelement").await
    }

    /// The configlets a container, named by its key, holds.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn held_by_container(&self, container: &str) -> Result<Held, CvpError> {
        let what = format!("look which configlets the container {container} holds");
        let path = "/provisioning/getConfigletsByContainerId.do";
        self.held(Ask::get(what, path).query("containerId", container), container).await
    }

    async fn held(&self, ask: Ask, own: &str) -> Result<Held, CvpError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "or_default")]
            configlet_list: Vec<Configlet>,
            #[serde(default, deserialize_with = "or_default")]
            configlet_mapper: BTreeMap<String, Mapper>,
        }
        #[derive(Deserialize)]
        struct Mapper {
            #[serde(default, deserialize_with = "or_default")]
            id: String,
            #[serde(default, rename = "type", deserialize_with = "or_default")]
            kind: String,
        }
        let answer: Answer = self.read(&ask.rows(0, 0)).await?;
        let inherited = answer
            .configlet_mapper
            .into_iter()
            .filter(|(_, mapper)| mapper.kind == "container" && mapper.id != own)
            .map(|(key, _)| key)
            .collect();
        Ok(Held { configlets: answer.configlet_list, inherited })
    }

    /// Compares what runs on a device with what would be designed for it if it held these configlets; nothing is changed.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn compare(&self, device: &str, keys: &[String]) -> Result<Comparison, CvpError> {
        let body = json!({ "configIdList": keys, "netElementId": device, "pageType": "viewConfig" });
        let what = format!("compare what runs on {device} with a design");
        let ask = Ask::post(what, "/provisioning/v2/validateAndCompareConfiglets.do", body).repeatable();
        self.read(&ask.within(self.spec().limits.slow_answer)).await
    }

    /// Puts configlets on a device, after those it holds. Nothing is done where it holds them all already.
    ///
    /// Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn put_on_device(
        &self,
        device: &Device,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let held = self.held_by_device(&device.mac).await?;
        let what = format!("put {} on {device}", action::names(configlets));
        self.put(what, &Target::Device(device), &held, configlets).await
    }

    /// Takes configlets off a device. Nothing is done where it holds none of them itself.
    ///
    /// Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn take_off_device(
        &self,
        device: &Device,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let held = self.held_by_device(&device.mac).await?;
        let what = format!("take {} off {device}", action::names(configlets));
        self.take_off(what, &Target::Device(device), &held, configlets).await
    }

    /// Makes a device hold exactly these configlets of its own, in this order.
    ///
    /// Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn set_on_device(
        &self,
        device: &Device,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let held = self.held_by_device(&device.mac).await?;
        self.set(format!("set the configlets of {device}"), &Target::Device(device), &held, configlets).await
    }

    /// Makes a container hold exactly these configlets of its own, in this order.
    ///
    /// Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn set_on_container(
        &self,
        container: &Container,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let held = self.held_by_container(&container.key).await?;
        let what = format!("set the configlets of the container {}", container.name);
        self.set(what, &Target::Container(container), &held, configlets).await
    }

    /// Makes `target`, which holds `held`, hold exactly `configlets` of its own.
    async fn set(
        &self,
        what: String,
        target: &Target<'_>,
        held: &Held,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let wanted = ordered(configlets.iter().filter(|one| !held.inherited.contains(&one.key)).collect());
        if held.own().map(|one| &one.key).eq(wanted.iter().map(|one| &one.key)) {
            return Ok(Vec::new());
        }
        let gone: Vec<&Configlet> =
            held.own().filter(|one| wanted.iter().all(|other| other.key != one.key)).collect();
        self.save(what, vec![action::hold(target, &wanted, &gone)]).await
    }

    /// Puts `configlets` on `target`, which holds `held`, after those.
    async fn put(
        &self,
        what: String,
        target: &Target<'_>,
        held: &Held,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let add = configlets.iter().filter(|one| held.configlets.iter().all(|other| other.key != one.key));
        let own: Vec<Configlet> = held.own().chain(add).cloned().collect();
        self.set(what, target, held, &own).await
    }

    /// Takes `configlets` off `target`, which holds `held`.
    async fn take_off(
        &self,
        what: String,
        target: &Target<'_>,
        held: &Held,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let goes = |one: &&Configlet| configlets.iter().any(|other| other.key == one.key);
        let kept: Vec<Configlet> = held.own().filter(|one| !goes(one)).cloned().collect();
        self.set(what, target, held, &kept).await
    }

    /// Puts configlets on a container, so that all devices below hold them.
    ///
    /// Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn put_on_container(
        &self,
        container: &Container,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let held = self.held_by_container(&container.key).await?;
        let what = format!("put {} on the container {}", action::names(configlets), container.name);
        self.put(what, &Target::Container(container), &held, configlets).await
    }

    /// Takes configlets off a container.
    ///
    /// Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn take_off_container(
        &self,
        container: &Container,
        configlets: &[Configlet],
    ) -> Result<Vec<TaskId>, CvpError> {
        let held = self.held_by_container(&container.key).await?;
        let what = format!("take {} off the container {}", action::names(configlets), container.name);
        self.take_off(what, &Target::Container(container), &held, configlets).await
    }

    /// Makes a container below another one.
    ///
    /// # Errors
    /// [`CvpError::Exists`]; the portal cannot be asked, or refuses.
    pub async fn add_container(&self, name: &str, parent: &Container) -> Result<Container, CvpError> {
        let what = format!("make the container {name} below {}", parent.name);
        let lost = match self.save(what, vec![action::add_container(name, parent)]).await {
            Ok(_) => None,
            Err(CvpError::Refused { refusal, .. }) if refusal.text.contains(THERE_ALREADY) => {
                return Err(CvpError::Exists { kind: "container", name: name.to_owned() });
            }
            // It is there or it is not: that can be looked up.
            Err(error) if error.may_have_happened() => Some(error),
            Err(error) => return Err(error),
        };
        let all = self.containers().await?;
        let made = all.iter().find(|one| one.name == name && one.parent.as_ref() == Some(&parent.key));
        let absent = || lost.unwrap_or_else(|| CvpError::not_found("container", name, []));
        made.cloned().ok_or_else(absent)
    }

    /// Removes a container, in which nothing may be any more.
    ///
    /// # Errors
    /// [`CvpError::InUse`] naming what is in it; the portal cannot be asked, or refuses.
    pub async fn delete_container(&self, container: &Container) -> Result<(), CvpError> {
        let inventory = self.inventory().await?;
        let below = inventory.containers.iter().filter(|one| one.parent.as_ref() == Some(&container.key));
        let holders: Vec<String> = below
            .map(|one| one.name.clone())
            .chain(inventory.below(&container.key).map(|device| device.name().to_owned()))
            .collect();
        if !holders.is_empty() {
            // Newer versions say that it worked, and do nothing.
            return Err(CvpError::InUse { kind: "container", name: container.name.clone(), holders });
        }
        let what = format!("remove the container {}", container.name);
        let lost = match self.save(what, vec![action::delete_container(container)]).await {
            Ok(_) => None,
            Err(error) if error.may_have_happened() => Some(error),
            Err(error) => return Err(error),
        };
        if self.containers().await?.iter().any(|one| one.key == container.key) {
            let (name, holders) = (container.name.clone(), Vec::new());
            return Err(lost.unwrap_or(CvpError::InUse { kind: "container", name, holders }));
        }
        Ok(())
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`CvpError::Exists`]; the portal cannot be asked, or refuses.
    pub async fn rename_container(&self, container: &Container, name: &str) -> Result<(), CvpError> {
        let what = format!("call the container {} {name}", container.name);
        match self.save(what, vec![action::rename_container(container, name)]).await {
            Err(CvpError::Refused { refusal, .. }) if refusal.text.contains(THERE_ALREADY) => {
                Err(CvpError::Exists { kind: "container", name: name.to_owned() })
            }
            other => other.map(drop),
        }
    }

    /// Moves a device into another container. Nothing is done where it is in there already.
    ///
    /// Returns the tasks the portal made; executing them is another matter.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn move_device(&self, device: &Device, to: &Container) -> Result<Vec<TaskId>, CvpError> {
        let what = format!("move {device} into the container {}", to.name);
        self.save_unless_there(what, vec![action::move_device(device, to)]).await
    }

    /// Gives a device back: its task wipes it, and it comes into the container of devices nobody has put anywhere.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn reset_device(&self, device: &Device) -> Result<Vec<TaskId>, CvpError> {
        self.save_unless_there(format!("reset {device}"), vec![action::reset_device(device)]).await
    }

    async fn save_unless_there(&self, what: String, actions: Vec<Value>) -> Result<Vec<TaskId>, CvpError> {
        match self.save(what, actions).await {
            Err(CvpError::Refused { refusal, .. }) if refusal.text.contains(THERE_ALREADY) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Does `actions` in one transaction, which carries them itself: what others of the same user have prepared and not
    /// saved is neither seen nor saved.
    pub(super) async fn save(&self, what: String, actions: Vec<Value>) -> Result<Vec<TaskId>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Saved,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Saved {
            #[serde(default, deserialize_with = "or_default")]
            task_ids: Vec<TaskId>,
        }
        let actions = Value::Array(actions).to_string();
        let body = json!([{ "NetworkRollbackTask": false, "taskJson": actions }]);
        let ask = Ask::post(what, "/provisioning/v2/saveTopology.do", body);
        let answer: Answer = self.read(&ask.within(self.spec().limits.slow_answer)).await?;
        Ok(answer.data.task_ids)
    }
}

/// Each once, the first time it comes; the reconciled one last, as the portal wants it.
fn ordered(configlets: Vec<&Configlet>) -> Vec<&Configlet> {
    let mut known = HashSet::new();
    let once = configlets.into_iter().filter(|one| known.insert(one.key.clone()));
    let (last, first): (Vec<_>, Vec<_>) = once.partition(|one| one.kind == ConfigletKind::Reconciled);
    first.into_iter().chain(last).collect()
}
