//! Foreign disks that are prepared, by writing to them and by a `virt-customize`: once, whole or not at all, also when whoever
//! is at it is killed. The program is a stand-in that changes the disk and keeps a diary; the real one is tested where it
//! is installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use polder::lab::LabHost;

use crate::{
    arena, guestfs,
    typed::{Ground, Said},
};

const FILE: &str = "
domains:
  a: &a
    memory: 64
    nics: [{net: lan}]
    root-password: s3cret
    disks:
      - {name: root, type: template, template_type: qcow2, path: system.qcow2, dev: vda, format: qcow2}
      - name: data
        type: file
        path: system.qcow2
        dev: vdb
        format: qcow2
        build: [{virt-customize: {upload: 'motd:/etc/motd', root-password: 'password:hidden'}}]
  b: *a
  own:
    nics: [{net: lan}]
    bootstrap: false
    disks:
      - name: root
        type: template
        template_type: qcow2
        path: system.qcow2
        dev: vda
        format: qcow2
        build: [{virt-customize: {ssh-inject: ''}}]
nets: {lan: {management: true}}
";

/// What the stand-in writes to every disk, where the file system has nothing.
const MARK: &str = "-P 0x5a 8M 64k";

/// Notes its words and commands; changes the disk. It hangs or fails when it is told to.
const STAND_IN: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
cd "${0%/*}/.." || exit 9
for word in "$@"; do case $before in -a) disk=$word ;; --commands-from-file) commands=$word ;; esac; before=$word; done
echo "run $*" >>diary
cat "$commands" >>diary
[ -e hang ] && exec sleep 1000
[ -e fail ] && echo "no operating system was found" >&2 && exit 1
exec qemu-io -f qcow2 -c "write MARK" "$disk" >/dev/null
"#;

struct Site(Ground);

impl Site {
    fn new() -> Self {
        let site = Self(Ground::new(FILE));
        let place = |name: &str| site.0.path(name);
        for folder in ["bin", "root/etc", "root/usr/lib/systemd"] {
            fs::create_dir_all(place(folder)).unwrap();
        }
        for (file, text) in [
            ("motd", "hello"),
            ("root/etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ("root/etc/shadow", "root:*:1::::::\n"),
            ("root/etc/os-release", "ID=debian\n"),
            ("root/usr/lib/systemd/systemd", ""),
        ] {
            fs::write(place(file), text).unwrap();
        }
        let raw = place("raw").display().to_string();
        let root = place("root").display().to_string();
        run("/usr/sbin/mke2fs", &["-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", &root, &raw, "16m"]);
        let image = place("system.qcow2").display().to_string();
        run("qemu-img", &["convert", "-q", "-O", "qcow2", &raw, &image]);
        // Written by a child, so that no other test's child holds it open for writing when it is run.
        let script = place("bin/virt-customize").display().to_string();
        let write =
            format!("cat >'{script}' <<'END'\n{}END\nchmod 755 '{script}'", STAND_IN.replace("MARK", MARK));
        run("sh", &["-c", &write]);
        site
    }

    fn command(&self, words: &str) -> Command {
        let words: Vec<&str> = words.split(' ').collect();
        let mut command = self.0.command(&words);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.0.path("bin").display()));
        command
    }

    fn polder(&self, words: &str) -> Said {
        Said::of(&self.command(words).output().unwrap())
    }

    /// What the stand-in was told since it was asked last.
    fn diary(&self) -> String {
        let diary = fs::read_to_string(self.0.path("diary")).unwrap_or_default();
        let _ = fs::remove_file(self.0.path("diary"));
        diary
    }

    fn disk(&self, prefix: &str, disk: &str) -> PathBuf {
        self.0.path(&format!(".polder/{prefix}/images/{disk}.qcow2"))
    }

    /// Folders of layers that environments of this project use, and what was left of some.
    fn layers(&self) -> Vec<PathBuf> {
        let cache = LabHost::from_env(&|name| std::env::var(name).ok()).unwrap().cache;
        let here = self.0.path("").display().to_string();
        let ours = |folder: &PathBuf| {
            let users = fs::read_dir(folder.join("users")).into_iter().flatten().flatten();
            users
                .into_iter()
                .any(|user| fs::read_to_string(user.path()).is_ok_and(|path| path.starts_with(&here)))
        };
        let folders = fs::read_dir(cache.join("images")).into_iter().flatten().flatten().map(|e| e.path());
        folders.filter(ours).collect()
    }
}

