//! From finished values to libvirt's XML. Pure.

mod domain;
mod network;
mod write;

pub use domain::domain;
pub use network::network;
