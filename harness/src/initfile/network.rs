//! One entry of `nets` to a [`NetSpec`]. What nets are to one another and to machines is `check.rs`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    parse::Node,
    problems::Problems,
    reader::{self, Fields, is_host6},
    shape::{boolean, shown},
    spec::{DhcpRange, Ipv6Net, Ipv6Spec, NetKind, NetSpec},
    subnet::Subnet,
};
use crate::base::id::NetName;

/// Length of a net's prefix that does not say.
const DEFAULT_PREFIX: u8 = 24;
/// Lengths a prefix may have.
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=29;
/// The smallest MTU that IPv6 works with.
const IPV6_MTU: u32 = 1280;

/// A net as far as it could be read.
pub(crate) struct NetDraft<'n> {
    pub(crate) key: &'n Node,
    /// Its keys, for messages about their values.
    pub(crate) fields: Fields<'n>,
    /// Not there for want of a usable name.
    pub(crate) spec: Option<NetSpec>,
}

impl<'n> NetDraft<'n> {
    pub(crate) fn read(key: &'n Node, node: &'n Node, problems: &mut Problems) -> Self {
        let name = reader::parsed(key, "the net's name", "init::bad-name", problems);
        let fields = Fields::of(node);
        Self { key, fields, spec: net(name, key, fields, problems) }
    }
}

fn net(name: Option<NetName>, key: &Node, fields: Fields<'_>, problems: &mut Problems) -> Option<NetSpec> {
    let kind = match fields.text("type") {
        Some("isolated") => NetKind::Isolated,
        Some("bridge") => NetKind::Bridge,
        _ => NetKind::Nat,
    };
    let ipv4 = fields.flag("ipv4").unwrap_or(true);
    let (gateway, prefix_len) = fields
        .get("gw")
        .and_then(|node| gateway(node, problems))
        .map_or((None, DEFAULT_PREFIX), |(ip, len)| (Some(ip), len));
    let ipv6 = match fields.get("ipv6") {
        Some(node) => ipv6(node, problems),
        // It has to have something.
        None if !ipv4 => Ipv6Spec::Auto,
        None => Ipv6Spec::Off,
    };
    let dhcp = fields.get("dhcp").and_then(|node| dhcp(node, gateway, prefix_len, problems));
    let dns_domain = fields
        .get("dns_domain_name")
        .filter(|node| reader::text(node).is_some())
        .and_then(|node| reader::host_name(node, "`dns_domain_name`", problems));
    let dns_forward =
        fields.get("dns_forward").and_then(|node| reader::address(node, "`dns_forward`", problems));
    let dns_records = fields.get("dns_records").map(|node| dns_records(node, problems)).unwrap_or_default();
    let internet = fields.flag("internet").unwrap_or_default();
    let mtu = fields.parsed("mtu");
    families(fields, ipv4, ipv6, mtu, problems);
    what_the_kind_has_not(fields, kind, internet, problems);
    Some(NetSpec {
        name: name?,
        at: problems.place(&key.span),
        places: fields.places(problems),
        kind,
        management: fields.flag("management").unwrap_or_default(),
        internet,
        ipv4,
        gateway,
        prefix_len,
        ipv6,
        dhcp,
        dns_domain,
        dns_records,
        main_dns: fields.flag("main_dns").unwrap_or_default(),
        dns_forward,
        mtu,
    })
}

/// IPv4 and IPv6 each on or off, and what then has no meaning.
fn families(fields: Fields<'_>, ipv4: bool, ipv6: Ipv6Spec, mtu: Option<u32>, problems: &mut Problems) {
    if let Some(node) = fields.get("ipv6").filter(|_| !ipv4 && ipv6 == Ipv6Spec::Off) {
        let message = "a net without IPv4 needs IPv6".to_owned();
        let help = Some("remove one of `ipv4: false` and `ipv6: false`".to_owned());
        // What could not be read is off, too, and has been reported.
        if boolean(node.text()) == Some(false) {
            problems.add("init::no-addresses", &node.span, message, help);
        }
    }
    for key in ["gw", "dhcp"].into_iter().filter(|_| !ipv4).filter_map(|key| fields.key(key)) {
        let message = format!("a net with `ipv4: false` takes no `{}`", key.text());
        problems.add("init::no-ipv4", &key.span, message, None);
    }
    if let (Some(node), Some(mtu)) = (fields.get("mtu"), mtu)
        && ipv6 != Ipv6Spec::Off
        && mtu < IPV6_MTU
    {
        let message = format!("IPv6 needs an `mtu` of at least {IPV6_MTU}, this is {mtu}");
        problems.add("init::out-of-range", &node.span, message, None);
    }
}

