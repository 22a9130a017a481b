//! What good files become.

use std::time::Duration;

use super::{
    super::{
        load,
        spec::{
            DeployScript, DhcpRange, DiskBus, DiskFormat, DiskSource, Firmware, Ipv6Net, Ipv6Spec,
            KernelBoot, LinkSpec, NetKind, OvaSource, Topology, VlanSpec,
        },
    },
    *,
};

#[test]
fn lagos_smallest_file_means_what_lago_means() {
    let spec = read(
        "domains:
  box:
    memory: 512
    nics: [{net: lan}]
    disks:
      - {name: root, type: template, template_name: tiny, dev: vda, format: qcow2}
nets:
  lan:
    type: nat
    dhcp: {start: 100, end: 254}
    management: true
",
    )
    .unwrap();
    let [machine] = spec.machines.as_slice() else { panic!("{spec:?}") };
    assert_eq!((machine.memory_mib, machine.vcpus), (512, 2));
    assert_eq!((machine.at.line, machine.at.column), (2, 3));
    let [disk] = machine.disks.as_slice() else { panic!("{machine:?}") };
    assert_eq!(disk.source, DiskSource::Template { name: "tiny".to_owned(), version: None });
    assert_eq!(disk.recipe, None);
    assert_eq!((disk.at.line, disk.at.column), (6, 53));
    let [net] = spec.nets.as_slice() else { panic!("{spec:?}") };
    assert_eq!(net.kind, NetKind::Nat);
    assert_eq!(net.dhcp, Some(DhcpRange { start: 100, end: 254 }));
    assert_eq!(net.dns_domain.as_deref(), Some("lago.local"));
}

/// Anchors, merge keys, JSON values, both notations of numbers and booleans, ignored keys, all in one.
#[test]
fn a_file_with_every_freedom_is_read() {
    let spec = read(
        "\u{feff}x-common: &vm
  memory: '1024'
  artifacts: [/var/log]
  metadata: {a: 1, b: [yes, true, ~, '2', 1.5], c: {d: TRUE}}
x-more: &more {memory: 2048, vcpu: '2'}
comment: whatever
domains:
  r1:
    <<: [*vm, *more]
    groups: [routers, 7]
    nics: [{net: front, ip: 10.0.0.9}, {net: back}, {net: back, comment: bond}]
    disks:
    - {name: root, type: template, template_name: t, template_type: lago, dev: vda, format: qcow2}
    - {name: data, type: empty, size: 20G, dev: sda, format: raw, x-why: exported}
    - {name: tools, type: file, path: $ISOS/a.iso, dev: hdc, format: iso}
    - {name: more, type: file, path: '${LAGO_INITFILE_PATH}/b.raw', dev: vdb, format: raw}
    - {name: rel, type: file, path: sub/c.qcow2, dev: vdc, format: qcow2}
  R2: {}
nets:
  back: {type: isolated, mtu: '9000'}
  front: {management: yes, dns_domain_name: Suite.Test, dns_records: {Mirror: 192.168.200.1}}
",
    )
    .unwrap();
    let r1 = &spec.machines[0];
    assert_eq!((r1.memory_mib, r1.vcpus), (1024, 2), "the first merged mapping wins");
    assert_eq!(r1.groups, ["routers", "7"]);
    assert_eq!(r1.artifacts, ["/var/log"]);
    assert_eq!(
        serde_json::to_string(&r1.metadata).unwrap(),
        r#"{"a":1,"b":["yes",true,null,"2",1.5],"c":{"d":true}}"#
    );
    let paths: Vec<&str> = r1
        .disks
        .iter()
        .filter_map(|d| match &d.source {
            DiskSource::File { path: Some(path), .. } => path.to_str(),
            _ => None,
        })
        .collect();
    assert_eq!(paths, ["/isos/a.iso", "/lab/b.raw", "/lab/sub/c.qcow2"]);
    assert_eq!(r1.disks[1].source, DiskSource::Empty { size: 20 << 30 });
    assert_eq!(r1.disks[2].format, DiskFormat::Iso);
    assert_eq!(r1.nics.len(), 3);
    assert_eq!((spec.machines[1].memory_mib, spec.machines[1].nics.len()), (512, 0), "defaults");
    let (back, front) = (&spec.nets[0], &spec.nets[1]);
    assert_eq!((back.kind, back.management, back.mtu), (NetKind::Isolated, false, Some(9000)));
    assert_eq!((back.dns_domain.as_deref(), front.dns_domain.as_deref()), (None, Some("suite.test")));
    assert_eq!(front.dns_records["mirror"].to_string(), "192.168.200.1");
}

