//! One domain or network, finished: everything decided, nothing left to look up.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::id::{Mac, MachineName, NetName};

pub(crate) use crate::base::id::uuid;
/// A network to be made: what was decided about it is all there is to know.
pub use crate::net::PlannedNet as NetworkSpec;

/// A machine to be made, its paths as the emulator sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainSpec {
    /// Its name.
    pub name: MachineName,
    /// Whether the host's processor runs it; translated otherwise.
    pub kvm: bool,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// Kernel.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: PathBuf,
    /// Kernel command line.
    pub cmdline: String,
    /// SMBIOS strings (type 11), from which the guest takes its identity.
    pub oem_strings: Vec<String>,
    /// Disks.
    pub disks: Vec<DomainDisk>,
    /// NICs; order defines eth0, eth1, ...
    pub nics: Vec<DomainNic>,
    /// File to which the console is appended.
    pub console: PathBuf,
}

/// A disk of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainDisk {
    /// Device name, such as `vda`.
    pub dev: String,
    /// What it is attached to.
    pub bus: Bus,
    /// The image; written to unless it is a CD-ROM.
    pub path: PathBuf,
    /// The image's format.
    pub format: ImageFormat,
    /// Whether it is a CD-ROM.
    pub cdrom: bool,
}

/// What a disk is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// virtio-scsi; also for CD-ROMs, because the kernels of cloud images drive no other bus that has them.
    Scsi,
}

/// Format of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// Plain bytes.
    Raw,
}

/// As libvirt and `qemu-img` name it.
impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        })
    }
}

/// A NIC of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainNic {
    /// Its Ethernet address.
    pub mac: Mac,
    /// The network it is on.
    pub network: NetName,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
}
