//! Who gets which subnet and which address.

use std::{collections::BTreeMap, net::Ipv4Addr, ops::RangeInclusive};

use super::{
    error::NetError,
    spec::{MachineAsk, NetAsk, NicAsk},
};
use crate::base::id::{MachineName, NetName};

/// Third octets of the /24s below 192.168 for nets that ask for none, first one first.
pub(crate) const POOL: RangeInclusive<u8> = 200..=254;
/// Last octets given to NICs that ask for none.
const DYNAMIC: RangeInclusive<u8> = 2..=254;

/// The /24 of a net.
pub(crate) struct Subnet {
    pub(crate) gateway: Ipv4Addr,
    /// Whether it was asked for, and so the addresses in it mean what they say.
    pub(crate) asked: bool,
}

/// Subnets as asked for; the other nets get the first free ones of the pool.
pub(crate) fn subnets<'a>(nets: &'a [NetAsk], errors: &mut Vec<NetError>) -> BTreeMap<&'a NetName, Subnet> {
    let mut taken: BTreeMap<[u8; 3], &NetName> = BTreeMap::new();
    let mut subnets = BTreeMap::new();
    for net in nets {
        let Some(gateway) = net.gateway else { continue };
        match taken.insert(network(gateway), &net.name) {
            Some(other) => {
                let (net, other) = (net.name.clone(), other.clone());
                errors.push(NetError::SubnetClash { net, other, gateway });
            }
            None => drop(subnets.insert(&net.name, Subnet { gateway, asked: true })),
        }
    }
    let mut free = POOL.filter(|octet| !taken.contains_key(&[192, 168, *octet]));
    for net in nets.iter().filter(|net| net.gateway.is_none()) {
        match free.next() {
            Some(octet) => {
                let gateway = Ipv4Addr::new(192, 168, octet, 1);
                subnets.insert(&net.name, Subnet { gateway, asked: false });
            }
            None => errors.push(NetError::NoSubnetLeft { net: net.name.clone() }),
        }
    }
    subnets
}

/// Who has which address.
#[derive(Default)]
pub(crate) struct Addresses<'a> {
    pub(crate) of: BTreeMap<(&'a MachineName, usize), Ipv4Addr>,
    owner: BTreeMap<Ipv4Addr, &'a MachineName>,
}

impl<'a> Addresses<'a> {
    /// Gives the addresses that are asked for.
    pub(crate) fn fixed(
        &mut self,
        nets: &[NetAsk],
        subnets: &BTreeMap<&NetName, Subnet>,
        machines: &'a [MachineAsk],
        errors: &mut Vec<NetError>,
    ) {
        for (machine, index, nic) in nics(machines) {
            let name = || (machine.clone(), nic.net.clone());
            let Some(subnet) = subnets.get(&nic.net) else {
                if !nets.iter().any(|net| net.name == nic.net) {
                    let (machine, net) = name();
                    errors.push(NetError::UnknownNet { machine, index, net });
                }
                continue;
            };
            let Some(asked) = nic.ip else { continue };
            let ip = if subnet.asked { asked } else { within(subnet.gateway, last(asked)) };
            let gateway = subnet.gateway;
            if network(ip) != network(gateway) || ip == gateway || matches!(last(ip), 0 | 255) {
                let (machine, net) = name();
                errors.push(NetError::BadAddress { machine, net, ip, gateway });
            } else if let Some(other) = self.owner.get(&ip) {
                let (other, (machine, net)) = ((*other).clone(), name());
                errors.push(NetError::AddressClash { machine, other, net, ip });
            } else {
                self.give(machine, index, ip);
            }
        }
    }

    /// Gives every other NIC the lowest free address of its net.
    pub(crate) fn dynamic(
        &mut self,
        subnets: &BTreeMap<&NetName, Subnet>,
        machines: &'a [MachineAsk],
        errors: &mut Vec<NetError>,
    ) {
        for (machine, index, nic) in nics(machines).filter(|(_, _, nic)| nic.ip.is_none()) {
            let Some(subnet) = subnets.get(&nic.net) else {
                continue;
            };
            let all = DYNAMIC.map(|octet| within(subnet.gateway, octet));
            let free = all.filter(|ip| *ip != subnet.gateway).find(|ip| !self.owner.contains_key(ip));
            match free {
                Some(ip) => self.give(machine, index, ip),
                None => {
                    let (machine, net) = (machine.clone(), nic.net.clone());
                    errors.push(NetError::NoAddressLeft { net, machine });
                }
            }
        }
    }

    fn give(&mut self, machine: &'a MachineName, index: usize, ip: Ipv4Addr) {
        self.of.insert((machine, index), ip);
        self.owner.insert(ip, machine);
    }
}

pub(crate) fn nics(machines: &[MachineAsk]) -> impl Iterator<Item = (&MachineName, usize, &NicAsk)> {
    machines.iter().flat_map(|m| m.nics.iter().enumerate().map(|(index, nic)| (&m.name, index, nic)))
}

pub(crate) fn network(ip: Ipv4Addr) -> [u8; 3] {
    let [a, b, c, _] = ip.octets();
    [a, b, c]
}

pub(crate) fn last(ip: Ipv4Addr) -> u8 {
    let [.., last] = ip.octets();
    last
}

/// The address ending in `octet` in the /24 of `gateway`.
pub(crate) fn within(gateway: Ipv4Addr, octet: u8) -> Ipv4Addr {
    let [a, b, c, _] = gateway.octets();
    Ipv4Addr::new(a, b, c, octet)
}
