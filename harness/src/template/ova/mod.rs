//! Machines exported by other programs as one archive (OVA): a descriptor and disks.

mod import;
mod model;
mod tree;

pub use import::{Ova, OvaDisk};
