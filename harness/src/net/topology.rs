//! From what is asked of the networks to every address, MAC and name: the same answer for the same question.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    address::{Address, Addresses, Subnet, Subnets, nics, subnets, with_ipv4},
    error::NetError,
    name,
    spec::{
        DhcpPlan, DnsPlan, DnsRecord, Family, LinkPlan, MTU, MachineAsk, NetAsk, NetKind, NetPlan, NicAsk,
        Outward, PREFIX, PlannedHost, PlannedNet, PlannedNic, Scope, Vlan, WAY_OUT_GATEWAY,
    },
};
use crate::base::id::{Mac, MachineName, NetName};

/// Decides everything, for a place where `scope` is free.
///
/// # Errors
/// Every reason why it cannot be as asked.
pub fn plan(nets: &[NetAsk], machines: &[MachineAsk], scope: &Scope) -> Result<NetPlan, Vec<NetError>> {
    let mut errors = Vec::new();
    known_nets(nets, machines, &mut errors);
    let (subnets4, subnets6) = subnets(nets, &scope.pool, &mut errors);
    let v4 = Addresses::give(nets, &subnets4, machines, |_, _, _| None, &mut errors);
    let with_ip = |machine, index, subnet: &_| with_ipv4(subnet, *v4.of.get(&(machine, index))?);
    let v6 = Addresses::give(nets, &subnets6, machines, with_ip, &mut errors);
    let mut planner =
        Planner { nets, scope, subnets4, subnets6, v4: v4.of, v6: v6.of, macs: BTreeMap::new(), errors };
    let bridge_macs = planner.bridge_macs();
    planner.macs(machines);
    let nics: BTreeMap<_, _> = machines.iter().map(|m| (m.name.clone(), planner.nics(m))).collect();
    planner.distinct_names(machines, &nics);
    let planned = nets.iter().map(|net| planner.net(net, &bridge_macs, &nics)).collect();
    if planner.errors.is_empty() { Ok(NetPlan { nets: planned, nics }) } else { Err(planner.errors) }
}

/// A further NIC for a machine that runs, on a net that does: with the lowest free addresses, of which `taken` are not
/// in the plan. `None` when the net has no address left.
#[must_use]
pub fn another(
    net: &PlannedNet,
    machine: &MachineName,
    index: usize,
    taken: &[IpAddr],
    scope: &Scope,
) -> Option<PlannedNic> {
    let ip = match net.gateway {
        Some(gateway) => {
            let used =
                |ip: &Ipv4Addr| taken.contains(&(*ip).into()) || net.hosts.iter().any(|h| h.ip == Some(*ip));
            let subnet = Subnet { gateway, prefix: net.prefix, asked: true };
            Some(subnet.lowest(used)?)
        }
        None => None,
    };
    let ip6 = match net.gateway6 {
        Some((gateway, prefix)) => {
            let used =
                |ip: &Ipv6Addr| taken.contains(&(*ip).into()) || net.hosts.iter().any(|h| h.ip6 == Some(*ip));
            let subnet = Subnet { gateway, prefix, asked: true };
            let with_ip = ip.and_then(|ip| with_ipv4(&subnet, ip)).filter(|ip| !used(ip));
            Some(with_ip.or_else(|| subnet.lowest(used))?)
        }
        None => None,
    };
    Some(PlannedNic {
        index,
        net: net.name.clone(),
        ip,
        ip6,
        mac: ip.map_or_else(|| name::mac(scope, machine.as_str(), index, 0), Mac::from_ip),
        mtu: net.mtu,
        vlan: None,
        link: LinkPlan::default(),
        tap: name::tap(scope, machine, index),
        names: Vec::new(),
    })
}

fn known_nets(nets: &[NetAsk], machines: &[MachineAsk], errors: &mut Vec<NetError>) {
    for (machine, index, nic) in nics(machines) {
        if !nets.iter().any(|net| net.name == nic.net) {
            let (machine, net) = (machine.clone(), nic.net.clone());
            errors.push(NetError::UnknownNet { machine, index, net });
        }
    }
}

