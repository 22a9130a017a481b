//! What a person asked for, checked: the value everything below the init file starts from.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::base::id::{DiskName, Mac, MachineName, NetName};

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

/// Where something stands in an init file, shown as `file:line:column`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as it was named to us; another than [`EnvSpec::origin`] for what an included file says.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One entry of `domains`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Its key.
    pub name: MachineName,
    /// Where its key stands.
    pub at: Place,
    /// Where the values of its own keys stand, by key.
    #[serde(default)]
    pub places: BTreeMap<String, Place>,
    /// Type of machine: `default`, or another that the host knows; chosen when absent. Not checked here.
    pub vm_type: Option<String>,
    /// Who makes it: `local-libvirt`, `ssh`, or one an extension adds; chosen when absent. Not checked here.
    pub provider: Option<String>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// What kind of CPU.
    pub cpu: CpuSpec,
    /// QEMU machine type, such as `q35`.
    pub machine: Option<String>,
    /// What runs before the operating system.
    pub firmware: Firmware,
    /// A kernel to boot instead of what the root disk brings.
    pub boot: Option<KernelBoot>,
    /// What cloud-init is given.
    pub cloud_init: Option<CloudInit>,
    /// An appliance that memory, CPUs and root disk are taken from.
    pub ova: Option<OvaSource>,
    /// Text of domain XML laid over the XML we make, whose root is `domain`.
    pub xml: Option<String>,
    /// Whether it has a screen.
    #[serde(default)]
    pub graphics: bool,
    /// NICs; order defines eth0, eth1, ...
    pub nics: Vec<NicSpec>,
    /// Disks; the first is the root disk.
    pub disks: Vec<DiskSpec>,
    /// Absolute guest paths collected on failure and by `collect`.
    pub artifacts: Vec<String>,
    /// Inventory groups.
    pub groups: Vec<String>,
    /// What it is there for: suites ask for machines by role.
    #[serde(default)]
    pub roles: Vec<String>,
    /// What can be tested with it.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Whether it is waited for until it answers. No init file says it: types of machines do.
    #[serde(default = "yes")]
    pub awaited: bool,
    /// Scripts of the host that `deploy` runs in the guest, in order.
    pub deploy_scripts: Vec<DeployScript>,
    /// Operating system, such as `el8`; the root disk's own word for it when absent.
    pub distro: Option<String>,
    /// Whether the disk is prepared before the first boot.
    pub bootstrap: bool,
    /// Password of root in the guest.
    pub root_password: Option<String>,
    /// Who logs in.
    pub ssh_user: Option<String>,
    /// With which password, if not by key.
    pub ssh_password: Option<String>,
    /// Where it is reached; at its address on a management net when absent.
    #[serde(default)]
    pub ssh_address: Option<IpAddr>,
    /// The port of its ssh server; ssh's own when absent.
    #[serde(default)]
    pub ssh_port: Option<u16>,
    /// File of the private key (absolute); a key made for the environment when absent.
    #[serde(default)]
    pub ssh_key: Option<PathBuf>,
    /// The public key it shows, in OpenSSH's form.
    #[serde(default)]
    pub ssh_host_key: Option<String>,
    /// The machine from which it is reached, where this host does not reach it.
    #[serde(default)]
    pub ssh_jump: Option<String>,
    /// How long it may take until it answers.
    pub boot_time: Option<Duration>,
    /// What manages services in the guest, such as `systemd`; found out when absent.
    pub service_provider: Option<String>,
    /// Service name of the guest agent; found out when absent.
    pub guest_agent: Option<String>,
    /// Whether `export` leaves it out.
    pub skip_export: bool,
    /// Free-form, but for the deploy scripts, which are in [`deploy_scripts`](Self::deploy_scripts).
    pub metadata: Map<String, Json>,
}

const fn yes() -> bool {
    true
}

impl MachineSpec {
    /// Where the value of `key` stands, for messages about it; the machine's own place when the file does not say it.
    #[must_use]
    pub fn place_of(&self, key: &str) -> &Place {
        self.places.get(key).unwrap_or(&self.at)
    }
}

