//! What dead owners left on a daemon that many share is found and removed; what has an owner, or is a stranger's, stays.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use polder::{
    base::owner::Owner,
    lab::{Hermetic, Lab, LabHost, LabSpec, Payload},
    net::lease::{Holder, LeaseStore, Want},
    provider::{
        libvirt::{Connection, xml},
        spec::Label,
    },
    reap::{self, Ground, plan},
};

use crate::{
    arena,
    own_host::{self, OwnHost},
};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn what_dead_owners_left_on_a_daemon_is_removed_and_nothing_else() {
    own_host::run("gc::on_a_daemon", &[]);
}

/// Something that acts for prefixes by hand.
struct Hand {
    own: OwnHost,
    connection: Connection,
    leases: LeaseStore,
}

impl Hand {
    fn prefix(&self, name: &str) -> PathBuf {
        let prefix = self.own.root.join(name);
        fs::create_dir(&prefix).unwrap();
        fs::write(prefix.join("uuid"), name).unwrap();
        prefix
    }

    /// A domain, a network and a lease of a prefix, made by the process `maker`.
    async fn furnish(&self, name: &str, maker: &Owner) {
        let prefix = self.own.root.join(name);
        let label =
            Label { prefix: prefix.clone(), uuid: name.into(), name: "web".into(), owner: maker.clone() };
        let metadata = xml::label_element(&label).to_string();
        let domain = own_host::idle_domain(&format!("{name}-web"), &metadata);
        self.connection.create_domain(name, domain, LIMIT).await.unwrap();
        let network = format!("<network><name>{name}-lan</name>{metadata}</network>");
        self.connection.create_network(name, network, LIMIT).await.unwrap();
        let holder =
            Holder { uuid_file: prefix.join("uuid"), uuid: name.into(), owner: maker.clone(), lasting: true };
        self.leases.acquire(&[Want::Any], &holder, &[].into()).unwrap();
    }

    /// Names of domains, networks and leases.
    fn all(&self) -> [Vec<String>; 3] {
        let names = |what| {
            let mut names: Vec<_> =
                self.own.virsh(&[what, "--name"]).lines().map(|n| n.trim().to_owned()).collect();
            names.retain(|name| !name.is_empty());
            names.sort();
            names
        };
        let leases = self.leases.list().unwrap().iter().map(|lease| lease.uuid.clone()).collect();
        [names("list"), names("net-list"), leases]
    }

