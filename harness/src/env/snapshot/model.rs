//! What is known of snapshots and of the images they are made of. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{base::id::MachineName, net::PlannedNic};

/// A moment of an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was taken, in seconds since 1970.
    pub time: u64,
    /// What its maker says of it.
    pub description: String,
    /// The snapshot the environment came from when this one was taken.
    pub parent: Option<String>,
    /// Its machines.
    pub machines: BTreeMap<MachineName, Frozen>,
}

/// A machine in a snapshot. Paths are relative to the environment's folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// The frozen image of each disk, by device.
    pub disks: BTreeMap<String, PathBuf>,
    /// Devices whose frozen image is plain bytes, not qcow2.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub raw: BTreeSet<String>,
    /// The file of its memory, with which it comes back running.
    pub memory: Option<PathBuf>,
    /// NICs it has in its memory that are not of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<PlannedNic>,
    /// Digests of the deploy scripts that were done on its disks.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deployed: BTreeSet<String>,
    /// Whether its type had set it up.
    #[serde(default)]
    pub set_up: bool,
    /// By what it is told that it goes on from its memory, where it was made ready for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<String>,
}

/// The images of an environment's machines: which are written to, which lie over which, which belong to snapshots.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::env) struct Chains {
    /// The image each disk writes to, by machine and device, where it is not that of the plan.
    pub(in crate::env) tops: BTreeMap<MachineName, BTreeMap<String, PathBuf>>,
    /// Images made for snapshots, and what each lies over.
    pub(in crate::env) layers: BTreeMap<PathBuf, PathBuf>,
    /// Snapshots in the order they were taken.
    pub(in crate::env) snapshots: Vec<Snapshot>,
    /// The snapshot the environment came from.
    pub(in crate::env) current: Option<String>,
    /// Counts images, so that no name comes twice.
    pub(in crate::env) serial: u64,
    /// The snapshot that is being taken.
    pub(in crate::env) pending: Option<Pending>,
}

/// What may have happened to images, should nobody have come to say what did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::env) struct Pending {
    /// The images machines were about to move to, by machine and device.
    pub(super) tops: BTreeMap<MachineName, BTreeMap<String, PathBuf>>,
    /// Files of memory.
    pub(super) saves: Vec<PathBuf>,
    /// Machines that run and may be stopped for the moment.
    #[serde(default)]
    pub(super) run: BTreeSet<MachineName>,
    /// Those of them whose file systems may be at rest.
    #[serde(default)]
    pub(super) calm: BTreeSet<MachineName>,
}

impl Chains {
    /// The image a disk writes to, when it is not that of the plan.
    pub(in crate::env) fn top(&self, machine: &MachineName, dev: &str) -> Option<&Path> {
        self.tops.get(machine)?.get(dev).map(PathBuf::as_path)
    }

    /// Whether a snapshot was cut short.
    pub(in crate::env) fn is_unsettled(&self) -> bool {
        self.pending.is_some()
    }

    /// The snapshot of that name.
    pub(super) fn snapshot(&self, name: &str) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.name == name)
    }
}
