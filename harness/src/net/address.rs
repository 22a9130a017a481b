//! Who gets which subnet and which address, the same for both families: addresses are numbers of so many bits.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    error::NetError,
    spec::{Family, MachineAsk, NetAsk, NetKind, NicAsk, PREFIX, PREFIX6},
};
use crate::base::id::{MachineName, NetName};

/// The first number given to NICs that ask for none.
const FIRST: u128 = 2;

/// An address family.
pub(super) trait Address: Copy + Ord + fmt::Display + Into<IpAddr> {
    /// Its name.
    const NAME: &'static str;
    /// Bits of an address.
    const BITS: u8;
    /// Prefix lengths that leave room for a gateway and a machine.
    const PREFIXES: std::ops::RangeInclusive<u8>;
    /// The prefix of subnets that are chosen.
    const CHOSEN: u8;
    fn number(self) -> u128;
    fn from_number(number: u128) -> Self;
    fn of_net(net: &NetAsk) -> Family<Self>;
    fn of_nic(nic: &NicAsk) -> Option<Self>;
}

impl Address for Ipv4Addr {
    const NAME: &'static str = "IPv4";
    const BITS: u8 = 32;
    const PREFIXES: std::ops::RangeInclusive<u8> = 8..=30;
    const CHOSEN: u8 = PREFIX;
    fn number(self) -> u128 {
        self.to_bits().into()
    }
    fn from_number(number: u128) -> Self {
        // Numbers come from addresses of this family: the upper bits are empty.
        Self::from_bits((number & u128::from(u32::MAX)) as u32)
    }
    fn of_net(net: &NetAsk) -> Family<Self> {
        net.ipv4
    }
    fn of_nic(nic: &NicAsk) -> Option<Self> {
        nic.ip
    }
}

impl Address for Ipv6Addr {
    const NAME: &'static str = "IPv6";
    const BITS: u8 = 128;
    const PREFIXES: std::ops::RangeInclusive<u8> = 16..=126;
    const CHOSEN: u8 = PREFIX6;
    fn number(self) -> u128 {
        self.to_bits()
    }
    fn from_number(number: u128) -> Self {
        Self::from_bits(number)
    }
    fn of_net(net: &NetAsk) -> Family<Self> {
        net.ipv6
    }
    fn of_nic(nic: &NicAsk) -> Option<Self> {
        nic.ip6
    }
}

/// The subnet of a net.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subnet<A> {
    pub(super) gateway: A,
    pub(super) prefix: u8,
    /// Whether it was asked for, and so the addresses in it mean what they say.
    pub(super) asked: bool,
}

impl<A: Address> Subnet<A> {
    fn chosen(gateway: A) -> Self {
        Self { gateway, prefix: A::CHOSEN, asked: false }
    }

    /// The bits that differ within the subnet.
    fn host_mask(&self) -> u128 {
        1_u128.checked_shl((A::BITS - self.prefix).into()).map_or(u128::MAX, |bit| bit - 1)
    }

    /// The address with this number in the subnet; bits that do not belong there are cut off.
    pub(super) fn at(&self, number: u128) -> A {
        let mask = self.host_mask();
        A::from_number((self.gateway.number() & !mask) | (number & mask))
    }

    pub(super) fn contains(&self, ip: A) -> bool {
        (ip.number() ^ self.gateway.number()) & !self.host_mask() == 0
    }

    /// The lowest address a machine can have that is not `used`.
    pub(super) fn lowest(&self, used: impl Fn(&A) -> bool) -> Option<A> {
        (FIRST..=self.host_mask()).map(|number| self.at(number)).find(|ip| self.is_usable(*ip) && !used(ip))
    }

    /// Whether a machine can have it.
    fn is_usable(&self, ip: A) -> bool {
        self.contains(ip) && ip != self.gateway && self.is_single(ip)
    }

    /// Whether it is neither the first address of the subnet, which means the subnet itself or any router of it, nor
    /// IPv4's last, which means everybody.
    fn is_single(&self, ip: A) -> bool {
        let host = ip.number() & self.host_mask();
        host != 0 && !(A::BITS == 32 && host == self.host_mask())
    }

    fn overlaps(&self, other: &Self) -> bool {
        let mask = self.host_mask() | other.host_mask();
        (self.gateway.number() ^ other.gateway.number()) & !mask == 0
    }
}

impl<A: Address> fmt::Display for Subnet<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.gateway, self.prefix)
    }
}

