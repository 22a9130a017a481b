//! What environments need from this host, decided once per process.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};

use super::{
    EnvError,
    daemon::Daemon,
    defaults::Defaults,
    places::Places,
    plan::PlanError,
    types::{self, MachineType},
};
use crate::{
    base::credentials::Credentials,
    checkpoint::Store,
    config::{Checkpoints, Config, Lab},
    image::ImageStore,
    initfile::EnvSpec,
    lab::{LabHost, LabKind},
    provider::{MachineProvider, Memory, Ssh},
    service::{OpenRc, ServiceManager, SysVInit, Systemd, SystemdContainer},
    template::{self, Limits, Repo, TemplateEvent, Templates, TemplatesConfig},
};

/// What checkpoints may take where nobody says it: 20 GiB.
const ROOM: u64 = 20 << 30;

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
    /// Whether environments go on from earlier states of the same, and are kept for later ones (`POLDER_CHECKPOINTS`).
    pub checkpoints: Checkpoints,
    /// Where those are.
    pub checkpoint_folder: PathBuf,
    /// How much they may take, in bytes.
    pub checkpoint_limit: u64,
    /// The daemon of system labs.
    pub daemon: Daemon,
    /// Types of machines there are, by their names in `vm-type`.
    pub types: Vec<Arc<dyn MachineType>>,
    /// What machines have that their init file leaves open.
    pub defaults: Defaults,
    /// Who makes machines that libvirt does not, by their names in `vm-provider`.
    pub providers: Vec<Arc<dyn MachineProvider>>,
    /// What may manage services in guests, in the order of asking, by their names in `service_provider`.
    pub services: Vec<Arc<dyn ServiceManager>>,
    /// The port at which repositories of packages are served.
    pub repo_port: u16,
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
        let checkpoint_folder = lab.cache.join("checkpoints");
        let boot_slots = Arc::new(Semaphore::new(cores));
        let config = TemplatesConfig {
            repo: None,
            repos: lab.cache.join("templates/repos"),
            store: lab.cache.join("templates/store"),
            limits: Limits::default(),
        };
        let templates = Templates::new(config, |_| None, template::Progress::new(|_| {}));
        let providers: Vec<Arc<dyn MachineProvider>> = vec![Arc::new(Ssh), Arc::new(Memory::default())];
        let services: Vec<Arc<dyn ServiceManager>> =
            vec![Arc::new(Systemd), Arc::new(SystemdContainer), Arc::new(OpenRc), Arc::new(SysVInit)];
        Ok(Self {
            lab,
            images,
            accel,
            kind: LabKind::Hermetic,
            templates,
            checkpoints: Checkpoints::named(&env("POLDER_CHECKPOINTS").unwrap_or_default()),
            checkpoint_folder,
            checkpoint_limit: ROOM,
            daemon,
            types: types::builtin(),
            providers,
            services,
            defaults: Defaults::default(),
            repo_port: 8585,
            lock_timeout: Duration::from_secs(10),
            stop: watch::channel(false).1,
            boot_slots,
        })
    }

    /// The host as it is configured. `env` finds environment variables: `POLDER_LAUNCHER`, and what manifests of
    /// template repositories name.
    ///
    /// # Errors
    /// This executable's own path cannot be had.
    pub fn configured(
        config: &Config,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Self, EnvError> {
        let said = |name: &str| {
            let path = match name {
                "POLDER_CACHE_DIR" => &config.cache_dir,
                "POLDER_RUNTIME_DIR" => &config.runtime_dir,
                "POLDER_ACCEL" => return Some(config.accel.clone()),
                _ => return env(name),
            };
            path.as_ref().map(|path| path.display().to_string())
        };
        let host = Self::from_env(&said)?;
        let places = Places::of(config, &host.lab.cache);
        let Config { template_repo_path, template_repo_name, .. } = config;
        let templates = TemplatesConfig {
            repo: template_repo_path.clone().map(Repo::At).or(template_repo_name.clone().map(Repo::Named)),
            repos: places.template_repos,
            store: places.template_store,
            limits: Limits::default(),
        };
        let told = |event: &TemplateEvent| tracing::info!(target: "polder", "{event}");
        let templates = Templates::new(templates, env, template::Progress::new(told));
        let Config { libvirt_url, libvirt_username: username, libvirt_password: password, .. } = config;
        let known = username.is_some() || password.is_some();
        let credentials = Credentials { username: username.clone(), password: password.clone() };
        let daemon = Daemon {
            uri: libvirt_url.clone(),
            credentials: known.then_some(credentials),
            leases: places.lease_dir,
        };
        let kind = match config.lab {
            Lab::Hermetic => LabKind::Hermetic,
            Lab::System => LabKind::System,
        };
        let (defaults, lock_timeout) = (Defaults::of(config), config.lock_timeout);
        let (repo_port, checkpoints) = (config.repo_port, config.checkpoints);
        let checkpoint_limit = config.checkpoint_limit;
        Ok(Self {
            kind,
            checkpoints,
            checkpoint_limit,
            templates,
            daemon,
            defaults,
            repo_port,
            lock_timeout,
            ..host
        })
    }

    /// The store of checkpoints.
    #[must_use]
    pub fn checkpoint_store(&self) -> Store {
        Store::at(&self.checkpoint_folder).with_limit(self.checkpoint_limit)
    }

    /// Puts in what `spec` leaves open: defaults, then what machines have by their types. Returns what does not go with
    /// those.
    pub(super) fn complete(&self, spec: &mut EnvSpec) -> Vec<PlanError> {
        self.defaults.fill(spec);
        types::shape(spec, &self.types)
    }

    /// Names of the types of machines.
    pub(super) fn type_names(&self) -> Vec<&str> {
        self.types.iter().map(|one| one.name()).collect()
    }

    /// Names of the managers of services.
    pub(super) fn service_names(&self) -> Vec<&str> {
        self.services.iter().map(|manager| manager.name()).collect()
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
pub struct Progress {
    tell: Arc<dyn Fn(&str) + Send + Sync>,
    warns: bool,
    is_quiet: bool,
}

impl Progress {
    /// Calls `tell` with every line.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { tell: Arc::new(tell), warns: true, is_quiet: false }
    }

    /// The same without what is only worth knowing.
    #[must_use]
    pub fn without_warnings(self) -> Self {
        Self { warns: false, ..self }
    }

    /// What is worth knowing.
    pub(crate) fn warn(&self, text: &str) {
        if self.warns {
            tracing::warn!(target: "polder", "{text}");
            (self.tell)(text);
        }
    }

    /// The same for steps that are no news: who asks for every detail has them in the log.
    pub(super) fn quiet(&self) -> Self {
        Self { is_quiet: true, ..self.clone() }
    }

    pub(super) fn say(&self, text: &str) {
        if self.is_quiet {
            tracing::debug!(target: "polder", "{text}");
            return;
        }
        tracing::info!(target: "polder", "{text}");
        (self.tell)(text);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// Deadlines of coming up. Those that are stretched by the time factor are for guests, and for what starts beside them on a host
/// that is as slow as they are; whether the daemon answers at all is another question, with a deadline of its own
/// (`Running::hangs`).
pub(super) mod limits {
    use super::Duration;

    /// From nothing to a daemon that listens.
    pub(crate) const LAB: Duration = Duration::from_secs(30);
    /// One connection to the daemon.
    pub(crate) const CONNECT: Duration = Duration::from_secs(10);
    /// What a daemon says of itself, for which it asks each of its emulators when nobody has asked before.
    pub(crate) const DESCRIBE: Duration = Duration::from_secs(60);
    /// Making one network.
    pub(crate) const NETWORK: Duration = Duration::from_secs(10);
    /// Keeping one machine's memory, or going on from it (stretched by the time factor).
    pub(crate) const SAVE: Duration = Duration::from_secs(60);
    /// Starting one domain (stretched by the time factor), or another deed that is done to one.
    pub(crate) const DOMAIN: Duration = Duration::from_secs(20);
    /// A short command inside the lab.
    pub(crate) const COMMAND: Duration = Duration::from_secs(10);
    /// Saying that one is still there.
    pub(crate) const EXAMINE: Duration = Duration::from_secs(2);
    /// The word that a daemon or a lab has ended, when it has.
    pub(crate) const OBITUARY: Duration = Duration::from_secs(1);
    /// Whatever a provider of machines is asked for.
    pub(crate) const PROVIDER: Duration = Duration::from_secs(120);
    /// From a domain's start to its first answer (stretched by the time factor).
    pub(crate) const READY: Duration = Duration::from_secs(60);
    /// Ending a lab.
    pub(crate) const DOWN: Duration = Duration::from_secs(5);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn the_host_is_as_configured() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("polder/polder.toml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = "lab = \"system\"\naccel = \"tcg\"\ncache_dir = \"/c\"\nruntime_dir = \"/r\"\nlibvirt_url = \"qemu:///session\"\n\
            libvirt_username = \"ada\"\nlease_dir = \"/l\"\ntemplate_store = \"/s\"\ntemplate_repo_path = \"/no/repo.json\"\n\
            default_vm_type = \"big\"\nssh_user = \"joe\"\n[shutdown]\ntimeout = 3\n";
        std::fs::write(file, text).unwrap();
        let sources = Sources { etc: dir.path().into(), variables: vec![], verbs: None };
        let config = Config::new(sources.load(), vec![]).unwrap();
        let host = Host::configured(&config, |_| None).unwrap();
        assert_eq!((host.kind, host.accel.as_str()), (LabKind::System, "tcg"));
        assert_eq!((host.lab.cache.as_path(), host.lab.root.starts_with("/r")), ("/c".as_ref(), true));
        assert_eq!(
            (host.daemon.uri.as_str(), host.daemon.leases.as_path()),
            ("qemu:///session", "/l".as_ref())
        );
        assert!(host.daemon.credentials.is_some());
        assert_eq!(host.templates.store_dir(), std::path::Path::new("/s"));
        assert_eq!((host.defaults.vm_type.as_str(), host.defaults.ssh_user.as_str()), ("big", "joe"));
        let repo = tokio::runtime::Runtime::new().unwrap().block_on(host.templates.resolve("x", None, None));
        assert!(repo.unwrap_err().to_string().contains("/no/repo.json"));
    }
}
