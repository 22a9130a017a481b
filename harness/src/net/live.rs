//! What of this host uses addresses already: its routes, its interfaces, its bridges. Parsing is separate from asking.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::Deserialize;

use super::spec::OCTETS;
use crate::base::process::{self, ProcessError};

const LIMIT: Duration = Duration::from_secs(10);

/// What of this host uses addresses could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The program that tells failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It said something else than it should.
    #[error("cannot read what `{command}` said")]
    Output {
        /// The command line.
        command: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The network of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// Subnets that are routed or on an interface, and through which: `192.168.122.0/24` on `virbr0`.
    pub subnets: Vec<(Ipv4Addr, u8, String)>,
    /// Names of its bridges.
    pub bridges: Vec<String>,
    /// Interfaces whose IPv6 routes come from router advertisements and would go if the host began to route.
    pub advertised: Vec<String>,
}

impl Live {
    /// Asks this host, with `ip`.
    ///
    /// # Errors
    /// `ip` is not there or fails.
    pub async fn look() -> Result<Self, LiveError> {
        let routes = process::stdout(&["ip", "-j", "-4", "route", "show", "table", "all"], LIMIT).await?;
        let addresses = process::stdout(&["ip", "-j", "-4", "addr"], LIMIT).await?;
        let links = process::stdout(&["ip", "-j", "link", "show", "type", "bridge"], LIMIT).await?;
        let routes6 = process::stdout(&["ip", "-j", "-6", "route", "show", "table", "all"], LIMIT).await?;
        let mut live = Self::parse(&routes, &addresses, &links, &routes6)?;
        // 2: accepted although the host routes.
        live.advertised.retain(|interface| {
            let accept = std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/accept_ra"));
            accept.is_ok_and(|accept| accept.trim() != "2")
        });
        Ok(live)
    }

    fn parse(routes: &str, addresses: &str, links: &str, routes6: &str) -> Result<Self, LiveError> {
        let mut subnets = Vec::new();
        for route in json::<Route>("ip route", routes)? {
            let on = route.dev.unwrap_or_else(|| "nowhere".to_owned());
            // Routes to single addresses are those of the interfaces themselves, and of tunnels' far ends.
            if let Some((ip, len)) = subnet(&route.dst)
                && (1..32).contains(&len)
            {
                subnets.push((ip, len, format!("a route through {on}")));
            }
        }
        for link in json::<Link>("ip addr", addresses)? {
            for address in link.addr_info.into_iter().filter(|a| a.prefixlen > 0) {
                if let Some(IpAddr::V4(ip)) = address.local {
                    subnets.push((ip, address.prefixlen, format!("the interface {}", link.ifname)));
                }
            }
        }
        subnets.retain(|(ip, ..)| !ip.is_loopback());
        let bridges = json::<Link>("ip link", links)?.into_iter().map(|link| link.ifname).collect();
        let routes6 = json::<Route>("ip -6 route", routes6)?.into_iter();
        let advertised = routes6.filter(|route| route.protocol.as_deref() == Some("ra"));
        let advertised: BTreeSet<String> = advertised.filter_map(|route| route.dev).collect();
        Ok(Self { subnets, bridges, advertised: advertised.into_iter().collect() })
    }

    /// Why libvirt would refuse a net with IPv6 on this host, and what to do about it.
    #[must_use]
    pub fn obstacle_to_ipv6(&self) -> Option<String> {
        let interface = self.advertised.first()?;
        Some(format!(
            "this host learns its IPv6 routes on {} from router advertisements, which it stops doing once it routes for \
             nets of its own; let it go on with `sysctl net.ipv6.conf.{interface}.accept_ra=2`, or give the nets \
             `ipv6: off`",
            self.advertised.join(" and ")
        ))
    }

    /// Third octets of the /24s below 192.168 that are used, of those that are given out, and by what.
    #[must_use]
    pub fn octets(&self) -> BTreeMap<u8, String> {
        let mut used = BTreeMap::new();
        for octet in OCTETS {
            let user = self.user_of(Ipv4Addr::new(192, 168, octet, 1), 24);
            used.extend(user.map(|user| (octet, user.to_owned())));
        }
        used
    }

