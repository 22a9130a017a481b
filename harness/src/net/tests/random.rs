//! Properties that all plans have.

use proptest::prelude::*;

use super::*;

/// Gateway of the `i`th net that has one of its own, with a prefix of `len` bits: nets do not overlap.
fn own_gateway(i: usize, len: u8, host: u8) -> Ipv4Addr {
    let i = u8::try_from(i).unwrap();
    match 32 - len {
        // Neither the first nor the last of its subnet.
        bits @ 1..8 => Ipv4Addr::new(192, 168, 200 + i, 1 + host % ((1 << bits) - 2)),
        8 => Ipv4Addr::new(192, 168, 200 + i, host),
        _ => Ipv4Addr::new(10, i, 0, host),
    }
}

/// The gateway a net asks for, and the length of its prefix; whether it has IPv6, and which; whether it is a bridge.
type NetSeed = (Option<(u8, u8)>, usize, bool);
/// The net a NIC is on, and the ends of the addresses it asks for.
type NicSeed = (usize, Option<u8>, Option<u8>, Option<u8>);

fn net_of(i: usize, (own, v6, bridge): &NetSeed) -> NetAsk {
    let mut net = net(&format!("{}{i}", if i == 0 { "m" } else { "n" }));
    if let Some((host, len)) = own {
        net.ipv4 = Family::Given(own_gateway(i, *len, *host), *len);
        // The range of others would be outside of smaller ones.
        net.dhcp = net.dhcp.filter(|_| *len <= 24);
    }
    match v6 {
        0 => {}
        1 => net.ipv6 = Family::Auto,
        2 => net.ipv6 = Family::Given(format!("fd00:{i}::1").parse().unwrap(), 64),
        _ => (net.ipv4, net.ipv6) = (Family::Off, Family::Auto),
    }
    if i == 3 && *bridge {
        net.kind = NetKind::Bridge;
    }
    net
}

fn nic_of(nets: &[NetAsk], (n, octet, six, mac): &NicSeed) -> NicAsk {
    let n = n % nets.len();
    let mut nic = NicAsk::on(nets[n].name.clone());
    let beside = match nets[n].ipv4 {
        Family::Given(gateway, _) => gateway,
        Family::Auto | Family::Off => Ipv4Addr::new(192, 168, u8::try_from(200 + n).unwrap(), 1),
    };
    let [a, b, c, _] = beside.octets();
    nic.ip = octet.map(|d| Ipv4Addr::new(a, b, c, d)).filter(|_| nets[n].ipv4 != Family::Off);
    nic.ip6 =
        six.map(|o| format!("fd00:{n}::{o:x}").parse().unwrap()).filter(|_| nets[n].ipv6 != Family::Off);
    nic.mac = mac.map(|last| Mac([0x52, 0x54, 0, 0, 0, last]));
    nic
}

prop_compose! {
    /// Up to four nets of every family, some with gateways of their own, machines with NICs on any, and a place where
    /// not everything is free.
    fn asks()(
        nets in prop::collection::vec(
            (prop::option::of((1u8..255, 16u8..=29)), 0usize..4, any::<bool>()), 1..5),
        machines in prop::collection::vec(prop::collection::vec(
            (0usize..4, prop::option::of(1u8..255), prop::option::of(1u8..20), prop::option::weighted(0.2, any::<u8>())),
            0..5), 0..12),
        pool in prop::sample::subsequence(crate::net::spec::OCTETS.collect::<Vec<_>>(), 8..=56),
        shared in any::<bool>(),
    ) -> (Vec<NetAsk>, Vec<MachineAsk>, Scope) {
        let nets: Vec<_> = nets.iter().enumerate().map(|(i, seed)| net_of(i, seed)).collect();
        let machines = machines.iter().enumerate().map(|(i, nics)| MachineAsk {
            name: format!("v{i}").parse().unwrap(),
            nics: nics.iter().map(|seed| nic_of(&nets, seed)).collect(),
        }).collect();
        let uuid = shared.then(|| "5f0c0000000000000000000000000000".to_owned());
        (nets, machines, Scope { pool, uuid, bridges: Vec::new() })
    }
}

/// The part of an address that is its subnet's own.
fn host_part(ip: Ipv4Addr, len: u8) -> u32 {
    ip.to_bits() & (u32::MAX >> len)
}

fn same_64(a: Ipv6Addr, b: Ipv6Addr) -> bool {
    a.segments()[..4] == b.segments()[..4]
}

