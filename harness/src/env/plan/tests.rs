//! Whole plans: from the text of an init file to what would be made, and why it cannot be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use super::{EnvPlan, IdentityFrom, Made, PlanErrors, PlanInputs, plan};
use crate::{
    base::owner::Owner,
    image::{Abilities, Ability, ImageInfo},
    initfile::{
        self, EnvSpec, Options, Surroundings,
        spec::{
            CloudInit, DiskBus, DiskFormat, DiskSource, DiskSpec, Firmware, KernelBoot, MachineSpec, Topology,
        },
    },
    lab::{View, accel::Accel},
    net::Scope,
    provider::{
        Ssh,
        libvirt::Cpus,
        spec::{Access, Boot, Bus, CpuModel, DomainSpec, Label, Screen},
    },
    template::{TemplateDisk, TemplateId},
};

mod hardware;
mod moved;
mod said;

fn spec(text: &str) -> EnvSpec {
    let surroundings = Surroundings {
        options: Options::new(&|_| None),
        folder: Path::new("/lab"),
        check_file: &|_| Ok(()),
        read_file: &|_| Ok(String::new()),
    };
    initfile::parse(Path::new("lab.yaml"), text, &surroundings).unwrap().spec
}

fn image(name: &str, dir: &str, abilities: &[Ability]) -> ImageInfo {
    ImageInfo {
        name: name.to_owned(),
        digest: "d1".to_owned(),
        dir: dir.into(),
        disk: "disk.qcow2".into(),
        disk_size: 1 << 30,
        kernel: "vmlinuz".into(),
        initrd: "initrd".into(),
        cmdline: "console=ttyS0".to_owned(),
        min_memory_mib: 128,
        abilities: Abilities(abilities.iter().copied().collect()),
    }
}

fn planned(text: &str) -> Result<EnvPlan, PlanErrors> {
    planned_with(text, |_| {}, |inputs| plan(inputs.0, inputs.1))
}

