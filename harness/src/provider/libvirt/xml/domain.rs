//! A domain's XML.

use std::{io, path::Path};

use super::write::{Xml, empty, parent, text, write};
use crate::provider::spec::{Bus, DomainDisk, DomainNic, DomainSpec, uuid};

/// The XML from which libvirt starts `spec`.
#[must_use]
pub fn domain_xml(spec: &DomainSpec) -> String {
    let kind = if spec.kvm { "kvm" } else { "qemu" };
    write("domain", &[("type", kind)], |w| {
        text(w, "name", &[], spec.name.as_str())?;
        text(w, "uuid", &[], &uuid("domain", spec.name.as_str()))?;
        text(w, "memory", &[("unit", "MiB")], &spec.memory_mib.to_string())?;
        text(w, "vcpu", &[], &spec.vcpus.to_string())?;
        parent(w, "sysinfo", &[("type", "smbios")], |w| {
            parent(w, "oemStrings", &[], |w| {
                spec.oem_strings.iter().try_for_each(|entry| text(w, "entry", &[], entry))
            })
        })?;
        parent(w, "os", &[], |w| {
            text(w, "type", &[("arch", "x86_64"), ("machine", "q35")], "hvm")?;
            text(w, "kernel", &[], &shown(&spec.kernel))?;
            text(w, "initrd", &[], &shown(&spec.initrd))?;
            text(w, "cmdline", &[], &spec.cmdline)?;
            empty(w, "smbios", &[("mode", "sysinfo")])
        })?;
        parent(w, "features", &[], |w| {
            empty(w, "acpi", &[])?;
            empty(w, "apic", &[])
        })?;
        // Without KVM the default CPU lacks instructions that today's distributions are built for.
        empty(w, "cpu", &[("mode", if spec.kvm { "host-passthrough" } else { "maximum" })])?;
        empty(w, "clock", &[("offset", "utc")])?;
        text(w, "on_poweroff", &[], "destroy")?;
        text(w, "on_reboot", &[], "restart")?;
        // A machine whose kernel panicked stays as it is, to be noticed and looked at.
        text(w, "on_crash", &[], "preserve")?;
        parent(w, "pm", &[], |w| {
            empty(w, "suspend-to-mem", &[("enabled", "no")])?;
            empty(w, "suspend-to-disk", &[("enabled", "no")])
        })?;
        parent(w, "devices", &[], |w| devices(w, spec))?;
        empty(w, "seclabel", &[("type", "none")])
    })
}

fn devices(w: &mut Xml, spec: &DomainSpec) -> io::Result<()> {
    for (position, one) in (1..).zip(&spec.disks) {
        disk(w, position, one)?;
    }
    empty(w, "controller", &[("type", "usb"), ("model", "none")])?;
    if spec.disks.iter().any(|disk| disk.bus == Bus::Scsi) {
        // Named, because libvirt would add an emulated one that hardly any kernel drives.
        empty(w, "controller", &[("type", "scsi"), ("index", "0"), ("model", "virtio-scsi")])?;
    }
    for one in &spec.nics {
        nic(w, one)?;
    }
    parent(w, "serial", &[("type", "file")], |w| {
        empty(w, "source", &[("path", &shown(&spec.console)), ("append", "on")])?;
        empty(w, "target", &[("port", "0")])
    })?;
    parent(w, "channel", &[("type", "unix")], |w| {
        empty(w, "target", &[("type", "virtio"), ("name", "org.qemu.guest_agent.0")])
    })?;
    parent(w, "rng", &[("model", "virtio")], |w| text(w, "backend", &[("model", "random")], "/dev/urandom"))?;
    empty(w, "memballoon", &[("model", "none")])?;
    empty(w, "panic", &[("model", "isa")])
}

fn disk(w: &mut Xml, position: usize, disk: &DomainDisk) -> io::Result<()> {
    let bus = match disk.bus {
        Bus::Virtio => "virtio",
        Bus::Scsi => "scsi",
    };
    let device = if disk.cdrom { "cdrom" } else { "disk" };
    parent(w, "disk", &[("type", "file"), ("device", device)], |w| {
        // Disks go with the environment: nobody needs them on stable storage.
        let driver =
            [("name", "qemu"), ("type", &disk.format.to_string()), ("cache", "unsafe"), ("discard", "unmap")];
        empty(w, "driver", &driver)?;
        empty(w, "source", &[("file", &shown(&disk.path))])?;
        empty(w, "target", &[("dev", &disk.dev), ("bus", bus)])?;
        let position = position.to_string();
        text(w, "serial", &[], &position)?;
        if disk.bus == Bus::Scsi {
            // Given, because libvirt makes it from the last letter of `dev`, and `hda` and `sda` would share it.
            empty(w, "address", &[("type", "drive"), ("controller", "0"), ("unit", &position)])?;
        }
        if disk.cdrom { empty(w, "readonly", &[]) } else { Ok(()) }
    })
}

fn nic(w: &mut Xml, nic: &DomainNic) -> io::Result<()> {
    parent(w, "interface", &[("type", "network")], |w| {
        empty(w, "mac", &[("address", &nic.mac.to_string())])?;
        empty(w, "source", &[("network", nic.network.as_str())])?;
        empty(w, "model", &[("type", "virtio")])?;
        nic.mtu.map_or(Ok(()), |mtu| empty(w, "mtu", &[("size", &mtu.to_string())]))
    })
}

