//! The guest agent behind libvirt, as the port guests use.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    EnvError,
    host::limits,
    site::{Running, Site},
};
use crate::{
    base::dial::BoxFuture,
    guest::{AgentPort, AgentPortError},
    provider::{ProviderError, libvirt::Connection},
};

/// The agent of one domain, on a connection of its own: an agent that does not answer must hold up nobody else.
#[derive(Debug)]
pub(super) struct LibvirtAgent {
    site: Site,
    own: Mutex<Option<(Weak<Running>, Connection)>>,
    domain: String,
}

impl LibvirtAgent {
    pub(super) fn new(site: Site, domain: String) -> Self {
        Self { site, own: Mutex::new(None), domain }
    }

    /// The connection of this life of the lab.
    async fn connection(&self) -> Result<Connection, EnvError> {
        let running = self.site.running()?;
        let mut own = self.own.lock().await;
        match &*own {
            Some((of, connection)) if of.ptr_eq(&Arc::downgrade(&running)) => Ok(connection.clone()),
            _ => {
                let connection = running.connection.another(limits::CONNECT).await?;
                *own = Some((Arc::downgrade(&running), connection.clone()));
                Ok(connection)
            }
        }
    }
}

impl AgentPort for LibvirtAgent {
    fn call(&self, request: String, limit: Duration) -> BoxFuture<'_, Result<String, AgentPortError>> {
        Box::pin(async move {
            let connection =
                self.connection().await.map_err(|e| AgentPortError::NotConnected(e.to_string()))?;
            let answer = connection.agent(&self.domain, request, limit).await;
            if answer.as_ref().is_err_and(ProviderError::hangs) {
                // It is of no use any more; the next call is made on another.
                self.own.lock().await.take();
            }
            answer.map_err(port)
        })
    }
}

fn port(error: ProviderError) -> AgentPortError {
    use virt::error::ErrorNumber;
    match &error {
        ProviderError::TimedOut { limit, .. } => AgentPortError::TimedOut(*limit),
        // The agent is not there at the moment, or the machine is paused or off.
        ProviderError::Call { source, .. }
            if [ErrorNumber::AgentUnresponsive, ErrorNumber::OperationInvalid, ErrorNumber::NoDomain]
                .into_iter()
                .any(|away| source.code().is(away)) =>
        {
            AgentPortError::NotConnected(source.message().to_owned())
        }
        ProviderError::Call { source, .. } => AgentPortError::Failed(source.message().to_owned()),
        _ => AgentPortError::NotConnected(error.to_string()),
    }
}