#[test]
fn json_is_read_too() {
    let spec = read("{\n\t\"nets\": {\"b\": {}, \"a\": {\"management\": false}},\n\t\"domains\": {\"vm\": {\"nics\": [{\"net\": \"a\"}]}}\n}\n").unwrap();
    assert!(!spec.nets[0].management);
    assert!(spec.nets[1].management, "unmarked nets: the first by name");
}

#[test]
fn a_problem_is_shown_under_its_line() {
    let error = read("domains:\n  bäx: {}\n  b: {memroy: 5}\nnets: {lan: {}}\n").unwrap_err();
    insta::assert_snapshot!(error.render(false), @r"
    init::bad-name

      × the machine's name is not usable: `bäx` contains 'ä'; letters, digits, `-`, `_` and `.` are allowed, beginning with a letter or digit
       ╭─[lab.yaml:2:3]
     1 │ domains:
     2 │   bäx: {}
       ·   ───
     3 │   b: {memroy: 5}
       ╰────
    init::unknown-key

      × a domain has no key `memroy`
       ╭─[lab.yaml:3:7]
     2 │   bäx: {}
     3 │   b: {memroy: 5}
       ·       ──────
     4 │ nets: {lan: {}}
       ╰────
      help: did you mean `memory`?
    ");
    insta::assert_snapshot!(error, @r"
    lab.yaml:2:3: the machine's name is not usable: `bäx` contains 'ä'; letters, digits, `-`, `_` and `.` are allowed, beginning with a letter or digit
    lab.yaml:3:7: a domain has no key `memroy`; did you mean `memory`?
    ");
}

#[test]
fn files_are_looked_at_for_real() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("disk.raw"), "x").unwrap();
    let file = folder.path().join("lab.yaml");
    let text = |path: &str| {
        format!(
            "nets: {{n: {{}}}}\ndomains: {{a: {{disks: [{{name: d, type: file, path: {path}, dev: vda, format: raw}}]}}}}\n"
        )
    };
    let no_env = |_: &str| None;
    fs::write(&file, text("disk.raw")).unwrap();
    let spec = load(&file, &Options::new(&no_env)).unwrap().spec;
    assert_eq!(
        spec.machines[0].disks[0].source,
        DiskSource::File { path: Some(folder.path().join("disk.raw")), url: None, copy: false }
    );

    for (path, expected) in [("nope.raw", "No such file"), (".", "directory")] {
        fs::write(&file, text(path)).unwrap();
        let message = load(&file, &Options::new(&no_env)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(":2:"), "{message}");
    }
    let error = load(&folder.path().join("none.yaml"), &Options::new(&no_env)).unwrap_err();
    assert!(matches!(error, InitFileError::Unreadable { .. }), "{error}");
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(matches!(load(&file, &Options::new(&no_env)), Err(InitFileError::Unreadable { .. })));
}

