//! The machine around a guest, as libvirt sees it: its serial console, and why nothing inside can answer.

use std::{io, time::Duration};

use tokio::net::UnixStream;

use super::site::{Ground, Site};
use crate::{
    base::dial::BoxFuture,
    guest::{MachinePort, Standstill},
    provider::MachineState,
};

/// One domain.
#[derive(Debug)]
pub(super) struct LibvirtMachine {
    site: Site,
    domain: String,
}

impl LibvirtMachine {
    pub(super) fn new(site: Site, domain: String) -> Self {
        Self { site, domain }
    }
}

impl MachinePort for LibvirtMachine {
    fn console(&self, limit: Duration) -> BoxFuture<'_, io::Result<UnixStream>> {
        Box::pin(async move {
            let running = self.site.running().map_err(io::Error::other)?;
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            running.connection.console(&self.domain, theirs, limit).await.map_err(io::Error::other)?;
            ours.set_nonblocking(true)?;
            UnixStream::from_std(ours)
        })
    }

    fn standstill(&self, limit: Duration) -> BoxFuture<'_, Option<Standstill>> {
        Box::pin(async move {
            let running = match self.site.ground() {
                Ground::Up(running) => running,
                Ground::Down => return Some(Standstill::Off),
                Ground::Broken { .. } => return None,
            };
            // On a connection of its own: a daemon that does not answer in this time may do so to others.
            let own = running.connection.another(limit).await.ok()?;
            match own.domain_state(&self.domain, limit).await.ok()? {
                MachineState::Paused => Some(Standstill::Paused),
                MachineState::Off | MachineState::Absent => Some(Standstill::Off),
                MachineState::Crashed => Some(Standstill::Crashed),
                MachineState::Running | MachineState::Unreachable | MachineState::Other => None,
            }
        })
    }
}