/// Plans what `text` says, changed by `change`, with everything there might be; `then` may change that.
fn planned_with<T>(
    text: &str,
    change: impl FnOnce(&mut EnvSpec),
    then: impl FnOnce((&EnvSpec, &PlanInputs<'_>)) -> T,
) -> T {
    let images = [
        image("tiny", "/cache/images/d1", &[Ability::Identity, Ability::Ssh]),
        image("dumb", "/cache/images/d2", &[Ability::Ssh]),
        image("stray", "/elsewhere/d3", &[Ability::Identity]),
    ];
    let images: BTreeMap<_, _> = images.into_iter().map(|image| (image.name.clone(), image)).collect();
    let mut spec = spec(text);
    change(&mut spec);
    let host_keys = spec.machines.iter().filter(|m| m.name.as_str() != "keyless");
    let host_keys = host_keys.map(|m| (m.name.clone(), format!("host-key-of-{}", m.name))).collect();
    let template = |path: &str, version: &str| TemplateDisk {
        id: TemplateId { repo: "r".to_owned(), template: "el8".to_owned(), version: version.to_owned() },
        path: path.into(),
        format: "raw".to_owned(),
        size: 1 << 30,
        metadata: serde_json::from_str(r#"{"distro": "el8"}"#).unwrap(),
        digest: String::new(),
    };
    let el8 = |version: Option<&str>| ("el8".to_owned(), version.map(str::to_owned));
    let templates = BTreeMap::from([
        (el8(None), template("/cache/templates/r:el8:v2", "v2")),
        (el8(Some("v1")), template("/mirror/el8-v1.raw", "v1")),
    ]);
    let url = "http://example/tools.iso".to_owned();
    let model = |name: &str, vendor: &str| (name.to_owned(), Some(vendor.to_owned()));
    let inputs = PlanInputs {
        view: &View::hermetic(),
        accel: Accel::Tcg,
        cpus: &Cpus {
            models: BTreeMap::from([model("Westmere", "Intel"), model("EPYC", "AMD")]),
            host: Some(("Intel".to_owned(), "vmx".to_owned())),
        },
        uuid: "5f0cab12cd34ef560123456789abcdef",
        scope: &Scope::hermetic(),
        owner: None,
        images: &images,
        image_store: Path::new("/cache/images"),
        templates: &templates,
        template_store: Path::new("/cache/templates"),
        template_names: &["el8".to_owned(), "el9".to_owned()],
        downloads: &BTreeMap::from([(url, "/cache/downloads/tools.iso".into())]),
        backing: &BTreeMap::from([(
            "/lab/layer.qcow2".into(),
            vec!["/lab/base.raw".into(), "/var/lib/x".into()],
        )]),
        found: &BTreeMap::new(),
        prints: &BTreeMap::new(),
        authorized_key: "ssh-ed25519 AAAA polder",
        host_keys: &host_keys,
        vm_types: &["default", "engine"],
        service_managers: &["systemd", "sysvinit", "systemdcontainer"],
        providers: &[Arc::new(Ssh)],
    };
    then((&spec, &inputs))
}

const EVERYTHING: &str = "
domains:
  r1:
    memory: 256
    vcpu: 2
    nics: [{net: front}, {net: back, ip: 10.0.0.10}]
    disks:
      - {name: root, type: template, template_name: tiny, dev: vda, format: qcow2}
      - {name: data, type: empty, size: 1G, dev: sda, format: raw}
      - {name: log, type: empty, size: 2G, dev: vdb, format: qcow2}
      - {name: old, type: file, path: 'old, disk.raw', dev: vdc, format: raw}
      - {name: tools, type: file, path: tools.iso, dev: hdc, format: iso}
    artifacts: [/var/log]
    groups: [routers]
    metadata: {a: 1}
  h1:
    nics: [{net: front}]
    disks:
      - {name: root, type: template, template_name: tiny, dev: sda, format: qcow2}
      - {name: tools, type: file, path: tools.iso, dev: sdb, format: iso}
nets:
  front: {management: true, dhcp: {start: 100, end: 199}, dns_domain_name: suite.test}
  back: {type: isolated, gw: 10.0.0.254, mtu: 9000}
";

fn domain(plan: &EnvPlan, nth: usize) -> &DomainSpec {
    plan.machines[nth].domain.as_ref().unwrap()
}

#[test]
fn everything_shown() {
    insta::assert_snapshot!(planned(EVERYTHING).unwrap(), @r"
    lab.yaml

    machine r1: tiny, 256 MiB, 2 vcpus, TCG
      eth0  192.168.200.2   54:52:c0:a8:c8:02  front (management): r1 r1-eth0 r1-front r1-front-0
      eth1  10.0.0.10       54:52:0a:00:00:0a  back: r1-back r1-back-0 r1-eth1
      vda   /run/polder/env/images/r1+root.qcow2, over /run/polder/store/d1/disk.qcow2 (qcow2)
      sda   /run/polder/env/images/r1+data.raw, 1 GiB, empty (raw)
      vdb   /run/polder/env/images/r1+log.qcow2, 2 GiB, empty (qcow2)
      vdc   /run/polder/env/images/r1+old.qcow2, over /run/polder/files/0-old__disk.raw (raw)
      hdc   /run/polder/files/1-tools.iso, read-only
      groups routers
      collects /var/log

    machine h1: tiny, 512 MiB, 2 vcpus, TCG
      eth0  192.168.200.3   54:52:c0:a8:c8:03  front (management): h1 h1-eth0 h1-front h1-front-0
      sda   /run/polder/env/images/h1+root.qcow2, over /run/polder/store/d1/disk.qcow2 (qcow2)
      sdb   /run/polder/files/1-tools.iso, read-only

    net front (management): nat, gateway 192.168.200.1/24 on pd-2d8d693177ac, DHCP 192.168.200.100 to 192.168.200.199, DNS suite.test
    net back: isolated, gateway 10.0.0.254/24 on pd-3c482346f375, no DHCP, MTU 9000
    file /lab/old, disk.raw (in the lab /run/polder/files/0-old__disk.raw)
    file /lab/tools.iso (in the lab /run/polder/files/1-tools.iso)
    ");
}

#[test]
fn a_machine_gets_its_identity_from_its_nets() {
    let plan = planned(EVERYTHING).unwrap();
    insta::assert_snapshot!(domain(&plan, 0).oem_strings.join("\n"), @r"
    polder.identity=1
    polder.host=r1
    polder.key=ssh-ed25519 AAAA polder
    polder.hostkey=host-key-of-r1
    polder.nic=54:52:c0:a8:c8:02,dhcp,,,
    polder.nic=54:52:0a:00:00:0a,static,10.0.0.10/24,,9000
    polder.dns=192.168.200.1
    polder.search=suite.test
    ");
    assert_eq!(plan.machines[0].management_ip.unwrap().to_string(), "192.168.200.2");
    let boot = |nth| match &domain(&plan, nth).boot {
        Boot::Kernel { kernel, cmdline, .. } => format!("{} {cmdline}", kernel.display()),
        other => panic!("{other:?}"),
    };
    let kernel =
        "/run/polder/store/d1/vmlinuz console=ttyS0 sysrq_always_enabled unknown_nmi_panic tsc=unstable";
    assert_eq!(boot(0), format!("{kernel} root=/dev/vda"));
    assert_eq!(boot(1), format!("{kernel} root=/dev/sda"));
    assert_eq!(plan.machines[0].identity, IdentityFrom::Smbios);
}

#[test]
fn a_machine_without_nics_is_reached_by_no_address() {
    let plan = planned(
        "domains: {a: {disks: [{name: root, type: template, template_name: tiny, dev: vda, format: qcow2}]}}\n\
         nets: {lan: {}}",
    )
    .unwrap();
    assert_eq!(plan.machines[0].management_ip, None);
    insta::assert_snapshot!(domain(&plan, 0).oem_strings.join("\n"), @r"
    polder.identity=1
    polder.host=a
    polder.key=ssh-ed25519 AAAA polder
    polder.hostkey=host-key-of-a
    ");
}

#[test]
fn static_addresses_lead_out_through_the_management_net_alone() {
    let plan = planned(
        "domains: {a: {nics: [{net: m}, {net: n}], disks: [{name: root, type: template, template_name: tiny, dev: vda, format: qcow2}]}}\n\
         nets: {m: {}, n: {}}",
    )
    .unwrap();
    let nics: Vec<_> = domain(&plan, 0).oem_strings.iter().filter(|s| s.contains(".nic=")).collect();
    insta::assert_snapshot!(format!("{nics:#?}"), @r#"
    [
        "polder.nic=54:52:c0:a8:c8:02,static,192.168.200.2/24,192.168.200.1,",
        "polder.nic=54:52:c0:a8:c9:02,static,192.168.201.2/24,,",
    ]
    "#);
}

#[test]
fn files_of_the_host_are_never_written_to() {
    let plan = planned(EVERYTHING).unwrap();
    assert!(plan.binds.iter().all(|bind| !bind.writable));
    assert_eq!(plan.binds.len(), 2, "one bind for a file used twice");
    let bound: BTreeSet<_> = plan.binds.iter().map(|bind| &bind.to).collect();
    for disk in plan.machines.iter().flat_map(|m| &m.domain.as_ref().unwrap().disks) {
        assert!(disk.access != Access::ReadWrite || !bound.contains(&disk.path), "{disk:?}");
    }
    let disks = plan.machines.iter().flat_map(|m| &m.disks);
    let paths: Vec<_> = disks.filter_map(|disk| Some(&disk.image.as_ref()?.path)).collect();
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len(), "{paths:?}");
}

#[test]
fn a_plan_is_the_same_every_time_and_survives_being_written_down() {
    let plan = planned(EVERYTHING).unwrap();
    assert_eq!(plan, planned(EVERYTHING).unwrap());
    let read: EnvPlan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(read, plan);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let errors = planned(
        "
domains:
  a: {memory: 64, disks: [{name: r, type: template, template_name: tiny, dev: vda, format: qcow2}]}
  b: {disks: [{name: r, type: template, template_name: tinny, dev: vda, format: qcow2}]}
  c: {disks: [{name: r, type: template, template_name: zzzzzzzzzzz, dev: vda, format: qcow2}]}
  d: {disks: []}
  e: {disks: [{name: r, type: empty, size: 1G, dev: vda, format: raw}]}
  f: {disks: [{name: r, type: template, template_name: dumb, dev: vda, format: qcow2}]}
  g: {disks: [{name: r, type: template, template_name: stray, dev: vda, format: qcow2}]}
  keyless: {disks: [{name: r, type: template, template_name: tiny, dev: vda, format: qcow2}]}
  h: {nics: [{net: lan}, {net: lan-0}], disks: [{name: r, type: template, template_name: tiny, dev: vda, format: qcow2}]}
nets: {lan: {management: true}, lan-0: {}}
",
    );
    insta::assert_snapshot!(errors.unwrap_err(), @r"
    lab.yaml:11:3: two NICs would have the DNS name `h-lan-0`, one of machine `h` and one of `h`
    lab.yaml:3:15: machine `a` has 64 MiB of memory, the image `tiny` needs 128
    lab.yaml:4:56: there is no image `tinny`; did you mean `tiny`?
    lab.yaml:5:56: there is no image `zzzzzzzzzzz`; there are debian12, dumb, el8, el9, minimal, stray, tiny
    lab.yaml:6:3: machine `d` has nothing to boot: give it a disk that is not empty, or a `kernel`
    lab.yaml:7:3: machine `e` has nothing to boot: give it a disk that is not empty, or a `kernel`
    lab.yaml:8:3: machine `f` cannot be made: image `dumb` does not have identity from SMBIOS
    the image `stray` is at /elsewhere/d3, outside the store
    there is no host key for machine `keyless`
    ");
}

const ONE: &str = "
domains:
  a:
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: el8, dev: vda, format: qcow2}]
nets: {lan: {management: true}}
";

/// What the plan shows of the one machine, or why there is none.
fn shown(change: impl FnOnce(&mut EnvSpec)) -> String {
    match planned_with(ONE, change, |(spec, inputs)| plan(spec, inputs)) {
        Ok(plan) => {
            let text = plan.to_string();
            let of = |begin: &str| {
                text.lines().filter(|line| line.starts_with(begin)).collect::<Vec<_>>().join("\n")
            };
            format!("{}\n{}\n{}", of("machine"), of("  "), of("file"))
        }
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_foreign_image_boots_by_itself_and_asks_cloud_init() {
    insta::assert_snapshot!(shown(|_| {}), @r"
    machine a: el8, 512 MiB, 2 vcpus, TCG
      boots from disk
      eth0  192.168.200.2   54:52:c0:a8:c8:02  lan (management): a a-eth0 a-lan a-lan-0
      vda   /run/polder/env/images/a+root.qcow2, over /run/polder/templates/r:el8:v2 (raw)
      vdb   /run/polder/env/images/a+.seed.raw, for cloud-init, read-only
    ");
    let plan = planned(ONE).unwrap();
    let machine = &plan.machines[0];
    assert_eq!((machine.identity, machine.distro.as_deref()), (IdentityFrom::CloudInit, Some("el8")));
    assert_eq!(machine.disks[0].template, Some(("el8".to_owned(), Some("v2".to_owned()))));
    assert!(domain(&plan, 0).oem_strings.is_empty() && domain(&plan, 0).boot == Boot::Bios);
    let Made::Seed(seed) = &machine.disks[1].image.as_ref().unwrap().made else {
        panic!("{:?}", machine.disks)
    };
    assert!(seed.meta_data.contains("instance-id: 5f0cab12cd34ef560123456789abcdef-a\n"), "{seed:?}");
    assert!(seed.network_config.contains("192.168.200.2/24"), "no DHCP: {seed:?}");
    assert!(seed.user_data.contains("ssh-ed25519 AAAA polder") && seed.user_data.contains("host-key-of-a"));
    assert_eq!(domain(&plan, 0).disks[1].access, Access::ReadOnly);
}

#[test]
fn people_decide_what_cloud_init_is_told() {
    let asked = CloudInit {
        user_data: Some("#!/bin/sh\n".to_owned()),
        meta_data: Some("role: db\n".to_owned()),
        network_config: Some("version: 1\n".to_owned()),
    };
    let change = |spec: &mut EnvSpec| {
        spec.machines[0].cloud_init = Some(asked);
        spec.machines[0].root_password = Some("secret".to_owned());
        // Asked for by name, it is given also to machines that need none.
        spec.machines[0].bootstrap = false;
    };
    let plan = planned_with(ONE, change, |(spec, inputs)| plan(spec, inputs)).unwrap();
    let Made::Seed(seed) = &plan.machines[0].disks[1].image.as_ref().unwrap().made else { panic!() };
    assert!(seed.user_data.contains("#!/bin/sh") && seed.user_data.contains("root:$6$"), "{seed:?}");
    assert!(seed.meta_data.ends_with("role: db\n") && seed.network_config == "version: 1\n");
}

#[test]
fn a_machine_nobody_prepares_gets_no_seed() {
    let change = |spec: &mut EnvSpec| spec.machines[0].bootstrap = false;
    let plan = planned_with(ONE, change, |(spec, inputs)| plan(spec, inputs)).unwrap();
    assert_eq!((plan.machines[0].identity, plan.machines[0].disks.len()), (IdentityFrom::Itself, 1));
}

#[test]
fn names_are_distinct_where_others_are() {
    let owner = Label {
        prefix: "/w/.polder/default".into(),
        uuid: "5f0cab12cd34ef560123456789abcdef".into(),
        name: String::new(),
        owner: Owner { pid: 7, started: 9, boot: "b".into(), host: "h".into() },
    };
    let view = View::host(
        Path::new("/w/.polder/default"),
        Path::new("/cache/images"),
        Path::new("/cache/templates"),
        Path::new("/cache/checkpoints"),
    );
    let there = |uuid: &str| {
        planned_with(
            ONE,
            |spec| spec.machines[0].graphics = true,
            |(spec, inputs)| {
                let scope = Scope { uuid: Some(uuid.to_owned()), ..Scope::hermetic() };
                plan(spec, &PlanInputs { owner: Some(&owner), view: &view, scope: &scope, uuid, ..*inputs })
            },
        )
        .unwrap()
    };
    let (one, other) = (there("5f0cab12cd34ef560123456789abcdef"), there("00112233445566778899aabbccddeeff"));
    let (one, other) = (domain(&one, 0), domain(&other, 0));
    assert_eq!((one.name.as_str(), other.name.as_str()), ("5f0cab12-a", "00112233-a"));
    assert_ne!(one.uuid, other.uuid);
    assert_eq!(one.label, Some(Label { name: "a".into(), ..owner.clone() }));
    assert_eq!(one.disks[0].path, Path::new("/w/.polder/default/images/a+root.qcow2"));
    assert_eq!(one.console, Path::new("/w/.polder/default/consoles/a.log"));
    assert_eq!(one.screen, Some(Screen::Anywhere));
    let alone = planned(ONE).unwrap();
    assert_eq!((domain(&alone, 0).name.as_str(), &domain(&alone, 0).label), ("a", &None));
}

#[test]
fn a_machine_that_is_there_anyway_is_only_reached() {
    let change = |spec: &mut EnvSpec| {
        spec.machines[0].provider = Some("ssh".to_owned());
        spec.machines[0].ssh_user = Some("tester".to_owned());
        spec.machines[0].nics[0].ip = Some([192, 168, 200, 99].into());
        spec.machines[0].disks.clear();
    };
    insta::assert_snapshot!(shown(change), @r"
    machine a: ssh as tester at 192.168.200.99
      eth0  192.168.200.99  54:52:c0:a8:c8:63  lan (management): a a-eth0 a-lan a-lan-0
    ");
    let plan = planned_with(ONE, change, |(spec, inputs)| plan(spec, inputs)).unwrap();
    let order = plan.machines[0].order.as_ref().unwrap();
    assert_eq!((order.id.as_str(), order.address), ("5f0cab12-a", "192.168.200.99".parse().ok()));
    assert!(plan.machines[0].domain.is_none());
}

#[rstest::rstest]
#[case::vm_type(|m: &mut MachineSpec| m.vm_type = Some("engin".into()), "lab.yaml:3:3: there is no vm-type `engin`; did you mean `engine`?")]
#[case::provider(|m: &mut MachineSpec| m.provider = Some("zzzzzz".into()), "lab.yaml:3:3: there is no vm-provider `zzzzzz`; there are local-libvirt, ssh")]
#[case::manager(|m: &mut MachineSpec| m.service_provider = Some("sytemd".into()), "lab.yaml:3:3: there is no service_provider `sytemd`; did you mean `systemd`?")]
#[case::driver(|m: &mut MachineSpec| { m.disks[0].bus = Some(DiskBus::Sata); m.disks[0].source = DiskSource::Template { name: "tiny".into(), version: None } },
    "lab.yaml:5:57: the image `tiny` of machine `a` has no driver for the bus `sata`; use `virtio` or `scsi`")]
#[case::version(|m: &mut MachineSpec| m.disks[0].source = DiskSource::Template { name: "el8".into(), version: Some("v9".into()) },
    "lab.yaml:5:57: there is no template `el8, version v9`; `polder templates list` shows which there are")]
#[case::cpu_model(|m: &mut MachineSpec| m.cpu.model = Some("Westmer".into()), "lab.yaml:3:3: there is no CPU model `Westmer`; did you mean `Westmere`?")]
#[case::cpu(|m: &mut MachineSpec| m.cpu.custom = Some(serde_json::from_str(r#"{"@a": []}"#).unwrap()),
    "lab.yaml:3:3: the CPU of machine `a` cannot be made: `@a` must be a plain value, not a list or map")]
#[case::xml(|m: &mut MachineSpec| m.xml = Some("<domain>\n<a></domain>".into()),
    "lab.yaml:3:3: the XML of machine `a` cannot be laid over ours: line 2: ill-formed document: expected `</a>`, but `</domain>` was found")]
#[case::ide(|m: &mut MachineSpec| m.disks[0].bus = Some(DiskBus::Ide),
    "lab.yaml:5:57: a machine of type `q35` has no bus `ide` for the disk `root`; set `machine: pc`, or `bus: sata`")]
