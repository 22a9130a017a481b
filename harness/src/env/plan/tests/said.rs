//! What a plan says before and besides what it decides: mistakes at their places, and what does nothing.

use super::*;
use crate::env::plan::{Known, check};

#[test]
fn our_images_are_told_the_disk_their_guest_sees() {
    let root_of = |disks: &str| {
        let text = format!("domains: {{a: {{nics: [{{net: lan}}], disks: [{disks}]}}}}\nnets: {{lan: {{}}}}");
        match &domain(&planned(&text).unwrap(), 0).boot {
            Boot::Kernel { cmdline, .. } => cmdline.rsplit_once('/').unwrap().1.to_owned(),
            other => panic!("{other:?}"),
        }
    };
    let root =
        |dev: &str| format!("{{name: root, type: template, template_name: tiny, dev: {dev}, format: qcow2}}");
    let empty = |dev: &str| format!("{{name: n-{dev}, type: empty, size: 1G, dev: {dev}, format: raw}}");
    assert_eq!(root_of(&root("vda")), "vda");
    assert_eq!(root_of(&root("vdb")), "vda", "there is no other");
    assert_eq!(root_of(&root("hda")), "vda", "virtio all the same");
    assert_eq!(root_of(&format!("{}, {}", root("vdc"), empty("vdb"))), "vdb");
    assert_eq!(root_of(&format!("{}, {}", root("vda"), empty("vdb"))), "vda");
    assert_eq!(root_of(&format!("{}, {}", root("sdb"), empty("sda"))), "sda", "first on the bus");
    assert_eq!(root_of(&format!("{}, {}", root("sdb"), empty("vda"))), "sda");
}

#[test]
fn only_what_the_file_says_is_a_password() {
    let seed = |change: fn(&mut MachineSpec)| {
        let plan =
            planned_with(ONE, |spec| change(&mut spec.machines[0]), |(spec, inputs)| plan(spec, inputs));
        let Made::Seed(seed) = plan.unwrap().machines[0].disks[1].image.clone().unwrap().made else {
            panic!()
        };
        seed.user_data
    };
    assert!(!seed(|_| {}).contains("pwauth"));
    let said = seed(|m| m.ssh_password = Some("x1".into()));
    assert!(said.contains("root:x1\\n"), "who logs in is root: {said}");
    let said = seed(|m| (m.ssh_user, m.ssh_password) = (Some("joe".into()), Some("x1".into())));
    assert!(said.contains("joe:x1\\n") && !said.contains("root:"), "{said}");
    let said = seed(|m| (m.root_password, m.ssh_password) = (Some("r".into()), Some("x1".into())));
    assert!(said.contains("root:r\\n") && !said.contains("x1"), "{said}");
}

#[test]
fn what_does_nothing_is_said_with_its_place() {
    let text = "
domains:
  a:
    root-password: x
    cloud-init: {user-data: {a: 1}}
    nics: [{net: lan}, {net: br0}]
    disks: [{name: root, type: template, template_name: tiny, dev: vda, format: qcow2}]
nets:
  lan: {internet: true, management: true}
  br0: {type: bridge, mtu: 9000}
";
    let warnings = |borrowed: bool| {
        planned_with(
            text,
            |_| {},
            |(spec, inputs)| {
                let bridges = if borrowed { vec!["br0".to_owned()] } else { vec![] };
                let scope = Scope { bridges, ..Scope::hermetic() };
                let warnings = plan(spec, &PlanInputs { scope: &scope, ..*inputs }).unwrap().warnings;
                warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
            },
        )
    };
    let all = [
        "lab.yaml:9:19: warning: `internet` does nothing yet: no net has a way out of its lab",
        "lab.yaml:10:28: warning: the bridge br0 is there already, and its `mtu` stays what it is",
        "lab.yaml:5:17: warning: `cloud-init` does nothing: there is none in the image `tiny`",
        "lab.yaml:4:20: warning: `root-password` does nothing: the image `tiny` lets nobody in by a password",
    ];
    assert_eq!(warnings(true), all);
    assert_eq!(warnings(false), [all[0], all[2], all[3]]);
}

#[test]
fn what_needs_no_image_is_found_without_one_and_at_its_value() {
    let text = "
domains:
  a:
    cpu_model: Westmer
    vm-type: defalt
    service_provider: sysvint
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: nowhere, dev: hda, bus: ide, format: qcow2}]
  b: {vm-provider: shh}
  c: {vm-provider: ssh, nics: [{net: lan}]}
  d: {disks: [{name: n, type: empty, size: 1G, dev: vda, format: raw}]}
  e: {type: ova, url: x.ova}
nets: {lan: {}}
";
    let cpus = Cpus { models: BTreeMap::from([("Westmere".to_owned(), None)]), host: None };
    let known = Known {
        cpus: &cpus,
        vm_types: &["default"],
        providers: &[Arc::new(Ssh)],
        service_managers: &["systemd", "sysvinit", "systemdcontainer"],
    };
    let errors = check(&spec(text), &known).unwrap_err();
    insta::assert_snapshot!(errors, @r"
    lab.yaml:5:14: there is no vm-type `defalt`; did you mean `default`?
    lab.yaml:6:23: there is no service_provider `sysvint`; did you mean `sysvinit`?
    lab.yaml:8:57: a machine of type `q35` has no bus `ide` for the disk `root`; set `machine: pc`, or `bus: sata`
    lab.yaml:4:16: there is no CPU model `Westmer`; did you mean `Westmere`?
    lab.yaml:9:20: there is no vm-provider `shh`; did you mean `ssh`?
    lab.yaml:10:3: machine `c` cannot be had of the vm-provider `ssh`: say its `ssh-address`, or the `ip` of one of its NICs
    lab.yaml:11:3: machine `d` has nothing to boot: give it a disk that is not empty, or a `kernel`
    ");
    assert_eq!(errors.0[0].message(), "there is no vm-type `defalt`; did you mean `default`?");
}
