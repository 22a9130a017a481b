//! SIGKILL of a process in the middle of what it does in a guest, or to a disk: what it was at is never taken for whole, and
//! what it left is ended by the next process that comes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use polder::{
    env::{Env, Host, Vm},
    guest::SyncOptions,
    lab::LabHost,
    workdir::Prefix,
};
use sha2::{Digest, Sha256};

use crate::{arena, typed::Ground};

const ONE: &str = "
domains:
  web:
    memory: 160
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
";

/// What is killed, and within how many milliseconds after it has begun.
const KINDS: [(&str, u64); 5] =
    [("copy", 3000), ("file", 3000), ("tree", 5000), ("script", 3000), ("job", 3000)];
/// Files of the tree, each of a million bytes: more than are sent at once.
const FILES: u8 = 24;
/// A program whose name is seen in the guest, and that never ends by itself.
const ENDLESS: &str = "sleep 4732";

#[test]
#[ignore = "a process of `what_a_killed_command_was_at_is_never_taken_for_whole`"]
fn worker() {
    let of = |name: &str| std::env::var(name).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let host = Host::from_env(&|name| std::env::var(name).ok()).unwrap();
        let prefix = Prefix::at(Path::new(&of("POLDER_TEST_PREFIX")));
        let env = Env::load(&host, &prefix).await.unwrap();
        // Everybody waits for the line that ends here.
        println!("\nbegins");
        work(&env.vm("web").unwrap(), &of("POLDER_TEST_KIND"), Path::new(&of("POLDER_TEST_SOURCE"))).await;
    });
}

async fn work(vm: &Vm, kind: &str, source: &Path) {
    match kind {
        "copy" => vm.copy_to(source, "/root/copy/tree").await.unwrap(),
        "file" => {
            let bytes = fs::read(source.join("0")).unwrap().repeat(8);
            vm.write_file_as("/root/file/f", bytes, 0o600, "root").await.unwrap();
        }
        "tree" => drop(vm.sync_to(source, "/root/tree", SyncOptions::default()).await.unwrap()),
        "script" => {
            let script = format!("#!/bin/sh\n{ENDLESS} &\nwait\n");
            vm.execute(polder::guest::Command::upload(script)).await.unwrap();
        }
        "job" => {
            let _job = vm.spawn(ENDLESS).await.unwrap();
            std::future::pending().await
        }
        other => panic!("{other}"),
    }
}

struct Site {
    ground: Ground,
    source: PathBuf,
    digests: BTreeMap<String, String>,
}

impl Site {
    fn new() -> Self {
        let ground = Ground::new(ONE);
        let source = ground.path("source");
        fs::create_dir(&source).unwrap();
        let mut digests = BTreeMap::new();
        for number in 0..FILES {
            let bytes: Vec<u8> =
                (0..250_000_u32).flat_map(|n| (n ^ u32::from(number) << 24).to_le_bytes()).collect();
            let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            digests.insert(number.to_string(), digest);
            fs::write(source.join(number.to_string()), bytes).unwrap();
        }
        Self { ground, source, digests }
    }

