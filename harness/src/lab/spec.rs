//! What a lab is made from: a finished value the owner hands to the warden.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A boundary and what runs in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabSpec {
    /// What runs inside.
    pub payload: Payload,
    /// Files and folders of the host that are seen inside, besides everything that is not hidden.
    pub binds: Vec<Bind>,
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
    },
    /// One command with the host's network; the lab ends when it does.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Its environment, added to a minimal one.
        env: Vec<(String, String)>,
        /// File (outside) for its output.
        log: PathBuf,
        /// Whether it gets a network namespace of its own, with nothing in it.
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
