//! A network of an environment: its names, and what can be plugged into it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use super::{
    Capture, Env, EnvError, Link, Vm, fault,
    host::limits,
    site::{Ground, Running},
    state::EnvState,
    turn::Turn,
};
use crate::{
    base::id::NetName,
    net::{DnsPlan, DnsRecord, Extra, PlannedNet},
    provider::libvirt::{NetworkChange, NetworkPart, xml},
};

/// A network of an environment.
///
/// ```no_run
/// use polder::prelude::*;
///
/// async fn named(lan: &Net, client: &Vm) -> Result {
///     lan.add_record("printer", "192.0.2.7".parse()?).await?; // served at once
///     client.succeed("nslookup printer").await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Net {
    pub(super) spec: Arc<PlannedNet>,
    pub(super) env: Env,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net({} of {:?})", self.spec.name, self.env)
    }
}

impl Net {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &NetName {
        &self.spec.name
    }

    /// The IPv4 address of its gateway, which is the lab's own.
    #[must_use]
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.spec.gateway
    }

    /// Whether machines are reached on it.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.spec.management
    }

    /// Its MTU in bytes.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        self.spec.mtu.unwrap_or(1500)
    }

    /// Whether it is up.
    ///
    /// # Errors
    /// libvirt does not answer.
    pub async fn is_alive(&self) -> Result<bool, EnvError> {
        match self.env.site().ground() {
            Ground::Down => Ok(false),
            _ => {
                let running = self.env.site().running()?;
                let active = super::network::active(&running, std::slice::from_ref(&*self.spec)).await?;
                Ok(!active.is_empty())
            }
        }
    }

    /// All names it serves, those that were added as well, and their addresses.
    #[must_use]
    pub fn mapping(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let mut mapping = BTreeMap::<_, Vec<_>>::new();
        let dns = self.dns().map(|dns| dns.with(&extra(&self.spec.name, &self.env.state())));
        for record in dns.into_iter().flat_map(|dns| dns.records) {
            for name in record.names {
                mapping.entry(name).or_default().push(record.ip);
            }
        }
        mapping
    }

    /// What was decided for it.
    #[must_use]
    pub fn plan(&self) -> &PlannedNet {
        &self.spec
    }

    /// The addresses of a name, with or without the domain; IPv4 first. A net that serves no names answers as the first
    /// one that does. Nobody is asked: it is what was planned and added.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let state = self.env.state();
        let own = self.dns().map(|dns| (&self.spec.name, dns));
        let served = own.or_else(|| {
            let mut nets = self.env.plan().nets.iter();
            nets.find_map(|net| Some((&net.name, net.dns.as_ref().filter(|dns| dns.domain.is_some())?)))
        });
        served.map(|(net, dns)| dns.with(&extra(net, &state)).resolve(name)).unwrap_or_default()
    }

    /// Adds an address for a name: served at once, and from now on whenever the net is up.
    ///
    /// # Errors
    /// The net serves no names, a machine has that name, or libvirt refuses.
    pub async fn add_record(&self, name: &str, ip: IpAddr) -> Result<(), EnvError> {
        self.add_mappings([(name, ip)]).await
    }

    /// Adds names and their addresses, as [`Net::add_record`] does with one: all of them, or none when one is refused.
    ///
    /// # Errors
    /// As [`Net::add_record`].
    pub async fn add_mappings(
        &self,
        mappings: impl IntoIterator<Item = (impl AsRef<str>, IpAddr)>,
    ) -> Result<(), EnvError> {
        let mut added = Vec::new();
        for (name, ip) in mappings {
            let name = name.as_ref();
            let what = || format!("serve the name `{name}`");
            if !self.serving(what())?.resolve(name).is_empty() {
                return Err(self.refused(what(), "it has that name from the init file"));
            }
            if !is_host_name(name) {
                return Err(self.refused(what(), "that is no DNS name"));
            }
            added.push((name.to_ascii_lowercase(), ip));
        }
        let Some(dns) = self.dns().filter(|_| !added.is_empty()) else { return Ok(()) };
        self.change(dns, |names| {
            for (name, ip) in added {
                names.entry(name).or_default().insert(ip);
            }
        })
        .await
    }

    /// Takes back a name that was added, with all its addresses.
    ///
    /// # Errors
    /// It was not added, or libvirt refuses.
    pub async fn remove_record(&self, name: &str) -> Result<(), EnvError> {
        let what = || format!("forget the name `{name}`");
        let dns = self.serving(what())?;
        let name = name.to_ascii_lowercase();
        if !extra(&self.spec.name, &self.env.state()).contains_key(&name) {
            return Err(self.refused(what(), "it was never added"));
        }
        self.change(dns, |names| drop(names.remove(&name))).await
    }

    /// Has it serve these names beside those of the plan, and no others.
    pub(super) async fn set_names(&self, wanted: Extra) -> Result<(), EnvError> {
        let Some(dns) = self.dns().filter(|_| extra(&self.spec.name, &self.env.state()) != wanted) else {
            return Ok(());
        };
        self.change(dns, |names| *names = wanted).await
    }

    /// The cable of the machine's first NIC on this net.
    #[must_use]
    pub fn link(&self, vm: &Vm) -> Option<Link> {
        let nic = vm.plan().nics.iter().find(|nic| nic.net == self.spec.name)?;
        Some(Link::new(self.clone(), vm.clone(), nic.clone()))
    }

    /// Gives a machine that runs one more NIC on this net, with addresses reserved for it, until it is detached or the
    /// machine is switched off. What the guest does with it is its own business.
    ///
    /// # Errors
    /// The net has no address left, or libvirt refuses.
    pub async fn attach(&self, vm: &Vm) -> Result<Link, EnvError> {
        Link::attach(self.clone(), vm.clone()).await
    }

    /// Writes all packets that cross the net to `path`, in the format of `pcap`, until the capture is stopped or dropped.
    ///
    /// # Errors
    /// The file cannot be written, or the packets not be had.
    pub async fn capture(&self, path: &Path) -> Result<Capture, EnvError> {
        fault::capture(&self.env, &self.spec.bridge, path).await
    }

    fn dns(&self) -> Option<&DnsPlan> {
        self.spec.dns.as_ref().filter(|dns| dns.domain.is_some())
    }

    fn serving(&self, what: String) -> Result<&DnsPlan, EnvError> {
        self.dns().ok_or_else(|| self.refused(what, "it serves no names; management nets do"))
    }

    fn refused(&self, what: String, why: &str) -> EnvError {
        EnvError::Name { net: self.spec.name.clone(), what, why: why.to_owned() }
    }

    /// Changes the added names, in the state and, when the net is up, in what it serves.
    async fn change(&self, dns: &DnsPlan, change: impl FnOnce(&mut Extra)) -> Result<(), EnvError> {
        let turn = Turn::begin(&self.env, "dns").await?;
        let before = extra(&self.spec.name, &self.env.state());
        let mut after = before.clone();
        change(&mut after);
        turn.update(|state| drop(state.names.insert(self.spec.name.clone(), after.clone())))?;
        let Ok(running) = self.env.site().running() else { return Ok(()) };
        let active = super::network::active(&running, std::slice::from_ref(&*self.spec)).await?;
        if active.is_empty() {
            return Ok(());
        }
        let touched: BTreeSet<IpAddr> = before.values().chain(after.values()).flatten().copied().collect();
        let (old, new) = (dns.with(&before), dns.with(&after));
        for ip in touched.into_iter().filter(|ip| old.record(*ip) != new.record(*ip)) {
            let served = running.connection.network_xml(&self.spec.libvirt_name, limits::NETWORK).await;
            let mut served = xml::dns_hosts(&served.map_err(|error| running.explain(error))?);
            let known = served.iter().any(|record| record.ip == ip);
            served.retain(|record| record.ip != ip);
            if known {
                let bare = DnsRecord { ip, names: Vec::new() };
                self.serve(&running, NetworkChange::Delete, &bare).await?;
            }
            if let Some(record) = new.record(ip) {
                let others: BTreeSet<&str> =
                    served.iter().flat_map(|r| &r.names).map(String::as_str).collect();
                let names = record.names.iter().map(|name| told_apart(name, &others)).collect();
                self.serve(&running, NetworkChange::Add, &DnsRecord { ip, names }).await?;
            }
        }
        Ok(())
    }

    async fn serve(
        &self,
        running: &Running,
        change: NetworkChange,
        record: &DnsRecord,
    ) -> Result<(), EnvError> {
        let (name, part, xml) = (&self.spec.libvirt_name, NetworkPart::DnsHost, xml::dns_host_xml(record));
        let changed = running.connection.change_network(name, change, part, xml, limits::NETWORK).await;
        changed.map_err(|error| running.explain(error))
    }
}