/// A script of the host that `deploy` runs in a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployScript {
    /// The script: absolute, and there when the init file was read.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Whether it is left out once it was done as it is.
    pub once: bool,
}

/// The CPU of a machine. At most one of `model` and `custom` is given; neither: the best the accelerator can do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuSpec {
    /// Exactly this model of libvirt's, such as `Westmere`.
    pub model: Option<String>,
    /// The content of libvirt's `cpu` element: keys with `@` are attributes, `#text` is text, lists repeat elements.
    pub custom: Option<Map<String, Json>>,
    /// How the CPUs are grouped; as many sockets as CPUs when absent.
    pub topology: Option<Topology>,
}

/// How CPUs are grouped; the product is [`MachineSpec::vcpus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Sockets.
    pub sockets: u32,
    /// Cores of a socket.
    pub cores: u32,
    /// Threads of a core.
    pub threads: u32,
}

/// What runs before the operating system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// The PC's own.
    #[default]
    Bios,
    /// UEFI.
    Uefi,
}

/// A kernel that is booted directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelBoot {
    /// The kernel (absolute).
    pub kernel: PathBuf,
    /// Its initial RAM disk (absolute).
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub cmdline: String,
}

/// Documents of cloud-init's NoCloud source, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudInit {
    /// `user-data`.
    pub user_data: Option<String>,
    /// `meta-data`, made for the machine when absent.
    pub meta_data: Option<String>,
    /// `network-config`.
    pub network_config: Option<String>,
}

/// An appliance to import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OvaSource {
    /// Where the archive is: a URL, or an absolute path.
    pub url: String,
}

/// One NIC of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NicSpec {
    /// The net it is on.
    pub net: NetName,
    /// The address asked for; allocated when absent. On a net without a gateway of its own only the last octet counts.
    pub ip: Option<Ipv4Addr>,
    /// The IPv6 address asked for; allocated when absent. On a net whose IPv6 prefix is chosen for it only the last
    /// 64 bits count.
    pub ip6: Option<Ipv6Addr>,
    /// Its Ethernet address; made from the IP address when absent.
    pub mac: Option<Mac>,
    /// Device model, such as `e1000`; virtio when absent.
    pub model: Option<String>,
    /// MTU in bytes; that of its net when absent.
    pub mtu: Option<u32>,
    /// VLANs of the port it is plugged into.
    pub vlan: Option<VlanSpec>,
    /// How good its link is at first.
    pub link: LinkSpec,
    /// Its names in DNS instead of those every NIC gets.
    pub dns: Option<Vec<String>>,
}

/// VLANs of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VlanSpec {
    /// Untagged towards the machine, in this VLAN.
    Access(u16),
    /// Tagged, these VLANs and no other.
    Trunk(Vec<u16>),
}

/// Properties of a link; the default is a perfect one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// Whether the cable is plugged in.
    pub up: bool,
    /// Delay of each packet in milliseconds.
    pub delay_ms: u32,
    /// By how much the delay varies, in milliseconds.
    pub jitter_ms: u32,
    /// Packets lost, in per cent.
    pub loss_percent: f64,
    /// Packets that come twice, in per cent.
    pub duplicate_percent: f64,
    /// Packets with a wrong bit, in per cent.
    pub corrupt_percent: f64,
    /// The most it carries, in kbit/s; absent: no limit.
    pub rate_kbit: Option<u32>,
}

impl Default for LinkSpec {
    fn default() -> Self {
        Self {
            up: true,
            delay_ms: 0,
            jitter_ms: 0,
            loss_percent: 0.0,
            duplicate_percent: 0.0,
            corrupt_percent: 0.0,
            rate_kbit: None,
        }
    }
}

