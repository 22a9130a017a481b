//! Why an environment cannot be as asked.

use std::path::PathBuf;

use crate::{
    base::id::{DiskName, MachineName, NetName},
    image::info::Unsupported,
    initfile::spec::Place,
    net::NetError,
    provider::{libvirt::xml::XmlError, spec::Bus},
};

/// Every reason at once; never empty.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PlanErrors(pub Vec<PlanError>);

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A name that stands for nothing there is.
    #[error("{at}: there is no {what} `{name}`; {help}")]
    Unknown {
        /// Where it is named, or the machine's place.
        at: Place,
        /// What should be of that name.
        what: &'static str,
        /// The name.
        name: String,
        /// What there is.
        help: String,
    },
    /// A file that is to be a recipe and is none.
    #[error("{at}: {why}")]
    BadRecipe {
        /// The disk's place.
        at: Place,
        /// The file, and what is wrong with it.
        why: String,
    },
    /// An image outside the store, which is all of it a lab sees.
    #[error("the image `{image}` is at {}, outside the store", dir.display())]
    OutsideStore {
        /// The image.
        image: String,
        /// Its folder.
        dir: PathBuf,
    },
    /// The image does not boot with so little.
    #[error(
        "{at}: machine `{machine}` has {memory_mib} MiB of memory, the image `{image}` needs {needed_mib}"
    )]
    TooLittleMemory {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// What it has.
        memory_mib: u32,
        /// Its image.
        image: String,
        /// What the image needs.
        needed_mib: u32,
    },
    /// The host cannot give labs a way out.
    #[error(
        "{at}: `internet` needs the program `pasta`, which is not installed; install the package `passt`"
    )]
    NoWayOut {
        /// Where it is asked for.
        at: Place,
    },
    /// A net's subnet is the one by which the lab leads out.
    #[error(
        "{at}: the subnet of the net `{net}` is needed for the `internet` of the net `{asking}`; take another one"
    )]
    OnTheWayOut {
        /// The gateway's place.
        at: Place,
        /// The net.
        net: NetName,
        /// A net that is to lead out.
        asking: NetName,
    },
    /// There is nothing to boot.
    #[error("{at}: machine `{machine}` has nothing to boot: give it a disk that is not empty, or a `kernel`")]
    NothingToBoot {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
    },
    /// One of our images cannot be booted by firmware.
    #[error(
        "{at}: machine `{machine}` asks for UEFI, but the image `{image}` has no boot loader: its kernel is started directly"
    )]
    NoBootLoader {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// Its image.
        image: String,
    },
    /// The initrd of one of our images cannot find its disk.
    #[error(
        "{at}: the image `{image}` of machine `{machine}` has no driver for the bus `{bus}`; use `virtio` or `scsi`"
    )]
    NoDriver {
        /// The disk's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// Its image.
        image: String,
        /// The bus.
        bus: Bus,
    },
    /// The image cannot do what every machine must.
    #[error("{at}: machine `{machine}` cannot be made: {error}")]
    Unsupported {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// What the image cannot do.
        error: Unsupported,
    },
    /// A disk that has to be downloaded first.
    #[error("{at}: the file of the disk `{disk}` has not been downloaded")]
    NotFetched {
        /// The disk's place.
        at: Place,
        /// The disk.
        disk: DiskName,
    },
    /// A bus its machine type does not have.
    #[error("{at}: a machine of type `{machine_type}` has no bus `{bus}` for the disk `{disk}`; {help}")]
    NoBus {
        /// The disk's place.
        at: Place,
        /// The disk.
        disk: DiskName,
        /// The bus.
        bus: Bus,
        /// The machine type.
        machine_type: String,
        /// What to do.
        help: &'static str,
    },
    /// No device name is left for the seed.
    #[error("{at}: machine `{machine}` has no device name left for the disk that cloud-init reads")]
    NoDeviceLeft {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
    },
    /// Steps of a disk that cannot be carried out.
    #[error("{at}: the disk `{disk}` of machine `{machine}` cannot be built: {why}")]
    BadBuild {
        /// The disk's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// The disk.
        disk: DiskName,
        /// Everything wrong with it.
        why: String,
    },
    /// A CPU written out by hand that is no XML.
    #[error("{at}: the CPU of machine `{machine}` cannot be made: {why}")]
    BadCpu {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// Why.
        why: String,
    },
    /// A password that nobody could type.
    #[error(
        "{at}: a password of machine `{machine}` cannot be set: it is empty or has control characters in it"
    )]
    BadPassword {
        /// Where it stands.
        at: Place,
        /// The machine.
        machine: MachineName,
    },
    /// A user whom no system would have.
    #[error(
        "{at}: `{user}` cannot be the name of a user of machine `{machine}`; use letters, digits, `_`, `-` and `.`"
    )]
    BadUser {
        /// Where it stands.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// The name.
        user: String,
    },
    /// A fragment of XML that cannot be laid over ours.
    #[error("{at}: the XML of machine `{machine}` cannot be laid over ours: {error}")]
    BadOverlay {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// Why.
        error: XmlError,
    },
    /// A machine cannot be had of its provider.
    #[error("{at}: machine `{machine}` cannot be had of the vm-provider `{provider}`: {what}")]
    Refused {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// The provider.
        provider: String,
        /// What is wrong.
        what: String,
    },
    /// A machine that does not go with its type.
    #[error("{at}: machine `{machine}` is no `{vm_type}`: {what}")]
    WrongType {
        /// Where its type is named.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// Its type.
        vm_type: String,
        /// What is wrong.
        what: String,
    },
    /// More machines of a type than there can be.
    #[error("{at}: machine `{machine}` is one `{vm_type}` too many: an environment has at most {most}")]
    TooMany {
        /// Where its type is named.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// Its type.
        vm_type: String,
        /// How many there can be.
        most: usize,
    },
    /// A key to log in with that cannot be used.
    #[error("{at}: machine `{machine}` cannot be logged in to: {why}")]
    BadKey {
        /// Where the key is named.
        at: Place,
        /// The machine.
        machine: MachineName,
        /// Why it cannot be used.
        why: String,
    },
    /// No host key was made for a machine.
    #[error("there is no host key for machine `{machine}`")]
    NoHostKey {
        /// The machine.
        machine: MachineName,
    },
    /// The networks cannot be as asked.
    #[error("{at}: {error}")]
    Net {
        /// The place of the net or machine.
        at: Place,
        /// Why.
        error: Box<NetError>,
    },
}

