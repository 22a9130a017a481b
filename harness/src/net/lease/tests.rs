//! Leases: what may be taken, whose they are, what is stale, and many processes at once.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

use super::*;

/// A folder of leases and environments that want some.
struct Ground {
    dir: tempfile::TempDir,
    store: LeaseStore,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = LeaseStore::new(dir.path().join("s/subnets"));
        Self { dir, store }
    }

    /// A new environment.
    fn holder(&self, name: &str) -> Holder {
        holder(self.dir.path(), name)
    }

    fn one(&self, holder: &Holder) -> Result<u8, LeaseError> {
        self.store.acquire(&[Want::Any], holder, &BTreeMap::new()).map(|octets| octets[0])
    }

    fn octet(&self, octet: u8, holder: &Holder) -> Result<Vec<u8>, LeaseError> {
        self.store.acquire(&[Want::Octet(octet)], holder, &BTreeMap::new())
    }

    fn files(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(&self.store.dir).unwrap().flatten();
        entries.map(|e| e.file_name().into_string().unwrap()).filter(|n| !n.ends_with("lock")).collect()
    }
}

fn holder(dir: &Path, name: &str) -> Holder {
    let uuid_file = dir.join(name);
    let uuid = format!("{name}-{}", "0".repeat(32 - name.len()));
    fs::write(&uuid_file, &uuid).unwrap();
    Holder { uuid_file, uuid, owner: Owner::current().unwrap(), lasting: true }
}

#[test]
fn any_is_the_lowest_free_one() {
    let ground = Ground::new();
    let (a, b) = (ground.holder("a"), ground.holder("b"));
    assert_eq!(ground.one(&a).unwrap(), 200);
    assert_eq!(ground.one(&b).unwrap(), 201);
    let used = BTreeMap::from([(202, "a route".to_owned())]);
    let wants = [Want::Any, Want::Octet(203), Want::Any];
    assert_eq!(ground.store.acquire(&wants, &a, &used).unwrap(), [204, 203, 205]);
    let leases = ground.store.list().unwrap();
    assert!(leases.iter().all(|lease| lease.holds && lease.owner.as_ref().unwrap().is_alive()));
    assert_eq!(leases.iter().filter(|lease| lease.uuid == b.uuid).count(), 1);
}

#[test]
fn a_lease_is_as_lago_writes_it() {
    let ground = Ground::new();
    let holder = ground.holder("a");
    ground.one(&holder).unwrap();
    let text = fs::read_to_string(ground.store.path(200, "lease")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value, serde_json::json!([holder.uuid_file, holder.uuid]));
    let mode = fs::metadata(ground.store.dir.join("subnet-lease.lock")).unwrap().mode();
    assert_eq!(mode & 0o777 & !0o660, 0);
    assert_eq!(ground.files(), BTreeSet::from(["200.lease".to_owned(), "200.owner".to_owned()]));
}

#[test]
fn leases_of_lago_are_honoured() {
    let ground = Ground::new();
    let (a, lago) = (ground.holder("a"), ground.holder("lago"));
    assert_eq!(ground.one(&a).unwrap(), 200);
    // Written over one of ours that is gone: the owner beside it is not Lago's.
    let mut owner: serde_json::Value =
        serde_json::from_slice(&fs::read(ground.store.path(200, "owner")).unwrap()).unwrap();
    owner["lasting"] = false.into();
    owner["owner"]["started"] = 1.into();
    fs::write(ground.store.path(200, "owner"), owner.to_string()).unwrap();
    fs::write(ground.store.path(200, "lease"), serde_json::json!([lago.uuid_file, lago.uuid]).to_string())
        .unwrap();
    assert_eq!(ground.one(&a).unwrap(), 201);
    let error = ground.octet(200, &a).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("192.168.200.0/24 is leased to the environment of {}", lago.uuid_file.display())
    );
    fs::remove_file(&lago.uuid_file).unwrap();
    assert_eq!(ground.octet(200, &a).unwrap(), [200]);
}

