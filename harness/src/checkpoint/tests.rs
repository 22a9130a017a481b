//! Tests of the store: whole or not at all, whoever is killed; damage is found; what nobody uses makes room.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use super::{Damage, Found, Ingredients, Key, Level, Store};
use crate::initfile::EnvSpec;

fn key(what: &str) -> Key {
    let none = BTreeMap::new();
    let makers = BTreeMap::from([("test".to_owned(), what.to_owned())]);
    let spec = EnvSpec { origin: "/x".into(), machines: vec![], nets: vec![] };
    Key::new(&Ingredients {
        level: Level::Boot,
        spec: &spec,
        decided: &BTreeMap::new(),
        files: &BTreeMap::new(),
        templates: &none,
        makers: &makers,
    })
}

fn put(store: &Store, what: &str, bytes: usize) {
    let draft = store.begin().unwrap();
    fs::write(draft.folder().join("web.save"), vec![7; bytes]).unwrap();
    fs::write(draft.folder().join("web.qcow2"), what).unwrap();
    let entry = draft.finish(&key(what)).unwrap();
    assert_eq!(entry.manifest.files.len(), 2);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

#[test]
fn what_is_put_in_is_found_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(&dir.path().join("deep/store"));
    assert!(matches!(store.find(&key("a")).unwrap(), Found::Nothing));
    put(&store, "a", 10);
    let Found::There(entry) = store.find(&key("a")).unwrap() else { panic!() };
    assert_eq!(fs::read_to_string(entry.folder.join("web.qcow2")).unwrap(), "a");
    assert_eq!(entry.manifest.lines["made by test"], "a");
    assert!(matches!(store.find(&key("b")).unwrap(), Found::Nothing));
    assert_eq!(store.verify(&key("a").digest()).unwrap(), None);
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(store.named(&listed[0].key[..8]).unwrap().key, listed[0].key);
    assert!(store.named("").is_err() && store.named("x").is_err());
}

#[test]
fn what_is_not_finished_is_not_there_and_what_is_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let draft = store.begin().unwrap();
    fs::write(draft.folder().join("x"), "x").unwrap();
    assert_eq!(names(dir.path()).len(), 1);
    drop(draft);
    assert_eq!(names(dir.path()), [""; 0]);
    for bad in ["link", "folder", ".hidden", "manifest.json"] {
        let draft = store.begin().unwrap();
        let path = draft.folder().join(bad);
        match bad {
            "link" => symlink("/etc/passwd", &path).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => fs::write(&path, "{}").unwrap(),
        }
        let error = draft.finish(&key("a")).unwrap_err();
        assert!(error.to_string().contains(bad), "{error}");
        assert_eq!(names(dir.path()), [""; 0], "{bad}");
    }
}

/// Does something bad to an entry.
type Spoil = fn(&Path);

#[rstest::rstest]
#[case::truncated(|f: &Path| fs::write(f.join("web.save"), [7; 9]).unwrap(), "`web.save` has 9 bytes instead of 10")]
#[case::longer(|f: &Path| fs::write(f.join("web.save"), [7; 11]).unwrap(), "`web.save` has 11 bytes instead of 10")]
#[case::missing(|f: &Path| fs::remove_file(f.join("web.save")).unwrap(), "`web.save` is missing")]
#[case::link(
    |f: &Path| { fs::rename(f.join("web.save"), f.join("../../y")).unwrap(); symlink("../../y", f.join("web.save")).unwrap(); },
    "`web.save` is no plain file"
)]
#[case::folder(
    |f: &Path| { fs::remove_file(f.join("web.save")).unwrap(); fs::create_dir(f.join("web.save")).unwrap(); },
    "`web.save` is no plain file"
)]
#[case::stray(|f: &Path| fs::write(f.join("other"), "x").unwrap(), "`other` does not belong to it")]
#[case::writable(
    |f: &Path| fs::set_permissions(f.join("web.save"), fs::Permissions::from_mode(0o666)).unwrap(),
    "others may write it"
)]
#[case::no_manifest(|f: &Path| fs::remove_file(f.join("manifest.json")).unwrap(), "`manifest.json` is missing")]
#[case::half_manifest(|f: &Path| fs::write(f.join("manifest.json"), "{\"version\": 1, \"ke").unwrap(), "cannot be read")]
#[case::empty_manifest(|f: &Path| fs::write(f.join("manifest.json"), "").unwrap(), "cannot be read")]
#[case::newer(
    |f: &Path| edit(f, "\"version\": 1", "\"version\": 9"),
    "another version of polder made it: its format is 9"
)]
#[case::other_lines(|f: &Path| edit(f, "made by test", "made by nobody"), "it belongs to another key")]
#[case::leads_out(|f: &Path| edit(f, "web.save", "../web.save"), "does not belong to it")]
#[case::no_use(|f: &Path| fs::remove_file(f.join("used")).unwrap(), "`used` is missing")]
fn damage_is_found_told_and_dropped(#[case] spoil: Spoil, #[case] told: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(&dir.path().join("s"));
    put(&store, "a", 10);
    put(&store, "b", 10);
    spoil(&dir.path().join("s").join(key("a").digest()));
    let listed = store.list().unwrap();
    assert_eq!(listed.iter().filter(|one| one.content.is_err()).count(), 1);
    let Found::Dropped(damage) = store.find(&key("a")).unwrap() else { panic!() };
    assert!(damage.to_string().contains(told), "{damage}");
    assert!(matches!(store.find(&key("a")).unwrap(), Found::Nothing));
    assert!(matches!(store.find(&key("b")).unwrap(), Found::There(_)), "the other one is as it was");
    put(&store, "a", 10);
}

