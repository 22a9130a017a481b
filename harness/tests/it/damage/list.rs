//! What may happen to a prefix, or to what runs for it.

use super::*;

/// What happens; a word that what was found must hold; what of the environment is found in a lab of its own, and on a
/// daemon, where it can happen there; how it happens.
pub(super) struct Damage(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) Option<Parts>,
    pub(super) Option<Parts>,
    pub(super) fn(&Scene),
);

/// Beginnings of lines, of those in [`PARTS`]: these are found, and no others.
pub(super) type Parts = &'static [&'static str];

pub(super) const DOMAIN: &str = "the domain ";
pub(super) const NET: &str = "the network ";
pub(super) const LEASE: &str = "the lease of ";
pub(super) const LAB: &str = "a lab in ";
pub(super) const LOST: &str = "the lab in ";
pub(super) const PARTS: &[&str] = &[DOMAIN, NET, LEASE, LAB, LOST];

pub(super) const WHOLE: Option<Parts> = Some(&[LAB]);
pub(super) const ALL: Option<Parts> = Some(&[DOMAIN, NET, LEASE]);

pub(super) const DAMAGES: &[Damage] = &[
    Damage("nothing at all", "folder", WHOLE, ALL, |_| {}),
    // -- what is written down
    Damage("state missing", "folder", WHOLE, ALL, |s| s.remove("state.json")),
    Damage("state truncated", "state.json", WHOLE, ALL, |s| s.cut("state.json", 100)),
    Damage("state empty", "state.json", WHOLE, ALL, |s| s.cut("state.json", 0)),
    Damage("state of a later version", "format 99", WHOLE, ALL, |s| {
        s.write("state.json", br#"{"version": 99}"#)
    }),
    Damage("state of an earlier version", "format 1", WHOLE, ALL, |s| {
        s.write("state.json", br#"{"version": 1}"#)
    }),
    Damage("state is no text", "state.json", WHOLE, ALL, |s| s.write("state.json", b"\xff\xfe\0")),
    Damage("state is a folder", "state.json", WHOLE, ALL, |s| s.replace_by_folder("state.json")),
    Damage("state is a link to nowhere", "folder", WHOLE, ALL, |s| {
        s.replace_by_link("state.json", "/nowhere/at/all")
    }),
    Damage("journal missing", "folder", WHOLE, ALL, |s| s.remove("journal.jsonl")),
    Damage("journal torn", "folder", WHOLE, ALL, |s| s.cut("journal.jsonl", 30)),
    Damage("journal full of something else", "folder", WHOLE, ALL, |s| {
        s.write("journal.jsonl", b"{}\n\xff\n[1,2]\nx\n")
    }),
    Damage("state and journal missing", "folder", WHOLE, ALL, |s| {
        s.remove("state.json");
        s.remove("journal.jsonl");
    }),
    Damage("id missing", "folder", WHOLE, ALL, |s| s.remove("uuid")),
    Damage("id of another", "folder", WHOLE, ALL, |s| s.write("uuid", b"00000000000000000000000000000000")),
    Damage("mark of being usable missing", "folder", WHOLE, ALL, |s| s.remove("initialized")),
    Damage("keys missing", "folder", WHOLE, ALL, |s| s.remove("id_ed25519")),
    Damage("everything written down missing", "folder", WHOLE, ALL, |s| {
        for file in ["state.json", "journal.jsonl", "initialized", "metadata", "id_ed25519", "id_ed25519.pub"]
        {
            s.remove(file);
        }
    }),
    // -- files
    Damage("disks missing", "folder", WHOLE, ALL, |s| s.remove("images")),
    Damage("disks are a link to somebody else's", "folder", WHOLE, ALL, |s| {
        s.replace_by_link("images", s.strangers().to_str().unwrap());
    }),
    Damage("consoles are a file", "folder", WHOLE, ALL, |s| {
        s.remove("consoles");
        s.write("consoles", b"");
    }),
    Damage("the lock is a folder", "folder", WHOLE, ALL, |s| s.replace_by_folder("lock")),
    Damage("nothing may be written", "folder", WHOLE, ALL, |s| s.freeze()),
    Damage("files of others beside ours", "folder", WHOLE, ALL, |s| {
        fs::create_dir_all(s.prefix.join("mine/deep")).unwrap();
        s.write("mine/deep/file", b"x");
        s.replace_by_link("mine/link", s.strangers().to_str().unwrap());
    }),
    // -- what runs
    Damage("machine killed from outside", "folder", WHOLE, Some(&[NET, LEASE]), |s| {
        drop(s.virsh(&["destroy", &s.domain]))
    }),
    Damage("emulator killed", "folder", WHOLE, Some(&[NET, LEASE]), |s| s.kill_emulator()),
    Damage("machine paused", "folder", WHOLE, ALL, |s| drop(s.virsh(&["suspend", &s.domain]))),
    Damage("net ended below its machine", "folder", WHOLE, Some(&[DOMAIN, LEASE]), |s| {
        drop(s.virsh(&["net-destroy", &s.net]))
    }),
    Damage("machine and net ended", "folder", WHOLE, Some(&[LEASE]), |s| {
        s.virsh(&["destroy", &s.domain]);
        s.virsh(&["net-destroy", &s.net]);
    }),
    Damage("machine has another name", "folder", WHOLE, ALL, |s| s.rename_machine()),
    Damage("machine has another name, and nothing is written down", "folder", WHOLE, ALL, |s| {
        s.rename_machine();
        s.remove("state.json");
        s.remove("journal.jsonl");
    }),
    // -- the lab
    Damage("warden killed", "folder", Some(&[LOST]), None, |s| {
        let warden = s.warden();
        arena::kill(warden);
        until("the warden is dead", || owner::start_time(warden).is_none());
    }),
    Damage("daemon killed", "folder", WHOLE, None, |s| s.kill_daemon()),
    Damage("lab's folder removed", "folder", Some(&[LOST]), None, |s| fs::remove_dir_all(s.lab()).unwrap()),
    Damage("bridge deleted", "folder", None, ALL, |s| {
        let ok = Command::new("ip").args(["link", "delete", &s.bridge()]).status().unwrap();
        assert!(ok.success());
    }),
    // -- leases
    Damage("lease missing", "folder", None, Some(&[DOMAIN, NET]), |s| {
        fs::remove_file(s.lease("lease")).unwrap()
    }),
    Damage("lease taken by another", "folder", None, Some(&[DOMAIN, NET]), |s| {
        let theirs = s.strangers().join("uuid");
        fs::write(s.lease("lease"), serde_json::to_vec(&(theirs, "theirs")).unwrap()).unwrap();
    }),
    Damage("owner of the lease missing", "folder", None, ALL, |s| fs::remove_file(s.lease("owner")).unwrap()),
    Damage("leases missing", "folder", None, Some(&[DOMAIN, NET]), |s| {
        fs::remove_dir_all(s.leases()).unwrap()
    }),
];
