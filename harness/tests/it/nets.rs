//! Networks of every kind in a private libvirtd: that it takes their XML, and that addresses and names are served.

use std::{
    collections::BTreeMap,
    io::{Read, Seek},
    net::{Ipv6Addr, SocketAddrV6, UdpSocket},
    os::fd::OwnedFd,
    time::Duration,
};

use polder::{
    lab::{Hermetic, Lab, LabHost, LabSpec, Payload},
    net::{DnsRecord, Family, MachineAsk, NetAsk, NetKind, NetPlan, NicAsk, Scope, live::Live, plan},
    provider::libvirt::{Connection, NetworkChange, NetworkPart, xml},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A lab with networks in it.
pub(crate) struct Ground {
    _dir: tempfile::TempDir,
    pub(crate) lab: Hermetic,
    connection: Connection,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pn").tempdir_in("/var/tmp").unwrap();
        let cache = dir.path().join("c");
        std::fs::create_dir_all(&cache).unwrap();
        let host = LabHost {
            root: dir.path().join("r"),
            cache: cache.clone(),
            launcher: std::env::current_exe().unwrap(),
        };
        let spec = LabSpec {
            payload: Payload::Libvirtd { kvm: false, capability_cache: cache, way_out: false },
            env: None,
            binds: vec![],
        };
        let lab = Hermetic::start(&host, spec, LIMIT).await.unwrap();
        let connection = Connection::open(&lab.libvirt_uri(), LIMIT).await.unwrap();
        Self { _dir: dir, lab, connection }
    }

    async fn create(&self, plan: &NetPlan) {
        for net in &plan.nets {
            self.connection
                .create_network(&net.libvirt_name, xml::network_xml(net, None), LIMIT)
                .await
                .unwrap();
        }
    }

    /// What a shell inside says, success or not.
    pub(crate) async fn sh(&self, script: &str) -> String {
        let mut out = tempfile::tempfile().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let streams = [null.into(), out.try_clone().unwrap().into(), out.try_clone().unwrap().into()];
        let streams: [OwnedFd; 3] = streams;
        self.lab.exec(&["sh", "-c", script], streams, vec![], LIMIT).await.unwrap();
        let mut text = String::new();
        out.rewind().unwrap();
        out.read_to_string(&mut text).unwrap();
        text
    }

    /// Waits until a shell inside finds something true.
    pub(crate) async fn until(&self, test: &str) {
        let said =
            self.sh(&format!("for i in $(seq 100); do {test} && exit; sleep 0.1; done; echo never")).await;
        assert_eq!(said, "", "{test}");
    }

    pub(crate) async fn end(self) {
        self.lab.end(LIMIT).await.unwrap();
    }

    async fn lookup(&self, name: &str, server: &str) -> String {
        let text = self.sh(&format!("busybox nslookup {name} {server}")).await;
        let answer = text.split_once("\n\n").map_or("", |(_, answer)| answer);
        let addresses = answer.lines().filter_map(|line| line.strip_prefix("Address: "));
        let mut addresses: Vec<_> = addresses.collect();
        addresses.sort_unstable();
        if addresses.is_empty() { text } else { addresses.join(" ") }
    }

    /// A namespace with a NIC of this Ethernet address on a bridge.
    async fn client(&self, name: &str, mac: &str, bridge: &str) {
        let script = format!(
            "mkdir -p /run/netns && ip netns add {name} &&
             ip link add {name} type veth peer name c0 netns {name} &&
             ip link set {name} master {bridge} up && ip -n {name} link set c0 address {mac} up"
        );
        assert_eq!(self.sh(&script).await, "");
    }
}

fn net(name: &str, kind: NetKind) -> NetAsk {
    NetAsk {
        name: name.parse().unwrap(),
        kind,
        management: false,
        ipv4: Family::Auto,
        ipv6: Family::Off,
        dhcp: Some(100..=150),
        dns_domain: None,
        dns_records: BTreeMap::new(),
        dns_forward: None,
        mtu: None,
        internet: false,
    }
}

