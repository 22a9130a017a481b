//! Somebody else's image: Debian with cloud-init, prepared from packages, of which Polder knows no more than that there is
//! a disk and a kernel. Its making is for all tests that need a machine that is not one of our images.

use std::{path::Path, process::Command, time::Duration};

use polder::{
    env::{Env, Host, Progress, plan::IdentityFrom},
    guest::{self, Channel, GuestError},
    image::{GuestFile, ImageInfo, ImageStore, Recipe, recipe},
    initfile::{self, Options},
    lab::LabHost,
};

/// Modules of cloud-init that such a machine has use for: each costs about a second without hardware acceleration.
const CLOUD_CONFIG: &str = "datasource_list: [NoCloud]
cloud_init_modules: [write-files, set_hostname, update_hostname, users-groups, ssh, set-passwords]
";

/// Else nobody is let in on the console: what is quick does not ask for terminals.
const CONSOLE: &str =
    "[Service]\nExecStart=-udevadm trigger --type=devices --action=add --sysname-match=ttyS0\n";

/// The image: Debian's systemd, OpenSSH, guest agent and cloud-init as they come, and nothing of ours that would tell a
/// machine who it is. Built once, then kept.
pub(crate) async fn debian12_cloud(host: &LabHost) -> ImageInfo {
    let ours = recipe("debian12").unwrap();
    // What makes it quick is nothing of ours; what makes a machine itself, or lets anybody in, is.
    let ours_alone = ["ssh", "console", "polder-dns", "usr/lib/polder", "getty"];
    let quick = |file: &&GuestFile| !ours_alone.iter().any(|part| file.path.contains(part));
    let mut files: Vec<GuestFile> = ours.files.iter().filter(quick).cloned().collect();
    files.push(GuestFile::text("etc/cloud/cloud.cfg.d/90-few.cfg", CLOUD_CONFIG));
    files.push(GuestFile::text("etc/systemd/system/systemd-udev-trigger.service.d/serial.conf", CONSOLE));
    let idle = ["cloud-config.service", "cloud-final.service"];
    files.extend(idle.map(|unit| GuestFile::link(&format!("etc/systemd/system/{unit}"), "/dev/null")));
    let mut packages = ours.packages.clone();
    packages.push("cloud-init".into());
    let recipe = Recipe { name: "debian12-cloud".into(), packages, files, ..ours.clone() };
    let store = ImageStore::new(host.cache.clone());
    store.ensure(&recipe, host, &|text| eprintln!("{text}")).await.unwrap()
}

/// The lines of an init file by which the machine `name` is made from that image, as from any disk with a kernel beside
/// it; `more` are further ones.
pub(crate) fn machine(image: &ImageInfo, name: &str, more: &str) -> String {
    let disk = format!(
        "template, template_type: qcow2, path: {}, dev: vda, format: qcow2",
        image.dir.join(&image.disk).display()
    );
    machine_from(image, &disk, name, more)
}

fn machine_from(image: &ImageInfo, disk: &str, name: &str, more: &str) -> String {
    let at = |file: &Path| image.dir.join(file).display().to_string();
    let (kernel, initrd) = (at(&image.kernel), at(&image.initrd));
    let cmdline = &image.cmdline;
    format!(
        "  {name}:
    memory: 384
    kernel: {kernel}
    initrd: {initrd}
    cmdline: {cmdline} root=/dev/vda
    disks: [{{name: root, type: {disk}}}]
{more}"
    )
}

const MORE: &str = "    nics: [{net: lan}, {net: back, mtu: 1400}]
    root-password: 'r00t: \"x\"'
    cloud-init: {user-data: {write_files: [{path: /srv/theirs, content: theirs}], ssh_authorized_keys: [ssh-rsa BBBB]}}
";

const NETS: &str = "nets:
  lan: {management: true, ipv6: true, dns_domain_name: foreign.test, dhcp: {start: 100, end: 200}}
  back: {type: isolated, gw: 10.9.8.1}
";

