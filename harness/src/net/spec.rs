//! What is asked of the networks of an environment, and what is decided about them.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::base::id::{Mac, MachineName, NetName};

/// Length of every net's prefix.
pub const PREFIX: u8 = 24;

/// How a network is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetKind {
    /// Leads out through the lab, as far as that has a way out; nets do not reach one another.
    Nat,
    /// Reaches nothing but its own members and its gateway address.
    Isolated,
}

impl fmt::Display for NetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nat => "nat",
            Self::Isolated => "isolated",
        })
    }
}

/// A net as asked for.
#[derive(Debug, Clone)]
pub struct NetAsk {
    /// Its name.
    pub name: NetName,
    /// How it is connected.
    pub kind: NetKind,
    /// Whether machines are reached on it and DNS is served on it.
    pub management: bool,
    /// Its gateway, which decides its /24.
    pub gateway: Option<Ipv4Addr>,
    /// Last octets of its dynamic range; absent: no DHCP.
    pub dhcp: Option<RangeInclusive<u8>>,
    /// Domain for DNS; absent: no DNS.
    pub dns_domain: Option<String>,
    /// Names to serve besides those of the machines, which win.
    pub dns_records: BTreeMap<String, Ipv4Addr>,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
}

/// A machine as asked for.
#[derive(Debug, Clone)]
pub struct MachineAsk {
    /// Its name.
    pub name: MachineName,
    /// Its NICs.
    pub nics: Vec<NicAsk>,
}

/// A NIC as asked for.
#[derive(Debug, Clone)]
pub struct NicAsk {
    /// The net it is on.
    pub net: NetName,
    /// Its address; on a net without a gateway of its own only the last octet counts.
    pub ip: Option<Ipv4Addr>,
}

/// Everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct NetPlan {
    /// The nets, in the order asked.
    pub nets: Vec<PlannedNet>,
    /// Each machine's NICs, in the order asked.
    pub nics: BTreeMap<MachineName, Vec<PlannedNic>>,
}

/// A net with everything decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedNet {
    /// Its name.
    pub name: NetName,
    /// How it is connected.
    pub kind: NetKind,
    /// Whether machines are reached on it.
    pub management: bool,
    /// Name of its bridge: at most 15 characters, a function of the net's name.
    pub bridge: String,
    /// The bridge's Ethernet address: fixed, else restored guests keep asking for the old one.
    pub bridge_mac: Mac,
    /// The bridge's address, also of nets that lead nowhere: DHCP and DNS are served from it.
    pub gateway: Ipv4Addr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The NICs on it.
    pub hosts: Vec<PlannedHost>,
    /// The dynamic range, if DHCP is served; every host has a reservation then.
    pub dhcp: Option<DhcpPlan>,
    /// DNS, if served.
    pub dns: Option<DnsPlan>,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
}

impl PlannedNet {
    /// Whether guests take their default route through this net: the one way out a machine has.
    #[must_use]
    pub fn is_default_route(&self) -> bool {
        self.management && self.kind == NetKind::Nat
    }
}

/// Dynamic range of a net, both ends included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DhcpPlan {
    /// First address.
    pub start: Ipv4Addr,
    /// Last address.
    pub end: Ipv4Addr,
}

/// A NIC as its net sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedHost {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its address.
    pub ip: Ipv4Addr,
    /// The host name DHCP tells it: the machine's, which is unique in a net but for further NICs of the same machine.
    pub name: String,
}

/// DNS of a net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsPlan {
    /// The domain.
    pub domain: String,
    /// Addresses and their names, of all nets.
    pub records: Vec<DnsRecord>,
}

/// The names of an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// The address.
    pub ip: Ipv4Addr,
    /// Its names, sorted.
    pub names: Vec<String>,
}

/// A NIC with everything decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedNic {
    /// Its number in its machine: `eth<index>`.
    pub index: usize,
    /// The net it is on.
    pub net: NetName,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its Ethernet address, made from `ip`.
    pub mac: Mac,
    /// Its names in DNS.
    pub names: Vec<String>,
}
