//! From what is asked of the networks to every address, MAC and name: the same answer for the same question.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use sha2::{Digest, Sha256};

use super::{
    address::{Addresses, Subnet, subnets, within},
    error::NetError,
    spec::{
        DhcpPlan, DnsPlan, DnsRecord, MachineAsk, NetAsk, NetPlan, NicAsk, PREFIX, PlannedHost, PlannedNet,
        PlannedNic,
    },
};
use crate::base::id::{Mac, MachineName, NetName};

/// Decides everything.
///
/// # Errors
/// Every reason why it cannot be as asked.
pub fn plan(nets: &[NetAsk], machines: &[MachineAsk]) -> Result<NetPlan, Vec<NetError>> {
    let mut errors = Vec::new();
    let subnets = subnets(nets, &mut errors);
    let mut addresses = Addresses::default();
    addresses.fixed(nets, &subnets, machines, &mut errors);
    addresses.dynamic(&subnets, machines, &mut errors);
    let nics: BTreeMap<_, _> =
        machines.iter().map(|m| (m.name.clone(), planned_nics(m, nets, &addresses.of))).collect();
    distinct_names(machines, &nics, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let nets = nets.iter().filter_map(|net| Some(planned_net(net, subnets.get(&net.name)?, &nics))).collect();
    Ok(NetPlan { nets, nics })
}

fn planned_nics(
    machine: &MachineAsk,
    nets: &[NetAsk],
    addresses: &BTreeMap<(&MachineName, usize), Ipv4Addr>,
) -> Vec<PlannedNic> {
    let name = &machine.name;
    let planned = |(index, nic): (usize, &NicAsk)| {
        let ip = *addresses.get(&(name, index))?;
        let net = &nic.net;
        let nth = machine.nics.iter().take(index).filter(|earlier| earlier.net == *net).count();
        let mut names = BTreeSet::from([format!("{name}-eth{index}"), format!("{name}-{net}-{nth}")]);
        if nth == 0 {
            names.insert(format!("{name}-{net}"));
            if nets.iter().any(|n| n.name == *net && n.management) {
                names.insert(name.to_string());
            }
        }
        let names = names.into_iter().collect();
        Some(PlannedNic { index, net: net.clone(), ip, mac: Mac::from_ip(ip), names })
    };
    machine.nics.iter().enumerate().filter_map(planned).collect()
}

/// DNS knows no case and one address for a name of ours.
fn distinct_names(
    machines: &[MachineAsk],
    nics: &BTreeMap<MachineName, Vec<PlannedNic>>,
    errors: &mut Vec<NetError>,
) {
    let mut seen: BTreeMap<String, &MachineName> = BTreeMap::new();
    for machine in machines.iter().map(|m| &m.name) {
        for name in nics.get(machine).into_iter().flatten().flat_map(|nic| &nic.names) {
            if let Some(other) = seen.insert(name.to_ascii_lowercase(), machine) {
                let (machine, other) = (machine.clone(), other.clone());
                errors.push(NetError::NameClash { name: name.clone(), machine, other });
            }
        }
    }
}

fn planned_net(net: &NetAsk, subnet: &Subnet, nics: &BTreeMap<MachineName, Vec<PlannedNic>>) -> PlannedNet {
    let gateway = subnet.gateway;
    PlannedNet {
        name: net.name.clone(),
        kind: net.kind,
        management: net.management,
        bridge: bridge_name(&net.name),
        bridge_mac: Mac::from_ip(gateway),
        gateway,
        prefix: PREFIX,
        hosts: hosts(&net.name, nics),
        dhcp: net.dhcp.as_ref().map(|range| DhcpPlan {
            start: within(gateway, *range.start()),
            end: within(gateway, *range.end()),
        }),
        dns: net
            .dns_domain
            .as_ref()
            .map(|domain| DnsPlan { domain: domain.clone(), records: records(&net.dns_records, nics) }),
        mtu: net.mtu.filter(|mtu| *mtu != 1500),
    }
}

fn hosts(net: &NetName, nics: &BTreeMap<MachineName, Vec<PlannedNic>>) -> Vec<PlannedHost> {
    let mut hosts = Vec::new();
    for (machine, nics) in nics {
        for (nth, nic) in nics.iter().filter(|nic| nic.net == *net).enumerate() {
            let name = if nth == 0 { machine.to_string() } else { format!("{machine}-{net}-{nth}") };
            hosts.push(PlannedHost { mac: nic.mac, ip: nic.ip, name });
        }
    }
    hosts
}

/// The names of every NIC of every net, and those asked for that no NIC has.
fn records(
    asked: &BTreeMap<String, Ipv4Addr>,
    nics: &BTreeMap<MachineName, Vec<PlannedNic>>,
) -> Vec<DnsRecord> {
    let mut by_ip: BTreeMap<Ipv4Addr, BTreeSet<&str>> = BTreeMap::new();
    let mut own = BTreeSet::new();
    for nic in nics.values().flatten() {
        own.extend(nic.names.iter().map(|name| name.to_ascii_lowercase()));
        by_ip.entry(nic.ip).or_default().extend(nic.names.iter().map(String::as_str));
    }
    for (name, ip) in asked.iter().filter(|(name, _)| !own.contains(&name.to_ascii_lowercase())) {
        by_ip.entry(*ip).or_default().insert(name);
    }
    let record = |(ip, names): (_, BTreeSet<&str>)| DnsRecord {
        ip,
        names: names.iter().map(ToString::to_string).collect(),
    };
    by_ip.into_iter().map(record).collect()
}

/// 15 characters, all an interface name may have, that differ for nets whose names begin alike.
fn bridge_name(net: &NetName) -> String {
    let digest = Sha256::digest(net.as_str());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("pd-{hex}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::{
        address::{last, network, nics},
        spec::NetKind,
    };

    fn net(name: &str, gateway: Option<&str>) -> NetAsk {
        NetAsk {
            name: name.parse().unwrap(),
            kind: NetKind::Nat,
            management: name.starts_with('m'),
            gateway: gateway.map(|g| g.parse().unwrap()),
            dhcp: Some(100..=254),
            dns_domain: name.starts_with('m').then(|| "test".to_owned()),
            dns_records: BTreeMap::new(),
            mtu: None,
        }
    }

    /// `name: net net=ip ...`
    fn machine(text: &str) -> MachineAsk {
        let (name, nics) = text.split_once(':').unwrap();
        let nic = |text: &str| {
            let (net, ip) =
                text.split_once('=').map_or((text, None), |(n, ip)| (n, Some(ip.parse().unwrap())));
            NicAsk { net: net.parse().unwrap(), ip }
        };
        MachineAsk { name: name.parse().unwrap(), nics: nics.split_whitespace().map(nic).collect() }
    }

    fn show(plan: &NetPlan) -> String {
        let mut out = String::new();
        for net in &plan.nets {
            out += &format!("{} {}/{} {}\n", net.name, net.gateway, net.prefix, net.bridge_mac);
            for host in &net.hosts {
                out += &format!("  host {} {} {}\n", host.mac, host.ip, host.name);
            }
            for record in net.dns.iter().flat_map(|dns| &dns.records) {
                out += &format!("  dns {} {}\n", record.ip, record.names.join(" "));
            }
        }
        out
    }

    #[test]
    fn lagos_rules() {
        let mut mgmt = net("mgmt", None);
        mgmt.dns_records = [("mirror", "192.168.200.1"), ("A", "1.2.3.4")]
            .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()))
            .into();
        let nets = [mgmt, net("own", Some("192.168.201.254")), net("third", None)];
        let machines = [machine("b: mgmt own"), machine("a: mgmt=10.9.8.2 own own third=1.1.1.77")];
        insta::assert_snapshot!(show(&plan(&nets, &machines).unwrap()), @r"
        mgmt 192.168.200.1/24 54:52:c0:a8:c8:01
          host 54:52:c0:a8:c8:02 192.168.200.2 a
          host 54:52:c0:a8:c8:03 192.168.200.3 b
          dns 192.168.200.1 mirror
          dns 192.168.200.2 a a-eth0 a-mgmt a-mgmt-0
          dns 192.168.200.3 b b-eth0 b-mgmt b-mgmt-0
          dns 192.168.201.2 b-eth1 b-own b-own-0
          dns 192.168.201.3 a-eth1 a-own a-own-0
          dns 192.168.201.4 a-eth2 a-own-1
          dns 192.168.202.77 a-eth3 a-third a-third-0
        own 192.168.201.254/24 54:52:c0:a8:c9:fe
          host 54:52:c0:a8:c9:03 192.168.201.3 a
          host 54:52:c0:a8:c9:04 192.168.201.4 a-own-1
          host 54:52:c0:a8:c9:02 192.168.201.2 b
        third 192.168.202.1/24 54:52:c0:a8:ca:01
          host 54:52:c0:a8:ca:4d 192.168.202.77 a
        ");
    }

    #[rstest::rstest]
    #[case::unknown_net(&["a: m x"], "NIC 1 of machine `a` is on `x`, which is no net of this environment")]
    #[case::clash(&["a: m=1.1.1.9", "b: m=2.2.2.9"], "192.168.200.9 in the net `m` is asked for by machine `b` and by `a`")]
    #[case::gateway(&["a: m=1.1.1.1"], "192.168.200.1 of machine `a` is not an address for a machine in the net `m` (192.168.200.1/24)")]
    #[case::outside(&["a: own=10.0.1.5"], "10.0.1.5 of machine `a` is not an address for a machine in the net `own` (10.0.0.254/24)")]
    #[case::broadcast(&["a: own=10.0.0.255"], "10.0.0.255 of machine `a` is not an address for a machine in the net `own` (10.0.0.254/24)")]
    #[case::names(&["a: m m", "a-eth0: m"], "two NICs would have the DNS name `a-eth0`, one of machine `a-eth0` and one of `a`")]
    fn what_cannot_be_is_said(#[case] machines: &[&str], #[case] expected: &str) {
        let nets = [net("m", None), net("own", Some("10.0.0.254"))];
        let machines: Vec<_> = machines.iter().map(|text| machine(text)).collect();
        let errors = plan(&nets, &machines).unwrap_err();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn every_error_is_reported() {
        let nets = [net("m", Some("10.0.0.1")), net("n", Some("10.0.0.2"))];
        let machines = [machine("a: x n m=10.0.0.1"), machine("b: m=10.0.0.0 y")];
        assert_eq!(plan(&nets, &machines).unwrap_err().len(), 5);
    }

    #[test]
    fn a_net_holds_252_machines_beside_a_gateway_at_its_end() {
        let nets = [net("m", Some("10.0.0.254"))];
        let machines: Vec<_> = (0..253).map(|i| machine(&format!("v{i}: m"))).collect();
        assert!(plan(&nets, &machines[..252]).is_ok());
        let expected =
            NetError::NoAddressLeft { net: nets[0].name.clone(), machine: machines[252].name.clone() };
        assert_eq!(plan(&nets, &machines), Err(vec![expected]));
    }

    #[test]
    fn the_pool_of_subnets_ends() {
        let mut nets: Vec<_> = (0..55).map(|i| net(&format!("n{i}"), None)).collect();
        assert_eq!(plan(&nets, &[]).unwrap().nets[54].gateway.to_string(), "192.168.254.1");
        nets.push(net("own", Some("192.168.203.7")));
        assert_eq!(plan(&nets, &[]), Err(vec![NetError::NoSubnetLeft { net: "n54".parse().unwrap() }]));
    }

    prop_compose! {
        /// Up to four nets, two of which may have gateways of their own, and machines with NICs on any of them.
        fn asks()(
            gateways in prop::collection::vec(prop::option::of(1u8..255), 1..5),
            machines in prop::collection::vec(prop::collection::vec((0usize..4, prop::option::of(1u8..255)), 0..5), 0..12),
        ) -> (Vec<NetAsk>, Vec<MachineAsk>) {
            let nets: Vec<_> = gateways.iter().enumerate().map(|(i, octet)| {
                net(&format!("{}{i}", if i == 0 { "m" } else { "n" }), octet.map(|o| format!("192.168.{}.{o}", 200 + i)).as_deref())
            }).collect();
            let nic = |(n, octet): &(usize, Option<u8>)| {
                let n = n % nets.len();
                NicAsk { net: nets[n].name.clone(), ip: octet.map(|o| Ipv4Addr::new(192, 168, u8::try_from(200 + n).unwrap(), o)) }
            };
            let machines = machines.iter().enumerate().map(|(i, nics)| MachineAsk {
                name: format!("v{i}").parse().unwrap(),
                nics: nics.iter().map(nic).collect(),
            }).collect();
            (nets, machines)
        }
    }

    proptest! {
        #[test]
        fn no_two_nics_share_anything((nets, machines) in asks()) {
            let answer = plan(&nets, &machines);
            prop_assert_eq!(&answer, &plan(&nets, &machines));
            let fixed: Vec<_> = nics(&machines).filter_map(|(_, _, nic)| Some((&nic.net, nic.ip?))).collect();
            match answer {
                Ok(plan) => {
                    let mut ips = BTreeSet::new();
                    let mut macs: BTreeSet<_> = plan.nets.iter().map(|n| n.bridge_mac).collect();
                    let mut names = BTreeSet::new();
                    for (asked, (name, nic)) in nics(&machines).zip(machines.iter().flat_map(|m| {
                        plan.nics[&m.name].iter().map(move |nic| (&m.name, nic))
                    })) {
                        let net = plan.nets.iter().find(|n| n.name == nic.net).unwrap();
                        prop_assert!(asked.0 == name && asked.1 == nic.index && asked.2.net == nic.net);
                        prop_assert_eq!(last(asked.2.ip.unwrap_or(nic.ip)), last(nic.ip));
                        prop_assert!(ips.insert(nic.ip) && macs.insert(nic.mac));
                        prop_assert!(nic.ip != net.gateway && network(nic.ip) == network(net.gateway));
                        prop_assert!(!matches!(last(nic.ip), 0 | 255));
                        for name in &nic.names {
                            prop_assert!(names.insert(name.clone()));
                        }
                    }
                    let bridges: BTreeSet<_> = plan.nets.iter().map(|n| &n.bridge).collect();
                    prop_assert!(bridges.len() == nets.len() && bridges.iter().all(|b| b.len() <= 15));
                }
                Err(errors) => {
                    // The asks are such that only fixed addresses can be at fault.
                    let gateway = |name: &NetName| nets.iter().find(|n| n.name == *name).unwrap().gateway;
                    let at_gateway = |(net, ip): &(&NetName, Ipv4Addr)| gateway(net).map_or(last(*ip) == 1, |g| g == *ip);
                    let distinct: BTreeSet<_> = fixed.iter().collect();
                    let bad = fixed.iter().filter(|f| at_gateway(f)).count();
                    let twice = distinct.len() != fixed.len();
                    prop_assert!(bad > 0 || twice, "{:?}", errors);
                }
            }
        }
    }
}
