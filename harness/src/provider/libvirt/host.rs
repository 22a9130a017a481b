//! What a daemon says of itself and of its host.

use std::time::Duration;

use virt::connect::Connect;

use super::{
    Connection,
    xml::{Element, emulator_user},
};
use crate::provider::ProviderError;

/// A daemon as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its version: major and minor number.
    pub version: (u32, u32),
    /// User and group it runs emulators as; absent: its own.
    pub emulator: Option<(u32, u32)>,
}

impl Connection {
    /// Asks the daemon for a word, for which it need not wait for any of its domains: one that starts or ends may keep
    /// others from looking at it for as long as that takes.
    ///
    /// # Errors
    /// What libvirt said, or that it did not come back within `limit`.
    pub async fn answers(&self, limit: Duration) -> Result<(), ProviderError> {
        self.call("answer".into(), limit, |c| c.lib_version().map(drop)).await
    }

    /// Asks the daemon about itself.
    ///
    /// # Errors
    /// What libvirt said, or that it did not come back within `limit`.
    pub async fn describe(&self, limit: Duration) -> Result<Daemon, ProviderError> {
        let job = |c: &Connect| {
            let version = c.lib_version()?;
            let capabilities = Element::parse(&c.capabilities()?).ok();
            let emulator = capabilities.as_ref().and_then(emulator_user);
            Ok(Daemon { version: (version / 1_000_000, version / 1000 % 1000), emulator })
        };
        self.call("describe itself".into(), limit, job).await
    }
}
