//! What goes into a plan and what comes out of it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::{
    base::id::{DiskName, MachineName},
    image::{Abilities, ImageInfo, Seed},
    initfile::spec::{DeployScript, Place},
    lab::{Bind, View, accel::Accel},
    net::{PlannedNic, Scope},
    provider::{
        MachineOrder, MachineProvider,
        libvirt::Cpus,
        spec::{DomainSpec, ImageFormat, Label, NetworkSpec},
    },
    sysprep::{Action, Found, Step},
    template::TemplateDisk,
};

/// Who logs in where nobody else is named.
pub const ROOT: &str = "root";
/// The type of machines that are of no other.
pub const TYPE: &str = "default";
/// Where ssh servers listen that do not say it.
pub const SSH: u16 = 22;
/// What kernels of our images are told so that they panic at SysRq on the keyboard and at an NMI, which come when nothing else
/// is heard; and where they are translated, so that their clocks go by a device of the emulator. The counter of the processor is
/// the host's there: a kernel that measures it while the host has much to do is wrong by up to a factor of five, and when a
/// machine goes back to what it was, the counter alone does not.
pub(super) fn told(accel: Accel) -> &'static str {
    match accel {
        Accel::Kvm => "sysrq_always_enabled unknown_nmi_panic",
        Accel::Tcg => "sysrq_always_enabled unknown_nmi_panic tsc=unstable",
    }
}
/// The provider of machines that libvirt makes.
pub const LOCAL: &str = "local-libvirt";

/// What is known besides the init file.
#[derive(Clone, Copy)]
pub struct PlanInputs<'a> {
    /// How paths of the host look to the emulator.
    pub view: &'a View,
    /// How guests run.
    pub accel: Accel,
    /// The CPU models there are.
    pub cpus: &'a Cpus,
    /// UUID of the environment, 32 hexadecimal digits.
    pub uuid: &'a str,
    /// Where the nets are made, and what is free there; names of machines are made as distinct as those of nets.
    pub scope: &'a Scope,
    /// Whose everything is, in a lab shared with others; `name` is filled in.
    pub owner: Option<&'a Label>,
    /// Images of ours there are, by the name templates go by.
    pub images: &'a BTreeMap<String, ImageInfo>,
    /// Their store on the host.
    pub image_store: &'a Path,
    /// Templates of repositories that are there, by name and version as the init file says them. They win over images.
    pub templates: &'a BTreeMap<(String, Option<String>), TemplateDisk>,
    /// Their store on the host.
    pub template_store: &'a Path,
    /// Names of all templates of the repositories, for suggestions.
    pub template_names: &'a [String],
    /// Files that were downloaded, by URL.
    pub downloads: &'a BTreeMap<String, PathBuf>,
    /// Everything images lie over, for those that lie over something. Of links, first what they lead to.
    pub backing: &'a BTreeMap<PathBuf, Vec<PathBuf>>,
    /// What is on foreign disks, by their images.
    pub found: &'a BTreeMap<PathBuf, Found>,
    /// What distinguishes the contents of files of the host: of what is changed by `build`, and of what goes in there.
    pub prints: &'a BTreeMap<PathBuf, String>,
    /// The line of `authorized_keys` that lets the harness in.
    pub authorized_key: &'a str,
    /// A private host key for each machine.
    pub host_keys: &'a BTreeMap<MachineName, String>,
    /// Types of machines there are.
    pub vm_types: &'a [&'a str],
    /// Who makes machines that libvirt does not.
    pub providers: &'a [Arc<dyn MachineProvider>],
    /// What manages services in machines, by name.
    pub service_managers: &'a [&'a str],
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
    /// What is asked for and does nothing here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Something of an init file that is worth knowing and stops nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Where it stands.
    pub at: Place,
    /// What is to be known.
    pub message: String,
}

/// On one line, as problems of init files are.
impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: warning: {}", self.at, self.message)
    }
}

