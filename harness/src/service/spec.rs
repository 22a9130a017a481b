//! What a manager of services is.

use std::fmt::{self, Debug};

use serde::Serialize;

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// There is none of that name.
    Missing,
    /// It does not run.
    Inactive,
    /// It runs.
    Active,
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Inactive => "inactive",
            Self::Active => "active",
        })
    }
}

/// What a command in the guest left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status; absent when it ended in another way.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Manages the services of a guest; named by `service_provider` in init files, else found by [`probe`](Self::probe).
///
/// Every command is a program and its arguments, run in the guest as who logs in.
pub trait ServiceManager: Debug + Send + Sync {
    /// What it is called in init files.
    fn name(&self) -> &str;

    /// Succeeds in guests whose services it manages.
    fn probe(&self) -> Vec<String>;

    /// Asks how a service is.
    fn query(&self, service: &str) -> Vec<String>;

    /// What the answer to [`query`](Self::query) means; nothing, when the question itself failed.
    fn state(&self, service: &str, answer: &Answer) -> Option<ServiceState>;

    /// Starts a service that does not run.
    fn start(&self, service: &str) -> Vec<String>;

    /// Stops a service that runs.
    fn stop(&self, service: &str) -> Vec<String>;

    /// Restarts a service that runs; without a command for it, it is stopped and started.
    fn restart(&self, service: &str) -> Option<Vec<String>> {
        let _ = service;
        None
    }

    /// Prints what the service wrote lately, where somebody keeps that.
    fn logs(&self, service: &str) -> Option<Vec<String>> {
        let _ = service;
        None
    }
}

/// A script of the guest's shell, with `$1` for `service`.
pub(super) fn sh(script: &str, service: &str) -> Vec<String> {
    argv(["sh", "-c", script, "sh", service])
}

/// Prints the end of what a service wrote where nobody keeps that for it: its own file, else its lines in everybody's.
pub(super) fn log_files(service: &str) -> Vec<String> {
    sh(
        "for file in \"/var/log/$1.log\" \"/var/log/$1/$1.log\" \"/var/log/$1/error.log\"; do \
         [ -f \"$file\" ] && exec tail -n 200 \"$file\"; done; \
         for file in /var/log/messages /var/log/syslog /var/log/daemon.log; do \
         [ -f \"$file\" ] && grep -F -- \"$1\" \"$file\"; done | tail -n 200",
        service,
    )
}

/// Words of a command line.
pub(super) fn argv<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
