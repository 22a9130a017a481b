//! Parts of the XML of a network that runs: what it has, and what it is to have instead.

use super::{
    element::Element,
    network::{dhcp_host, dhcp_host6, dns_host},
    write::fragment,
};
use crate::{
    net::{DnsRecord, PlannedHost},
    provider::spec::NetworkSpec,
};

/// The DNS entries in the XML of a network that runs.
#[must_use]
pub fn dns_hosts(xml: &str) -> Vec<DnsRecord> {
    let network = Element::parse(xml).ok();
    let dns = network.as_ref().and_then(|network| network.child("dns"));
    let hosts = dns.into_iter().flat_map(|dns| &dns.children).filter(|element| element.name == "host");
    let record = |host: &Element| {
        let names = host.children.iter().filter(|element| element.name == "hostname");
        Some(DnsRecord {
            ip: host.get("ip")?.parse().ok()?,
            names: names.map(|name| name.text.clone()).collect(),
        })
    };
    hosts.filter_map(record).collect()
}

/// A DNS entry, for changing a network that runs; without names, it is the entry of that address, to be taken away.
#[must_use]
pub fn dns_host_xml(record: &DnsRecord) -> String {
    fragment(|w| dns_host(w, record))
}

/// The reservations of a NIC, IPv4 and IPv6, for changing a network that runs. Each comes with the position among the
/// network's subnets that it goes to.
#[must_use]
pub fn dhcp_hosts_xml(net: &NetworkSpec, host: &PlannedHost) -> Vec<(i32, String)> {
    let dhcp = net.dhcp.as_ref();
    let (v4, v6) = (dhcp.and_then(|dhcp| dhcp.v4), dhcp.and_then(|dhcp| dhcp.v6));
    let v6_position = i32::from(net.gateway.is_some());
    let v4 = host.ip.filter(|_| v4.is_some()).map(|_| (0, fragment(|w| dhcp_host(w, host))));
    let v6 = host.ip6.filter(|_| v6.is_some()).map(|_| (v6_position, fragment(|w| dhcp_host6(w, host))));
    v4.into_iter().chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::network::{network_xml, tests::planned},
        *,
    };
    use crate::net::Family;

    #[test]
    fn what_is_changed_while_it_runs() {
        let nets = planned(|nets, _| nets[0].ipv6 = Family::Auto);
        let record = &nets[0].dns.as_ref().unwrap().records[0];
        let mut parts = vec![(-1, dns_host_xml(record))];
        parts.extend(dhcp_hosts_xml(&nets[0], &nets[0].hosts[0]));
        let parts: Vec<_> = parts.into_iter().map(|(at, xml)| format!("{at}: {xml}")).collect();
        insta::assert_snapshot!(parts.join("\n"), @r#"
        -1: <host ip="192.168.200.1">
          <hostname>mirror</hostname>
        </host>
        0: <host mac="54:52:c0:a8:c8:02" name="r1" ip="192.168.200.2"/>
        1: <host id="0:3:0:1:54:52:c0:a8:c8:02" name="r1" ip="fd8f:1391:3a82:200::c0a8:c802"/>
        "#);
        assert_eq!(dns_hosts(&network_xml(&nets[0], None)), nets[0].dns.as_ref().unwrap().records);
        assert_eq!(dns_hosts("<network/>").len() + dns_hosts("nonsense").len(), 0);
        assert_eq!(dhcp_hosts_xml(&nets[1], &nets[1].hosts[0]), [], "a net without DHCP");
    }
}
