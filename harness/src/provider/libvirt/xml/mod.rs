//! From finished values to libvirt's XML. Pure.

mod domain;
mod network;
mod write;

pub use domain::domain_xml;
pub use network::{dhcp_hosts_xml, dns_host_xml, network_xml};