    /// A process that is at it.
    fn worker(&self, kind: &str) -> Child {
        let path = |path: &Path| path.display().to_string();
        let variables = [
            ("POLDER_RUNTIME_DIR", path(&self.ground.path("labs"))),
            ("POLDER_TEST_PREFIX", path(&self.ground.path(".polder/default"))),
            ("POLDER_TEST_SOURCE", path(&self.source)),
            ("POLDER_TEST_KIND", kind.to_owned()),
        ];
        let mut worker = arena::ours("cut_short::worker", &variables);
        let mut worker = worker.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(worker.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line == "begins"), "{kind}: it does not begin");
        // Nobody is to hang, or to fail, because nobody listens.
        std::thread::spawn(move || said.for_each(drop));
        worker
    }

    fn guest(&self, script: &str) -> String {
        self.ground.polder(&["shell", "web", script]).ok()
    }

    /// What is there has its name only when it is whole; nothing else is.
    fn check(&self, kind: &str) {
        // The first to come ends what is left.
        let left = self.guest(
            "ps | grep '[s]leep 4732'
            for n in $(seq 50); do
                left=$(ls -d /tmp/.polder-* /var/tmp/.polder-* /root/.polder-* /root/*/.polder-* 2>/dev/null)
                [ -n \"$left\" ] || break; sleep 0.2
            done; echo $left",
        );
        assert_eq!(left.trim(), "", "{kind}");
        let notes = self.ground.path(".polder/default/notes/web");
        let notes = fs::read_dir(notes).into_iter().flatten().count();
        assert_eq!(notes, 0, "{kind}: what is ended is still noted");
        let said = self
            .guest("cd /root; for d in copy/tree tree; do [ ! -d $d ] || (cd $d && sha256sum *); done; true");
        for line in said.lines() {
            let (digest, name) = line.split_once("  ").unwrap();
            assert_eq!(self.digests[name], digest, "{kind}: {name} is there half");
        }
        let said = self.guest("stat -c %s /root/file/f 2>/dev/null || true");
        assert!(["", "8000000"].contains(&said.trim()), "{kind}: {said}");
    }
}

#[test]
fn what_a_killed_command_was_at_is_never_taken_for_whole() {
    let site = Site::new();
    site.ground.polder(&["init"]).ok();
    site.ground.polder(&["start"]).ok();
    let (rounds, mut dice) = arena::campaign(KINDS.len() as u64);
    for (_, &(kind, within)) in (0..rounds).zip(KINDS.iter().cycle()) {
        site.guest("rm -rf /root/copy /root/file");
        let mut worker = site.worker(kind);
        std::thread::sleep(Duration::from_millis(dice.below(within)));
        worker.kill().unwrap();
        worker.wait().unwrap();
        site.check(kind);
    }
    // Nor is one that was left to end: the tree is whole then, wherever it was cut.
    let whole = site.worker("tree").wait().unwrap();
    assert!(whole.success());
    site.check("tree");
    assert_eq!(site.guest("ls /root/tree | wc -l").trim(), FILES.to_string());
    site.ground.polder(&["stop"]).ok();
}

const FOREIGN: &str = "
domains:
  web:
    nics: [{net: lan}]
    root-password: s3cret-of-the-root
    disks: [{name: root, type: template, template_type: qcow2, path: system.qcow2, dev: vda, format: qcow2}]
nets: {lan: {management: true}}
";

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A project with a foreign system that is told who it is by files written to its disk.
fn foreign() -> Ground {
    let ground = Ground::new(FOREIGN);
    let place = |name: &str| ground.path(name).display().to_string();
    for folder in ["root/etc/ssh", "root/root", "root/usr/lib/systemd", "tmp"] {
        fs::create_dir_all(ground.path(folder)).unwrap();
    }
    for (file, text) in [
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("etc/shadow", "root:*:1::::::\n"),
        ("etc/os-release", "ID=debian\n"),
        ("usr/lib/systemd/systemd", ""),
    ] {
        fs::write(ground.path("root").join(file), text).unwrap();
    }
    run(
        "/usr/sbin/mke2fs",
        &["-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", &place("root"), &place("raw"), "64m"],
    );
    run("qemu-img", &["convert", "-q", "-O", "qcow2", &place("raw"), &place("system.qcow2")]);
    fs::remove_file(ground.path("raw")).unwrap();
    ground
}

/// `polder` with a folder of its own for what is temporary.
fn polder(ground: &Ground, words: &[&str]) -> Command {
    let mut command = ground.command(words);
    command.env("TMPDIR", ground.path("tmp")).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The same, to its end, which is a good one.
fn done(ground: &Ground, words: &[&str]) {
    let output = ground.command(words).env("TMPDIR", ground.path("tmp")).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

#[test]
fn a_disk_that_was_being_written_is_no_disk() {
    let ground = foreign();
    let (rounds, mut dice) = arena::campaign(4);
    let looked = || files(&looked(), &|path| path.extension().is_none_or(|end| end != "json"));
    let before = looked();
    let start = std::time::Instant::now();
    done(&ground, &["-P", "whole", "init"]);
    let takes = u64::try_from(start.elapsed().as_millis()).unwrap().max(1);
    for round in 0..rounds {
        // It is looked at anew.
        run("touch", &[&ground.path("system.qcow2").display().to_string()]);
        let mut victim = polder(&ground, &["-P", "cut", "init"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(dice.below(takes)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let prefix = ground.path(".polder/cut");
        let disk = prefix.join("images/web+root.qcow2");
        if disk.exists() {
            is_whole(&ground, &disk, round);
        }
        if prefix.exists() {
            done(&ground, &["-P", "cut", "destroy", "--yes"]);
        }
        assert!(!prefix.exists(), "{round}");
    }
    done(&ground, &["-P", "cut", "init"]);
    is_whole(&ground, &ground.path(".polder/cut/images/web+root.qcow2"), rounds);
    let left = || looked().into_iter().filter(|path| !before.contains(path)).collect::<Vec<_>>();
    // Others may be looking at images of theirs.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !left().is_empty() {
        assert!(std::time::Instant::now() < end, "what was unpacked to be looked at: {:?}", left());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Where images are that are looked at.
fn looked() -> PathBuf {
    LabHost::from_env(&|name| std::env::var(name).ok()).unwrap().cache.join("looked")
}

fn is_whole(ground: &Ground, disk: &Path, round: u64) {
    let [copy, raw] = ["copy", "raw"].map(|name| ground.path("tmp").join(name).display().to_string());
    fs::copy(disk, &copy).unwrap();
    let system = ground.path("system.qcow2").display().to_string();
    run("qemu-img", &["rebase", "-u", "-f", "qcow2", "-b", &system, "-F", "qcow2", &copy]);
    run("qemu-img", &["convert", "-q", "-f", "qcow2", "-O", "raw", &copy, &raw]);
    run("/usr/sbin/e2fsck", &["-fn", &raw]);
    assert_eq!(run("/usr/sbin/debugfs", &["-R", "cat /etc/hostname", &raw]), "web\n", "{round}");
    [copy, raw].iter().for_each(|path| fs::remove_file(path).unwrap());
}

/// Files below a folder that are so.
fn files(folder: &Path, is: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => found.extend(files(&path, is)),
            Ok(meta) if meta.is_file() && is(&path) => found.push(path),
            _ => {}
        }
    }
    found
}

#[test]
fn secrets_are_where_they_are_asked_for_and_nowhere_else() {
    let ground = foreign();
    let mut victim = polder(&ground, &["init"]).spawn().unwrap();
    let (here, looked, secret) = (ground.path(""), looked(), b"s3cret-of-the-root");
    let mut seen = BTreeMap::new();
    // While it is at it as well as after.
    loop {
        let ended = victim.try_wait().unwrap();
        for path in [&here, &looked].iter().flat_map(|place| files(place, &|path| holds(path, secret))) {
            let mode = path.metadata().map_or(0, |meta| meta.permissions().mode());
            seen.insert(path.strip_prefix(&here).unwrap_or(&path).to_owned(), mode & 0o077);
        }
        match ended {
            Some(status) => break assert!(status.success()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    // Who wrote it down asked for it; what the prefix knows of it is for its owner. On the disk there is a hash.
    let prefix = Path::new(".polder/default");
    seen.retain(|path, others| {
        path != Path::new("LagoInitFile") && (*others != 0 || path.parent() != Some(prefix))
    });
    assert!(seen.is_empty(), "{seen:?}");
    let key = fs::read_to_string(here.join(prefix).join("id_ed25519")).unwrap();
    let secret = key.lines().nth(3).unwrap().as_bytes();
    assert_eq!(files(&here, &|path| holds(path, secret)), [here.join(prefix).join("id_ed25519")]);
}

fn holds(path: &Path, secret: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
}
