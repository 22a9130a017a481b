//! What goes into a plan and what comes out of it.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::{
    base::id::MachineName,
    image::{Abilities, ImageInfo},
    lab::{Bind, accel::Accel},
    net::PlannedNic,
    provider::spec::{DomainSpec, ImageFormat, NetworkSpec},
};

/// What is known besides the init file.
#[derive(Clone, Copy)]
pub struct PlanInputs<'a> {
    /// Images there are, by the name templates go by.
    pub images: &'a BTreeMap<String, ImageInfo>,
    /// How guests run.
    pub accel: Accel,
    /// Folder of the environment, as seen inside the lab.
    pub lab_env_dir: &'a Path,
    /// The image store, as seen inside the lab.
    pub lab_store_dir: &'a Path,
    /// The image store, as seen outside.
    pub store_root: &'a Path,
    /// The line of `authorized_keys` that lets the harness in.
    pub authorized_key: &'a str,
    /// A private host key for each machine.
    pub host_keys: &'a BTreeMap<MachineName, String>,
}

/// Everything decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvPlan {
    /// The init file it came from.
    pub origin: PathBuf,
    /// Machines in the file's order.
    pub machines: Vec<MachinePlan>,
    /// Networks in the file's order.
    pub nets: Vec<NetworkSpec>,
    /// Files of the host that machines use.
    pub binds: Vec<Bind>,
}

/// A machine with everything decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// Its name.
    pub name: MachineName,
    /// The image of its root disk.
    pub image: Option<String>,
    /// What it can do.
    pub abilities: Abilities,
    /// The domain.
    pub domain: DomainSpec,
    /// Its address on its management net.
    pub management_ip: Option<Ipv4Addr>,
    /// Its NICs in order.
    pub nics: Vec<PlannedNic>,
    /// Disk images to be made for it.
    pub overlays: Vec<OverlayPlan>,
    /// File of its console, relative to the environment's folder.
    pub console: PathBuf,
    /// Guest paths to collect.
    pub artifacts: Vec<String>,
    /// Inventory groups.
    pub groups: Vec<String>,
    /// Free-form.
    pub metadata: Map<String, Json>,
}

/// A disk image to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayPlan {
    /// Its file, relative to the environment's folder.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
    /// What it lies over; absent: nothing.
    pub backing: Option<Backing>,
    /// Its size in bytes; absent: that of what it lies over.
    pub size: Option<u64>,
}

/// What an overlay lies over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// The image, as seen inside the lab.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
}
