//! What a plan says before and besides what it decides: mistakes at their places, and what does nothing.

use super::*;
use crate::{
    env::plan::{Known, check},
    sysprep::Found,
};

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
    assert!(said.contains("\"root:$6$") && !said.contains("x1"), "who logs in is root: {said}");
    let said = seed(|m| (m.ssh_user, m.ssh_password) = (Some("joe".into()), Some("x1".into())));
    assert!(said.contains("\"joe:$6$") && !said.contains("root:"), "{said}");
    let said = seed(|m| (m.root_password, m.ssh_password) = (Some("r".into()), Some("x1".into())));
    assert!(said.contains("\"root:$6$") && said.matches("$6$").count() == 1, "{said}");
}

#[test]
fn who_logs_in_with_what_is_checked_and_told_to_our_images_too() {
    let text = |more: &str| {
        format!(
            "domains:\n  a:\n    nics: [{{net: lan}}]\n    disks: [{{name: r, type: template, template_name: tiny, \
             dev: vda, format: qcow2}}]\n    {more}\nnets: {{lan: {{}}}}\n"
        )
    };
    let told = |more: &str| {
        let plan = planned(&text(more)).unwrap();
        let strings = domain(&plan, 0).oem_strings.iter().filter(|string| string.contains("polder.user="));
        strings.cloned().collect::<Vec<_>>()
    };
    assert!(told("groups: []").is_empty());
    let both = told(
        "{ssh-user: joe, ssh-password: s1, root-password: s2}"
            .trim_matches(['{', '}'])
            .replace(", ", "\n    ")
            .as_str(),
    );
    assert!(
        both[0].starts_with("polder.user=root:$6$") && both[1].starts_with("polder.user=joe:$6$"),
        "{both:?}"
    );
    assert_eq!(told("ssh-user: joe"), ["polder.user=joe:"]);
    for (more, why) in [
        ("ssh-user: 'a b'", "lab.yaml:5:15: `a b` cannot be the name of a user of machine `a`"),
        ("ssh-user: '-x'", "lab.yaml:5:15: `-x` cannot be"),
        ("root-password: \"a\\nb\"", "lab.yaml:5:20: a password of machine `a` cannot be set"),
    ] {
        let error = planned(&text(more)).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
}

/// What is planned for the one machine whose disk was seen to be like that.
fn seen_as(found: Found, more: impl FnOnce(&mut MachineSpec)) -> Result<EnvPlan, PlanErrors> {
    let found = BTreeMap::from([("/cache/templates/r:el8:v2".into(), found)]);
    planned_with(
        ONE,
        |spec| more(&mut spec.machines[0]),
        |(spec, inputs)| plan(spec, &PlanInputs { found: &found, ..*inputs }),
    )
}

#[test]
fn a_foreign_machine_is_told_who_it_is_in_the_way_its_disk_listens_to() {
    let plain = Found { root: Some(1 << 20), cloud_init: Some(false), systemd: true, ..Found::default() };
    let way = |found: &Found, distro: Option<&str>, bootstrap: bool| {
        let more = |machine: &mut MachineSpec| {
            (machine.distro, machine.bootstrap) = (distro.map(str::to_owned), bootstrap);
        };
        let machine = seen_as(found.clone(), more).unwrap().machines.remove(0);
        let onto = machine.disks[0].bootstrap.as_ref().map(|bootstrap| bootstrap.file_system);
        (machine.identity, onto, machine.told.unwrap_or_default(), machine.disks.len())
    };
    let (from, onto, told, disks) = way(&plain, None, true);
    assert_eq!((from, onto, disks), (IdentityFrom::Disk, Some(Some(1 << 20)), 1));
    assert!(told.contains("its ext file system, because cloud-init is not on it"), "{told}");
    assert_eq!(
        way(&plain, Some("el6"), true).0,
        IdentityFrom::Itself,
        "it does not know that kind of host key"
    );
    assert_eq!(way(&plain, None, false), (IdentityFrom::Itself, None, String::new(), 1));
    let (from, onto, told, disks) = way(&Found { cloud_init: Some(true), ..plain.clone() }, None, true);
    assert_eq!((from, onto, disks), (IdentityFrom::CloudInit, None, 2));
    assert!(told.ends_with("by cloud-init, which is on its disk"), "{told}");
    let (from, onto, told, _) = way(&Found::default(), None, true);
    assert!(
        (from, onto) == (IdentityFrom::CloudInit, None) && told.contains("cannot be looked into"),
        "{told}"
    );
    let (from, onto, told, _) = way(&Found::default(), Some("el7"), true);
    assert!((from, onto) == (IdentityFrom::Disk, Some(None)) && told.contains("virt-customize"), "{told}");
    let asked = seen_as(plain.clone(), |machine| machine.cloud_init = Some(CloudInit::default())).unwrap();
    assert_eq!(asked.machines[0].identity, IdentityFrom::CloudInit, "asked for by name");

    let can = |found: Found| seen_as(found, |_| {}).unwrap().machines[0].abilities.clone();
    assert!(can(plain.clone()).has(Ability::Units) && !can(plain.clone()).has(Ability::Agent));
    let other = Found { agent: true, systemd: false, ..plain.clone() };
    assert!(!can(other.clone()).has(Ability::Units) && can(other).has(Ability::Agent));
    let known = Found { distro: Some("debian".into()), ..plain };
    let known = seen_as(known, |_| {}).unwrap();
    assert_eq!(known.machines[0].distro.as_deref(), Some("el8"), "what is said of an image holds");
}

#[test]
fn steps_that_others_may_want_are_a_layer_below() {
    let build = |steps: &str| {
        let steps: Vec<serde_json::Value> = serde_json::from_str(steps).unwrap();
        move |spec: &mut EnvSpec| spec.machines[0].disks[0].build = steps
    };
    let disk = |steps: &str, print: &str| {
        let prints = BTreeMap::from([("/cache/templates/r:el8:v2".into(), print.to_owned())]);
        planned_with(ONE, build(steps), |(spec, inputs)| {
            let plan = plan(spec, &PlanInputs { prints: &prints, ..*inputs }).unwrap();
            (plan.machines[0].disks[0].clone(), plan.to_string())
        })
    };
    let shared = r#"{"virt-customize": {"touch": "/x"}}"#;
    let own = r#"{"virt-customize": {"ssh-inject": ""}}"#;
    let (disk_plan, shown) = disk(&format!("[{shared}, {own}, {shared}]"), "1");
    let layer = disk_plan.layer.clone().unwrap();
    assert_eq!((layer.steps.len(), disk_plan.steps.len()), (1, 2), "what stands behind our own is our own");
    assert!(disk_plan.steps[0].text().contains("root:string:ssh-ed25519 AAAA"), "{:?}", disk_plan.steps);
    let Made::Over(over) = &disk_plan.image.as_ref().unwrap().made else { panic!("{disk_plan:?}") };
    assert!(over.path.starts_with("/cache/images") && layer.base.path.ends_with("r:el8:v2"), "{over:?}");
    assert_eq!(disk_plan.base.unwrap().0, "el8:v2", "exports lie on the template all the same");
    assert!(
        shown.contains(", built in 3 steps")
            && shown.contains("file /cache/templates/r:el8:v2 (in the lab /cache")
    );
    let digest = |steps: &str, print: &str| disk(steps, print).0.layer.unwrap().digest;
    let same = digest(&format!("[{shared}]"), "1");
    assert_eq!(same, layer.digest);
    assert_ne!(same, digest(&format!("[{shared}]"), "2"), "the image is another");
    assert_ne!(same, digest(&format!("[{shared}, {shared}]"), "1"));

    let refused =
        |steps: &str| planned_with(ONE, build(steps), |(spec, inputs)| plan(spec, inputs)).unwrap_err();
    let error = refused(r#"[{"virt-builder": {}}, {"virt-customize": {"a": "x"}}]"#).to_string();
    assert!(
        error.starts_with("lab.yaml:5:") && error.contains("the disk `root` of machine `a` cannot be built"),
        "{error}"
    );
    assert!(
        error.contains("there is no builder `virt-builder`") && error.contains("`a` is not for"),
        "{error}"
    );
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
  lan: {internet: true, management: true, ipv4: false}
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
        "lab.yaml:10:28: warning: the bridge br0 is there already, and its `mtu` stays what it is",
        "lab.yaml:5:17: warning: `cloud-init` does nothing: there is none in the image `tiny`",
    ];
    assert_eq!(warnings(true), all);
    assert_eq!(warnings(false), [all[1]]);
}

#[test]
fn a_subnet_in_the_way_of_a_way_out_is_said() {
    let text = |internet| {
        format!(
            "domains: {{a: {{kernel: lab.yaml, nics: [{{net: lan}}]}}}}\nnets:\n  lan: {{gw: 192.0.0.1/24, ipv6: 'fd70:6f6c:6465:7200::9/64'}}\n  wan: {{internet: {internet}, gw: 192.0.1.1/24}}\n"
        )
    };
    let error = planned(&text(true)).unwrap_err().to_string();
    let expected = |column| {
        format!(
            "lab.yaml:3:{column}: the subnet of the net `lan` is needed for the `internet` of the net `wan`; take another one"
        )
    };
    assert_eq!(error, format!("{}\n{}", expected(13), expected(33)));
    planned(&text(false)).unwrap();
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
nets: {lan: {internet: true}}
";
    let cpus = Cpus { models: BTreeMap::from([("Westmere".to_owned(), None)]), host: None };
    let known = Known {
        cpus: &cpus,
        vm_types: &["default"],
        providers: &[Arc::new(Ssh)],
        service_managers: &["systemd", "sysvinit", "systemdcontainer"],
        way_out: false,
    };
    let errors = check(&spec(text), &known).unwrap_err();
    insta::assert_snapshot!(errors, @r"
    lab.yaml:13:24: `internet` needs the program `pasta`, which is not installed; install the package `passt`
    lab.yaml:5:14: there is no vm-type `defalt`; did you mean `default`?
    lab.yaml:6:23: there is no service_provider `sysvint`; did you mean `sysvinit`?
    lab.yaml:8:57: a machine of type `q35` has no bus `ide` for the disk `root`; set `machine: pc`, or `bus: sata`
    lab.yaml:4:16: there is no CPU model `Westmer`; did you mean `Westmere`?
    lab.yaml:9:20: there is no vm-provider `shh`; did you mean `ssh`?
    lab.yaml:10:3: machine `c` cannot be had of the vm-provider `ssh`: say its `ssh-address`, or the `ip` of one of its NICs
    lab.yaml:11:3: machine `d` has nothing to boot: give it a disk that is not empty, or a `kernel`
    ");
    assert_eq!(errors.0[1].message(), "there is no vm-type `defalt`; did you mean `default`?");
}