/// One disk of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// Name, used in file names and messages.
    pub name: DiskName,
    /// Where its template's name stands, for other disks the disk.
    pub at: Place,
    /// Guest device such as `vda`.
    pub dev: String,
    /// How it is attached; absent: virtio for `vd*`, virtio-scsi for `sd*` and for CD-ROMs.
    pub bus: Option<DiskBus>,
    /// Serial number the guest sees.
    pub serial: Option<String>,
    /// Its turn among what the firmware tries to boot, counted from 1.
    pub boot: Option<u32>,
    /// Image format of the file the machine uses.
    pub format: DiskFormat,
    /// What it is made from.
    pub source: DiskSource,
    /// The file with the recipe of the image it is made from (absolute); the image is called like the file.
    #[serde(default)]
    pub recipe: Option<PathBuf>,
    /// What is known about its contents, such as `root-partition`.
    pub metadata: Map<String, Json>,
    /// Steps that change its contents before the first boot, as written: they mean something to whoever carries them out.
    pub build: Vec<Json>,
    /// Where relative paths in them start (absolute).
    #[serde(default)]
    pub build_folder: PathBuf,
    /// Whether `export` leaves it out.
    pub skip_export: bool,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskBus {
    /// A virtio block device.
    Virtio,
    /// A disk of a virtio SCSI controller.
    Scsi,
    /// A disk of a SATA controller.
    Sata,
    /// A disk of an IDE controller, which only old machine types have.
    Ide,
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
        /// Its version; the newest when absent.
        version: Option<String>,
    },
    /// An overlay on an existing qcow2 image, which may itself lie over a template.
    Qcow2 {
        /// The image (absolute).
        path: PathBuf,
    },
    /// An empty disk.
    Empty {
        /// Size in bytes.
        size: u64,
    },
    /// An existing file, or one to be downloaded; at least one of `path` and `url` is there.
    File {
        /// The file (absolute). It was there when the init file was read, unless there is a `url` to fetch it from.
        path: Option<PathBuf>,
        /// Where to download it from.
        url: Option<String>,
        /// Whether the machine gets a copy of its own; else it writes to an overlay. CD-ROMs are never written to.
        copy: bool,
    },
}

/// One entry of `nets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetSpec {
    /// Its key.
    pub name: NetName,
    /// Where its key stands.
    pub at: Place,
    /// Where the values of its own keys stand, by key.
    #[serde(default)]
    pub places: BTreeMap<String, Place>,
    /// How it is connected.
    pub kind: NetKind,
    /// Whether machines are reached on it and DNS is served on it. Decided: some net always is.
    pub management: bool,
    /// Whether it reaches beyond the host.
    pub internet: bool,
    /// Whether it has IPv4 at all; else `ipv6` is not [`Ipv6Spec::Off`].
    pub ipv4: bool,
    /// The gateway asked for; decides the subnet.
    pub gateway: Option<Ipv4Addr>,
    /// Length of the IPv4 prefix; 24 unless `gateway` came with another.
    pub prefix_len: u8,
    /// Its IPv6.
    pub ipv6: Ipv6Spec,
    /// Dynamic range as last octets; absent: no DHCP, addresses are given to the guests statically.
    pub dhcp: Option<DhcpRange>,
    /// DNS domain of a management net.
    pub dns_domain: Option<String>,
    /// Extra DNS records of a management net.
    pub dns_records: BTreeMap<String, IpAddr>,
    /// Whether it is the management net that answers for the others.
    pub main_dns: bool,
    /// Who answers what the net itself cannot; chosen when absent.
    pub dns_forward: Option<IpAddr>,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
}

/// IPv6 of a net.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6Spec {
    /// None.
    #[default]
    Off,
    /// A private /64 is chosen for it.
    Auto,
    /// As asked.
    Given(Ipv6Net),
}

/// An IPv6 subnet and its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Net {
    /// The gateway's address: the first of the subnet when only the subnet was given.
    pub gateway: Ipv6Addr,
    /// Length of the prefix.
    pub prefix_len: u8,
}

/// Last octets of a DHCP range, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpRange {
    /// First.
    pub start: u8,
    /// Last.
    pub end: u8,
}

impl NetSpec {
    /// Where the value of `key` stands, for messages about it; the net's own place when the file does not say it.
    #[must_use]
    pub fn place_of(&self, key: &str) -> &Place {
        self.places.get(key).unwrap_or(&self.at)
    }
}

/// How a network is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetKind {
    /// Leads out as far as the lab lets it; nets of an environment do not reach one another.
    Nat,
    /// Reaches nothing but its own members and its gateway address.
    Isolated,
    /// A bridge and nothing more: ours, or one that exists already under that name.
    Bridge,
}
