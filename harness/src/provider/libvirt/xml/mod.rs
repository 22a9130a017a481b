//! From finished values to libvirt's XML. Pure.

mod domain;
mod network;
mod write;

pub use domain::domain_xml;
pub use network::network_xml;
