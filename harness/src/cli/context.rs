//! What every verb has: the configuration, the host, where one stands, the log, and how results are printed.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::watch;

use super::{
    exit::{BadInput, Stopped},
    extensions::Extensions,
    log::Log,
    output::OutputFormat,
};
use crate::{
    base::text::did_you_mean,
    config::Config,
    env::{Env, Host, Progress},
    initfile::Diagnostic,
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
    /// The host as it is configured, with what extensions add.
    pub(super) fn host(&self) -> anyhow::Result<Host> {
        let mut host = Host::configured(&self.config, |name| std::env::var(name).ok())?;
        host.stop = self.stop.clone();
        self.extensions.extend(&mut host);
        Ok(host)
    }

    pub(super) fn choice(&self) -> Choice {
        Choice {
            prefix_path: self.config.prefix_path.clone(),
            workdir_path: self.config.workdir_path.clone(),
            prefix_name: self.config.prefix_name.clone(),
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

    /// Tells a warning about an init file with its place, unless warnings are not wanted.
    pub(super) fn warn_of(&self, warning: &Diagnostic) {
        if !self.ignore_warnings {
            tracing::warn!(target: "polder", "{}", warning.line());
        }
    }

    /// Tells a warning, unless warnings are not wanted.
    pub(super) fn warn(&self, warning: &dyn std::fmt::Display) {
        if !self.ignore_warnings {
            tracing::warn!(target: "polder", "warning: {warning}");
        }
    }
}
