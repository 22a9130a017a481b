//! What the tests put into stores, and how they look at it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::{Damage, Entry, Found, Ingredients, Key, Level, Store, content, damage},
    initfile::EnvSpec,
};

/// How many bytes the memory of a machine has.
pub(super) const MEMORY: usize = 300_000;

pub(super) fn key(what: &str) -> Key {
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

/// Bytes that say whose they are.
pub(super) fn memory(of: &str) -> Vec<u8> {
    format!("memory of {of}; ").into_bytes().into_iter().cycle().take(MEMORY).collect()
}

/// An entry of two machines, with nothing in it that another one has.
pub(super) fn put(store: &Store, what: &str) -> PathBuf {
    put_with(store, what, what)
}

/// An entry of two machines; with the same `content`, it has what another one has.
pub(super) fn put_with(store: &Store, what: &str, content: &str) -> PathBuf {
    let draft = store.begin().unwrap();
    for machine in ["db", "web"] {
        let of = format!("{machine} {content}");
        fs::write(draft.folder().join(format!("{machine}.save")), memory(&of)).unwrap();
        fs::write(draft.folder().join(format!("{machine}.qcow2")), of.repeat(500)).unwrap();
    }
    let entry = draft.finish(&key(what)).unwrap();
    assert_eq!(entry.manifest.files.len(), 4);
    entry.folder
}

pub(super) fn there(store: &Store, what: &str) -> Entry {
    match store.find(&key(what)).unwrap() {
        Found::There(entry) => entry,
        other => panic!("{what}: {other:?}"),
    }
}

pub(super) fn dropped(store: &Store, what: &str) -> Damage {
    match store.find(&key(what)).unwrap() {
        Found::Dropped(damage) => damage,
        other => panic!("{what}: {other:?}"),
    }
}

/// The files that whoever finds this entry now would read.
pub(super) fn unknown(store: &Path, what: &str) -> Vec<String> {
    let (digest, notes) = (key(what).digest(), content::Notes::load(store));
    let folder = store.join(&digest);
    let manifest = damage::examine(&folder, &digest).unwrap();
    let read = content::check(&folder, &manifest, &notes).unwrap();
    let mut names: Vec<String> = read.into_iter().map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names
}

/// What lies in a store, but for what it needs itself.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| ![".lock", ".read.json", ".read.new"].contains(&name.as_str()));
    names.sort();
    names
}
