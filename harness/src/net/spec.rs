//! What is asked of the networks of an environment, and what is decided about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::base::id::{Mac, MachineName, NetName};

/// Length of the IPv4 prefix of nets that do not say which subnet they want.
pub const PREFIX: u8 = 24;
/// Length of the IPv6 prefix of such nets.
pub const PREFIX6: u8 = 64;
/// Third octets of the /24s below 192.168 that nets may be given which ask for none.
pub const OCTETS: RangeInclusive<u8> = 200..=255;
/// The MTU of nets that do not ask for one, in bytes.
pub const MTU: u32 = 1500;
/// The interface by which a lab with a way out leads there.
pub const WAY_OUT: &str = "polder-out";
/// The lab's address on it and the length of its prefix: of a range (RFC 7335) that nobody routes.
pub const WAY_OUT_ADDRESS: (Ipv4Addr, u8) = (Ipv4Addr::new(192, 0, 0, 2), 29);
/// Whom the lab sends what goes out, and asks for names it does not know.
pub const WAY_OUT_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);

/// The lab's IPv6 address there, used where the host has IPv6: private (RFC 4193), and spelling our name.
pub const WAY_OUT_ADDRESS6: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x6f6c, 0x6465, 0x7200, 0, 0, 0, 2);
/// Whom the lab sends what goes out with IPv6.
pub const WAY_OUT_GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x6f6c, 0x6465, 0x7200, 0, 0, 0, 1);

/// How a network is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetKind {
    /// Leads out through the lab, as far as that has a way out; nets do not reach one another.
    Nat,
    /// Reaches nothing but its own members and its gateway address.
    Isolated,
    /// A bridge and nothing more: no address of ours, no DHCP, no DNS.
    Bridge,
}

impl fmt::Display for NetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nat => "nat",
            Self::Isolated => "isolated",
            Self::Bridge => "bridge",
        })
    }
}

/// What a net has of one address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family<A> {
    /// Nothing.
    Off,
    /// A subnet of the planner's choice.
    Auto,
    /// The subnet of this gateway, with a prefix of this length; of a bridge only the length counts.
    Given(A, u8),
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
    /// Its IPv4.
    pub ipv4: Family<Ipv4Addr>,
    /// Its IPv6.
    pub ipv6: Family<Ipv6Addr>,
    /// Last octets of its dynamic range; absent: no DHCP. On a net without IPv4 they are the last numbers of IPv6
    /// addresses.
    pub dhcp: Option<RangeInclusive<u8>>,
    /// Domain for DNS; absent: no DNS of its own.
    pub dns_domain: Option<String>,
    /// Names to serve besides those of the machines, which win.
    pub dns_records: BTreeMap<String, IpAddr>,
    /// Who is asked for names the net does not know; absent: nobody.
    pub dns_forward: Option<IpAddr>,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
    /// Whether it leads out of its lab.
    pub internet: bool,
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
    /// Its IPv4 address; on a net whose subnet is chosen for it only the last octet counts.
    pub ip: Option<Ipv4Addr>,
    /// Its IPv6 address; on a net whose subnet is chosen for it only the last 64 bits count.
    pub ip6: Option<Ipv6Addr>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// MTU in bytes, when not its net's.
    pub mtu: Option<u32>,
    /// VLANs of its port.
    pub vlan: Option<Vlan>,
    /// How good its link is at first.
    pub link: LinkPlan,
    /// Its names in DNS instead of those every NIC gets.
    pub names: Option<Vec<String>>,
}

impl NicAsk {
    /// A NIC on `net` of which nothing more is asked.
    #[must_use]
    pub fn on(net: NetName) -> Self {
        Self {
            net,
            ip: None,
            ip6: None,
            mac: None,
            mtu: None,
            vlan: None,
            link: LinkPlan::default(),
            names: None,
        }
    }
}

