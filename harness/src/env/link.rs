//! The cable between a machine's NIC and its net: unplugged, impaired, listened to; NICs that come and go.

use std::{fmt, net::IpAddr, path::Path, time::Duration};

use super::{
    Capture, Env, EnvError, Fault, Net, Vm,
    fault::{self, Told},
    held::Undo,
    host::limits,
    network,
    site::Running,
    turn::Turn,
};
use crate::{
    base::wait::{Look, wait_for},
    lab::{
        LabKind,
        keeper::{
            keep,
            spec::{Keep, Relay},
        },
    },
    net::{self, Impairment, PlannedHost, PlannedNet, PlannedNic, Scope},
    provider::{
        libvirt::{NetworkChange, NetworkPart, xml},
        spec::DomainNic,
    },
};

/// How long a guest may take to let go of a NIC, and how often it is looked.
const LET_GO: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// A NIC of a machine, its net, and the cable between them.
///
/// ```no_run
/// use polder::prelude::*;
///
/// async fn is_missed(lan: &Net, web: &Vm, client: &Vm) -> Result {
///     let cut = lan.link(web).context("web is on lan")?.down().await?; // a guard
///     client.wait_until_fails(format!("ping -c 1 -W 1 {web}"), secs(20)).await?;
///     cut.heal().await?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Link {
    net: Net,
    vm: Vm,
    nic: PlannedNic,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

/// As in "eth0 of web on lan".
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eth{} of {} on {}", self.nic.index, self.vm.name(), self.net.name())
    }
}

impl Env {
    /// The cables of a machine, in the order of its NICs; those that were attached last.
    #[must_use]
    pub fn links(&self, vm: &Vm) -> Vec<Link> {
        let attached = self.state().attached.remove(vm.name()).unwrap_or_default();
        let nics = vm.plan().nics.iter().chain(&attached);
        nics.filter_map(|nic| {
            let net = self.net(nic.net.as_str())?;
            Some(Link { net, vm: vm.clone(), nic: nic.clone() })
        })
        .collect()
    }
}

impl Link {
    pub(super) fn new(net: Net, vm: Vm, nic: PlannedNic) -> Self {
        Self { net, vm, nic }
    }

    /// What was decided for the NIC.
    #[must_use]
    pub fn nic(&self) -> &PlannedNic {
        &self.nic
    }

    /// Unplugs the cable; the guest sees that. It is plugged in again when what is returned is dropped.
    ///
    /// # Errors
    /// libvirt refuses: the machine is off, for example.
    pub async fn down(&self) -> Result<Fault, EnvError> {
        self.vm.require_made("unplug")?;
        let running = self.net.env.site().running()?;
        let what = format!("has the cable of eth{} on {} unplugged", self.nic.index, self.net.name());
        let undo = Undo::Cable { nic: self.domain_nic(true) };
        self.vm.fault(&what, undo, self.plug(&running, false)).await
    }

    /// Plugs the cable in.
    ///
    /// # Errors
    /// libvirt refuses.
    pub async fn up(&self) -> Result<(), EnvError> {
        self.vm.require_made("plug in")?;
        let running = self.net.env.site().running()?;
        self.plug(&running, true).await
    }

    /// Makes the link worse, in both directions, until what is returned is dropped: then it is as planned again. The last
    /// impairment of a link is the one that counts; it ends when the machine is switched off. In a suite, which frames are lost,
    /// late, doubled or wrong goes by the run's seed (`POLDER_SEED`) and by how many frames came before.
    ///
    /// # Errors
    /// The machine is off, or the lab does not have what it takes.
    pub async fn impair(&self, what: Impairment) -> Result<Fault, EnvError> {
        self.vm.require_made("impair links of")?;
        let running = self.net.env.site().running()?;
        let mut relay = relay(&self.net.spec, &self.nic, what);
        // Of the run, where chance has a part in it and there is one.
        if let Some(seeds) = self.net.env.site().seeds().filter(|_| what.is_chancy()) {
            relay.seed = seeds.next();
        }
        let seed = relay.seed;
        let told = Told {
            what: match what.is_chancy() {
                true => format!("the link of {self} is worse, seed {seed}: {what}"),
                false => format!("the link of {self} is worse: {what}"),
            },
            machine: Some(self.vm.name().to_string()),
            seed: what.is_chancy().then_some(seed),
        };
        let kept = keep(&*running.lab, &Keep::Relay(relay), None).await?;
        Ok(Fault::new(told, self.net.env.site().healing(), async move { Ok(kept.release().await?) }))
    }