fn edit(folder: &Path, this: &str, that: &str) {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(this), "{text}");
    fs::write(path, text.replace(this, that)).unwrap();
}

#[test]
fn a_flipped_bit_is_found_by_who_reads_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put(&store, "a", 10);
    let digest = key("a").digest();
    fs::write(dir.path().join(&digest).join("web.save"), [7, 7, 7, 7, 7, 7, 7, 7, 7, 6]).unwrap();
    assert_eq!(store.verify(&digest).unwrap(), Some(Damage::Content("web.save".into())));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn an_entry_of_another_key_or_that_is_none_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put(&store, "a", 10);
    fs::rename(dir.path().join(key("a").digest()), dir.path().join(key("b").digest())).unwrap();
    assert!(matches!(store.find(&key("b")).unwrap(), Found::Dropped(Damage::Key { .. })));
    fs::write(dir.path().join(key("b").digest()), "a file").unwrap();
    assert!(matches!(store.find(&key("b")).unwrap(), Found::Dropped(Damage::NotAFile(_))));
    put(&store, "c", 10);
    symlink(key("c").digest(), dir.path().join(key("b").digest())).unwrap();
    assert!(matches!(store.find(&key("b")).unwrap(), Found::Dropped(Damage::NotAFile(_))));
    assert!(matches!(store.find(&key("c")).unwrap(), Found::There(_)), "only the link went");
}

#[test]
fn room_is_made_by_what_was_not_used_for_longest_and_is_not_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    for (age, what) in [(500, "a"), (400, "b"), (300, "c"), (200, "d")] {
        put(&store, what, 100_000);
        let used =
            fs::File::options().write(true).open(dir.path().join(key(what).digest()).join("used")).unwrap();
        used.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    let of = |what: &str| key(what).digest();
    assert_eq!(store.prune(u64::MAX).unwrap().removed, [""; 0]);
    let in_use = {
        let Found::There(entry) = store.find(&key("a")).unwrap() else { panic!() };
        entry
    };
    let one = store.list().unwrap()[0].bytes;
    assert!(one >= 100_000);
    let pruned = store.prune(2 * one + one / 2).unwrap();
    assert_eq!(pruned.removed, [of("b"), of("c")]);
    assert_eq!(store.prune(0).unwrap().removed, [of("d")], "what is in use stays");
    drop(in_use);
    assert_eq!(store.prune(0).unwrap().removed, [of("a")]);
    assert!(store.list().unwrap().is_empty());
}

/// What a child process does, by name.
const CHILD: &str = "POLDER_TEST_CHECKPOINT";

#[test]
#[ignore = "a process of the tests below"]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let store = Store::at(Path::new(&folder));
    for _ in 0..20 {
        put(&store, "same", 200_000);
    }
    println!("done");
}

fn start(folder: &Path) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "checkpoint::tests::child", "--ignored", "--nocapture"]).env(CHILD, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn processes_that_save_the_same_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut children: Vec<_> = (0..3).map(|_| start(dir.path())).collect();
    let store = Store::at(dir.path());
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        match store.find(&key("same")).unwrap() {
            Found::Dropped(damage) => panic!("{damage}"),
            Found::There(entry) => {
                assert_eq!(fs::read(entry.folder.join("web.save")).unwrap().len(), 200_000)
            }
            Found::Nothing => {}
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    for mut child in children {
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success() && said.contains("done"), "{said}");
    }
    assert_eq!(names(dir.path()), [key("same").digest()], "nothing is left but the entry");
    assert_eq!(store.verify(&key("same").digest()).unwrap(), None);
}

#[test]
fn who_is_killed_leaves_nothing_half() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    for round in 0_u64..12 {
        let mut child = start(dir.path());
        // From before its first entry to within them.
        std::thread::sleep(Duration::from_millis(3 + 5 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        match store.find(&key("same")).unwrap() {
            Found::Dropped(damage) => panic!("round {round}: {damage}"),
            Found::There(entry) => assert_eq!(store.verify(&entry.manifest.key).unwrap(), None),
            Found::Nothing => {}
        }
        store.prune(u64::MAX).unwrap();
        let left = names(dir.path());
        assert!(left.iter().all(|name| *name == key("same").digest()), "round {round}: {left:?}");
    }
    put(&store, "same", 200_000);
}
