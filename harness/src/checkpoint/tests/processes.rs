//! Several processes at one store, and what becomes of it when they are killed.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::shelf::{key, memory, names, put, put_with, there, unknown};
use crate::checkpoint::{Found, Store};

/// Where a child process works, and what it does there.
const STORE: &str = "POLDER_TEST_CHECKPOINTS";
const WORK: &str = "POLDER_TEST_CHECKPOINTS_WORK";
/// Entries of the same content.
const SHARING: [&str; 3] = ["a", "b", "c"];

#[test]
#[ignore = "a process of the tests below"]
fn child() {
    let Ok(folder) = std::env::var(STORE) else { return };
    let store = Store::at(Path::new(&folder));
    for round in 0..12 {
        match std::env::var(WORK).as_deref() {
            Ok("same") => drop(put(&store, "same")),
            // Each round leaves room for about one of them.
            Ok("share") => {
                let limited = store.clone().with_limit(1_000_000);
                SHARING.iter().for_each(|what| drop(put_with(&limited, what, "shared")));
                put(&limited, &format!("{} {round}", std::process::id()));
            }
            _ => {
                store.prune(if round % 2 == 0 { 0 } else { 700_000 }).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    println!("done");
}

fn start(folder: &Path, work: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "checkpoint::tests::processes::child", "--ignored", "--nocapture"]);
    // What goes wrong there is in the output here.
    command.env(STORE, folder).env(WORK, work).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn ends_well(mut child: Child) {
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success() && said.contains("done"), "{said}");
}

/// Looks for entries, each with that content, until the children have ended.
fn use_until_they_end(store: &Store, mut children: Vec<Child>, whats: &[&str], content: &str) {
    let mut found = 0;
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        for what in whats {
            match store.find(&key(what)).unwrap() {
                Found::Dropped(damage) => panic!("{what}: {damage}"),
                Found::There(entry) => {
                    found += 1;
                    let is_same = fs::read(entry.folder.join("web.save")).unwrap() == memory(content);
                    assert!(is_same, "{what} has the content of another");
                }
                Found::Nothing => {}
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(found > 0);
    children.into_iter().for_each(ends_well);
}

#[test]
fn processes_that_save_the_same_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let children = (0..3).map(|_| start(dir.path(), "same")).collect();
    use_until_they_end(&store, children, &["same"], "web same");
    assert_eq!(names(dir.path()), [key("same").digest()], "nothing is left but the entry");
    assert_eq!(unknown(dir.path(), "same"), [""; 0]);
    assert_eq!(store.verify(&key("same").digest()).unwrap(), None);
}

#[test]
fn what_is_shared_stays_whole_while_others_save_use_and_remove_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let children = ["share", "share", "remove"].map(|work| start(dir.path(), work)).into();
    use_until_they_end(&store, children, &SHARING, "web shared");
    SHARING.iter().for_each(|what| drop(put_with(&store, what, "shared")));
    for one in store.list().unwrap() {
        assert_eq!(store.verify(&one.key).unwrap(), None);
    }
}

#[rstest::rstest]
#[case("same")]
#[case("share")]
fn who_is_killed_leaves_nothing_half(#[case] work: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    for round in 0_u64..12 {
        let mut child = start(dir.path(), work);
        // From before its first entry to within them.
        std::thread::sleep(Duration::from_millis(3 + 9 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        for what in ["same"].iter().chain(&SHARING) {
            match store.find(&key(what)).unwrap() {
                Found::Dropped(damage) => panic!("round {round}: {what}: {damage}"),
                Found::There(entry) => assert_eq!(store.verify(&entry.manifest.key).unwrap(), None),
                Found::Nothing => {}
            }
        }
        store.prune(u64::MAX).unwrap();
        let mut listed: Vec<String> = store.list().unwrap().into_iter().map(|one| one.key).collect();
        listed.sort();
        assert_eq!(names(dir.path()), listed, "round {round}");
    }
    let folder = put_with(&store, "a", "shared");
    assert_eq!(fs::read(folder.join("web.save")).unwrap(), memory("web shared"));
    there(&store, "a");
}

#[test]
fn what_a_dead_process_used_is_in_use_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(dir.path());
    let folder = put(&store, "a");
    let mut holder = Command::new("flock");
    holder.args(["--shared", "--no-fork"]).arg(folder.join("used"));
    holder.args(["sh", "-c", "echo held; exec sleep 100"]).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut held = [0; 4];
    holder.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
    assert_eq!(store.prune(0).unwrap().removed, [""; 0]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(store.prune(0).unwrap().removed, [key("a").digest()]);
    assert_eq!(names(dir.path()), [""; 0]);
}
