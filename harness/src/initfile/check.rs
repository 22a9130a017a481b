//! A tree that has the right shape to an [`EnvSpec`]: reads each entry, then holds machines and nets against one
//! another. Pure: files and environment variables are asked for through [`Surroundings`].

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use super::{
    domain::DomainDraft,
    files::Files,
    network::NetDraft,
    nic::NicDraft,
    options::Surroundings,
    parse::{Node, Value},
    problems::{Problems, Span},
    prototype, reader,
    shape::{self, listed, shown, suggest},
    spec::{EnvSpec, Ipv6Spec, NetKind, NetSpec},
    subnet::{Subnet, interface64, prefix64},
    variables::Variables,
};
use crate::base::id::Mac;

/// DNS domain of a management net that does not name one.
const DEFAULT_DOMAIN: &str = "lago.local";

/// Everything the file says; worth nothing when there are errors among `problems`.
pub(crate) fn check(
    origin: &Path,
    root: &Node,
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<EnvSpec> {
    let variables = Variables::declared(root, &surroundings.options, problems);
    let root = variables.replace(root, problems);
    shape::conform(&root, problems);
    let Value::Map(_) = root.value() else {
        return None;
    };
    let files = Files { surroundings, variables: &variables };
    for key in ["domains", "nets"] {
        not_empty(&root, key, problems);
    }
    let domains = prototype::resolve(&root, problems);
    let nets = root.get("nets").map(reader::entries).unwrap_or_default();
    let mut nets: Vec<NetDraft<'_>> = nets.iter().map(|(k, v)| NetDraft::read(k, v, problems)).collect();
    let domains: Vec<DomainDraft<'_>> =
        domains.iter().map(|(k, v)| DomainDraft::read(k, v, &files, problems)).collect();

    same_names(nets.iter().map(|n| n.key), "nets", problems);
    same_names(domains.iter().map(|d| d.key), "machines", problems);
    choose_management(&mut nets);
    dns_only_on_management(&nets, problems);
    distinct_subnets(&nets, problems);
    let known: Nets<'_> = nets.iter().map(|n| (n.key.text(), n.spec.as_ref())).collect();
    for domain in &domains {
        one_management_nic(domain, &nets, &known, problems);
    }
    jumps(&domains, problems);
    Taken::default().addresses(&domains, &known, problems);

    Some(EnvSpec {
        origin: origin.to_owned(),
        machines: domains
            .into_iter()
            .filter_map(|draft| {
                let nics = draft.nics.into_iter().filter_map(|nic| nic.spec).collect();
                draft.spec.map(|spec| super::spec::MachineSpec { nics, ..spec })
            })
            .collect(),
        nets: nets.into_iter().filter_map(|net| net.spec).collect(),
    })
}

/// The nets by name; without a spec when that could not be read.
type Nets<'n> = HashMap<&'n str, Option<&'n NetSpec>>;

fn not_empty(root: &Node, key: &str, problems: &mut Problems) {
    if let Some(node) = root.get(key)
        && matches!(node.value(), Value::Map(entries) if entries.is_empty())
    {
        let message = format!("`{key}` is empty, at least one is needed");
        problems.add("init::nothing-there", &node.span, message, None);
    }
}

/// Names differ in more than case: DNS knows no case.
fn same_names<'n>(keys: impl Iterator<Item = &'n Node>, what: &str, problems: &mut Problems) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for key in keys {
        if let Some(first) = seen.insert(key.text().to_ascii_lowercase(), key.text()) {
            let (first, second) = (shown(first), shown(key.text()));
            let message = format!("the {what} `{first}` and `{second}` differ in case alone");
            let help = Some("DNS takes them for one name".to_owned());
            problems.add("init::same-name", &key.span, message, help);
        }
    }
}

