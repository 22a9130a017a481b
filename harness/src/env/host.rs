//! What environments need from this host, decided once per process.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::EnvError;
use crate::{image::ImageStore, lab::LabHost};

/// Where environments come up on this host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where labs live.
    pub lab: LabHost,
    /// Where guest images are kept.
    pub images: ImageStore,
    /// `auto`, `kvm` or `tcg` (`POLDER_ACCEL`).
    pub accel: String,
    /// As many machines boot at once as there are processors, in all environments of this process together.
    pub(super) boot_slots: Arc<Semaphore>,
}

impl Host {
    /// The host as the environment variables (`POLDER_RUNTIME_DIR`, `POLDER_CACHE_DIR`, `POLDER_LAUNCHER`,
    /// `POLDER_ACCEL`) describe it.
    ///
    /// # Errors
    /// This executable's own path cannot be had.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, EnvError> {
        let lab = LabHost::from_env(env)?;
        let images = ImageStore::new(lab.cache.clone());
        let accel = env("POLDER_ACCEL").filter(|a| !a.is_empty()).unwrap_or_else(|| "auto".into());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { lab, images, accel, boot_slots: Arc::new(Semaphore::new(cores)) })
    }

    /// Where template images are kept.
    pub(super) fn template_store(&self) -> PathBuf {
        self.lab.cache.join("templates")
    }

    /// Folder of the emulator's capabilities, one for labs that see `/dev/kvm` and one for those that do not.
    pub(super) fn capability_cache(&self, kvm: bool) -> PathBuf {
        self.lab.cache.join(if kvm { "capabilities-kvm" } else { "capabilities-tcg" })
    }
}

/// Receives a line for every step of coming up ("building image debian12", "web answers over ssh").
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Calls `tell` with every line.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn say(&self, text: &str) {
        tracing::info!(target: "polder", "{text}");
        (self.0)(text);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// Deadlines of coming up. Those for what runs on the host are not stretched by the time factor: it is about guests.
pub(super) mod limits {
    use super::Duration;

    /// From nothing to a daemon that listens.
    pub(crate) const LAB: Duration = Duration::from_secs(30);
    /// One connection to the daemon.
    pub(crate) const CONNECT: Duration = Duration::from_secs(10);
    /// Making one network.
    pub(crate) const NETWORK: Duration = Duration::from_secs(10);
    /// Keeping one machine's memory, or going on from it (stretched by the time factor).
    pub(crate) const SAVE: Duration = Duration::from_secs(60);
    /// Starting one domain.
    pub(crate) const DOMAIN: Duration = Duration::from_secs(20);
    /// A short command inside the lab.
    pub(crate) const COMMAND: Duration = Duration::from_secs(10);
    /// From a domain's start to its first answer (stretched by the time factor).
    pub(crate) const READY: Duration = Duration::from_secs(60);
    /// Ending a lab.
    pub(crate) const DOWN: Duration = Duration::from_secs(5);
}
