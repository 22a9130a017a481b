//! Whole plans: from the text of an init file to what would be made, and why it cannot be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{EnvPlan, PlanErrors, PlanInputs, plan};
use crate::{
    image::{Abilities, Ability, ImageInfo},
    initfile::{self, EnvSpec, Options, Surroundings},
    lab::accel::Accel,
};

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
    let images = [
        image("tiny", "/cache/images/d1", &[Ability::Identity, Ability::Ssh]),
        image("dumb", "/cache/images/d2", &[Ability::Ssh]),
        image("stray", "/elsewhere/d3", &[Ability::Identity]),
    ];
    let images: BTreeMap<_, _> = images.into_iter().map(|image| (image.name.clone(), image)).collect();
    let spec = spec(text);
    let host_keys = spec.machines.iter().filter(|m| m.name.as_str() != "keyless");
    let host_keys = host_keys.map(|m| (m.name.clone(), format!("host-key-of-{}", m.name))).collect();
    let inputs = PlanInputs {
        images: &images,
        accel: Accel::Tcg,
        lab_env_dir: Path::new("/run/polder/env"),
        lab_store_dir: Path::new("/run/polder/store"),
        store_root: Path::new("/cache/images"),
        authorized_key: "ssh-ed25519 AAAA polder",
        host_keys: &host_keys,
    };
    plan(&spec, &inputs)
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

#[test]
fn everything_shown() {
    insta::assert_snapshot!(planned(EVERYTHING).unwrap(), @r"
    lab.yaml

    machine r1: tiny, 256 MiB, 2 vcpus, TCG
      eth0  192.168.200.2   54:52:c0:a8:c8:02  front (management): r1 r1-eth0 r1-front r1-front-0
      eth1  10.0.0.10       54:52:0a:00:00:0a  back: r1-back r1-back-0 r1-eth1
      vda   /run/polder/env/r1+root.qcow2, over /run/polder/store/d1/disk.qcow2 (qcow2)
      sda   /run/polder/env/r1+data.raw, 1 GiB, empty (raw)
      vdb   /run/polder/env/r1+log.qcow2, 2 GiB, empty (qcow2)
      vdc   /run/polder/env/r1+old.qcow2, over /run/polder/files/0-old__disk.raw (raw)
      hdc   /run/polder/files/1-tools.iso, read-only
      groups routers
      collects /var/log

    machine h1: tiny, 512 MiB, 1 vcpu, TCG
      eth0  192.168.200.3   54:52:c0:a8:c8:03  front (management): h1 h1-eth0 h1-front h1-front-0
      sda   /run/polder/env/h1+root.qcow2, over /run/polder/store/d1/disk.qcow2 (qcow2)
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
    insta::assert_snapshot!(plan.machines[0].domain.oem_strings.join("\n"), @r"
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
    assert_eq!(plan.machines[0].domain.kernel, Path::new("/run/polder/store/d1/vmlinuz"));
    assert_eq!(plan.machines[1].domain.cmdline, "console=ttyS0 root=/dev/sda");
}

#[test]
fn a_machine_without_nics_is_reached_by_no_address() {
    let plan = planned(
        "domains: {a: {disks: [{name: root, type: template, template_name: tiny, dev: vda, format: qcow2}]}}\n\
         nets: {lan: {}}",
    )
    .unwrap();
    assert_eq!(plan.machines[0].management_ip, None);
    insta::assert_snapshot!(plan.machines[0].domain.oem_strings.join("\n"), @r"
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
    let nics: Vec<_> = plan.machines[0].domain.oem_strings.iter().filter(|s| s.contains(".nic=")).collect();
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
    for disk in plan.machines.iter().flat_map(|m| &m.domain.disks) {
        assert!(disk.cdrom || !bound.contains(&disk.path), "{disk:?}");
    }
    let paths: Vec<_> = plan.machines.iter().flat_map(|m| &m.overlays).map(|o| &o.path).collect();
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
    lab.yaml: two NICs would have the DNS name `h-lan-0`, one of machine `h` and one of `h`
    lab.yaml:3:3: machine `a` has 64 MiB of memory, the image `tiny` needs 128
    lab.yaml:4:56: there is no image `tinny`; did you mean `tiny`?
    lab.yaml:5:56: there is no image `zzzzzzzzzzz`; there are debian12, dumb, minimal, stray, tiny
    lab.yaml:6:3: the first disk of machine `d` must be of type `template`: it is what the machine boots
    lab.yaml:7:3: the first disk of machine `e` must be of type `template`: it is what the machine boots
    lab.yaml:8:3: machine `f` cannot be made: image `dumb` does not have identity from SMBIOS
    the image `stray` is at /elsewhere/d3, outside the store
    there is no host key for machine `keyless`
    ");
}
