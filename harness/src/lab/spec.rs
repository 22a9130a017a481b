//! What a lab is made from: a finished value the owner hands to the warden.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::paths::INSIDE_ENV;

/// A boundary and what runs in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabSpec {
    /// What runs inside.
    pub payload: Payload,
    /// Folder of the environment, seen inside at [`INSIDE_ENV`] and kept when the lab ends; absent: one in the lab's
    /// own folder, which goes with it.
    pub env: Option<PathBuf>,
    /// Files and folders of the host that are seen inside, besides everything that is not hidden.
    pub binds: Vec<Bind>,
}

impl LabSpec {
    /// Everything of the host that is seen inside at another place, in the order of mounting.
    pub(super) fn all_binds(&self) -> Vec<Bind> {
        let env =
            self.env.iter().map(|from| Bind { from: from.clone(), to: INSIDE_ENV.into(), writable: true });
        env.chain(self.binds.iter().cloned()).collect()
    }

    /// Every path of the host it names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let payload = match &self.payload {
            Payload::Libvirtd { capability_cache, .. } => Some(capability_cache),
            Payload::Command { log, .. } => log.as_ref(),
        };
        let all = payload.into_iter().chain(&self.env).chain(self.binds.iter().map(|bind| &bind.from));
        all.map(PathBuf::as_path)
    }
}

/// What runs inside a boundary.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Payload {
    /// A private libvirt daemon in a network namespace of its own.
    Libvirtd {
        /// Whether `/dev/kvm` is visible to it.
        kvm: bool,
        /// Folder that keeps the emulator's capabilities between labs that see `/dev/kvm` alike.
        capability_cache: PathBuf,
        /// Whether it has a way to where the host leads.
        way_out: bool,
    },
    /// One command with the host's network; the lab ends when it does.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Its environment, added to a minimal one.
        env: Vec<(String, String)>,
        /// File (outside) for its output; absent: files in the lab's own folder, errors apart.
        log: Option<PathBuf>,
        /// Whether it gets a network namespace of its own, with nothing in it, and an empty `/run`.
        offline: bool,
    },
}

/// A file or folder of the host, seen inside at another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the host.
    pub from: PathBuf,
    /// Inside the lab.
    pub to: PathBuf,
    /// Whether it may be written.
    pub writable: bool,
}