/// A machine with everything decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachinePlan {
    /// Its name.
    pub name: MachineName,
    /// Its type.
    pub vm_type: String,
    /// Who makes it.
    pub provider: String,
    /// The domain, if libvirt makes it.
    pub domain: Option<DomainSpec>,
    /// What its provider is to make, if somebody else makes it.
    #[serde(default)]
    pub order: Option<MachineOrder>,
    /// The image or template of its root disk.
    pub image: Option<String>,
    /// Its operating system, such as `el8`, as far as it was said.
    pub distro: Option<String>,
    /// What it can do.
    pub abilities: Abilities,
    /// Who tells it its name, keys and addresses.
    pub identity: IdentityFrom,
    /// How, and why in this way, where there was a choice.
    #[serde(default)]
    pub told: Option<String>,
    /// Who logs in.
    pub login: Login,
    /// Its address on its management net.
    pub management_ip: Option<IpAddr>,
    /// Its NICs in order.
    pub nics: Vec<PlannedNic>,
    /// Its disks: those of the domain, in the same order.
    pub disks: Vec<DiskPlan>,
    /// File of its console, relative to the environment's folder.
    pub console: PathBuf,
    /// How long it may take until it answers.
    pub boot_time: Option<Duration>,
    /// Guest paths to collect.
    pub artifacts: Vec<String>,
    /// Inventory groups.
    pub groups: Vec<String>,
    /// What it is there for.
    #[serde(default)]
    pub roles: Vec<String>,
    /// What can be tested with it.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Whether it is waited for until it answers.
    #[serde(default = "yes")]
    pub awaited: bool,
    /// Scripts of the host that are run in it, in order.
    pub deploy_scripts: Vec<DeployScript>,
    /// What manages its services; found out when absent.
    pub service_provider: Option<String>,
    /// Service name of its guest agent; found out when absent.
    pub guest_agent: Option<String>,
    /// Whether `export` leaves it out.
    pub skip_export: bool,
    /// Free-form.
    pub metadata: Map<String, Json>,
}

/// Who tells a machine who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityFrom {
    /// SMBIOS strings, which our own images read.
    Smbios,
    /// A seed for cloud-init.
    CloudInit,
    /// Files on its disk, written before its first boot.
    Disk,
    /// Nobody: it has the host keys it has.
    Itself,
}

const fn yes() -> bool {
    true
}

const fn ssh() -> u16 {
    SSH
}

/// Who logs in to a machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password, should the key not do.
    pub password: Option<String>,
    /// The port of its ssh server.
    #[serde(default = "ssh")]
    pub port: u16,
    /// File of the key to log in with, if it is not the environment's.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The public key it shows, where the init file says it.
    #[serde(default)]
    pub host_key: Option<String>,
    /// The machine from which it is reached, where this host does not reach it.
    #[serde(default)]
    pub jump: Option<String>,
    /// Password of root.
    pub root_password: Option<String>,
}

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskPlan {
    /// Its name.
    pub name: DiskName,
    /// Its device.
    pub dev: String,
    /// The template it lies over and its version, if there is one.
    pub template: Option<(String, Option<String>)>,
    /// The template that what it lies over lies over in turn, as `TEMPLATE:VERSION`, and its image.
    #[serde(default)]
    pub base: Option<(String, Backing)>,
    /// The image to be made for it; absent: it is used as it is.
    pub image: Option<ImagePlan>,
    /// What is known about its contents.
    pub metadata: Map<String, Json>,
    /// The layer it lies over that steps of `build` made.
    #[serde(default)]
    pub layer: Option<LayerPlan>,
    /// Changes of its files before the first boot that make its machine itself.
    #[serde(default)]
    pub bootstrap: Option<Bootstrap>,
    /// Steps of `build` that are this disk's own, after them.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Whether `export` leaves it out.
    pub skip_export: bool,
}

/// An image that steps of `build` make of another one: the same for all disks that ask for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// Names it in the store.
    pub digest: String,
    /// What it lies over, on the host.
    pub base: Backing,
    /// The steps.
    pub steps: Vec<Step>,
}

/// What is written onto a disk so that its machine is itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Where the ext file system for it begins, in bytes; absent: only `virt-customize` can do it.
    pub file_system: Option<u64>,
    /// What is changed.
    pub actions: Vec<Action>,
}

/// A disk image to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlan {
    /// Its file, relative to the environment's folder.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
    /// What it is made from.
    pub made: Made,
}

/// What a disk image is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// It lies over an image, which is never written to.
    Over(Backing),
    /// It is a copy of an image, with everything that one lies over.
    Copy(Backing),
    /// Nothing.
    Empty {
        /// Its size in bytes.
        size: u64,
    },
    /// Documents for cloud-init.
    Seed(Seed),
}

/// An image other ones are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// The image, as the emulator sees it.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
}

/// Passwords stay out of logs.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}
