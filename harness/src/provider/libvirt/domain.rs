//! Domain calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use virt::{domain::DomainState as Reported, enumutil::Enum, error::ErrorNumber};

use super::Connection;
use crate::provider::ProviderError;

/// How a domain is, in libvirt's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainState {
    /// It runs.
    Running,
    /// It is stopped for the time being.
    Paused,
    /// It is off.
    Off,
    /// Its kernel panicked or its emulator died.
    Crashed,
    /// libvirt does not know it.
    Absent,
    /// Anything else (shutting down, suspended by the guest).
    Other,
}

impl Connection {
    /// Starts a transient domain.
    ///
    /// # Errors
    /// What libvirt said, or that it did not come back within `limit`.
    pub async fn create_domain(&self, name: &str, xml: String, limit: Duration) -> Result<(), ProviderError> {
        let job = move |c: &virt::connect::Connect| c.create_domain_xml(&xml, 0).map(drop);
        self.call(format!("start domain {name}"), limit, job).await
    }

    /// Ends a domain at once, as if its power was cut.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn destroy_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        let job = by_name(name, |domain| domain.destroy());
        self.call(format!("destroy domain {name}"), limit, job).await
    }

    /// How a domain is; one that is not there is [`DomainState::Absent`], not an error.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn domain_state(&self, name: &str, limit: Duration) -> Result<DomainState, ProviderError> {
        let job = by_name(name, |domain| domain.state().map(|(state, _)| state));
        match self.call(format!("look at domain {name}"), limit, job).await {
            Ok(Enum::Known(Reported::Running | Reported::Blocked)) => Ok(DomainState::Running),
            Ok(Enum::Known(Reported::Paused)) => Ok(DomainState::Paused),
            Ok(Enum::Known(Reported::Shutoff)) => Ok(DomainState::Off),
            Ok(Enum::Known(Reported::Crashed)) => Ok(DomainState::Crashed),
            Ok(_) => Ok(DomainState::Other),
            Err(ProviderError::Call { source, .. }) if is_no_domain(&source) => Ok(DomainState::Absent),
            Err(error) => Err(error),
        }
    }

    /// A domain's XML as libvirt sees it now.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn domain_xml(&self, name: &str, limit: Duration) -> Result<String, ProviderError> {
        let job = by_name(name, |domain| domain.xml_desc(0));
        self.call(format!("describe domain {name}"), limit, job).await
    }

    /// Hands a request to the guest agent of a domain and returns its answer, both JSON.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when the agent is not there or does not answer in whole seconds of
    /// `limit`.
    pub async fn agent(&self, name: &str, request: String, limit: Duration) -> Result<String, ProviderError> {
        let seconds = i32::try_from(limit.as_secs().max(1)).unwrap_or(i32::MAX);
        let job = by_name(name, move |domain| domain.qemu_agent_command(&request, seconds, 0));
        // libvirt keeps the limit itself; ours is for a daemon that does not answer.
        let patience = limit + Duration::from_secs(3);
        self.call(format!("ask the guest agent of {name}"), patience, job).await
    }
}

fn is_no_domain(error: &virt::error::Error) -> bool {
    error.code().is(ErrorNumber::NoDomain)
}

fn by_name<T>(
    name: &str,
    act: impl FnOnce(&virt::domain::Domain) -> Result<T, virt::error::Error> + Send + 'static,
) -> impl FnOnce(&virt::connect::Connect) -> Result<T, virt::error::Error> + Send + 'static {
    let name = name.to_owned();
    move |connect| act(&connect.lookup_domain_by_name(&name)?)
}
