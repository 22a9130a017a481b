//! A plan for people: what `polder plan` prints.

use std::fmt;

use super::model::{Backing, DiskPlan, EnvPlan, IdentityFrom, MachinePlan, Made};
use crate::{
    net::{Outward, PlannedNet, Vlan},
    provider::spec::{Boot, Bus, CpuModel, DomainDisk, DomainSpec},
};

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
    let image = machine.image.as_deref().unwrap_or("no image");
    write!(f, "machine {}: ", machine.name)?;
    match &machine.domain {
        Some(domain) => show_domain(f, machine, image, domain)?,
        None => {
            let address = machine.management_ip.map(|ip| format!(" at {ip}")).unwrap_or_default();
            writeln!(f, "{} as {}{address}", machine.provider, machine.login.user)?;
        }
    }
    for nic in &machine.nics {
        let management = nets.iter().any(|net| net.name == nic.net && net.management);
        let mark = if management { " (management)" } else { "" };
        let eth = format!("eth{}", nic.index);
        let addresses: Vec<String> = nic.addresses().map(|ip| ip.to_string()).collect();
        let (addresses, names) = (addresses.join(" "), nic.names.join(" "));
        write!(f, "  {eth:5} {addresses:15} {}  {}{mark}: {names}", nic.mac, nic.net)?;
        if let Some(vlan) = &nic.vlan {
            let shown = match vlan {
                Vlan::Access(vlan) => format!("VLAN {vlan}"),
                Vlan::Trunk(vlans) => {
                    format!("VLANs {}", vlans.iter().map(u16::to_string).collect::<Vec<_>>().join(" "))
                }
            };
            write!(f, ", {shown}")?;
        }
        match (nic.link.up, nic.link.impairment.is_none()) {
            (false, _) => write!(f, ", cable unplugged")?,
            (true, false) => write!(f, ", impaired")?,
            (true, true) => {}
        }
        match machine.domain.as_ref().and_then(|domain| domain.nics.get(nic.index)) {
            Some(card) if card.model != "virtio" => write!(f, ", {}", card.model)?,
            _ => {}
        }
        writeln!(f)?;
    }
    for (disk, plan) in machine.domain.iter().flat_map(|domain| &domain.disks).zip(&machine.disks) {
        show_disk(f, disk, plan)?;
    }
    let scripts: Vec<_> =
        machine.deploy_scripts.iter().map(|script| script.path.display().to_string()).collect();
    let listed = [
        ("groups", &machine.groups),
        ("roles", &machine.roles),
        ("capabilities", &machine.capabilities),
        ("deploys", &scripts),
        ("collects", &machine.artifacts),
    ];
    for (what, items) in listed {
        if !items.is_empty() {
            writeln!(f, "  {what} {}", items.join(" "))?;
        }
    }
    Ok(())
}

fn show_domain(
    f: &mut fmt::Formatter<'_>,
    machine: &MachinePlan,
    image: &str,
    domain: &DomainSpec,
) -> fmt::Result {
    let accel = if domain.kvm { "KVM" } else { "TCG" };
    let plural = if domain.vcpus == 1 { "" } else { "s" };
    write!(f, "{image}, {} MiB, {} vcpu{plural}, {accel}", domain.memory_mib, domain.vcpus)?;
    // What is as it nearly always is goes without saying.
    if machine.provider != super::LOCAL {
        write!(f, ", made by {}", machine.provider)?;
    }
    if machine.vm_type != "default" {
        write!(f, ", of type {}", machine.vm_type)?;
    }
    if domain.machine_type != "q35" {
        write!(f, ", a {}", domain.machine_type)?;
    }
    if domain.screen.is_some() {
        write!(f, ", with a screen")?;
    }
    match &domain.cpu.model {
        CpuModel::Best => {}
        CpuModel::Exact { name, .. } => write!(f, ", CPU {name}")?,
        CpuModel::Custom(_) => write!(f, ", CPU as written")?,
    }
    if let Some(t) = domain.cpu.topology {
        write!(f, " ({} sockets, {} cores, {} threads)", t.sockets, t.cores, t.threads)?;
    }
    writeln!(f)?;
    if domain.name != machine.name.as_str() {
        writeln!(f, "  in libvirt {}", domain.name)?;
    }
    match &domain.boot {
        Boot::Kernel { .. } if machine.identity == IdentityFrom::Smbios => {}
        Boot::Kernel { kernel, cmdline, .. } => writeln!(f, "  boots {} {cmdline}", kernel.display())?,
        Boot::Bios => writeln!(f, "  boots from disk")?,
        Boot::Uefi { .. } => writeln!(f, "  boots from disk by UEFI")?,
    }
    if let Some(told) = &machine.told {
        writeln!(f, "  {told}")?;
    }
    if domain.overlay.is_some() {
        writeln!(f, "  with XML of its own")?;
    }
    Ok(())
}

fn show_disk(f: &mut fmt::Formatter<'_>, disk: &DomainDisk, plan: &DiskPlan) -> fmt::Result {
    let path = disk.path.display();
    let over = |backing: &Backing| format!("{} ({})", backing.path.display(), backing.format);
    write!(f, "  {:5} ", disk.dev)?;
    match plan.image.as_ref().map(|image| &image.made) {
        Some(Made::Over(backing)) => write!(f, "{path}, over {}", over(backing))?,
        Some(Made::Copy(backing)) => write!(f, "{path}, a copy of {}", over(backing))?,
        Some(Made::Empty { size }) => write!(f, "{path}, {}, empty ({})", bytes(*size), disk.format)?,
        Some(Made::Seed(_)) => write!(f, "{path}, for cloud-init, read-only")?,
        None => write!(f, "{path}, read-only")?,
    }
    let expected = if disk.dev.starts_with("vd") { Bus::Virtio } else { Bus::Scsi };
    if disk.bus != expected {
        write!(f, ", {}", disk.bus)?;
    }
    if let Some(order) = disk.boot_order {
        write!(f, ", boot order {order}")?;
    }
    let steps = plan.steps.len() + plan.layer.as_ref().map_or(0, |layer| layer.steps.len());
    if steps > 0 {
        write!(f, ", built in {steps} step{}", if steps == 1 { "" } else { "s" })?;
    }
    writeln!(f)
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
    if net.outward == Outward::Open {
        write!(f, ", leads out")?;
    }
    writeln!(f)
}
