//! The XML of snapshots: what is frozen where, and the saved description of a machine changed to run on other disks.

use std::path::{Path, PathBuf};

use super::element::{Element, XmlError};
use crate::provider::spec::ImageFormat;

/// A moment of a machine to be kept. Its disks are frozen as they are and go on in new files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// Disks that are frozen: device, and the file (qcow2) to which the machine writes from now on.
    pub disks: Vec<(String, PathBuf)>,
    /// Devices that are left as they are.
    pub untouched: Vec<String>,
    /// The file for its memory and devices; without it, only the disks are kept.
    pub memory: Option<PathBuf>,
}

/// The XML from which libvirt makes a snapshot.
#[must_use]
pub fn snapshot_xml(spec: &SnapshotSpec) -> String {
    let memory = Element::new("memory");
    let memory = match &spec.memory {
        Some(file) => memory.with("snapshot", "external").with("file", file.display()),
        None => memory.with("snapshot", "no"),
    };
    let frozen = spec.disks.iter().map(|(dev, file)| {
        let driver = Element::new("driver").with("type", ImageFormat::Qcow2);
        let source = Element::new("source").with("file", file.display());
        let disk = Element::new("disk").with("name", dev).with("snapshot", "external").with("type", "file");
        disk.of([driver, source])
    });
    // Named, because libvirt would choose files for disks it is told nothing about.
    let untouched = spec.untouched.iter().map(|dev| Element::new("disk").with("name", dev).with("snapshot", "no"));
    let disks = Element::new("disks").of(frozen.chain(untouched));
    Element::new("domainsnapshot").of([memory, disks]).to_string()
}

/// `xml` (a domain's) with other images in the disks named by device, everything else as it is.
///
/// # Errors
/// It is no document, or has no such disk.
pub fn with_disks(xml: &str, disks: &[(&str, &Path, ImageFormat)]) -> Result<String, XmlError> {
    let mut domain = Element::parse(xml)?;
    let missing = |dev: &str| XmlError { line: 1, what: format!("the machine has no disk `{dev}`") };
    for (dev, path, format) in disks {
        let devices = domain.child_mut("devices").ok_or_else(|| missing(dev))?;
        let is_it = |d: &&mut Element| d.name == "disk" && d.child("target").and_then(|t| t.get("dev")) == Some(dev);
        let disk = devices.children.iter_mut().find(is_it).ok_or_else(|| missing(dev))?;
        // What the old image lay over is in the new one's own header.
        disk.children.retain(|child| !matches!(child.name.as_str(), "backingStore" | "mirror" | "source"));
        disk.children.push(Element::new("source").with("file", path.display()));
        if let Some(driver) = disk.child_mut("driver") {
            driver.set("type", &format.to_string());
        }
    }
    Ok(domain.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_says_what_becomes_of_every_disk() {
        let spec = SnapshotSpec {
            disks: vec![("vda".into(), "/env/a.s1.qcow2".into())],
            untouched: vec!["hdc".into()],
            memory: Some("/env/a.s1.save".into()),
        };
        insta::assert_snapshot!(snapshot_xml(&spec), @r#"
        <domainsnapshot>
          <memory snapshot="external" file="/env/a.s1.save"/>
          <disks>
            <disk name="vda" snapshot="external" type="file">
              <driver type="qcow2"/>
              <source file="/env/a.s1.qcow2"/>
            </disk>
            <disk name="hdc" snapshot="no"/>
          </disks>
        </domainsnapshot>
        "#);
        let disks_only = snapshot_xml(&SnapshotSpec { memory: None, ..spec });
        assert!(disks_only.contains("<memory snapshot=\"no\"/>"), "{disks_only}");
    }

    const SAVED: &str = "<domain type='qemu'><name>a</name><devices>\
        <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/old'><seclabel/></source>\
        <backingStore type='file'><source file='/base'/></backingStore><target dev='vda' bus='virtio'/></disk>\
        <disk type='file' device='cdrom'><source file='/iso'/><target dev='hdc' bus='scsi'/></disk>\
        <serial type='file'><source path='/log'/></serial></devices></domain>";

    #[test]
    fn other_images_are_put_into_a_saved_machine() {
        insta::assert_snapshot!(with_disks(SAVED, &[("vda", Path::new("/new"), ImageFormat::Qcow2)]).unwrap(), @r#"
        <domain type="qemu">
          <name>a</name>
          <devices>
            <disk type="file" device="disk">
              <driver name="qemu" type="qcow2"/>
              <target dev="vda" bus="virtio"/>
              <source file="/new"/>
            </disk>
            <disk type="file" device="cdrom">
              <source file="/iso"/>
              <target dev="hdc" bus="scsi"/>
            </disk>
            <serial type="file">
              <source path="/log"/>
            </serial>
          </devices>
        </domain>
        "#);
    }

    #[test]
    fn a_disk_that_is_not_there_is_named() {
        let error = with_disks(SAVED, &[("vdb", Path::new("/new"), ImageFormat::Qcow2)]).unwrap_err();
        assert_eq!(error.what, "the machine has no disk `vdb`");
        assert!(with_disks("<domain>", &[]).is_err() && with_disks("<domain/>", &[("vda", Path::new("/n"), ImageFormat::Raw)]).is_err());
    }
}
