//! Files to and from machines, and what is collected of them, running and stopped, typed at the command; and what is left
//! when the command or the machine is killed in the middle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::typed::Ground;

const ONE: &str = "
domains:
  web:
    memory: 160
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
    artifacts: [/var/log/*.log, /root/tree, /etc/none, /root/no*ne, /root/link, /root/big]
nets:
  lan: {type: nat, management: true}
";

/// Bytes that take a while to come: what is to be killed in the middle has a middle.
const BIG: u64 = 300 << 20;

const FILL: &str = "
mkdir -p /var/log
echo one > /var/log/a.log
echo 'two' > '/var/log/b c.log'
ln -s tree /root/link
truncate -s 300M /root/big
sync";

#[test]
fn files_come_and_go_and_are_collected_whatever_happens() {
    let ground = Ground::new(ONE);
    ground.polder(&["init"]).ok();
    ground.polder(&["start"]).ok();
    copied(&ground);
    ground.polder(&["shell", "web", FILL]).ok();
    let live = collected(&ground);
    killed(&ground);
    switched_off(&ground, &live);
}

fn copied(ground: &Ground) {
    let tree = ground.path("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("a b"), "blank").unwrap();
    fs::write(tree.join("sub/-n"), "dash").unwrap();
    fs::write(ground.path("more"), "more").unwrap();
    std::os::unix::fs::symlink("a b", tree.join("to")).unwrap();
    // Below a folder that is there, else as what was named; with the slash of nobody in the way.
    ground.polder(&["copy-to-vm", "web", "tree", "more", "/root"]).ok();
    ground.polder(&["copy-to-vm", "web", "more", "/root/new/name"]).ok();
    let said = ground.polder(&["shell", "web", "cat '/root/tree/to' /root/more /root/new/name"]).ok();
    assert_eq!(said, "blankmoremore");
    fs::create_dir(ground.path("here")).unwrap();
    ground.polder(&["copy-from-vm", "web", "/root/tree", "here"]).ok();
    ground.polder(&["copy-from-vm", "web", "/root/new/name", "fresh/name"]).ok();
    assert_eq!(fs::read(ground.path("here/tree/sub/-n")).unwrap(), b"dash");
    assert_eq!(ground.link("here/tree/to"), Path::new("a b"));
    assert_eq!(fs::read(ground.path("fresh/name")).unwrap(), b"more");
    ground
        .polder(&["copy-to-vm", "web", "nope", "neither", "/root"])
        .fails(2, "there is no nope, no neither");
    ground.polder(&["copy-to-vm", "wbe", "more", "/root"]).fails(2, "did you mean `web`?");
    ground.polder(&["copy-from-vm", "web", "/no/such", "x"]).fails(1, "web has no file or folder `/no/such`");
    assert!(!ground.path("x").exists());
}

/// What was collected of the machine itself, by name: its bytes.
fn files_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => {
                let below = files_of(&entry.path());
                files.extend(below.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
            }
            kind if kind.is_file() => drop(files.insert(name, fs::read(entry.path()).unwrap())),
            _ => {}
        }
    }
    files
}

fn collected(ground: &Ground) -> BTreeMap<String, Vec<u8>> {
    let said = ground.polder(&["collect", "-o", "out", "--max-path", "1"]).ok();
    assert!(said.contains("no web/_etc_none") && said.contains("nothing fits the pattern"), "{said}");
    let files = files_of(&ground.path("out/web"));
    let has = |name: &str, text: &str| {
        let file = files.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
        assert!(String::from_utf8_lossy(file).contains(text), "{name} has no {text}");
    };
    has("_var_log_a.log", "one");
    has("_var_log_b c.log", "two");
    has("_root_tree/sub/-n", "dash");
    has("_root_link/sub/-n", "dash");
    has("_etc_os-release", "polder-minimal");
    has("_proc_cmdline", "console=ttyS0");
    has("system/addresses.txt", "eth0");
    has("system/mounts.txt", "ext4");
    has("system/processes.txt", "dropbear");
    has("dmesg.txt", "Linux version");
    has("console.log", "");
    assert_eq!(files["_root_big"].len(), 1 << 20);
    // Once more: what is there stays under another name; only who asks is told by the exit status.
    ground.polder(&["collect", "--output", "out", "--no-skip", "--max-path", "1"]).fails(1, "");
    let old = fs::read_dir(ground.path("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(old.filter(|name| name.starts_with("out.2")).count(), 1);
    let manifest = manifest(ground, "out");
    let big = &manifest["web/_root_big"];
    assert_eq!(big["missing"], format!("of the {BIG} bytes of /root/big, the last {}", 1 << 20), "{big}");
    assert_eq!(
        (&big["wanted"], &big["bytes"], &big["how"]),
        (&"/root/big".into(), &(1 << 20).into(), &"ssh".into())
    );
    ground.polder(&["collect", "-o", "none", "-n", "wbe"]).fails(2, "did you mean `web`?");
    assert!(!ground.path("none").exists());
    files
}

/// Entries of a manifest by their places.
fn manifest(ground: &Ground, out: &str) -> BTreeMap<String, serde_json::Value> {
    let text = fs::read_to_string(ground.path(out).join("manifest.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = all["entries"].as_array().unwrap();
    entries.iter().map(|entry| (entry["path"].as_str().unwrap().to_owned(), entry.clone())).collect()
}

/// Starts a command and waits until it has begun to write what it fetches: something hidden in `folder`.
fn begun(ground: &Ground, args: &[&str], folder: &str, mark: &str) -> Child {
    let child = ground.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let is_begun = || {
        let entries = fs::read_dir(ground.path(folder)).into_iter().flatten().flatten();
        let hidden = entries.filter(|e| e.file_name().to_string_lossy().starts_with(mark)).map(|e| e.path());
        hidden.into_iter().any(|path| path.is_file() || big_in(&path))
    };
    while !is_begun() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

fn big_in(folder: &Path) -> bool {
    folder.join("root/big").exists()
}

fn killed(ground: &Ground) {
    // The command: nothing has the name of a whole file.
    let copy = ["copy-from-vm", "web", "/root/big", "kill/big"];
    let mut child = begun(ground, &copy, "kill", ".polder-");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!ground.path("kill/big").exists());
    let mut child =
        begun(ground, &["collect", "-o", "part", "--max-path", "2000"], "part/web", ".gathering-");
    child.kill().unwrap();
    child.wait().unwrap();
    let names = fs::read_dir(ground.path("part/web")).unwrap().map(|e| e.unwrap().file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with('_')), "{names:?}");
    assert!(!ground.path("part/manifest.json").exists());

    // The machine: each path has its result, and the command ends well.
    let child = begun(
        ground,
        &["-f", "json", "collect", "-o", "dead", "--max-path", "2000"],
        "dead/web",
        ".gathering-",
    );
    ground.polder(&["stop", "web"]).ok();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["folder"].as_str().unwrap().ends_with("/dead"), "{said}");
    let manifest = manifest(ground, "dead");
    let why = |place: &str| manifest[place]["missing"].as_str().unwrap_or_default().to_owned();
    assert_eq!(why("web/_root_tree"), "", "it came before");
    assert!(why("web/_root_big").contains("lost web while it ran"), "{}", why("web/_root_big"));
    assert!(why("web/_etc_none").contains("there is no such file"), "{}", why("web/_etc_none"));
}

/// From the disk of the machine, with the same names.
fn switched_off(ground: &Ground, live: &BTreeMap<String, Vec<u8>>) {
    ground.polder(&["copy-to-vm", "web", "more", "/root"]).fails(1, "web is not running but absent");
    ground.polder(&["collect", "-o", "off", "--max-path", "1"]).ok();
    let off = files_of(&ground.path("off/web"));
    let asked = |files: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
        let ours = |name: &str| name.starts_with("_root") || name.starts_with("_var_log_");
        files.clone().into_iter().filter(|(name, _)| ours(name)).collect()
    };
    assert!(asked(&off) == asked(live), "{:?} is not {:?}", off.keys(), live.keys());
    assert!(off.contains_key("_etc_os-release") && off.contains_key("console.log"), "{:?}", off.keys());
    let manifest = manifest(ground, "off");
    let how = manifest["web/_root_tree"]["how"].as_str().unwrap();
    assert!(how.starts_with("read from web") && how.ends_with("without the machine"), "{how}");
    ground.polder(&["collect", "-o", "off", "--max-path", "1", "--no-skip"]).fails(1, "");
}
