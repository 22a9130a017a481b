//! From finished values to libvirt's XML, and back where we need it. Pure.

mod capabilities;
mod cpu;
mod domain;
mod element;
mod label;
mod live;
mod live_network;
mod merge;
mod network;
mod other;
mod snapshot;
mod write;

pub use capabilities::emulator_user;
pub use domain::disk_xml;
pub use domain::domain_xml;
pub use domain::nic_xml;
pub use element::Element;
pub use element::XmlError;
pub use label::files_below;
pub use label::label_element;
pub use label::label_of;
pub(super) use label::{NAMESPACE, label_metadata};
pub use live::Graphics;
pub use live::LiveDisk;
pub(super) use live::disk_alias;
pub use live::{disk_of, disks_of, graphics_of};
pub use live_network::{dhcp_hosts_xml, dns_host_xml, dns_hosts};
pub use merge::overlay;
pub use network::network_xml;
pub use other::as_other;
pub use snapshot::SnapshotSpec;
pub use snapshot::as_now;
pub use snapshot::snapshot_xml;
