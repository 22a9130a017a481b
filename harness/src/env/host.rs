//! What environments need from this host, decided once per process.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};

use super::{EnvError, daemon::Daemon};
use crate::{
    image::ImageStore,
    lab::{LabHost, LabKind},
    template::{self, Limits, Templates, TemplatesConfig},
};

/// Where environments come up on this host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where labs live.
    pub lab: LabHost,
    /// Where guest images are kept.
    pub images: ImageStore,
    /// `auto`, `kvm` or `tcg` (`POLDER_ACCEL`).
    pub accel: String,
    /// The kind of lab new environments get.
    pub kind: LabKind,
    /// Templates of repositories; they win over images of the same name.
    pub templates: Templates,
    /// The daemon of system labs.
    pub daemon: Daemon,
    /// Classes of machines there are, by their names in `vm-type`.
    pub vm_types: Vec<String>,
    /// How long a verb waits for another one that changes the same environment.
    pub lock_timeout: Duration,
    /// Whether the operator has asked us to stop: verbs that would leave something half done undo it then, and fail with
    /// [`EnvError::Stopped`].
    pub stop: watch::Receiver<bool>,
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
        let leases = lab.cache.join("subnets");
        let daemon = Daemon { uri: "qemu:///system".into(), credentials: None, leases };
        let boot_slots = Arc::new(Semaphore::new(cores));
        let config = TemplatesConfig {
            repo: None,
            repos: lab.cache.join("templates/repos"),
            store: lab.cache.join("templates/store"),
            limits: Limits::default(),
        };
        let templates = Templates::new(config, |_| None, template::Progress::new(|_| {}));
        let vm_types = vec!["default".to_owned()];
        Ok(Self {
            lab,
            images,
            accel,
            kind: LabKind::Hermetic,
            templates,
            daemon,
            vm_types,
            lock_timeout: Duration::from_secs(10),
            stop: watch::channel(false).1,
            boot_slots,
        })
    }

    /// Refuses to begin anything more once the operator has asked us to stop.
    pub(super) fn require_wanted(&self) -> Result<(), EnvError> {
        if *self.stop.borrow() { Err(EnvError::Stopped) } else { Ok(()) }
    }

    /// Comes back only when the operator asks us to stop.
    pub(super) async fn told_to_stop(&self) -> EnvError {
        // Where nobody can ask, nobody will.
        if self.stop.clone().wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
        EnvError::Stopped
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
