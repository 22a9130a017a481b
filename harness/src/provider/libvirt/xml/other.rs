//! The saved description of a machine changed to that of another one: same hardware, another name, other places.

use super::{
    domain::{marks, nic_element, screen_elements},
    element::{Element, XmlError},
    snapshot::as_now,
};
use crate::provider::spec::{Boot, DomainSpec};

/// `saved` (a domain's XML) as that of the domain `other`, which has the same hardware: with its name, UUID, images,
/// console, networks, screen, marks and what it is told of itself when it boots, and without what libvirt had made up for the one
/// that was saved. What guests see stays as
/// it was, but for addresses of NICs, of which they take no notice: their cards come back as they were.
///
/// # Errors
/// It is no document, or has other disks or NICs.
pub fn as_other(saved: &str, other: &DomainSpec) -> Result<String, XmlError> {
    let mut domain = Element::parse(&as_now(saved, other)?)?;
    let missing = |what: String| XmlError { line: 1, what };
    for (name, text) in [("name", &other.name), ("uuid", &other.uuid)] {
        let child = domain.child_mut(name).ok_or_else(|| missing(format!("the machine has no {name}")))?;
        child.text.clone_from(text);
    }
    if let (Boot::Kernel { kernel, initrd, .. }, Some(os)) = (&other.boot, domain.child_mut("os")) {
        for (name, path) in [("kernel", Some(kernel)), ("initrd", initrd.as_ref())] {
            if let (Some(path), Some(child)) = (path, os.child_mut(name)) {
                child.text = path.display().to_string();
            }
        }
    }
    for name in ["sysinfo", "seclabel", "metadata"] {
        domain.children.retain(|child| child.name != name);
    }
    domain.children.extend(marks(other));
    let Some(devices) = domain.child_mut("devices") else {
        return Err(missing("the machine has no devices".to_owned()));
    };
    let mut nics = other.nics.iter();
    let mut screen = other.screen.as_ref().map(|screen| screen_elements(screen)[0].clone());
    let mut count = 0;
    for device in &mut devices.children {
        match device.name.as_str() {
            "interface" => {
                count += 1;
                let Some(nic) = nics.next() else { continue };
                plug(device, &nic_element(nic));
            }
            // A socket in a folder of the one that was saved.
            "channel" => device.children.retain(|child| child.name != "source"),
            "graphics" => {
                if let Some(screen) = screen.take() {
                    *device = screen;
                }
            }
            _ => {}
        }
    }
    if count != other.nics.len() {
        return Err(missing(format!("the machine has {count} NICs and not {}", other.nics.len())));
    }
    Ok(domain.to_string())
}

