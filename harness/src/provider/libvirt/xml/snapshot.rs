//! The XML of snapshots: what is frozen where, and the saved description of a machine changed to run on other disks.

use std::path::PathBuf;

use super::{
    element::{Element, XmlError},
    label::{is_label, label_element},
};
use crate::provider::spec::{Boot, DomainDisk, DomainSpec, ImageFormat};

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
    let untouched =
        spec.untouched.iter().map(|dev| Element::new("disk").with("name", dev).with("snapshot", "no"));
    let disks = Element::new("disks").of(frozen.chain(untouched));
    Element::new("domainsnapshot").of([memory, disks]).to_string()
}

/// `saved` (a domain's XML) with everything that may be elsewhere by now as it is in `now`: the images of its disks, the
/// file of its console, that of its firmware's variables, and our mark. Everything else is as it was.
///
/// # Errors
/// It is no document, or lacks one of the disks.
pub fn as_now(saved: &str, now: &DomainSpec) -> Result<String, XmlError> {
    let mut domain = Element::parse(saved)?;
    let missing = |dev: &str| XmlError { line: 1, what: format!("the machine has no disk `{dev}`") };
    for DomainDisk { dev, path, format, .. } in &now.disks {
        let devices = domain.child_mut("devices").ok_or_else(|| missing(dev))?;
        let is_it =
            |d: &&mut Element| d.name == "disk" && d.child("target").and_then(|t| t.get("dev")) == Some(dev);
        let disk = devices.children.iter_mut().find(is_it).ok_or_else(|| missing(dev))?;
        // What the old image lay over is in the new one's own header.
        disk.children.retain(|child| !matches!(child.name.as_str(), "backingStore" | "mirror" | "source"));
        disk.children.push(Element::new("source").with("file", path.display()));
        if let Some(driver) = disk.child_mut("driver") {
            driver.set("type", &format.to_string());
        }
    }
    let devices = domain.child_mut("devices").map(|devices| &mut devices.children);
    // The first serial port is there twice, as a console as well.
    let ports = devices.into_iter().flatten().filter(|d| matches!(d.name.as_str(), "serial" | "console"));
    for port in ports {
        let console = now.console.display().to_string();
        // To a file itself: as machines were made that could not be typed at.
        let is_file = port.get("type") == Some("file");
        let (child, attribute) = if is_file { ("source", "path") } else { ("log", "file") };
        if let Some(child) = port.child_mut(child) {
            child.set(attribute, &console);
        }
    }
    if let (Boot::Uefi { nvram }, Some(os)) = (&now.boot, domain.child_mut("os"))
        && let Some(saved) = os.child_mut("nvram")
    {
        saved.text = nvram.display().to_string();
    }
    if let Some(label) = &now.label {
        let mark = label_element(label);
        match domain.child_mut("metadata") {
            Some(metadata) => {
                metadata.children.retain(|child| !is_label(child));
                metadata.children.extend(mark.children);
            }
            None => domain.children.push(mark),
        }
    }
    Ok(domain.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::owner::Owner,
        provider::spec::{Access, Bus, Cpu, CpuModel, Label},
    };

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

    const SAVED: &str = "<domain type='qemu'><name>a</name>\
        <metadata><polder:owner xmlns:polder='urn:polder:owner:1' prefix='/e'/><x:y xmlns:x='urn:x'/></metadata>\
        <os firmware='efi'><nvram>/e/a.nvram</nvram></os><devices>\
        <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/old'><seclabel/></source>\
        <backingStore type='file'><source file='/base'/></backingStore><target dev='vda' bus='virtio'/></disk>\
        <disk type='file' device='cdrom'><source file='/iso'/><target dev='hdc' bus='scsi'/></disk>\
        <serial type='file'><source path='/e/log'/></serial><console type='file'><source path='/e/log'/></console>\
        <serial type='pty'><source path='/dev/pts/1'/><log file='/e/log' append='on'/></serial>\
        <channel type='unix'><source path='/run/agent'/></channel></devices></domain>";

    fn now(dev: &str) -> DomainSpec {
        let disk = |dev: &str, path: &str, format| DomainDisk {
            dev: dev.to_owned(),
            bus: Bus::Virtio,
            path: path.into(),
            format,
            access: Access::ReadWrite,
            serial: String::new(),
            boot_order: None,
        };
        let owner = Owner { pid: 7, started: 1, boot: "b".into(), host: "h".into() };
        DomainSpec {
            name: "a".to_owned(),
            uuid: String::new(),
            label: Some(Label { prefix: "/new".into(), uuid: "5f0c".into(), name: "a".into(), owner }),
            kvm: false,
            machine_type: "q35".to_owned(),
            memory_mib: 128,
            vcpus: 1,
            cpu: Cpu { model: CpuModel::Best, topology: None, cells: 1 },
            boot: Boot::Uefi { nvram: "/new/a.nvram".into() },
            oem_strings: vec![],
            disks: vec![
                disk(dev, "/new/a.qcow2", ImageFormat::Qcow2),
                disk("hdc", "/new/iso", ImageFormat::Raw),
            ],
            nics: vec![],
            console: "/new/log".into(),
            screen: None,
            keep_owners: false,
            overlay: None,
        }
    }

    #[test]
    fn a_saved_machine_finds_everything_where_it_is_now() {
        insta::assert_snapshot!(as_now(SAVED, &now("vda")).unwrap(), @r#"
        <domain type="qemu">
          <name>a</name>
          <metadata>
            <x:y xmlns:x="urn:x"/>
            <polder:owner xmlns:polder="urn:polder:owner:1" prefix="/new" uuid="5f0c" name="a" pid="7" started="1" boot="b" host="h"/>
          </metadata>
          <os firmware="efi">
            <nvram>/new/a.nvram</nvram>
          </os>
          <devices>
            <disk type="file" device="disk">
              <driver name="qemu" type="qcow2"/>
              <target dev="vda" bus="virtio"/>
              <source file="/new/a.qcow2"/>
            </disk>
            <disk type="file" device="cdrom">
              <target dev="hdc" bus="scsi"/>
              <source file="/new/iso"/>
            </disk>
            <serial type="file">
              <source path="/new/log"/>
            </serial>
            <console type="file">
              <source path="/new/log"/>
            </console>
            <serial type="pty">
              <source path="/dev/pts/1"/>
              <log file="/new/log" append="on"/>
            </serial>
            <channel type="unix">
              <source path="/run/agent"/>
            </channel>
          </devices>
        </domain>
        "#);
    }

    #[test]
    fn a_disk_that_is_not_there_is_named() {
        let error = as_now(SAVED, &now("vdb")).unwrap_err();
        assert_eq!(error.what, "the machine has no disk `vdb`");
        assert!(as_now("<domain>", &now("vda")).is_err() && as_now("<domain/>", &now("vda")).is_err());
    }
}
