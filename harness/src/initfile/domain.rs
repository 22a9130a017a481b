//! One entry of `domains`: its keys to values, with its NICs. What machines are to one another and to nets is
//! `check.rs`.

use std::net::Ipv4Addr;

use serde_json::{Map, Value as Json};

use super::{
    check::Surroundings,
    diagnostic::Problems,
    disk, keys,
    parse::{Node, Value},
    reader::{self, Fields},
    spec::DiskSpec,
};
use crate::base::id::MachineName;

/// Memory in MiB of a machine that does not say: enough for a Debian without a desktop.
const DEFAULT_MEMORY_MIB: u32 = 512;
/// Virtual CPUs of a machine that does not say.
const DEFAULT_VCPUS: u32 = 1;

/// A machine as far as it could be read.
pub(crate) struct DomainDraft<'n> {
    pub(crate) key: &'n Node,
    pub(crate) name: Option<MachineName>,
    pub(crate) memory_mib: u32,
    pub(crate) vcpus: u32,
    pub(crate) nics: Vec<NicDraft<'n>>,
    pub(crate) disks: Vec<DiskSpec>,
    pub(crate) artifacts: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) metadata: Map<String, Json>,
}

/// A NIC as far as it could be read.
pub(crate) struct NicDraft<'n> {
    pub(crate) net: Option<&'n Node>,
    pub(crate) ip: Option<(&'n Node, Ipv4Addr)>,
}

impl<'n> DomainDraft<'n> {
    pub(crate) fn read(
        key: &'n Node,
        node: &'n Node,
        surroundings: &Surroundings<'_>,
        problems: &mut Problems,
    ) -> Self {
        let mut draft = Self {
            key,
            name: reader::parsed(key, "the machine's name", "init::bad-name", problems),
            memory_mib: DEFAULT_MEMORY_MIB,
            vcpus: DEFAULT_VCPUS,
            nics: Vec::new(),
            disks: Vec::new(),
            artifacts: Vec::new(),
            groups: Vec::new(),
            metadata: Map::new(),
        };
        let Some(fields) = Fields::read(node, &key.span, &keys::DOMAIN, problems) else {
            return draft;
        };
        if let Some(node) = fields.get("memory") {
            let range = 64..=1 << 20;
            draft.memory_mib = reader::number(node, "`memory` (MiB)", &range, problems).unwrap_or_default();
        }
        if let Some(node) = fields.get("vcpu") {
            draft.vcpus = reader::number(node, "`vcpu`", &(1..=255), problems).unwrap_or_default();
        }
        if let Some(items) = fields.get("nics").and_then(|node| reader::list(node, "`nics`", problems)) {
            draft.nics = items.iter().map(|item| NicDraft::read(item, problems)).collect();
        }
        if let Some(items) = fields.get("disks").and_then(|node| reader::list(node, "`disks`", problems)) {
            draft.disks = disk::read_all(items, surroundings, problems);
        }
        if let Some(items) =
            fields.get("artifacts").and_then(|node| reader::list(node, "`artifacts`", problems))
        {
            draft.artifacts = items.iter().filter_map(|item| guest_path(item, problems)).collect();
        }
        if let Some(items) = fields.get("groups").and_then(|node| reader::list(node, "`groups`", problems)) {
            let group = |item| reader::text(item, "a group", problems).map(ToOwned::to_owned);
            draft.groups = items.iter().filter_map(group).collect();
        }
        if let Some(entries) = fields.get("metadata").and_then(|n| reader::mapping(n, "`metadata`", problems))
        {
            draft.metadata = metadata(entries, problems);
        }
        draft
    }
}

impl<'n> NicDraft<'n> {
    fn read(node: &'n Node, problems: &mut Problems) -> Self {
        let Some(fields) = Fields::read(node, &node.span, &keys::NIC, problems) else {
            return Self { net: None, ip: None };
        };
        let net = fields.require("net", problems).filter(|n| reader::text(n, "`net`", problems).is_some());
        let ip = fields.get("ip").and_then(|n| Some((n, reader::address(n, "`ip`", problems)?)));
        Self { net, ip }
    }
}

/// A path to collect from the guest.
fn guest_path(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = reader::text(node, "an artifact", problems)?;
    if !text.starts_with('/') {
        let message = format!("an artifact must be an absolute path in the guest, this is `{text}`");
        problems.add("init::bad-artifact", &node.span, message, None);
        return None;
    }
    Some(text.to_owned())
}

fn metadata(entries: &[(Node, Node)], problems: &mut Problems) -> Map<String, Json> {
    for (key, _) in entries.iter().filter(|(k, _)| keys::METADATA_LATER.contains(&k.text())) {
        reader::not_yet(key, &format!("the metadata `{}`", key.text()), reader::UNUSED_KEY, problems);
    }
    entries.iter().map(|(k, v)| (k.text().to_owned(), json(v))).collect()
}

/// Free-form values, plain scalars read as YAML reads them.
fn json(node: &Node) -> Json {
    match node.value() {
        _ if node.is_null() => Json::Null,
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(k, v)| (k.text().to_owned(), json(v))).collect(),
        Value::Scalar { text, quoted: true } => Json::String(text.clone()),
        Value::Scalar { text, quoted: false } => {
            let typed = serde_json::from_str(&text.to_ascii_lowercase()).ok();
            typed
                .filter(|v| matches!(v, Json::Bool(_) | Json::Number(_)))
                .unwrap_or_else(|| text.clone().into())
        }
    }
}