    /// What uses a subnet, or part of it. A route to everywhere counts for nothing, nor does one that takes in much more
    /// than what is ours to give out: it leads to what nobody here has.
    #[must_use]
    pub fn user_of(&self, ip: Ipv4Addr, len: u8) -> Option<&str> {
        let overlap = |(other, other_len, _): &&(Ipv4Addr, u8, String)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(len.min(*other_len))).unwrap_or(0);
            *other_len >= 16 && (ip.to_bits() ^ other.to_bits()) & mask == 0
        };
        self.subnets.iter().find(overlap).map(|(.., user)| user.as_str())
    }
}

#[derive(Deserialize)]
struct Route {
    dst: String,
    dev: Option<String>,
    protocol: Option<String>,
}

/// `ip -j` answers filters that match nothing with empty objects.
#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    #[serde(default)]
    prefixlen: u8,
}

fn json<T: for<'a> Deserialize<'a>>(command: &'static str, text: &str) -> Result<Vec<T>, LiveError> {
    let failed = |source| LiveError::Output { command, source };
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let values: Vec<serde_json::Value> = serde_json::from_str(text).map_err(failed)?;
    let full = values.into_iter().filter(|value| value.as_object().is_none_or(|object| !object.is_empty()));
    full.map(|value| serde_json::from_value(value).map_err(failed)).collect()
}

/// `192.168.122.0/24`, `192.168.122.5`; nothing for `default`.
fn subnet(text: &str) -> Option<(Ipv4Addr, u8)> {
    match text.split_once('/') {
        Some((ip, len)) => Some((ip.parse().ok()?, len.parse().ok().filter(|len| *len <= 32)?)),
        None => Some((text.parse().ok()?, 32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = r#"[
        {"dst":"default","gateway":"10.0.2.2","dev":"eth0","flags":[]},
        {"dst":"10.0.0.0/8","dev":"tun0","flags":[]},
        {"dst":"192.168.0.0/16","gateway":"10.9.9.9","dev":"vpn0","table":"51"},
        {"type":"unreachable","dst":"192.168.210.0/23","flags":[]},
        {"type":"broadcast","dst":"192.168.122.255","dev":"virbr0"}]"#;
    const ADDRESSES: &str = r#"[{},
        {"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
        {"ifname":"virbr0","addr_info":[{"family":"inet","local":"192.168.203.1","prefixlen":24}]},
        {"ifname":"eth0","addr_info":[]}]"#;

    #[test]
    fn what_is_used_is_named() {
        let links = r#"[{},{"ifname":"virbr0"},{"ifname":"br0"}]"#;
        let live = Live::parse(ROUTES, ADDRESSES, links, "").unwrap();
        assert_eq!(live.bridges, ["virbr0", "br0"]);
        assert_eq!(live.octets().len(), 56, "a /16 through a tunnel takes them all");
        let live =
            Live::parse(&ROUTES.replace("192.168.0.0/16", "192.168.0.0/15"), ADDRESSES, links, "").unwrap();
        let used: Vec<_> = live.octets().into_iter().map(|(octet, user)| format!("{octet} {user}")).collect();
        assert_eq!(
            used,
            ["203 the interface virbr0", "210 a route through nowhere", "211 a route through nowhere"]
        );
        assert_eq!(live.user_of(Ipv4Addr::new(10, 0, 0, 1), 24), None);
        assert_eq!(live.user_of(Ipv4Addr::new(192, 168, 203, 129), 25), Some("the interface virbr0"));
        assert_eq!(Live::parse("", "", "", "").unwrap(), Live::default());
    }

    #[test]
    fn routes_that_would_be_lost_are_explained() {
        let routes = r#"[{"dst":"default","dev":"eth0","protocol":"ra"},{"dst":"default","dev":"eth0","protocol":"ra"},
            {"dst":"fd00::/64","dev":"eth1","protocol":"kernel"}]"#;
        let live = Live::parse("", "", "", routes).unwrap();
        assert_eq!(live.advertised, ["eth0"]);
        let why = live.obstacle_to_ipv6().unwrap();
        assert!(
            why.contains("on eth0 from router") && why.contains("net.ipv6.conf.eth0.accept_ra=2"),
            "{why}"
        );
        assert_eq!(Live::default().obstacle_to_ipv6(), None);
    }

    #[test]
    fn nonsense_names_the_command() {
        let error = Live::parse("Usage: ip route", "", "", "").unwrap_err();
        assert_eq!(error.to_string(), "cannot read what `ip route` said");
        assert!(Live::parse("", r#"[{"ifname":5}]"#, "", "").is_err());
    }

    #[tokio::test]
    async fn this_host_answers() {
        Live::look().await.unwrap();
    }
}
