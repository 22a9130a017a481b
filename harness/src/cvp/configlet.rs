//! Configlets: named pieces of configuration, their texts, their history, and who holds them.

use std::{collections::HashSet, fmt, time::SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::Ask,
    client::{AT_ONCE, Client, millis, or_default},
    error::CvpError,
    inventory::Device,
    task::TaskId,
    version::Level,
};
use crate::base::parallel;

/// A configlet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configlet {
    /// What the portal calls it.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Its text, byte for byte.
    #[serde(default, rename = "config", deserialize_with = "or_default")]
    pub text: String,
    /// Where its text comes from.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: ConfigletKind,
    /// Who changed it last.
    #[serde(default, deserialize_with = "or_default")]
    pub user: String,
    /// A note.
    #[serde(default, deserialize_with = "or_default")]
    pub note: String,
    /// Containers it is put on.
    #[serde(default, deserialize_with = "or_default")]
    pub container_count: u64,
    /// Devices that hold it.
    #[serde(default, rename = "netElementCount", deserialize_with = "or_default")]
    pub device_count: u64,
    /// When it was changed last.
    #[serde(default, rename = "dateTimeInLongFormat", deserialize_with = "millis")]
    pub changed: Option<SystemTime>,
}

/// Where a configlet's text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub enum ConfigletKind {
    /// Somebody wrote it.
    #[default]
    Static,
    /// It is a program that makes others.
    Builder,
    /// A builder made it.
    Generated,
    /// What runs on a device and is in no other configlet; always the last one of its device.
    Reconciled,
    /// Something else.
    Other(String),
}

impl From<String> for ConfigletKind {
    fn from(text: String) -> Self {
        match text.as_str() {
            "" | "Static" => Self::Static,
            "Builder" => Self::Builder,
            "Generated" => Self::Generated,
            "Reconciled" => Self::Reconciled,
            _ => Self::Other(text),
        }
    }
}

/// One change of a configlet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigletChange {
    /// Who had changed it before.
    #[serde(default, deserialize_with = "or_default")]
    pub old_user_id: String,
    /// Who changed it.
    #[serde(default, deserialize_with = "or_default")]
    pub new_user_id: String,
    /// The text before; empty when it was made.
    #[serde(default, rename = "oldConfig", deserialize_with = "or_default")]
    pub old_text: String,
    /// The text after.
    #[serde(default, rename = "newConfig", deserialize_with = "or_default")]
    pub new_text: String,
    /// When.
    #[serde(default, rename = "updatedDateTimeInLongFormat", deserialize_with = "millis")]
    pub at: Option<SystemTime>,
}

/// Who holds a configlet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The configlet's key.
    #[serde(rename = "configletId")]
    pub configlet: String,
    /// `netelement` or `container`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The device's MAC address, or the container's key.
    #[serde(rename = "objectId")]
    pub object: String,
    /// The container a device has it from; empty when it is its own.
    #[serde(default, rename = "containerId", deserialize_with = "or_default")]
    pub inherited_from: String,
}

/// What is wrong with a text, in the eyes of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validation {
    /// Lines that are taken with a warning.
    pub warnings: Vec<String>,
    /// Lines that are refused.
    pub errors: Vec<String>,
}

impl Validation {
    /// Whether the device takes the text.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.errors.is_empty()
    }
}

/// What the portal says when there is none of that name.
const NO_ENTITY: &str = "132801";
/// What it says when there is one already.
const TAKEN: &str = "132518";
/// What it says of a key it does not know.
const NO_DATA: &str = "132532";