    fn ground(&self) -> Ground {
        Ground {
            labs: self.own.root.join("labs"),
            daemon: Some(self.connection.clone()),
            leases: self.leases.clone(),
            journals: self.own.root.join("portals"),
            changes: self.own.root.join("changes"),
            portal: None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `what_dead_owners_left_on_a_daemon_is_removed_and_nothing_else`"]
async fn on_a_daemon() {
    let own = OwnHost::here();
    let connection = Connection::open(own.uri, LIMIT).await.unwrap();
    let leases = LeaseStore::new(own.root.join("leases"));
    let hand = Hand { own, connection, leases };
    // A process that made something and has ended, and one that still runs.
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let here = Owner::current().unwrap();
    let dead = Owner { started: polder::base::owner::start_time(pid).unwrap(), pid, ..here.clone() };
    let elsewhere = Owner { host: "elsewhere".into(), ..dead.clone() };
    for (name, maker) in
        [("alive", &dead), ("removed", &dead), ("replaced", &dead), ("busy", &here), ("afar", &elsewhere)]
    {
        hand.prefix(name);
        hand.furnish(name, maker).await;
    }
    let theirs =
        own_host::idle_domain("theirs", "<metadata><a:owner xmlns:a='urn:a' prefix='/x'/></metadata>");
    hand.connection.create_domain("theirs", theirs, LIMIT).await.unwrap();
    let theirs = "<network><name>theirs</name></network>".to_owned();
    hand.connection.create_network("theirs", theirs, LIMIT).await.unwrap();
    // Another tool's lease, whose environment is gone: it has no owner beside it.
    let lago = serde_json::to_vec(&("/nowhere/uuid", "lago")).unwrap();
    fs::write(hand.own.root.join("leases/250.lease"), lago).unwrap();

    let (seen, errors) = reap::look(&hand.ground()).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(plan::plan(&seen).remove, [], "while every prefix is there, nothing goes");

    child.kill().unwrap();
    child.wait().unwrap();
    for gone in ["removed", "busy", "afar"] {
        fs::remove_dir_all(hand.own.root.join(gone)).unwrap();
    }
    fs::write(hand.own.root.join("replaced/uuid"), "another").unwrap();
    let before = hand.all();
    let (seen, _) = reap::look(&hand.ground()).await;
    let plan = plan::plan(&seen);
    assert_eq!(hand.all(), before, "looking changes nothing");
    let shown = plan.to_string();
    for line in [
        "remove  domain removed-web: its environment",
        "remove  network removed-lan: its environment",
        "remove  domain replaced-web: another environment",
        "keep    domain busy-web: process",
        "keep    domain afar-web: it belongs to",
        "keep    lease of 192.168.250.0/24",
    ] {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
    assert!(!shown.contains("alive") && !shown.contains("theirs"), "{shown}");

    let reaped = reap::reap(&hand.ground(), &plan).await;
    assert!(reaped.left.is_empty(), "{:?}", reaped.left);
    assert_eq!(reaped.removed.len(), plan.remove.len());
    let [domains, networks, leases] = hand.all();
    assert_eq!(domains, ["afar-web", "alive-web", "busy-web", "theirs"]);
    assert_eq!(networks, ["afar-lan", "alive-lan", "busy-lan", "theirs"]);
    assert!(leases.contains(&"alive".to_owned()) && leases.contains(&"lago".to_owned()), "{leases:?}");
    assert!(
        !leases.contains(&"removed".to_owned()) && !leases.contains(&"replaced".to_owned()),
        "{leases:?}"
    );
    let (seen, _) = reap::look(&hand.ground()).await;
    assert_eq!(plan::plan(&seen).remove, []);
}

/// A lab whose environment is in `env`, left to itself.
async fn detached(host: &LabHost, env: &Path) -> Hermetic {
    fs::create_dir_all(env).unwrap();
    let payload = Payload::Libvirtd { kvm: false, capability_cache: host.cache.clone(), way_out: false };
    let spec = LabSpec { payload, env: Some(env.to_owned()), binds: vec![] };
    let lab = Hermetic::start(host, spec, LIMIT).await.unwrap();
    lab.detach().unwrap();
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn labs_without_an_environment_or_a_warden_are_removed_and_others_are_not() {
    let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/var/tmp").unwrap();
    let at = |name: &str| dir.path().join(name);
    let host = LabHost { root: at("r"), cache: at("c"), launcher: std::env::current_exe().unwrap() };
    fs::create_dir(&host.cache).unwrap();
    let leases = LeaseStore::new(at("leases"));
    let (journals, changes) = (at("portals"), at("changes"));
    let ground = Ground { labs: at("r"), daemon: None, leases, journals, changes, portal: None };
    let alive = detached(&host, &at("alive")).await;
    let moved = detached(&host, &at("moved")).await;
    let bereft = detached(&host, &at("bereft")).await;
    let killed = detached(&host, &at("killed")).await;
    fs::rename(at("moved"), at("elsewhere")).unwrap();
    fs::remove_dir(at("bereft")).unwrap();
    let id: serde_json::Value = serde_json::from_slice(&fs::read(killed.paths().warden()).unwrap()).unwrap();
    arena::kill(i32::try_from(id["pid"].as_i64().unwrap()).unwrap());
    tokio::time::timeout(LIMIT, killed.broken()).await.unwrap();
    // A warden killed while its maker lives is cleaned up after by that one; here nobody is left to do it.
    fs::create_dir_all(killed.paths().folder.join("log")).unwrap();

    let (seen, errors) = reap::look(&ground).await;
    assert!(errors.is_empty(), "{errors:?}");
    let plan = plan::plan(&seen);
    let mut items: Vec<_> = plan.remove.iter().map(|verdict| verdict.item.clone()).collect();
    items.sort_by_key(ToString::to_string);
    let folder = |lab: &Hermetic| lab.paths().folder.clone();
    assert_eq!(items, [plan::Item::Folder(folder(&killed)), plan::Item::Lab(folder(&bereft))]);

    let reaped = reap::reap(&ground, &plan).await;
    assert!(reaped.left.is_empty(), "{:?}", reaped.left);
    assert!(!folder(&killed).exists() && !folder(&bereft).exists());
    assert!(alive.failure().is_none() && moved.failure().is_none());
    assert!(at("killed").exists(), "an environment's files are not ours to remove");
    for lab in [alive, moved] {
        lab.end(LIMIT).await.unwrap();
    }
}