fn loaded(text: &str, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Loaded {
    let files = files.iter().map(|(name, text)| (Path::new("/lab").join(name), (*text).to_owned())).collect();
    let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    read_with(text, &files, &variables, false).unwrap_or_else(|error| panic!("{error}"))
}

/// The case of `good.txt` with that title.
fn good(title: &str) -> EnvSpec {
    let case = corpus::good().into_iter().find(|case| case.title.starts_with(title)).unwrap();
    case.read().unwrap().spec
}

#[test]
fn lagos_suite_means_what_lago_means() {
    let spec = good("Lago's suite");
    let [server, client, lab_box] = spec.machines.as_slice() else { panic!("{spec:?}") };
    assert_eq!((server.memory_mib, server.vcpus, server.root_password.as_deref()), (2048, 4, Some("s3cret")));
    assert_eq!(server.service_provider.as_deref(), Some("systemd"));
    let scripts = ["/lab/deploy/common.sh", "/lab/deploy/server.sh"].map(PathBuf::from);
    assert_eq!(server.deploy_scripts, scripts.map(|path| DeployScript { path, ..DeployScript::default() }));
    assert!(server.metadata.is_empty(), "the scripts stand elsewhere");
    let version = Some("v3".to_owned());
    assert_eq!(server.disks[0].source, DiskSource::Template { name: "el-base".to_owned(), version });
    assert_eq!(server.disks[0].build[0]["virt-customize"]["copy"], "$LAGO_INITFILE_PATH/motd:/etc");
    assert_eq!(client.cpu.model.as_deref(), Some("Westmere"));
    assert_eq!(client.nics.len(), 3);
    assert_eq!((lab_box.provider.as_deref(), lab_box.ssh_user.as_deref()), (Some("ssh"), Some("tester")));
    assert_eq!((client.provider.as_deref(), client.vm_type.as_deref()), (None, None));
    assert!(client.bootstrap && !client.skip_export && client.boot_time.is_none());
    assert_eq!(spec.nets[1].mtu, Some(9000));
}

#[test]
fn a_deploy_script_is_a_file_or_says_more() {
    let spec = read(
        "domains:
  a:
    metadata:
      site: here
      deploy-scripts:
        - first.sh
        - {path: $ISOS/second, args: [-v, two words, 3], env: {WHO: me, N: 1}, timeout: 90, once: true, comment: x}
nets: {lan: {}}
",
    )
    .unwrap();
    let machine = &spec.machines[0];
    let second = DeployScript {
        path: "/isos/second".into(),
        args: ["-v", "two words", "3"].map(str::to_owned).to_vec(),
        env: [("N", "1"), ("WHO", "me")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        timeout: Some(Duration::from_secs(90)),
        once: true,
    };
    let first = DeployScript { path: "/lab/first.sh".into(), ..DeployScript::default() };
    assert_eq!(machine.deploy_scripts, [first, second]);
    assert_eq!(machine.metadata.keys().collect::<Vec<_>>(), ["site"]);
}

#[test]
fn a_machine_with_everything() {
    let spec = good("everything a machine can have");
    let a = &spec.machines[0];
    assert_eq!((a.vcpus, a.cpu.topology), (8, Some(Topology { sockets: 2, cores: 2, threads: 2 })));
    assert_eq!(a.cpu.custom.as_ref().unwrap()["model"]["@fallback"], "forbid");
    assert_eq!((a.machine.as_deref(), a.firmware), (Some("pc-q35-7.2"), Firmware::Bios));
    let boot = KernelBoot {
        kernel: "/isos/vmlinuz".into(),
        initrd: Some("/lab/files/initrd".into()),
        cmdline: "console=ttyS0 root=/dev/vda".to_owned(),
    };
    assert_eq!(a.boot, Some(boot));
    let cloud = a.cloud_init.as_ref().unwrap();
    let user_data = cloud.user_data.as_ref().unwrap();
    let config: serde_json::Value =
        serde_json::from_str(user_data.strip_prefix("#cloud-config\n").unwrap()).unwrap();
    assert_eq!(config["packages"][0], "vim");
    assert_eq!(cloud.meta_data.as_deref(), Some("instance-id: a\n"));
    assert_eq!(cloud.network_config.as_deref(), Some("version: 2\n"));
    assert!(a.xml.as_ref().unwrap().contains("i6300esb"));
    assert_eq!((a.groups.as_slice(), a.root_password.as_deref()), (&["web".to_owned()][..], Some("123456")));
    assert_eq!((a.ssh_password.as_deref(), a.boot_time), (Some("yes"), Some(Duration::from_secs(30))));
    assert!(!a.bootstrap && a.skip_export);

    let [lan, access, trunk] = a.nics.as_slice() else { panic!("{a:?}") };
    assert_eq!((lan.ip6, lan.mtu), (Some("fd00:1::9".parse().unwrap()), Some(1400)));
    assert_eq!((lan.mac, lan.model.as_deref()), (Some("52:54:00:00:00:09".parse().unwrap()), Some("e1000")));
    assert_eq!(
        (&access.vlan, &access.dns, access.link.up),
        (&Some(VlanSpec::Access(10)), &Some(vec![]), false)
    );
    assert_eq!(trunk.vlan, Some(VlanSpec::Trunk(vec![10, 20])));
    assert_eq!(trunk.dns, Some(vec!["x.lab".to_owned()]));
    let link = LinkSpec {
        up: true,
        delay_ms: 20,
        jitter_ms: 5,
        loss_percent: 0.5,
        duplicate_percent: 1.0,
        corrupt_percent: 2.0,
        rate_kbit: Some(1000),
    };
    assert_eq!(trunk.link, link);

    let [root, got, kept, old, cd] = a.disks.as_slice() else { panic!("{a:?}") };
    assert_eq!(root.source, DiskSource::Qcow2 { path: "/lab/base.qcow2".into() });
    assert_eq!((root.bus, root.boot, root.serial.as_deref()), (Some(DiskBus::Sata), Some(1), Some("R 1")));
    let url = Some("https://images.test/got.qcow2".to_owned());
    assert_eq!(got.source, DiskSource::File { path: None, url, copy: false });
    assert_eq!(got.metadata["root-partition"], "/dev/vda1");
    let url = Some("https://images.test/kept.raw".to_owned());
    assert_eq!(kept.source, DiskSource::File { path: Some("/lab/missing/kept.raw".into()), url, copy: true });
    assert!(kept.skip_export);
    assert_eq!((old.bus, cd.boot), (Some(DiskBus::Ide), Some(2)));
    assert_eq!(spec.machines[1].ova, Some(OvaSource { url: "/lab/appliance.ova".to_owned() }));

    let [lan, wire] = spec.nets.as_slice() else { panic!("{spec:?}") };
    assert_eq!((lan.gateway, lan.prefix_len), (Some("10.0.0.1".parse().unwrap()), 20));
    let gateway = "fd00:1::1".parse().unwrap();
    assert_eq!(lan.ipv6, Ipv6Spec::Given(Ipv6Net { gateway, prefix_len: 64 }));
    assert!(lan.internet && lan.main_dns && lan.ipv4 && !wire.internet);
    assert_eq!(lan.dns_forward, Some("1.1.1.1".parse().unwrap()));
    assert_eq!(lan.dns_records["six"].to_string(), "fd00:1::5");
    assert_eq!((wire.kind, wire.gateway, wire.prefix_len), (NetKind::Bridge, None, 24));
}

#[test]
fn an_image_may_have_its_recipe_in_a_file() {
    let text = "
domains: {r: {disks: [{name: root, type: template, recipe: ../images/router.yaml, dev: vda, format: qcow2}]}}
nets: {lan: {}}
";
    let disk = &loaded(text, &[], &[]).spec.machines[0].disks[0];
    assert_eq!(disk.source, DiskSource::Template { name: "router".to_owned(), version: None });
    assert_eq!(disk.recipe, Some("/lab/../images/router.yaml".into()));
}

#[test]
fn a_net_without_ipv4_has_ipv6() {
    let spec = good("nets of one family");
    let [six, both] = spec.nets.as_slice() else { panic!("{spec:?}") };
    assert_eq!((six.ipv4, six.ipv6, six.management), (false, Ipv6Spec::Auto, false));
    assert_eq!((both.ipv4, both.ipv6, both.management), (true, Ipv6Spec::Auto, true));
}

#[test]
fn including_files_win_and_paths_start_where_they_are_written() {
    let spec = good("a file made of several");
    let [a, b, c] = spec.machines.as_slice() else { panic!("{spec:?}") };
    assert_eq!((a.memory_mib, a.vcpus, c.memory_mib), (256, 2, 100));
    let path = Some("/lab/sub/d.raw".into());
    assert_eq!(a.disks[0].source, DiskSource::File { path, url: None, copy: false });
    assert_eq!((a.disks[0].at.file.to_str(), a.disks[0].at.line), (Some("sub/base.yaml"), 3));
    assert_eq!((a.at.file.to_str(), b.at.file.to_str()), (Some("lab.yaml"), Some("more.yaml")));
    assert_eq!(spec.nets[0].dhcp, Some(DhcpRange { start: 2, end: 9 }));
    assert_eq!(spec.origin, Path::new("lab.yaml"));
}

#[test]
fn prototypes_give_what_a_machine_has_not() {
    let text = "
prototypes:
  base: &base {memory: 100, vcpu: 3, metadata: {a: 1}, groups: [g]}
  more: {based-on: base, memory: 200, metadata: {b: 2}}
domains:
  a: {based-on: more, vcpu: 5}
  b: {based-on: *base}
  c: {based-on: {memory: 300, based-on: base}}
nets: {lan: {}}
";
    let spec = loaded(text, &[], &[]).spec;
    let [a, b, c] = spec.machines.as_slice() else { panic!("{spec:?}") };
    assert_eq!((a.memory_mib, a.vcpus, b.memory_mib, c.memory_mib, c.vcpus), (200, 5, 100, 300, 3));
    assert_eq!(serde_json::to_string(&a.metadata).unwrap(), r#"{"b":2}"#, "shallow");
    assert_eq!(a.groups, ["g"]);
}

/// `--var` wins over the environment, which wins over the file.
#[test]
fn variables_come_from_three_places() {
    let text = "
variables: {NAME: web, SIZE: 512, ISOS: ., HOSTED: ~, FLAG: false, EMPTY: x}
domains:
  ${NAME}-1:
    memory: ${SIZE}
    bootstrap: ${FLAG}
    metadata: {n: \"${SIZE}\", s: \"${SIZE}M\", h: \"${HOSTED}\", e: \"${EMPTY}\"}
    disks: [{name: d, type: file, path: '${ISOS}/$NAME$$.iso', dev: sda, format: iso}]
nets: {lan: {}}
";
    let machine = |variables: &[(&str, &str)]| loaded(text, &[], variables).spec.machines.remove(0);
    let web = machine(&[]);
    assert_eq!((web.name.as_str(), web.memory_mib, web.bootstrap), ("web-1", 512, false));
    let path = Some("/isos/web$.iso".into());
    assert_eq!(web.disks[0].source, DiskSource::File { path, url: None, copy: false });
    let metadata = r#"{"n":512,"s":"512M","h":"https://images.test","e":""}"#;
    assert_eq!(serde_json::to_string(&web.metadata).unwrap(), metadata);
    let db = machine(&[("NAME", "db"), ("SIZE", "1024"), ("ISOS", "sub"), ("FLAG", "yes")]);
    assert_eq!((db.name.as_str(), db.memory_mib, db.bootstrap), ("db-1", 1024, true));
    let path = Some("/lab/sub/db$.iso".into());
    assert_eq!(db.disks[0].source, DiskSource::File { path, url: None, copy: false });
}

#[test]
fn dollars_elsewhere_stay_what_they_are() {
    let web = &good("dollars that are no variables").machines[0];
    assert_eq!((web.name.as_str(), web.vcpus), ("web", 2));
    let metadata = r#"{"a":"$NOPE","b":"${NOPE}","c":"${NAME}","d":"5$","e":"web-2"}"#;
    assert_eq!(serde_json::to_string(&web.metadata).unwrap(), metadata);
    let path = Some("/lab/a$b/web".into());
    assert_eq!(web.disks[0].source, DiskSource::File { path, url: None, copy: false });
}

/// Everything YAML says can be said in JSON.
#[test]
fn json_says_what_yaml_says() {
    let yaml = "
domains:
  a: {memory: 256, bootstrap: false, nics: [{net: lan, ip: 10.0.0.5}], metadata: {t: \"x\\ty\", n: 1.5, z: ~}}
nets: {lan: {gw: 10.0.0.1, dhcp: {start: 2, end: 9}}}
";
    let json = "{
\t\"nets\": {\"lan\": {\"dhcp\": {\"end\": 9, \"start\": 2}, \"gw\": \"10.0.0.1\"}},
\t\"domains\": {\"a\": {\"metadata\": {\"t\": \"x\\ty\", \"n\": 1.5, \"z\": null}, \"memory\": \"256\",
\t\t\"bootstrap\": false, \"nics\": [{\"net\": \"lan\", \"ip\": \"10.0.0.5\"}]}}}";
    let (mut yaml, json) = (read(yaml).unwrap(), read(json).unwrap());
    for (ours, theirs) in yaml.machines.iter_mut().zip(&json.machines) {
        (ours.at, ours.places) = (theirs.at.clone(), theirs.places.clone());
    }
    (yaml.nets[0].at, yaml.nets[0].places) = (json.nets[0].at.clone(), json.nets[0].places.clone());
    assert_eq!(yaml, json);
}

#[test]
fn files_are_included_for_real() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub/base.yaml"), "nets: {lan: {mtu: x}}\n").unwrap();
    let file = folder.path().join("lab.yaml");
    fs::write(&file, "include: sub/base.yaml\ndomains: {a: {}}\n").unwrap();
    let no_env = |_: &str| None;
    let error = load(&file, &Options::new(&no_env)).unwrap_err().to_string();
    assert!(error.contains("sub/base.yaml:1:19: "), "{error}");
}
