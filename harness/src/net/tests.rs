//! The plan as tables and properties: what Lago's rules say, what is ours, and what cannot be.

mod random;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::{
    Extra, Family, Impairment, LinkPlan, MachineAsk, NetAsk, NetError, NetKind, NetPlan, NicAsk, Outward,
    Scope, Vlan,
    address::nics,
    another,
    lease::{self, Want},
    plan,
};
use crate::base::id::{Mac, NetName};

/// `name [/kind] [/internet] [v4 GATEWAY[/LEN] | v4 off] [v6 auto | v6 GATEWAY[/LEN]]`; names that begin with `m` are management
/// nets.
fn net(text: &str) -> NetAsk {
    let mut words = text.split_whitespace();
    let name: NetName = words.next().unwrap().parse().unwrap();
    let management = name.as_str().starts_with('m');
    let mut net = NetAsk {
        name,
        kind: NetKind::Nat,
        management,
        ipv4: Family::Auto,
        ipv6: Family::Off,
        dhcp: Some(100..=254),
        dns_domain: management.then(|| "test".to_owned()),
        dns_records: BTreeMap::new(),
        dns_forward: None,
        mtu: None,
        internet: false,
    };
    while let Some(word) = words.next() {
        match word {
            "/isolated" => net.kind = NetKind::Isolated,
            "/bridge" => net.kind = NetKind::Bridge,
            "/internet" => net.internet = true,
            "v4" => net.ipv4 = family(words.next().unwrap(), 24),
            "v6" => net.ipv6 = family(words.next().unwrap(), 64),
            other => panic!("{other}"),
        }
    }
    net
}

fn family<A: std::str::FromStr<Err: std::fmt::Debug>>(text: &str, len: u8) -> Family<A> {
    match text {
        "off" => Family::Off,
        "auto" => Family::Auto,
        given => {
            let (gateway, len) = given.split_once('/').map_or((given, len), |(g, l)| (g, l.parse().unwrap()));
            Family::Given(gateway.parse().unwrap(), len)
        }
    }
}

/// `name: net net=IP net=IP6 net=MAC net=IP,MAC ...`
fn machine(text: &str) -> MachineAsk {
    let (name, nics) = text.split_once(':').unwrap();
    let nic = |text: &str| {
        let (net, asked) = text.split_once('=').unwrap_or((text, ""));
        let mut nic = NicAsk::on(net.parse().unwrap());
        for asked in asked.split(',').filter(|a| !a.is_empty()) {
            match asked.parse::<IpAddr>() {
                Ok(IpAddr::V4(ip)) => nic.ip = Some(ip),
                Ok(IpAddr::V6(ip)) => nic.ip6 = Some(ip),
                Err(_) => nic.mac = Some(asked.parse().unwrap()),
            }
        }
        nic
    };
    MachineAsk { name: name.parse().unwrap(), nics: nics.split_whitespace().map(nic).collect() }
}

fn machines(texts: &[&str]) -> Vec<MachineAsk> {
    texts.iter().map(|text| machine(text)).collect()
}