    /// Writes all packets of the link to `path`, in the format of `pcap`, until the capture is stopped or dropped.
    ///
    /// # Errors
    /// The file cannot be written, or the packets not be had.
    pub async fn capture(&self, path: &Path) -> Result<Capture, EnvError> {
        self.vm.require_made("capture packets of")?;
        fault::capture(&self.net.env, &self.nic.tap, path).await
    }

    pub(super) async fn attach(net: Net, vm: Vm) -> Result<Self, EnvError> {
        vm.require_made("attach NICs to")?;
        let env = net.env.clone();
        let turn = Turn::begin(&env, "attach").await?;
        let running = env.site().running()?;
        let state = env.state();
        // Those in snapshots come back when these are gone back to.
        let frozen = state.chains.snapshots.iter().flat_map(|snapshot| snapshot.machines.values());
        let others = state.attached.values().chain(frozen.map(|frozen| &frozen.attached)).flatten();
        let taken: Vec<IpAddr> = others.clone().flat_map(PlannedNic::addresses).collect();
        let mine = state.attached.get(vm.name()).into_iter().flatten();
        let index = vm.plan().nics.iter().chain(mine).map(|nic| nic.index + 1).max().unwrap_or(0);
        let scope = Scope {
            uuid: (running.lab.kind() == LabKind::System).then(|| state.uuid.clone()),
            ..Scope::default()
        };
        let nic = net::another(&net.spec, vm.name(), index, &taken, &scope)
            .ok_or_else(|| EnvError::NoAddress { net: net.name().clone(), machine: vm.name().clone() })?;
        let link = Self { net, vm, nic };
        // Noted first: who is killed in between has noted too much, which the machine's next start forgets.
        turn.update(|state| {
            state.attached.entry(link.vm.name().clone()).or_default().push(link.nic.clone())
        })?;
        let made = async {
            // Nobody was on it until now.
            if !link.net.is_alive().await? {
                network::raise(&env, &turn, &running, &link.net.spec).await?;
            }
            link.reserve(&running, NetworkChange::Add).await?;
            let xml = xml::nic_xml(&link.domain_nic(true));
            let attached = running.connection.attach_device(link.vm.domain(), xml, limits::DOMAIN).await;
            attached.map_err(|error| running.explain(error))
        };
        if let Err(error) = made.await {
            let _ = link.reserve(&running, NetworkChange::Delete).await;
            link.forget(&turn)?;
            return Err(error);
        }
        Ok(link)
    }

    /// Takes the NIC out of the machine while that runs, and waits until its guest has let go of it.
    ///
    /// # Errors
    /// libvirt refuses, or the guest does not let go.
    pub async fn detach(self) -> Result<(), EnvError> {
        let turn = Turn::begin(&self.net.env, "detach").await?;
        let running = self.net.env.site().running()?;
        let (connection, domain) = (&running.connection, self.vm.domain());
        let xml = xml::nic_xml(&self.domain_nic(true));
        connection
            .detach_device(domain, xml, limits::DOMAIN)
            .await
            .map_err(|error| running.explain(error))?;
        let mac = self.nic.mac.to_string();
        let gone = wait_for("the NIC to be gone", self.net.env.scaled(LET_GO), PAUSE, async || {
            match connection.domain_xml(domain, limits::COMMAND).await {
                Ok(xml) if xml.contains(&mac) => Look::NotYet("it is still there".into()),
                Ok(_) => Look::Ready(()),
                Err(error) => Look::Failed(error.to_string()),
            }
        });
        gone.await.map_err(|source| EnvError::NotLetGo {
            machine: self.vm.name().clone(),
            device: format!("NIC {mac}"),
            source: Box::new(source),
        })?;
        if net_hosts(&self.net.spec, &self.nic) {
            // One of the plan keeps its addresses for the next start.
            return Ok(());
        }
        let _ = self.reserve(&running, NetworkChange::Delete).await;
        self.forget(&turn)
    }

