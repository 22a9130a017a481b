//! Files from the disks of a machine that does not run or does not answer, without the machine, root or a mount: images
//! are read as they lie there, ext2, ext3 and ext4 on them too, with what their journals still hold; for everything else
//! there is `guestfish`, where it is installed. Nothing is written.

mod copy;
mod disk;
mod ext;
mod extract;
mod guestfish;
mod partitions;
mod tree;

pub use disk::Disk;
pub use disk::DiskFormat;
pub use extract::OfflineError;
pub use extract::RootDisk;
