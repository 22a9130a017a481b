//! A network's XML.

use std::io;

use super::{
    label::label_element,
    write::{Xml, empty, parent, text, write},
};
use crate::{
    base::id::Mac,
    net::{DnsPlan, DnsRecord, NetKind, Outward, PlannedHost, spec::WAY_OUT},
    provider::spec::{Label, NetworkSpec},
};

const DNSMASQ: &str = "http://libvirt.org/schemas/network/dnsmasq/1.0";

/// The XML from which libvirt starts `net`, marked with whose it is where that must be known.
#[must_use]
pub fn network_xml(net: &NetworkSpec, label: Option<&Label>) -> String {
    write("network", &[("xmlns:dnsmasq", DNSMASQ)], |w| {
        text(w, "name", &[], &net.libvirt_name)?;
        text(w, "uuid", &[], &net.libvirt_uuid)?;
        if let Some(label) = label {
            label_element(label).write(w)?;
        }
        if net.borrowed {
            // Somebody else's: libvirt plugs machines in and changes nothing about it.
            empty(w, "forward", &[("mode", "bridge")])?;
            return empty(w, "bridge", &[("name", &net.bridge)]);
        }
        if net.kind == NetKind::Nat {
            forward(w, net)?;
        }
        // No spanning tree, no delay: the port of a new machine forwards at once.
        empty(w, "bridge", &[("name", &net.bridge), ("stp", "off"), ("delay", "0")])?;
        if let Some(mtu) = net.mtu {
            empty(w, "mtu", &[("size", &mtu.to_string())])?;
        }
        empty(w, "mac", &[("address", &net.bridge_mac.to_string())])?;
        match &net.dns {
            Some(plan) => dns(w, plan)?,
            None => empty(w, "dns", &[("enable", "no")])?,
        }
        addresses(w, net)?;
        options(w, net)
    })
}

fn forward(w: &mut Xml, net: &NetworkSpec) -> io::Result<()> {
    let mut attributes = vec![("mode", "nat")];
    match net.outward {
        Outward::AsLab => {}
        Outward::Open => attributes.push(("dev", WAY_OUT)),
        // Nothing is forwarded there: libvirt's rules then refuse what goes anywhere else.
        Outward::Shut => attributes.push(("dev", "lo")),
    }
    match net.gateway6 {
        Some(_) => parent(w, "forward", &attributes, |w| empty(w, "nat", &[("ipv6", "yes")])),
        None => empty(w, "forward", &attributes),
    }
}

fn dns(w: &mut Xml, plan: &DnsPlan) -> io::Result<()> {
    if let Some(domain) = &plan.domain {
        empty(w, "domain", &[("name", domain), ("localOnly", "yes")])?;
    }
    // Plain names are ours; a net without any asks whoever is to be asked.
    let plain = if plan.domain.is_some() { "no" } else { "yes" };
    parent(w, "dns", &[("forwardPlainNames", plain)], |w| {
        if let Some(forward) = plan.forward {
            empty(w, "forwarder", &[("addr", &forward.to_string())])?;
        }
        plan.records.iter().try_for_each(|record| dns_host(w, record))
    })
}

pub(super) fn dns_host(w: &mut Xml, record: &DnsRecord) -> io::Result<()> {
    parent(w, "host", &[("ip", &record.ip.to_string())], |w| {
        record.names.iter().try_for_each(|name| text(w, "hostname", &[], name))
    })
}

fn addresses(w: &mut Xml, net: &NetworkSpec) -> io::Result<()> {
    let dhcp = net.dhcp.as_ref();
    if let Some(gateway) = net.gateway {
        let attributes = [("address", &*gateway.to_string()), ("prefix", &net.prefix.to_string())];
        parent(w, "ip", &attributes, |w| {
            let Some((start, end)) = dhcp.and_then(|dhcp| dhcp.v4) else { return Ok(()) };
            parent(w, "dhcp", &[], |w| {
                empty(w, "range", &[("start", &start.to_string()), ("end", &end.to_string())])?;
                net.hosts.iter().filter(|host| host.ip.is_some()).try_for_each(|host| dhcp_host(w, host))
            })
        })?;
    }
    if let Some((gateway, prefix)) = net.gateway6 {
        let attributes =
            [("family", "ipv6"), ("address", &*gateway.to_string()), ("prefix", &prefix.to_string())];
        parent(w, "ip", &attributes, |w| {
            let Some((start, end)) = dhcp.and_then(|dhcp| dhcp.v6) else { return Ok(()) };
            parent(w, "dhcp", &[], |w| {
                empty(w, "range", &[("start", &start.to_string()), ("end", &end.to_string())])?;
                net.hosts.iter().filter(|host| host.ip6.is_some()).try_for_each(|host| dhcp_host6(w, host))
            })
        })?;
    }
    Ok(())
}

