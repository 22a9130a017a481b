//! The client: one way to the portal for everybody, its version, and how answers become values.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    answer::{self, Page},
    ask::Ask,
    error::CvpError,
    har::Recorder,
    spec::CvpSpec,
    tls::TrustError,
    transport::Transport,
    version::{Level, Version},
};

/// A client of a portal: logs in when it is first asked for something, and again when its session ended. Cheap to clone;
/// clones share the session and the connections, and may be used by any number of tasks at once.
///
/// What is dropped before it is done may have been done by the portal all the same; nothing of the client is harmed by it.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transport: Transport,
    version: OnceCell<Option<Version>>,
    /// When change controls were made, in the portal's words: those of the service API are approved by that.
    made: Mutex<HashMap<String, String>>,
}

/// Of how many things a portal is asked at once.
pub(super) const AT_ONCE: usize = 8;

/// Rows of a long list that are asked for at once.
const PAGE: usize = 1000;

impl Client {
    /// A client; nothing is asked yet. `recorder` keeps all that is asked and answered.
    ///
    /// # Errors
    /// The certificates that are to be trusted cannot be read.
    pub fn new(spec: CvpSpec, recorder: Option<Recorder>) -> Result<Self, TrustError> {
        let transport = Transport::new(spec, recorder)?;
        Ok(Self(Arc::new(Inner { transport, version: OnceCell::new(), made: Mutex::default() })))
    }

    /// The same, over connections that nobody else uses.
    pub(super) fn on_new_connections(&self) -> Self {
        let Ok(transport) = self.0.transport.on_new_connections() else { return self.clone() };
        let (version, made) = (self.0.version.clone(), Mutex::new(self.lock_made().clone()));
        Self(Arc::new(Inner { transport, version, made }))
    }

    /// What it was made of.
    #[must_use]
    pub fn spec(&self) -> &CvpSpec {
        self.0.transport.spec()
    }

    /// Logs in now, if that was not done yet.
    ///
    /// # Errors
    /// No node lets us in.
    pub async fn log_in(&self) -> Result<(), CvpError> {
        self.0.transport.log_in().await
    }

    /// Ends the session; the next question begins another.
    pub async fn log_out(&self) {
        self.0.transport.log_out().await;
    }

    /// The portal's version; none of a cloud tenant, nor of one that says something else than a version.
    ///
    /// # Errors
    /// The portal cannot be asked.
    pub async fn version(&self) -> Result<Option<Version>, CvpError> {
        #[derive(Deserialize)]
        struct Info {
            version: String,
        }
        let ask = async || {
            if self.spec().is_cloud {
                return Ok(None);
            }
            let info: Info = self.read(&Ask::get("ask for its version", "/cvpInfo/getCvpInfo.do")).await?;
            let version = info.version.parse().ok();
            if version.is_none() {
                let said = info.version;
                tracing::warn!(target: "polder", "the portal calls its version `{said}`, and is taken for the newest one");
            }
            Ok(version)
        };
        // Before it is asked for once for all: those who wait for a session share its failure.
        self.log_in().await?;
        self.0.version.get_or_try_init(ask).await.copied()
    }

    /// At which step its API is; the newest one where its version is not known.
    ///
    /// # Errors
    /// The portal cannot be asked.
    pub async fn level(&self) -> Result<Level, CvpError> {
        Ok(self.version().await?.map_or(Level::NEWEST, Level::of))
    }

    /// Refuses what only portals from `level` on have; `hint` says what has it.
    pub(super) async fn require(
        &self,
        level: Level,
        what: impl ToString,
        hint: &'static str,
    ) -> Result<(), CvpError> {
        if self.level().await? >= level {
            return Ok(());
        }
        let version = self.version().await?.map(|version| version.to_string()).unwrap_or_default();
        Err(CvpError::NotInThisVersion { what: what.to_string(), version, hint })
    }

