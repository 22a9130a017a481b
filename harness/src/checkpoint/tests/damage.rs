//! Everything that can become of an entry: each is detected, told in words, and costs that entry alone.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use super::shelf::{MEMORY, dropped, key, names, put, there, unknown};
use crate::{
    base::store,
    checkpoint::{Damage, Found, Store, damage::examine},
};

/// Does something bad to the entry in a folder.
type Spoil = fn(&Path);

fn cut(folder: &Path, name: &str, bytes: usize) {
    let file = fs::File::options().write(true).open(folder.join(name)).unwrap();
    file.set_len(u64::try_from(bytes).unwrap()).unwrap();
}

/// Flips a bit, and gives the file the times it had.
fn flip(folder: &Path, name: &str, at: usize) {
    let (path, at) = (folder.join(name), u64::try_from(at).unwrap());
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    file.set_modified(modified).unwrap();
}

fn replace(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    remove(folder, name);
    fs::write(folder.join(name), content).unwrap();
}

fn remove(folder: &Path, name: &str) {
    fs::remove_file(folder.join(name)).unwrap();
}

/// Moves a file out of the store, and returns where it is.
fn aside(folder: &Path, name: &str) -> PathBuf {
    let aside = folder.join("../..").join(name);
    fs::rename(folder.join(name), &aside).unwrap();
    aside
}

fn fifo(folder: &Path, name: &str) {
    remove(folder, name);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join(name),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
}

fn folder_for(folder: &Path, name: &str) {
    remove(folder, name);
    fs::create_dir(folder.join(name)).unwrap();
}

