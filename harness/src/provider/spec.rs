//! One domain or network, finished: everything decided, nothing left to look up.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::libvirt::xml::Element;
use crate::base::{id::Mac, owner::Owner};

/// A network to be made: what was decided about it is all there is to know.
pub use crate::net::PlannedNet as NetworkSpec;

/// A machine to be made, its paths as the emulator sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainSpec {
    /// Its name in libvirt, which need not be the machine's.
    pub name: String,
    /// Its UUID in libvirt.
    pub uuid: String,
    /// Whose it is; machines in a lab of our own need none.
    pub label: Option<Label>,
    /// Whether the host's processor runs it; translated otherwise.
    pub kvm: bool,
    /// The emulator's machine type, such as `q35` or `pc`.
    pub machine_type: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// What kind of CPUs.
    pub cpu: Cpu,
    /// What is started when it is switched on.
    pub boot: Boot,
    /// SMBIOS strings (type 11), from which guests of our images take their identity.
    pub oem_strings: Vec<String>,
    /// Disks.
    pub disks: Vec<DomainDisk>,
    /// NICs; order defines eth0, eth1, ...
    pub nics: Vec<DomainNic>,
    /// File to which the console is appended.
    pub console: PathBuf,
    /// Its screen and where that is served; absent: it has none.
    #[serde(default)]
    pub screen: Option<Screen>,
    /// Whether files keep their owners: the daemon runs emulators as another user, who is let in otherwise.
    pub keep_owners: bool,
    /// What a person wants to be different: a fragment that is laid over the XML made from all this.
    pub overlay: Option<Element>,
}

/// Whose a domain or network is: written into its metadata, so that it can be found when its owner is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Folder of the prefix.
    pub prefix: PathBuf,
    /// UUID of the prefix.
    pub uuid: String,
    /// Name of the machine or net in the init file.
    pub name: String,
    /// The process that made it.
    pub owner: Owner,
}

/// A screen, served as VNC on a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Screen {
    /// On this one.
    At(PathBuf),
    /// On one of the daemon's own.
    Anywhere,
}

/// What is started when a machine is switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// A kernel from outside the machine.
    Kernel {
        /// Kernel.
        kernel: PathBuf,
        /// Initial RAM disk.
        initrd: Option<PathBuf>,
        /// Kernel command line.
        cmdline: String,
    },
    /// Whatever is on its disks, by SeaBIOS.
    Bios,
    /// Whatever is on its disks, by the UEFI firmware libvirt finds on the host.
    Uefi {
        /// The machine's own variables, made from the firmware's template when there are none.
        nvram: PathBuf,
    },
}

/// What kind of CPUs a machine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// What they can do.
    pub model: CpuModel,
    /// How they are arranged; absent: each a socket of its own.
    pub topology: Option<Topology>,
    /// NUMA cells among which CPUs and memory are divided; one: they are not.
    #[serde(default = "one")]
    pub cells: u32,
}

/// Environments made before there were cells have none.
fn one() -> u32 {
    1
}

/// What CPUs can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuModel {
    /// All that can be had: the host's own, or everything the emulator translates.
    Best,
    /// Exactly what that model can.
    Exact {
        /// The model.
        name: String,
        /// A feature it must have besides.
        feature: Option<String>,
    },
    /// What a person wrote: the `cpu` element.
    Custom(Element),
}

/// How CPUs are arranged; the product is the number of CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Sockets.
    pub sockets: u32,
    /// Cores per socket.
    pub cores: u32,
    /// Threads per core.
    pub threads: u32,
}

/// A disk of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainDisk {
    /// Device name, such as `vda`.
    pub dev: String,
    /// What it is attached to.
    pub bus: Bus,
    /// The image.
    pub path: PathBuf,
    /// The image's format.
    pub format: ImageFormat,
    /// How the machine may use it.
    pub access: Access,
    /// What the guest sees as its serial number.
    pub serial: String,
    /// Its place among what the firmware tries to boot, from 1; absent: the firmware's own order.
    pub boot_order: Option<u32>,
}

/// How a machine may use a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It reads and writes.
    ReadWrite,
    /// It reads.
    ReadOnly,
    /// It reads, as from a CD-ROM.
    Cdrom,
}

/// What a disk is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// virtio-scsi; also for CD-ROMs, because the kernels of cloud images drive no other bus that has them.
    Scsi,
    /// AHCI; for guests without virtio.
    Sata,
    /// IDE; only the machine type `pc` has it.
    Ide,
}

/// As libvirt names it.
impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virtio => "virtio",
            Self::Scsi => "scsi",
            Self::Sata => "sata",
            Self::Ide => "ide",
        })
    }
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
    /// Name in libvirt of the network it is on.
    pub network: String,
    /// Name of the interface at the host's end of its cable.
    pub tap: String,
    /// The card the guest sees, such as `virtio` or `e1000`.
    pub model: String,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
    /// Whether its cable is plugged in when the machine starts.
    pub link_up: bool,
}
