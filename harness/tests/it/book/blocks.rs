//! Blocks that are files: each is read by what reads such a file.

use std::{fs, path::Path};

use polder::{
    change::{self, Vars},
    config::{Config, Sources},
    cvp::{
        jobs::{Defaults, JobFile},
        server::{SavedState, check_state},
    },
    image::Recipe,
    initfile::{self, Options},
};

use super::markdown::{Block, pages};

/// What a part of an init file leaves unsaid.
const INIT: &str = "domains: {web: {disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]}}\n\
    nets: {lan: {type: nat, management: true}, wan: {type: nat}}\n";

/// What a part of a file of changes leaves unsaid, key by key.
const CHANGES: &str = "version: 1\ndevices: {sw1: {ipaddress: 192.0.2.1}}\nvars: {server: a, login: b}\ndrivers: {here: {kind: local}}\n\
    scenario: {name: all, nodes: [{step: one, targets: all, apply: {exchanges: [{send: \"true\"}]}}]}\n";

/// What is in every file that another one names: some of them are public keys.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFhmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZm\n";

/// Adds the lines of `rest` whose keys the text has not.
fn completed(text: &str, rest: &str) -> String {
    let has = |line: &str| text.lines().any(|own| own.split(':').next() == line.split(':').next());
    let more: String = rest.lines().filter(|line| !has(line)).map(|line| format!("{line}\n")).collect();
    format!("{text}{more}")
}

/// A folder with everything that the files of the book name.
fn surroundings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    surround(folder.path());
    folder
}

/// Writes everything that the files of the book name into the folder.
pub(crate) fn surround(folder: &Path) {
    for path in ["configs/ntp-lab", "keys/appliance", "keys/appliance.pub", "images/own.qcow2", "greet.sh"] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, KEY).unwrap();
    }
    fs::write(folder.join("images/router.yaml"), "extends: debian12\n").unwrap();
}

fn told(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

fn wrong(block: &Block, folder: &Path) -> Option<String> {
    let text = &block.text;
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    match block.language.as_str() {
        "yaml" if block.is("other") => yaml_serde::from_str::<serde_json::Value>(text).err().map(told),
        "yaml" if block.is("changes") => {
            let text = if block.is("part") { completed(text, CHANGES) } else { text.clone() };
            change::load(&file("changes.yaml", &text), &Vars::default()).err().map(told)
        }
        "yaml" if block.is("recipe") => Recipe::load(&file("router.yaml", text)).err().map(told),
        "yaml" => {
            let text = if block.is("part") { completed(text, INIT) } else { text.clone() };
            let nothing = |_: &str| None;
            initfile::load_text(&folder.join("init.yaml"), &text, &Options::new(&nothing)).err().map(told)
        }
        "xml" => change::load(&file("changes.xml", text), &Vars::default()).err().map(told),
        "json" if block.is("jobs") => {
            JobFile::load(&file("jobs.json", text), &Defaults::default()).err().map(told)
        }
        "json" if block.is("state") => {
            check_state(SavedState::from(text.clone().into_bytes())).err().map(told)
        }
        "json" if block.is("event") => {
            let read = polder::event::read(format!("{}\n{text}", FIRST).as_bytes());
            read.map_or_else(
                |error| Some(told(error)),
                |all| (all.events.len() != 2).then(|| format!("{all:?}")),
            )
        }
        "json" => serde_json::from_str::<serde_json::Value>(text).err().map(told),
        "toml" if block.is("config") => {
            fs::create_dir_all(folder.join("polder")).unwrap();
            file("polder/polder.toml", text);
            let sources = Sources { etc: folder.to_owned(), variables: vec![], verbs: None };
            let settings = sources.load();
            let warned: Vec<_> = settings.warnings.iter().map(|warning| format!("{warning:?}")).collect();
            Config::new(settings, vec![]).err().map(told).or((!warned.is_empty()).then(|| warned.concat()))
        }
        "toml" => toml::from_str::<toml::Table>(text).err().map(told),
        _ => None,
    }
}

/// What a file of events begins with.
const FIRST: &str = r#"{"time":1.0,"since_start":0.0,"event":{"kind":"run_started","version":1,"run":"r","suites":[],"scenarios":0}}"#;

#[test]
fn every_file_in_the_book_is_taken_by_what_reads_such_files() {
    let folder = surroundings();
    let found: Vec<String> = pages()
        .iter()
        .flat_map(|page| &page.blocks)
        .filter_map(|block| Some(format!("{}: {}", block.place, wrong(block, folder.path())?)))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_is_wrong_with_a_file_in_the_book_is_told() {
    let folder = surroundings();
    for (info, text, expected) in [
        ("yaml", "domains: {a: {memry: 1}}\n", "memry"),
        ("yaml part", "nets: {lan: {typ: nat}}\n", "typ"),
        ("yaml changes part", "drivers: {here: {kind: lokal}}\n", "lokal"),
        ("json jobs", r#"[{"type": "configlet", "action": "ad"}]"#, "ad"),
        ("json state", r#"{"version": 99}"#, "99"),
        ("json event", r#"{"event": {}}"#, ""),
        ("toml config", "labb = \"system\"\n", "labb"),
        ("toml", "a = \n", ""),
        ("json", "{", ""),
        ("xml changes", "<config><chnage/></config>", "chnage"),
    ] {
        let page = super::markdown::read("p.md", &format!("```{info}\n{text}\n```\n"));
        let told = wrong(&page.blocks[0], folder.path());
        assert!(told.as_ref().is_some_and(|told| told.contains(expected)), "{info}: {told:?}");
    }
}
