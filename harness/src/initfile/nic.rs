//! One entry of a machine's `nics` to a [`NicSpec`].

use super::{
    parse::{Node, Value},
    problems::Problems,
    reader::{self, Fields},
    shape::shown,
    spec::{LinkSpec, NicSpec, VlanSpec},
};
use crate::base::id::Mac;

/// A NIC as far as it could be read.
pub(crate) struct NicDraft<'n> {
    /// The net it names.
    pub(crate) net: Option<&'n Node>,
    /// Its keys, for messages about their values.
    pub(crate) fields: Fields<'n>,
    /// Not there when the net's name cannot be one.
    pub(crate) spec: Option<NicSpec>,
}

impl<'n> NicDraft<'n> {
    pub(crate) fn read(node: &'n Node, problems: &mut Problems) -> Self {
        let fields = Fields::of(node);
        let net = fields.get("net").filter(|node| reader::text(node).is_some());
        let ip = fields.get("ip").and_then(|node| reader::ipv4(node, "`ip`", problems));
        let ip6 = fields.get("ip6").and_then(|node| reader::ipv6(node, "`ip6`", problems));
        let mac = fields.get("mac").and_then(|node| mac(node, problems));
        let vlan = fields.get("vlan").and_then(|node| vlan(node, problems));
        let link = fields.get("link").map(|node| link(node, problems)).unwrap_or_default();
        let mut name = |node| reader::host_name(node, "a name of a NIC", problems);
        let dns = fields.get("dns").map(|_| fields.texts("dns").into_iter().filter_map(&mut name).collect());
        let spec = net.and_then(|net| net.text().parse().ok()).map(|net| NicSpec {
            net,
            ip,
            ip6,
            mac,
            model: fields.owned("model"),
            mtu: fields.parsed("mtu"),
            vlan,
            link,
            dns,
        });
        Self { net, fields, spec }
    }
}

/// An Ethernet address of one machine.
fn mac(node: &Node, problems: &mut Problems) -> Option<Mac> {
    let text = reader::text(node)?;
    let (message, help) = match text.parse::<Mac>() {
        Ok(Mac([first, ..])) if first & 1 == 1 => {
            let even = format!("begin it with an even number, such as `{:02x}`", first & !1);
            (format!("`{}` is the address of a group", shown(text)), even)
        }
        Ok(Mac([0, 0, 0, 0, 0, 0])) => ("no NIC can have this address".to_owned(), example()),
        Ok(mac) => return Some(mac),
        Err(_) => (format!("`mac` must be an Ethernet address, this is `{}`", shown(text)), example()),
    };
    problems.add("init::bad-mac", &node.span, message, Some(help));
    None
}

fn example() -> String {
    "such as `52:54:00:12:34:56`".to_owned()
}

fn vlan(node: &Node, problems: &mut Problems) -> Option<VlanSpec> {
    let Value::List(items) = node.value() else {
        return reader::text(node)?.parse().ok().map(VlanSpec::Access);
    };
    let mut ids: Vec<u16> = Vec::new();
    for item in items {
        let Some(id) = reader::text(item).and_then(|text| text.parse().ok()) else {
            continue;
        };
        if ids.contains(&id) {
            let message = format!("the VLAN {id} comes twice");
            problems.add("init::bad-vlan", &item.span, message, None);
        }
        ids.push(id);
    }
    if items.is_empty() {
        let message = "`vlan` lists no VLAN".to_owned();
        problems.add("init::bad-vlan", &node.span, message, Some("leave it out for a plain port".to_owned()));
    }
    Some(VlanSpec::Trunk(ids))
}

fn link(node: &Node, problems: &mut Problems) -> LinkSpec {
    let fields = Fields::of(node);
    let link = LinkSpec {
        up: fields.flag("up").unwrap_or(true),
        delay_ms: fields.parsed("delay_ms").unwrap_or_default(),
        jitter_ms: fields.parsed("jitter_ms").unwrap_or_default(),
        loss_percent: fields.percent("loss_percent"),
        duplicate_percent: fields.percent("duplicate_percent"),
        corrupt_percent: fields.percent("corrupt_percent"),
        rate_kbit: fields.parsed("rate_kbit"),
    };
    if let Some(node) = fields.get("jitter_ms").filter(|_| link.jitter_ms > link.delay_ms) {
        let (jitter, delay) = (link.jitter_ms, link.delay_ms);
        let message = format!("a delay of {delay} ms cannot vary by {jitter} ms");
        let help = Some("write `delay_ms` at least as large as `jitter_ms`".to_owned());
        problems.add("init::bad-link", &node.span, message, help);
    }
    link
}