/// A name in letters, large and small, in which no other entry has it: libvirt takes none twice while a network runs,
/// not even with addresses of both families. To DNS they are all the same.
fn told_apart(name: &str, others: &BTreeSet<&str>) -> String {
    let letters = name.bytes().filter(u8::is_ascii_alphabetic).count().min(16);
    let variant = |number: u32| {
        let mut letter = 0;
        let one = |c: char| {
            let large = c.is_ascii_alphabetic() && {
                letter += 1;
                number >> (letter - 1) & 1 == 1
            };
            match large {
                true if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
                true => c.to_ascii_lowercase(),
                false => c,
            }
        };
        name.chars().map(one).collect::<String>()
    };
    let mut variants = (0..1_u32 << letters).map(variant);
    variants.find(|variant| !others.contains(variant.as_str())).unwrap_or_else(|| name.to_owned())
}

/// The names that were added to a net.
fn extra(net: &NetName, state: &EnvState) -> Extra {
    state.names.get(net).cloned().unwrap_or_default()
}

/// A net with the names that were added to it.
pub(super) fn as_named(net: &PlannedNet, state: &EnvState) -> PlannedNet {
    let dns = net.dns.as_ref().map(|dns| dns.with(&extra(&net.name, state)));
    PlannedNet { dns, ..net.clone() }
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{is_host_name, told_apart};

    #[rstest::rstest]
    #[case("web", &[], "web")]
    #[case("web", &["web"], "Web")]
    #[case("web-1", &["web-1", "Web-1", "wEb-1"], "WEb-1")]
    #[case("Web", &["Web"], "web")]
    #[case("7", &["7"], "7")]
    fn names_differ_where_they_must(#[case] name: &str, #[case] others: &[&str], #[case] expected: &str) {
        let others: BTreeSet<&str> = others.iter().copied().collect();
        assert_eq!(told_apart(name, &others), expected);
    }

    #[rstest::rstest]
    #[case("web", true)]
    #[case("web-1.suite.test", true)]
    #[case("_srv.web", true)]
    #[case("", false)]
    #[case("-web", false)]
    #[case("web..test", false)]
    #[case("we b", false)]
    fn names_are_looked_at(#[case] name: &str, #[case] good: bool) {
        assert_eq!(is_host_name(name), good);
    }
}
