//! What is put in is found; what is not finished is not there; room is made by what nobody uses.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use super::shelf::{dropped, key, names, put, there, unknown};
use crate::checkpoint::{CheckpointError, Damage, Found, Store};

#[test]
fn what_is_put_in_is_found_by_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(&dir.path().join("deep/store"));
    assert!(matches!(store.find(&key("a")).unwrap(), Found::Nothing));
    put(&store, "a");
    let entry = there(&store, "a");
    assert_eq!(fs::read_to_string(entry.folder.join("web.qcow2")).unwrap(), "web a".repeat(500));
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

#[test]
fn who_is_late_uses_what_is_there_unless_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let (early, late) = (store.begin().unwrap(), store.begin().unwrap());
    fs::write(early.folder().join("x"), "early").unwrap();
    fs::write(late.folder().join("x"), "later").unwrap();
    let early = early.finish(&key("a")).unwrap();
    let late = late.finish(&key("a")).unwrap();
    assert_eq!(fs::read_to_string(late.folder.join("x")).unwrap(), "early");
    let last = store.begin().unwrap();
    fs::write(last.folder().join("x"), "fresh").unwrap();
    fs::write(early.folder.join("x"), "trash").unwrap();
    drop((early, late));
    let last = last.finish(&key("a")).unwrap();
    assert_eq!(fs::read_to_string(last.folder.join("x")).unwrap(), "fresh");
    assert_eq!(names(dir.path()), [key("a").digest()]);
}

#[test]
fn what_is_still_written_becomes_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let draft = store.begin().unwrap();
    let path = draft.folder().join("web.save");
    let file = fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let goes_on = std::sync::atomic::AtomicBool::new(true);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while goes_on.load(std::sync::atomic::Ordering::Relaxed) {
                std::os::unix::fs::FileExt::write_all_at(&file, b"x", 4096).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let error = draft.finish(&key("a")).unwrap_err();
        goes_on.store(false, std::sync::atomic::Ordering::Relaxed);
        error
    });
    assert!(matches!(&error, CheckpointError::StillWritten { name } if name == "web.save"), "{error}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn an_entry_of_another_key_or_that_is_none_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put(&store, "a");
    let b = dir.path().join(key("b").digest());
    fs::rename(dir.path().join(key("a").digest()), &b).unwrap();
    assert!(matches!(dropped(&store, "b"), Damage::Key { .. }));
    fs::write(&b, "a file").unwrap();
    assert_eq!(dropped(&store, "b").to_string(), "its folder is no plain folder");
    put(&store, "c");
    symlink(key("c").digest(), &b).unwrap();
    assert_eq!(dropped(&store, "b"), Damage::NotAFile(String::new()));
    assert_eq!(unknown(dir.path(), "c"), [""; 0], "only the link went");
}

#[test]
fn a_store_that_others_may_write_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put(&store, "a");
    for mode in [0o777, 0o770, 0o1777] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = store.find(&key("a")).unwrap_err();
        assert!(error.to_string().contains("or others may write it, so that nothing in it"), "{error}");
        assert!(store.begin().is_err() && store.prune(0).is_err());
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    there(&store, "a");
}

/// Says of an entry that it was used so many seconds ago.
fn use_before(folder: &Path, seconds: u64) {
    let used = fs::File::options().write(true).open(folder.join("used")).unwrap();
    used.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

#[test]
fn room_is_made_by_what_was_not_used_for_longest_and_is_not_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    for (age, what) in [(500, "a"), (400, "b"), (300, "c"), (200, "d")] {
        use_before(&put(&store, what), age);
    }
    let of = |what: &str| key(what).digest();
    assert_eq!(store.prune(u64::MAX).unwrap().removed, [""; 0]);
    let in_use = there(&store, "a");
    let one = store.list().unwrap()[0].bytes;
    assert!(one >= 600_000);
    let pruned = store.prune(2 * one + one / 2).unwrap();
    assert_eq!(pruned.removed, [of("b"), of("c")]);
    assert_eq!(pruned.bytes, 2 * one);
    assert_eq!(store.prune(0).unwrap().removed, [of("d")], "what is in use stays");
    drop(in_use);
    assert_eq!(store.prune(0).unwrap().removed, [of("a")]);
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_store_with_a_limit_makes_room_for_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let unlimited = Store::at(dir.path());
    use_before(&put(&unlimited, "a"), 500);
    use_before(&put(&unlimited, "b"), 400);
    let in_use = there(&unlimited, "a");
    use_before(&in_use.folder, 500);
    let one = unlimited.list().unwrap()[0].bytes;
    let limited = unlimited.clone().with_limit(2 * one + one / 2);
    put(&limited, "c");
    let left = |whats: &[&str]| {
        let mut wanted: Vec<String> = whats.iter().map(|what| key(what).digest()).collect();
        wanted.sort();
        assert_eq!(names(dir.path()), wanted);
    };
    left(&["a", "c"]);
    // However small it is: what was made last is there, and what is in use.
    let draft = limited.clone().with_limit(0);
    let new = draft.begin().unwrap();
    fs::write(new.folder().join("x"), "x").unwrap();
    let new = new.finish(&key("d")).unwrap();
    assert_eq!(fs::read_to_string(new.folder.join("x")).unwrap(), "x");
    left(&["a", "d"]);
}

#[test]
fn what_another_version_made_is_removed_only_to_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let manifest = put(&store, "a").join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"version\": 2", "\"version\": 3")).unwrap();
    put(&store.clone().with_limit(100 << 20), "b");
    assert_eq!(store.prune(100 << 20).unwrap().removed, [""; 0]);
    assert_eq!(store.prune(0).unwrap().removed.len(), 2);
}

#[test]
fn what_is_removed_while_it_is_read_is_not_told_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    for round in 0..10 {
        let draft = store.begin().unwrap();
        for name in 0..6 {
            let file = fs::File::create(draft.folder().join(format!("{name}"))).unwrap();
            file.set_len(8 << 20).unwrap();
        }
        drop(draft.finish(&key("a")).unwrap());
        fs::remove_file(dir.path().join(".read.json")).unwrap();
        let found = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5 * round));
                store.forget(&key("a")).unwrap();
            });
            store.find(&key("a")).unwrap()
        });
        assert!(!matches!(found, Found::Dropped(_)), "round {round}: {found:?}");
    }
}

#[test]
fn what_was_never_completed_is_removed_with_its_maker_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let mine = store.begin().unwrap();
    for left in [".draft-1-0", ".gone-1-0"] {
        fs::create_dir(dir.path().join(left)).unwrap();
        fs::write(dir.path().join(left).join("used"), "").unwrap();
    }
    let pruned = store.prune(u64::MAX).unwrap();
    assert_eq!(pruned.unfinished, 2);
    assert_eq!(names(dir.path()), [mine.folder().file_name().unwrap().to_str().unwrap()]);
}