#[test]
fn what_is_taken_says_by_whom() {
    let ground = Ground::new();
    let (a, b) = (ground.holder("a"), ground.holder("b"));
    ground.octet(255, &a).unwrap();
    let error = ground.octet(255, &b).unwrap_err();
    let expected = format!(
        "192.168.255.0/24 is leased to the environment of {} (process {} on {})",
        a.uuid_file.display(),
        a.owner.pid,
        a.owner.host
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(ground.octet(255, &a).unwrap(), [255], "one's own can be had again");
    let used = BTreeMap::from([(254, "the interface virbr0".to_owned()), (255, "ours".to_owned())]);
    let error = ground.store.acquire(&[Want::Octet(254)], &b, &used).unwrap_err();
    assert_eq!(error.to_string(), "192.168.254.0/24 is used on this host by the interface virbr0");
    assert_eq!(ground.store.acquire(&[Want::Octet(255)], &a, &used).unwrap(), [255], "by ourselves");
}

#[test]
fn all_that_is_wanted_or_nothing() {
    let ground = Ground::new();
    let (a, b) = (ground.holder("a"), ground.holder("b"));
    ground.octet(230, &a).unwrap();
    let error = ground.store.acquire(&[Want::Any, Want::Octet(230)], &b, &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, LeaseError::Taken { octet: 230, .. }));
    assert!(ground.octet(199, &b).unwrap_err().to_string().contains("from 192.168.200 to 192.168.255"));
    assert_eq!(ground.store.list().unwrap().len(), 1);
}

#[test]
fn they_come_to_an_end() {
    let ground = Ground::new();
    let holder = ground.holder("a");
    let used = BTreeMap::from([(210, "a route".to_owned())]);
    let octets = ground.store.acquire(&[Want::Any; 55], &holder, &used).unwrap();
    assert!(octets.len() == 55 && octets.contains(&255));
    let error = ground.store.acquire(&[Want::Any], &holder, &used).unwrap_err().to_string();
    assert!(
        error.starts_with("no subnet is left: 55 are leased (see ") && error.contains("1 are used"),
        "{error}"
    );
}

#[test]
fn what_is_stale_is_taken_over() {
    let ground = Ground::new();
    let b = ground.holder("b");
    let stale: [fn(&Ground, &Holder); 4] = [
        |_, a| fs::remove_file(&a.uuid_file).unwrap(),
        |_, a| fs::write(&a.uuid_file, "another").unwrap(),
        |ground, _| fs::write(ground.store.path(200, "lease"), "[\"/srv").unwrap(),
        |ground, _| fs::write(ground.store.path(200, "lease"), "{}").unwrap(),
    ];
    for make_stale in stale {
        let a = ground.holder("a");
        assert_eq!(ground.one(&a).unwrap(), 200);
        make_stale(&ground, &a);
        assert!(!ground.store.list().unwrap()[0].holds);
        assert_eq!(ground.one(&b).unwrap(), 200);
        assert_eq!(ground.store.release(|lease| lease.uuid == b.uuid).unwrap(), [200]);
    }
}

#[test]
fn a_lease_that_does_not_last_ends_with_its_process() {
    let ground = Ground::new();
    let mut a = ground.holder("a");
    a.owner.started += 1;
    ground.one(&a).unwrap();
    assert_eq!(ground.one(&a).unwrap(), 201, "the prefix is still there");
    a.lasting = false;
    assert_eq!(ground.one(&a).unwrap(), 202);
    assert_eq!(ground.one(&ground.holder("b")).unwrap(), 202);
}