impl Client {
    /// All configlets, with their texts.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn configlets(&self) -> Result<Vec<Configlet>, CvpError> {
        let ask = Ask::get("list the configlets", "/configlet/getConfiglets.do");
        let all = self.rows(&ask, "data", |one: &Configlet| one.key.clone()).await?;
        self.with_texts(all).await
    }

    /// Configlets with `text` in their names, with their texts.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn search_configlets(&self, text: &str) -> Result<Vec<Configlet>, CvpError> {
        let what = format!("search for configlets called `{text}`");
        let ask = Ask::get(what, "/configlet/searchConfiglets.do").query("queryparam", text);
        let all = self.rows(&ask, "data", |one: &Configlet| one.key.clone()).await?;
        self.with_texts(all).await
    }

    /// Lists of some old versions have no texts: they are asked for one by one, some at once.
    async fn with_texts(&self, all: Vec<Configlet>) -> Result<Vec<Configlet>, CvpError> {
        let level = self.level().await?;
        if !(Level::BARE_INVENTORY..Level::DEVICES_BY_SERIAL).contains(&level) {
            return Ok(all);
        }
        let found = parallel::each(all, AT_ONCE, |one| {
            let client = self.clone();
            async move { Ok(client.configlet(&one.name).await?.unwrap_or(one)) }
        });
        found.await.into_iter().collect()
    }

    /// The configlet of this name, if there is one.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn configlet(&self, name: &str) -> Result<Option<Configlet>, CvpError> {
        let what = format!("look up the configlet `{name}`");
        let ask = Ask::get(what, "/configlet/getConfigletByName.do").query("name", name);
        match self.read(&ask).await {
            Ok(configlet) => Ok(Some(configlet)),
            Err(error) if error.is(NO_ENTITY) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same, where it has to be there.
    ///
    /// # Errors
    /// [`CvpError::NotFound`] with the nearest name there is; the portal cannot be asked, or refuses.
    pub async fn existing_configlet(&self, name: &str) -> Result<Configlet, CvpError> {
        if let Some(found) = self.configlet(name).await? {
            return Ok(found);
        }
        let names: Vec<String> = self.configlets().await?.into_iter().map(|one| one.name).collect();
        Err(CvpError::not_found("configlet", name, names.iter().map(String::as_str)))
    }

    /// Makes a configlet.
    ///
    /// # Errors
    /// [`CvpError::Exists`]; the portal cannot be asked, or refuses.
    pub async fn add_configlet(&self, name: &str, text: &str) -> Result<Configlet, CvpError> {
        let what = format!("make the configlet `{name}`");
        let ask = Ask::post(&what, "/configlet/addConfiglet.do", json!({ "name": name, "config": text }));
        let lost = match self.ask(&ask).await {
            Ok(_) => None,
            Err(error) if error.is(TAKEN) => {
                return Err(CvpError::Exists { kind: "configlet", name: name.to_owned() });
            }
            // It is there or it is not: that can be looked up.
            Err(error) if error.may_have_happened() => Some(error),
            Err(error) => return Err(error),
        };
        match (self.configlet(name).await?, lost) {
            (Some(made), None) => Ok(made),
            (Some(made), Some(_)) if made.text == text => Ok(made),
            (_, Some(lost)) => Err(lost),
            (None, None) => Err(CvpError::not_found("configlet", name, [])),
        }
    }

    /// Gives a configlet another text, and another name if `name` is another one. Returns the tasks the portal made for the
    /// devices that hold it.
    ///
    /// # Errors
    /// [`CvpError::NotFound`], [`CvpError::Exists`] for the new name; the portal cannot be asked, or refuses.
    pub async fn update_configlet(&self, key: &str, name: &str, text: &str) -> Result<Vec<TaskId>, CvpError> {
        #[derive(Deserialize)]
        struct Updated {
            #[serde(default, rename = "taskIds", deserialize_with = "or_default")]
            tasks: Vec<TaskId>,
        }
        let what = format!("update the configlet `{name}`");
        let body = json!({ "config": text, "key": key, "name": name, "waitForTaskIds": true });
        // A second one finds the text there already and changes nothing.
        let ask = Ask::post(&what, "/configlet/updateConfiglet.do", body);
        match self.read::<Updated>(&ask).await {
            Ok(updated) => Ok(updated.tasks),
            Err(error) if error.is(NO_DATA) => Err(CvpError::not_found("configlet", name, [])),
            Err(error) if error.is(TAKEN) => {
                Err(CvpError::Exists { kind: "configlet", name: name.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    /// Removes configlets, all of them or none; nobody may hold them any more.
    ///
    /// # Errors
    /// [`CvpError::InUse`] naming the holders; [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn delete_configlets(&self, configlets: &[Configlet]) -> Result<(), CvpError> {
        if configlets.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = configlets.iter().map(|one| one.name.as_str()).collect();
        let what =
            format!("delete the configlet{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "));
        let body: Vec<Value> =
            configlets.iter().map(|one| json!({ "name": one.name, "key": one.key })).collect();
        let ask = Ask::post(&what, "/configlet/deleteConfiglet.do", Value::Array(body));
        let lost = match self.ask(&ask).await {
            Ok(_) => None,
            Err(error) if error.may_have_happened() => Some(error),
            Err(error) => return Err(self.why_not_deleted(configlets, error).await),
        };
        // Some versions say that it worked, although somebody holds them.
        for one in configlets {
            if self.configlet(&one.name).await?.is_some_and(|still| still.key == one.key) {
                let (name, holders) = (one.name.clone(), Vec::new());
                let refused = lost.unwrap_or(CvpError::InUse { kind: "configlet", name, holders });
                return Err(self.why_not_deleted(configlets, refused).await);
            }
        }
        Ok(())
    }

    async fn why_not_deleted(&self, configlets: &[Configlet], error: CvpError) -> CvpError {
        for one in configlets {
            match self.configlet(&one.name).await {
                Ok(None) => return CvpError::not_found("configlet", &one.name, []),
                Ok(Some(_)) => {}
                Err(_) => return error,
            }
            let Ok(holders) = self.holders_of(&one.name).await else { return error };
            if !holders.is_empty() {
                return CvpError::InUse { kind: "configlet", name: one.name.clone(), holders };
            }
        }
        error
    }

    /// Names of the devices and containers that hold a configlet.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn holders_of(&self, name: &str) -> Result<Vec<String>, CvpError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Row {
            #[serde(default, deserialize_with = "or_default")]
            host_name: String,
            #[serde(default, deserialize_with = "or_default")]
            container_name: String,
        }
        let ask = |path| {
            Ask::get(format!("look who holds the configlet `{name}`"), path).query("configletName", name)
        };
        let shown = |row: &Row| {
            if row.host_name.is_empty() { row.container_name.clone() } else { row.host_name.clone() }
        };
        let mut names = Vec::new();
        for path in ["/configlet/getAppliedContainers.do", "/configlet/getAppliedDevices.do"] {
            let rows: Vec<Row> = self.rows(&ask(path), "data", shown).await?;
            names.extend(rows.iter().map(shown));
        }
        names.dedup();
        Ok(names)
    }

    /// Who holds which configlet, of all there are, in one question.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn holders(&self) -> Result<Vec<Holder>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Mappers,
        }
        #[derive(Deserialize)]
        struct Mappers {
            #[serde(default, rename = "configletMappers", deserialize_with = "or_default")]
            mappers: Vec<Holder>,
        }
        let ask =
            Ask::get("look who holds which configlet", "/configlet/getConfigletsAndAssociatedMappers.do")
                .within(self.spec().limits.slow_answer);
        Ok(self.read::<Answer>(&ask).await?.data.mappers)
    }

    /// The devices that hold a configlet, themselves or through a container.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn devices_with(&self, configlet: &Configlet) -> Result<Vec<Device>, CvpError> {
        let (holders, inventory) = tokio::try_join!(self.holders(), self.inventory())?;
        let holders: Vec<&Holder> = holders.iter().filter(|one| one.configlet == configlet.key).collect();
        let through: HashSet<&str> = holders
            .iter()
            .filter(|one| one.kind == "container")
            .flat_map(|one| inventory.below(&one.object))
            .map(|device| device.mac.as_str())
            .collect();
        let holds = |device: &&Device| {
            through.contains(device.mac.as_str()) || holders.iter().any(|one| one.object == device.mac)
        };
        Ok(inventory.devices.iter().filter(holds).cloned().collect())
    }

    /// What was done to a configlet, newest first.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn configlet_history(&self, configlet: &Configlet) -> Result<Vec<ConfigletChange>, CvpError> {
        let what = format!("look up the history of the configlet `{}`", configlet.name);
        let ask = Ask::get(what, "/configlet/getConfigletHistory.do")
            .query("configletId", &configlet.key)
            .query("queryparam", "");
        let id = |one: &ConfigletChange| format!("{:?}{}{}", one.at, one.old_text, one.new_text);
        self.rows(&ask, "configletHistory", id).await
    }

    /// Gives a configlet a note.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn note_configlet(&self, configlet: &Configlet, note: &str) -> Result<(), CvpError> {
        let what = format!("note something on the configlet `{}`", configlet.name);
        let body = json!({ "key": configlet.key, "note": note });
        self.ask(&Ask::post(what, "/configlet/addNoteToConfiglet.do", body).repeatable()).await.map(drop)
    }

    /// Asks what a device, named by its MAC address, would say to `text`; nothing is changed.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn validate(&self, device: &str, text: &str) -> Result<Validation, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "or_default")]
            warnings: Vec<String>,
            #[serde(default, deserialize_with = "or_default")]
            errors: Vec<Value>,
        }
        let body = json!({ "netElementId": device, "config": text });
        let what = format!("validate a text for the device {device}");
        let ask = Ask::post(what, "/configlet/validateConfig.do", body).repeatable();
        let answer: Answer = self.read(&ask.within(self.spec().limits.slow_answer)).await?;
        let words = |error: &Value| match error.get("error").unwrap_or(error) {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(Validation { warnings: answer.warnings, errors: answer.errors.iter().map(words).collect() })
    }
}

/// Its name.
impl fmt::Display for Configlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
