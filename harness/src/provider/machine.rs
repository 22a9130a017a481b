//! Providers of machines: whoever makes machines that libvirt does not. What libvirt makes for us in a lab goes another
//! way, because much more can be done with it.

use std::{
    fmt::{self, Debug},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    base::dial::{BoxFuture, Dial, Plain},
    net::PlannedNic,
};

/// How a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// It runs.
    Running,
    /// It is stopped for the time being.
    Paused,
    /// It is off.
    Off,
    /// Its kernel panicked or its emulator died.
    Crashed,
    /// Who makes it does not know it: it was not started yet, or was stopped.
    Absent,
    /// It does not answer, and nothing more can be known.
    Unreachable,
    /// Anything else (shutting down, suspended by the guest).
    Other,
}

/// A machine to be had of a provider, with everything decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineOrder {
    /// Names it among those of all environments, the same for the environment's whole life. It is written down before
    /// the machine is made: by it the provider has to find the machine again, whoever was killed in between.
    pub id: String,
    /// Its name in the init file.
    pub name: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// Its NICs in order. The nets exist in labs: a provider may serve them or not.
    pub nics: Vec<PlannedNic>,
    /// Where the init file says it is reached.
    pub address: Option<IpAddr>,
    /// The port of its ssh server.
    pub port: u16,
    /// Free-form, from the init file.
    pub metadata: Map<String, Value>,
}

impl MachineOrder {
    /// One of which only the id is left.
    pub(crate) fn lost(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: id.to_owned(),
            memory_mib: 0,
            vcpus: 0,
            nics: Vec::new(),
            address: None,
            port: 22,
            metadata: Map::new(),
        }
    }
}

/// What can be done to a machine besides starting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It ends at once. What is needed to start it again may stay until [`remove`](MachineProvider::remove).
    Stop,
    /// It shuts down by itself; that is done when it has.
    Shutdown,
    /// It restarts.
    Reboot,
    /// Its processors are halted.
    Pause,
    /// A paused one goes on.
    Resume,
}

impl Deed {
    /// As in "cannot reboot machines".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Shutdown => "shut down",
            Self::Reboot => "reboot",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a provider is told besides the order.
#[derive(Debug, Clone)]
pub struct ProviderCx {
    /// The environment's folder: a provider may keep files there, named by the order's id. They go with the folder.
    pub folder: PathBuf,
    /// How long it may take. It is not waited longer.
    pub deadline: Duration,
    /// How the machine's address is reached: by way of another machine where the init file says so, else as the provider
    /// says.
    pub dial: Arc<dyn Dial>,
}

/// Why a provider did not do something.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Its machines cannot do that.
    #[error("the vm-provider `{provider}` cannot {what} machines")]
    Unsupported {
        /// The provider.
        provider: String,
        /// What was asked for.
        what: &'static str,
    },
    /// It failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// What comes of asking a provider for something.
pub type Answer<'a, T = ()> = BoxFuture<'a, Result<T, MachineError>>;

/// Makes machines that libvirt does not make, or knows how to reach some that are there anyway; named by `vm-provider`
/// in init files.
///
/// Everything may be asked for twice: starting what runs, stopping what is off and removing what is not there are no
/// failures.
pub trait MachineProvider: Debug + Send + Sync {
    /// What it is called in init files.
    fn name(&self) -> &str;

    /// Whether its machines are gone without it, so that they have to be removed when nobody needs them any more. Suites
    /// only have machines that need not be, or are libvirt's: nothing would remove the others when a suite is killed.
    fn makes(&self) -> bool {
        true
    }

    /// Whether it could make such a machine; asked while everything is still being decided, so it must not act.
    ///
    /// # Errors
    /// Everything that is wrong with the order.
    fn check(&self, order: &MachineOrder) -> Result<(), Vec<String>> {
        let _ = order;
        Ok(())
    }

    /// Makes the machine run; it need not answer yet.
    fn start<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a>;

    /// How it is now.
    fn state<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a, MachineState>;

    /// What else can be done to its machines: it is asked for nothing that is not among this.
    fn deeds(&self) -> &[Deed];

    /// Does one of its deeds.
    fn act<'a>(&'a self, deed: Deed, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a>;

    /// Removes everything that was made for it, where anything was. It is asked for when the environment is destroyed, in case of damage with
    /// nothing of the order left but its id.
    fn remove<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a> {
        self.act(Deed::Stop, order, cx)
    }

    /// How its machines' addresses are reached.
    fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(Plain)
    }
}
