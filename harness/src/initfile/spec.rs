//! What a person asked for, checked: the value everything below the init file starts from.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::id::{DiskName, MachineName, NetName};

/// An init file, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// The file it came from.
    pub origin: PathBuf,
    /// Machines in the file's order.
    pub machines: Vec<MachineSpec>,
    /// Networks in the file's order.
    pub nets: Vec<NetSpec>,
}

/// Where something stands in the init file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// One entry of `domains`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Its key.
    pub name: MachineName,
    /// Where its key stands.
    pub at: Place,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// NICs; order defines eth0, eth1, ...
    pub nics: Vec<NicSpec>,
    /// Disks; the first is the root disk.
    pub disks: Vec<DiskSpec>,
    /// Absolute guest paths collected on failure and by `collect`.
    pub artifacts: Vec<String>,
    /// Inventory groups.
    pub groups: Vec<String>,
    /// Free-form.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// One NIC of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NicSpec {
    /// The net it is on.
    pub net: NetName,
    /// The address asked for; allocated when absent. On a net without a gateway of its own only the last octet counts.
    pub ip: Option<Ipv4Addr>,
}

/// One disk of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// Name, used in file names and messages.
    pub name: DiskName,
    /// Where its template's name stands, for other disks the disk.
    pub at: Place,
    /// Guest device such as `vda`; `sd*` selects virtio-scsi, `hd*` is for CD-ROMs.
    pub dev: String,
    /// Image format of the file the machine uses.
    pub format: DiskFormat,
    /// What it is made from.
    pub source: DiskSource,
}

/// Disk image formats of the init file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// Plain bytes.
    Raw,
    /// A CD-ROM image.
    Iso,
}

/// Where a disk comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskSource {
    /// An overlay on a named image.
    Template {
        /// The image's name.
        name: String,
    },
    /// An empty disk.
    Empty {
        /// Size in bytes.
        size: u64,
    },
    /// An existing file (absolute); machines write to an overlay, never to the file.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// One entry of `nets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetSpec {
    /// Its key.
    pub name: NetName,
    /// Where its key stands.
    pub at: Place,
    /// How it is connected.
    pub kind: NetKind,
    /// Whether machines are reached on it and DNS is served on it. Decided: some net always is.
    pub management: bool,
    /// Dynamic range as last octets; absent: no DHCP, addresses are given to the guests statically.
    pub dhcp: Option<DhcpRange>,
    /// The gateway asked for; decides the /24.
    pub gateway: Option<Ipv4Addr>,
    /// DNS domain of a management net.
    pub dns_domain: Option<String>,
    /// Extra DNS records of a management net.
    pub dns_records: BTreeMap<String, Ipv4Addr>,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
}

/// Last octets of a DHCP range, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpRange {
    /// First.
    pub start: u8,
    /// Last.
    pub end: u8,
}

/// How a network is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetKind {
    /// Leads out through the lab, as far as that has a way out; nets of an environment do not reach one another.
    Nat,
    /// Reaches nothing but its own members and its gateway address.
    Isolated,
}
