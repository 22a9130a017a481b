//! Destroying works, whatever has happened to a prefix or to what runs for it: everything of the environment goes,
//! nothing else does, and what was found is said. On both kinds of labs.

mod list;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use polder::{
    base::owner,
    env::{Env, Host, Progress, Selection},
    initfile::{self, Options},
    lab::LabKind,
    workdir::{Prefix, Workdir},
};

use crate::{
    arena,
    own_host::{self, OwnHost},
};

use list::{ALL, DAMAGES, Damage, PARTS, WHOLE};

const LIMIT: Duration = Duration::from_secs(30);

const ONE: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    nics: [{net: front}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  front: {type: nat, management: true, dhcp: {start: 100, end: 200}}
";

/// An environment with one machine that runs, about to be damaged.
struct Scene {
    kind: LabKind,
    root: PathBuf,
    prefix: PathBuf,
    /// Where its daemon listens.
    uri: String,
    /// What libvirt calls its machine and its net.
    domain: String,
    net: String,
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.prefix.join(name)
    }

    fn remove(&self, name: &str) {
        let path = self.path(name);
        if fs::symlink_metadata(&path).is_ok_and(|is| is.is_dir()) {
            fs::remove_dir_all(path).unwrap();
        } else {
            let _ = fs::remove_file(path);
        }
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    fn cut(&self, name: &str, len: usize) {
        let mut content = fs::read(self.path(name)).unwrap();
        content.truncate(len);
        self.write(name, &content);
    }

    fn replace_by_folder(&self, name: &str) {
        self.remove(name);
        fs::create_dir_all(self.path(name).join("deep")).unwrap();
    }

    fn replace_by_link(&self, name: &str, to: &str) {
        self.remove(name);
        symlink(to, self.path(name)).unwrap();
    }

    fn freeze(&self) {
        let mut folders = vec![self.prefix.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o400)).unwrap(),
                }
            }
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        }
    }

    /// A folder that is not ours, with files in it.
    fn strangers(&self) -> PathBuf {
        strangers(&self.root)
    }

    fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// The file of its lease.
    fn lease(&self, kind: &str) -> PathBuf {
        let ours = self.prefix.join("uuid").display().to_string();
        let lease = |path: &PathBuf| {
            path.extension().is_some_and(|e| e == "lease")
                && fs::read_to_string(path).unwrap().contains(&ours)
        };
        let files = fs::read_dir(self.leases()).unwrap().flatten().map(|entry| entry.path());
        files.into_iter().find(lease).unwrap().with_extension(kind)
    }

    fn virsh(&self, args: &[&str]) -> String {
        virsh(&self.uri, args)
    }

    fn rename_machine(&self) {
        let xml = self.virsh(&["dumpxml", &self.domain]);
        self.virsh(&["destroy", &self.domain]);
        let renamed: String = xml
            .replace(&format!("<name>{}</name>", self.domain), "<name>another</name>")
            .lines()
            .filter(|line| !line.contains("<uuid>"))
            .collect();
        let file = self.root.join("renamed.xml");
        fs::write(&file, renamed).unwrap();
        self.virsh(&["create", "--paused", file.to_str().unwrap()]);
    }

    fn bridge(&self) -> String {
        let info = self.virsh(&["net-info", &self.net]);
        let line = info.lines().find_map(|line| line.strip_prefix("Bridge:"));
        line.unwrap().trim().to_owned()
    }

    fn lab(&self) -> PathBuf {
        polder::lab::serving(&self.root.join("labs"), &self.prefix)[0].paths().folder.clone()
    }

    fn warden(&self) -> i32 {
        let id: serde_json::Value =
            serde_json::from_slice(&fs::read(self.lab().join("warden.json")).unwrap()).unwrap();
        i32::try_from(id["pid"].as_i64().unwrap()).unwrap()
    }

    /// The processes of this machine's lab, or of this host, whose command line begins with that program and holds
    /// that word.
    fn processes(&self, program: &str, word: &str) -> Vec<i32> {
        let below = (self.kind == LabKind::Hermetic).then(|| self.warden());
        let is = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.split('\0').next().is_some_and(|first| first.contains(program)) && line.contains(word)
        };
        arena::all_below(below).into_iter().filter(is).collect()
    }

    fn kill_emulator(&self) {
        let found = self.processes("qemu", &format!("guest={}", self.domain));
        assert_eq!(found.len(), 1);
        arena::kill(found[0]);
        until("libvirt has noticed", || !names(&self.uri, "list").contains(&self.domain));
    }

    /// Everything that runs in its lab, and that by which it is told apart from what gets its number later.
    fn alive(&self) -> Vec<(i32, u64)> {
        if self.kind == LabKind::System {
            return Vec::new();
        }
        let warden = self.warden();
        let all = arena::all_below(Some(warden)).into_iter().chain([warden]);
        all.filter_map(|pid| Some((pid, owner::start_time(pid)?))).collect()
    }

    fn kill_daemon(&self) {
        let found = self.processes("libvirtd", "");
        assert_eq!(found.len(), 1);
        arena::kill(found[0]);
    }
}

