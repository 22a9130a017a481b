//! Network calls.

use std::time::Duration;

use super::Connection;
use crate::provider::ProviderError;

impl Connection {
    /// Starts a transient network.
    ///
    /// # Errors
    /// What libvirt said, or that it did not come back within `limit`.
    pub async fn create_network(
        &self,
        name: &str,
        xml: String,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        let job = move |c: &virt::connect::Connect| c.create_network_xml(&xml).map(drop);
        self.call(format!("start network {name}"), limit, job).await
    }

    /// A network's XML as libvirt sees it now.
    ///
    /// # Errors
    /// As [`Connection::create_network`].
    pub async fn network_xml(&self, name: &str, limit: Duration) -> Result<String, ProviderError> {
        let owned = name.to_owned();
        let job = move |c: &virt::connect::Connect| c.lookup_network_by_name(&owned)?.xml_desc(0);
        self.call(format!("describe network {name}"), limit, job).await
    }
}
