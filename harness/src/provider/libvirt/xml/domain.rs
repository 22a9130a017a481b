//! A domain's XML.

use super::{cpu::cpu, element::Element, label::label_element, merge::merge};
use crate::provider::spec::{Access, Boot, Bus, DomainDisk, DomainNic, DomainSpec, Screen};

/// The XML from which libvirt starts `spec`.
#[must_use]
pub fn domain_xml(spec: &DomainSpec) -> String {
    let mut domain = domain(spec);
    if let Some(overlay) = &spec.overlay {
        merge(&mut domain, overlay);
    }
    domain.to_string()
}

/// The XML of one disk of a domain, to attach it to one that runs; `position` counts the domain's disks from 1. No
/// snapshot keeps what is on it.
#[must_use]
pub fn disk_xml(disk: &DomainDisk, position: usize) -> String {
    disk_element(disk, position).with("snapshot", "no").to_string()
}

/// The XML of one NIC of a domain, to attach it to one that runs, to change or to detach it.
#[must_use]
pub fn nic_xml(nic: &DomainNic) -> String {
    nic_element(nic).to_string()
}

fn domain(spec: &DomainSpec) -> Element {
    let head = [
        of("name", &spec.name),
        of("uuid", &spec.uuid),
        of("memory", spec.memory_mib).with("unit", "MiB"),
        of("vcpu", spec.vcpus),
    ];
    let devices = Element::new("devices").of(devices(spec));
    Element::new("domain").with("type", if spec.kvm { "kvm" } else { "qemu" }).of(head).of(marks(spec)).of([
        os(spec),
        features(spec),
        cpu(spec),
        Element::new("clock").with("offset", "utc"),
        of("on_poweroff", "destroy"),
        of("on_reboot", "restart"),
        // A machine whose kernel panicked stays as it is, to be noticed and looked at.
        of("on_crash", "preserve"),
        Element::new("pm").of([
            Element::new("suspend-to-mem").with("enabled", "no"),
            Element::new("suspend-to-disk").with("enabled", "no"),
        ]),
        devices,
    ])
}

/// Whose it is, who it is, and whether its files keep their owners: what no other machine has, beside its name.
pub(super) fn marks(spec: &DomainSpec) -> impl Iterator<Item = Element> {
    let sysinfo = (!spec.oem_strings.is_empty()).then(|| {
        let strings = spec.oem_strings.iter().map(|entry| of("entry", entry));
        Element::new("sysinfo").with("type", "smbios").of([Element::new("oemStrings").of(strings)])
    });
    let owners = match spec.keep_owners {
        // Emulators keep their user, and libvirt gives it nothing.
        true => Element::new("seclabel").with("type", "none").with("model", "dac"),
        false => Element::new("seclabel").with("type", "none"),
    };
    spec.label.as_ref().map(label_element).into_iter().chain(sysinfo).chain([owners])
}

/// An element with text in it.
pub(super) fn of(name: &str, text: impl std::fmt::Display) -> Element {
    Element::new(name).holding(text)
}

/// How much translated code an emulator without KVM keeps, in MiB. When it is full, all of it is dropped: measured with Debian
/// 12, whose boot makes 215 MiB of it, a boot takes no longer for that. With the emulator's own limit of 1 GiB a machine that
/// is reset takes twice as long to boot as before, because what it loads has to be dropped from it piece by piece; and all of
/// it stays in memory.
const TRANSLATED_MIB: u32 = 128;

fn features(spec: &DomainSpec) -> Element {
    let translated = || Element::new("tcg").of([of("tb-cache", TRANSLATED_MIB).with("unit", "MiB")]);
    Element::new("features").of([Element::new("acpi"), Element::new("apic")]).of((!spec.kvm).then(translated))
}