fn strangers(root: &Path) -> PathBuf {
    root.join("strangers")
}

fn virsh(uri: &str, args: &[&str]) -> String {
    let out = Command::new("virsh").args(["-q", "-c", uri]).args(args).output().unwrap();
    assert!(out.status.success(), "virsh {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn names(uri: &str, what: &str) -> Vec<String> {
    virsh(uri, &[what, "--name"])
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|l| !l.is_empty())
        .collect()
}

/// Where environments are made and damaged.
struct Stage {
    kind: LabKind,
    root: PathBuf,
    host: Host,
    uri: Option<&'static str>,
    spec: initfile::EnvSpec,
}

impl Stage {
    fn new(kind: LabKind, root: PathBuf, uri: Option<&'static str>) -> Self {
        let labs = root.join("labs").display().to_string();
        let env = |name: &str| match name {
            "POLDER_RUNTIME_DIR" => Some(labs.clone()),
            _ => std::env::var(name).ok(),
        };
        let mut host = Host::from_env(&env).unwrap();
        host.kind = kind;
        host.daemon.leases = root.join("leases");
        if let Some(uri) = uri {
            host.daemon.uri = uri.to_owned();
        }
        let theirs = strangers(&root);
        fs::create_dir_all(theirs.join("deep")).unwrap();
        fs::write(theirs.join("deep/file"), "theirs").unwrap();
        fs::write(theirs.join("uuid"), "theirs").unwrap();
        let spec = initfile::load_text(Path::new("one.yaml"), ONE, &Options::new(&|_| None)).unwrap().spec;
        Self { kind, root, host, uri, spec }
    }

    async fn up(&self, workdir: &str) -> Scene {
        let progress = Progress::new(|_| {});
        let workdir = Workdir::create(&self.root.join(workdir).join(".polder")).unwrap();
        let prefix = workdir.add("default").unwrap();
        let locked = prefix.lock("init", LIMIT).await.unwrap();
        let before = self.uri.map(|uri| (names(uri, "list"), names(uri, "net-list"))).unwrap_or_default();
        let env = Env::init(&self.host, &locked, &self.spec, &progress).await.unwrap();
        drop(locked);
        env.start(&Selection::All, &progress).await.unwrap();
        let folder = prefix.path().to_owned();
        let uri = match self.uri {
            Some(uri) => uri.to_owned(),
            None => {
                use polder::lab::Lab;
                polder::lab::serving(&self.root.join("labs"), &folder)[0].libvirt_uri()
            }
        };
        let new = |what, before: &[String]| {
            let names = names(&uri, what);
            names.into_iter().find(|name| !before.contains(name)).unwrap()
        };
        let (domain, net) = (new("list", &before.0), new("net-list", &before.1));
        Scene { kind: self.kind, root: self.root.clone(), prefix: folder, uri, domain, net }
    }

    /// What is there and not the victim's.
    fn others(&self, neighbour: &Scene) -> BTreeMap<String, Vec<String>> {
        let files = |folder: &Path| {
            let mut files: Vec<String> = Vec::new();
            let mut folders = vec![folder.to_owned()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                    files.push(entry.path().display().to_string());
                    if entry.file_type().unwrap().is_dir() {
                        folders.push(entry.path());
                    }
                }
            }
            files.sort();
            files
        };
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let mut others = BTreeMap::new();
        others.insert("neighbour".into(), files(&neighbour.prefix));
        others.insert("strangers".into(), files(&strangers(&self.root)));
        others.insert("domains".into(), sorted(names(&neighbour.uri, "list")));
        others.insert("nets".into(), sorted(names(&neighbour.uri, "net-list")));
        let labs = fs::read_dir(self.root.join("labs")).into_iter().flatten().flatten();
        let labs = labs.filter(|entry| entry.path().is_dir()).map(|entry| entry.path().display().to_string());
        others.insert("labs".into(), sorted(labs.collect()));
        others
    }

    fn leases(&self) -> Vec<String> {
        let files = fs::read_dir(self.root.join("leases")).into_iter().flatten().flatten();
        files.filter_map(|e| e.file_name().into_string().ok()).filter(|n| n.ends_with(".lease")).collect()
    }
}

