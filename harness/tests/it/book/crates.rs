//! Rust of the book: every block is compiled, all of them in one package, which is the tutorial's.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::markdown::{Block, Line, Page, book, page, pages, root};
use crate::{
    binary,
    extension::{profile, write},
};

/// What stands beside a block that names a file and whose page does not have it.
const BESIDE: &[(&str, &str)] = &[
    (
        "lab.yaml",
        "domains: {web: {disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]}}\n",
    ),
    (
        "changes.yaml",
        "version: 1\ndevices: {web: {}}\ndrivers: {ssh: {kind: ssh}}\nscenario: {name: all, nodes: [{step: mtu, targets: all}]}\n",
    ),
];

/// Parameters of the function around a block of steps.
const PARAMETERS: &str = "env: &Env, vms: &Vms, web: &Vm, db: &Vm, server: &Vm, client: &Vm, engine: &Vm, r1: &Vm, lan: &Net, \
    cvp: &Cvp, changes: &Changes, chance: &Chance, artifacts: &Artifacts";

/// What the package needs beyond what the tutorial's has.
const MORE: &str = r#"
[workspace]

[lib]
test = false

[[test]]
name = "blocks"

[dependencies]
anyhow = "1"
polder-fixtures = { path = "FIXTURES" }
rstest = { version = "0.28", default-features = false }
serde_json = "1"
tokio = "1"

# As in `tests/extension`: what is built of the workspace serves here, too.
[build-dependencies]
syn = { version = "2", features = ["visit"] }
"#;

/// The files of the tutorial's package as they are at the end of each chapter.
fn chapters() -> Vec<(String, BTreeMap<String, String>)> {
    let mut files = BTreeMap::<String, String>::new();
    let links = page("docs/SUMMARY.md").links.into_iter().filter(|link| link.text.starts_with("tutorial/"));
    let after = |link: Line| {
        for block in page(&format!("docs/{}", link.text)).blocks {
            if let Some(path) = block.value("file") {
                files.insert(path.to_owned(), block.text.clone());
            } else if let Some(path) = block.value("add") {
                let file =
                    files.get_mut(path).unwrap_or_else(|| panic!("{}: there is no {path} yet", block.place));
                if block.language == "rust" {
                    let end = file
                        .rfind("}\n\npolder::main!")
                        .unwrap_or_else(|| panic!("{}: {path} has no end", block.place));
                    file.insert_str(end, &format!("\n{}", indented(&block.text)));
                } else {
                    file.push_str(&format!("\n{}", block.text));
                }
            }
        }
        (link.text, files.clone())
    };
    links.map(after).collect()
}

/// The files of the tutorial's package as they are when one has come to its end.
pub(crate) fn tutorial() -> BTreeMap<String, String> {
    chapters().pop().unwrap().1
}

fn indented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") };
    text.lines().map(line).collect()
}

/// Makes the package and builds its tests; returns its folder.
pub(crate) fn build() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book");
    for (path, text) in tutorial() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if path.ends_with("Cargo.toml") {
            let manifest = text.replace("../polder/harness", here.to_str().unwrap());
            assert_ne!(manifest, text, "the tutorial's Cargo.toml says where Polder is");
            let more = MORE.replace("FIXTURES", root().join("fixtures").to_str().unwrap());
            let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
            write(&path, &(manifest + &more + &profile(&workspace)));
        } else {
            write(&path, &text);
        }
    }
    write(&folder.join("Cargo.lock"), &fs::read_to_string(root().join("Cargo.lock")).unwrap());
    fs::create_dir_all(folder.join("src")).unwrap();
    write(&folder.join("src/lib.rs"), "");
    blocks(&folder.join("tests"));
    let mut cargo = binary::cargo();
    cargo.args(["build", "--tests", "--quiet", "--offline", "--target-dir"]);
    cargo.arg(Path::new(env!("CARGO_BIN_EXE_polder")).ancestors().nth(2).unwrap());
    let output = cargo.current_dir(&folder).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the book's Rust does not compile:\n{said}");
    folder
}

/// Writes a module for each block, and the file that names them all.
fn blocks(folder: &Path) {
    let mut all = String::from("#![allow(dead_code, unused)]\n");
    for page in pages() {
        let is_plain = |block: &&Block| {
            block.language == "rust" && block.value("file").is_none() && block.value("add").is_none()
        };
        for (number, block) in page.blocks.iter().filter(is_plain).enumerate() {
            let letter = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
            let name = format!("{}_{number}", page.path.chars().map(letter).collect::<String>());
            let module = folder.join(&name);
            fs::create_dir_all(&module).unwrap();
            beside(&page, &module);
            write(&module.join("mod.rs"), &whole(block));
            let _ = writeln!(all, "// {}\nmod {name};", block.place);
        }
    }
    write(&folder.join("blocks.rs"), &all);
}

/// Files that a block names: those of its page, else ours.
fn beside(page: &Page, folder: &Path) {
    for (name, text) in BESIDE {
        write(&folder.join(name), text);
    }
    for block in &page.blocks {
        if let Some(name) = block.value("file").map(Path::new).and_then(Path::file_name) {
            write(&folder.join(name), &block.text);
        }
    }
}

/// A block as a file.
fn whole(block: &Block) -> String {
    let text = &block.text;
    if block.is("part") {
        format!(
            "use polder::prelude::*;\n#[polder::suite(env = \"lab.yaml\", cvp, changes = \"changes.yaml\")]\nmod part {{\nuse super::*;\n{text}\n}}\n"
        )
    } else if block.is("steps") {
        format!("use polder::prelude::*;\nasync fn steps({PARAMETERS}) -> Result {{\n{text}\nOk(())\n}}\n")
    } else {
        text.clone()
    }
}

#[test]
fn every_block_of_rust_compiles() {
    build();
}

/// Cargo builds nothing of a package one of whose targets has no file.
#[test]
fn each_chapter_of_the_tutorial_ends_with_a_package_that_cargo_takes() {
    for (chapter, files) in chapters() {
        let Some(manifest) = files.get("Cargo.toml") else { continue };
        let manifest: toml::Table = toml::from_str(manifest).unwrap();
        for target in manifest["test"].as_array().unwrap() {
            let path = format!("tests/{}.rs", target["name"].as_str().unwrap());
            assert!(files.contains_key(&path), "after docs/{chapter} there is no {path}");
        }
    }
}

#[test]
fn the_tutorials_package_is_what_its_chapters_say() {
    let files = tutorial();
    for (path, text) in &files {
        assert!(!path.contains("..") && !text.is_empty(), "{path}");
    }
    let suite = &files["tests/hello.rs"];
    let added = book().iter().flat_map(|page| &page.blocks).filter(|b| b.value("add").is_some()).count();
    assert!(added >= 2 && suite.ends_with("}\n\npolder::main!();\n"), "{suite}");
}
