//! Domains on a private libvirtd: what a running one can be told, moments of it that are kept and come back, and that
//! libvirt takes the XML of every kind of machine.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use polder::{
    base::owner::Owner,
    config::Checkpoints,
    env::{Env, Host, Progress, Vm},
    initfile::{self, Options},
    provider::{
        libvirt::{
            AddressSource, Connection, DomainState, SaveImage,
            xml::{self, Element, SnapshotSpec},
        },
        spec::{
            Access, Boot, Bus, Cpu, CpuModel, DomainDisk, DomainNic, DomainSpec, ImageFormat, Label, Topology,
        },
    },
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);
/// From a restore to an answer over ssh.
const ANSWER: Duration = Duration::from_secs(60);
const INSIDE: &str = "/run/polder/env";

struct Ground {
    _dir: tempfile::TempDir,
    env: Env,
    connection: Connection,
}

impl Ground {
    async fn up(text: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pv").tempdir_in("/var/tmp").unwrap();
        let root = dir.path().join("labs").display().to_string();
        let vars = |name: &str| match name {
            "POLDER_RUNTIME_DIR" => Some(root.clone()),
            _ => std::env::var(name).ok(),
        };
        let mut host = Host::from_env(&vars).unwrap();
        // Images are where the plan has them.
        host.checkpoints = Checkpoints::Off;
        let spec = initfile::load_text(Path::new("a.yaml"), text, &Options::new(&|_| None)).unwrap().spec;
        let env = Env::up(&host, &spec, &Progress::new(|line| eprintln!("{line}"))).await.unwrap();
        let socket = env.runtime().unwrap().folder.join("sock/libvirt-sock");
        let uri = format!("qemu:///system?socket={}", socket.display());
        Self { _dir: dir, env, connection: Connection::open(&uri, LIMIT).await.unwrap() }
    }

    fn vm(&self) -> Vm {
        self.env.vm("a").unwrap()
    }

    fn domain(&self) -> DomainSpec {
        self.vm().plan().domain.clone().unwrap()
    }

    /// A qcow2 image over another one; paths as seen inside.
    fn overlay(&self, over: &Path, format: ImageFormat, size: &str, name: &str) -> PathBuf {
        let outside = self.env.folder().join(name);
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-u", "-f", "qcow2", "-F", &format.to_string(), "-b"])
            .arg(over)
            .arg(outside)
            .arg(size)
            .status();
        assert!(made.unwrap().success());
        Path::new(INSIDE).join(name)
    }
}

const ONE: &str = "
domains:
  a:
    memory: 128
    nics: [{net: lan}]
    disks:
      - {name: root, type: template, template_name: minimal, dev: vda, format: qcow2}
      - {name: data, type: empty, size: 64M, dev: vdb, format: raw}
nets:
  lan: {management: true, ipv6: true, dhcp: {start: 100, end: 254}}
";

/// Who the guest is, and what it has on disk and in memory.
const LOOK: &str = "cat /proc/sys/kernel/random/boot_id /root/x /tmp/x; head -c 4 /dev/vdb";

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_comes_back_as_often_as_one_likes() {
    let ground = Ground::up(ONE).await;
    let (vm, domain, connection) = (ground.vm(), ground.domain(), &ground.connection);
    let write = |what: &str| format!("echo {what} | tee /root/x > /tmp/x; printf {what} > /dev/vdb; sync");
    vm.succeed(write("then").as_str()).await.unwrap();
    let then = vm.succeed(LOOK).await.unwrap();
    assert!(then.ends_with("then\nthen\nthen"), "{then}");

    let memory = Path::new(INSIDE).join("a.save");
    let spec = SnapshotSpec {
        disks: domain
            .disks
            .iter()
            .zip(["1G", "64M"])
            .map(|(d, size)| {
                (d.dev.clone(), ground.overlay(&d.path, d.format, size, &format!("{}.1", d.dev)))
            })
            .collect(),
        untouched: Vec::new(),
        memory: Some(memory.clone()),
    };
    connection.snapshot_domain("a", &spec, false, LIMIT).await.unwrap();
    assert_eq!(connection.domain_state("a", LIMIT).await.unwrap(), DomainState::Running);
    for round in 1..3 {
        vm.succeed(write("now_").as_str()).await.unwrap();
        connection.destroy_domain("a", LIMIT).await.unwrap();
        let frozen = domain.disks.iter().zip(["1G", "64M"]);
        let fresh: Vec<PathBuf> = frozen
            .map(|(disk, size)| {
                ground.overlay(&disk.path, disk.format, size, &format!("{}.back{round}", disk.dev))
            })
            .collect();
        let mut now = domain.clone();
        for (disk, path) in now.disks.iter_mut().zip(fresh) {
            (disk.path, disk.format) = (path, ImageFormat::Qcow2);
        }
        let saved = connection.saved_xml("a", &memory, LIMIT).await.unwrap();
        let xml = xml::as_now(&saved, &now).unwrap();
        // Once each way.
        let paused = round == 1;
        connection.restore_domain("a", &memory, xml, paused, LIMIT).await.unwrap();
        if paused {
            assert_eq!(connection.domain_state("a", LIMIT).await.unwrap(), DomainState::Paused);
            connection.resume_domain("a", LIMIT).await.unwrap();
        }
        vm.restarted().await;
        vm.wait_for_ssh(ANSWER).await.unwrap();
        assert_eq!(vm.succeed(LOOK).await.unwrap(), then, "round {round}");
    }
    let boot = then.lines().next().unwrap();
    goes_on_as_another(&ground, boot).await;
    assert_eq!(vm.succeed(LOOK).await.unwrap(), then, "the first one goes on beside it");
    ground.env.down().await.unwrap();
}