/// The subnets of all nets that have any.
pub(super) type Subnets<'a, A> = BTreeMap<&'a NetName, Subnet<A>>;

/// Subnets as asked for; the other nets get the first free ones of the pool.
pub(super) fn subnets<'a>(
    nets: &'a [NetAsk],
    pool: &[u8],
    errors: &mut Vec<NetError>,
) -> (Subnets<'a, Ipv4Addr>, Subnets<'a, Ipv6Addr>) {
    let mut v4 = given::<Ipv4Addr>(nets, errors);
    let mut v6 = given::<Ipv6Addr>(nets, errors);
    let free = |octet: &u8| !v4.values().any(|subnet: &Subnet<Ipv4Addr>| subnet.overlaps(&pooled(*octet)));
    let free: Vec<u8> = pool.iter().copied().filter(free).collect();
    let mut free = free.into_iter();
    for net in nets.iter().filter(|net| net.kind != NetKind::Bridge) {
        let name = &net.name;
        match (net.ipv4, net.ipv6) {
            (Family::Off, Family::Off) => errors.push(NetError::NoFamily { net: name.clone() }),
            (Family::Auto, _) | (Family::Off, Family::Auto) => match free.next() {
                Some(octet) => {
                    let subnet = pooled(octet);
                    if net.ipv4 == Family::Auto {
                        v4.insert(name, subnet);
                    }
                    if net.ipv6 == Family::Auto {
                        v6.insert(name, Subnet::chosen(private6(&subnet)));
                    }
                }
                None => errors.push(NetError::NoSubnetLeft { net: name.clone(), pool: pool.len() }),
            },
            (Family::Given(..), Family::Auto) => {
                if let Some(subnet) = v4.get(name) {
                    v6.insert(name, Subnet::chosen(private6(subnet)));
                }
            }
            (_, Family::Off | Family::Given(..)) => {}
        }
    }
    distinct(nets, &mut v4, errors);
    distinct(nets, &mut v6, errors);
    (v4, v6)
}

/// The subnet of a number of the pool.
fn pooled(octet: u8) -> Subnet<Ipv4Addr> {
    Subnet::chosen(Ipv4Addr::new(192, 168, octet, 1))
}

/// The gateway of the private IPv6 subnet of a number of the pool.
pub(super) fn pooled6(octet: u8) -> Ipv6Addr {
    private6(&pooled(octet))
}

/// The gateway of the private IPv6 subnet that goes with an IPv4 one: a function of it, different for subnets that do
/// not overlap. Those of the pool get what Lago gave them: the third octet, read as if it were hexadecimal.
fn private6(subnet: &Subnet<Ipv4Addr>) -> Ipv6Addr {
    let network = subnet.at(0);
    let [a, b, c, d] = network.octets().map(u16::from);
    let (third, fourth) = if network == pooled(network.octets()[2]).at(0) {
        (0x3a82, (c / 100 * 16 + c / 10 % 10) * 16 + c % 10)
    } else {
        ((a << 8) | b, (c << 8) | d)
    };
    Ipv6Addr::new(0xfd8f, 0x1391, third, fourth, 0, 0, 0, 1)
}

/// What is asked for, as far as it can be had.
fn given<'a, A: Address>(nets: &'a [NetAsk], errors: &mut Vec<NetError>) -> Subnets<'a, A> {
    let mut subnets = Subnets::new();
    for net in nets.iter().filter(|net| net.kind != NetKind::Bridge) {
        let Family::Given(gateway, prefix) = A::of_net(net) else { continue };
        let bad =
            |why| NetError::BadSubnet { net: net.name.clone(), subnet: format!("{gateway}/{prefix}"), why };
        if !A::PREFIXES.contains(&prefix) {
            errors.push(bad("a prefix of that length leaves no room, or far too much"));
            continue;
        }
        let subnet = Subnet { gateway, prefix, asked: true };
        if subnet.is_single(gateway) {
            subnets.insert(&net.name, subnet);
        } else {
            errors.push(bad("it is the first or the last address of its subnet"));
        }
    }
    subnets
}

