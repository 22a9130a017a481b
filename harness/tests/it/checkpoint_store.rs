//! `polder checkpoints`: what people see of the store, and what it does for them.

use std::{collections::BTreeMap, fs, path::Path};

use polder::{
    checkpoint::{Ingredients, Key, Level, Store},
    initfile::{self, Options},
};

use crate::typed::{Ground, Said};

const INIT_FILE: &str = include_str!("../suites/one.yaml");

/// An entry of a machine whose memory has 3 MiB, with that in it.
fn put(store: &Store, what: &str, content: u8) -> String {
    let spec = initfile::load_text(Path::new("x.yaml"), INIT_FILE, &Options::new(&|_| None)).unwrap().spec;
    let makers = BTreeMap::from([("test".to_owned(), what.to_owned())]);
    let key = Key::new(&Ingredients {
        level: Level::Boot,
        spec: &spec,
        decided: &BTreeMap::new(),
        files: &BTreeMap::new(),
        templates: &BTreeMap::new(),
        makers: &makers,
    });
    let draft = store.begin().unwrap();
    fs::write(draft.folder().join("only.save"), vec![content; 3 << 20]).unwrap();
    draft.finish(&key).unwrap();
    key.digest()
}

#[test]
fn checkpoints_are_listed_shown_verified_and_pruned() {
    let ground = Ground::new(INIT_FILE);
    let store = Store::at(&ground.path("cache/checkpoints"));
    let polder = |args: &[&str], limit: Option<&str>| {
        let mut command = ground.command(&[&["checkpoints"], args].concat());
        command.env("POLDER_CACHE_DIR", ground.path("cache"));
        command.envs(limit.map(|limit| ("POLDER_CHECKPOINT_LIMIT_GIB", limit)));
        Said::of(&command.output().unwrap())
    };
    assert_eq!(polder(&["list"], None).ok(), "there are none");
    let [a, b, c] = [("a", 7), ("b", 7), ("c", 9)].map(|(what, content)| put(&store, what, content));
    let listed = polder(&["list"], None).ok();
    assert_eq!(listed.lines().filter(|line| line.contains("  3 MiB  ")).count(), 3, "{listed}");
    assert!(listed.ends_with("3 checkpoints, 6 MiB; what several have counts once"), "{listed}");
    let shown = polder(&["show", &a[..10]], None).ok();
    assert!(
        shown.contains("  made by test = a\n") && shown.contains("  only.save (3145728 bytes)"),
        "{shown}"
    );
    polder(&["show", "nothing"], None).fails(2, "`nothing` begins the keys of 0 checkpoints");
    assert_eq!(polder(&["verify"], None).ok(), "3 verified, all is well");
    let path = ground.path("cache/checkpoints").join(&c).join("only.save");
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"X", 2 << 20).unwrap();
    let verified = polder(&["verify"], None).ok();
    let why = "which is damaged: `only.save` has something else in it than when it was written";
    assert_eq!(verified, format!("removed {}, {why}", &c[..12]));
    assert_eq!(polder(&["prune"], None).ok(), "nothing to remove");
    polder(&["prune"], Some("much"))
        .fails(2, "`checkpoint_limit_gib` is `much`, which is not a whole number");
    let pruned = polder(&["prune"], Some("0")).ok();
    assert!(pruned.contains(&a[..12]) && pruned.contains(&b[..12]), "{pruned}");
    assert_eq!(polder(&["list"], None).ok(), "there are none");
}
