//! Values out of a tree that `shape.rs` has looked at: what has the wrong shape was reported there and is simply not
//! there here. Values of a form of their own (addresses, names) are parsed here and reported here.

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde_json::{Map, Value as Json};

use super::{
    parse::{Node, Value},
    problems::{Problems, Span},
    shape::{boolean, percent, shown},
    spec::Place,
};

/// The entries of a mapping, by key.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n> {
    entries: &'n [(Node, Node)],
}

impl<'n> Fields<'n> {
    pub(crate) fn of(node: &'n Node) -> Self {
        Self { entries: entries(node) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(k, _)| k.text() == key).map(|(_, v)| v)
    }

    /// The key itself, for messages about its being there.
    pub(crate) fn key(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(k, _)| k.text() == key).map(|(k, _)| k)
    }

    /// Where the value of each key starts.
    pub(crate) fn places(&self, problems: &Problems) -> BTreeMap<String, Place> {
        let place = |(key, value): &(Node, Node)| (key.text().to_owned(), problems.place(&value.span));
        self.entries.iter().map(place).collect()
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'n str> {
        text(self.get(key)?)
    }

    pub(crate) fn owned(&self, key: &str) -> Option<String> {
        self.text(key).map(ToOwned::to_owned)
    }

    /// A number, or a word that parses itself.
    pub(crate) fn parsed<T: FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        boolean(self.text(key)?)
    }

    pub(crate) fn percent(&self, key: &str) -> f64 {
        self.text(key).and_then(percent).unwrap_or_default()
    }

    pub(crate) fn list(&self, key: &str) -> &'n [Node] {
        self.get(key).map(items).unwrap_or_default()
    }

    /// One text, or those of a list.
    pub(crate) fn texts(&self, key: &str) -> Vec<&'n Node> {
        match self.get(key) {
            Some(node) if text(node).is_some() => vec![node],
            Some(node) => items(node).iter().filter(|item| text(item).is_some()).collect(),
            None => Vec::new(),
        }
    }

    pub(crate) fn free(&self, key: &str) -> Map<String, Json> {
        self.get(key).map(entries).unwrap_or_default().iter().map(pair).collect()
    }

    /// What one key of the mapping needs another for.
    pub(crate) fn require(
        &self,
        key: &str,
        at: &Span,
        why: &str,
        problems: &mut Problems,
    ) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            problems.add("init::missing-key", at, format!("{why} needs the key `{key}`"), None);
        }
        found
    }
}

/// The entries of a mapping.
pub(crate) fn entries(node: &Node) -> &[(Node, Node)] {
    match node.value() {
        Value::Map(entries) => entries,
        Value::List(_) | Value::Scalar { .. } => &[],
    }
}

/// The items of a list.
pub(crate) fn items(node: &Node) -> &[Node] {
    match node.value() {
        Value::List(items) => items,
        Value::Map(_) | Value::Scalar { .. } => &[],
    }
}

/// The text of a scalar, numbers and booleans as they were written.
pub(crate) fn text(node: &Node) -> Option<&str> {
    match node.value() {
        Value::Scalar { text, .. } if !node.is_null() => Some(text),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
    }
}

/// Free-form values, plain scalars read as YAML reads them.
pub(crate) fn json(node: &Node) -> Json {
    match node.value() {
        _ if node.is_null() => Json::Null,
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(pair).collect(),
        Value::Scalar { text, quoted: true, .. } => Json::String(text.clone()),
        Value::Scalar { text, quoted: false, .. } => {
            let typed = serde_json::from_str(&text.to_ascii_lowercase()).ok();
            typed
                .filter(|v| matches!(v, Json::Bool(_) | Json::Number(_)))
                .unwrap_or_else(|| text.clone().into())
        }
    }
}

fn pair((key, value): &(Node, Node)) -> (String, Json) {
    (key.text().to_owned(), json(value))
}

/// Anything that parses itself from text and says in lower case what is wrong with it.
pub(crate) fn parsed<T>(node: &Node, what: &str, code: &'static str, problems: &mut Problems) -> Option<T>
where
    T: FromStr<Err: Display>,
{
    let Some(text) = text(node) else {
        // A key is the one place where no shape was asked for.
        problems.add(code, &node.span, format!("{what} is not usable: it is nothing"), None);
        return None;
    };
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(code, &node.span, format!("{what} is not usable: {error}"), None);
            None
        }
    }
}

/// An IPv4 address a machine can have.
pub(crate) fn ipv4(node: &Node, what: &str, problems: &mut Problems) -> Option<Ipv4Addr> {
    let text = text(node)?;
    let Ok(ip) = text.parse::<Ipv4Addr>() else {
        let message = format!("{what} must be an IPv4 address, this is `{}`", shown(text));
        let help = match text.split_once('/') {
            Some((ip, _)) if ip.parse::<Ipv4Addr>().is_ok() => {
                format!("write `{ip}`: the net says how long its prefix is")
            }
            _ => "write four numbers from 0 to 255, such as `192.168.200.10`".to_owned(),
        };
        problems.add("init::bad-address", &node.span, message, Some(help));
        return None;
    };
    if matches!(ip.octets(), [0 | 127 | 224.., ..]) {
        let message = format!("{what} must be an address a machine can have, {ip} is not");
        problems.add("init::bad-address", &node.span, message, None);
        return None;
    }
    Some(ip)
}

/// An IPv6 address a machine can have.
pub(crate) fn ipv6(node: &Node, what: &str, problems: &mut Problems) -> Option<Ipv6Addr> {
    let text = text(node)?;
    let Ok(ip) = text.parse::<Ipv6Addr>() else {
        let message = format!("{what} must be an IPv6 address, this is `{}`", shown(text));
        let help = "write it such as `fd00:1::10`, without a prefix length".to_owned();
        problems.add("init::bad-address", &node.span, message, Some(help));
        return None;
    };
    if !is_host6(ip) {
        let message = format!("{what} must be an address a machine can have, {ip} is not");
        problems.add("init::bad-address", &node.span, message, None);
        return None;
    }
    Some(ip)
}

/// Whether a machine can have an address: it is no group, not the loopback, not made up by the machine for its link, and
/// no IPv4 address in disguise.
pub(crate) fn is_host6(ip: Ipv6Addr) -> bool {
    let special = ip.is_multicast() || ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local();
    !special && ip.to_ipv4_mapped().is_none()
}

/// An address of either kind.
pub(crate) fn address(node: &Node, what: &str, problems: &mut Problems) -> Option<IpAddr> {
    match text(node)?.contains(':') {
        true => ipv6(node, what, problems).map(IpAddr::V6),
        false => ipv4(node, what, problems).map(IpAddr::V4),
    }
}

/// A host or domain name in lower case.
pub(crate) fn host_name(node: &Node, what: &str, problems: &mut Problems) -> Option<String> {
    let name = node.text();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        let message = format!("{what} must be a DNS name, this is `{}`", shown(name));
        let help = Some("labels of letters, digits and `-`, with dots between them".to_owned());
        problems.add("init::bad-dns-name", &node.span, message, help);
        return None;
    }
    Some(name.to_ascii_lowercase())
}