/// Who has an Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MacOwner<'a> {
    Bridge(&'a NetName),
    Nic(&'a MachineName, usize),
}

struct Planner<'a> {
    nets: &'a [NetAsk],
    scope: &'a Scope,
    subnets4: Subnets<'a, Ipv4Addr>,
    subnets6: Subnets<'a, Ipv6Addr>,
    v4: BTreeMap<(&'a MachineName, usize), Ipv4Addr>,
    v6: BTreeMap<(&'a MachineName, usize), Ipv6Addr>,
    macs: BTreeMap<Mac, MacOwner<'a>>,
    errors: Vec<NetError>,
}

impl<'a> Planner<'a> {
    fn bridge_macs(&mut self) -> BTreeMap<&'a NetName, Mac> {
        let mut macs = BTreeMap::new();
        for net in self.nets {
            let mac = match self.subnets4.get(&net.name) {
                Some(subnet) => Mac::from_ip(subnet.gateway),
                None => self.free_mac(&format!("net {}", net.name), 0),
            };
            self.macs.insert(mac, MacOwner::Bridge(&net.name));
            macs.insert(&net.name, mac);
        }
        macs
    }

    /// Gives every NIC its Ethernet address: the one it asks for, the one made from its IPv4 address, or one made up.
    fn macs(&mut self, machines: &'a [MachineAsk]) {
        for (machine, index, nic) in nics(machines) {
            if let Some(mac) = nic.mac {
                // The lowest bit of the first byte marks a group.
                if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
                    self.errors.push(NetError::BadMac { machine: machine.clone(), index, mac });
                }
                self.take(mac, machine, index);
            }
        }
        for (machine, index, nic) in nics(machines).filter(|(_, _, nic)| nic.mac.is_none()) {
            if self.nets.iter().any(|net| net.name == nic.net)
                && let Some(ip) = self.v4.get(&(machine, index))
            {
                self.take(Mac::from_ip(*ip), machine, index);
            }
        }
        for (machine, index, nic) in nics(machines).filter(|(_, _, nic)| nic.mac.is_none()) {
            if !self.v4.contains_key(&(machine, index)) && self.nets.iter().any(|net| net.name == nic.net) {
                let mac = self.free_mac(machine.as_str(), index);
                self.take(mac, machine, index);
            }
        }
    }

    fn free_mac(&self, owner: &str, index: usize) -> Mac {
        let mut candidates = (0..=u8::MAX).map(|attempt| name::mac(self.scope, owner, index, attempt));
        let free = candidates.clone().find(|mac| !self.macs.contains_key(mac));
        free.or_else(|| candidates.next()).unwrap_or(Mac([0x56, 0x52, 0, 0, 0, 0]))
    }

    fn take(&mut self, mac: Mac, machine: &'a MachineName, index: usize) {
        match self.macs.get(&mac) {
            None => drop(self.macs.insert(mac, MacOwner::Nic(machine, index))),
            Some(owner) => {
                let owner = match owner {
                    MacOwner::Bridge(net) => format!("the gateway of the net `{net}`"),
                    MacOwner::Nic(machine, index) => format!("NIC {index} of machine `{machine}`"),
                };
                self.errors.push(NetError::MacClash { machine: machine.clone(), index, mac, owner });
            }
        }
    }

    fn nics(&mut self, machine: &'a MachineAsk) -> Vec<PlannedNic> {
        let macs: BTreeMap<usize, Mac> = self
            .macs
            .iter()
            .filter_map(|(mac, owner)| match owner {
                MacOwner::Nic(name, index) if **name == machine.name => Some((*index, *mac)),
                _ => None,
            })
            .collect();
        let mut planned = Vec::new();
        for (index, nic) in machine.nics.iter().enumerate() {
            self.vlans(&machine.name, index, nic);
            // One that has none is an error already.
            if let Some(mac) = macs.get(&index) {
                planned.push(self.nic(machine, index, nic, *mac));
            }
        }
        planned
    }

    fn nic(&self, machine: &MachineAsk, index: usize, nic: &NicAsk, mac: Mac) -> PlannedNic {
        let key = (&machine.name, index);
        let (ip, ip6) = (self.v4.get(&key).copied(), self.v6.get(&key).copied());
        let names = match (&nic.names, ip.is_some() || ip6.is_some()) {
            (_, false) => Vec::new(),
            (Some(names), true) => names.clone(),
            (None, true) => self.names(machine, index, &nic.net),
        };
        let of_net = self.nets.iter().find(|net| net.name == nic.net).and_then(|net| net.mtu);
        let mtu = nic.mtu.or(of_net).filter(|mtu| *mtu != MTU || of_net.is_some_and(|net| net != MTU));
        PlannedNic {
            index,
            net: nic.net.clone(),
            ip,
            ip6,
            mac,
            mtu,
            vlan: nic.vlan.clone(),
            link: nic.link,
            tap: name::tap(self.scope, &machine.name, index),
            names,
        }
    }

    /// The names every NIC gets.
    fn names(&self, machine: &MachineAsk, index: usize, net: &NetName) -> Vec<String> {
        let name = &machine.name;
        let nth = machine.nics.iter().take(index).filter(|earlier| earlier.net == *net).count();
        let mut names = BTreeSet::from([format!("{name}-eth{index}"), format!("{name}-{net}-{nth}")]);
        if nth == 0 {
            names.insert(format!("{name}-{net}"));
            if self.nets.iter().any(|n| n.name == *net && n.management) {
                names.insert(name.to_string());
            }
        }
        names.into_iter().collect()
    }

    fn vlans(&mut self, machine: &MachineName, index: usize, nic: &NicAsk) {
        let vlans = match &nic.vlan {
            None => &[][..],
            Some(Vlan::Access(vlan)) => std::slice::from_ref(vlan),
            Some(Vlan::Trunk(vlans)) => vlans,
        };
        let bad = vlans.iter().filter(|vlan| !(1..=4094).contains(*vlan));
        let machine = || machine.clone();
        self.errors.extend(bad.map(|vlan| NetError::BadVlan { machine: machine(), index, vlan: *vlan }));
    }

    /// DNS knows no case and one NIC for a name of ours.
    fn distinct_names(&mut self, machines: &[MachineAsk], nics: &BTreeMap<MachineName, Vec<PlannedNic>>) {
        let mut seen: BTreeMap<String, &MachineName> = BTreeMap::new();
        for machine in machines.iter().map(|m| &m.name) {
            for name in nics.get(machine).into_iter().flatten().flat_map(|nic| &nic.names) {
                if let Some(other) = seen.insert(name.to_ascii_lowercase(), machine) {
                    let (machine, other) = (machine.clone(), other.clone());
                    self.errors.push(NetError::NameClash { name: name.clone(), machine, other });
                }
            }
        }
    }

    fn net(
        &mut self,
        net: &NetAsk,
        bridge_macs: &BTreeMap<&NetName, Mac>,
        nics: &BTreeMap<MachineName, Vec<PlannedNic>>,
    ) -> PlannedNet {
        let (subnet, subnet6) =
            (self.subnets4.get(&net.name).copied(), self.subnets6.get(&net.name).copied());
        let borrowed =
            net.kind == NetKind::Bridge && self.scope.bridges.iter().any(|b| b == net.name.as_str());
        PlannedNet {
            name: net.name.clone(),
            libvirt_name: name::libvirt_name(self.scope, &net.name),
            libvirt_uuid: name::libvirt_uuid(self.scope, &net.name),
            kind: net.kind,
            management: net.management,
            bridge: if borrowed { net.name.to_string() } else { name::bridge(self.scope, &net.name) },
            borrowed,
            // Every net has one.
            bridge_mac: bridge_macs.get(&net.name).copied().unwrap_or(Mac([0; 6])),
            gateway: subnet.map(|subnet| subnet.gateway),
            prefix: match (subnet, net.ipv4) {
                (Some(subnet), _) => subnet.prefix,
                (None, Family::Given(_, prefix)) => prefix,
                (None, _) => PREFIX,
            },
            gateway6: subnet6.map(|subnet| (subnet.gateway, subnet.prefix)),
            hosts: hosts(&net.name, nics),
            dhcp: self.dhcp(net, subnet, subnet6),
            dns: self.dns(net, nics),
            mtu: net.mtu.filter(|mtu| *mtu != MTU),
            outward: self.outward(net),
        }
    }

    /// In a lab with others, nets lead where the host leads.
    fn outward(&self, net: &NetAsk) -> Outward {
        let asks = |net: &NetAsk| net.internet && net.kind == NetKind::Nat;
        match self.scope.uuid {
            None if asks(net) => Outward::Open,
            None if self.nets.iter().any(asks) => Outward::Shut,
            _ => Outward::AsLab,
        }
    }

    /// A net that leads out serves the names of the environment also when it is not one to reach machines on: it is
    /// where the machines on it ask for all others.
    fn dns(&self, net: &NetAsk, nics: &BTreeMap<MachineName, Vec<PlannedNic>>) -> Option<DnsPlan> {
        let open = self.outward(net) == Outward::Open;
        let of_others = || self.nets.iter().find_map(|net| net.dns_domain.clone()).filter(|_| open);
        let domain = net.dns_domain.clone().or_else(of_others);
        let forward = net.dns_forward.or(open.then_some(IpAddr::V4(WAY_OUT_GATEWAY)));
        if net.kind == NetKind::Bridge || (domain.is_none() && forward.is_none()) {
            return None;
        }
        let records = if domain.is_some() { records(&net.dns_records, nics) } else { Vec::new() };
        Some(DnsPlan { domain, records, forward })
    }

    fn dhcp(
        &mut self,
        net: &NetAsk,
        subnet: Option<Subnet<Ipv4Addr>>,
        subnet6: Option<Subnet<Ipv6Addr>>,
    ) -> Option<DhcpPlan> {
        let (start, end) = net.dhcp.as_ref().map(|range| (*range.start(), *range.end()))?;
        let plan = DhcpPlan {
            v4: subnet.and_then(|subnet| {
                let ends = [start, end].map(|octet| last_octet(subnet.gateway, octet));
                self.range(net, &subnet, ends)
            }),
            v6: subnet6.and_then(|subnet6| {
                let ends = [start, end].map(|octet| {
                    let ip = subnet.map(|subnet| last_octet(subnet.gateway, octet));
                    ip.and_then(|ip| with_ipv4(&subnet6, ip))
                        .unwrap_or_else(|| last_octet(subnet6.gateway, octet))
                });
                self.range(net, &subnet6, ends)
            }),
        };
        (plan != DhcpPlan::default()).then_some(plan)
    }

    fn range<A: Address>(
        &mut self,
        net: &NetAsk,
        subnet: &Subnet<A>,
        [start, end]: [A; 2],
    ) -> Option<(A, A)> {
        if subnet.contains(start) && subnet.contains(end) && start <= end {
            return Some((start, end));
        }
        let (net, start, end) = (net.name.clone(), start.into(), end.into());
        self.errors.push(NetError::BadRange { net, start, end, subnet: subnet.to_string() });
        None
    }
}