fn open_to_others(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn edit(folder: &Path, this: &str, that: &str) {
    let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    assert!(text.contains(this), "{text}");
    replace(folder, "manifest.json", text.replacen(this, that, 1));
}

/// The manifest that another entry has.
fn of_other(folder: &Path) {
    let other = folder.parent().unwrap().join(key("b").digest()).join("manifest.json");
    replace(folder, "manifest.json", fs::read(other).unwrap());
}

const MANIFEST: &str = "manifest.json";
const ELSE: &str = "`web.save` has something else in it than when it was written";
const NO_FILE: &str = "`web.save` is no plain file";
const UNREADABLE: &str = "its manifest cannot be read: ";

#[rstest::rstest]
// Memory and disks.
#[case::nothing_left(|f: &Path| cut(f, "web.save", 0), "`web.save` has 0 bytes instead of 300000")]
#[case::a_page_left(|f: &Path| cut(f, "web.save", 4096), "`web.save` has 4096 bytes instead of 300000")]
#[case::half_left(|f: &Path| cut(f, "web.save", MEMORY / 2), "`web.save` has 150000 bytes instead of 300000")]
#[case::one_byte_short(|f: &Path| cut(f, "web.save", MEMORY - 1), "`web.save` has 299999 bytes instead of 300000")]
#[case::longer(|f: &Path| cut(f, "web.save", MEMORY + 1), "`web.save` has 300001 bytes instead of 300000")]
#[case::short_disk(|f: &Path| cut(f, "web.qcow2", 10), "`web.qcow2` has 10 bytes instead of 2500")]
#[case::first_bit(|f: &Path| flip(f, "web.save", 0), ELSE)]
#[case::bit_in_the_middle(|f: &Path| flip(f, "web.save", MEMORY / 2), ELSE)]
#[case::last_bit(|f: &Path| flip(f, "web.save", MEMORY - 1), ELSE)]
#[case::bit_in_a_disk(|f: &Path| flip(f, "web.qcow2", 999), "`web.qcow2` has something else in it")]
#[case::all_zero(|f: &Path| { cut(f, "web.save", 0); cut(f, "web.save", MEMORY); }, ELSE)]
#[case::a_hole(|f: &Path| {
    let file = fs::File::options().write(true).open(f.join("web.save")).unwrap();
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, flags, 8192, 4096).unwrap();
}, ELSE)]
#[case::swapped(|f: &Path| {
    fs::rename(f.join("web.save"), f.join("x")).unwrap();
    fs::rename(f.join("db.save"), f.join("web.save")).unwrap();
    fs::rename(f.join("x"), f.join("db.save")).unwrap();
}, ".save` has something else in it than when it was written")]
#[case::one_twice(|f: &Path| { fs::copy(f.join("db.save"), f.join("web.save")).unwrap(); }, ELSE)]
#[case::another_of_the_same_length(|f: &Path| replace(f, "web.save", vec![7; MEMORY]), ELSE)]
#[case::another_put_in_its_place(|f: &Path| {
    fs::write(f.join("x"), vec![7; MEMORY]).unwrap();
    fs::rename(f.join("x"), f.join("web.save")).unwrap();
}, ELSE)]
#[case::appended_and_cut(|f: &Path| { cut(f, "web.save", MEMORY - 9); cut(f, "web.save", MEMORY); }, ELSE)]
#[case::missing(|f: &Path| remove(f, "web.save"), "`web.save` is missing")]
#[case::missing_disk(|f: &Path| remove(f, "db.qcow2"), "`db.qcow2` is missing")]
#[case::renamed(|f: &Path| fs::rename(f.join("web.save"), f.join("www.save")).unwrap(), "`www.save` does not belong to it")]
#[case::a_link(|f: &Path| symlink(aside(f, "web.save"), f.join("web.save")).unwrap(), NO_FILE)]
#[case::a_link_to_nothing(|f: &Path| { remove(f, "web.save"); symlink("nothing", f.join("web.save")).unwrap(); }, NO_FILE)]
#[case::a_further_name_of_another(|f: &Path| {
    remove(f, "web.save");
    fs::hard_link(f.join("db.save"), f.join("web.save")).unwrap();
}, ELSE)]
#[case::a_pipe(|f: &Path| fifo(f, "web.save"), NO_FILE)]
#[case::a_socket(|f: &Path| {
    remove(f, "web.save");
    std::os::unix::net::UnixListener::bind(f.join("../../socket")).unwrap();
    fs::rename(f.join("../../socket"), f.join("web.save")).unwrap();
}, NO_FILE)]
#[case::a_folder(|f: &Path| folder_for(f, "web.save"), NO_FILE)]
#[case::writable_by_all(|f: &Path| open_to_others(&f.join("web.save"), 0o666), "`web.save` belongs to the user ")]
#[case::writable_by_a_group(|f: &Path| open_to_others(&f.join("web.qcow2"), 0o660), "or others may write it")]
// What lies beside them.
#[case::stray(|f: &Path| fs::write(f.join("other"), "x").unwrap(), "`other` does not belong to it")]
#[case::hidden(|f: &Path| fs::write(f.join(".twin"), "x").unwrap(), "`.twin` does not belong to it")]
#[case::stray_folder(|f: &Path| fs::create_dir(f.join("other")).unwrap(), "`other` does not belong to it")]
#[case::stray_and_closed(|f: &Path| {
    fs::create_dir_all(f.join("other/closed")).unwrap();
    open_to_others(&f.join("other/closed"), 0);
    open_to_others(&f.join("other"), 0);
}, "`other` does not belong to it")]
#[case::no_use(|f: &Path| remove(f, "used"), "`used` is missing")]
#[case::use_is_a_pipe(|f: &Path| fifo(f, "used"), "`used` is no plain file")]
#[case::use_is_a_folder(|f: &Path| folder_for(f, "used"), "`used` is no plain file")]
#[case::use_is_a_link(|f: &Path| { remove(f, "used"); symlink("web.save", f.join("used")).unwrap(); }, "`used` is no plain file")]
#[case::empty(|f: &Path| { fs::remove_dir_all(f).unwrap(); fs::create_dir(f).unwrap(); }, "`manifest.json` is missing")]
#[case::folder_of_all(|f: &Path| open_to_others(f, 0o777), "its folder belongs to the user ")]
#[case::folder_is_a_file(|f: &Path| { fs::remove_dir_all(f).unwrap(); fs::write(f, "x").unwrap(); }, "its folder is no plain folder")]
#[case::folder_is_a_link(|f: &Path| { fs::rename(f, f.join("../../whole")).unwrap(); symlink("../whole", f).unwrap(); }, "its folder is no plain folder")]
// The manifest.
#[case::no_manifest(|f: &Path| remove(f, MANIFEST), "`manifest.json` is missing")]
#[case::half_manifest(|f: &Path| cut(f, MANIFEST, 300), UNREADABLE)]
#[case::empty_manifest(|f: &Path| cut(f, MANIFEST, 0), UNREADABLE)]
#[case::no_json(|f: &Path| replace(f, MANIFEST, "made by hand\n"), UNREADABLE)]
#[case::no_text(|f: &Path| replace(f, MANIFEST, [0xff, 0xfe, 0]), UNREADABLE)]
#[case::a_list(|f: &Path| replace(f, MANIFEST, "[]"), "another version of polder made it: its format is 0")]
#[case::newer(|f: &Path| edit(f, "\"version\": 2", "\"version\": 9"), "another version of polder made it: its format is 9")]
#[case::older(|f: &Path| edit(f, "\"version\": 2", "\"version\": 1"), "another version of polder made it: its format is 1")]
#[case::other_lines(|f: &Path| edit(f, "made by test", "made by nobody"), "its manifest cannot be read: it is not as it was written")]
#[case::other_time(|f: &Path| edit(f, "\"made\": 1", "\"made\": 2"), "it is not as it was written")]
#[case::other_length(|f: &Path| edit(f, "\"bytes\": 300000", "\"bytes\": 300001"), "it is not as it was written")]
#[case::leads_out(|f: &Path| edit(f, "web.save", "../web.save"), "it is not as it was written")]
#[case::twice(|f: &Path| edit(f, "\"made\"", "\"made\": 1,\n  \"made\""), UNREADABLE)]
#[case::more(|f: &Path| edit(f, "\"made\"", "\"more\": 1,\n  \"made\""), "it is not as it was written")]
#[case::appended(|f: &Path| {
    let text = fs::read_to_string(f.join(MANIFEST)).unwrap();
    replace(f, MANIFEST, text + "\n");
}, "it is not as it was written")]
#[case::of_another(of_other, "it belongs to another key, ")]
#[case::manifest_is_a_link(|f: &Path| symlink(aside(f, MANIFEST), f.join(MANIFEST)).unwrap(), "`manifest.json` is no plain file")]
#[case::manifest_is_a_pipe(|f: &Path| fifo(f, MANIFEST), "`manifest.json` is no plain file")]
#[case::manifest_of_all(|f: &Path| open_to_others(&f.join(MANIFEST), 0o646), "`manifest.json` belongs to the user ")]
fn damage_is_found_told_and_dropped(#[case] spoil: Spoil, #[case] told: &str) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("s");
    let store = Store::at(&folder);
    let a = put(&store, "a");
    put(&store, "b");
    spoil(&a);
    let damage = dropped(&store, "a");
    assert!(damage.to_string().contains(told), "{damage}");
    assert!(matches!(store.find(&key("a")).unwrap(), Found::Nothing));
    assert_eq!(names(&folder), [key("b").digest()]);
    assert_eq!(unknown(&folder, "b"), [""; 0], "the other one is as it was");
    put(&store, "a");
    there(&store, "a");
}

