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

/// Words of a command line.
pub(super) fn argv<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
