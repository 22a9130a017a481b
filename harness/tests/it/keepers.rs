//! What is done to links and nets and undone again, between two clients on a bridge of a lab: no machines needed.

use std::{collections::BTreeMap, time::Duration};

use polder::{
    lab::keeper::{
        keep,
        spec::{Keep, Relay, outer_port},
    },
    net::{Impairment, Vlan},
};

use crate::nets::Ground;

const BRIDGE: &str = "lan";
const A: &str = "pt-aaaaaaaaaaaa";
const B: &str = "pt-bbbbbbbbbbbb";

/// A bridge with two clients, 10.0.0.1 and 10.0.0.2, whose cables are named as those of machines are.
async fn ground() -> Ground {
    let ground = Ground::new().await;
    let mut script =
        format!("set -e; mkdir -p /run/netns; ip link add {BRIDGE} type bridge; ip link set {BRIDGE} up\n");
    for (name, tap, ip) in [("a", A, 1), ("b", B, 2)] {
        script += &format!(
            "ip netns add {name}; ip link add {tap} type veth peer name c0 netns {name}
             ip link set {tap} master {BRIDGE} up; ip -n {name} link set c0 up
             ip -n {name} addr add 10.0.0.{ip}/24 dev c0\n"
        );
    }
    assert_eq!(ground.sh(&script).await, "");
    ground
}

impl Ground {
    /// What five pings from a to b, in a second, say.
    async fn ping(&self) -> String {
        // Whoever answered a broken question is not remembered.
        self.sh("for n in a b; do ip -n $n neigh flush all; done; ip netns exec a busybox ping -c 5 -i 0.2 -W 1 -w 3 10.0.0.2").await
    }

    /// How many of them were answered.
    async fn answered(&self) -> usize {
        self.ping().await.lines().filter(|line| line.contains("bytes from")).count()
    }

    async fn remains(&self) -> String {
        self.sh("ls /sys/class/net | grep -E '^p[ijo]-'; nft list tables").await
    }
}

fn relay(tap: &str, now: Impairment) -> Relay {
    Relay {
        tap: tap.to_owned(),
        bridge: BRIDGE.to_owned(),
        mtu: 1500,
        now,
        then: Impairment::default(),
        vlan: None,
        seed: 1,
    }
}

