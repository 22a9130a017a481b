//! Who holds the configuration of a device: memory, or something that really runs it.

use std::{fmt::Debug, time::Duration};

use crate::base::dial::BoxFuture;

/// A device, as a driver knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its MAC address, which tells it from others.
    pub mac: String,
    /// Its name without a domain.
    pub hostname: String,
    /// The address it is managed at.
    pub ip: String,
}

/// A device did not take its configuration, or does not tell it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It cannot be reached.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// It refuses what it was given.
    #[error("refused: {0}")]
    Refused(String),
    /// It took longer than it may.
    #[error("no answer in {0:?}")]
    TimedOut(Duration),
}

/// Holds the configurations of devices.
///
/// Both calls end by themselves: whoever implements them gives them a deadline.
pub trait Driver: Debug + Send + Sync {
    /// Has a device run `config` instead of what it runs; returns what it runs then, read back from it.
    ///
    /// # Errors
    /// It runs what it ran before, or nobody knows.
    fn push<'a>(&'a self, device: &'a Target, config: &'a str) -> BoxFuture<'a, Result<String, PushError>>;

    /// What a device runs now; `None`: what was pushed last, since nobody else can change it.
    ///
    /// # Errors
    /// It does not tell.
    fn read<'a>(&'a self, device: &'a Target) -> BoxFuture<'a, Result<Option<String>, PushError>>;
}

/// Devices that are nothing but their configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory;

impl Driver for Memory {
    fn push<'a>(&'a self, _: &'a Target, config: &'a str) -> BoxFuture<'a, Result<String, PushError>> {
        Box::pin(async move { Ok(config.to_owned()) })
    }

    fn read<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Result<Option<String>, PushError>> {
        Box::pin(async { Ok(None) })
    }
}