fn what_the_kind_has_not(fields: Fields<'_>, kind: NetKind, internet: bool, problems: &mut Problems) {
    if let Some(node) = fields.get("internet").filter(|_| internet && kind != NetKind::Nat) {
        let message = "only nets of type `nat` lead out".to_owned();
        problems.add("init::no-way-out", &node.span, message, Some("write `type: nat`".to_owned()));
    }
    if let Some(key) = fields.key("main_dns").filter(|_| kind != NetKind::Bridge) {
        let message = "`main_dns` does nothing: machines ask the management net they are on".to_owned();
        let help = Some("`dns_forward` says whom a net asks for what it does not know".to_owned());
        problems.warn("init::no-effect", &key.span, message, help);
    }
    let idle = ["dhcp", "dns_domain_name", "dns_records", "main_dns", "dns_forward", "ipv4", "ipv6"];
    for key in idle.into_iter().filter(|_| kind == NetKind::Bridge).filter_map(|key| fields.key(key)) {
        let message = format!("`{}` does nothing on a net of type `bridge`", key.text());
        let help =
            Some("a bridge has no addresses to serve from; use `isolated` for a net that has".to_owned());
        problems.warn("init::no-effect", &key.span, message, help);
    }
}

/// `a.b.c.d` or `a.b.c.d/nn`.
fn gateway(node: &Node, problems: &mut Problems) -> Option<(Ipv4Addr, u8)> {
    let text = reader::text(node)?;
    let (ip, len) = match text.split_once('/') {
        Some((ip, len)) => (ip, len.parse().ok()),
        None => (text, Some(DEFAULT_PREFIX)),
    };
    let (Ok(ip), Some(len)) = (ip.parse::<Ipv4Addr>(), len) else {
        let message = format!("`gw` must be an IPv4 address, this is `{}`", shown(text));
        let help = "such as `192.168.200.1`, or with the length of the prefix, `10.0.0.1/20`".to_owned();
        problems.add("init::bad-address", &node.span, message, Some(help));
        return None;
    };
    let message = if !PREFIXES.contains(&len) {
        format!("the prefix must be from {} to {} bits long, this is {len}", PREFIXES.start(), PREFIXES.end())
    } else if matches!(ip.octets(), [0 | 127 | 224.., ..]) {
        format!("`gw` must be an address a machine can have, {ip} is not")
    } else if !Subnet::of(ip, len).has_host(ip) {
        format!("no machine in {} can have the address {ip}", Subnet::of(ip, len))
    } else {
        return Some((ip, len));
    };
    problems.add("init::bad-address", &node.span, message, None);
    None
}

/// `true`, `false`, or the gateway with the length of its prefix.
fn ipv6(node: &Node, problems: &mut Problems) -> Ipv6Spec {
    let text = reader::text(node).unwrap_or_default();
    match boolean(text) {
        Some(true) => return Ipv6Spec::Auto,
        Some(false) => return Ipv6Spec::Off,
        None if text.is_empty() => return Ipv6Spec::Off,
        None => {}
    }
    let given = text.split_once('/').and_then(|(ip, len)| Some((ip.parse::<Ipv6Addr>().ok()?, len)));
    let (message, help) = match given {
        Some((ip, "64")) if is_host6(ip) => {
            let bits = ip.to_bits();
            // Only the subnet: the gateway is its first address.
            let gateway = if bits.trailing_zeros() >= 64 { Ipv6Addr::from_bits(bits | 1) } else { ip };
            return Ipv6Spec::Given(Ipv6Net { gateway, prefix_len: 64 });
        }
        Some((ip, "64")) => (format!("`ipv6` must be an address a machine can have, {ip} is not"), None),
        Some(_) => {
            let help = "end it with `/64`: guests number themselves in nets of that size".to_owned();
            (format!("`ipv6` must be a /64, this is `{}`", shown(text)), Some(help))
        }
        None => {
            let help = "write `true`, `false` or an address such as `fd00:1::1/64`".to_owned();
            (format!("`ipv6` must be true, false or an IPv6 gateway, this is `{}`", shown(text)), Some(help))
        }
    };
    problems.add("init::bad-address", &node.span, message, help);
    Ipv6Spec::Off
}

fn dhcp(
    node: &Node,
    gateway: Option<Ipv4Addr>,
    prefix_len: u8,
    problems: &mut Problems,
) -> Option<DhcpRange> {
    let fields = Fields::of(node);
    let (start, end): (u8, u8) = (fields.parsed("start")?, fields.parsed("end")?);
    if start > end {
        let message = format!("the range starts at {start} and ends before that, at {end}");
        let help = Some(format!("write `start: {end}` and `end: {start}`"));
        problems.add("init::dhcp-range", &node.span, message, help);
        return None;
    }
    if let Some(gateway) = gateway {
        let [a, b, c, _] = gateway.octets();
        let subnet = Subnet::of(gateway, prefix_len);
        for ip in [start, end].map(|last| Ipv4Addr::new(a, b, c, last)) {
            if !subnet.has_host(ip) {
                let message = format!("no machine in {subnet} can have the address {ip}");
                problems.add("init::dhcp-range", &node.span, message, None);
            }
        }
    }
    Some(DhcpRange { start, end })
}

fn dns_records(node: &Node, problems: &mut Problems) -> BTreeMap<String, IpAddr> {
    let mut records = BTreeMap::new();
    for (key, value) in reader::entries(node) {
        let name = reader::host_name(key, "the record's name", problems);
        let ip = reader::address(value, "the record's address", problems);
        if let (Some(name), Some(ip)) = (name, ip) {
            records.insert(name, ip);
        }
    }
    records
}