/// Paths of ours are always UTF-8; should one not be, libvirt names the file it does not find.
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::spec::ImageFormat;

    fn disk(dev: &str, bus: Bus, path: &str, format: ImageFormat, cdrom: bool) -> DomainDisk {
        DomainDisk { dev: dev.to_owned(), bus, path: path.into(), format, cdrom }
    }

    fn spec() -> DomainSpec {
        DomainSpec {
            name: "r1".parse().unwrap(),
            kvm: false,
            memory_mib: 512,
            vcpus: 2,
            kernel: "/run/polder/store/d/vmlinuz".into(),
            initrd: "/run/polder/store/d/initrd".into(),
            cmdline: "console=ttyS0 quiet".to_owned(),
            oem_strings: vec!["polder.a=x".to_owned(), "polder.b=<&\">".to_owned()],
            disks: vec![disk(
                "vda",
                Bus::Virtio,
                "/run/polder/env/machines/r1/root.qcow2",
                ImageFormat::Qcow2,
                false,
            )],
            nics: vec![DomainNic {
                mac: "54:52:c0:a8:c8:02".parse().unwrap(),
                network: "lan".parse().unwrap(),
                mtu: None,
            }],
            console: "/run/polder/env/machines/r1/console.log".into(),
        }
    }

    #[test]
    fn a_plain_machine() {
        insta::assert_snapshot!(domain_xml(&spec()), @r#"
        <domain type="qemu">
          <name>r1</name>
          <uuid>c298c7b6-8473-865c-8f0d-8811e2c954c3</uuid>
          <memory unit="MiB">512</memory>
          <vcpu>2</vcpu>
          <sysinfo type="smbios">
            <oemStrings>
              <entry>polder.a=x</entry>
              <entry>polder.b=&lt;&amp;&quot;&gt;</entry>
            </oemStrings>
          </sysinfo>
          <os>
            <type arch="x86_64" machine="q35">hvm</type>
            <kernel>/run/polder/store/d/vmlinuz</kernel>
            <initrd>/run/polder/store/d/initrd</initrd>
            <cmdline>console=ttyS0 quiet</cmdline>
            <smbios mode="sysinfo"/>
          </os>
          <features>
            <acpi/>
            <apic/>
          </features>
          <cpu mode="maximum"/>
          <clock offset="utc"/>
          <on_poweroff>destroy</on_poweroff>
          <on_reboot>restart</on_reboot>
          <on_crash>preserve</on_crash>
          <pm>
            <suspend-to-mem enabled="no"/>
            <suspend-to-disk enabled="no"/>
          </pm>
          <devices>
            <disk type="file" device="disk">
              <driver name="qemu" type="qcow2" cache="unsafe" discard="unmap"/>
              <source file="/run/polder/env/machines/r1/root.qcow2"/>
              <target dev="vda" bus="virtio"/>
              <serial>1</serial>
            </disk>
            <controller type="usb" model="none"/>
            <interface type="network">
              <mac address="54:52:c0:a8:c8:02"/>
              <source network="lan"/>
              <model type="virtio"/>
            </interface>
            <serial type="file">
              <source path="/run/polder/env/machines/r1/console.log" append="on"/>
              <target port="0"/>
            </serial>
            <channel type="unix">
              <target type="virtio" name="org.qemu.guest_agent.0"/>
            </channel>
            <rng model="virtio">
              <backend model="random">/dev/urandom</backend>
            </rng>
            <memballoon model="none"/>
            <panic model="isa"/>
          </devices>
          <seclabel type="none"/>
        </domain>
        "#);
    }

    /// Only what differs from the plain machine.
    #[test]
    fn every_kind_of_device() {
        let mut other = spec();
        other.kvm = true;
        other.oem_strings.clear();
        other.disks.push(disk("sda", Bus::Scsi, "/data's \"<&>.raw", ImageFormat::Raw, false));
        other.disks.push(disk("hdc", Bus::Scsi, "/tools.iso", ImageFormat::Raw, true));
        other.nics.push(DomainNic {
            mac: "54:52:c0:a8:c9:02".parse().unwrap(),
            network: "storage".parse().unwrap(),
            mtu: Some(9000),
        });
        let (plain, other) = (domain_xml(&spec()), domain_xml(&other));
        let added: Vec<_> = other.lines().filter(|line| !plain.lines().any(|p| p == *line)).collect();
        insta::assert_snapshot!(added.join("\n"), @r#"
        <domain type="kvm">
          <cpu mode="host-passthrough"/>
              <driver name="qemu" type="raw" cache="unsafe" discard="unmap"/>
              <source file="/data&apos;s &quot;&lt;&amp;&gt;.raw"/>
              <target dev="sda" bus="scsi"/>
              <serial>2</serial>
              <address type="drive" controller="0" unit="2"/>
            <disk type="file" device="cdrom">
              <driver name="qemu" type="raw" cache="unsafe" discard="unmap"/>
              <source file="/tools.iso"/>
              <target dev="hdc" bus="scsi"/>
              <serial>3</serial>
              <address type="drive" controller="0" unit="3"/>
              <readonly/>
            <controller type="scsi" index="0" model="virtio-scsi"/>
              <mac address="54:52:c0:a8:c9:02"/>
              <source network="storage"/>
              <mtu size="9000"/>
        "#);
    }
}
