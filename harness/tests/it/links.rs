//! Networks of running machines, changed while they run: names, cables, impairments, partitions, captures, further NICs.

use std::{path::Path, time::Duration};

use polder::{
    env::{Env, Host, Progress, Vm},
    initfile::{self, Options},
    net::Impairment,
};

const THREE: &str = "
domains:
  a:
    memory: 128
    vcpu: 1
    nics: [{net: front}, {net: back, vlan: 10, link: {delay_ms: 30}}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  b:
    memory: 128
    vcpu: 1
    nics: [{net: front}, {net: back, vlan: 10}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  c:
    memory: 128
    vcpu: 1
    nics: [{net: front}, {net: back, vlan: 20}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}, ipv6: true, dns_domain_name: suite.test}
  back: {type: isolated}
";

struct Ground {
    env: Env,
    _dir: tempfile::TempDir,
}

impl Ground {
    async fn up() -> Self {
        let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
        let root = dir.path().join("labs").display().to_string();
        let vars = |name: &str| match name {
            "POLDER_RUNTIME_DIR" => Some(root.clone()),
            _ => std::env::var(name).ok(),
        };
        let host = Host::from_env(&vars).unwrap();
        let spec =
            initfile::load_text(Path::new("three.yaml"), THREE, &Options::new(&|_| None)).unwrap().spec;
        let env = match Env::up(&host, &spec, &Progress::new(|line| eprintln!("{line}"))).await {
            Ok(env) => env,
            Err(failure) => panic!("{:?}", failure.error),
        };
        Self { env, _dir: dir }
    }

    fn vm(&self, name: &str) -> Vm {
        self.env.vm(name).unwrap()
    }

    /// How many of five pings from one machine to an address are answered, and how fast the fastest was in ms.
    async fn ping(&self, from: &str, to: &str) -> (usize, f64) {
        let said = self.vm(from).execute(format!("ping -c 5 -W 1 -w 7 {to}")).await.unwrap();
        let said = said.stdout.text().into_owned();
        let answered = said.lines().filter(|line| line.contains("bytes from")).count();
        let fastest = said.rsplit_once("= ").and_then(|(_, times)| times.split_once('/'));
        (answered, fastest.and_then(|(ms, _)| ms.parse().ok()).unwrap_or(0.0))
    }

    /// Whether one of a few pings is answered.
    async fn reaches(&self, from: &str, to: &str) -> bool {
        let tries = format!("for i in 1 2 3; do ping -c 1 -W 1 -w 1 {to} && exit 0; done; exit 1");
        self.vm(from).execute(tries).await.unwrap().status.success()
    }

    fn ip(&self, name: &str, net: &str) -> String {
        self.vm(name).ip_on(&self.env.net(net).unwrap()).unwrap().to_string()
    }
}

fn lossy() -> Impairment {
    Impairment { loss: 100.0, ..Impairment::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_change_while_machines_run() {
    let ground = Ground::up().await;
    vlans_and_links_of_the_init_file(&ground).await;
    names(&ground).await;
    cables(&ground).await;
    partitions(&ground).await;
    captures(&ground).await;
    nics(&ground).await;
    ground.env.down().await.unwrap();
}

async fn vlans_and_links_of_the_init_file(ground: &Ground) {
    assert!(ground.reaches("a", &ground.ip("c", "front")).await);
    let (answered, fastest) = ground.ping("a", &ground.ip("b", "back")).await;
    assert!(answered == 5 && fastest >= 60.0, "{answered} {fastest}");
    assert!(!ground.reaches("a", &ground.ip("c", "back")).await, "another VLAN");
    let link = &ground.env.links(&ground.vm("a"))[1];
    link.impair(Impairment::default()).await.unwrap().heal().await.unwrap();
    let (_, fastest) = ground.ping("a", &ground.ip("b", "back")).await;
    assert!(fastest >= 60.0, "healed means as planned: {fastest}");
}

async fn names(ground: &Ground) {
    let net = ground.env.net("front").unwrap();
    let lookup = async |name: &str| {
        ground.vm("b").execute(format!("nslookup {name}")).await.unwrap().stdout.text().into_owned()
    };
    let six = net.resolve("a.suite.test")[1].to_string();
    assert_eq!(net.resolve("A")[0].to_string(), ground.ip("a", "front"));
    let said = lookup("a").await;
    assert!(said.contains(&ground.ip("a", "front")) && said.contains(&six), "{said}");
    assert!(ground.reaches("b", &six).await, "over IPv6");
    net.add_record("late", "10.9.8.7".parse().unwrap()).await.unwrap();
    net.add_record("late", six.parse().unwrap()).await.unwrap();
    let said = lookup("late.suite.test").await;
    assert!(said.contains("10.9.8.7") && said.contains(&six), "{said}");
    assert!(lookup("a").await.contains(&six), "the names it had");
    assert_eq!(ground.env.net("back").unwrap().resolve("late").len(), 2);
    net.remove_record("late").await.unwrap();
    assert!(!lookup("late").await.contains("10.9.8.7"));
    let error = net.remove_record("late").await.unwrap_err().to_string();
    assert_eq!(error, "the network front cannot forget the name `late`: it was never added");
    let error = net.add_record("A", "10.9.8.7".parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.ends_with("it has that name from the init file"), "{error}");
    let back = ground.env.net("back").unwrap();
    let error = back.add_record("x", "10.9.8.7".parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.ends_with("it serves no names; management nets do"), "{error}");
}

async fn cables(ground: &Ground) {
    let net = ground.env.net("front").unwrap();
    let (a, to) = (ground.vm("a"), ground.ip("c", "front"));
    let link = net.link(&a).unwrap();
    let down = link.down().await.unwrap();
    assert!(!ground.reaches("c", &ground.ip("a", "front")).await);
    drop(down);
    assert!(ground.reaches("c", &ground.ip("a", "front")).await);
    let down = link.down().await.unwrap();
    link.up().await.unwrap();
    down.heal().await.unwrap();
    assert_eq!(a.succeed("cat /sys/class/net/eth0/carrier").await.unwrap().trim(), "1");

    // Of b, so that there is a way to a all the time.
    let link = net.link(&ground.vm("c")).unwrap();
    let fault = link.impair(lossy()).await.unwrap();
    assert_eq!(ground.ping("a", &to).await.0, 0);
    drop(fault);
    assert!(ground.reaches("a", &to).await);
    let delay = Impairment { delay: Duration::from_millis(100), ..Impairment::default() };
    let fault = link.impair(delay).await.unwrap();
    let (answered, fastest) = ground.ping("a", &to).await;
    assert!(answered > 0 && fastest >= 200.0, "{answered} {fastest}");
    fault.heal().await.unwrap();
}

async fn partitions(ground: &Ground) {
    let (a, b, c) = (ground.vm("a"), ground.vm("b"), ground.vm("c"));
    let (to_b, to_c) = (ground.ip("b", "front"), ground.ip("c", "front"));
    let partition = ground.env.partition(&[&[&a, &b], &[&c]]).await.unwrap();
    // Also for a link that is carried.
    let delay = Impairment { delay: Duration::from_millis(1), ..Impairment::default() };
    let fault = ground.env.net("front").unwrap().link(&c).unwrap().impair(delay).await.unwrap();
    assert!(!ground.reaches("a", &to_c).await);
    assert!(!ground.reaches("c", &to_b).await);
    assert!(ground.reaches("a", &to_b).await);
    assert!(ground.reaches("c", &ground.env.net("front").unwrap().gateway().unwrap().to_string()).await);
    partition.heal().await.unwrap();
    assert!(ground.reaches("a", &to_c).await);
    fault.heal().await.unwrap();
}

async fn captures(ground: &Ground) {
    let dir = tempfile::tempdir().unwrap();
    let net = ground.env.net("front").unwrap();
    let link = net.link(&ground.vm("a")).unwrap();
    let of_link = link.capture(&dir.path().join("link.pcap")).await.unwrap();
    let of_net = net.capture(&dir.path().join("net.pcap")).await.unwrap();
    assert!(ground.reaches("a", &ground.ip("b", "front")).await);
    for capture in [of_link, of_net] {
        let path = capture.stop().await.unwrap();
        let out =
            std::process::Command::new("tcpdump").args(["-nr", path.to_str().unwrap()]).output().unwrap();
        let shown = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(shown.contains(&ground.ip("a", "front")), "{}: {shown}", path.display());
    }
}

async fn nics(ground: &Ground) {
    let net = ground.env.net("front").unwrap();
    let b = ground.vm("b");
    let count = async || b.succeed("ls /sys/class/net | grep -c eth").await.unwrap().trim().to_owned();
    assert_eq!(count().await, "2");
    let link = net.attach(&b).await.unwrap();
    let ip = link.nic().ip.unwrap();
    assert_eq!(ground.env.links(&b).len(), 3);
    let mut seen = String::new();
    for _ in 0..50 {
        seen = count().await;
        if seen == "3" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(seen, "3");
    let said = b.succeed("ip link set eth2 up && udhcpc -i eth2 -n -q -s /bin/true 2>&1").await.unwrap();
    assert!(said.contains(&format!("lease of {ip} obtained")), "{said}");
    link.detach().await.unwrap();
    assert_eq!((count().await.as_str(), ground.env.links(&b).len()), ("2", 2));
    let again = net.attach(&b).await.unwrap();
    assert_eq!(again.nic().ip, Some(ip), "free again");
}