/// Puts a NIC that was saved where another one is: on its network, with its tap and its cable in or out.
fn plug(saved: &mut Element, nic: &Element) {
    const PLACES: [&str; 4] = ["mac", "source", "target", "link"];
    saved.set("type", nic.get("type").unwrap_or_default());
    saved.children.retain(|child| !PLACES.contains(&child.name.as_str()));
    saved.children.extend(nic.children.iter().filter(|child| PLACES.contains(&child.name.as_str())).cloned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::spec::{Access, Bus, Cpu, CpuModel, DomainDisk, DomainNic, ImageFormat, Screen};

    /// As libvirt 9.0 writes it of a machine that runs, without what nobody changes.
    const SAVED: &str = "<domain type='qemu'><name>a</name><uuid>11111111-1111-1111-1111-111111111111</uuid>\
        <metadata><polder:owner xmlns:polder='urn:polder:owner:1' prefix='/a/'/></metadata>\
        <sysinfo type='smbios'><oemStrings><entry>polder.host=host-a</entry></oemStrings></sysinfo>\
        <os><type machine='pc-q35-7.2'>hvm</type><kernel>/a/vmlinuz</kernel><initrd>/a/initrd</initrd>\
        <cmdline>root=/dev/vda</cmdline></os><devices>\
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a/0'/>\
        <backingStore type='file'><source file='/base'/></backingStore><target dev='vda' bus='virtio'/>\
        <alias name='virtio-disk0'/></disk>\
        <interface type='network'><mac address='52:54:00:00:00:01'/>\
        <source network='lan-a' portid='9b1c' bridge='virbr1'/><target dev='tap-a0'/><model type='virtio'/>\
        <alias name='net0'/></interface>\
        <interface type='network'><mac address='52:54:00:00:00:02'/><source network='back-a'/>\
        <target dev='tap-a1'/><model type='virtio'/><link state='down'/></interface>\
        <serial type='pty'><source path='/dev/pts/1'/><log file='/a/log' append='on'/></serial>\
        <channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/domain-1-a/agent'/>\
        <target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
        <graphics type='vnc' socket='/a/vnc.sock'><listen type='socket' socket='/a/vnc.sock'/></graphics>\
        </devices></domain>";

    fn other() -> DomainSpec {
        let nic = |mac: &str, network: &str, tap: &str, link_up| DomainNic {
            mac: mac.parse().unwrap(),
            network: network.to_owned(),
            tap: tap.to_owned(),
            model: "virtio".to_owned(),
            mtu: None,
            link_up,
        };
        DomainSpec {
            name: "b".to_owned(),
            uuid: "22222222-2222-2222-2222-222222222222".to_owned(),
            label: None,
            kvm: false,
            machine_type: "q35".to_owned(),
            memory_mib: 128,
            vcpus: 1,
            cpu: Cpu { model: CpuModel::Best, topology: None, cells: 1 },
            boot: Boot::Kernel {
                kernel: "/b/vmlinuz".into(),
                initrd: Some("/b/initrd".into()),
                cmdline: "never mind".to_owned(),
            },
            oem_strings: vec!["polder.host=b".to_owned()],
            disks: vec![DomainDisk {
                dev: "vda".to_owned(),
                bus: Bus::Virtio,
                path: "/b/0".into(),
                format: ImageFormat::Qcow2,
                access: Access::ReadWrite,
                serial: String::new(),
                boot_order: None,
            }],
            nics: vec![
                nic("52:54:00:00:01:01", "lan-b", "tap-b0", false),
                nic("52:54:00:00:01:02", "back-b", "tap-b1", true),
            ],
            console: "/b/log".into(),
            screen: Some(Screen::At("/b/vnc.sock".into())),
            keep_owners: false,
            overlay: None,
        }
    }

    #[test]
    fn a_saved_machine_becomes_another_one() {
        insta::assert_snapshot!(as_other(SAVED, &other()).unwrap(), @r#"
        <domain type="qemu">
          <name>b</name>
          <uuid>22222222-2222-2222-2222-222222222222</uuid>
          <os>
            <type machine="pc-q35-7.2">hvm</type>
            <kernel>/b/vmlinuz</kernel>
            <initrd>/b/initrd</initrd>
            <cmdline>root=/dev/vda</cmdline>
          </os>
          <devices>
            <disk type="file" device="disk">
              <driver name="qemu" type="qcow2"/>
              <target dev="vda" bus="virtio"/>
              <alias name="virtio-disk0"/>
              <source file="/b/0"/>
            </disk>
            <interface type="network">
              <model type="virtio"/>
              <alias name="net0"/>
              <mac address="52:54:00:00:01:01"/>
              <source network="lan-b"/>
              <target dev="tap-b0"/>
              <link state="down"/>
            </interface>
            <interface type="network">
              <model type="virtio"/>
              <mac address="52:54:00:00:01:02"/>
              <source network="back-b"/>
              <target dev="tap-b1"/>
            </interface>
            <serial type="pty">
              <source path="/dev/pts/1"/>
              <log file="/b/log" append="on"/>
            </serial>
            <channel type="unix">
              <target type="virtio" name="org.qemu.guest_agent.0"/>
            </channel>
            <graphics type="vnc" socket="/b/vnc.sock"/>
          </devices>
          <sysinfo type="smbios">
            <oemStrings>
              <entry>polder.host=b</entry>
            </oemStrings>
          </sysinfo>
          <seclabel type="none"/>
        </domain>
        "#);
        let anywhere = DomainSpec { screen: Some(Screen::Anywhere), ..other() };
        let xml = as_other(SAVED, &anywhere).unwrap();
        assert!(xml.contains("<listen type=\"socket\"/>") && !xml.contains("vnc.sock"), "{xml}");
    }

    #[test]
    fn nothing_of_the_one_that_was_saved_is_left() {
        let xml = as_other(SAVED, &other()).unwrap();
        for of_a in ["/a/", "-a", "domain-1", "11111111", "00:00:01\"", "virbr1", "9b1c", "<name>a<"] {
            assert!(!xml.contains(of_a), "{of_a} in {xml}");
        }
        assert_eq!(as_other(&xml, &other()).unwrap(), xml, "what is so already stays so");
    }

    #[rstest::rstest]
    #[case(
        "<link state='down'/></interface>",
        "<link state='down'/></interface><interface/>",
        "the machine has 3 NICs and not 2"
    )]
    #[case("dev='vda'", "dev='vdb'", "the machine has no disk `vda`")]
    #[case("<name>a</name>", "", "the machine has no name")]
    #[case("<uuid>11111111-1111-1111-1111-111111111111</uuid>", "", "the machine has no uuid")]
    fn a_machine_with_other_hardware_does_not(#[case] this: &str, #[case] that: &str, #[case] told: &str) {
        assert_eq!(as_other(&SAVED.replacen(this, that, 1), &other()).unwrap_err().what, told);
    }

    #[test]
    fn as_many_nics_are_needed() {
        let mut fewer = other();
        fewer.nics.pop();
        assert_eq!(as_other(SAVED, &fewer).unwrap_err().what, "the machine has 2 NICs and not 1");
        assert_eq!(
            as_other(SAVED, &DomainSpec { nics: vec![], ..other() }).unwrap_err().what,
            "the machine has 2 NICs and not 0"
        );
    }

    #[test]
    fn what_is_no_machine_is_refused() {
        assert!(as_other("", &other()).is_err() && as_other("<domain>", &other()).is_err());
        assert!(as_other("<domain/>", &other()).is_err());
    }
}
