//! What is written down of an environment, so that any process can take it over: `state.json` in its folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{EnvError, error::file, keys::HostKeys, plan::EnvPlan, snapshot::Chains};
use crate::{
    base::{
        id::{MachineName, NetName},
        store::{self, Document},
    },
    net::{Extra, PlannedNic},
};

/// The file, in the environment's folder.
pub(super) const FILE: &str = "state.json";

/// Everything that is not in files of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct EnvState {
    /// Names the environment for good.
    pub(super) uuid: String,
    /// Where it lives.
    pub(super) lab: LabState,
    pub(super) plan: EnvPlan,
    pub(super) host_keys: HostKeys,
    /// Factor by which deadlines are stretched.
    pub(super) factor: f64,
    /// Disk images that were made since the plan, and snapshots.
    pub(super) chains: Chains,
    /// DNS names that were added since the plan, by net.
    #[serde(default)]
    pub(super) names: BTreeMap<NetName, Extra>,
    /// NICs that were attached to machines since those were switched on.
    #[serde(default)]
    pub(super) attached: BTreeMap<MachineName, Vec<PlannedNic>>,
    /// Digests of the deploy scripts that were done on the disks machines have now.
    #[serde(default)]
    pub(super) deployed: BTreeMap<MachineName, BTreeSet<String>>,
    /// Machines their types have set up.
    #[serde(default)]
    pub(super) set_up: BTreeSet<MachineName>,
}

/// Where an environment lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LabState {
    /// In a lab of its own.
    Hermetic {
        /// The lab's folder, while there is one.
        folder: Option<PathBuf>,
    },
    /// On a daemon that is there anyway.
    System {
        /// Where the daemon is reached.
        uri: String,
        /// The environment's folder when it was planned: paths of the plan begin with it.
        folder: PathBuf,
    },
}

impl Document for EnvState {
    const VERSION: u32 = 2;
}

impl EnvState {
    /// That of an environment that was just planned.
    pub(super) fn new(uuid: String, lab: LabState, plan: EnvPlan, host_keys: HostKeys, factor: f64) -> Self {
        Self {
            uuid,
            lab,
            plan,
            host_keys,
            factor,
            chains: Chains::default(),
            names: BTreeMap::new(),
            attached: BTreeMap::new(),
            deployed: BTreeMap::new(),
            set_up: BTreeSet::new(),
        }
    }

    /// Writes it, readable for this user alone: host keys are in it.
    pub(super) fn save(&self, folder: &Path) -> Result<(), EnvError> {
        Ok(store::write(&folder.join(FILE), self)?)
    }

    /// Reads it back.
    pub(super) fn load(folder: &Path) -> Result<Self, EnvError> {
        let path = folder.join(FILE);
        let missing = || file("read", &path)(std::io::ErrorKind::NotFound.into());
        store::read(&path)?.ok_or_else(missing)
    }
}
