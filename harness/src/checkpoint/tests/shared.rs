//! What several entries have is there once, whoever of them goes first.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
};

use super::shelf::{dropped, key, memory, names, put, put_with, there, unknown};
use crate::checkpoint::{Damage, Listed, Store};

const NONE: [&str; 0] = [];

#[test]
fn the_same_content_is_one_file_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let (a, b) = (put_with(&store, "a", "same"), put_with(&store, "b", "same"));
    put(&store, "c");
    for name in ["web.save", "db.save", "web.qcow2"] {
        let inode = |folder: &std::path::Path| fs::metadata(folder.join(name)).unwrap().ino();
        assert_eq!(inode(&a), inode(&b), "{name}");
    }
    assert_ne!(fs::metadata(a.join("used")).unwrap().ino(), fs::metadata(b.join("used")).unwrap().ino());
    // Neither is read again for that.
    assert_eq!(unknown(dir.path(), "a"), NONE);
    assert_eq!(unknown(dir.path(), "b"), NONE);
    let all = store.list().unwrap();
    let one = all[0].bytes;
    assert!(one >= 600_000 && all.iter().all(|each| each.bytes == one));
    let total = Listed::total(&all);
    assert!((2 * one..2 * one + 50_000).contains(&total), "{total} of {one} each");
}

#[test]
fn what_others_have_stays_when_one_goes_and_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put_with(&store, "a", "same");
    put_with(&store, "b", "same");
    put(&store, "c");
    let (b, _c) = (there(&store, "b"), there(&store, "c"));
    let one = store.list().unwrap()[0].bytes;
    let pruned = store.prune(0).unwrap();
    assert_eq!(pruned.removed, [key("a").digest()]);
    assert!(pruned.bytes < 50_000 && pruned.bytes < one, "{} of {one} were free", pruned.bytes);
    assert_eq!(unknown(dir.path(), "b"), NONE);
    assert_eq!(unknown(dir.path(), "c"), NONE);
    assert_eq!(fs::read(b.folder.join("web.save")).unwrap(), memory("web same"));
    assert_eq!(fs::metadata(b.folder.join("web.save")).unwrap().nlink(), 1);
}

#[test]
fn room_is_counted_as_what_would_be_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    ["a", "b", "c", "d"].iter().for_each(|what| {
        put_with(&store, what, "same");
    });
    let all = store.list().unwrap();
    // All of them take little more than one: nobody has to go for them.
    let pruned = store.prune(2 * all[0].bytes).unwrap();
    assert_eq!(pruned.removed, NONE);
}

#[test]
fn damage_of_what_several_have_is_found_in_each() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let a = put_with(&store, "a", "same");
    put_with(&store, "b", "same");
    fs::File::options().write(true).open(a.join("web.save")).unwrap().write_all_at(b"X", 1000).unwrap();
    // Nobody takes it for good, and what is written now has its own.
    let c = put_with(&store, "c", "same");
    assert_eq!(fs::metadata(c.join("web.save")).unwrap().nlink(), 1);
    assert_eq!(fs::metadata(c.join("db.save")).unwrap().nlink(), 3);
    assert_eq!(dropped(&store, "b"), Damage::Content("web.save".into()));
    assert_eq!(dropped(&store, "a"), Damage::Content("web.save".into()));
    assert_eq!(unknown(dir.path(), "c"), NONE);
    assert_eq!(names(dir.path()), [key("c").digest()]);
}

#[test]
fn what_is_replaced_in_one_is_not_in_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let a = put_with(&store, "a", "same");
    put_with(&store, "b", "same");
    let mut other = memory("web same");
    other[77] ^= 1;
    fs::remove_file(a.join("web.save")).unwrap();
    fs::write(a.join("web.save"), other).unwrap();
    assert_eq!(dropped(&store, "a"), Damage::Content("web.save".into()));
    let b = there(&store, "b");
    assert_eq!(fs::read(b.folder.join("web.save")).unwrap(), memory("web same"));
}
