//! The guest agent behind libvirt, as the port guests use.

use std::time::Duration;

use tokio::sync::OnceCell;

use super::host::limits;
use crate::{
    base::dial::BoxFuture,
    guest::{AgentPort, AgentPortError},
    provider::{ProviderError, libvirt::Connection},
};

/// The agent of one domain, on a connection of its own: an agent that does not answer must hold up nobody else.
#[derive(Debug)]
pub(super) struct LibvirtAgent {
    shared: Connection,
    own: OnceCell<Connection>,
    domain: String,
}

impl LibvirtAgent {
    pub(super) fn new(shared: Connection, domain: String) -> Self {
        Self { shared, own: OnceCell::new(), domain }
    }
}

impl AgentPort for LibvirtAgent {
    fn call(&self, request: String, limit: Duration) -> BoxFuture<'_, Result<String, AgentPortError>> {
        Box::pin(async move {
            let connection =
                self.own.get_or_try_init(|| self.shared.another(limits::CONNECT)).await.map_err(port)?;
            connection.agent(&self.domain, request, limit).await.map_err(port)
        })
    }
}

fn port(error: ProviderError) -> AgentPortError {
    use virt::error::ErrorNumber;
    match &error {
        ProviderError::TimedOut { limit, .. } => AgentPortError::TimedOut(*limit),
        ProviderError::Call { source, .. } if source.code().is(ErrorNumber::AgentUnresponsive) => {
            AgentPortError::NotConnected(source.message().to_owned())
        }
        ProviderError::Call { source, .. } => AgentPortError::Failed(source.message().to_owned()),
        _ => AgentPortError::NotConnected(error.to_string()),
    }
}
