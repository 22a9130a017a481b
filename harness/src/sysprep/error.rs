//! What can go wrong with preparing disks.

use std::{io, path::PathBuf};

use crate::base::process::ProcessError;

/// A disk could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SysprepError {
    /// The program that changes any disk is not there.
    #[error(
        "`virt-customize` is needed and not installed; it is in the package `guestfs-tools` (`libguestfs-tools` in older releases)"
    )]
    NoTool,
    /// It ran and failed.
    #[error("`virt-customize` failed on {} (status {status}): {tail}", image.display())]
    Customize {
        /// The image.
        image: PathBuf,
        /// Its exit status, 128 and more for a signal.
        status: i32,
        /// The end of what it said.
        tail: String,
    },
    /// The file system is not as it should be.
    #[error("the file system of {} cannot be {what}: {said}", image.display())]
    FileSystem {
        /// The image.
        image: PathBuf,
        /// What was tried, such as `changed`.
        what: &'static str,
        /// What was said.
        said: String,
    },
    /// Something that has to be on the disk is not.
    #[error("on {} there is no {what}", image.display())]
    Missing {
        /// The image.
        image: PathBuf,
        /// What, and where it should be.
        what: String,
    },
    /// A file of the host.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// A verb, such as `read`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program that is always there.
    #[error(transparent)]
    Process(#[from] ProcessError),
}
