//! What every verb has: the configuration, the host, where one stands, the log, and how results are printed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::watch;

use super::{
    exit::{BadInput, Stopped},
    extensions::Extensions,
    flags::is_typed,
    log::Log,
    output::OutputFormat,
    places::Places,
};
use crate::{
    base::{credentials::Credentials, text::did_you_mean},
    config::{Config, Lab},
    env::{Daemon, Env, Host, Progress},
    lab::LabKind,
    template::{self, Limits, Repo, TemplateEvent, Templates, TemplatesConfig},
    workdir::{Choice, LockedPrefix, Prefix, Workdir, WorkdirError},
};

/// What every verb has.
#[derive(Debug)]
pub(super) struct Cx {
    pub(super) config: Config,
    pub(super) extensions: Extensions,
    pub(super) cwd: PathBuf,
    pub(super) log: Log,
    pub(super) ignore_warnings: bool,
    /// Whether the operator has asked us to stop.
    pub(super) stop: watch::Receiver<bool>,
}

impl Cx {
    /// The host as it is configured.
    pub(super) fn host(&self) -> anyhow::Result<Host> {
        let configured = |name: &str| {
            let path = match name {
                "POLDER_CACHE_DIR" => &self.config.cache_dir,
                "POLDER_RUNTIME_DIR" => &self.config.runtime_dir,
                "POLDER_ACCEL" => return Some(self.config.accel.clone()),
                _ => return std::env::var(name).ok(),
            };
            path.as_ref().map(|path| path.display().to_string())
        };
        let mut host = Host::from_env(&configured)?;
        host.templates = self.templates(&host)?;
        host.kind = match self.config.lab {
            Lab::Hermetic => LabKind::Hermetic,
            Lab::System => LabKind::System,
        };
        let Config { libvirt_url, libvirt_username: username, libvirt_password: password, .. } = &self.config;
        let known = username.is_some() || password.is_some();
        let credentials = Credentials { username: username.clone(), password: password.clone() };
        host.daemon = Daemon {
            uri: libvirt_url.clone(),
            credentials: known.then_some(credentials),
            leases: Places::of(&self.config, &host).lease_dir,
        };
        host.vm_types.extend(self.extensions.machine_types().map(str::to_owned));
        Ok(host)
    }

    /// Templates as they are configured.
    pub(super) fn templates(&self, host: &Host) -> anyhow::Result<Templates> {
        let Config { template_repo_path, template_repo_name, .. } = &self.config;
        let repo = template_repo_path.clone().map(Repo::At).or(template_repo_name.clone().map(Repo::Named));
        let places = Places::of(&self.config, host);
        let config = TemplatesConfig {
            repo,
            repos: places.template_repos,
            store: places.template_store,
            limits: Limits::default(),
        };
        let told = |event: &TemplateEvent| tracing::info!(target: "polder", "{event}");
        let templates =
            Templates::new(config, |name| std::env::var(name).ok(), template::Progress::new(told));
        Ok(self
            .extensions
            .sources()
            .fold(templates, |templates, (kind, source)| templates.with_source(kind, Arc::clone(source))))
    }

    pub(super) fn choice(&self) -> Choice {
        Choice {
            prefix_path: self.config.prefix_path.clone(),
            workdir_path: self.config.workdir_path.clone(),
            prefix_name: self.config.prefix_name.clone(),
            named: is_typed(&self.config, "prefix_name"),
        }
    }

    /// The prefix that is meant; what happens is written into its log from now on.
    pub(super) fn prefix(&self) -> Result<Prefix, WorkdirError> {
        let prefix = self.choice().find(&self.cwd)?;
        self.log_to(&prefix.paths().log());
        Ok(prefix)
    }

    /// The same, held until the value goes.
    pub(super) async fn locked(&self, verb: &str) -> Result<LockedPrefix, WorkdirError> {
        self.prefix()?.lock(verb, self.config.lock_timeout).await
    }

    /// The environment of the prefix that is meant. Its verbs take the prefix's lock themselves.
    pub(super) async fn env(&self) -> anyhow::Result<Env> {
        let prefix = self.prefix()?;
        prefix.require_initialized()?;
        Ok(Env::load(&self.host()?, &prefix).await?)
    }

    /// Writes what happens into the log at `path` from now on.
    pub(super) fn log_to(&self, path: &Path) {
        if let Err(error) = self.log.open(path) {
            tracing::warn!(target: "polder", "cannot write {}: {error}", path.display());
        }
    }

    /// What comes of `work`, unless the operator stops us first.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            result = work => result,
            _ = stop.wait_for(|stop| *stop) => Err(Stopped.into()),
        }
    }

    /// The workdir that is meant.
    pub(super) fn workdir(&self) -> Result<Workdir, WorkdirError> {
        self.choice().workdir(&self.cwd)
    }

    /// A path as seen from where one stands.
    pub(super) fn absolute(&self, path: &Path) -> anyhow::Result<PathBuf> {
        std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
    }

    /// A result in the format that was asked for.
    pub(super) fn print(&self, result: &impl Serialize) -> anyhow::Result<String> {
        self.format()?.format(&serde_json::to_value(result)?)
    }

    /// The format that was asked for. Looked up before anything is done: who mistyped it wants nothing done.
    pub(super) fn format(&self) -> Result<&dyn OutputFormat, BadInput> {
        let name = &self.config.out_format;
        self.extensions.format(name).ok_or_else(|| {
            let names = self.extensions.format_names();
            let hint = did_you_mean(name, names.iter().copied());
            let hint = hint.map_or_else(
                || format!("there are: {}", names.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            BadInput(format!("no output format `{name}`; {hint}"))
        })
    }

    /// Whether results are for people and in our own words.
    pub(super) fn for_people(&self) -> bool {
        self.config.out_format == "default"
    }

    /// Progress on standard error, where it does not mix with what a verb prints: by way of the log.
    pub(super) fn progress(&self) -> Progress {
        Progress::new(|_| {})
    }

    /// Tells a warning, unless warnings are not wanted.
    pub(super) fn warn(&self, warning: &dyn std::fmt::Display) {
        if !self.ignore_warnings {
            tracing::warn!(target: "polder", "warning: {warning}");
        }
    }
}