/// VLANs of the port a NIC is plugged into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vlan {
    /// Untagged towards the machine, in this VLAN.
    Access(u16),
    /// Tagged, these VLANs and no other.
    Trunk(Vec<u16>),
}

/// How good a link is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LinkPlan {
    /// Whether the cable is plugged in.
    pub up: bool,
    /// What befalls packets.
    pub impairment: Impairment,
}

impl Default for LinkPlan {
    fn default() -> Self {
        Self { up: true, impairment: Impairment::default() }
    }
}

/// What befalls the packets of a link, in each direction; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Impairment {
    /// How long each is held back.
    pub delay: Duration,
    /// By how much that varies, both ways; packets keep their order.
    pub jitter: Duration,
    /// How many are lost, in per cent.
    pub loss: f64,
    /// How many come twice, in per cent.
    pub duplicate: f64,
    /// How many have a wrong bit, in per cent.
    pub corrupt: f64,
    /// The most the link carries, in kbit/s; absent: no limit.
    pub rate_kbit: Option<u32>,
}

impl Impairment {
    /// Whether there is any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether chance has a part in it.
    #[must_use]
    pub fn is_chancy(&self) -> bool {
        !self.jitter.is_zero() || self.loss > 0.0 || self.duplicate > 0.0 || self.corrupt > 0.0
    }
}

/// In words, without what it does not do.
impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delay, jitter, loss, duplicate, corrupt, rate_kbit } = self;
        let mut parts = Vec::new();
        let times = [("delay", delay), ("jitter", jitter)].into_iter().filter(|(_, time)| !time.is_zero());
        parts.extend(times.map(|(what, time)| format!("{what} {time:?}")));
        let shares = [("loss", loss), ("duplicates", duplicate), ("wrong bits", corrupt)];
        let shares = shares.into_iter().filter(|(_, percent)| **percent > 0.0);
        parts.extend(shares.map(|(what, percent)| format!("{what} {percent}%")));
        parts.extend(rate_kbit.map(|rate| format!("at most {rate} kbit/s")));
        f.write_str(if parts.is_empty() { "as a plain cable" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Where an environment's nets are made, and what is free there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Third octets of the /24s below 192.168 that nets may have which ask for none, first one first.
    pub pool: Vec<u8>,
    /// The environment's id where others share the daemon: names begin with it there.
    pub uuid: Option<String>,
    /// Bridges that are there already: nets of kind `bridge` and such a name borrow them.
    pub bridges: Vec<String>,
}

impl Scope {
    /// A place of its own: everything is free.
    #[must_use]
    pub fn hermetic() -> Self {
        Self { pool: OCTETS.collect(), ..Self::default() }
    }
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
    /// What libvirt calls it.
    pub libvirt_name: String,
    /// Its UUID there.
    pub libvirt_uuid: String,
    /// How it is connected.
    pub kind: NetKind,
    /// Whether machines are reached on it.
    pub management: bool,
    /// Name of its bridge, at most 15 characters.
    pub bridge: String,
    /// Whether that bridge is somebody else's: it stays when the net goes.
    pub borrowed: bool,
    /// The bridge's Ethernet address: fixed, else restored guests keep asking for the old one.
    pub bridge_mac: Mac,
    /// The bridge's IPv4 address, also of nets that lead nowhere: DHCP and DNS are served from it.
    pub gateway: Option<Ipv4Addr>,
    /// Length of its IPv4 prefix.
    pub prefix: u8,
    /// The bridge's IPv6 address and the length of its prefix.
    pub gateway6: Option<(Ipv6Addr, u8)>,
    /// The NICs on it.
    pub hosts: Vec<PlannedHost>,
    /// The dynamic range, if DHCP is served; every host has a reservation then.
    pub dhcp: Option<DhcpPlan>,
    /// DNS, if served.
    pub dns: Option<DnsPlan>,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
    /// Whether it leads out of its lab.
    #[serde(default)]
    pub outward: Outward,
}

/// Whether a net leads out of its lab.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outward {
    /// As far as the lab does: no net of a hermetic lab that has none which asks for it, every one of another lab.
    #[default]
    AsLab,
    /// It does.
    Open,
    /// It does not, while others do.
    Shut,
}