/// Takes out what overlaps with the subnet of an earlier net.
fn distinct<A: Address>(nets: &[NetAsk], subnets: &mut Subnets<'_, A>, errors: &mut Vec<NetError>) {
    for (i, net) in nets.iter().enumerate() {
        let Some(subnet) = subnets.get(&net.name).copied() else { continue };
        let earlier = nets.iter().take(i).filter_map(|n| Some((&n.name, subnets.get(&n.name)?)));
        if let Some((other, others)) = earlier.into_iter().find(|(_, other)| subnet.overlaps(other)) {
            let (other, others) = (other.clone(), others.to_string());
            errors.push(NetError::SubnetClash {
                net: net.name.clone(),
                subnet: subnet.to_string(),
                other,
                others,
            });
            subnets.remove(&net.name);
        }
    }
}

/// Who has which address.
pub(super) struct Addresses<'a, A> {
    pub(super) of: BTreeMap<(&'a MachineName, usize), A>,
    owner: BTreeMap<A, &'a MachineName>,
}

impl<'a, A: Address> Addresses<'a, A> {
    /// Gives the addresses that are asked for, then every other NIC the one `prefer` says or the lowest free one.
    pub(super) fn give(
        nets: &[NetAsk],
        subnets: &Subnets<'_, A>,
        machines: &'a [MachineAsk],
        prefer: impl Fn(&'a MachineName, usize, &Subnet<A>) -> Option<A>,
        errors: &mut Vec<NetError>,
    ) -> Self {
        let mut addresses = Self { of: BTreeMap::new(), owner: BTreeMap::new() };
        for (machine, index, nic) in nics(machines) {
            let (Some(asked), Some(net)) = (A::of_nic(nic), nets.iter().find(|net| net.name == nic.net))
            else {
                continue;
            };
            match addresses.fixed(machine, asked, net, subnets.get(&nic.net)) {
                Ok(Some(ip)) => addresses.insert(machine, index, ip),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        for (machine, index, nic) in nics(machines).filter(|(_, _, nic)| A::of_nic(nic).is_none()) {
            let Some(subnet) = subnets.get(&nic.net) else { continue };
            let free = |ip: &A| subnet.is_usable(*ip) && !addresses.owner.contains_key(ip);
            let preferred = prefer(machine, index, subnet).filter(free);
            match preferred.or_else(|| subnet.lowest(|ip| addresses.owner.contains_key(ip))) {
                Some(ip) => addresses.insert(machine, index, ip),
                None => {
                    let (machine, net) = (machine.clone(), nic.net.clone());
                    errors.push(NetError::NoAddressLeft { net, machine });
                }
            }
        }
        addresses
    }

    /// The address a NIC gets that asks for one; none when its net is at fault, which is said already.
    fn fixed(
        &self,
        machine: &MachineName,
        asked: A,
        net: &NetAsk,
        subnet: Option<&Subnet<A>>,
    ) -> Result<Option<A>, NetError> {
        let (machine, name) = (machine.clone(), net.name.clone());
        let ip = match subnet {
            Some(subnet) => {
                // The last octet of an IPv4 address, the last 64 bits of an IPv6 one.
                let ip = if subnet.asked { asked } else { subnet.at(asked.number()) };
                if !subnet.is_usable(ip) {
                    let (ip, subnet) = (ip.into(), subnet.to_string());
                    return Err(NetError::BadAddress { machine, net: name, ip, subnet });
                }
                ip
            }
            None if net.kind == NetKind::Bridge => asked,
            None if A::of_net(net) == Family::Off => {
                let (ip, family) = (asked.into(), A::NAME);
                return Err(NetError::WrongFamily { machine, net: name, ip, family });
            }
            None => return Ok(None),
        };
        match self.owner.get(&ip) {
            Some(other) => {
                let other = (*other).clone();
                Err(NetError::AddressClash { machine, other, net: name, ip: ip.into() })
            }
            None => Ok(Some(ip)),
        }
    }

    fn insert(&mut self, machine: &'a MachineName, index: usize, ip: A) {
        self.of.insert((machine, index), ip);
        self.owner.insert(ip, machine);
    }
}

pub(super) fn nics(machines: &[MachineAsk]) -> impl Iterator<Item = (&MachineName, usize, &NicAsk)> {
    machines.iter().flat_map(|m| m.nics.iter().enumerate().map(|(index, nic)| (&m.name, index, nic)))
}

/// The IPv6 address that goes with an IPv4 one in `subnet`: its last 32 bits, where there is room for them.
pub(super) fn with_ipv4(subnet: &Subnet<Ipv6Addr>, ip: Ipv4Addr) -> Option<Ipv6Addr> {
    (subnet.prefix <= 96).then(|| subnet.at(ip.number()))
}
