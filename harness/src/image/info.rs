//! What a finished image is and can do: the value everyone else gets.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Something a guest of an image can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Runs commands over ssh.
    Ssh,
    /// Has the sftp subsystem.
    Sftp,
    /// Answers the QEMU guest agent protocol.
    Agent,
    /// The agent may run commands (`guest-exec`).
    AgentExec,
    /// Has systemd units.
    Units,
    /// Has a systemd journal.
    Journal,
    /// Can reboot and come back.
    Reboot,
    /// Lets somebody in on its serial console.
    Console,
    /// Takes its identity (host name, keys, addresses) from SMBIOS strings before services start.
    Identity,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssh => "ssh",
            Self::Sftp => "sftp",
            Self::Agent => "guest agent",
            Self::AgentExec => "commands over the guest agent",
            Self::Units => "systemd units",
            Self::Journal => "a systemd journal",
            Self::Reboot => "reboot",
            Self::Console => "a console that lets somebody in",
            Self::Identity => "identity from SMBIOS",
        })
    }
}

/// The abilities of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Abilities(pub BTreeSet<Ability>);

impl Abilities {
    /// Whether `ability` is among them.
    #[must_use]
    pub fn has(&self, ability: Ability) -> bool {
        self.0.contains(&ability)
    }

    /// Refuses, before anything is done, what the image cannot do.
    ///
    /// # Errors
    /// [`Unsupported`] naming the image and the ability.
    pub fn require(&self, image: &str, ability: Ability) -> Result<(), Unsupported> {
        if self.has(ability) { Ok(()) } else { Err(Unsupported { image: image.to_owned(), ability }) }
    }
}

/// An image was asked for something it cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image `{image}` does not have {ability}")]
pub struct Unsupported {
    /// The image's name.
    pub image: String,
    /// What is missing.
    pub ability: Ability,
}

/// A built image: a folder with a read-only root disk, a kernel and an initrd, and this description (`image.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Name, such as `debian12`.
    pub name: String,
    /// Digest of the recipe and everything that went into it; the cache key.
    pub digest: String,
    /// The image's folder.
    pub dir: PathBuf,
    /// Root disk (qcow2, an ext4 file system without partition table), relative to `dir`.
    pub disk: PathBuf,
    /// Size of the root disk in bytes, as the guest sees it.
    pub disk_size: u64,
    /// Kernel, relative to `dir`.
    pub kernel: PathBuf,
    /// Initial RAM disk, relative to `dir`.
    pub initrd: PathBuf,
    /// Kernel command line; the machine's own parameters are appended.
    pub cmdline: String,
    /// Least memory in MiB with which it boots.
    pub min_memory_mib: u32,
    /// What its guests can do.
    pub abilities: Abilities,
}
