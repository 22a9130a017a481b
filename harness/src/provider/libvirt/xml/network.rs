//! A network's XML.

use std::io;

use super::write::{Xml, empty, parent, text, write};
use crate::{
    net::{DhcpPlan, DnsPlan, NetKind, PlannedHost},
    provider::spec::{NetworkSpec, uuid},
};

const DNSMASQ: &str = "http://libvirt.org/schemas/network/dnsmasq/1.0";

/// The XML from which libvirt starts `net`.
#[must_use]
pub fn network_xml(net: &NetworkSpec) -> String {
    write("network", &[("xmlns:dnsmasq", DNSMASQ)], |w| {
        text(w, "name", &[], net.name.as_str())?;
        text(w, "uuid", &[], &uuid("network", net.name.as_str()))?;
        if net.kind == NetKind::Nat {
            empty(w, "forward", &[("mode", "nat")])?;
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
        let (gateway, prefix) = (net.gateway.to_string(), net.prefix.to_string());
        parent(w, "ip", &[("address", &gateway), ("prefix", &prefix)], |w| {
            net.dhcp.as_ref().map_or(Ok(()), |range| dhcp(w, range, &net.hosts))
        })?;
        options(w, net)
    })
}

fn dns(w: &mut Xml, plan: &DnsPlan) -> io::Result<()> {
    empty(w, "domain", &[("name", &plan.domain), ("localOnly", "yes")])?;
    parent(w, "dns", &[("forwardPlainNames", "no")], |w| {
        plan.records.iter().try_for_each(|record| {
            parent(w, "host", &[("ip", &record.ip.to_string())], |w| {
                record.names.iter().try_for_each(|name| text(w, "hostname", &[], name))
            })
        })
    })
}

fn dhcp(w: &mut Xml, range: &DhcpPlan, hosts: &[PlannedHost]) -> io::Result<()> {
    parent(w, "dhcp", &[], |w| {
        empty(w, "range", &[("start", &range.start.to_string()), ("end", &range.end.to_string())])?;
        hosts.iter().try_for_each(|host| {
            let (mac, ip) = (host.mac.to_string(), host.ip.to_string());
            empty(w, "host", &[("mac", &mac), ("name", &host.name), ("ip", &ip)])
        })
    })
}

/// What libvirt has no words for. It sets both by itself on networks without `forward`.
fn options(w: &mut Xml, net: &NetworkSpec) -> io::Result<()> {
    if net.kind == NetKind::Isolated {
        return Ok(());
    }
    parent(w, "dnsmasq:options", &[], |w| {
        // The host's name servers cannot be reached from a lab: an unknown name is refused at once, not after seconds.
        empty(w, "dnsmasq:option", &[("value", "no-resolv")])?;
        if !net.is_default_route() {
            // An option without value: no router, so that machines keep the default route of their management net.
            empty(w, "dnsmasq:option", &[("value", "dhcp-option=3")])?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::net::{self, MachineAsk, NetAsk, NicAsk};

    fn networks() -> Vec<String> {
        let ask = |name: &str, kind, management: bool| NetAsk {
            name: name.parse().unwrap(),
            kind,
            management,
            gateway: None,
            dhcp: management.then_some(100..=254),
            dns_domain: management.then(|| "suite.test".to_owned()),
            dns_records: BTreeMap::from([("mirror".to_owned(), "192.168.200.1".parse().unwrap())]),
            mtu: (!management).then_some(9000),
        };
        let mut other = ask("other", NetKind::Nat, false);
        other.dhcp = Some(2..=9);
        let nets = [ask("front", NetKind::Nat, true), ask("back", NetKind::Isolated, false), other];
        let nic = |net: &NetAsk| NicAsk { net: net.name.clone(), ip: None };
        let machines = [MachineAsk { name: "r1".parse().unwrap(), nics: nets.iter().map(nic).collect() }];
        let plan = net::plan(&nets, &machines).unwrap();
        plan.nets.iter().map(network_xml).collect()
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
}