/// Those that happen now: a sample, or all of them in a soak.
fn sample(kind: LabKind) -> Vec<&'static Damage> {
    let there = |damage: &&Damage| match kind {
        LabKind::Hermetic => damage.2.is_some(),
        LabKind::System => damage.3.is_some(),
    };
    let mut kinds: Vec<_> = DAMAGES.iter().filter(there).collect();
    assert!(kinds.len() >= 25);
    let (rounds, mut dice) = arena::campaign(6);
    for at in 0..kinds.len() {
        let left = u64::try_from(kinds.len() - at).unwrap();
        kinds.swap(at, at + usize::try_from(dice.below(left)).unwrap());
    }
    // Those after which less is found than otherwise are few, and the hardest.
    kinds.sort_by_key(|damage| match kind {
        LabKind::Hermetic => damage.2 == WHOLE,
        LabKind::System => damage.3 == ALL,
    });
    kinds.truncate(usize::try_from(rounds).unwrap());
    kinds
}

/// Waits for what happens by itself.
fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn play(stage: &Stage) {
    if let Some(uri) = stage.uri {
        for (verb, xml) in [
            ("net-create", "<network><name>theirs</name></network>".to_owned()),
            ("create", own_host::idle_domain("theirs", "")),
        ] {
            let file = stage.root.join("theirs.xml");
            fs::write(&file, xml).unwrap();
            virsh(uri, &[verb, file.to_str().unwrap()]);
        }
    }
    let neighbour = stage.up("neighbour").await;
    let progress = Progress::new(|_| {});
    let mut failures = Vec::new();
    for (number, Damage(name, word, own, shared, damage)) in sample(stage.kind).into_iter().enumerate() {
        let Some(parts) = (if stage.kind == LabKind::Hermetic { own } else { shared }) else { continue };
        let (before, leases) = (stage.others(&neighbour), stage.leases());
        let scene = stage.up(&format!("victim-{number}")).await;
        let alive = scene.alive();
        damage(&scene);
        let prefix = Prefix::at(&scene.prefix);
        let mut check = |ok: bool, what: String| {
            if !ok {
                failures.push(format!("{} lab, {name}: {what}", stage.kind));
            }
        };
        match Env::destroy(&stage.host, &prefix, false, &progress).await {
            Ok(destroyed) => {
                let found = destroyed.found.join("\n");
                check(found.contains(word), format!("`{word}` is not in what was found:\n{found}"));
                let said = |part: &&&str| destroyed.found.iter().any(|line| line.starts_with(**part));
                let said: Vec<_> = PARTS.iter().filter(said).copied().collect();
                check(said == *parts, format!("not {parts:?} were found, but:\n{found}"));
                let left: Vec<_> = destroyed.left.iter().map(ToString::to_string).collect();
                check(left.is_empty(), format!("left: {left:?}"));
            }
            Err(error) => check(false, format!("refused: {error}")),
        }
        check(
            fs::symlink_metadata(&scene.prefix).is_err(),
            format!("{} is still there", scene.prefix.display()),
        );
        // A warden looks for its folder now and then.
        let deadline = Instant::now() + arena::LIMIT * 5;
        let still = || alive.iter().any(|(pid, started)| owner::start_time(*pid) == Some(*started));
        while still() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        check(!still(), format!("of {alive:?} something still runs"));
        let after = stage.others(&neighbour);
        check(after == before, format!("others changed:\n{before:#?}\n{after:#?}"));
        let taken = name.contains("taken by another");
        let expected = if *name == "leases missing" { 0 } else { leases.len() + usize::from(taken) };
        check(stage.leases().len() == expected, format!("leases: {leases:?}, then {:?}", stage.leases()));
        eprintln!("{} lab, {name}: destroyed", stage.kind);
    }
    let destroyed =
        Env::destroy(&stage.host, &Prefix::at(&neighbour.prefix), false, &progress).await.unwrap();
    assert!(destroyed.left.is_empty());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_prefix_in_a_lab_of_its_own_it_can_be_destroyed() {
    let dir = tempfile::Builder::new().prefix("pd").tempdir_in("/var/tmp").unwrap();
    play(&Stage::new(LabKind::Hermetic, dir.path().to_owned(), None)).await;
}

#[test]
fn whatever_happens_to_a_prefix_on_a_daemon_it_can_be_destroyed() {
    own_host::run("damage::on_a_daemon", &[]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `whatever_happens_to_a_prefix_on_a_daemon_it_can_be_destroyed`"]
async fn on_a_daemon() {
    let own = OwnHost::here();
    play(&Stage::new(LabKind::System, own.root.clone(), Some(own.uri))).await;
}
