//! Interim until branch `domain` lands, which has these calls in `domain.rs`: then delete this file.
use std::time::Duration;

use super::Connection;
use crate::provider::ProviderError;

#[expect(missing_docs, clippy::missing_errors_doc, reason = "interim")]
impl Connection {
    async fn on(
        &self,
        what: &str,
        name: &str,
        limit: Duration,
        job: fn(&virt::domain::Domain) -> Result<(), virt::error::Error>,
    ) -> Result<(), ProviderError> {
        let owned = name.to_owned();
        let job = move |c: &virt::connect::Connect| job(&c.lookup_domain_by_name(&owned)?);
        self.call(format!("{what} domain {name}"), limit, job).await
    }
    pub async fn shutdown_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on("shut down", name, limit, |d| d.shutdown().map(drop)).await
    }
    pub async fn reboot_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on("reboot", name, limit, |d| d.reboot(0).map(drop)).await
    }
    pub async fn suspend_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on("pause", name, limit, |d| d.suspend().map(drop)).await
    }
    pub async fn resume_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on("resume", name, limit, |d| d.resume().map(drop)).await
    }
}
