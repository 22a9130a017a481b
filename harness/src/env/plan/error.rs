//! Why an environment cannot be as asked.

use std::path::PathBuf;

use crate::{
    base::id::{DiskName, MachineName},
    image::info::Unsupported,
    initfile::spec::Place,
    net::NetError,
};

/// Every reason at once; never empty.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PlanErrors(pub Vec<PlanError>);

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A template that is no image.
    #[error("{at}: there is no image `{image}`; {help}")]
    UnknownImage {
        /// Where it is named.
        at: Place,
        /// What is named.
        image: String,
        /// What there is.
        help: String,
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
    /// There is nothing to boot.
    #[error(
        "{at}: the first disk of machine `{machine}` must be of type `template`: it is what the machine boots"
    )]
    NoRootDisk {
        /// The machine's place.
        at: Place,
        /// The machine.
        machine: MachineName,
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
    /// No host key was made for a machine.
    #[error("there is no host key for machine `{machine}`")]
    NoHostKey {
        /// The machine.
        machine: MachineName,
    },
    /// The networks cannot be as asked.
    #[error("{}: {error}", file.display())]
    Net {
        /// The init file.
        file: PathBuf,
        /// Why.
        error: NetError,
    },
}