#[test]
fn only_ones_own_are_given_back() {
    let ground = Ground::new();
    let (a, b) = (ground.holder("a"), ground.holder("b"));
    ground.store.acquire(&[Want::Any; 3], &a, &BTreeMap::new()).unwrap();
    ground.one(&b).unwrap();
    assert_eq!(ground.store.release(|lease| lease.uuid_file == a.uuid_file).unwrap(), [200, 201, 202]);
    assert_eq!(ground.store.release(|lease| lease.uuid_file == a.uuid_file).unwrap(), [0; 0]);
    assert_eq!(ground.files(), BTreeSet::from(["203.lease".to_owned(), "203.owner".to_owned()]));
    assert_eq!(LeaseStore::new(ground.dir.path().join("none")).release(|_| true).unwrap(), [0; 0]);
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_what_to_do() {
    let ground = Ground::new();
    let holder = ground.holder("a");
    let file_in_the_way = LeaseStore::new(holder.uuid_file.join("subnets"));
    let error = file_in_the_way.acquire(&[Want::Any], &holder, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.starts_with("cannot make the folder of leases"), "{error}");
    if rustix::process::geteuid().is_root() {
        return; // may do everything
    }
    fs::create_dir_all(&ground.store.dir).unwrap();
    fs::set_permissions(&ground.store.dir, fs::Permissions::from_mode(0o555)).unwrap();
    let error = ground.one(&holder).unwrap_err().to_string();
    assert!(error.contains("join the group"), "{error}");
}

#[test]
fn a_refusal_by_the_system_comes_with_advice() {
    let denied = file("open the lock", Path::new("/l"))(io::ErrorKind::PermissionDenied.into());
    assert!(denied.to_string().starts_with("cannot open the lock /l; the folder of leases is shared"));
    let other = file("open the lock", Path::new("/l"))(io::ErrorKind::NotFound.into());
    assert_eq!(other.to_string(), "cannot open the lock /l");
}

#[test]
fn the_lock_is_waited_for_and_its_holder_named() {
    let ground = Ground::new();
    let holder = ground.holder("a");
    ground.one(&holder).unwrap();
    let lock = ground.store.lock().unwrap();
    let error = std::thread::scope(|scope| scope.spawn(|| ground.one(&holder)).join().unwrap()).unwrap_err();
    let LeaseError::Locked { holder: by, .. } = &error else { panic!("{error}") };
    assert!(by.starts_with(&format!("process {} (", std::process::id())), "{by}");
    drop(lock);
    assert_eq!(ground.one(&holder).unwrap(), 201);
}

#[test]
fn holders_of_locks_are_read_from_the_kernels_list() {
    let locks = "1: POSIX  ADVISORY  READ 5 08:01:456 128 128\n1: -> FLOCK  ADVISORY  WRITE 6 08:01:456 0 EOF\n\
                 2: FLOCK  ADVISORY  WRITE 7 08:01:456 0 EOF\n3: FLOCK  ADVISORY  WRITE 0 08:01:457 0 EOF\nrubbish";
    assert_eq!(holder_of(locks, 456), Some(7));
    assert_eq!((holder_of(locks, 457), holder_of(locks, 1)), (None, None));
}

/// Takes two subnets, says which, and keeps running until it is ended.
#[test]
#[ignore = "a process of the races"]
fn racer() {
    let dir = PathBuf::from(std::env::var("POLDER_TEST_LEASES").unwrap());
    let mut holder = holder(&dir, &format!("racer{}", std::process::id()));
    holder.lasting = false;
    let store = LeaseStore::new(dir.join("subnets"));
    // 50 of them want 100 of 56: half are told that there are no more.
    let said = match store.acquire(&[Want::Any, Want::Any], &holder, &BTreeMap::new()) {
        Ok(octets) => format!("{octets:?}"),
        Err(LeaseError::Full { .. }) => "[]".to_owned(),
        Err(error) => panic!("{error}"),
    };
    fs::write(dir.join(format!("said{}", std::process::id())), said).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

fn race(dir: &Path, racers: usize) -> Vec<Child> {
    let racer = |_| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "net::lease::tests::racer"])
            .env("POLDER_TEST_LEASES", dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    (0..racers).map(racer).collect()
}

/// What each of them got.
fn said(dir: &Path, racers: &mut [Child]) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    for racer in racers {
        let file = dir.join(format!("said{}", racer.id()));
        let text = loop {
            match fs::read_to_string(&file) {
                Ok(text) if text.ends_with(']') => break text,
                _ => assert!(racer.try_wait().unwrap().is_none(), "a racer ended early"),
            }
            std::thread::sleep(TICK);
        };
        got.push(serde_json::from_str(&text).unwrap());
    }
    got
}

fn end(racers: Vec<Child>) {
    for mut racer in racers {
        racer.kill().unwrap();
        racer.wait().unwrap();
    }
}

#[test]
fn fifty_processes_never_share_a_subnet() {
    let dir = tempfile::tempdir().unwrap();
    let mut racers = race(dir.path(), 50);
    let got = said(dir.path(), &mut racers);
    let all: Vec<u8> = got.iter().flatten().copied().collect();
    let distinct: BTreeSet<u8> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (56, 56), "{got:?}");
    assert_eq!(got.iter().filter(|octets| octets.is_empty()).count(), 22);
    let lost: usize = got.iter().take(10).map(Vec::len).sum();
    let rest = racers.split_off(10);
    end(racers);
    // What those had is free again, what the others have is not, although all of their `uuid` files are there.
    let winner = holder(dir.path(), "winner");
    let store = LeaseStore::new(dir.path().join("subnets"));
    let mut won = 0;
    while store.acquire(&[Want::Any], &winner, &BTreeMap::new()).is_ok() {
        won += 1;
    }
    assert_eq!(won, lost);
    end(rest);
}

/// However they die, what is left is a whole lease or none, and the next one gets on.
#[test]
fn a_holder_killed_at_any_moment_leaves_nothing_that_hurts() {
    let dir = tempfile::tempdir().unwrap();
    let store = LeaseStore::new(dir.path().join("subnets"));
    for round in 0..12 {
        let racers = race(dir.path(), 3);
        std::thread::sleep(Duration::from_millis(round * 3));
        end(racers);
        let mut next = holder(dir.path(), "next");
        next.lasting = false;
        let octets = store.acquire(&[Want::Any; 56], &next, &BTreeMap::new()).unwrap();
        assert_eq!(octets.len(), 56, "all that the dead had is free");
        assert_eq!(store.release(|lease| lease.uuid == next.uuid).unwrap().len(), 56);
    }
}
