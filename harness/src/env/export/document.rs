//! The init file that goes with exported images: what was asked for, with images in place of templates. Pure.

use serde_json::{Map, Value, json};

use crate::{
    initfile::spec::{
        CpuSpec, DiskBus, DiskFormat, DiskSpec, Firmware, Ipv6Spec, LinkSpec, MachineSpec, NetKind, NetSpec,
        NicSpec, VlanSpec,
    },
    net::{PlannedNet, PlannedNic},
};

/// A machine as it goes out.
pub(super) struct MachineOut<'a> {
    pub(super) spec: &'a MachineSpec,
    /// Memory and processors as they were decided: an archive may have had them.
    pub(super) memory_mib: u32,
    pub(super) vcpus: u32,
    pub(super) disks: Vec<DiskOut<'a>>,
    /// The kernel it boots, when that is not on its disk.
    pub(super) kernel: Option<KernelOut>,
    /// Addresses to be written down, by NIC; empty: those that were asked for.
    pub(super) pinned: &'a [PlannedNic],
}

/// A disk as it goes out.
pub(super) struct DiskOut<'a> {
    pub(super) name: &'a str,
    pub(super) dev: &'a str,
    /// What was asked for; absent: it came with an archive.
    pub(super) spec: Option<&'a DiskSpec>,
    /// The file's name beside the init file.
    pub(super) file: String,
    /// The format of that file.
    pub(super) format: DiskFormat,
    pub(super) source: SourceOut,
    /// What is known about its contents.
    pub(super) metadata: Map<String, Value>,
}

/// How a disk is made from its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceOut {
    /// As an overlay on it.
    Overlay,
    /// From the file itself, or a copy of it.
    File {
        /// Whether it is a copy.
        copy: bool,
    },
}

/// A kernel as it goes out: names of files beside the init file.
pub(super) struct KernelOut {
    pub(super) kernel: String,
    pub(super) initrd: Option<String>,
    pub(super) cmdline: String,
}

/// A mapping whose entries are written only when they say something.
#[derive(Default)]
struct Entries(Map<String, Value>);