#[case::url(|m: &mut MachineSpec| m.disks[0].source = DiskSource::File { path: None, url: Some("http://example/x".into()), copy: false },
    "lab.yaml:5:57: the file of the disk `root` has not been downloaded")]
#[case::nothing(|m: &mut MachineSpec| m.disks.clear(),
    "lab.yaml:3:3: machine `a` has nothing to boot: give it a disk that is not empty, or a `kernel`")]
#[case::uefi(|m: &mut MachineSpec| { m.firmware = Firmware::Uefi; m.disks[0].source = DiskSource::Template { name: "tiny".into(), version: None } },
    "lab.yaml:3:3: machine `a` asks for UEFI, but the image `tiny` has no boot loader: its kernel is started directly")]
#[case::reached(|m: &mut MachineSpec| m.provider = Some("ssh".into()),
    "lab.yaml:3:3: machine `a` cannot be had of the vm-provider `ssh`: it cannot have disks of ours\nlab.yaml:3:3: machine `a` cannot be had of the vm-provider `ssh`: say its `ssh-address`, or the `ip` of one of its NICs")]
fn what_cannot_be_is_said(#[case] change: fn(&mut MachineSpec), #[case] expected: &str) {
    assert_eq!(shown(|spec| change(&mut spec.machines[0])), expected);
}
