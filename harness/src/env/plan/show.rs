//! A plan for people: what `polder plan` prints.

use std::fmt;

use super::model::{EnvPlan, MachinePlan, OverlayPlan};
use crate::{net::PlannedNet, provider::spec::DomainDisk};

impl fmt::Display for EnvPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.origin.display())?;
        for machine in &self.machines {
            writeln!(f)?;
            show_machine(f, machine, &self.nets)?;
        }
        writeln!(f)?;
        for net in &self.nets {
            show_net(f, net)?;
        }
        for bind in &self.binds {
            writeln!(f, "file {} (in the lab {})", bind.from.display(), bind.to.display())?;
        }
        Ok(())
    }
}

fn show_machine(f: &mut fmt::Formatter<'_>, machine: &MachinePlan, nets: &[PlannedNet]) -> fmt::Result {
    let domain = &machine.domain;
    let accel = if domain.kvm { "KVM" } else { "TCG" };
    let image = machine.image.as_deref().unwrap_or("no image");
    let plural = if domain.vcpus == 1 { "" } else { "s" };
    writeln!(
        f,
        "machine {}: {image}, {} MiB, {} vcpu{plural}, {accel}",
        machine.name, domain.memory_mib, domain.vcpus
    )?;
    for nic in &machine.nics {
        let management = nets.iter().any(|net| net.name == nic.net && net.management);
        let mark = if management { " (management)" } else { "" };
        let eth = format!("eth{}", nic.index);
        let addresses: Vec<String> = nic.addresses().map(|ip| ip.to_string()).collect();
        let (addresses, names) = (addresses.join(" "), nic.names.join(" "));
        writeln!(f, "  {eth:5} {addresses:15} {}  {}{mark}: {names}", nic.mac, nic.net)?;
    }
    for disk in &domain.disks {
        let overlay = machine.overlays.iter().find(|overlay| disk.path.ends_with(&overlay.path));
        writeln!(f, "  {:5} {}", disk.dev, disk_source(disk, overlay))?;
    }
    for (what, items) in [("groups", &machine.groups), ("collects", &machine.artifacts)] {
        if !items.is_empty() {
            writeln!(f, "  {what} {}", items.join(" "))?;
        }
    }
    Ok(())
}

fn disk_source(disk: &DomainDisk, overlay: Option<&OverlayPlan>) -> String {
    let path = disk.path.display();
    match overlay.map(|overlay| (&overlay.backing, overlay.size)) {
        Some((Some(backing), _)) => format!("{path}, over {} ({})", backing.path.display(), backing.format),
        Some((None, size)) => format!("{path}, {}, empty ({})", bytes(size.unwrap_or_default()), disk.format),
        None => format!("{path}, read-only"),
    }
}

/// In the largest unit that needs no fraction.
fn bytes(size: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.iter().find(|(_, shift)| size.is_multiple_of(1 << shift) && size > 0);
    unit.map_or_else(|| format!("{size} bytes"), |(name, shift)| format!("{} {name}", size >> shift))
}

fn show_net(f: &mut fmt::Formatter<'_>, net: &PlannedNet) -> fmt::Result {
    let mark = if net.management { " (management)" } else { "" };
    write!(f, "net {}{mark}: {}", net.name, net.kind)?;
    if let Some(gateway) = net.gateway {
        write!(f, ", gateway {gateway}/{}", net.prefix)?;
    }
    if let Some((gateway, prefix)) = net.gateway6 {
        write!(f, ", gateway {gateway}/{prefix}")?;
    }
    write!(f, " on {}", net.bridge)?;
    let dhcp = net.dhcp.as_ref();
    match dhcp {
        Some(_) => {
            for (start, end) in dhcp.iter().filter_map(|dhcp| dhcp.v4) {
                write!(f, ", DHCP {start} to {end}")?;
            }
            for (start, end) in dhcp.iter().filter_map(|dhcp| dhcp.v6) {
                write!(f, ", DHCP {start} to {end}")?;
            }
        }
        None => write!(f, ", no DHCP")?,
    }
    if let Some(domain) = net.dns.as_ref().and_then(|dns| dns.domain.as_ref()) {
        write!(f, ", DNS {domain}")?;
    }
    if let Some(mtu) = net.mtu {
        write!(f, ", MTU {mtu}")?;
    }
    writeln!(f)
}