/// What the guest says of itself, a line for each question.
const QUESTIONS: &str = r"
hostname
cut -d' ' -f1-3 /root/.ssh/authorized_keys | cut -c1-12 | sort | uniq | paste -sd' '
ls /etc/ssh/ssh_host_*_key
ip -4 -o address show dev eth1 | sed 's/.* inet \([^ ]*\).*/\1/'
cat /sys/class/net/eth1/mtu
sed -n 's/^root:\(\$6\$\).*/\1/p' /etc/shadow
cat /srv/theirs; echo
cloud-init query instance-id
";

/// The same image in a file at `to`, in which nobody listens to a seed, and all NICs ask for their addresses.
fn without_cloud_init(image: &ImageInfo, to: &Path) {
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().unwrap();
        assert!(output.status.success(), "{program} {words:?}: {output:?}");
    };
    let (from, to_text) = (image.dir.join(&image.disk).display().to_string(), to.display().to_string());
    run("qemu-img", &["convert", "-q", "-f", "qcow2", "-O", "raw", &from, &to_text]);
    let off = to.with_extension("off");
    std::fs::write(&off, "[Match]\nName=e*\n[Network]\nDHCP=yes\n").unwrap();
    for (folder, name) in [("/etc/cloud", "cloud-init.disabled"), ("/etc/systemd/network", "80-dhcp.network")]
    {
        let commands = to.with_extension("commands");
        std::fs::write(&commands, format!("cd {folder}\nwrite {} {name}\n", off.display())).unwrap();
        run("/usr/sbin/debugfs", &["-w", "-f", &commands.display().to_string(), &to_text]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_image_becomes_the_machine_it_is_asked_to_be() {
    let env = |name: &str| std::env::var(name).ok();
    let host = Host::from_env(&env).unwrap();
    let image = debian12_cloud(&host.lab).await;
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let plain = dir.path().join("plain.raw");
    without_cloud_init(&image, &plain);
    let disk = format!("file, path: {}, dev: vda, format: raw", plain.display());
    let plain = machine_from(&image, &disk, "plain", "    root-password: other\n    nics: [{net: lan}]\n");
    let text = format!("domains:\n{}{plain}{NETS}", machine(&image, "cloudy", MORE));
    let spec = initfile::load_text("foreign.yaml".as_ref(), &text, &Options::new(&env)).unwrap().spec;
    let env = Env::up(&host, &spec, &Progress::new(|text| eprintln!("{text}"))).await.unwrap();
    let vm = env.vm("cloudy").unwrap();
    assert_eq!(vm.plan().identity, IdentityFrom::CloudInit);
    let said = vm.succeed(QUESTIONS).await.unwrap();
    let expected = "cloudy
ssh-ed25519  ssh-rsa BBBB
/etc/ssh/ssh_host_ed25519_key
10.9.8.2/24
1400
$6$
theirs
00000000000000000000000000000000-cloudy";
    assert_eq!(said.trim(), expected);
    let six = vm.plan().nics[0].ip6.unwrap();
    vm.succeed(format!("ip -6 address show dev eth0 | grep -F ' {six}/64 '")).await.unwrap();

    // Within its abilities it is like any other machine.
    vm.wait_for_agent(Duration::from_secs(60)).await.unwrap();
    vm.write_file("/srv/there", "and back").await.unwrap();
    vm.copy_from("/srv/there", dir.path().join("back")).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("back")).unwrap(), b"and back");
    assert!(vm.service("ssh").is_active().await.unwrap() && !vm.service("cron").exists().await.unwrap());

    // The other one has no cloud-init: it was told by files on its disk, whose host key is the one that is expected.
    let vm = env.vm("plain").unwrap();
    assert_eq!((vm.plan().identity, vm.plan().distro.as_deref()), (IdentityFrom::Disk, Some("debian")));
    let said =
        vm.succeed("hostname; sed -n 's/^root:.6.*/hashed/p' /etc/shadow; cat /etc/machine-id | wc -c").await;
    assert_eq!(said.unwrap(), "plain\nhashed\n33\n");
    // What it cannot do is told of what it was made from.
    let refused = vm.execute(guest::Command::new("true").over(Channel::Agent)).await.unwrap_err();
    let GuestError::Unsupported { source, .. } = refused else { panic!("{refused}") };
    assert!(source.to_string().starts_with("image `root` does not have "), "{source}");
    vm.wait_for_agent(Duration::from_secs(60)).await.unwrap();
    env.down().await.unwrap();
}