/// The address of that last octet beside a gateway.
fn last_octet<A: Address>(gateway: A, octet: u8) -> A {
    A::from_number((gateway.number() & !0xff) | u128::from(octet))
}

fn hosts(net: &NetName, nics: &BTreeMap<MachineName, Vec<PlannedNic>>) -> Vec<PlannedHost> {
    let mut hosts = Vec::new();
    for (machine, nics) in nics {
        for (nth, nic) in nics.iter().filter(|nic| nic.net == *net).enumerate() {
            let name = if nth == 0 { machine.to_string() } else { format!("{machine}-{net}-{nth}") };
            hosts.push(PlannedHost { mac: nic.mac, ip: nic.ip, ip6: nic.ip6, name });
        }
    }
    hosts
}

/// The names of every NIC of every net, and those asked for that no NIC has.
fn records(
    asked: &BTreeMap<String, IpAddr>,
    nics: &BTreeMap<MachineName, Vec<PlannedNic>>,
) -> Vec<DnsRecord> {
    let mut by_ip: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    let mut own = BTreeSet::new();
    for nic in nics.values().flatten() {
        own.extend(nic.names.iter().map(|name| name.to_ascii_lowercase()));
        for ip in nic.addresses() {
            by_ip.entry(ip).or_default().extend(nic.names.iter().map(String::as_str));
        }
    }
    for (name, ip) in asked.iter().filter(|(name, _)| !own.contains(&name.to_ascii_lowercase())) {
        by_ip.entry(*ip).or_default().insert(name);
    }
    let record = |(ip, names): (_, BTreeSet<&str>)| DnsRecord {
        ip,
        names: names.iter().map(ToString::to_string).collect(),
    };
    by_ip.into_iter().filter(|(_, names)| !names.is_empty()).map(record).collect()
}