/// Lago's rule: where no net is marked, the first in alphabetical order is the management net.
fn choose_management(nets: &mut [NetDraft<'_>]) {
    let marked = nets.iter().any(|n| n.spec.as_ref().is_some_and(|spec| spec.management));
    if !marked
        && let Some(first) = nets.iter_mut().min_by_key(|n| n.key.text())
        && let Some(spec) = &mut first.spec
    {
        spec.management = true;
    }
    for spec in nets.iter_mut().filter_map(|n| n.spec.as_mut()).filter(|spec| spec.management) {
        spec.dns_domain.get_or_insert_with(|| DEFAULT_DOMAIN.to_owned());
    }
}

fn dns_only_on_management(nets: &[NetDraft<'_>], problems: &mut Problems) {
    for net in nets.iter().filter(|n| n.spec.as_ref().is_some_and(|spec| !spec.management)) {
        let keys = ["dns_domain_name", "dns_records", "main_dns"];
        for key in keys.into_iter().filter_map(|key| net.fields.key(key)) {
            let message = format!("`{}` is for management nets, `{}` is none", key.text(), net.key.text());
            let help =
                Some("mark the net with `management: true`, or move the key to one that is".to_owned());
            problems.add("init::dns-outside-management", &key.span, message, help);
        }
    }
}

fn distinct_subnets(nets: &[NetDraft<'_>], problems: &mut Problems) {
    let mut subnets: Vec<(Subnet, &str)> = Vec::new();
    let mut prefixes: HashMap<u64, &str> = HashMap::new();
    for net in nets {
        let (Some(spec), name) = (&net.spec, net.key.text()) else {
            continue;
        };
        if let (Some(gateway), Some(node)) = (spec.gateway, net.fields.get("gw")) {
            let subnet = Subnet::of(gateway, spec.prefix_len);
            if let Some((other, first)) = subnets.iter().find(|(other, _)| other.overlaps(subnet)) {
                let message = format!("{subnet} overlaps {other} of the net `{first}`");
                problems.add("init::subnet-clash", &node.span, message, None);
            }
            subnets.push((subnet, name));
        }
        if let (Ipv6Spec::Given(given), Some(node)) = (spec.ipv6, net.fields.get("ipv6"))
            && let Some(first) = prefixes.insert(prefix64(given.gateway), name)
        {
            let message = format!("`{}` has the same /64 as the net `{first}`", shown(node.text()));
            problems.add("init::subnet-clash", &node.span, message, None);
        }
    }
}

/// Machines from which others are reached are in the file, and are not reached from those in turn.
fn jumps(domains: &[DomainDraft<'_>], problems: &mut Problems) {
    let jumps: BTreeMap<&str, Option<&str>> =
        domains.iter().map(|d| (d.key.text(), d.jump.map(Node::text))).collect();
    for (name, node) in domains.iter().filter_map(|d| Some((d.key.text(), d.jump?))) {
        let Some(mut next) = jumps.get(node.text()).map(|_| node.text()) else {
            let names: Vec<&str> = jumps.keys().copied().filter(|known| *known != name).collect();
            let help = suggest(node.text(), &names)
                .unwrap_or_else(|| format!("the other machines are {}", listed(&names)));
            let message = format!("there is no machine `{}`", shown(node.text()));
            problems.add("init::unknown-jump", &node.span, message, Some(help));
            continue;
        };
        let mut way = vec![name];
        while !way.contains(&next) {
            way.push(next);
            match jumps.get(next).copied().flatten() {
                Some(after) => next = after,
                None => break,
            }
        }
        if next == name {
            let message = format!("`{}` would be reached by way of itself", shown(name));
            let help = "`ssh-jump` names a machine that is reached without this one".to_owned();
            problems.add("init::jump-circle", &node.span, message, Some(help));
        }
    }
}

/// A machine with NICs is reached on exactly one of them.
fn one_management_nic(
    domain: &DomainDraft<'_>,
    nets: &[NetDraft<'_>],
    known: &Nets<'_>,
    problems: &mut Problems,
) {
    let mut management = 0;
    let mut complete = true;
    for nic in &domain.nics {
        match nic.net.map(|node| (node, known.get(node.text()))) {
            Some((_, Some(Some(net)))) => management += usize::from(net.management),
            // The net is there, but its name could not be read.
            Some((_, Some(None))) | None => complete = false,
            Some((node, None)) => {
                let names: Vec<&str> = nets.iter().map(|n| n.key.text()).collect();
                let help = suggest(node.text(), &names)
                    .unwrap_or_else(|| format!("the nets are {}", listed(&names)));
                let message = format!("there is no net `{}`", shown(node.text()));
                problems.add("init::unknown-net", &node.span, message, Some(help));
                complete = false;
            }
        }
    }
    if complete && !domain.nics.is_empty() && management != 1 {
        let name = shown(domain.key.text());
        let message = match management {
            0 => format!("machine `{name}` has no NIC on a management net"),
            n => format!("machine `{name}` has {n} NICs on management nets, one is allowed"),
        };
        let names: Vec<&str> = nets
            .iter()
            .filter(|n| n.spec.as_ref().is_some_and(|spec| spec.management))
            .map(|n| n.key.text())
            .collect();
        let help = Some(format!("management nets: {}", listed(&names)));
        problems.add("init::management", &domain.key.span, message, help);
    }
}

/// Addresses that NICs have asked for so far: who, and where.
#[derive(Default)]
struct Taken<'n> {
    ipv4: BTreeMap<(&'n str, Ipv4Addr), (&'n str, Span)>,
    ipv6: BTreeMap<(&'n str, u64), (&'n str, Span)>,
    macs: BTreeMap<Mac, (&'n str, Span)>,
}

impl<'n> Taken<'n> {
    /// No two NICs of a net ask for one address, none for the gateway's or one outside the net.
    fn addresses(mut self, domains: &'n [DomainDraft<'_>], nets: &Nets<'n>, problems: &mut Problems) {
        for (domain, nic) in domains.iter().flat_map(|d| d.nics.iter().map(move |nic| (d, nic))) {
            let machine = domain.key.text();
            if let (Some(mac), Some(node)) = (nic.spec.as_ref().and_then(|s| s.mac), nic.fields.get("mac"))
                && let Some((other, first)) = self.macs.insert(mac, (machine, node.span))
            {
                let place = problems.elsewhere(&first, &node.span);
                let message = format!("{mac} is taken by `{other}` {place}");
                problems.add("init::duplicate-mac", &node.span, message, None);
            }
            if let Some((name, Some(net))) = nic.net.and_then(|n| nets.get_key_value(n.text())) {
                self.ipv4(machine, nic, name, net, problems);
                self.ipv6(machine, nic, name, net, problems);
            }
        }
    }

    fn ipv4(
        &mut self,
        machine: &'n str,
        nic: &NicDraft<'_>,
        name: &'n str,
        net: &NetSpec,
        problems: &mut Problems,
    ) {
        let (Some(ip), Some(node)) = (nic.spec.as_ref().and_then(|s| s.ip), nic.fields.get("ip")) else {
            return;
        };
        let span = &node.span;
        if !net.ipv4 {
            let message = format!("the net `{name}` has no IPv4");
            return problems.add("init::no-ipv4", span, message, Some("use `ip6`".to_owned()));
        }
        // Without a gateway of its own the net's subnet is chosen later, and the address moved there; a bridge is
        // given none, and its addresses stay what they are.
        let moves = net.gateway.is_none() && net.kind != NetKind::Bridge;
        let subnet = Subnet::of(net.gateway.unwrap_or(ip), net.prefix_len);
        let [a, b, c, _] = ip.octets();
        let gateway = net.gateway.unwrap_or(Ipv4Addr::new(a, b, c, 1));
        if !subnet.contains(ip) {
            let message = format!("{ip} is outside the net `{name}`");
            let help = Some(format!("its gateway {gateway} makes it {subnet}"));
            return problems.add("init::address-outside-net", span, message, help);
        }
        if !subnet.has_host(ip) {
            let message = format!("no machine in {subnet} can have the address {ip}");
            return problems.add("init::bad-address", span, message, None);
        }
        if ip == gateway && (net.gateway.is_some() || moves) {
            let message = format!("{ip} is the gateway of the net `{name}`");
            let help = "take another, or leave `ip` out to be given one".to_owned();
            return problems.add("init::gateway-clash", span, message, Some(help));
        }
        let [.., last] = ip.octets();
        let key = if moves { Ipv4Addr::from_bits(u32::from(last)) } else { ip };
        match self.ipv4.get(&(name, key)) {
            Some((other, first)) => {
                let place = problems.elsewhere(first, span);
                let message = format!("{ip} is taken in the net `{name}` by `{other}` {place}");
                let help = moves.then(|| {
                    format!("only the last number counts, as the net `{name}` has no `gw` of its own")
                });
                problems.add("init::duplicate-address", span, message, help);
            }
            None => drop(self.ipv4.insert((name, key), (machine, *span))),
        }
    }

    fn ipv6(
        &mut self,
        machine: &'n str,
        nic: &NicDraft<'_>,
        name: &'n str,
        net: &NetSpec,
        problems: &mut Problems,
    ) {
        let (Some(ip), Some(node)) = (nic.spec.as_ref().and_then(|s| s.ip6), nic.fields.get("ip6")) else {
            return;
        };
        let span = &node.span;
        let gateway: Ipv6Addr = match net.ipv6 {
            Ipv6Spec::Off => {
                let message = format!("the net `{name}` has no IPv6");
                let help = format!("write `ipv6: true` in `{name}`");
                return problems.add("init::no-ipv6", span, message, Some(help));
            }
            Ipv6Spec::Given(given) if prefix64(given.gateway) != prefix64(ip) => {
                let message = format!("{ip} is outside the net `{name}`");
                let help = Some(format!("its gateway is {}", given.gateway));
                return problems.add("init::address-outside-net", span, message, help);
            }
            Ipv6Spec::Given(given) => given.gateway,
            Ipv6Spec::Auto => Ipv6Addr::from_bits(1),
        };
        match interface64(ip) {
            0 => {
                let message = format!("no machine can have the address {ip}: it means any router");
                problems.add("init::bad-address", span, message, None);
            }
            last if last == interface64(gateway) => {
                let message = format!("{ip} is the gateway of the net `{name}`");
                let help = "take another, or leave `ip6` out to be given one".to_owned();
                problems.add("init::gateway-clash", span, message, Some(help));
            }
            last => match self.ipv6.get(&(name, last)) {
                Some((other, first)) => {
                    let place = problems.elsewhere(first, span);
                    let message = format!("{ip} is taken in the net `{name}` by `{other}` {place}");
                    let help = (net.ipv6 == Ipv6Spec::Auto).then(|| {
                        format!("only the last 64 bits count, as a prefix is chosen for the net `{name}`")
                    });
                    problems.add("init::duplicate-address", span, message, help);
                }
                None => drop(self.ipv6.insert((name, last), (machine, *span))),
            },
        }
    }
}
