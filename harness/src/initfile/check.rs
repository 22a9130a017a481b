//! A parsed init file to an [`EnvSpec`], finding every problem at once: reads each entry, then holds machines and nets
//! against one another. Pure: files and environment variables are asked for through [`Surroundings`].

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use super::{
    diagnostic::{Diagnostic, Problems},
    domain::DomainDraft,
    keys,
    network::NetDraft,
    parse::Node,
    reader::{self, Fields, listed},
    spec::{CpuSpec, EnvSpec, Firmware, Ipv6Spec, LinkSpec, MachineSpec, NetSpec, NicSpec},
};
use crate::base::text::did_you_mean;

/// DNS domain of a management net that does not name one.
const DEFAULT_DOMAIN: &str = "lago.local";

/// What an init file is read with.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Environment variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Values for the file's own variables; they win over the environment.
    pub variables: &'a BTreeMap<String, String>,
    /// Whether a key nobody knows is worth a warning only.
    pub allow_unknown: bool,
}

impl<'a> Options<'a> {
    /// The usual: no values from outside but the environment's, unknown keys are errors.
    #[must_use]
    pub fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        Self { env, variables: &NONE, allow_unknown: false }
    }
}

/// What an init file may refer to.
pub struct Surroundings<'a> {
    /// What it is read with.
    pub options: Options<'a>,
    /// Absolute folder of the init file: where relative paths start.
    pub folder: &'a Path,
    /// Whether a path is a file that can be read.
    pub check_file: &'a dyn Fn(&Path) -> io::Result<()>,
    /// The text of a file.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// An init file that holds, and what is worth saying about it all the same.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it asks for.
    pub spec: EnvSpec,
    /// What nobody needs to act on; in the file's order.
    pub warnings: Vec<Diagnostic>,
}

/// Everything the file says; `None` when `problems` are worth more.
pub(crate) fn check(
    origin: &Path,
    root: &Node,
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<EnvSpec> {
    let fields = Fields::read(root, &(0..0), &keys::FILE, problems)?;
    let domains = entries(&fields, "domains", problems);
    let nets = entries(&fields, "nets", problems);
    let mut nets: Vec<NetDraft<'_>> = nets.iter().map(|(k, v)| NetDraft::read(k, v, problems)).collect();
    let domains: Vec<DomainDraft<'_>> =
        domains.iter().map(|(k, v)| DomainDraft::read(k, v, surroundings, problems)).collect();

    same_names(&nets.iter().map(|n| n.key).collect::<Vec<_>>(), "nets", problems);
    same_names(&domains.iter().map(|d| d.key).collect::<Vec<_>>(), "machines", problems);
    choose_management(&mut nets);
    dns_only_on_management(&nets, problems);
    distinct_subnets(&nets, problems);
    for domain in &domains {
        one_management_nic(domain, &nets, problems);
    }
    addresses(&domains, &nets, problems);

    Some(EnvSpec {
        origin: origin.to_owned(),
        machines: domains.into_iter().filter_map(|d| machine(d, problems)).collect(),
        nets: nets.into_iter().filter_map(|n| net(n, problems)).collect(),
    })
}

fn entries<'n>(fields: &Fields<'n>, key: &str, problems: &mut Problems) -> &'n [(Node, Node)] {
    let Some(node) = fields.require(key, problems) else {
        return &[];
    };
    let entries = reader::mapping(node, &format!("`{key}`"), problems).unwrap_or_default();
    if entries.is_empty() && node.kind() == "a mapping" {
        let message = format!("`{key}` is empty, at least one is needed");
        problems.add("init::nothing-there", &node.span, message, None);
    }
    entries
}

