//! Network calls.

use std::time::Duration;

use virt::{connect::Connect, error::ErrorNumber, network::Network, sys};

use super::Connection;
use crate::provider::ProviderError;

/// A part of a network that can change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkPart {
    /// A DNS entry.
    DnsHost,
    /// A reservation, in the network's subnet at this position.
    DhcpHost(i32),
}

/// How it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkChange {
    /// It comes.
    Add,
    /// It goes.
    Delete,
}

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
        let job = move |c: &Connect| c.create_network_xml(&xml).map(drop);
        self.call(format!("start network {name}"), limit, job).await
    }

    /// Ends a network; one that is not there has ended.
    ///
    /// # Errors
    /// As [`Connection::create_network`].
    pub async fn destroy_network(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        match self.call(format!("end network {name}"), limit, by_name(name, Network::destroy)).await {
            Err(ProviderError::Call { source, .. }) if source.code().is(ErrorNumber::NoNetwork) => Ok(()),
            result => result,
        }
    }

    /// The networks that run, each with its XML.
    ///
    /// # Errors
    /// As [`Connection::create_network`].
    pub async fn networks(&self, limit: Duration) -> Result<Vec<(String, String)>, ProviderError> {
        let job = |c: &Connect| {
            let all = c.list_all_networks(sys::VIR_CONNECT_LIST_NETWORKS_ACTIVE)?;
            // One that ended meanwhile is not there any more.
            let known = |net: Network| Some((net.name().ok()?, net.xml_desc(0).ok()?));
            Ok(all.into_iter().filter_map(known).collect())
        };
        self.call("list networks".into(), limit, job).await
    }

    /// A network's XML as libvirt sees it now.
    ///
    /// # Errors
    /// As [`Connection::create_network`].
    pub async fn network_xml(&self, name: &str, limit: Duration) -> Result<String, ProviderError> {
        self.call(format!("describe network {name}"), limit, by_name(name, |net| net.xml_desc(0))).await
    }

    /// Changes a part of a network while it runs.
    ///
    /// # Errors
    /// As [`Connection::create_network`].
    pub async fn change_network(
        &self,
        name: &str,
        change: NetworkChange,
        part: NetworkPart,
        xml: String,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        let command = match change {
            NetworkChange::Add => sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
            NetworkChange::Delete => sys::VIR_NETWORK_UPDATE_COMMAND_DELETE,
        };
        let (what, section, position) = match part {
            NetworkPart::DnsHost => ("DNS", sys::VIR_NETWORK_SECTION_DNS_HOST, -1),
            NetworkPart::DhcpHost(position) => ("DHCP", sys::VIR_NETWORK_SECTION_IP_DHCP_HOST, position),
        };
        let live = sys::VIR_NETWORK_UPDATE_AFFECT_LIVE;
        let job = by_name(name, move |net| net.update(command, section, position, &xml, live));
        self.call(format!("change the {what} of network {name}"), limit, job).await
    }
}

fn by_name<T>(
    name: &str,
    act: impl FnOnce(&Network) -> Result<T, virt::error::Error> + Send + 'static,
) -> impl FnOnce(&Connect) -> Result<T, virt::error::Error> + Send + 'static {
    let name = name.to_owned();
    move |connect| act(&connect.lookup_network_by_name(&name)?)
}