impl Entries {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn some<T: Into<Value>>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            self.put(key, values.to_vec());
        }
    }

    fn map(&mut self, key: &str, values: &Map<String, Value>) {
        if !values.is_empty() {
            self.put(key, values.clone());
        }
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// The content of the init file. `pinned` are nets whose addresses are written down, empty: as they were asked for.
pub(super) fn document(machines: &[MachineOut<'_>], nets: &[NetSpec], pinned: &[PlannedNet]) -> Value {
    let domains = machines.iter().map(|out| (out.spec.name.to_string(), machine(out)));
    let nets = nets.iter().map(|spec| {
        let decided = pinned.iter().find(|net| net.name == spec.name);
        (spec.name.to_string(), net(spec, decided))
    });
    json!({"domains": Map::from_iter(domains), "nets": Map::from_iter(nets)})
}

fn machine(out: &MachineOut<'_>) -> Value {
    let spec = out.spec;
    let mut e = Entries::default();
    e.some("vm-type", spec.vm_type.clone());
    e.some("vm-provider", spec.provider.clone());
    e.put("memory", out.memory_mib);
    e.put("vcpu", out.vcpus);
    cpu(&mut e, &spec.cpu);
    e.some("machine", spec.machine.clone());
    if spec.firmware == Firmware::Uefi {
        e.put("firmware", "uefi");
    }
    if let Some(out) = &out.kernel {
        e.put("kernel", beside(&out.kernel));
        e.some("initrd", out.initrd.as_deref().map(beside));
        e.put("cmdline", out.cmdline.clone());
    }
    if let Some(init) = &spec.cloud_init {
        let mut own = Entries::default();
        own.some("user-data", init.user_data.clone());
        own.some("meta-data", init.meta_data.clone());
        own.some("network-config", init.network_config.clone());
        e.put("cloud-init", own.done());
    }
    e.some("xml", spec.xml.clone());
    if spec.graphics {
        e.put("graphics", true);
    }
    let nics = spec.nics.iter().enumerate();
    let nics = nics.map(|(index, spec)| nic(spec, out.pinned.iter().find(|nic| nic.index == index)));
    e.put("nics", nics.collect::<Vec<_>>());
    e.put("disks", out.disks.iter().map(disk).collect::<Vec<_>>());
    e.map("metadata", &spec.metadata);
    e.list("artifacts", &spec.artifacts);
    e.list("groups", &spec.groups);
    e.list("roles", &spec.roles);
    e.list("capabilities", &spec.capabilities);
    if !spec.bootstrap {
        e.put("bootstrap", false);
    }
    e.some("distro", spec.distro.clone());
    e.some("root-password", spec.root_password.clone());
    e.some("ssh-user", spec.ssh_user.clone());
    e.some("ssh-password", spec.ssh_password.clone());
    e.some("ssh-address", spec.ssh_address.map(|ip| ip.to_string()));
    e.some("ssh-port", spec.ssh_port);
    e.some("ssh-key", spec.ssh_key.as_ref().map(|path| path.to_string_lossy().into_owned()));
    e.some("ssh-host-key", spec.ssh_host_key.clone());
    e.some("ssh-jump", spec.ssh_jump.clone());
    e.some("boot_time_sec", spec.boot_time.map(|time| time.as_secs()));
    e.some("service_provider", spec.service_provider.clone());
    e.some("guest-agent", spec.guest_agent.clone());
    e.done()
}

fn cpu(e: &mut Entries, cpu: &CpuSpec) {
    e.some("cpu_model", cpu.model.clone());
    e.some("cpu_custom", cpu.custom.clone());
    if let Some(t) = cpu.topology {
        e.put("cpu_topology", json!({"sockets": t.sockets, "cores": t.cores, "threads": t.threads}));
    }
}

fn disk(out: &DiskOut<'_>) -> Value {
    let spec = out.spec;
    let mut e = Entries::default();
    e.put("name", out.name);
    match out.source {
        SourceOut::Overlay => {
            e.put("type", "template");
            e.put("template_type", "qcow2");
        }
        SourceOut::File { copy } => {
            e.put("type", "file");
            if copy {
                e.put("make_a_copy", true);
            }
        }
    }
    e.put("path", beside(&out.file));
    e.put("dev", out.dev);
    e.put("format", format(out.format));
    e.some("bus", spec.and_then(|spec| spec.bus).map(bus));
    e.some("serial", spec.and_then(|spec| spec.serial.clone()));
    e.some("boot", spec.and_then(|spec| spec.boot));
    e.map("metadata", &out.metadata);
    e.done()
}

fn nic(spec: &NicSpec, pinned: Option<&PlannedNic>) -> Value {
    let mut e = Entries::default();
    e.put("net", spec.net.to_string());
    e.some("ip", pinned.and_then(|nic| nic.ip).or(spec.ip).map(|ip| ip.to_string()));
    e.some("ip6", pinned.and_then(|nic| nic.ip6).or(spec.ip6).map(|ip| ip.to_string()));
    e.some("mac", pinned.map(|nic| nic.mac).or(spec.mac).map(|mac| mac.to_string()));
    e.some("model", spec.model.clone());
    e.some("mtu", spec.mtu);
    e.some(
        "vlan",
        spec.vlan.as_ref().map(|vlan| match vlan {
            VlanSpec::Access(id) => json!(id),
            VlanSpec::Trunk(ids) => json!(ids),
        }),
    );
    if spec.link != LinkSpec::default() {
        e.put("link", link(&spec.link));
    }
    e.some("dns", spec.dns.clone());
    e.done()
}

fn link(link: &LinkSpec) -> Value {
    let mut e = Entries::default();
    if !link.up {
        e.put("up", false);
    }
    for (key, value) in [("delay_ms", link.delay_ms), ("jitter_ms", link.jitter_ms)] {
        e.some(key, Some(value).filter(|value| *value > 0));
    }
    for (key, value) in [
        ("loss_percent", link.loss_percent),
        ("duplicate_percent", link.duplicate_percent),
        ("corrupt_percent", link.corrupt_percent),
    ] {
        e.some(key, Some(value).filter(|value| *value > 0.0));
    }
    e.some("rate_kbit", link.rate_kbit);
    e.done()
}

fn net(spec: &NetSpec, pinned: Option<&PlannedNet>) -> Value {
    let mut e = Entries::default();
    e.put(
        "type",
        match spec.kind {
            NetKind::Nat => "nat",
            NetKind::Isolated => "isolated",
            NetKind::Bridge => "bridge",
        },
    );
    if spec.management {
        e.put("management", true);
    }
    if spec.internet {
        e.put("internet", true);
    }
    if !spec.ipv4 {
        e.put("ipv4", false);
    }
    let asked = spec.gateway.map(|gateway| (gateway, spec.prefix_len));
    let gateway = pinned.and_then(|net| net.gateway.map(|gateway| (gateway, net.prefix))).or(asked);
    e.some(
        "gw",
        gateway.map(|(gateway, len)| match len {
            24 => gateway.to_string(),
            len => format!("{gateway}/{len}"),
        }),
    );
    match (pinned.and_then(|net| net.gateway6), spec.ipv6) {
        (Some((gateway, len)), _) => e.put("ipv6", format!("{gateway}/{len}")),
        (None, Ipv6Spec::Off) => {}
        (None, Ipv6Spec::Auto) => e.put("ipv6", true),
        (None, Ipv6Spec::Given(net)) => e.put("ipv6", format!("{}/{}", net.gateway, net.prefix_len)),
    }
    e.some("dhcp", spec.dhcp.map(|range| json!({"start": range.start, "end": range.end})));
    e.some("dns_domain_name", spec.dns_domain.clone());
    let records = spec.dns_records.iter().map(|(name, ip)| (name.clone(), json!(ip.to_string())));
    e.map("dns_records", &records.collect());
    if spec.main_dns {
        e.put("main_dns", true);
    }
    e.some("dns_forward", spec.dns_forward.map(|ip| ip.to_string()));
    e.some("mtu", spec.mtu);
    e.done()
}

/// A path that leads to a file beside the init file, for Lago, too.
fn beside(file: &str) -> String {
    format!("$LAGO_INITFILE_PATH/{file}")
}

fn format(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Raw => "raw",
        DiskFormat::Iso => "iso",
    }
}

fn bus(bus: DiskBus) -> &'static str {
    match bus {
        DiskBus::Virtio => "virtio",
        DiskBus::Scsi => "scsi",
        DiskBus::Sata => "sata",
        DiskBus::Ide => "ide",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::initfile::{EnvSpec, Options, load_text, spec::DiskSource};

    const ALL: &str = r##"
domains:
  web:
    memory: 256
    cpu_custom: {"@mode": custom, "@match": exact, model: {"#text": Westmere, "@fallback": forbid}, feature: [{"@name": vmx}]}
    cpu_topology: {sockets: 2, cores: 2}
    machine: q35
    cloud-init: {user-data: "#cloud-config\nhostname: $x\n", network-config: {version: 2}}
    xml: "<domain><title>yes</title></domain>"
    nics:
      - {net: front, ip: 10.1.2.3, mac: "52:54:00:00:00:01", model: e1000, mtu: 1400, dns: [www]}
      - {net: back, vlan: [3, 4], link: {up: false, delay_ms: 5, loss_percent: 0.5, rate_kbit: 100}, dns: []}
      - {net: six, ip6: "fd00:1::5", vlan: 7}
    disks:
      - {name: root, type: template, template_name: t, dev: sda, format: qcow2, bus: sata, serial: a b, boot: 2, metadata: {distro: el7}}
      - {name: "no", type: empty, size: 1G, dev: vdb, format: raw}
    metadata: {on: "yes", list: [1, "1", null, 1.5], "null": "~"}
    artifacts: [/var/log/x y]
    groups: [a, "1"]
    bootstrap: false
    distro: el7
    root-password: "0123"
    ssh-user: joe
    ssh-password: "on"
    boot_time_sec: 30
    service_provider: systemd
    guest-agent: qemu-ga
    vm-type: router
    vm-provider: local-libvirt
    roles: [edge]
    capabilities: [bgp]
    ssh-address: 10.1.2.3
    ssh-port: 2222
    ssh-key: x
    ssh-host-key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    ssh-jump: db
  db: {firmware: uefi, graphics: true, cpu_model: Westmere, vcpu: 3, disks: [{name: cd, type: file, path: $LAGO_INITFILE_PATH/x, dev: sda, format: iso}]}
nets:
  front: {type: nat, internet: true, gw: 10.1.2.1/20, management: true, dhcp: {start: 5, end: 9}, dns_domain_name: d.test, dns_records: {a.b: 10.1.2.9}, main_dns: true, dns_forward: 9.9.9.9, mtu: 1450}
  back: {type: isolated, ipv6: true}
  six: {type: isolated, ipv4: false, ipv6: "fd00:1::1/64"}
  wire: {type: bridge}
"##;

    fn load(folder: &Path, text: &str) -> EnvSpec {
        let loaded = load_text(&folder.join("LagoInitFile"), text, &Options::new(&|_| None));
        loaded.unwrap_or_else(|error| panic!("{}\n{error}", text)).spec
    }

    fn written(spec: &EnvSpec, pins: (&[PlannedNic], &[PlannedNet])) -> Value {
        let machines: Vec<MachineOut<'_>> = spec
            .machines
            .iter()
            .map(|machine| MachineOut {
                spec: machine,
                memory_mib: machine.memory_mib,
                vcpus: machine.vcpus,
                disks: machine
                    .disks
                    .iter()
                    .map(|disk| DiskOut {
                        name: disk.name.as_str(),
                        dev: &disk.dev,
                        spec: Some(disk),
                        file: "x".into(),
                        format: disk.format,
                        source: match disk.source {
                            DiskSource::Template { .. } | DiskSource::Qcow2 { .. } => SourceOut::Overlay,
                            DiskSource::Empty { .. } => SourceOut::File { copy: true },
                            DiskSource::File { copy, .. } => SourceOut::File { copy },
                        },
                        metadata: disk.metadata.clone(),
                    })
                    .collect(),
                kernel: None,
                pinned: pins.0,
            })
            .collect();
        document(&machines, &spec.nets, pins.1)
    }

    /// Places differ, of course.
    fn without_places(spec: &EnvSpec) -> String {
        let mut value = serde_json::to_value(spec).unwrap();
        fn strip(value: &mut Value) {
            match value {
                Value::Object(map) => {
                    map.remove("at");
                    map.remove("origin");
                    map.remove("places");
                    map.values_mut().for_each(strip);
                }
                Value::Array(list) => list.iter_mut().for_each(strip),
                _ => {}
            }
        }
        strip(&mut value);
        format!("{value:#}")
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        let first = load(dir.path(), ALL);
        let once = written(&first, (&[], &[]));
        // Once the disks come from files, nothing changes any more, in YAML and in JSON.
        let yaml = yaml_serde::to_string(&once).unwrap();
        let second = load(dir.path(), &yaml);
        assert_eq!(load(dir.path(), &once.to_string()).machines.len(), 2);
        assert_eq!(
            without_places(&load(dir.path(), &format!("{once:#}"))),
            without_places(&second),
            "{yaml}"
        );
        assert_eq!(written(&second, (&[], &[])), once, "{yaml}");
        // And all but the disks' sources is as it was.
        let mut as_first = second.clone();
        for (machine, before) in as_first.machines.iter_mut().zip(&first.machines) {
            for (disk, before) in machine.disks.iter_mut().zip(&before.disks) {
                disk.source = before.source.clone();
            }
        }
        pretty_assert(&without_places(&as_first), &without_places(&first));
    }

    /// Keys of machines that are written of what was made of them, or that an export has no use for.
    const OTHERWISE: [&str; 8] =
        ["kernel", "initrd", "cmdline", "skip-export", "based-on", "type", "url", "comment"];

    #[test]
    fn no_key_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        let out = written(&load(dir.path(), ALL), (&[], &[]));
        let schema = crate::initfile::schema();
        for (group, of, otherwise) in [("domains", "domain", &OTHERWISE[..]), ("nets", "net", &["comment"])] {
            let known = schema["$defs"][of]["properties"].as_object().unwrap();
            let known =
                known.iter().filter(|(_, about)| about["deprecated"] != true).map(|(key, _)| key.as_str());
            let is_written =
                |key: &&str| out[group].as_object().unwrap().values().any(|one| one.get(*key).is_some());
            let forgotten: Vec<_> =
                known.filter(|key| !otherwise.contains(key) && !is_written(key)).collect();
            assert!(
                forgotten.is_empty(),
                "of {group}, an export does not say {forgotten:?}; or `ALL` in this test does not"
            );
        }
    }

    fn pretty_assert(found: &str, expected: &str) {
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.len(), expected.len());
    }
}