/// Names differ in more than case: DNS knows no case.
fn same_names(keys: &[&Node], what: &str, problems: &mut Problems) {
    for (i, key) in keys.iter().enumerate() {
        let same = |other: &&&Node| other.text().eq_ignore_ascii_case(key.text());
        if let Some(first) = keys.get(..i).unwrap_or_default().iter().find(same) {
            let message = format!("the {what} `{}` and `{}` differ in case alone", first.text(), key.text());
            problems.add(
                "init::same-name",
                &key.span,
                message,
                Some("DNS takes them for one name".to_owned()),
            );
        }
    }
}

/// Lago's rule: where no net is marked, the first in alphabetical order is the management net.
fn choose_management(nets: &mut [NetDraft<'_>]) {
    if !nets.iter().any(|n| n.management)
        && let Some(first) = nets.iter_mut().min_by_key(|n| n.key.text())
    {
        first.management = true;
    }
}

fn dns_only_on_management(nets: &[NetDraft<'_>], problems: &mut Problems) {
    for net in nets.iter().filter(|n| !n.management) {
        let domain = net.dns_domain.as_ref().map(|(node, _)| (node, "dns_domain_name"));
        let records = net.dns_records.as_ref().map(|(node, _)| (node, "dns_records"));
        for (node, key) in domain.into_iter().chain(records) {
            let message = format!("`{key}` is for management nets, `{}` is none", net.key.text());
            let help =
                Some("mark the net with `management: true`, or move the key to one that is".to_owned());
            problems.add("init::dns-outside-management", &node.span, message, help);
        }
    }
}

fn distinct_subnets(nets: &[NetDraft<'_>], problems: &mut Problems) {
    let mut seen: BTreeMap<[u8; 3], &NetDraft<'_>> = BTreeMap::new();
    for net in nets {
        let Some((node, gateway)) = net.gateway else {
            continue;
        };
        match seen.get(&subnet(gateway)) {
            Some(first) => {
                let message = format!("`{}` has the same /24 as the net `{}`", node.text(), first.key.text());
                problems.add("init::subnet-clash", &node.span, message, None);
            }
            None => drop(seen.insert(subnet(gateway), net)),
        }
    }
}

/// A machine with NICs is reached on exactly one of them.
fn one_management_nic(domain: &DomainDraft<'_>, nets: &[NetDraft<'_>], problems: &mut Problems) {
    let known = |key: &Node| nets.iter().find(|n| n.key.text() == key.text());
    let mut management = 0;
    let mut complete = true;
    for nic in &domain.nics {
        match nic.net.map(|node| (node, known(node))) {
            Some((_, Some(net))) => management += usize::from(net.management),
            Some((node, None)) => {
                let names: Vec<&str> = nets.iter().map(|n| n.key.text()).collect();
                let help = match did_you_mean(node.text(), names.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the nets are {}", listed(&names)),
                };
                problems.add(
                    "init::unknown-net",
                    &node.span,
                    format!("there is no net `{}`", node.text()),
                    Some(help),
                );
                complete = false;
            }
            None => complete = false,
        }
    }
    if complete && !domain.nics.is_empty() && management != 1 {
        let message = match management {
            0 => format!("machine `{}` has no NIC on a management net", domain.key.text()),
            n => format!("machine `{}` has {n} NICs on management nets, one is allowed", domain.key.text()),
        };
        let names: Vec<&str> = nets.iter().filter(|n| n.management).map(|n| n.key.text()).collect();
        let help = Some(format!("management nets: {}", listed(&names)));
        problems.add("init::management", &domain.key.span, message, help);
    }
}

/// No two NICs of a net ask for one address, none for the gateway's or one outside the net.
fn addresses(domains: &[DomainDraft<'_>], nets: &[NetDraft<'_>], problems: &mut Problems) {
    let mut seen: BTreeMap<(&str, u8), (&str, usize)> = BTreeMap::new();
    for (domain, nic) in domains.iter().flat_map(|d| d.nics.iter().map(move |nic| (d, nic))) {
        let (Some(net), Some((node, ip))) = (nic.net, nic.ip) else {
            continue;
        };
        let Some(net) = nets.iter().find(|n| n.key.text() == net.text()) else {
            continue;
        };
        let name = net.key.text();
        let [.., last] = ip.octets();
        let gateway = net.gateway.map(|(_, gateway)| gateway);
        if let Some(gateway) = gateway.filter(|g| subnet(*g) != subnet(ip)) {
            let [a, b, c] = subnet(gateway);
            let message = format!("{ip} is outside the net `{name}`");
            let help = Some(format!("its gateway {gateway} makes it {a}.{b}.{c}.0/24"));
            problems.add("init::address-outside-net", &node.span, message, help);
        } else if last == gateway.map_or(1, |g| g.octets()[3]) {
            let message = format!("{ip} is the gateway of the net `{name}`");
            let help = "take another, or leave `ip` out to be given one".to_owned();
            problems.add("init::gateway-clash", &node.span, message, Some(help));
        } else if let Some((other, line)) = seen.get(&(name, last)) {
            let message = format!("{ip} is taken in the net `{name}` by `{other}` on line {line}");
            let octets = gateway
                .is_none()
                .then(|| format!("only the last number counts, as the net `{name}` has no `gw` of its own"));
            problems.add("init::duplicate-address", &node.span, message, octets);
        } else {
            seen.insert((name, last), (domain.key.text(), problems.place(&node.span).line));
        }
    }
}

fn subnet(ip: Ipv4Addr) -> [u8; 3] {
    let [a, b, c, _] = ip.octets();
    [a, b, c]
}

fn machine(draft: DomainDraft<'_>, problems: &Problems) -> Option<MachineSpec> {
    let nic = |net: &Node, ip: Option<Ipv4Addr>| {
        Some(NicSpec {
            net: net.text().parse().ok()?,
            ip,
            ip6: None,
            mac: None,
            model: None,
            mtu: None,
            vlan: None,
            link: LinkSpec::default(),
            dns: None,
        })
    };
    Some(MachineSpec {
        name: draft.name?,
        at: problems.place(&draft.key.span),
        vm_type: "default".to_owned(),
        provider: "local-libvirt".to_owned(),
        memory_mib: draft.memory_mib,
        vcpus: draft.vcpus,
        cpu: CpuSpec::default(),
        machine: None,
        firmware: Firmware::default(),
        boot: None,
        cloud_init: None,
        ova: None,
        xml: None,
        nics: draft.nics.iter().filter_map(|n| nic(n.net?, n.ip.map(|(_, ip)| ip))).collect(),
        disks: draft.disks,
        artifacts: draft.artifacts,
        groups: draft.groups,
        deploy_scripts: Vec::new(),
        distro: None,
        bootstrap: true,
        root_password: None,
        ssh_user: None,
        ssh_password: None,
        boot_time: None,
        service_provider: None,
        guest_agent: None,
        skip_export: false,
        metadata: draft.metadata,
    })
}

fn net(draft: NetDraft<'_>, problems: &Problems) -> Option<NetSpec> {
    let domain = draft.dns_domain.map(|(_, domain)| domain);
    Some(NetSpec {
        name: draft.name?,
        at: problems.place(&draft.key.span),
        kind: draft.kind,
        management: draft.management,
        dhcp: draft.dhcp,
        internet: false,
        ipv4: true,
        gateway: draft.gateway.map(|(_, ip)| ip),
        prefix_len: 24,
        ipv6: Ipv6Spec::Off,
        dns_domain: domain.or_else(|| draft.management.then(|| DEFAULT_DOMAIN.to_owned())),
        dns_records: draft.dns_records.map(|(_, r)| addresses_of(r)).unwrap_or_default(),
        main_dns: false,
        dns_forward: None,
        mtu: draft.mtu,
    })
}

fn addresses_of(records: BTreeMap<String, Ipv4Addr>) -> BTreeMap<String, IpAddr> {
    records.into_iter().map(|(name, ip)| (name, IpAddr::V4(ip))).collect()
}
