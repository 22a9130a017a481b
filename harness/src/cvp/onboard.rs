//! Machines of an environment as devices of a session's portal, where that is our own.

use std::sync::Arc;

use super::{
    error::CvpError,
    inventory::Device,
    server::{Adapter, DeviceSpec, Devices, Machines, PortalError},
    session::Cvp,
};
use crate::{
    base::id::MachineName,
    guest::{Command, Guest, GuestError},
};

/// The container in which machines are devices, below the outermost one.
const CONTAINER: &str = "Lab";
/// The addresses of its cards, without what is no card.
const CARDS: &str = "for card in /sys/class/net/*/device; do cat \"${card%device}address\"; done";

/// A machine cannot be a device.
#[derive(Debug, thiserror::Error)]
pub enum OnboardError {
    /// The portal is not our own.
    #[error(
        "the machines of an environment cannot be reached by the portal at {portal}, which is not our own: \
         run the suite without `POLDER_CVP_URL`, or name devices that the portal has"
    )]
    Elsewhere {
        /// Where the portal is.
        portal: String,
    },
    /// The machine cannot be asked what it is.
    #[error("cannot make {machine} a device of the portal")]
    Guest {
        /// The machine.
        machine: MachineName,
        /// Why.
        #[source]
        source: Box<GuestError>,
    },
    /// It says nothing of its network.
    #[error("cannot make {machine} a device of the portal: it has no network card with a MAC address")]
    NoCard {
        /// The machine.
        machine: MachineName,
    },
    /// The portal does not take it.
    #[error(transparent)]
    Portal(#[from] PortalError),
    /// The portal does not show it.
    #[error(transparent)]
    Cvp(#[from] CvpError),
}

/// What a portal of our own has that others do not have.
#[derive(Debug)]
pub(super) struct Own {
    /// Takes further devices.
    pub(super) devices: Devices,
    /// Which of them are machines.
    pub(super) machines: Arc<Machines>,
}

impl Cvp {
    /// Makes machines devices of the portal, each by its own name, in the container `Lab`: what the portal's tasks write is
    /// written into them by the ways of the system they run, and what they run is read back. Those that are devices
    /// already stay it.
    ///
    /// # Errors
    /// The portal is not our own; a machine cannot be asked. Machines before it are devices then.
    pub async fn onboard<G: AsRef<Guest>>(
        &self,
        machines: impl IntoIterator<Item = G>,
    ) -> Result<Vec<Device>, OnboardError> {
        let own = self.own().ok_or_else(|| OnboardError::Elsewhere { portal: self.nodes() })?;
        let mut devices = Vec::new();
        for guest in machines {
            let spec = self.device_of(own, guest.as_ref()).await?;
            own.devices.add(&spec)?;
            devices.push(self.device(&spec.mac).await?);
        }
        Ok(devices)
    }

    async fn device_of(&self, own: &Own, guest: &Guest) -> Result<DeviceSpec, OnboardError> {
        let machine = guest.name().clone();
        let failed = |source| OnboardError::Guest { machine: guest.name().clone(), source: Box::new(source) };
        let cards = guest.succeed(Command::script(CARDS)).await.map_err(failed)?;
        let mac = cards.lines().map(str::trim).find(|mac| !mac.is_empty());
        let mac = mac.ok_or_else(|| OnboardError::NoCard { machine: machine.clone() })?.to_owned();
        let adapter = Adapter::of(guest).await.map_err(failed)?;
        let config = guest.succeed(adapter.reading()).await.map_err(failed)?;
        let ip = guest.spec().ssh.as_ref().map(|ssh| ssh.addr.ip().to_string());
        let judges = adapter.is_own();
        own.machines.add(machine.to_string(), guest.clone(), adapter);
        Ok(DeviceSpec {
            mac,
            hostname: machine.to_string(),
            domain: String::new(),
            serial: String::new(),
            ip: ip.unwrap_or_default(),
            container: Some(CONTAINER.to_owned()),
            config,
            judges,
        })
    }
}