    /// Asks; the answer as it came.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Value, CvpError> {
        self.read(ask).await
    }

    /// Asks; the answer as a value of ours.
    pub(super) async fn read<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, CvpError> {
        let body = self.0.transport.ask(ask).await.map_err(|error| self.explained(ask, error))?;
        ask.value(&body).map_err(|error| self.odd(ask, &error))
    }

    /// Asks for one value of the resource API; `None` where it has none.
    pub(super) async fn value<T: DeserializeOwned>(&self, ask: &Ask) -> Result<Option<T>, CvpError> {
        match self.read::<Valued<T>>(ask).await {
            Ok(found) => Ok(Some(found.value)),
            Err(CvpError::Refused { refusal, .. }) if refusal.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for a stream of values of the resource API.
    pub(super) async fn values<T: DeserializeOwned>(&self, ask: Ask) -> Result<Vec<T>, CvpError> {
        let all: Vec<Valued<T>> = self.read(&ask.stream().within(self.spec().limits.slow_answer)).await?;
        Ok(all.into_iter().map(|one| one.value).collect())
    }

    /// All rows of a list that comes in pages, under the key `list`. What moves between pages meanwhile is not told twice.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        list: &'static str,
        id: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, CvpError> {
        let mut all = Vec::new();
        let mut known = std::collections::HashSet::new();
        loop {
            let start = all.len();
            let body = self.0.transport.ask(&ask.clone().rows(start, start + PAGE)).await?;
            let Page { total, rows } = answer::page(&body, list).map_err(|error| self.odd(ask, &error))?;
            let total = total.and_then(|total| usize::try_from(total).ok());
            let came = rows.len();
            all.extend(rows);
            if came == 0 || all.len() >= total.unwrap_or(0) {
                break;
            }
        }
        all.retain(|row| known.insert(id(row)));
        Ok(all)
    }

    /// The portal made a change control, or changed it, at that time.
    pub(super) fn note_change(&self, id: &str, time: String) {
        self.lock_made().insert(id.to_owned(), time);
    }

    /// When a change control of ours was made.
    pub(super) fn change_time(&self, id: &str) -> Option<String> {
        self.lock_made().get(id).cloned()
    }

    fn lock_made(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a refusal of a place that a portal may have turned off comes from.
    fn explained(&self, ask: &Ask, error: CvpError) -> CvpError {
        let level = self.0.version.get().map(|version| version.map_or(Level::NEWEST, Level::of));
        let may_be_off =
            self.spec().is_cloud || level.is_some_and(|level| level >= Level::OPTIONAL_PROVISIONING);
        match error {
            CvpError::Refused { what, refusal }
                if may_be_off
                    && ask.path.starts_with("/provisioning/")
                    && (refusal.status == 404
                        || matches!(refusal.status, 500 | 501) && refusal.code.is_none()) =>
            {
                CvpError::NoProvisioning { what, refusal }
            }
            other => other,
        }
    }

    fn odd(&self, ask: &Ask, error: &serde_json::Error) -> CvpError {
        let node = self.spec().nodes.first().map(ToString::to_string).unwrap_or_default();
        CvpError::Odd {
            what: ask.what.clone(),
            node,
            answer: format!("something else than expected: {error}"),
        }
    }
}

/// A value, as the resource API wraps it.
#[derive(Deserialize)]
pub(super) struct Valued<T> {
    pub(super) value: T,
}

/// A list or a map, as the resource API wraps it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Values<T> {
    #[serde(default)]
    pub(super) values: T,
}

/// The portal's milliseconds since 1970.
pub(super) fn time(millis: f64) -> Option<SystemTime> {
    let since = std::time::Duration::try_from_secs_f64(millis / 1000.0).ok()?;
    (millis > 0.0).then(|| SystemTime::UNIX_EPOCH + since)
}

/// Reads milliseconds since 1970; 0 and nothing are no time.
pub(super) fn millis<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
    Ok(time(Option::<f64>::deserialize(from)?.unwrap_or_default()))
}

/// Reads what some versions leave empty.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Reads whether something holds that some calls tell as a word.
pub(super) fn as_flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Bool(flag) => flag,
        Value::String(word) => word.eq_ignore_ascii_case("true"),
        _ => false,
    })
}

/// Reads text that some versions send as a number.
pub(super) fn as_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}