fn os(spec: &DomainSpec) -> Element {
    let kind = of("type", "hvm").with("arch", "x86_64").with("machine", &spec.machine_type);
    let smbios = (!spec.oem_strings.is_empty()).then(|| Element::new("smbios").with("mode", "sysinfo"));
    let os = Element::new("os");
    match &spec.boot {
        Boot::Kernel { kernel, initrd, cmdline } => os
            .of([kind, of("kernel", kernel.display())])
            .of(initrd.as_ref().map(|initrd| of("initrd", initrd.display())))
            .of((!cmdline.is_empty()).then(|| of("cmdline", cmdline))),
        Boot::Bios => os.of([kind]),
        // Without secure boot, which no unsigned kernel would pass.
        Boot::Uefi { nvram } => os.with("firmware", "efi").of([
            kind,
            Element::new("firmware").of(["secure-boot", "enrolled-keys"]
                .map(|name| Element::new("feature").with("enabled", "no").with("name", name))),
            of("nvram", nvram.display()),
        ]),
    }
    .of(smbios)
}

fn devices(spec: &DomainSpec) -> Vec<Element> {
    let mut devices: Vec<_> =
        (1..).zip(&spec.disks).map(|(position, disk)| disk_element(disk, position)).collect();
    devices.push(Element::new("controller").with("type", "usb").with("model", "none"));
    devices.extend(ports(spec));
    if spec.disks.iter().any(|disk| disk.bus == Bus::Scsi) {
        // Named, because libvirt would add an emulated one that hardly any kernel drives.
        let scsi = Element::new("controller").with("type", "scsi").with("index", "0");
        devices.push(scsi.with("model", "virtio-scsi"));
    }
    devices.extend(spec.nics.iter().map(nic_element));
    // A terminal for whoever wants to type there; what is printed is recorded whether somebody looks or not.
    devices.push(Element::new("serial").with("type", "pty").of([
        Element::new("log").with("file", spec.console.display()).with("append", "on"),
        Element::new("target").with("port", "0"),
    ]));
    let agent = Element::new("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0");
    devices.push(Element::new("channel").with("type", "unix").of([agent]));
    let entropy = of("backend", "/dev/urandom").with("model", "random");
    devices.push(Element::new("rng").with("model", "virtio").of([entropy]));
    devices.extend(spec.screen.iter().flat_map(screen_elements));
    devices.push(Element::new("memballoon").with("model", "none"));
    devices.push(Element::new("panic").with("model", "isa"));
    devices
}

/// The ports of a PCI Express machine, some of them free when it starts: libvirt leaves one, and none can be added while it
/// runs. Machines with the older bus have slots to spare.
///
/// All of them are named, in order. Those left to libvirt come behind the highest when a machine boots and in order when it
/// goes on from a saved state; the emulator numbers slots for hot-plugging in the order of the ports, the guest has learnt
/// those numbers when it booted, and would look into the wrong slots.
fn ports(spec: &DomainSpec) -> Vec<Element> {
    /// How many devices can be attached at once.
    const SPARE: usize = 6;
    /// Those every machine has: the agent's channel, entropy, a controller of disks.
    const OWN: usize = 3;
    if !spec.machine_type.contains("q35") {
        return Vec::new();
    }
    let port = Element::new("controller").with("type", "pci").with("model", "pcie-root-port");
    let count = spec.disks.len() + spec.nics.len() + OWN + SPARE;
    (1..=count).map(|index| port.clone().with("index", index)).collect()
}

pub(super) fn screen_elements(screen: &Screen) -> [Element; 2] {
    let graphics = Element::new("graphics").with("type", "vnc");
    let graphics = match screen {
        Screen::At(socket) => graphics.with("socket", socket.display()),
        Screen::Anywhere => graphics.of([Element::new("listen").with("type", "socket")]),
    };
    // What every kernel shows its console on, without a driver.
    [graphics, Element::new("video").of([Element::new("model").with("type", "vga")])]
}