fn nets(texts: &[&str]) -> Vec<NetAsk> {
    texts.iter().map(|text| net(text)).collect()
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

fn show(plan: &NetPlan) -> String {
    let mut out = String::new();
    for net in &plan.nets {
        let v4 = shown(net.gateway.map(|g| format!("{g}/{}", net.prefix)));
        let v6 = shown(net.gateway6.map(|(g, len)| format!("{g}/{len}")));
        out += &format!("{} {v4} {v6} {}\n", net.name, net.bridge_mac);
        if let Some(dhcp) = &net.dhcp {
            let (v4, v6) =
                (dhcp.v4.map(|(a, b)| format!("{a}..{b}")), dhcp.v6.map(|(a, b)| format!("{a}..{b}")));
            out += &format!("  dhcp {} {}\n", shown(v4), shown(v6));
        }
        for host in &net.hosts {
            out += &format!("  host {} {} {} {}\n", host.mac, shown(host.ip), shown(host.ip6), host.name);
        }
        for record in net.dns.iter().flat_map(|dns| &dns.records) {
            out += &format!("  dns {} {}\n", record.ip, record.names.join(" "));
        }
    }
    out
}

fn planned(nets: &[NetAsk], machines: &[MachineAsk]) -> NetPlan {
    plan(nets, machines, &Scope::hermetic()).unwrap()
}

fn refused(nets: &[NetAsk], machines: &[MachineAsk]) -> Vec<String> {
    let errors = plan(nets, machines, &Scope::hermetic()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn impairments_are_told_without_what_they_do_not_do() {
    let told = |what: Impairment| what.to_string();
    assert_eq!(told(Impairment::default()), "as a plain cable");
    assert!(!Impairment::default().is_chancy());
    let slow = Impairment { delay: Duration::from_millis(50), rate_kbit: Some(100), ..Impairment::default() };
    assert_eq!(told(slow), "delay 50ms, at most 100 kbit/s");
    assert!(!slow.is_chancy(), "nothing is left to chance");
    let bad = Impairment {
        jitter: Duration::from_millis(5),
        loss: 40.0,
        duplicate: 0.5,
        corrupt: 1.0,
        ..Impairment::default()
    };
    assert_eq!(told(bad), "jitter 5ms, loss 40%, duplicates 0.5%, wrong bits 1%");
    assert!(bad.is_chancy());
}

#[test]
fn lagos_rules() {
    let mut nets = nets(&["mgmt", "own v4 192.168.201.254", "third"]);
    nets[0].dns_records = [("mirror", "192.168.200.1"), ("A", "1.2.3.4"), ("six", "fd00::7")]
        .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()))
        .into();
    let machines = machines(&["b: mgmt own", "a: mgmt=10.9.8.2 own own third=1.1.1.77"]);
    insta::assert_snapshot!(show(&planned(&nets, &machines)), @r"
    mgmt 192.168.200.1/24 - 54:52:c0:a8:c8:01
      dhcp 192.168.200.100..192.168.200.254 -
      host 54:52:c0:a8:c8:02 192.168.200.2 - a
      host 54:52:c0:a8:c8:03 192.168.200.3 - b
      dns 192.168.200.1 mirror
      dns 192.168.200.2 a a-eth0 a-mgmt a-mgmt-0
      dns 192.168.200.3 b b-eth0 b-mgmt b-mgmt-0
      dns 192.168.201.2 b-eth1 b-own b-own-0
      dns 192.168.201.3 a-eth1 a-own a-own-0
      dns 192.168.201.4 a-eth2 a-own-1
      dns 192.168.202.77 a-eth3 a-third a-third-0
      dns fd00::7 six
    own 192.168.201.254/24 - 54:52:c0:a8:c9:fe
      dhcp 192.168.201.100..192.168.201.254 -
      host 54:52:c0:a8:c9:03 192.168.201.3 - a
      host 54:52:c0:a8:c9:04 192.168.201.4 - a-own-1
      host 54:52:c0:a8:c9:02 192.168.201.2 - b
    third 192.168.202.1/24 - 54:52:c0:a8:ca:01
      dhcp 192.168.202.100..192.168.202.254 -
      host 54:52:c0:a8:ca:4d 192.168.202.77 - a
    ");
}

#[test]
fn both_families_and_one_alone() {
    let mut nets = nets(&[
        "m v6 auto",
        "wide v4 10.0.0.1/16 v6 auto",
        "own v4 10.1.0.1 v6 fd00:1::1",
        "six v4 off v6 auto",
        "small v4 off v6 fd00:2::1/120",
    ]);
    nets[2].dhcp = None;
    let machines = machines(&[
        "a: m wide own six small=fd00:2::77",
        "b: m=::5 wide=10.0.200.9 own=fd00:1::b six=::9 small",
        "c: own=10.1.0.7,fd00:1::a01:2 six",
    ]);
    insta::assert_snapshot!(show(&planned(&nets, &machines)), @r"
    m 192.168.200.1/24 fd8f:1391:3a82:200::1/64 54:52:c0:a8:c8:01
      dhcp 192.168.200.100..192.168.200.254 fd8f:1391:3a82:200::c0a8:c864..fd8f:1391:3a82:200::c0a8:c8fe
      host 54:52:c0:a8:c8:02 192.168.200.2 fd8f:1391:3a82:200::c0a8:c802 a
      host 54:52:c0:a8:c8:03 192.168.200.3 fd8f:1391:3a82:200::5 b
      dns 10.0.0.2 a-eth1 a-wide a-wide-0
      dns 10.0.200.9 b-eth1 b-wide b-wide-0
      dns 10.1.0.2 a-eth2 a-own a-own-0
      dns 10.1.0.3 b-eth2 b-own b-own-0
      dns 10.1.0.7 c-eth0 c-own c-own-0
      dns 192.168.200.2 a a-eth0 a-m a-m-0
      dns 192.168.200.3 b b-eth0 b-m b-m-0
      dns fd00:1::2 a-eth2 a-own a-own-0
      dns fd00:1::b b-eth2 b-own b-own-0
      dns fd00:1::a01:2 c-eth0 c-own c-own-0
      dns fd00:2::2 b-eth4 b-small b-small-0
      dns fd00:2::77 a-eth4 a-small a-small-0
      dns fd8f:1391:a00::a00:2 a-eth1 a-wide a-wide-0
      dns fd8f:1391:a00::a00:c809 b-eth1 b-wide b-wide-0
      dns fd8f:1391:3a82:200::5 b b-eth0 b-m b-m-0
      dns fd8f:1391:3a82:200::c0a8:c802 a a-eth0 a-m a-m-0
      dns fd8f:1391:3a82:201::2 a-eth3 a-six a-six-0
      dns fd8f:1391:3a82:201::3 c-eth1 c-six c-six-0
      dns fd8f:1391:3a82:201::9 b-eth3 b-six b-six-0
    wide 10.0.0.1/16 fd8f:1391:a00::1/64 54:52:0a:00:00:01
      dhcp 10.0.0.100..10.0.0.254 fd8f:1391:a00::a00:64..fd8f:1391:a00::a00:fe
      host 54:52:0a:00:00:02 10.0.0.2 fd8f:1391:a00::a00:2 a
      host 54:52:0a:00:c8:09 10.0.200.9 fd8f:1391:a00::a00:c809 b
    own 10.1.0.1/24 fd00:1::1/64 54:52:0a:01:00:01
      host 54:52:0a:01:00:02 10.1.0.2 fd00:1::2 a
      host 54:52:0a:01:00:03 10.1.0.3 fd00:1::b b
      host 54:52:0a:01:00:07 10.1.0.7 fd00:1::a01:2 c
    six - fd8f:1391:3a82:201::1/64 56:52:d8:31:63:cb
      dhcp - fd8f:1391:3a82:201::64..fd8f:1391:3a82:201::fe
      host 56:52:0d:5a:6b:fa - fd8f:1391:3a82:201::2 a
      host 56:52:39:58:69:12 - fd8f:1391:3a82:201::9 b
      host 56:52:e7:72:de:c1 - fd8f:1391:3a82:201::3 c
    small - fd00:2::1/120 56:52:89:78:6a:f0
      dhcp - fd00:2::64..fd00:2::fe
      host 56:52:f8:10:e7:39 - fd00:2::77 a
      host 56:52:43:e0:2d:1c - fd00:2::2 b
    ");
}

#[test]
fn bridges_have_no_addresses_but_those_given() {
    let nets = nets(&["m", "b /bridge", "br0 /bridge"]);
    let machines = machines(&["a: m b b=10.0.0.7 br0=fd00::7", "c: br0=52:54:00:00:00:01"]);
    let scope = Scope { bridges: vec!["br0".to_owned()], ..Scope::hermetic() };
    let plan = plan(&nets, &machines, &scope).unwrap();
    insta::assert_snapshot!(show(&plan), @r"
    m 192.168.200.1/24 - 54:52:c0:a8:c8:01
      dhcp 192.168.200.100..192.168.200.254 -
      host 54:52:c0:a8:c8:02 192.168.200.2 - a
      dns 10.0.0.7 a-b-1 a-eth2
      dns 192.168.200.2 a a-eth0 a-m a-m-0
      dns fd00::7 a-br0 a-br0-0 a-eth3
    b - - 56:52:2d:ae:90:db
      host 56:52:c1:56:5d:0d - - a
      host 54:52:0a:00:00:07 10.0.0.7 - a-b-1
    br0 - - 56:52:55:c0:c3:46
      host 56:52:0d:5a:6b:fa - fd00::7 a
      host 52:54:00:00:00:01 - - c
    ");
    assert!(plan.nets[2].borrowed && plan.nets[2].bridge == "br0" && !plan.nets[1].borrowed);
    let names: Vec<_> = plan.nics.values().flatten().map(|nic| nic.names.join(" ")).collect();
    assert_eq!(names, ["a a-eth0 a-m a-m-0", "", "a-b-1 a-eth2", "a-br0 a-br0-0 a-eth3", ""]);
}

#[test]
fn names_addresses_and_links_as_asked() {
    let mut machine = machine("a: m m=52:54:00:00:00:01");
    machine.nics[1].names = Some(vec!["www.test".to_owned()]);
    machine.nics[1].vlan = Some(Vlan::Access(7));
    machine.nics[1].link = LinkPlan { up: false, ..LinkPlan::default() };
    let plan = planned(&nets(&["m"]), &[machine.clone()]);
    let nic = &plan.nics[&machine.name][1];
    assert_eq!((nic.names.join(" "), nic.mac.to_string()), ("www.test".into(), "52:54:00:00:00:01".into()));
    assert!(nic.vlan == Some(Vlan::Access(7)) && !nic.link.up);
    assert_eq!(plan.nets[0].dns.as_ref().unwrap().records[1].names, ["www.test"]);
}

#[rstest::rstest]
#[case(None, None, None)]
#[case(Some(1500), None, None)]
#[case(Some(9000), None, Some(9000))]
#[case(Some(9000), Some(1500), Some(1500))]
#[case(None, Some(1400), Some(1400))]
#[case(None, Some(1500), None)]
fn an_mtu_is_the_nics_else_the_nets(
    #[case] of_net: Option<u32>,
    #[case] of_nic: Option<u32>,
    #[case] expected: Option<u32>,
) {
    let (mut net, mut machine) = (net("m"), machine("a: m"));
    net.mtu = of_net;
    machine.nics[0].mtu = of_nic;
    let plan = planned(&[net], &[machine]);
    assert_eq!(plan.nics.values().next().unwrap()[0].mtu, expected);
    assert_eq!(plan.nets[0].mtu, of_net.filter(|mtu| *mtu != 1500));
}

#[test]
fn a_net_that_only_forwards_serves_no_records() {
    let mut nets = nets(&["m", "n"]);
    nets[1].dns_forward = Some("192.168.200.1".parse().unwrap());
    let plan = planned(&nets, &machines(&["a: m n"]));
    let dns = plan.nets[1].dns.as_ref().unwrap();
    assert!(dns.records.is_empty() && dns.domain.is_none() && dns.forward.is_some());
}

#[rstest::rstest]
#[case::unknown_net(&["a: m x"], "NIC 1 of machine `a` is on `x`, which is no net of this environment")]
#[case::clash(&["a: m=1.1.1.9", "b: m=2.2.2.9"], "192.168.200.9 in the net `m` is asked for by machine `b` and by `a`")]
#[case::gateway(&["a: m=1.1.1.1"], "192.168.200.1 of machine `a` is not an address for a machine in the net `m` (192.168.200.1/24)")]
#[case::outside(&["a: own=10.0.1.5"], "10.0.1.5 of machine `a` is not an address for a machine in the net `own` (10.0.0.254/24)")]
#[case::broadcast(&["a: own=10.0.0.255"], "10.0.0.255 of machine `a` is not an address for a machine in the net `own` (10.0.0.254/24)")]
#[case::names(&["a: m m", "a-eth0: m"], "two NICs would have the DNS name `a-eth0`, one of machine `a-eth0` and one of `a`")]
#[case::anycast(&["a: own=fd00::"], "fd00:: of machine `a` is not an address for a machine in the net `own` (fd00::1/64)")]
#[case::clash6(&["a: own=fd00::9", "b: own=fd00::9"], "fd00::9 in the net `own` is asked for by machine `b` and by `a`")]
#[case::family(&["a: m=fd00::9"], "machine `a` cannot have fd00::9: the net `m` has no IPv6")]
#[case::mac(&["a: m=52:54:00:00:00:01", "b: m=52:54:00:00:00:01"], "NIC 0 of machine `b` cannot have the Ethernet address 52:54:00:00:00:01: NIC 0 of machine `a` has it")]
#[case::made_mac(&["a: m", "b: m=54:52:c0:a8:c8:02"], "NIC 0 of machine `a` cannot have the Ethernet address 54:52:c0:a8:c8:02: NIC 0 of machine `b` has it")]
#[case::bridge_mac(&["a: m=54:52:c0:a8:c8:01"], "NIC 0 of machine `a` cannot have the Ethernet address 54:52:c0:a8:c8:01: the gateway of the net `m` has it")]
#[case::group(&["a: m=01:00:5e:00:00:01"], "NIC 0 of machine `a` cannot have 01:00:5e:00:00:01: it is no address of a single NIC")]
fn what_cannot_be_is_said(#[case] asked: &[&str], #[case] expected: &str) {
    let nets = nets(&["m", "own v4 10.0.0.254 v6 fd00::1"]);
    assert_eq!(refused(&nets, &machines(asked)), [expected]);
}

#[rstest::rstest]
#[case(&["m v4 10.0.0.1", "n v4 10.0.0.2/25"], "the subnets of the nets `n` (10.0.0.2/25) and `m` (10.0.0.1/24) overlap")]
#[case(&["m v6 fd00::1", "n v6 fd00::2"], "the subnets of the nets `n` (fd00::2/64) and `m` (fd00::1/64) overlap")]
#[case(&["m v4 10.0.0.0"], "the net `m` cannot have the gateway 10.0.0.0/24: it is the first or the last address of its subnet")]
#[case(&["m v4 10.0.0.255"], "the net `m` cannot have the gateway 10.0.0.255/24: it is the first or the last address of its subnet")]
#[case(&["m v4 10.0.0.1/31"], "the net `m` cannot have the gateway 10.0.0.1/31: a prefix of that length leaves no room, or far too much")]
#[case(&["m v6 fd00::1/128"], "the net `m` cannot have the gateway fd00::1/128: a prefix of that length leaves no room, or far too much")]
#[case(&["m v4 off"], "the net `m` has neither IPv4 nor IPv6")]
#[case(&["m v4 10.0.0.1/26"], "the DHCP range 10.0.0.100 to 10.0.0.254 of the net `m` is not within 10.0.0.1/26")]
fn what_nets_cannot_be_is_said(#[case] asked: &[&str], #[case] expected: &str) {
    assert_eq!(refused(&nets(asked), &[]), [expected]);
}

#[test]
fn a_vlan_has_a_number_that_exists() {
    let mut machine = machine("a: m");
    machine.nics[0].vlan = Some(Vlan::Trunk(vec![1, 0, 4095]));
    assert_eq!(refused(&nets(&["m"]), &[machine]).len(), 2);
}

#[test]
fn every_error_is_reported() {
    let nets = nets(&["m v4 10.0.0.1", "n v4 10.0.0.2"]);
    let machines = machines(&["a: x n m=10.0.0.1", "b: m=10.0.0.0 y"]);
    assert_eq!(refused(&nets, &machines).len(), 5);
}

#[test]
fn a_net_holds_252_machines_beside_a_gateway_at_its_end() {
    let nets = nets(&["m v4 10.0.0.254"]);
    let machines: Vec<_> = (0..253).map(|i| machine(&format!("v{i}: m"))).collect();
    assert_eq!(planned(&nets, &machines[..252]).nics.len(), 252);
    let expected = NetError::NoAddressLeft { net: nets[0].name.clone(), machine: machines[252].name.clone() };
    assert_eq!(plan(&nets, &machines, &Scope::hermetic()), Err(vec![expected]));
}

#[test]
fn the_pool_of_subnets_ends() {
    let mut asked: Vec<_> = (0..56).map(|i| net(&format!("n{i}"))).collect();
    let plan = planned(&asked, &[]);
    assert_eq!(plan.nets[55].gateway, Some(Ipv4Addr::new(192, 168, 255, 1)));
    asked.push(net("own v4 192.168.0.7/16"));
    assert_eq!(refused(&asked, &[]).len(), 56);
}

#[test]
fn only_what_is_free_is_chosen() {
    let scope = Scope { pool: vec![203, 201], ..Scope::default() };
    let mut nets = nets(&["m v6 auto", "own v4 192.168.203.200/25", "six v4 off v6 fd00::1"]);
    nets[1].dhcp = None;
    let plan = plan(&nets, &[], &scope).unwrap();
    assert_eq!(plan.nets[0].gateway, Some(Ipv4Addr::new(192, 168, 201, 1)));
    assert_eq!(plan.nets[0].gateway6.unwrap().0.to_string(), "fd8f:1391:3a82:201::1");
    assert_eq!(plan.nets[2].gateway, None);
}

#[test]
fn a_further_nic_takes_what_is_free() {
    let nets = nets(&["m v4 10.0.0.2/29 v6 auto", "six v4 off v6 auto", "b /bridge"]);
    let nets: Vec<_> = nets.into_iter().map(|net| NetAsk { dhcp: None, ..net }).collect();
    let plan = planned(&nets, &machines(&["a: m", "b: m=10.0.0.4"]));
    let name = "a".parse().unwrap();
    let taken = ["10.0.0.5".parse().unwrap()];
    let nic = another(&plan.nets[0], &name, 1, &taken, &Scope::hermetic()).unwrap();
    let known: BTreeSet<_> = plan.nics.values().flatten().map(|nic| (nic.mac, &nic.tap)).collect();
    assert_eq!(
        (nic.ip.unwrap().to_string(), nic.mac.to_string()),
        ("10.0.0.6".into(), "54:52:0a:00:00:06".into())
    );
    assert_eq!(nic.ip6.unwrap().to_string(), "fd8f:1391:a00::a00:6");
    assert!(known.iter().all(|(mac, tap)| *mac != nic.mac && **tap != nic.tap));
    let taken = ["10.0.0.5", "10.0.0.6"].map(|ip| ip.parse().unwrap());
    assert_eq!(another(&plan.nets[0], &name, 1, &taken, &Scope::hermetic()), None);
    let six = another(&plan.nets[1], &name, 1, &[], &Scope::hermetic()).unwrap();
    assert!(six.ip.is_none() && six.ip6.unwrap().to_string().ends_with("::2"));
    let bare = another(&plan.nets[2], &name, 1, &[], &Scope::hermetic()).unwrap();
    assert_eq!(bare.addresses().count(), 0);
}

#[test]
fn names_are_added_and_found() {
    let plan = planned(&nets(&["m v6 auto"]), &machines(&["Web: m"]));
    let dns = plan.nets[0].dns.as_ref().unwrap();
    let extra = Extra::from([("late".to_owned(), BTreeSet::from(["192.168.200.2".parse().unwrap()]))]);
    let more = dns.with(&extra);
    let ip = "192.168.200.2".parse().unwrap();
    assert_eq!(more.record(ip).unwrap().names, ["Web", "Web-eth0", "Web-m", "Web-m-0", "late"]);
    assert_eq!(more.resolve("late.TEST"), [ip]);
    assert_eq!(dns.resolve("web").len(), 2);
    assert_eq!(dns.resolve("late").len() + dns.resolve("web.other").len(), 0);
    assert_eq!(more.with(&Extra::new()), more);
}

#[test]
fn what_is_to_be_leased_is_what_the_plan_takes() {
    let nets = nets(&[
        "m",
        "six v4 off v6 auto",
        "given v4 off v6 fd00::1",
        "own v4 192.168.203.129/25",
        "two v4 192.168.254.1/23",
        "far v4 10.0.0.1/8",
        "b /bridge",
    ]);
    let wants = [Want::Any, Want::Any, Want::Octet(203), Want::Octet(254), Want::Octet(255)];
    assert_eq!(lease::wanted(&nets), wants);
    let scope = Scope { pool: vec![200, 201, 203, 254, 255], ..Scope::default() };
    let mut undhcp = nets.clone();
    undhcp.iter_mut().for_each(|net| net.dhcp = None);
    let planned = plan(&undhcp, &[], &scope).unwrap();
    // What is leased again when it starts is the same.
    let again = [200, 201, 203, 254, 255].map(Want::Octet);
    assert_eq!(lease::taken(&planned.nets), again);
}

#[test]
fn nets_that_lead_out_take_the_default_route_and_know_all_names() {
    let (nets, machines) =
        (nets(&["m1", "wan /internet", "back /isolated"]), machines(&["a: m1 wan", "b: m1"]));
    let planned = plan(&nets, &machines, &Scope::hermetic()).unwrap().nets;
    assert_eq!(
        planned.iter().map(|n| n.outward).collect::<Vec<_>>(),
        [Outward::Shut, Outward::Open, Outward::Shut]
    );
    assert_eq!(planned.iter().map(|n| n.is_default_route()).collect::<Vec<_>>(), [false, true, false]);
    let (of_lan, of_wan) = (planned[0].dns.as_ref().unwrap(), planned[1].dns.as_ref().unwrap());
    assert_eq!((&of_wan.domain, &of_wan.records), (&of_lan.domain, &of_lan.records));
    assert_eq!((of_lan.forward, of_wan.forward), (None, Some("192.0.0.1".parse().unwrap())));
    // Where others are, nets lead where the host leads, and nothing changes.
    let shared = Scope { uuid: Some("0123456789abcdef0123456789abcdef".into()), ..Scope::hermetic() };
    let planned = plan(&nets, &machines, &shared).unwrap().nets;
    assert!(planned.iter().all(|n| n.outward == Outward::AsLab), "{planned:?}");
    assert_eq!(planned.iter().map(|n| n.is_default_route()).collect::<Vec<_>>(), [true, false, false]);
}
