//! The real programs of libguestfs, on disks that we can neither write nor read ourselves: prepared by `virt-customize`, and
//! read by `guestfish` without their machine. `cargo ci soak libguestfs` installs them.

use std::{fs, io::Write, path::Path, process::Command};

use crate::typed::Ground;

/// Whether a program is installed.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

const FILE: &str = "
domains:
  volumes:
    nics: [{net: lan}]
    root-password: s3cret
    artifacts: [/var/log/app, '/var/log/*.log', /etc/hostname, /etc/two, /root/.ssh, /etc/shadow, /etc/none,
      /etc/iscsi, /etc/sysconfig/network-scripts]
    disks:
      - name: root
        type: template
        template_type: qcow2
        path: volumes.qcow2
        metadata: {distro: el7}
        dev: vda
        format: qcow2
        build: [{virt-customize: {write: \"/etc/two:one\\ntwo\", no-network: '', ssh-inject: ''}}]
  trees:
    nics: [{net: lan}]
    bootstrap: false
    artifacts: [/var/log]
    disks: [{name: root, type: template, template_type: qcow2, path: trees.qcow2, dev: vda, format: qcow2}]
nets: {lan: {management: true}}
";

/// A system of a few files, in both of the ways it is to lie on a disk.
const MAKE: &str = "
run
part-disk /dev/sda mbr
pvcreate /dev/sda1
vgcreate vg /dev/sda1
lvcreate root vg 200
mkfs ext4 /dev/vg/root
mount /dev/vg/root /
tar-in system.tar /
umount /
part-disk /dev/sdb mbr
mkfs btrfs /dev/sdb1
mount /dev/sdb1 /
tar-in system.tar /
";

#[test]
fn disks_we_cannot_read_are_prepared_and_collected_from() {
    for program in ["virt-customize", "guestfish"] {
        if !is_there(program) {
            // Past what catches the output of tests: this one passes, and must not do so in silence.
            let skip = format!("SKIP {program}: this host has none (`cargo ci soak libguestfs` installs it)");
            let _ = writeln!(std::io::stderr(), "{skip}");
            return;
        }
    }
    let ground = Ground::new(FILE);
    make(&ground.path(""));
    ground.polder(&["init"]).ok();
    let said = ground.polder(&["collect", "-o", "out"]).ok();
    assert!(said.contains("no volumes/_etc_none"), "{said}");
    let text = |path: &str| {
        let path = ground.path("out").join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    for path in ["volumes/_var_log_app/deep/ü x", "trees/_var_log/app/deep/ü x"] {
        assert_eq!(text(path), "deep");
    }
    assert_eq!(text("volumes/_var_log_a.log"), "a");
    assert_eq!(fs::read_link(ground.path("out/volumes/_var_log_app/link")).unwrap(), Path::new("deep"));
    // What bootstrap and build are to do, done by the real program.
    assert_eq!(text("volumes/_etc_hostname"), "volumes\n");
    assert_eq!(text("volumes/_etc_two").trim(), "one\ntwo");
    assert!(text("volumes/_etc_shadow").starts_with("root:$6$"), "{}", text("volumes/_etc_shadow"));
    let iscsi = "InitiatorName=iqn.2014-07.org.lago:volumes\n";
    assert_eq!(text("volumes/_etc_iscsi/initiatorname.iscsi"), iscsi);
    assert!(text("volumes/_etc_sysconfig_network-scripts/ifcfg-eth0").starts_with("HWADDR="));
    let key = fs::read_to_string(ground.path(".polder/default/id_ed25519.pub")).unwrap();
    assert!(text("volumes/_root_.ssh/authorized_keys").contains(key.trim()));
    // By whom, and why not by us.
    let manifest: serde_json::Value = serde_json::from_str(&text("manifest.json")).unwrap();
    let how = |place: &str| {
        let entries = manifest["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["path"] == place);
        entry.unwrap_or_else(|| panic!("no {place}"))["how"].as_str().unwrap_or_default().to_owned()
    };
    for (place, why) in
        [("volumes/_etc_two", "a volume of LVM cannot be read"), ("trees/_var_log", "btrfs cannot be read")]
    {
        let how = how(place);
        assert!(how.starts_with("read by guestfish") && how.contains(why), "{place}: {how}");
    }
}

fn make(place: &Path) {
    let system = place.join("system");
    for folder in ["bin", "etc", "root", "var/log/app/deep"] {
        fs::create_dir_all(system.join(folder)).unwrap();
    }
    for (file, text) in [
        ("etc/os-release", "ID=fedora\nVERSION_ID=26\nNAME=Fedora\n"),
        ("etc/fstab", ""),
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("etc/shadow", "root:*:1::::::\n"),
        ("var/log/a.log", "a"),
        ("var/log/app/deep/ü x", "deep"),
    ] {
        fs::write(system.join(file), text).unwrap();
    }
    fs::copy("/bin/busybox", system.join("bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", system.join("bin/sh")).unwrap();
    std::os::unix::fs::symlink("deep", system.join("var/log/app/link")).unwrap();
    let run = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(place)
            .envs([("LIBGUESTFS_BACKEND", "direct"), ("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program} {words:?}: {output:?}");
    };
    run("tar", &["-c", "--owner=0", "--group=0", "-f", "system.tar", "-C", "system", "."]);
    let [volumes, trees] = ["volumes.qcow2", "trees.qcow2"];
    for disk in [volumes, trees] {
        run("qemu-img", &["create", "-q", "-f", "qcow2", disk, "400M"]);
    }
    fs::write(place.join("make"), MAKE).unwrap();
    run("guestfish", &["--format=qcow2", "-a", volumes, "-a", trees, "-f", "make"]);
}