proptest! {
    #[test]
    fn no_two_nics_share_anything_and_nothing_is_outside_its_net((nets, machines, scope) in asks()) {
        let answer = plan(&nets, &machines, &scope);
        prop_assert_eq!(&answer, &plan(&nets, &machines, &scope));
        let Ok(plan) = answer else { return Ok(()) };
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        let mut macs: BTreeSet<Mac> = plan.nets.iter().map(|n| n.bridge_mac).collect();
        let mut taps = BTreeSet::new();
        let mut names = BTreeSet::new();
        prop_assert_eq!(macs.len(), nets.len());
        for (net, asked) in plan.nets.iter().zip(&nets) {
            let chosen = net.gateway.filter(|_| asked.ipv4 == Family::Auto);
            prop_assert!(chosen.is_none_or(|gateway| scope.pool.contains(&gateway.octets()[2])));
            addresses.extend(net.gateway.map(IpAddr::V4));
            addresses.extend(net.gateway6.map(|(ip, _)| IpAddr::V6(ip)));
        }
        let planned = machines.iter().flat_map(|m| plan.nics[&m.name].iter().map(move |nic| (&m.name, nic)));
        for ((name, index, asked), (owner, nic)) in nics(&machines).zip(planned) {
            let net = plan.nets.iter().find(|n| n.name == nic.net).unwrap();
            prop_assert!(name == owner && index == nic.index && asked.net == nic.net);
            for ip in nic.addresses() {
                prop_assert!(addresses.insert(ip), "{}", ip);
            }
            prop_assert!(macs.insert(nic.mac) && taps.insert(&nic.tap));
            for name in &nic.names {
                prop_assert!(names.insert(name.clone()));
            }
            prop_assert!(asked.mac.is_none_or(|asked| asked == nic.mac));
            if let Some(ip) = nic.ip {
                prop_assert!(asked.ip.is_none_or(|asked| asked.octets()[3] == ip.octets()[3]));
            }
            if let (Some(ip), Some(gateway)) = (nic.ip, net.gateway) {
                let host = host_part(ip, net.prefix);
                prop_assert!(host != 0 && host != host_part(Ipv4Addr::BROADCAST, net.prefix));
                prop_assert_eq!(ip.to_bits() - host, gateway.to_bits() - host_part(gateway, net.prefix));
            }
            if let Some(ip) = nic.ip6 {
                prop_assert!(asked.ip6.is_none_or(|asked| asked.segments()[4..] == ip.segments()[4..]));
                prop_assert!(net.gateway6.is_none_or(|(gateway, _)| same_64(gateway, ip)));
            }
            prop_assert_eq!(nic.ip.is_some() || asked.ip.is_some(), net.gateway.is_some() || asked.ip.is_some());
            prop_assert_eq!(nic.ip6.is_some(), net.gateway6.is_some() || asked.ip6.is_some());
        }
        let bridges: BTreeSet<_> = plan.nets.iter().map(|n| &n.bridge).collect();
        prop_assert!(bridges.len() == nets.len() && bridges.iter().all(|b| b.len() <= 15));
    }

    #[test]
    fn what_is_fixed_does_not_depend_on_the_order(
        (mut nets, mut machines, scope) in asks(), turn in 0usize..12,
    ) {
        // Subnets that are chosen do depend on it, so there are none.
        for (i, net) in nets.iter_mut().enumerate() {
            if net.ipv4 == Family::Auto {
                net.ipv4 = Family::Given(Ipv4Addr::new(192, 168, u8::try_from(200 + i).unwrap(), 254), 24);
            }
            if net.ipv6 == Family::Auto {
                net.ipv6 = Family::Given(format!("fd00:{i}::1").parse().unwrap(), 64);
            }
        }
        let fixed = |plan: &NetPlan, machines: &[MachineAsk]| -> BTreeSet<(String, usize, Option<Ipv4Addr>, Option<Ipv6Addr>)> {
            nics(machines).map(|(name, index, asked)| {
                let nic = &plan.nics[name][index];
                (name.to_string(), index, asked.ip.and(nic.ip), asked.ip6.and(nic.ip6))
            }).collect()
        };
        let Ok(before) = plan(&nets, &machines, &scope) else { return Ok(()) };
        let before = fixed(&before, &machines);
        let by = turn % machines.len().max(1);
        machines.rotate_left(by);
        let by = turn % nets.len();
        nets.rotate_left(by);
        let after = plan(&nets, &machines, &scope);
        prop_assert!(after.is_ok(), "{:?}", after);
        prop_assert_eq!(before, fixed(&after.unwrap(), &machines));
    }

    #[test]
    fn errors_have_a_cause((nets, machines, scope) in asks()) {
        let Err(errors) = plan(&nets, &machines, &scope) else { return Ok(()) };
        // The asks are such that only fixed addresses can be at fault (at a gateway, outside of a net, or twice in it),
        // and nets that are too small for all their machines.
        let small = nets.iter().any(|net| matches!(net.ipv4, Family::Given(_, 26..)));
        for error in errors {
            let at_fault = match error {
                NetError::BadAddress { .. } | NetError::AddressClash { .. } | NetError::MacClash { .. } => true,
                NetError::NoAddressLeft { .. } => small,
                _ => false,
            };
            prop_assert!(at_fault, "{:?}", error);
        }
    }
}