pub(super) fn dhcp_host(w: &mut Xml, host: &PlannedHost) -> io::Result<()> {
    let (mac, ip) = (host.mac.to_string(), host.ip.map(|ip| ip.to_string()).unwrap_or_default());
    empty(w, "host", &[("mac", &mac), ("name", &host.name), ("ip", &ip)])
}

pub(super) fn dhcp_host6(w: &mut Xml, host: &PlannedHost) -> io::Result<()> {
    let (id, ip) = (duid(host.mac), host.ip6.map(|ip| ip.to_string()).unwrap_or_default());
    empty(w, "host", &[("id", &id), ("name", &host.name), ("ip", &ip)])
}

/// By what a DHCPv6 client names itself that has nothing but its Ethernet address: type 3 (link-layer), hardware 1
/// (Ethernet).
fn duid(mac: Mac) -> String {
    format!("0:3:0:1:{mac}")
}

/// What libvirt has no words for. It sets all of these by itself on networks without `forward`.
fn options(w: &mut Xml, net: &NetworkSpec) -> io::Result<()> {
    if net.kind != NetKind::Nat {
        return Ok(());
    }
    parent(w, "dnsmasq:options", &[], |w| {
        let mut option = |value| empty(w, "dnsmasq:option", &[("value", value)]);
        // The host's name servers cannot be reached from a lab: an unknown name is refused at once, not after seconds.
        option("no-resolv")?;
        if !net.is_default_route() {
            // An option without value: no router, so that machines keep the default route of their management net.
            option("dhcp-option=3")?;
            if net.gateway6.is_some() {
                // The same for IPv6: advertised as router for no time.
                option("ra-param=*,0,0")?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::net::{self, Family, MachineAsk, NetAsk, NicAsk, Scope};

    pub(in super::super) fn planned(edit: impl Fn(&mut Vec<NetAsk>, &mut MachineAsk)) -> Vec<NetworkSpec> {
        let ask = |name: &str, kind, management: bool| NetAsk {
            name: name.parse().unwrap(),
            kind,
            management,
            ipv4: Family::Auto,
            ipv6: Family::Off,
            dhcp: management.then_some(100..=254),
            dns_domain: management.then(|| "suite.test".to_owned()),
            dns_records: BTreeMap::from([("mirror".to_owned(), "192.168.200.1".parse().unwrap())]),
            dns_forward: None,
            mtu: (!management).then_some(9000),
            internet: false,
        };
        let mut other = ask("other", NetKind::Nat, false);
        other.dhcp = Some(2..=9);
        let mut nets = vec![ask("front", NetKind::Nat, true), ask("back", NetKind::Isolated, false), other];
        let nic = |net: &NetAsk| NicAsk::on(net.name.clone());
        let mut machine = MachineAsk { name: "r1".parse().unwrap(), nics: nets.iter().map(nic).collect() };
        edit(&mut nets, &mut machine);
        let scope = Scope { bridges: vec!["br0".to_owned()], ..Scope::hermetic() };
        net::plan(&nets, &[machine], &scope).unwrap().nets
    }

    fn networks() -> Vec<String> {
        planned(|_, _| {}).iter().map(|net| network_xml(net, None)).collect()
    }

    #[test]
    fn nets_lead_out_or_nowhere_when_one_is_asked_to() {
        let nets = planned(|nets, _| {
            nets[2].internet = true;
            nets[0].ipv6 = Family::Auto;
        });
        let lines = |net: &NetworkSpec, part: &str| {
            let xml = network_xml(net, None);
            let lines = xml.lines().filter(|line| line.contains(part)).map(str::trim);
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(&nets[0], "<forward "), [r#"<forward mode="nat" dev="lo">"#]);
        assert_eq!(
            lines(&nets[0], "<dnsmasq:option value=\"dhcp-option"),
            [r#"<dnsmasq:option value="dhcp-option=3"/>"#]
        );
        assert_eq!(lines(&nets[2], "<forward "), [r#"<forward mode="nat" dev="polder-out"/>"#]);
        assert_eq!(lines(&nets[2], "<forwarder "), [r#"<forwarder addr="192.0.0.1"/>"#]);
        assert_eq!(lines(&nets[2], "dhcp-option"), Vec::<String>::new());
    }

    #[test]
    fn a_management_net() {
        insta::assert_snapshot!(networks()[0], @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>front</name>
          <uuid>cae98406-f6de-835c-81d1-4ed4d7b580f4</uuid>
          <forward mode="nat"/>
          <bridge name="pd-2d8d693177ac" stp="off" delay="0"/>
          <mac address="54:52:c0:a8:c8:01"/>
          <domain name="suite.test" localOnly="yes"/>
          <dns forwardPlainNames="no">
            <host ip="192.168.200.1">
              <hostname>mirror</hostname>
            </host>
            <host ip="192.168.200.2">
              <hostname>r1</hostname>
              <hostname>r1-eth0</hostname>
              <hostname>r1-front</hostname>
              <hostname>r1-front-0</hostname>
            </host>
            <host ip="192.168.201.2">
              <hostname>r1-back</hostname>
              <hostname>r1-back-0</hostname>
              <hostname>r1-eth1</hostname>
            </host>
            <host ip="192.168.202.2">
              <hostname>r1-eth2</hostname>
              <hostname>r1-other</hostname>
              <hostname>r1-other-0</hostname>
            </host>
          </dns>
          <ip address="192.168.200.1" prefix="24">
            <dhcp>
              <range start="192.168.200.100" end="192.168.200.254"/>
              <host mac="54:52:c0:a8:c8:02" name="r1" ip="192.168.200.2"/>
            </dhcp>
          </ip>
          <dnsmasq:options>
            <dnsmasq:option value="no-resolv"/>
          </dnsmasq:options>
        </network>
        "#);
    }

    #[test]
    fn an_isolated_net_without_dhcp() {
        insta::assert_snapshot!(networks()[1], @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>back</name>
          <uuid>ff52f9d7-4a31-8495-836e-d67aca003ee5</uuid>
          <bridge name="pd-3c482346f375" stp="off" delay="0"/>
          <mtu size="9000"/>
          <mac address="54:52:c0:a8:c9:01"/>
          <dns enable="no"/>
          <ip address="192.168.201.1" prefix="24">
          </ip>
        </network>
        "#);
    }

    #[test]
    fn a_further_nat_net_gives_no_route() {
        insta::assert_snapshot!(networks()[2], @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>other</name>
          <uuid>9f5cfd51-635b-8813-8451-750f355c4349</uuid>
          <forward mode="nat"/>
          <bridge name="pd-d9298a10d1b0" stp="off" delay="0"/>
          <mtu size="9000"/>
          <mac address="54:52:c0:a8:ca:01"/>
          <dns enable="no"/>
          <ip address="192.168.202.1" prefix="24">
            <dhcp>
              <range start="192.168.202.2" end="192.168.202.9"/>
              <host mac="54:52:c0:a8:ca:02" name="r1" ip="192.168.202.2"/>
            </dhcp>
          </ip>
          <dnsmasq:options>
            <dnsmasq:option value="no-resolv"/>
            <dnsmasq:option value="dhcp-option=3"/>
          </dnsmasq:options>
        </network>
        "#);
    }

    #[test]
    fn both_families() {
        let nets = planned(|nets, _| {
            nets[0].ipv6 = Family::Auto;
            nets[2].ipv6 = Family::Given("fd00::1".parse().unwrap(), 64);
        });
        insta::assert_snapshot!(network_xml(&nets[0], None), @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>front</name>
          <uuid>cae98406-f6de-835c-81d1-4ed4d7b580f4</uuid>
          <forward mode="nat">
            <nat ipv6="yes"/>
          </forward>
          <bridge name="pd-2d8d693177ac" stp="off" delay="0"/>
          <mac address="54:52:c0:a8:c8:01"/>
          <domain name="suite.test" localOnly="yes"/>
          <dns forwardPlainNames="no">
            <host ip="192.168.200.1">
              <hostname>mirror</hostname>
            </host>
            <host ip="192.168.200.2">
              <hostname>r1</hostname>
              <hostname>r1-eth0</hostname>
              <hostname>r1-front</hostname>
              <hostname>r1-front-0</hostname>
            </host>
            <host ip="192.168.201.2">
              <hostname>r1-back</hostname>
              <hostname>r1-back-0</hostname>
              <hostname>r1-eth1</hostname>
            </host>
            <host ip="192.168.202.2">
              <hostname>r1-eth2</hostname>
              <hostname>r1-other</hostname>
              <hostname>r1-other-0</hostname>
            </host>
            <host ip="fd00::c0a8:ca02">
              <hostname>r1-eth2</hostname>
              <hostname>r1-other</hostname>
              <hostname>r1-other-0</hostname>
            </host>
            <host ip="fd8f:1391:3a82:200::c0a8:c802">
              <hostname>r1</hostname>
              <hostname>r1-eth0</hostname>
              <hostname>r1-front</hostname>
              <hostname>r1-front-0</hostname>
            </host>
          </dns>
          <ip address="192.168.200.1" prefix="24">
            <dhcp>
              <range start="192.168.200.100" end="192.168.200.254"/>
              <host mac="54:52:c0:a8:c8:02" name="r1" ip="192.168.200.2"/>
            </dhcp>
          </ip>
          <ip family="ipv6" address="fd8f:1391:3a82:200::1" prefix="64">
            <dhcp>
              <range start="fd8f:1391:3a82:200::c0a8:c864" end="fd8f:1391:3a82:200::c0a8:c8fe"/>
              <host id="0:3:0:1:54:52:c0:a8:c8:02" name="r1" ip="fd8f:1391:3a82:200::c0a8:c802"/>
            </dhcp>
          </ip>
          <dnsmasq:options>
            <dnsmasq:option value="no-resolv"/>
          </dnsmasq:options>
        </network>
        "#);
        insta::assert_snapshot!(network_xml(&nets[2], None), @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>other</name>
          <uuid>9f5cfd51-635b-8813-8451-750f355c4349</uuid>
          <forward mode="nat">
            <nat ipv6="yes"/>
          </forward>
          <bridge name="pd-d9298a10d1b0" stp="off" delay="0"/>
          <mtu size="9000"/>
          <mac address="54:52:c0:a8:ca:01"/>
          <dns enable="no"/>
          <ip address="192.168.202.1" prefix="24">
            <dhcp>
              <range start="192.168.202.2" end="192.168.202.9"/>
              <host mac="54:52:c0:a8:ca:02" name="r1" ip="192.168.202.2"/>
            </dhcp>
          </ip>
          <ip family="ipv6" address="fd00::1" prefix="64">
            <dhcp>
              <range start="fd00::c0a8:ca02" end="fd00::c0a8:ca09"/>
              <host id="0:3:0:1:54:52:c0:a8:ca:02" name="r1" ip="fd00::c0a8:ca02"/>
            </dhcp>
          </ip>
          <dnsmasq:options>
            <dnsmasq:option value="no-resolv"/>
            <dnsmasq:option value="dhcp-option=3"/>
            <dnsmasq:option value="ra-param=*,0,0"/>
          </dnsmasq:options>
        </network>
        "#);
    }

    #[test]
    fn ipv6_alone_without_dhcp() {
        let nets = planned(|nets, _| {
            nets[1].ipv4 = Family::Off;
            nets[1].ipv6 = Family::Auto;
        });
        insta::assert_snapshot!(network_xml(&nets[1], None), @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>back</name>
          <uuid>ff52f9d7-4a31-8495-836e-d67aca003ee5</uuid>
          <bridge name="pd-3c482346f375" stp="off" delay="0"/>
          <mtu size="9000"/>
          <mac address="56:52:6c:c9:35:d9"/>
          <dns enable="no"/>
          <ip family="ipv6" address="fd8f:1391:3a82:201::1" prefix="64">
          </ip>
        </network>
        "#);
    }

    #[test]
    fn a_net_that_asks_another_name_server() {
        let nets = planned(|nets, _| nets[1].dns_forward = Some("192.168.200.1".parse().unwrap()));
        insta::assert_snapshot!(network_xml(&nets[1], None), @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>back</name>
          <uuid>ff52f9d7-4a31-8495-836e-d67aca003ee5</uuid>
          <bridge name="pd-3c482346f375" stp="off" delay="0"/>
          <mtu size="9000"/>
          <mac address="54:52:c0:a8:c9:01"/>
          <dns forwardPlainNames="yes">
            <forwarder addr="192.168.200.1"/>
          </dns>
          <ip address="192.168.201.1" prefix="24">
          </ip>
        </network>
        "#);
    }

    #[test]
    fn bridges_of_ours_and_of_others() {
        let nets = planned(|nets, machine| {
            for (net, name) in nets.iter_mut().skip(1).zip(["own", "br0"]) {
                (net.kind, net.name) = (NetKind::Bridge, name.parse().unwrap());
            }
            machine.nics.truncate(1);
        });
        insta::assert_snapshot!(network_xml(&nets[1], None), @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>own</name>
          <uuid>e91a242f-14de-8397-8df1-8821b0b491f7</uuid>
          <bridge name="pd-5b3975651c3c" stp="off" delay="0"/>
          <mtu size="9000"/>
          <mac address="56:52:b2:5f:75:dc"/>
          <dns enable="no"/>
        </network>
        "#);
        insta::assert_snapshot!(network_xml(&nets[2], None), @r#"
        <network xmlns:dnsmasq="http://libvirt.org/schemas/network/dnsmasq/1.0">
          <name>br0</name>
          <uuid>1e5dc7d9-869f-8249-8fdb-7e95366b6d4a</uuid>
          <forward mode="bridge"/>
          <bridge name="br0"/>
        </network>
        "#);
    }
}
