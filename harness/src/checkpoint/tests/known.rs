//! What is known of files is not read again, and is believed only as long as nothing can have changed.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use super::shelf::{dropped, names, put, there, unknown};
use crate::checkpoint::{Damage, Store};

const ALL: [&str; 4] = ["db.qcow2", "db.save", "web.qcow2", "web.save"];
const NONE: [&str; 0] = [];

#[test]
fn what_was_written_or_read_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put(&store, "a");
    assert_eq!(unknown(dir.path(), "a"), NONE);
    fs::remove_file(dir.path().join(".read.json")).unwrap();
    assert_eq!(unknown(dir.path(), "a"), ALL);
    there(&store, "a");
    assert_eq!(unknown(dir.path(), "a"), NONE);
}

/// Does something to the notes.
type Spoil = fn(&Path);

fn edit(notes: &Path, edit: impl Fn(&str) -> String) {
    let text = fs::read_to_string(notes).unwrap();
    let edited = edit(&text);
    assert_ne!(edited, text);
    fs::write(notes, edited).unwrap();
}

#[rstest::rstest]
#[case::empty(|n: &Path| fs::write(n, "").unwrap())]
#[case::not_json(|n: &Path| fs::write(n, "\u{1}\u{2}\u{3}").unwrap())]
#[case::cut_off(|n: &Path| edit(n, |text| text[..text.len() - 2].to_owned()))]
#[case::half(|n: &Path| edit(n, |text| text[..text.len() / 2].to_owned()))]
#[case::newer(|n: &Path| edit(n, |text| text.replace("\"version\": 1", "\"version\": 2")))]
#[case::of_another_boot(|n: &Path| edit(n, |text| text.replacen("\"boot\": \"", "\"boot\": \"0", 1)))]
#[case::writable(|n: &Path| fs::set_permissions(n, fs::Permissions::from_mode(0o666)).unwrap())]
#[case::a_link(|n: &Path| { fs::rename(n, n.with_extension("x")).unwrap(); symlink(n.with_extension("x"), n).unwrap(); })]
#[case::a_folder(|n: &Path| { fs::remove_file(n).unwrap(); fs::create_dir(n).unwrap(); })]
#[case::other_times(|n: &Path| edit(n, |text| text.replace("\"changed\"", "\"modified\"").replacen("\"modified\"", "\"changed\"", 1)))]
fn notes_that_are_not_whole_are_not_believed_and_what_they_are_of_is_read(#[case] spoil: Spoil) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(&dir.path().join("s"));
    put(&store, "a");
    spoil(&dir.path().join("s/.read.json"));
    assert_eq!(unknown(&dir.path().join("s"), "a"), ALL);
    there(&store, "a");
}

#[test]
fn a_wrong_sum_in_the_notes_costs_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    put(&store, "a");
    let entry = there(&store, "a");
    let sum = &entry.manifest.files["web.save"].sha256;
    edit(&dir.path().join(".read.json"), |text| text.replace(sum, &sum.replace(['0', '1'], "2")));
    assert_eq!(unknown(dir.path(), "a"), ["web.save"]);
    drop(entry);
    there(&store, "a");
    assert_eq!(unknown(dir.path(), "a"), NONE);
}

#[test]
fn a_change_is_seen_though_its_time_was_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    // At once after it was noted, and again; within one tick of the clock, too.
    for round in 0..20_u64 {
        let folder = put(&store, "a");
        let path = folder.join("web.save");
        let before = fs::metadata(&path).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"X", 1000 * round).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        let after = file.metadata().unwrap();
        assert_eq!((before.mtime_nsec(), before.len()), (after.mtime_nsec(), after.len()));
        assert_eq!(dropped(&store, "a"), Damage::Content("web.save".into()), "round {round}");
    }
}

#[test]
fn a_file_whose_times_are_touched_is_read_once_and_good() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let folder = put(&store, "a");
    let file = fs::File::options().write(true).open(folder.join("web.save")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(1000)).unwrap();
    assert_eq!(unknown(dir.path(), "a"), ["web.save"]);
    there(&store, "a");
    assert_eq!(unknown(dir.path(), "a"), NONE);
}

/// A copy as people make them of what they want to keep.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_copied_store_is_read_once_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    put(&Store::at(&from), "a");
    copy(&from, &to);
    assert_eq!(unknown(&from, "a"), NONE);
    assert_eq!(unknown(&to, "a"), ALL);
    there(&Store::at(&to), "a");
    assert_eq!(unknown(&to, "a"), NONE);
    // Moved about on one disk, it is what it was.
    let moved = dir.path().join("moved");
    fs::rename(&to, &moved).unwrap();
    assert_eq!(unknown(&moved, "a"), NONE);
    there(&Store::at(&moved), "a");
}

#[test]
fn a_damaged_copy_is_dropped_and_the_store_it_came_from_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let folder = put(&Store::at(&from), "a");
    copy(&from, &to);
    let there_too = to.join(folder.file_name().unwrap());
    let file = fs::File::options().write(true).open(there_too.join("db.save")).unwrap();
    file.write_all_at(b"X", 150_000).unwrap();
    file.set_modified(fs::metadata(folder.join("db.save")).unwrap().modified().unwrap()).unwrap();
    assert_eq!(dropped(&Store::at(&to), "a"), Damage::Content("db.save".into()));
    assert_eq!(names(&to), NONE);
    there(&Store::at(&from), "a");
}

#[test]
fn what_is_verified_is_read_whatever_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let folder = put(&store, "a");
    let digest = folder.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(store.verify(&digest).unwrap(), None);
    // As if the disk itself had forgotten something: what is noted fits, and the content does not.
    let path = folder.join("web.save");
    fs::File::options().write(true).open(&path).unwrap().write_all_at(b"X", 5).unwrap();
    let now = fs::metadata(&path).unwrap();
    edit(&dir.path().join(".read.json"), |text| {
        let mut notes: serde_json::Value = serde_json::from_str(text).unwrap();
        let stamp = &mut notes["files"][format!("{digest}/web.save")]["stamp"];
        stamp["modified"] = serde_json::json!([now.mtime(), now.mtime_nsec()]);
        stamp["changed"] = serde_json::json!([now.ctime(), now.ctime_nsec()]);
        notes.to_string()
    });
    there(&store, "a");
    assert_eq!(unknown(dir.path(), "a"), NONE, "nothing that programs do gets here");
    assert_eq!(store.verify(&digest).unwrap(), Some(Damage::Content("web.save".into())));
    assert_eq!(names(dir.path()), NONE);
    assert_eq!(store.verify(&digest).unwrap(), None, "what is not there is not damaged");
}