/// They are in the cache of whoever runs the tests.
impl Drop for Site {
    fn drop(&mut self) {
        self.layers().iter().for_each(|layer| fs::remove_dir_all(layer).unwrap());
    }
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The content of a disk. What lies over the system is named as only a lab sees it.
fn content(disk: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let [copy, raw] = ["copy", "raw"].map(|name| dir.path().join(name).display().to_string());
    fs::copy(disk, &copy).unwrap();
    if run("qemu-img", &["info", "-U", &copy]).contains("/run/polder/files/") {
        let system = disk.ancestors().nth(4).unwrap().join("system.qcow2").display().to_string();
        run("qemu-img", &["rebase", "-u", "-f", "qcow2", "-b", &system, "-F", "qcow2", &copy]);
    }
    run("qemu-img", &["convert", "-q", "-f", "qcow2", "-O", "raw", &copy, &raw]);
    dir
}

/// Whether the stand-in was at a disk.
fn is_marked(disk: &Path) -> bool {
    let bytes = fs::read(content(disk).path().join("raw")).unwrap();
    bytes[8 << 20..][..64 << 10].iter().all(|byte| *byte == 0x5a)
}

fn file_of(disk: &Path, file: &str) -> String {
    let content = content(disk);
    let raw = content.path().join("raw").display().to_string();
    assert!(
        Command::new("/usr/sbin/e2fsck").args(["-fn", &raw]).output().unwrap().status.success(),
        "it is damaged"
    );
    run("/usr/sbin/debugfs", &["-R", &format!("cat {file}"), &raw])
}

#[test]
fn disks_are_prepared_once_and_never_half() {
    let site = Site::new();
    // Whoever is killed leaves nothing that is taken for something.
    fs::write(site.0.path("hang"), "").unwrap();
    let mut killed = site.command("init").spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !site.0.path("diary").exists() {
        assert!(
            Instant::now() < deadline && killed.try_wait().unwrap().is_none(),
            "it does not come to the first step"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    arena::kill(i32::try_from(killed.id()).unwrap());
    killed.wait().unwrap();
    fs::remove_file(site.0.path("hang")).unwrap();
    assert_eq!(site.diary().matches("run ").count(), 1, "the same for two machines is done once");
    site.polder("destroy --yes").ok();
    assert!(site.layers().is_empty());

    // Nor does one that fails.
    fs::write(site.0.path("fail"), "").unwrap();
    let failed = site.polder("init");
    assert!(
        failed.err.contains("cannot prepare the disk data of machine") && failed.code == Some(5),
        "{failed:?}"
    );
    failed.fails(5, "no operating system was found");
    fs::remove_file(site.0.path("fail")).unwrap();
    assert!(!site.0.path(".polder/default").exists() && site.layers().is_empty());
    site.diary();

    let said = site.polder("init");
    assert!(said.err.contains("a is told who it is by files written to its ext file system"), "{said:?}");
    said.ok();
    let diary = site.diary();
    assert_eq!(diary.matches("run ").count(), 2, "{diary}");
    let words: Vec<&str> = diary.lines().filter(|line| line.starts_with("run ")).collect();
    assert!(words.iter().all(|line| !line.contains("hidden") && !line.contains("s3cret")), "{diary}");
    let motd = site.0.path("motd");
    assert!(
        diary.contains(&format!("\nupload {}:/etc/motd\nroot-password password:hidden\n", motd.display())),
        "{diary}"
    );
    let key = fs::read_to_string(site.0.path(".polder/default/id_ed25519.pub")).unwrap();
    assert!(diary.contains(&format!("ssh-inject root:string:{}", key.trim())), "{diary}");

    for machine in ["a", "b"] {
        let root = site.disk("default", &format!("{machine}+root"));
        assert_eq!(file_of(&root, "/etc/hostname"), format!("{machine}\n"));
        assert_eq!(file_of(&root, "/root/.ssh/authorized_keys"), key);
        assert!(file_of(&root, "/etc/shadow").starts_with("root:$6$"));
        assert!(!is_marked(&root) && is_marked(&site.disk("default", &format!("{machine}+data"))));
        // Only what was changed is on it.
        assert!(fs::metadata(&root).unwrap().len() < 4 << 20, "{:?}", fs::metadata(&root));
    }
    let own = site.disk("default", "own+root");
    assert!(is_marked(&own) && file_of(&own, "/etc/shadow").starts_with("root:*"));
    assert_eq!(site.layers().len(), 1);

    // Nothing on it boots, but whoever starts it finds everything its disks lie over.
    site.polder("start a").ok();
    assert!(site.polder("status").ok().contains("running"));
    site.polder("stop").ok();

    // Another environment finds what it can share.
    site.polder("-P second init").ok();
    assert_eq!(site.diary().matches("run ").count(), 1, "its own");
    assert!(is_marked(&site.disk("second", "b+data")));
    site.polder("-P third init --skip-build --skip-bootstrap").ok();
    assert_eq!(site.diary(), "");
    let root = site.disk("third", "a+root");
    assert!(!is_marked(&site.disk("third", "a+data")) && file_of(&root, "/etc/shadow").starts_with("root:*"));

    // What goes in is part of what it is.
    fs::write(site.0.path("motd"), "other").unwrap();
    site.polder("-P fourth init").ok();
    assert_eq!((site.diary().matches("run ").count(), site.layers().len()), (2, 2));
    fs::remove_file(site.0.path("motd")).unwrap();
    site.polder("-P fifth init").fails(5, "cannot read");
}

#[test]
fn without_the_program_it_is_said_where_to_get_it() {
    if guestfs::is_there("virt-customize") {
        return;
    }
    let site = Site::new();
    let without = Said::of(&site.0.command(&["init"]).output().unwrap());
    without.fails(5, "`virt-customize` is needed and not installed; it is in the package `guestfs-tools`");
    assert!(!site.0.path(".polder/default").exists());
}