fn disk_element(disk: &DomainDisk, position: usize) -> Element {
    let driver = Element::new("driver").with("name", "qemu").with("type", disk.format);
    let driver = match disk.access {
        // Disks go with the environment: nobody needs them on stable storage.
        Access::ReadWrite => driver.with("cache", "unsafe").with("discard", "unmap"),
        Access::ReadOnly | Access::Cdrom => driver,
    };
    let address = Element::new("address").with("type", "drive").with("controller", "0");
    let address = match disk.bus {
        // Given, because libvirt makes it from the last letter of `dev`, and `hda` and `sda` would share it.
        Bus::Scsi => Some(address.with("unit", position)),
        Bus::Virtio | Bus::Sata | Bus::Ide => None,
    };
    Element::new("disk")
        .with("type", "file")
        .with("device", if disk.access == Access::Cdrom { "cdrom" } else { "disk" })
        .of([
            driver,
            Element::new("source").with("file", disk.path.display()),
            Element::new("target").with("dev", &disk.dev).with("bus", disk.bus),
            of("serial", &disk.serial),
        ])
        .of(address)
        .of(disk.boot_order.map(|order| Element::new("boot").with("order", order)))
        .of((disk.access != Access::ReadWrite).then(|| Element::new("readonly")))
}

pub(super) fn nic_element(nic: &DomainNic) -> Element {
    Element::new("interface")
        .with("type", "network")
        .of([
            Element::new("mac").with("address", nic.mac),
            Element::new("source").with("network", &nic.network),
            Element::new("target").with("dev", &nic.tap),
            Element::new("model").with("type", &nic.model),
        ])
        .of(nic.mtu.map(|mtu| Element::new("mtu").with("size", mtu)))
        .of((!nic.link_up).then(|| Element::new("link").with("state", "down")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::spec::CpuModel;
    use crate::{
        base::owner::Owner,
        provider::{
            libvirt::xml::overlay,
            spec::{Cpu, ImageFormat, Label, Topology},
        },
    };

    fn disk(dev: &str, bus: Bus, path: &str, format: ImageFormat, access: Access) -> DomainDisk {
        let serial = format!("serial-{dev}");
        DomainDisk { dev: dev.to_owned(), bus, path: path.into(), format, access, serial, boot_order: None }
    }

    fn spec() -> DomainSpec {
        DomainSpec {
            name: "r1".to_owned(),
            uuid: "c298c7b6-8473-865c-8f0d-8811e2c954c3".to_owned(),
            label: None,
            kvm: false,
            machine_type: "q35".to_owned(),
            memory_mib: 512,
            vcpus: 2,
            cpu: Cpu { model: CpuModel::Best, topology: None, cells: 1 },
            boot: Boot::Kernel {
                kernel: "/run/polder/store/d/vmlinuz".into(),
                initrd: Some("/run/polder/store/d/initrd".into()),
                cmdline: "console=ttyS0 quiet".to_owned(),
            },
            oem_strings: vec!["polder.a=x".to_owned(), "polder.b=<&\">".to_owned()],
            disks: vec![disk(
                "vda",
                Bus::Virtio,
                "/run/polder/env/machines/r1/root.qcow2",
                ImageFormat::Qcow2,
                Access::ReadWrite,
            )],
            nics: vec![DomainNic {
                mac: "54:52:c0:a8:c8:02".parse().unwrap(),
                network: "lan".to_owned(),
                tap: "pdr1-0".to_owned(),
                model: "virtio".to_owned(),
                mtu: None,
                link_up: true,
            }],
            console: "/run/polder/env/machines/r1/console.log".into(),
            screen: None,
            keep_owners: false,
            overlay: None,
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
          <seclabel type="none"/>
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
            <tcg>
              <tb-cache unit="MiB">128</tb-cache>
            </tcg>
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
              <serial>serial-vda</serial>
            </disk>
            <controller type="usb" model="none"/>
            <controller type="pci" model="pcie-root-port" index="1"/>
            <controller type="pci" model="pcie-root-port" index="2"/>
            <controller type="pci" model="pcie-root-port" index="3"/>
            <controller type="pci" model="pcie-root-port" index="4"/>
            <controller type="pci" model="pcie-root-port" index="5"/>
            <controller type="pci" model="pcie-root-port" index="6"/>
            <controller type="pci" model="pcie-root-port" index="7"/>
            <controller type="pci" model="pcie-root-port" index="8"/>
            <controller type="pci" model="pcie-root-port" index="9"/>
            <controller type="pci" model="pcie-root-port" index="10"/>
            <controller type="pci" model="pcie-root-port" index="11"/>
            <interface type="network">
              <mac address="54:52:c0:a8:c8:02"/>
              <source network="lan"/>
              <target dev="pdr1-0"/>
              <model type="virtio"/>
            </interface>
            <serial type="pty">
              <log file="/run/polder/env/machines/r1/console.log" append="on"/>
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
        </domain>
        "#);
    }

    /// Only what differs from the plain machine.
    fn added(change: impl FnOnce(&mut DomainSpec)) -> String {
        let mut other = spec();
        change(&mut other);
        let (plain, other) = (domain_xml(&spec()), domain_xml(&other));
        other.lines().filter(|line| !plain.lines().any(|p| p == *line)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_kind_of_device() {
        let added = added(|other| {
            other.kvm = true;
            let mut tools = disk("hdc", Bus::Scsi, "/tools.iso", ImageFormat::Raw, Access::Cdrom);
            tools.boot_order = Some(1);
            other.disks.extend([
                disk("sda", Bus::Scsi, "/data's \"<&>.raw", ImageFormat::Raw, Access::ReadWrite),
                tools,
                disk("sdb", Bus::Sata, "/s.qcow2", ImageFormat::Qcow2, Access::ReadWrite),
                disk("hda", Bus::Ide, "/i.qcow2", ImageFormat::Qcow2, Access::ReadWrite),
                disk("vdb", Bus::Virtio, "/seed.img", ImageFormat::Raw, Access::ReadOnly),
            ]);
            other.nics.push(DomainNic {
                mac: "54:52:c0:a8:c9:02".parse().unwrap(),
                network: "ab12-storage".to_owned(),
                tap: "pdr1-1".to_owned(),
                model: "e1000".to_owned(),
                mtu: Some(9000),
                link_up: false,
            });
        });
        insta::assert_snapshot!(added, @r#"
        <domain type="kvm">
          <cpu mode="host-passthrough"/>
              <driver name="qemu" type="raw" cache="unsafe" discard="unmap"/>
              <source file="/data&apos;s &quot;&lt;&amp;&gt;.raw"/>
              <target dev="sda" bus="scsi"/>
              <serial>serial-sda</serial>
              <address type="drive" controller="0" unit="2"/>
            <disk type="file" device="cdrom">
              <driver name="qemu" type="raw"/>
              <source file="/tools.iso"/>
              <target dev="hdc" bus="scsi"/>
              <serial>serial-hdc</serial>
              <address type="drive" controller="0" unit="3"/>
              <boot order="1"/>
              <readonly/>
              <source file="/s.qcow2"/>
              <target dev="sdb" bus="sata"/>
              <serial>serial-sdb</serial>
              <source file="/i.qcow2"/>
              <target dev="hda" bus="ide"/>
              <serial>serial-hda</serial>
              <driver name="qemu" type="raw"/>
              <source file="/seed.img"/>
              <target dev="vdb" bus="virtio"/>
              <serial>serial-vdb</serial>
              <readonly/>
            <controller type="pci" model="pcie-root-port" index="12"/>
            <controller type="pci" model="pcie-root-port" index="13"/>
            <controller type="pci" model="pcie-root-port" index="14"/>
            <controller type="pci" model="pcie-root-port" index="15"/>
            <controller type="pci" model="pcie-root-port" index="16"/>
            <controller type="pci" model="pcie-root-port" index="17"/>
            <controller type="scsi" index="0" model="virtio-scsi"/>
              <mac address="54:52:c0:a8:c9:02"/>
              <source network="ab12-storage"/>
              <target dev="pdr1-1"/>
              <model type="e1000"/>
              <mtu size="9000"/>
              <link state="down"/>
        "#);
    }

    #[test]
    fn a_screen_is_served_where_it_should_be() {
        insta::assert_snapshot!(added(|other| other.screen = Some(Screen::At("/env/r1.vnc".into()))), @r#"
            <graphics type="vnc" socket="/env/r1.vnc"/>
            <video>
              <model type="vga"/>
            </video>
        "#);
        let elsewhere = added(|other| other.screen = Some(Screen::Anywhere));
        assert!(elsewhere.contains(r#"<listen type="socket"/>"#), "{elsewhere}");
    }

    #[test]
    fn every_way_to_boot() {
        let old = added(|other| (other.boot, other.machine_type) = (Boot::Bios, "pc".to_owned()));
        insta::assert_snapshot!(old, @r#"    <type arch="x86_64" machine="pc">hvm</type>"#);
        insta::assert_snapshot!(added(|other| other.boot = Boot::Uefi { nvram: "/env/r1.nvram".into() }), @r#"
        <os firmware="efi">
          <firmware>
            <feature enabled="no" name="secure-boot"/>
            <feature enabled="no" name="enrolled-keys"/>
          </firmware>
          <nvram>/env/r1.nvram</nvram>
        "#);
        let kernel = domain_xml(&DomainSpec {
            boot: Boot::Kernel { kernel: "/k".into(), initrd: None, cmdline: String::new() },
            oem_strings: Vec::new(),
            ..spec()
        });
        assert!(kernel.contains("<kernel>/k</kernel>\n  </os>") && !kernel.contains("sysinfo"), "{kernel}");
    }

    #[test]
    fn every_kind_of_cpu() {
        let topology = Some(Topology { sockets: 1, cores: 1, threads: 2 });
        insta::assert_snapshot!(added(|other| other.cpu.topology = topology), @r#"
        <cpu mode="maximum">
          <topology sockets="1" cores="1" threads="2"/>
        </cpu>
        "#);
        let exact = CpuModel::Exact { name: "Westmere".to_owned(), feature: Some("vmx".to_owned()) };
        insta::assert_snapshot!(added(|other| other.cpu = Cpu { model: exact, topology, cells: 1 }), @r#"
        <cpu mode="custom" match="exact">
          <model>Westmere</model>
          <topology sockets="1" cores="1" threads="2"/>
          <feature policy="require" name="vmx"/>
        </cpu>
        "#);
        let custom = CpuModel::Custom(Element::new("cpu").with("mode", "host-model"));
        insta::assert_snapshot!(added(|other| other.cpu = Cpu { model: custom, topology: None, cells: 1 }), @r#"  <cpu mode="host-model"/>"#);
        let numa = |other: &mut DomainSpec| (other.vcpus, other.memory_mib, other.cpu.cells) = (6, 2048, 3);
        insta::assert_snapshot!(added(numa), @r#"
        <memory unit="MiB">2048</memory>
        <vcpu>6</vcpu>
        <cpu mode="maximum">
          <numa>
            <cell id="0" cpus="0-1" memory="683" unit="MiB"/>
            <cell id="1" cpus="2-3" memory="683" unit="MiB"/>
            <cell id="2" cpus="4-5" memory="682" unit="MiB"/>
          </numa>
        </cpu>
        "#);
    }

    #[test]
    fn a_label_and_an_overlay() {
        let text =
            "<domain><devices><rng polder='remove'/><video><model type='cirrus'/></video></devices></domain>";
        let xml = added(|other| {
            other.overlay = Some(overlay(text).unwrap());
            other.label = Some(Label {
                prefix: "/w/.polder/default".into(),
                uuid: "5f0c".into(),
                name: "r1".into(),
                owner: Owner { pid: 7, started: 9, boot: "b".into(), host: "h".into() },
            });
        });
        insta::assert_snapshot!(xml, @r#"
        <metadata>
          <polder:owner xmlns:polder="urn:polder:owner:1" prefix="/w/.polder/default" uuid="5f0c" name="r1" pid="7" started="9" boot="b" host="h"/>
        </metadata>
          <video>
            <model type="cirrus"/>
          </video>
        "#);
    }
}
