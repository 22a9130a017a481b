//! Domain calls.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use virt::{
    connect::Connect,
    domain::{Domain, DomainState as Reported},
    enumutil::Enum,
    error::{Error, ErrorNumber},
    sys,
};

use super::{Connection, xml};
use crate::{
    base::id::Mac,
    provider::{ProviderError, spec::Label},
};

/// How a domain is: as every machine may be, but never unreachable.
pub use crate::provider::MachineState as DomainState;

/// Where a domain's addresses are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSource {
    /// The leases of the networks' DHCP servers.
    Lease,
    /// The guest agent.
    Agent,
}

/// An interface of a running guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name: the guest's own if the agent was asked, else the host's end of it.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// Its addresses and the lengths of their prefixes in bits.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A domain or network libvirt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<S> {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Whose it is, if it is ours at all.
    pub label: Option<Label>,
    /// How it is.
    pub state: S,
}

impl Connection {
    /// Starts a transient domain.
    ///
    /// # Errors
    /// What libvirt said, or that it did not come back within `limit`.
    pub async fn create_domain(&self, name: &str, xml: String, limit: Duration) -> Result<(), ProviderError> {
        self.begin_domain(name, xml, 0, limit).await
    }

    /// Makes a transient domain that waits for [`Connection::resume_domain`] with its first instruction.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn create_domain_paused(
        &self,
        name: &str,
        xml: String,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        self.begin_domain(name, xml, sys::VIR_DOMAIN_START_PAUSED, limit).await
    }

    async fn begin_domain(
        &self,
        name: &str,
        xml: String,
        flags: sys::virDomainCreateFlags,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        let job = move |c: &Connect| c.create_domain_xml(&xml, flags).map(drop);
        self.call(format!("start domain {name}"), limit, job).await
    }

    /// Ends a domain at once, as if its power was cut; one that is not there has ended.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn destroy_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        match self.on_domain("destroy domain", name, limit, Domain::destroy).await {
            Err(ProviderError::Call { source, .. }) if is_no_domain(&source) => Ok(()),
            result => result,
        }
    }

    /// Presses a domain's power button; whether its guest hears and obeys is another question.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn shutdown_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        let flags = sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN;
        self.on_domain("shut down domain", name, limit, move |d| d.shutdown_flags(flags)).await
    }

    /// Asks a guest to boot again: its agent if that is there, else by the power button.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn reboot_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on_domain("reboot domain", name, limit, |d| d.reboot(sys::VIR_DOMAIN_REBOOT_DEFAULT)).await
    }

    /// Boots a domain again at once, as by its reset button.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn reset_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on_domain("reset domain", name, limit, Domain::reset).await
    }

    /// Stops a domain's CPUs.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn suspend_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on_domain("pause domain", name, limit, Domain::suspend).await
    }

    /// Lets a domain's CPUs go on.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn resume_domain(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.on_domain("resume domain", name, limit, Domain::resume).await
    }

    /// How a domain is; one that is not there is [`DomainState::Absent`], not an error.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn domain_state(&self, name: &str, limit: Duration) -> Result<DomainState, ProviderError> {
        match self.on_domain("look at domain", name, limit, state).await {
            Err(ProviderError::Call { source, .. }) if is_no_domain(&source) => Ok(DomainState::Absent),
            answer => answer,
        }
    }

    /// All domains there are and how each is, in one call.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn domains(&self, limit: Duration) -> Result<BTreeMap<String, DomainState>, ProviderError> {
        let job = |c: &Connect| {
            let all = c.list_all_domains(0)?;
            // One that ended meanwhile is not there any more.
            let known = |domain: Domain| Some((domain.name().ok()?, state(&domain).ok()?));
            Ok(all.into_iter().filter_map(known).collect())
        };
        self.call("list domains".into(), limit, job).await
    }

    /// A domain's XML as libvirt sees it now.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn domain_xml(&self, name: &str, limit: Duration) -> Result<String, ProviderError> {
        self.on_domain("describe domain", name, limit, |domain| domain.xml_desc(0)).await
    }

    /// The addresses a guest has.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when the agent is asked and does not answer.
    pub async fn domain_interfaces(
        &self,
        name: &str,
        source: AddressSource,
        limit: Duration,
    ) -> Result<Vec<Interface>, ProviderError> {
        let source = match source {
            AddressSource::Lease => sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            AddressSource::Agent => sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        };
        let job = move |domain: &Domain| domain.interface_addresses(source, 0);
        let found = self.on_domain("ask for the addresses of domain", name, limit, job).await?;
        Ok(found.into_iter().map(interface).collect())
    }

    /// Marks a running domain as somebody's, instead of whose it was.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn mark_domain(&self, name: &str, label: &Label, limit: Duration) -> Result<(), ProviderError> {
        let (key, element) = xml::label_metadata(label);
        let set = move |domain: &Domain| {
            let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or_default();
            domain.set_metadata(kind, Some(&element), Some(key), Some(xml::NAMESPACE), LIVE)
        };
        self.on_domain("mark domain", name, limit, set).await
    }

    /// Adds a device to a running domain.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn attach_device(&self, name: &str, xml: String, limit: Duration) -> Result<(), ProviderError> {
        self.on_domain("attach a device to domain", name, limit, move |d| d.attach_device_flags(&xml, LIVE))
            .await
    }

    /// Asks a running guest to give up a device. It may take a moment more until the device is gone from the domain's
    /// XML, and a guest that does not answer keeps it.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn detach_device(&self, name: &str, xml: String, limit: Duration) -> Result<(), ProviderError> {
        self.on_domain("detach a device from domain", name, limit, move |d| d.detach_device_flags(&xml, LIVE))
            .await
    }

    /// Changes a device of a running domain: the state of a link, a CD-ROM's medium.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn update_device(&self, name: &str, xml: String, limit: Duration) -> Result<(), ProviderError> {
        self.on_domain("change a device of domain", name, limit, move |d| d.update_device_flags(&xml, LIVE))
            .await
    }

    /// Hands a command to a domain's emulator, in its language for people, and returns what it printed.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]. A command the emulator refuses is no error: it is in what it printed.
    pub async fn monitor(
        &self,
        name: &str,
        command: String,
        limit: Duration,
    ) -> Result<String, ProviderError> {
        let job =
            move |d: &Domain| d.qemu_monitor_command(&command, sys::VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP);
        self.on_domain("talk to the emulator of domain", name, limit, job).await
    }

    /// Hands a request to the guest agent of a domain and returns its answer, both JSON.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when the agent is not there or does not answer in whole seconds of
    /// `limit`.
    pub async fn agent(&self, name: &str, request: String, limit: Duration) -> Result<String, ProviderError> {
        let seconds = i32::try_from(limit.as_secs().max(1)).unwrap_or(i32::MAX);
        // libvirt keeps the limit itself; ours is for a daemon that does not answer.
        let patience = limit + Duration::from_secs(3);
        let job = move |domain: &Domain| domain.qemu_agent_command(&request, seconds, 0);
        self.on_domain("ask the guest agent of", name, patience, job).await
    }

    /// Every domain there is, ours and others.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn list_domains(&self, limit: Duration) -> Result<Vec<Found<DomainState>>, ProviderError> {
        let look = |domain: &Domain| {
            let (name, uuid) = (domain.name()?, domain.uuid_string()?);
            Ok(Found { name, uuid, label: xml::label_of(&domain.xml_desc(0)?), state: state(domain)? })
        };
        let job = move |c: &Connect| {
            // One that ended while we looked is not there.
            let looked = c.list_all_domains(0)?.into_iter().map(|domain| look(&domain));
            looked.filter(|found| !matches!(found, Err(error) if is_no_domain(error))).collect()
        };
        self.call("list domains".to_owned(), limit, job).await
    }

    /// Does something with the domain of that name.
    pub(super) async fn on_domain<T: Send + 'static>(
        &self,
        what: &str,
        name: &str,
        limit: Duration,
        act: impl FnOnce(&Domain) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let owned = name.to_owned();
        let job = move |c: &Connect| act(&c.lookup_domain_by_name(&owned)?);
        self.call(format!("{what} {name}"), limit, job).await
    }
}

const LIVE: u32 = sys::VIR_DOMAIN_DEVICE_MODIFY_LIVE;

fn state(domain: &Domain) -> Result<DomainState, Error> {
    Ok(match domain.state()?.0 {
        Enum::Known(Reported::Running | Reported::Blocked) => DomainState::Running,
        Enum::Known(Reported::Paused) => DomainState::Paused,
        Enum::Known(Reported::Shutoff) => DomainState::Off,
        Enum::Known(Reported::Crashed) => DomainState::Crashed,
        _ => DomainState::Other,
    })
}

fn interface(found: virt::domain::Interface) -> Interface {
    let address = |a: virt::domain::IPAddress| Some((a.addr.parse().ok()?, u8::try_from(a.prefix).ok()?));
    Interface {
        name: found.name,
        mac: found.hwaddr.and_then(|mac| mac.parse().ok()),
        addresses: found.addrs.into_iter().filter_map(address).collect(),
    }
}

fn is_no_domain(error: &Error) -> bool {
    error.code().is(ErrorNumber::NoDomain)
}