    fn forget(&self, turn: &Turn<'_>) -> Result<(), EnvError> {
        turn.update(|state| {
            if let Some(nics) = state.attached.get_mut(self.vm.name()) {
                nics.retain(|nic| nic.mac != self.nic.mac);
            }
        })
    }

    /// Has addresses reserved, or not any more.
    async fn reserve(&self, running: &Running, change: NetworkChange) -> Result<(), EnvError> {
        let (net, nic) = (&self.net.spec, &self.nic);
        let name = format!("{}-eth{}", self.vm.name(), nic.index);
        let host = PlannedHost { mac: nic.mac, ip: nic.ip, ip6: nic.ip6, name };
        for (position, xml) in xml::dhcp_hosts_xml(net, &host) {
            let (name, part) = (&net.libvirt_name, NetworkPart::DhcpHost(position));
            let call =
                |change, xml| running.connection.change_network(name, change, part, xml, limits::NETWORK);
            if change == NetworkChange::Add {
                // One that was left when its machine was switched off.
                let _ = call(NetworkChange::Delete, xml.clone()).await;
            }
            call(change, xml).await.map_err(|error| running.explain(error))?;
        }
        Ok(())
    }

    async fn plug(&self, running: &Running, in_: bool) -> Result<(), EnvError> {
        let xml = xml::nic_xml(&self.domain_nic(in_));
        let changed = running.connection.update_device(self.vm.domain(), xml, limits::DOMAIN).await;
        changed.map_err(|error| running.explain(error))
    }

    /// The NIC as its domain has it.
    fn domain_nic(&self, link_up: bool) -> DomainNic {
        let domain = self.vm.plan().domain.as_ref();
        let planned = domain.and_then(|domain| domain.nics.iter().find(|nic| nic.mac == self.nic.mac));
        match planned {
            Some(nic) => DomainNic { link_up, ..nic.clone() },
            None => DomainNic {
                mac: self.nic.mac,
                network: self.net.spec.libvirt_name.clone(),
                tap: self.nic.tap.clone(),
                model: "virtio".to_owned(),
                mtu: self.nic.mtu,
                link_up,
            },
        }
    }
}

/// Has the addresses of NICs reserved that a machine has from its saved memory: its net may have been made anew since.
pub(super) async fn reserve_attached(env: &Env, running: &Running, vm: &Vm) -> Result<(), EnvError> {
    for link in env.links(vm).into_iter().filter(|link| !net_hosts(&link.net.spec, &link.nic)) {
        link.reserve(running, NetworkChange::Add).await?;
    }
    Ok(())
}

/// Whether a NIC is of the net's plan.
fn net_hosts(net: &PlannedNet, nic: &PlannedNic) -> bool {
    net.hosts.iter().any(|host| host.mac == nic.mac)
}

/// What carries the frames of a link.
fn relay(net: &PlannedNet, nic: &PlannedNic, now: Impairment) -> Relay {
    // Chance that is the same every time, and another one for each NIC.
    let seed = nic.mac.0.iter().fold(0, |seed: u64, byte| (seed << 8) | u64::from(*byte));
    Relay {
        tap: nic.tap.clone(),
        bridge: net.bridge.clone(),
        mtu: net.mtu.unwrap_or(net::spec::MTU),
        now,
        then: nic.link.impairment,
        vlan: nic.vlan.clone(),
        seed,
    }
}

/// Whether a machine has links that are not what a plain cable is.
pub(super) fn are_kept(vm: &Vm) -> bool {
    vm.plan().nics.iter().any(|nic| nic.vlan.is_some() || !nic.link.impairment.is_none())
}

/// Makes the links of a machine that has just been made what was planned for them, for as long as it is on.
pub(super) async fn keep_all(env: &Env, running: &Running, vm: &Vm) -> Result<(), EnvError> {
    for nic in vm.plan().nics.iter().filter(|nic| nic.vlan.is_some() || !nic.link.impairment.is_none()) {
        let Some(net) = env.plan().nets.iter().find(|net| net.name == nic.net) else { continue };
        let asked = Keep::Relay(relay(net, nic, nic.link.impairment));
        // Let go at once: it goes on until the machine is off.
        keep(&*running.lab, &asked, None).await?.release().await?;
    }
    Ok(())
}
