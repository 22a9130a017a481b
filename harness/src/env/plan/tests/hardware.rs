//! Disks, processors and how machines boot.

use super::*;

#[test]
fn every_source_of_a_disk() {
    let disks = |spec: &mut EnvSpec| {
        let root = spec.machines[0].disks[0].clone();
        let file = |path: Option<&str>, url: Option<&str>, copy| DiskSource::File {
            path: path.map(Into::into),
            url: url.map(str::to_owned),
            copy,
        };
        let sources = [
            (
                "vdb",
                DiskFormat::Qcow2,
                DiskSource::Template { name: "el8".into(), version: Some("v1".into()) },
            ),
            ("vdc", DiskFormat::Qcow2, DiskSource::Qcow2 { path: "/lab/layer.qcow2".into() }),
            ("vdd", DiskFormat::Raw, DiskSource::Empty { size: 3 << 20 }),
            ("vde", DiskFormat::Raw, file(Some("/lab/data.raw"), None, false)),
            ("vdf", DiskFormat::Raw, file(Some("/lab/data.raw"), None, true)),
            ("hdc", DiskFormat::Iso, file(None, Some("http://example/tools.iso"), false)),
        ];
        for (dev, format, source) in sources {
            let name = format!("n-{dev}").parse().unwrap();
            spec.machines[0].disks.push(DiskSpec { name, dev: dev.into(), format, source, ..root.clone() });
        }
    };
    insta::assert_snapshot!(shown(disks), @r"
    machine a: el8, 512 MiB, 2 vcpus, TCG
      boots from disk
      eth0  192.168.200.2   54:52:c0:a8:c8:02  lan (management): a a-eth0 a-lan a-lan-0
      vda   /run/polder/env/images/a+root.qcow2, over /run/polder/templates/r:el8:v2 (raw)
      vdb   /run/polder/env/images/a+n-vdb.qcow2, over /run/polder/files/0-el8-v1.raw (raw)
      vdc   /run/polder/env/images/a+n-vdc.qcow2, over /lab/layer.qcow2 (qcow2)
      vdd   /run/polder/env/images/a+n-vdd.raw, 3 MiB, empty (raw)
      vde   /run/polder/env/images/a+n-vde.qcow2, over /run/polder/files/4-data.raw (raw)
      vdf   /run/polder/env/images/a+n-vdf.raw, a copy of /run/polder/files/4-data.raw (raw)
      hdc   /run/polder/files/5-tools.iso, read-only
      vdg   /run/polder/env/images/a+.seed.raw, for cloud-init, read-only
    file /mirror/el8-v1.raw (in the lab /run/polder/files/0-el8-v1.raw)
    file /lab/base.raw (in the lab /lab/base.raw)
    file /var/lib/x (in the lab /var/lib/x)
    file /lab/layer.qcow2 (in the lab /lab/layer.qcow2)
    file /lab/data.raw (in the lab /run/polder/files/4-data.raw)
    file /cache/downloads/tools.iso (in the lab /run/polder/files/5-tools.iso)
    ");
}

#[test]
fn disks_are_attached_as_asked() {
    let change = |spec: &mut EnvSpec| {
        let root = spec.machines[0].disks[0].clone();
        let mut second =
            DiskSpec { name: "b".parse().unwrap(), dev: "sda".into(), bus: Some(DiskBus::Sata), ..root };
        second.serial = Some("S-1".into());
        second.boot = Some(1);
        spec.machines[0].disks[0].bus = Some(DiskBus::Scsi);
        spec.machines[0].disks.push(second);
    };
    let plan = planned_with(ONE, change, |(spec, inputs)| plan(spec, inputs)).unwrap();
    let disks = &domain(&plan, 0).disks;
    let attached: Vec<_> =
        disks.iter().map(|d| (d.dev.as_str(), d.bus, d.serial.as_str(), d.boot_order)).collect();
    let expected = [
        ("vda", Bus::Scsi, "1", None),
        ("sda", Bus::Sata, "S-1", Some(1)),
        // On the root disk's bus, and the first free name there.
        ("sdb", Bus::Scsi, "cidata", None),
    ];
    assert_eq!(attached, expected);
}

#[test]
fn machines_boot_as_asked() {
    let kernel =
        KernelBoot { kernel: "/lab/bz".into(), initrd: Some("/lab/rd".into()), cmdline: "quiet".into() };
    insta::assert_snapshot!(shown(|spec| spec.machines[0].boot = Some(kernel)), @r"
    machine a: el8, 512 MiB, 2 vcpus, TCG
      boots /run/polder/files/0-bz quiet
      eth0  192.168.200.2   54:52:c0:a8:c8:02  lan (management): a a-eth0 a-lan a-lan-0
      vda   /run/polder/env/images/a+root.qcow2, over /run/polder/templates/r:el8:v2 (raw)
      vdb   /run/polder/env/images/a+.seed.raw, for cloud-init, read-only
    file /lab/bz (in the lab /run/polder/files/0-bz)
    file /lab/rd (in the lab /run/polder/files/1-rd)
    ");
    insta::assert_snapshot!(shown(|spec| {
        spec.machines[0].firmware = Firmware::Uefi;
        spec.machines[0].machine = Some("pc".into());
        spec.machines[0].graphics = true;
    }), @r"
    machine a: el8, 512 MiB, 2 vcpus, TCG, a pc, with a screen
      boots from disk by UEFI
      eth0  192.168.200.2   54:52:c0:a8:c8:02  lan (management): a a-eth0 a-lan a-lan-0
      vda   /run/polder/env/images/a+root.qcow2, over /run/polder/templates/r:el8:v2 (raw)
      vdb   /run/polder/env/images/a+.seed.raw, for cloud-init, read-only
    ");
}

#[test]
fn cpus_are_as_asked() {
    let cpu = |accel, change: &dyn Fn(&mut EnvSpec)| {
        let then = |(spec, inputs): (&EnvSpec, &PlanInputs<'_>)| plan(spec, &PlanInputs { accel, ..*inputs });
        planned_with(ONE, change, then).map(|plan| domain(&plan, 0).cpu.clone())
    };
    let model =
        |name: &'static str| move |spec: &mut EnvSpec| spec.machines[0].cpu.model = Some(name.to_owned());
    let exact = |name: &str, feature: Option<&str>| CpuModel::Exact {
        name: name.to_owned(),
        feature: feature.map(str::to_owned),
    };
    assert_eq!(cpu(Accel::Kvm, &model("Westmere")).unwrap().model, exact("Westmere", Some("vmx")));
    assert_eq!(cpu(Accel::Kvm, &model("EPYC")).unwrap().model, exact("EPYC", None), "another vendor's");
    assert_eq!(cpu(Accel::Tcg, &model("Westmere")).unwrap().model, exact("Westmere", None), "translated");
    let custom = |map: &'static str| {
        move |spec: &mut EnvSpec| {
            spec.machines[0].cpu.custom = Some(serde_json::from_str(map).unwrap());
            spec.machines[0].cpu.topology = Some(Topology { sockets: 1, cores: 2, threads: 1 });
        }
    };
    let written = cpu(Accel::Tcg, &custom(r#"{"@mode": "host-model"}"#)).unwrap();
    assert!(written.topology.is_some() && matches!(written.model, CpuModel::Custom(_)));
    let written = cpu(Accel::Tcg, &custom(r#"{"topology": {"@sockets": 2}}"#)).unwrap();
    assert_eq!(written.topology, None, "theirs is the one");
    assert_eq!(written.cells, 1, "who says what they are has said how they lie");
    let cells = |vcpus| cpu(Accel::Tcg, &move |spec| spec.machines[0].vcpus = vcpus).unwrap().cells;
    let divided = [1, 2, 3, 4, 6, 8, 10, 12].map(cells);
    assert_eq!(divided, [1, 2, 3, 2, 3, 2, 5, 3]);
    assert_eq!(cpu(Accel::Kvm, &model("Westmere")).unwrap().cells, 1);
    let arranged = cpu(Accel::Tcg, &|spec| {
        spec.machines[0].cpu.topology = Some(Topology { sockets: 1, cores: 2, threads: 1 });
    });
    assert_eq!(arranged.unwrap().cells, 1);
}