impl PlanError {
    /// Where in the init file it stands.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Unknown { at, .. }
            | Self::BadRecipe { at, .. }
            | Self::TooLittleMemory { at, .. }
            | Self::NoWayOut { at }
            | Self::OnTheWayOut { at, .. }
            | Self::NothingToBoot { at, .. }
            | Self::NoBootLoader { at, .. }
            | Self::NoDriver { at, .. }
            | Self::Unsupported { at, .. }
            | Self::NotFetched { at, .. }
            | Self::NoBus { at, .. }
            | Self::NoDeviceLeft { at, .. }
            | Self::BadBuild { at, .. }
            | Self::BadCpu { at, .. }
            | Self::BadPassword { at, .. }
            | Self::BadUser { at, .. }
            | Self::BadOverlay { at, .. }
            | Self::Refused { at, .. }
            | Self::WrongType { at, .. }
            | Self::TooMany { at, .. }
            | Self::BadKey { at, .. }
            | Self::Net { at, .. } => Some(at),
            Self::OutsideStore { .. } | Self::NoHostKey { .. } => None,
        }
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn message(&self) -> String {
        let whole = self.to_string();
        let place = self.place().map(|at| format!("{at}: ")).unwrap_or_default();
        whole.strip_prefix(&place).map_or(whole.clone(), str::to_owned)
    }
}

/// What is said of a name that stands for nothing: the one that was meant, or all there are.
pub(super) fn help<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    match crate::base::text::did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("there are {}", known.join(", ")),
    }
}