fn delay(ms: u64) -> Impairment {
    Impairment { delay: Duration::from_millis(ms), ..Impairment::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_impaired_and_healed() {
    let ground = ground().await;
    assert_eq!(ground.answered().await, 5);
    for (what, expected) in [
        (Impairment { loss: 100.0, ..Impairment::default() }, 0),
        (Impairment { corrupt: 100.0, ..Impairment::default() }, 0),
        (Impairment { duplicate: 100.0, ..Impairment::default() }, 5),
        (delay(50), 5),
        (Impairment { rate_kbit: Some(100), ..Impairment::default() }, 5),
    ] {
        let kept = keep(&ground.lab, &Keep::Relay(relay(A, what)), None).await.unwrap();
        let said = ground.ping().await;
        let answered =
            said.lines().filter(|line| line.contains("bytes from") && !line.contains("DUP")).count();
        assert_eq!(answered, expected, "{what:?}: {said}");
        assert_eq!(said.contains("DUP"), what.duplicate > 0.0, "{said}");
        if what.delay > Duration::ZERO {
            let fastest = said.rsplit_once("= ").and_then(|(_, times)| times.split_once('/')).unwrap().0;
            assert!(fastest.parse::<f64>().unwrap() >= 100.0, "both ways: {said}");
        }
        kept.release().await.unwrap();
        assert_eq!((ground.answered().await, ground.remains().await), (5, String::new()), "{what:?}");
    }
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_heals_when_its_keeper_is_dropped_ended_or_replaced() {
    let ground = ground().await;
    let all_lost = Impairment { loss: 100.0, ..Impairment::default() };
    let kept = keep(&ground.lab, &Keep::Relay(relay(A, all_lost)), None).await.unwrap();
    assert_eq!(ground.answered().await, 0);
    drop(kept);
    ground.until("[ -z \"$(ls /sys/class/net | grep ^p[ijo]-)\" ]").await;
    assert_eq!(ground.answered().await, 5);

    // By a signal; and when it was given no time to heal the link, the next one does.
    let end = async |signal: &str| {
        let all = "for p in /proc/[0-9]*; do [ \"$(cat $p/comm 2>/dev/null)\" = polder-keeper ] &&";
        ground.sh(&format!("{all} kill -{signal} ${{p#/proc/}}; done")).await;
    };
    let kept = keep(&ground.lab, &Keep::Relay(relay(A, all_lost)), None).await.unwrap();
    end("TERM").await;
    ground.until("[ -z \"$(ls /sys/class/net | grep ^p[ijo]-)\" ]").await;
    assert_eq!(ground.answered().await, 5);
    drop(kept);
    let kept = keep(&ground.lab, &Keep::Relay(relay(A, all_lost)), None).await.unwrap();
    end("KILL").await;
    ground.until(&format!("[ ! -e /sys/class/net/{} ]", outer_port(A))).await;
    drop(kept);
    keep(&ground.lab, &Keep::Relay(relay(A, delay(1))), None).await.unwrap().release().await.unwrap();
    assert_eq!((ground.answered().await, ground.remains().await), (5, String::new()));

    // A second one takes the place of the first, whose guard means nothing any more.
    let first = keep(&ground.lab, &Keep::Relay(relay(A, all_lost)), None).await.unwrap();
    let second = keep(&ground.lab, &Keep::Relay(relay(A, delay(1))), None).await.unwrap();
    first.release().await.unwrap();
    assert_eq!(ground.answered().await, 5);
    assert!(ground.remains().await.contains(&outer_port(A)));
    second.release().await.unwrap();
    assert_eq!(ground.remains().await, "");

    // One that goes on says when it has heard, and heals when the machine's cable goes.
    let stays = Relay { then: all_lost, ..relay(A, delay(1)) };
    let kept = keep(&ground.lab, &Keep::Relay(stays), None).await.unwrap();
    assert_eq!(ground.answered().await, 5);
    kept.release().await.unwrap();
    assert_eq!(ground.answered().await, 0);
    ground.sh(&format!("ip link del {}", outer_port(A))).await;
    ground.until("[ -z \"$(ls /sys/class/net | grep ^p[ijo]-)\" ]").await;
    assert_eq!(ground.answered().await, 5);
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_keep_vlans_apart() {
    let ground = ground().await;
    let mut kept = BTreeMap::new();
    for (a, b, expected) in [(10, 10, 5), (10, 20, 0)] {
        for (tap, vlan) in [(A, a), (B, b)] {
            let port = Relay { vlan: Some(Vlan::Access(vlan)), ..relay(tap, Impairment::default()) };
            kept.insert((tap, vlan), keep(&ground.lab, &Keep::Relay(port), None).await.unwrap());
        }
        assert_eq!(ground.answered().await, expected, "{a} and {b}");
    }
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_set_back_and_what_fails_leaves_nothing() {
    let ground = ground().await;
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rule = |text: &str| vec!["nft".to_owned(), text.to_owned()];
    let cut = format!(
        "table bridge cut {{ chain forward {{ type filter hook forward priority 0; iifname {A} oifname {B} drop; }}; }}"
    );
    let hold = Keep::Hold { before: vec![rule(&cut)], after: vec![words("nft delete table bridge cut")] };
    let kept = keep(&ground.lab, &hold, None).await.unwrap();
    assert_eq!(ground.answered().await, 0);
    kept.release().await.unwrap();
    assert_eq!((ground.answered().await, ground.remains().await), (5, String::new()));

    let hold = Keep::Hold { before: vec![], after: vec![words("false with arguments")] };
    let error = keep(&ground.lab, &hold, None).await.unwrap().release().await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("`false with arguments` failed"), "{why}");

    let broken = Keep::Hold {
        before: vec![rule(&cut), words("false with arguments")],
        after: vec![words("nft delete table bridge cut")],
    };
    let error = keep(&ground.lab, &broken, None).await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("`false with arguments` failed"), "{why}");
    let error = keep(&ground.lab, &Keep::Relay(relay("pt-cccccccccccc", delay(1))), None).await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("there is no interface pt-cccccccccccc"), "{why}");
    let nowhere = Relay { bridge: "nowhere".to_owned(), ..relay(A, delay(1)) };
    keep(&ground.lab, &Keep::Relay(nowhere), None).await.unwrap_err();
    ground.until("[ -z \"$(ls /sys/class/net | grep ^p[ijo]-)\" ]").await;
    assert_eq!(ground.sh("nft list tables").await, "");
    assert_eq!(ground.answered().await, 5, "the cable is where it was");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_are_captured() {
    let ground = ground().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    let file = std::fs::File::create(&path).unwrap();
    let kept =
        keep(&ground.lab, &Keep::Capture { interface: A.to_owned() }, Some(file.into())).await.unwrap();
    assert_eq!(ground.answered().await, 5);
    kept.release().await.unwrap();
    let out =
        std::process::Command::new("tcpdump").args(["-nr", path.to_str().unwrap(), "icmp"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).lines().count(), 10, "five pings and five answers");
    let file = std::fs::File::create(&path).unwrap();
    let error = keep(&ground.lab, &Keep::Capture { interface: "none".to_owned() }, Some(file.into())).await;
    let why = std::error::Error::source(&error.unwrap_err()).unwrap().to_string();
    assert!(why.contains("`tcpdump` failed"), "{why}");
    ground.end().await;
}