impl PlannedNet {
    /// Whether guests take their default route through this net: the one way out a machine has.
    #[must_use]
    pub fn is_default_route(&self) -> bool {
        match self.outward {
            Outward::AsLab => self.management && self.kind == NetKind::Nat,
            Outward::Open => true,
            Outward::Shut => false,
        }
    }

    /// The address at which it is served, if it is: the IPv4 one if there are two.
    #[must_use]
    pub fn server(&self) -> Option<IpAddr> {
        self.gateway.map(IpAddr::V4).or_else(|| self.gateway6.map(|(ip, _)| IpAddr::V6(ip)))
    }
}

/// Dynamic ranges of a net, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DhcpPlan {
    /// IPv4.
    pub v4: Option<(Ipv4Addr, Ipv4Addr)>,
    /// IPv6.
    pub v6: Option<(Ipv6Addr, Ipv6Addr)>,
}

/// A NIC as its net sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedHost {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 address.
    pub ip: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// The host name DHCP tells it: the machine's, which is unique in a net but for further NICs of the same machine.
    pub name: String,
}

/// DNS of a net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsPlan {
    /// The domain, if it has one: names in it are answered here or nowhere.
    pub domain: Option<String>,
    /// Addresses and their names, of all nets.
    pub records: Vec<DnsRecord>,
    /// Who is asked for other names; absent: nobody.
    pub forward: Option<IpAddr>,
}

/// Names that were added to those of a plan, and their addresses.
pub type Extra = BTreeMap<String, BTreeSet<IpAddr>>;

impl DnsPlan {
    /// With these names, too.
    #[must_use]
    pub fn with(&self, extra: &Extra) -> Self {
        let mut names: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for record in &self.records {
            names.entry(record.ip).or_default().extend(record.names.iter().cloned());
        }
        for (name, ips) in extra {
            for ip in ips {
                names.entry(*ip).or_default().insert(name.clone());
            }
        }
        let record =
            |(ip, names): (_, BTreeSet<String>)| DnsRecord { ip, names: names.into_iter().collect() };
        Self { records: names.into_iter().map(record).collect(), ..self.clone() }
    }

    /// The names of an address, if it has any.
    #[must_use]
    pub fn record(&self, ip: IpAddr) -> Option<&DnsRecord> {
        self.records.iter().find(|record| record.ip == ip)
    }

    /// The addresses of a name, with or without the domain, in whatever case; IPv4 first.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let name = name.to_ascii_lowercase();
        let suffix = self.domain.as_ref().map(|domain| format!(".{}", domain.to_ascii_lowercase()));
        let plain = suffix.and_then(|suffix| name.strip_suffix(&suffix).map(str::to_owned)).unwrap_or(name);
        let is = |record: &&DnsRecord| record.names.iter().any(|n| n.eq_ignore_ascii_case(&plain));
        self.records.iter().filter(is).map(|record| record.ip).collect()
    }
}

/// The names of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// The address.
    pub ip: IpAddr,
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
    /// Its IPv4 address.
    pub ip: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ip6: Option<Ipv6Addr>,
    /// Its Ethernet address.
    pub mac: Mac,
    /// MTU in bytes, when not 1500.
    pub mtu: Option<u32>,
    /// VLANs of its port.
    pub vlan: Option<Vlan>,
    /// How good its link is at first.
    pub link: LinkPlan,
    /// Name of the interface at the host's end of its cable, at most 15 characters; the same after a restart.
    pub tap: String,
    /// Its names in DNS; none when it has no address.
    pub names: Vec<String>,
}

impl PlannedNic {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ip.map(IpAddr::V4).into_iter().chain(self.ip6.map(IpAddr::V6))
    }
}