/// The machine that was saved goes on under another name, beside itself, where it was in that boot of its.
async fn goes_on_as_another(ground: &Ground, boot: &str) {
    let (connection, folder) = (&ground.connection, ground.env.folder());
    let mut other = ground.domain();
    (other.name, other.uuid) = ("b".to_owned(), "b0b0b0b0-0000-4000-8000-000000000000".to_owned());
    (other.console, other.nics[0].tap) = (Path::new(INSIDE).join("b.log"), "other".to_owned());
    // Both have one address.
    other.nics[0].link_up = false;
    for (disk, size) in other.disks.iter_mut().zip(["1G", "64M"]) {
        let path = ground.overlay(&disk.path, disk.format, size, &format!("{}.b", disk.dev));
        (disk.path, disk.format) = (path, ImageFormat::Qcow2);
    }
    let mut image = SaveImage::read(&folder.join("a.save")).unwrap();
    image.xml = xml::as_other(&image.xml, &other).unwrap();
    image.write(&folder.join("a.save"), &folder.join("b.save")).unwrap();
    let memory = Path::new(INSIDE).join("b.save");
    let xml = connection.saved_xml("b", &memory, LIMIT).await.unwrap();
    connection.restore_domain("b", &memory, xml, false, LIMIT).await.unwrap();
    let states = connection.domains(LIMIT).await.unwrap();
    assert_eq!(
        states,
        [("a", DomainState::Running), ("b", DomainState::Running)].map(|(n, s)| (n.into(), s)).into()
    );
    let asked = std::time::Instant::now();
    let ask = async |request: serde_json::Value| loop {
        match connection.agent("b", request.to_string(), LIMIT).await {
            Ok(said) => break serde_json::from_str::<serde_json::Value>(&said).unwrap()["return"].clone(),
            Err(error) => assert!(asked.elapsed() < ANSWER, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let arg = [boot, "/proc/sys/kernel/random/boot_id"];
    let started = ask(json!({"execute": "guest-exec", "arguments": {"path": "grep", "arg": arg}})).await;
    let status = json!({"execute": "guest-exec-status", "arguments": {"pid": started["pid"]}});
    let ended = loop {
        let ended = ask(status.clone()).await;
        if ended["exited"] == true {
            break ended;
        }
        assert!(asked.elapsed() < ANSWER, "{ended}");
    };
    assert_eq!(ended["exitcode"], 0, "it is in another boot");
    connection.destroy_domain("b", LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_domain_does_as_it_is_told() {
    let ground = Ground::up(ONE).await;
    let (vm, domain, connection) = (ground.vm(), ground.domain(), &ground.connection);
    let state = async || connection.domain_state("a", LIMIT).await.unwrap();
    connection.suspend_domain("a", LIMIT).await.unwrap();
    assert_eq!(state().await, DomainState::Paused);
    connection.resume_domain("a", LIMIT).await.unwrap();
    assert_eq!(state().await, DomainState::Running);

    let found = connection.list_domains(LIMIT).await.unwrap();
    assert_eq!(found.iter().map(|f| (f.name.as_str(), &f.label)).collect::<Vec<_>>(), [("a", &None)]);
    let addresses = connection.domain_interfaces("a", AddressSource::Lease, LIMIT).await.unwrap();
    assert_eq!(addresses[0].addresses[0].0, vm.ip().unwrap());
    let six = vm.plan().nics[0].ip6.unwrap();
    let own = vm.succeed("ip -6 addr show dev eth0 scope global").await.unwrap();
    assert!(own.contains(&format!("inet6 {six}/64 ")) && !own.contains("tentative"), "{own}");
    let said = connection.monitor("a", "info status".into(), LIMIT).await.unwrap();
    assert!(said.contains("VM status: running"), "{said}");

    let carrier = |nic: &str| format!("cat /sys/class/net/{nic}/carrier");
    let first = &domain.nics[0];
    let second = DomainNic {
        mac: "54:52:00:00:00:99".parse().unwrap(),
        tap: "second".into(),
        link_up: false,
        ..first.clone()
    };
    connection.attach_device("a", xml::nic_xml(&second), LIMIT).await.unwrap();
    vm.wait_until_succeeds("ip link set eth1 up", ANSWER).await.unwrap();
    assert_eq!(vm.succeed(carrier("eth1").as_str()).await.unwrap().trim(), "0");
    let plugged = DomainNic { link_up: true, ..second };
    connection.update_device("a", xml::nic_xml(&plugged), LIMIT).await.unwrap();
    vm.wait_until_succeeds(format!("[ $({}) = 1 ]", carrier("eth1")).as_str(), ANSWER).await.unwrap();
    connection.detach_device("a", xml::nic_xml(&plugged), LIMIT).await.unwrap();
    vm.wait_until_succeeds("[ ! -e /sys/class/net/eth1 ]", ANSWER).await.unwrap();

    let boot = vm.succeed("cat /proc/sys/kernel/random/boot_id").await.unwrap();
    connection.reset_domain("a", LIMIT).await.unwrap();
    vm.restarted().await;
    vm.wait_for_ssh(ANSWER).await.unwrap();
    assert_ne!(vm.succeed("cat /proc/sys/kernel/random/boot_id").await.unwrap(), boot);
    // The guest heeds its power button.
    connection.shutdown_domain("a", LIMIT).await.unwrap();
    let pressed = std::time::Instant::now();
    while state().await != DomainState::Absent {
        assert!(pressed.elapsed() < ANSWER, "it is {:?}", state().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    connection.destroy_domain("a", LIMIT).await.unwrap();
    ground.env.down().await.unwrap();
}

/// Made, but never run: it is libvirt and the emulator that are asked.
#[tokio::test(flavor = "multi_thread")]
async fn libvirt_takes_machines_of_every_kind() {
    let ground = Ground::up(ONE).await;
    let (domain, connection) = (ground.domain(), &ground.connection);
    connection.destroy_domain("a", LIMIT).await.unwrap();
    let disk = |dev: &str, bus, access| DomainDisk {
        dev: dev.into(),
        bus,
        access,
        path: ground.overlay(&domain.disks[0].path, ImageFormat::Qcow2, "1G", &format!("{dev}.img")),
        format: ImageFormat::Qcow2,
        serial: format!("S{dev}"),
        boot_order: None,
    };
    let label = Label {
        prefix: "/home/o'hara/.polder/<x>".into(),
        uuid: "5f0c".into(),
        name: "a".into(),
        owner: Owner { pid: 7, started: 9, boot: "b".into(), host: "h".into() },
    };
    let mut on_q35 = DomainSpec {
        label: Some(label.clone()),
        boot: Boot::Bios,
        vcpus: 2,
        cpu: Cpu {
            model: CpuModel::Exact { name: "Westmere".into(), feature: None },
            topology: Some(Topology { sockets: 1, cores: 2, threads: 1 }),
            cells: 1,
        },
        oem_strings: Vec::new(),
        disks: vec![
            disk("vda", Bus::Virtio, Access::ReadWrite),
            disk("vdb", Bus::Virtio, Access::ReadOnly),
            disk("sda", Bus::Scsi, Access::ReadWrite),
            disk("hdc", Bus::Scsi, Access::Cdrom),
            disk("sdb", Bus::Sata, Access::ReadWrite),
            disk("sdd", Bus::Sata, Access::Cdrom),
        ],
        overlay: Some(
            xml::overlay("<domain><devices><rng polder='remove'/><input type='tablet' bus='virtio'/></devices></domain>")
                .unwrap(),
        ),
        ..domain.clone()
    };
    on_q35.disks[0].boot_order = Some(2);
    on_q35.disks[3].boot_order = Some(1);
    let custom = serde_json::json!({ "@mode": "custom", "model": "qemu64", "feature": { "@policy": "require", "@name": "pni" } });
    let mut on_pc = DomainSpec {
        machine_type: "pc".into(),
        boot: Boot::Bios,
        cpu: Cpu {
            model: CpuModel::Custom(Element::from_json("cpu", custom.as_object().unwrap()).unwrap()),
            topology: None,
            cells: 1,
        },
        disks: vec![disk("hda", Bus::Ide, Access::ReadWrite), disk("hdd", Bus::Ide, Access::Cdrom)],
        ..domain.clone()
    };
    on_pc.nics[0].model = "e1000".into();
    on_pc.nics[0].link_up = false;
    for (kind, spec, label, devices) in
        [("q35", &on_q35, Some(label), vec!["tablet", "Shdc"]), ("pc", &on_pc, None, vec!["e1000", "Shdd"])]
    {
        connection.create_domain_paused("a", xml::domain_xml(spec), LIMIT).await.unwrap();
        let found = connection.list_domains(LIMIT).await.unwrap();
        assert_eq!((found[0].state, &found[0].label), (DomainState::Paused, &label), "{kind}");
        let live = connection.domain_xml("a", LIMIT).await.unwrap();
        for device in devices {
            assert!(live.contains(device), "{kind}: {device}\n{live}");
        }
        assert_eq!(live.contains("<rng"), kind == "pc");
        connection.destroy_domain("a", LIMIT).await.unwrap();
    }
    ground.env.down().await.unwrap();
}
