//! One entry of `nets`: its keys to values. What nets are to one another and to machines is `check.rs`.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{
    diagnostic::Problems,
    keys,
    parse::Node,
    reader::{self, Fields},
    spec::{DhcpRange, NetKind},
};
use crate::base::id::NetName;

/// A net as far as it could be read.
pub(crate) struct NetDraft<'n> {
    pub(crate) key: &'n Node,
    pub(crate) name: Option<NetName>,
    pub(crate) kind: NetKind,
    pub(crate) management: bool,
    pub(crate) dhcp: Option<DhcpRange>,
    pub(crate) gateway: Option<(&'n Node, Ipv4Addr)>,
    pub(crate) dns_domain: Option<(&'n Node, String)>,
    pub(crate) dns_records: Option<(&'n Node, BTreeMap<String, Ipv4Addr>)>,
    pub(crate) mtu: Option<u32>,
}

impl<'n> NetDraft<'n> {
    pub(crate) fn read(key: &'n Node, node: &'n Node, problems: &mut Problems) -> Self {
        let mut draft = Self {
            key,
            name: reader::parsed(key, "the net's name", "init::bad-name", problems),
            kind: NetKind::Nat,
            management: false,
            dhcp: None,
            gateway: None,
            dns_domain: None,
            dns_records: None,
            mtu: None,
        };
        let Some(fields) = Fields::read(node, &key.span, &keys::NET, problems) else {
            return draft;
        };
        if let Some(node) = fields.get("type") {
            let kinds = [("nat", NetKind::Nat), ("isolated", NetKind::Isolated)];
            draft.kind =
                reader::choice(node, "`type` of a net", &kinds, &["bridge"], problems).unwrap_or(draft.kind);
        }
        if let Some(node) = fields.get("management") {
            draft.management = reader::boolean(node, "`management`", problems).unwrap_or_default();
        }
        draft.dhcp = fields.get("dhcp").and_then(|node| dhcp(node, problems));
        draft.gateway =
            fields.get("gw").and_then(|node| Some((node, reader::address(node, "`gw`", problems)?)));
        draft.dns_domain = fields
            .get("dns_domain_name")
            .and_then(|node| Some((node, host_name(node, "`dns_domain_name`", problems)?)));
        draft.dns_records =
            fields.get("dns_records").and_then(|node| Some((node, dns_records(node, problems)?)));
        draft.mtu = fields.get("mtu").and_then(|node| reader::number(node, "`mtu`", &(68..=65535), problems));
        draft
    }
}

fn dhcp(node: &Node, problems: &mut Problems) -> Option<DhcpRange> {
    let fields = Fields::read(node, &node.span, &keys::DHCP, problems)?;
    let (start, end) = (fields.require("start", problems), fields.require("end", problems));
    let octet = |node, what, problems: &mut Problems| reader::number(node, what, &(1..=254), problems);
    let start: Option<u8> = octet(start?, "`start` (a last octet)", problems);
    let end: Option<u8> = octet(end?, "`end` (a last octet)", problems);
    let (start, end) = (start?, end?);
    if start > end {
        let message = format!("the range starts at {start} and ends before that, at {end}");
        let help = Some(format!("write `start: {end}` and `end: {start}`"));
        problems.add("init::dhcp-range", &node.span, message, help);
        return None;
    }
    Some(DhcpRange { start, end })
}

fn dns_records(node: &Node, problems: &mut Problems) -> Option<BTreeMap<String, Ipv4Addr>> {
    let mut records = BTreeMap::new();
    for (key, value) in reader::mapping(node, "`dns_records`", problems)? {
        let name = host_name(key, "the record's name", problems);
        let ip = reader::address(value, "the record's address", problems);
        if let (Some(name), Some(ip)) = (name, ip) {
            records.insert(name, ip);
        }
    }
    Some(records)
}

/// A host or domain name in lower case.
fn host_name(node: &Node, what: &str, problems: &mut Problems) -> Option<String> {
    let text = reader::text(node, what, problems)?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 253 || !text.split('.').all(label) {
        let message = format!("{what} must be a DNS name, this is `{text}`");
        let help = Some("labels of letters, digits and `-`, with dots between them".to_owned());
        problems.add("init::bad-dns-name", &node.span, message, help);
        return None;
    }
    Some(text.to_ascii_lowercase())
}