/// The same without a manifest that fits: names that lead out are refused though all else is right.
#[rstest::rstest]
#[case("../x")]
#[case("/etc/passwd")]
#[case("..")]
#[case(".x")]
#[case("")]
fn no_name_leads_out(#[case] name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(&dir.path().join("s"));
    let a = put(&store, "a");
    let manifest = examine(&a, &key("a").digest()).unwrap();
    let mut files = manifest.files.clone();
    files.insert(name.to_owned(), manifest.files["web.save"].clone());
    let forged = crate::checkpoint::Manifest::new(&key("a"), files).unwrap();
    fs::write(dir.path().join("x"), fs::read(a.join("web.save")).unwrap()).unwrap();
    store::write(&a.join(MANIFEST), &forged).unwrap();
    assert_eq!(dropped(&store, "a"), Damage::Stray(name.to_owned()));
}

#[test]
fn any_bit_of_a_manifest_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let (a, digest) = (put(&store, "a"), key("a").digest());
    let whole = fs::read(a.join(MANIFEST)).unwrap();
    let file = fs::File::options().write(true).open(a.join(MANIFEST)).unwrap();
    for at in 0..whole.len() {
        let byte = [whole[at] ^ (1 << (at % 8))];
        file.write_all_at(&byte, u64::try_from(at).unwrap()).unwrap();
        examine(&a, &digest).unwrap_err();
        file.write_all_at(&whole[at..=at], u64::try_from(at).unwrap()).unwrap();
    }
    examine(&a, &digest).unwrap();
}

/// Whether we may give files to others, or nothing is closed to us.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[rstest::rstest]
#[case("web.save", "`web.save` belongs to the user 12345")]
#[case(MANIFEST, "`manifest.json` belongs to the user 12345")]
#[case("used", "`used` belongs to the user 12345")]
#[case("", "its folder belongs to the user 12345")]
fn what_belongs_to_others_is_not_used(#[case] name: &str, #[case] told: &str) {
    if !is_root() {
        eprintln!("NOT TESTED: only root can give files to others");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let a = put(&store, "a");
    chown(a.join(name), Some(12345), None).unwrap();
    let damage = dropped(&store, "a");
    assert!(damage.to_string().contains(told), "{damage}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[rstest::rstest]
#[case("web.save", "`web.save` cannot be read: Permission denied")]
#[case(MANIFEST, "`manifest.json` cannot be read: Permission denied")]
#[case("", "cannot be read: Permission denied")]
fn what_is_closed_to_us_is_dropped(#[case] name: &str, #[case] told: &str) {
    if is_root() {
        eprintln!("NOT TESTED: nothing is closed to root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let a = put(&store, "a");
    open_to_others(&a.join(name), 0);
    let damage = dropped(&store, "a");
    assert!(damage.to_string().contains(told), "{damage}");
    assert_eq!(names(dir.path()), [""; 0]);
}
