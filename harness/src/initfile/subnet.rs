//! Arithmetic of IPv4 and IPv6 subnets. Knows no init file.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// An IPv4 subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    first: u32,
    len: u8,
}

impl Subnet {
    /// The one an address is in, when the prefix is that long (at most 32).
    pub(crate) fn of(ip: Ipv4Addr, len: u8) -> Self {
        Self { first: ip.to_bits() & mask(len), len }
    }

    pub(crate) fn contains(self, ip: Ipv4Addr) -> bool {
        ip.to_bits() & mask(self.len) == self.first
    }

    /// Whether a machine can have the address: it is neither the subnet's own nor that of everybody in it.
    pub(crate) fn has_host(self, ip: Ipv4Addr) -> bool {
        let host = ip.to_bits() & !mask(self.len);
        self.contains(ip) && host != 0 && host != !mask(self.len)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let mask = mask(self.len.min(other.len));
        self.first & mask == other.first & mask
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.first), self.len)
    }
}

fn mask(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or_default()
}

/// The /64 an address is in.
pub(crate) fn prefix64(ip: Ipv6Addr) -> u64 {
    let [bits, _] = halves(ip);
    bits
}

/// What tells machines of a /64 apart.
pub(crate) fn interface64(ip: Ipv6Addr) -> u64 {
    let [_, bits] = halves(ip);
    bits
}

fn halves(ip: Ipv6Addr) -> [u64; 2] {
    let bits = ip.to_bits();
    [bits.wrapping_shr(64), bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.0.1.255", 20, true)]
    #[case("10.0.15.254", 20, true)]
    #[case("10.0.0.0", 20, false)]
    #[case("10.0.15.255", 20, false)]
    #[case("10.0.16.1", 20, false)]
    #[case("10.0.0.2", 30, true)]
    #[case("10.0.0.3", 30, false)]
    #[case("10.0.0.4", 30, false)]
    fn hosts_of_a_subnet(#[case] ip: Ipv4Addr, #[case] len: u8, #[case] is: bool) {
        assert_eq!(Subnet::of(Ipv4Addr::new(10, 0, 0, 1), len).has_host(ip), is);
    }

    #[test]
    fn subnets_overlap_when_one_is_in_the_other() {
        let subnet = |ip: &str, len| Subnet::of(ip.parse().unwrap(), len);
        assert!(subnet("10.0.0.1", 16).overlaps(subnet("10.0.9.1", 24)));
        assert!(subnet("10.0.9.1", 24).overlaps(subnet("10.0.0.1", 16)));
        assert!(!subnet("10.0.8.1", 24).overlaps(subnet("10.0.9.1", 24)));
        assert!(subnet("10.0.8.1", 0).overlaps(subnet("192.0.9.1", 24)));
        assert_eq!(subnet("10.0.9.77", 20).to_string(), "10.0.0.0/20");
    }

    #[test]
    fn halves_of_an_address() {
        let ip = "fd00:1:2:3::5:6".parse().unwrap();
        assert_eq!((prefix64(ip), interface64(ip)), (0xfd00_0001_0002_0003, 0x0005_0006));
    }
}
