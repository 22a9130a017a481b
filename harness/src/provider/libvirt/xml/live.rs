//! What a running domain's XML tells of its devices.

use std::path::PathBuf;

use super::element::Element;

/// Where a screen is served: VNC on a Unix socket, as the daemon sees its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graphics {
    /// The socket.
    pub socket: PathBuf,
}

/// Where a domain's screen is served, if it has one.
#[must_use]
pub fn graphics_of(xml: &str) -> Option<Graphics> {
    let devices = devices(xml)?;
    let graphics = devices.children.iter().find(|device| device.name == "graphics")?;
    let socket = graphics.get("socket").or_else(|| graphics.child("listen")?.get("socket"))?;
    Some(Graphics { socket: socket.into() })
}

/// The name libvirt has for the disk `dev`.
pub(in crate::provider::libvirt) fn disk_alias(xml: &str, dev: &str) -> Option<String> {
    let devices = devices(xml)?;
    let disk = devices.children.iter().find(|device| is_disk(device, dev))?;
    disk.child("alias")?.get("name").map(str::to_owned)
}

/// The devices, such as `vda`, of a domain's disks.
#[must_use]
pub fn disks_of(xml: &str) -> Vec<String> {
    let devices = devices(xml).unwrap_or_default();
    let disks = devices.children.iter().filter(|device| device.name == "disk");
    disks.filter_map(|disk| disk.child("target")?.get("dev").map(str::to_owned)).collect()
}

/// A disk of a running domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDisk {
    /// Its serial number; empty: it has none.
    pub serial: String,
    /// Its image, as the daemon sees the path.
    pub image: PathBuf,
    /// The whole of its XML, by which it is detached.
    pub xml: String,
}

/// The disk `dev` of a domain, if it has such a one and that has an image.
#[must_use]
pub fn disk_of(xml: &str, dev: &str) -> Option<LiveDisk> {
    let devices = devices(xml)?;
    let disk = devices.children.iter().find(|device| is_disk(device, dev))?;
    let serial = disk.child("serial").map(|serial| serial.text.clone()).unwrap_or_default();
    let image = disk.child("source")?.get("file")?.into();
    Some(LiveDisk { serial, image, xml: disk.to_string() })
}

fn devices(xml: &str) -> Option<Element> {
    Element::parse(xml).ok()?.child("devices").cloned()
}

fn is_disk(device: &Element, dev: &str) -> bool {
    device.name == "disk" && device.child("target").and_then(|target| target.get("dev")) == Some(dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain><devices>\
        <disk type='file'><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>\
        <disk type='file'><source file='/i.raw'/><target dev='vdb' bus='virtio'/></disk>\
        <graphics type='vnc'><listen type='socket' socket='/run/x/vnc.sock'/></graphics>\
        </devices></domain>";

    #[test]
    fn devices_are_found() {
        assert_eq!(disk_alias(XML, "vda").as_deref(), Some("virtio-disk0"));
        assert_eq!(
            (disk_alias(XML, "vdb"), disk_alias(XML, "vdc"), disk_alias("<domain/>", "vda")),
            (None, None, None)
        );
        assert_eq!(disks_of(XML), ["vda", "vdb"]);
        assert_eq!((disk_of(XML, "vda"), disk_of(XML, "vdz")), (None, None));
        let attached = disk_of(XML, "vdb").unwrap();
        assert_eq!((attached.serial.as_str(), attached.image), ("", PathBuf::from("/i.raw")));
        assert!(attached.xml.contains("vdb") && !attached.xml.contains("vda"), "{}", attached.xml);
        assert_eq!(graphics_of(XML).unwrap().socket, PathBuf::from("/run/x/vnc.sock"));
        let own = "<domain><devices><graphics type='vnc' socket='/a'/></devices></domain>";
        assert_eq!(graphics_of(own).unwrap().socket, PathBuf::from("/a"));
        assert_eq!((graphics_of("<domain><devices/></domain>"), graphics_of("no xml")), (None, None));
    }
}