/// Every kind of net, and a machine on each of them.
fn every_kind() -> NetPlan {
    let mut front = net("front", NetKind::Nat);
    (front.management, front.dns_domain, front.ipv6) = (true, Some("suite.test".to_owned()), Family::Auto);
    front.dns_records = BTreeMap::from([("mirror".to_owned(), "fd00::7".parse().unwrap())]);
    let mut second = net("second", NetKind::Nat);
    (second.ipv6, second.mtu) = (Family::Given("fd00:2::1".parse().unwrap(), 64), Some(9000));
    let mut six = net("six", NetKind::Isolated);
    (six.ipv4, six.ipv6) = (Family::Off, Family::Auto);
    let mut still = net("still", NetKind::Isolated);
    (still.dhcp, still.ipv6, still.ipv4) =
        (None, Family::Auto, Family::Given("10.1.2.254".parse().unwrap(), 25));
    let mut asking = net("asking", NetKind::Nat);
    asking.dns_forward = Some("192.168.200.1".parse().unwrap());
    let mut own = net("own", NetKind::Bridge);
    own.mtu = Some(1400);
    let nets = [front, second, six, still, asking, own];
    let nics = nets.iter().map(|net| NicAsk::on(net.name.clone())).collect();
    plan(&nets, &[MachineAsk { name: "r1".parse().unwrap(), nics }], &Scope::hermetic()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_net_is_made_and_serves_addresses_and_names() {
    let ground = Ground::new().await;
    let plan = every_kind();
    ground.create(&plan).await;
    // Addresses are served when the call is back: `front`, `second` and `asking`, each by a process of its own.
    let ports = ground.sh("cat /proc/net/udp").await;
    assert_eq!(ports.matches(":0043 ").count(), 3, "{ports}");
    let mut running: Vec<_> =
        ground.connection.networks(LIMIT).await.unwrap().into_iter().map(|(name, _)| name).collect();
    running.sort_unstable();
    assert_eq!(running, ["asking", "front", "own", "second", "six", "still"]);

    let shown = ground.sh("ip -br addr; ip -br link").await;
    for net in &plan.nets {
        let lines: Vec<_> = shown.lines().filter(|line| line.starts_with(&net.bridge)).collect();
        let v4 = net.gateway.map(|gateway| format!("{gateway}/{}", net.prefix));
        let v6 = net.gateway6.map(|(gateway, prefix)| format!("{gateway}/{prefix}"));
        for address in v4.into_iter().chain(v6) {
            assert!(lines[0].contains(&address), "{address}: {lines:?}");
        }
        assert!(lines[1].contains(&net.bridge_mac.to_string()), "{lines:?}");
        let mtu = ground.sh(&format!("cat /sys/class/net/{}/mtu", net.bridge)).await;
        assert_eq!(mtu.trim(), net.mtu.unwrap_or(1500).to_string());
    }

    let (front, six) = (&plan.nets[0], &plan.nets[2]);
    let nics = &plan.nics.values().next().unwrap();
    let both = [nics[0].ip.unwrap().to_string(), nics[0].ip6.unwrap().to_string()].join(" ");
    for server in [front.gateway.unwrap().to_string(), front.gateway6.unwrap().0.to_string()] {
        assert_eq!(ground.lookup("r1", &server).await, both);
        assert_eq!(ground.lookup("mirror.suite.test", &server).await, "fd00::7");
        assert_eq!(ground.lookup("r1-six", &server).await, nics[2].ip6.unwrap().to_string());
    }
    let asking = plan.nets[4].gateway.unwrap().to_string();
    assert_eq!(ground.lookup("mirror.suite.test", &asking).await, "fd00::7", "asked of the net that knows");

    ground.client("n4", &nics[0].mac.to_string(), &front.bridge).await;
    let said = ground.sh("ip netns exec n4 busybox udhcpc -i c0 -n -q -s /bin/true").await;
    assert!(said.contains(&format!("lease of {} obtained", nics[0].ip.unwrap())), "{said}");
    ground.client("n6", &nics[2].mac.to_string(), &six.bridge).await;
    let said =
        ground.sh("ip netns exec n6 /proc/1/exe --ignored --exact nets::solicitor --nocapture --quiet").await;
    assert!(said.contains(&format!("offered {}\n", nics[2].ip6.unwrap())), "{said}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_reservations_change_while_a_network_runs() {
    let ground = Ground::new().await;
    let plan = every_kind();
    ground.create(&plan).await;
    let front = &plan.nets[0];
    let server = front.gateway.unwrap().to_string();
    let change =
        async |change, part, xml| ground.connection.change_network("front", change, part, xml, LIMIT).await;
    for ip in ["10.9.9.9", "fd00::99"] {
        let record =
            DnsRecord { ip: ip.parse().unwrap(), names: vec!["late".to_owned(), "later".to_owned()] };
        let xml = xml::dns_host_xml(&record);
        change(NetworkChange::Add, NetworkPart::DnsHost, xml.clone()).await.unwrap();
        assert_eq!(ground.lookup("later", &server).await, ip);
        change(NetworkChange::Delete, NetworkPart::DnsHost, xml).await.unwrap();
        assert!(ground.lookup("late", &server).await.contains("NXDOMAIN"));
    }
    let mut host = front.hosts[0].clone();
    host.mac = "52:54:00:00:00:07".parse().unwrap();
    host.ip = Some("192.168.200.77".parse().unwrap());
    host.ip6 = Some("fd8f:1391:3a82:200::77".parse().unwrap());
    host.name = "late".to_owned();
    let parts = xml::dhcp_hosts_xml(front, &host);
    assert_eq!(parts.len(), 2);
    for (position, xml) in &parts {
        change(NetworkChange::Add, NetworkPart::DhcpHost(*position), xml.clone()).await.unwrap();
    }
    ground.client("n4", "52:54:00:00:00:07", &front.bridge).await;
    let said = ground.sh("ip netns exec n4 busybox udhcpc -i c0 -n -q -s /bin/true").await;
    assert!(said.contains("lease of 192.168.200.77 obtained"), "{said}");
    let said =
        ground.sh("ip netns exec n4 /proc/1/exe --ignored --exact nets::solicitor --nocapture --quiet").await;
    assert!(said.contains("offered fd8f:1391:3a82:200::77\n"), "{said}");
    for (position, xml) in parts {
        change(NetworkChange::Delete, NetworkPart::DhcpHost(position), xml).await.unwrap();
    }
    ground.connection.destroy_network("front", LIMIT).await.unwrap();
    ground.connection.destroy_network("front", LIMIT).await.unwrap();
    let error = ground.connection.network_xml("front", LIMIT).await.unwrap_err().to_string();
    assert!(error.starts_with("libvirt cannot describe network front: Network not found"), "{error}");
    assert_eq!(ground.connection.networks(LIMIT).await.unwrap().len(), 5);
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_of_somebody_elses_is_borrowed() {
    let ground = Ground::new().await;
    assert_eq!(ground.sh("ip link add br0 type bridge && ip link set br0 up").await, "");
    let scope = Scope { bridges: vec!["br0".to_owned()], ..Scope::hermetic() };
    let plan = plan(&[net("br0", NetKind::Bridge)], &[], &scope).unwrap();
    ground.create(&plan).await;
    ground.connection.destroy_network("br0", LIMIT).await.unwrap();
    let links = ground.sh("ip -j link show type bridge").await;
    assert!(links.contains("\"br0\""), "{links}");
    ground.end().await;
}

/// The test binary's own end of a DHCPv6 conversation: no other client is at hand everywhere.
#[test]
#[ignore = "a process inside a lab"]
fn solicitor() {
    const SOLICIT: u8 = 1;
    let read = |name: &str| std::fs::read_to_string(format!("/sys/class/net/c0/{name}")).unwrap();
    let mac: Vec<u8> =
        read("address").trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let index = read("ifindex").trim().parse().unwrap();
    // Message and transaction, client id (DUID-LL), elapsed time, an address wanted (IA_NA number 1).
    let mut packet = vec![SOLICIT, 1, 2, 3, 0, 1, 0, 10, 0, 3, 0, 1];
    packet.extend(&mac);
    packet.extend([0, 8, 0, 2, 0, 0]);
    packet.extend([0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let server = SocketAddrV6::new("ff02::1:2".parse().unwrap(), 547, 0, index);
    for _ in 0..50 {
        // Its link-local address can be used only once nobody else claimed it.
        std::thread::sleep(Duration::from_millis(200));
        let Ok(socket) = UdpSocket::bind("[::]:546") else { continue };
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        if socket.send_to(&packet, server).is_err() {
            continue;
        }
        let mut answer = [0; 1500];
        let Ok(len) = socket.recv(&mut answer) else { continue };
        // The address is in option 5, 24 bytes long.
        let at = answer[..len].windows(4).position(|option| option == [0, 5, 0, 24]).expect("an address");
        let ip: [u8; 16] = answer[at + 4..at + 20].try_into().unwrap();
        println!("offered {}", Ipv6Addr::from(ip));
        return;
    }
    println!("nobody answered");
}

#[tokio::test]
async fn this_hosts_own_networks_are_seen() {
    let live = Live::look().await.unwrap();
    assert!(live.subnets.iter().all(|(ip, len, user)| !ip.is_loopback() && *len > 0 && !user.is_empty()));
}
