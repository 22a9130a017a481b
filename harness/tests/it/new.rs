//! `polder new`: suites that pass at once, wherever they are made, and nothing half.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use crate::{
    binary::{self, Ran},
    extension,
    typed::Ground,
};

/// As Lago has them, with names that Rust does not have, and one that nobody answers for.
const LAGO: &str = "
domains:
  web-1:
    memory: 128
    nics: [{net: lab}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
    metadata: {deploy-scripts: [$LAGO_INITFILE_PATH/greet.sh]}
  type:
    vm-provider: memory
    memory: 64
    nics: [{net: lab}]
nets:
  lab: {type: nat, management: true, dhcp: {start: 100, end: 254}}
";

/// Makes a package with two suites at `folder`, one of everything and one of an init file that is there, for the workspace
/// beside ours.
pub(crate) fn generate(folder: &Path) {
    let ground = Ground::new(LAGO);
    fs::write(ground.path("greet.sh"), "#!/bin/sh\necho the script has run\n").unwrap();
    let library = env!("CARGO_MANIFEST_DIR");
    ground.polder(&["new", "fresh", "--path", library]).ok();
    for name in ["LagoInitFile", "greet.sh"] {
        fs::rename(ground.path(name), ground.path("fresh").join(name)).unwrap();
    }
    ground.polder_in("fresh", &["new", "given-one", "--from", "LagoInitFile", "--ci", "none"]).ok();
    let manifest = fs::read_to_string(ground.path("fresh/Cargo.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("polder = ")).unwrap();
    let manifest = manifest.replace(line, &format!("polder = {{ path = {library:?} }}"));
    fs::create_dir_all(folder.join("tests")).unwrap();
    extension::write(&folder.join("Cargo.toml"), &manifest);
    for name in ["LagoInitFile", "greet.sh", "tests/fresh.rs", "tests/fresh.yaml", "tests/given-one.rs"] {
        extension::write(&folder.join(name), &fs::read_to_string(ground.path("fresh").join(name)).unwrap());
    }
}

/// The binaries of both suites.
pub(crate) fn suite(name: &str) -> &'static Path {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let build = || {
        let names = ["fresh", "given-one"];
        if std::env::var_os("POLDER_TEST_PREBUILT").is_some() {
            return names.map(|name| (name.to_owned(), binary::beside_us(&name.replace('-', "_")))).into();
        }
        // The workspace is made with them.
        std::sync::LazyLock::force(&extension::PROGRAMS);
        let mut args = vec!["test", "--workspace", "--no-run", "--quiet", "--message-format=json"];
        args.extend(names.iter().flat_map(|name| ["--test", name]));
        binary::executables(&extension::built(&args))
    };
    &BUILT.get_or_init(build)[name]
}

#[test]
fn new_suites_are_compiled_and_look_as_rustfmt_leaves_them() {
    for (name, expected) in [
        ("fresh", "fresh::the_page_is_served: test\nfresh::what_is_not_there_is_not_served: test\n"),
        ("given-one", "given_one::web_1_answers: test\n"),
    ] {
        let args = ["--list", "--format", "terse", "--shard", "1/1"];
        let ran = binary::start_at(suite(name), &args, |_| {}).wait();
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), expected), "{}", ran.notes);
    }
    if std::env::var_os("POLDER_TEST_PREBUILT").is_none() {
        let tests = extension::outside().join("fresh/tests");
        let mut format = Command::new("rustfmt");
        format.args(["--check", "--edition", "2024", "fresh.rs", "given-one.rs"]);
        let said = format.current_dir(tests).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    }
}

#[test]
fn new_suites_pass_at_once() {
    // Else nothing is deployed where that was done before.
    let boot = |command: &mut Command| {
        command.env("POLDER_CHECKPOINTS", "off");
    };
    let [fresh, given] = ["fresh", "given-one"].map(|name| binary::start_at(suite(name), &[], boot));
    let passed = |ran: Ran, number: u8| {
        let expected = format!("ok. {number} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!((ran.code, ran.result()), (Some(0), expected.as_str()), "{}\n{}", ran.out, ran.notes);
        ran
    };
    let limit = Duration::from_secs(240);
    let (fresh, given) = (fresh.wait_within(limit), given.wait_within(limit));
    passed(fresh, 2);
    // Deploy scripts run before the suite does, and once.
    let events = passed(given, 1).file("events.jsonl");
    let ran = |line: &&str| line.contains("\"kind\":\"log\"") && line.contains("the script has run");
    assert_eq!(events.lines().filter(ran).count(), 1, "{events}");
    assert!(events.contains("2 machines are up"), "{events}");
}

/// All files below a folder with their texts, but for those of the ground's own.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    let text = fs::read_to_string(&path).unwrap();
                    all.insert(path.strip_prefix(folder).unwrap().to_owned(), text);
                }
            }
        }
    }
    all
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).keys().map(|path| path.display().to_string()).collect()
}

#[test]
fn what_is_there_stays_and_everything_in_the_way_is_told() {
    let ground = Ground::new("");
    let write = |path: &str, text: &str| {
        fs::create_dir_all(ground.path(path).parent().unwrap()).unwrap();
        fs::write(ground.path(path), text).unwrap();
    };
    // A member of a workspace; what services read is at the root.
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"a\"]\n");
    write(".gitlab-ci.yml", "ours: {script: [make]}\n");
    let told = ground.polder(&["new", "web", "--path", env!("CARGO_MANIFEST_DIR")]).ok();
    assert!(told.contains("there already, and left as it is: .gitlab-ci.yml"), "{told}");
    assert!(told.ends_with("to run it: cd web && cargo test --test web"), "{told}");
    let root = fs::read_to_string(ground.path("Cargo.toml")).unwrap();
    assert_eq!(root, "[workspace]\nresolver = \"3\"\nmembers = [\"a\", \"web\"]\n");
    let workflow = fs::read_to_string(ground.path(".github/workflows/polder.yml")).unwrap();
    assert!(workflow.contains("\n  PROJECT: web\n  SUITE: web\n"), "{workflow}");
    let whole = ["Cargo.toml", "README.md", "tests/web.rs", "tests/web.yaml"];
    assert_eq!(names(&ground.path("web")), whole);
    assert_eq!(fs::read_to_string(ground.path(".gitlab-ci.yml")).unwrap(), "ours: {script: [make]}\n");

    // Once more it has nothing to do.
    let before = files(&ground.path("."));
    let json = ground.json(&["new", "web", "--path", env!("CARGO_MANIFEST_DIR")]);
    assert_eq!((&json["made"], files(&ground.path("."))), (&serde_json::json!([]), before));

    // Everything that somebody else wrote is told, and nothing is made.
    for name in ["Cargo.toml", "tests/web.rs", "tests/web.yaml"] {
        write(&format!("web/{name}"), "[package]\nname = \"mine\"\n");
    }
    fs::remove_file(ground.path("web/README.md")).unwrap();
    let before = files(&ground.path("."));
    let said = ground.polder(&["new", "web"]);
    for name in ["web/Cargo.toml", "web/tests/web.rs", "web/tests/web.yaml"] {
        assert!(said.err.contains(name), "no {name} in {}", said.err);
    }
    said.fails(2, "already there, and nothing is overwritten: ");
    assert_eq!(files(&ground.path(".")), before);

    // One more test of a package: its own text stays.
    fs::remove_dir_all(ground.path("web/tests")).unwrap();
    write("web/Cargo.toml", "[package] # mine\nname = \"web\"\n");
    ground.polder_in("web", &["new", "more", "--ci", "jenkins"]).ok();
    assert_eq!(names(&ground.path("web")), ["Cargo.toml", "tests/more.rs", "tests/more.yaml"]);
    let manifest = fs::read_to_string(ground.path("web/Cargo.toml")).unwrap();
    assert!(
        manifest.starts_with("[package] # mine\nname = \"web\"\n\n[dev-dependencies]\npolder = "),
        "{manifest}"
    );
    let jenkins = fs::read_to_string(ground.path("Jenkinsfile")).unwrap();
    assert!(jenkins.contains("PROJECT = 'web'\n") && jenkins.contains("SUITE = 'more'\n"), "{jenkins}");
    // A target of that name that is another, a link to nowhere, a file where a folder is needed.
    write("web/Cargo.toml", "[package]\nname = \"web\"\n[[test]]\nname = \"x\"\npath = \"x.rs\"\n");
    ground.polder_in("web", &["new", "x"]).fails(2, "web/Cargo.toml: it has another test target `x`");
    std::os::unix::fs::symlink("nowhere", ground.path("web/tests/y.rs")).unwrap();
    ground.polder_in("web", &["new", "y"]).fails(2, "web/tests/y.rs");
    write("z", "a file");
    ground.polder(&["new", "z"]).fails(2, "already there");
}

#[test]
fn bad_names_init_files_and_libraries_are_refused_before_anything_is_made() {
    let ground = Ground::new("domains: {a: {memroy: 1, nics: [{net: nowhere}]}}\nnets: {lan: {}}\n");
    fs::write(
        ground.path("impossible"),
        "domains: {a: {vm-type: mill}, b: {vm-provider: cloud}}\nnets: {lan: {}}\n",
    )
    .unwrap();
    for (args, parts) in [
        (["x", "--from", "LagoInitFile"], ["memroy", "nowhere"]),
        (["x", "--from", "impossible"], ["mill", "cloud"]),
        (["x", "--from", "none"], ["cannot read the init file", "none"]),
        (["x", "--path", "/usr"], ["--path: /usr", "neither the package `polder`"]),
        (["X", "--ci", "none"], ["invalid value 'X'", "a-z"]),
        (["loop", "--ci", "none"], ["invalid value 'loop'", "keyword"]),
        (["x", "--ci", "hudson"], ["invalid value 'hudson'", "github, gitlab, jenkins, none"]),
    ] {
        let said = ground.polder(&[&["new"], &args[..]].concat());
        for part in parts {
            assert!(said.err.contains(part), "{args:?}: no {part:?} in {}", said.err);
        }
        assert_eq!(said.code, Some(2), "{args:?}");
    }
    assert_eq!(names(&ground.path(".")), ["LagoInitFile", "impossible"]);
}

/// A workspace with a package; its own manifest is the longest of all files.
fn workspace() -> Ground {
    let ground = Ground::new("");
    fs::remove_file(ground.path("LagoInitFile")).unwrap();
    fs::create_dir(ground.path("p")).unwrap();
    let comment = "# much to be said\n".repeat(300);
    fs::write(ground.path("Cargo.toml"), format!("{comment}[workspace]\nmembers = [\"p\"]\n")).unwrap();
    fs::write(ground.path("p/Cargo.toml"), "[package]\nname = \"p\"\n").unwrap();
    ground
}

const NEW: [&str; 6] = ["new", "web", "--ci", "github", "--path", env!("CARGO_MANIFEST_DIR")];

/// Kills `polder new` when it writes more than `size` bytes to a file: amid the first file that is longer.
fn killed(ground: &Ground, below: &str, size: usize) {
    let mut command = Command::new("prlimit");
    command.args(["--core=0", &format!("--fsize={size}"), env!("CARGO_BIN_EXE_polder")]).args(NEW);
    let said = command.current_dir(ground.path(below)).env("XDG_CONFIG_HOME", ground.path("config")).output();
    let status = said.unwrap().status;
    assert_eq!(status.signal(), Some(rustix::process::Signal::XFSZ.as_raw()), "{size} bytes: {status}");
}

#[test]
fn whoever_is_killed_while_a_suite_is_made_leaves_nothing_half() {
    let ground = workspace();
    let before = files(&ground.path("."));
    ground.polder(&NEW).ok();
    ground.polder_in("p", &NEW).ok();
    let whole = files(&ground.path("."));
    let changed = whole.iter().filter(|(path, text)| before.get(*path) != Some(text));
    let sizes: BTreeSet<usize> = changed.map(|(_, text)| text.len() - 1).collect();
    assert!(sizes.len() > 5, "{sizes:?}");
    let longest = *sizes.last().unwrap();
    let in_p = whole.iter().filter(|(path, _)| path.starts_with("p"));
    let longest_in_p = in_p.map(|(_, text)| text.len() - 1).max().unwrap();
    for size in sizes {
        let ground = workspace();
        // A new package is there whole or not at all.
        killed(&ground, ".", size);
        let left = files(&ground.path("."));
        assert_eq!(left.contains_key(Path::new("web/Cargo.toml")), size == longest, "{size}: {left:?}");
        // Anything else is there as it was, or as it should be, or under a name that nobody asks for.
        let fine = |(path, text): (&PathBuf, &String)| {
            let named = path.iter().all(|part| !part.to_string_lossy().starts_with(".polder-new-"));
            !named || before.get(path) == Some(text) || whole.get(path) == Some(text)
        };
        assert!(left.iter().all(fine), "{size}: {left:?}");
        ground.polder(&NEW).ok();
        if size <= longest_in_p {
            killed(&ground, "p", size);
            let left = files(&ground.path("."));
            assert!(left.iter().all(fine), "{size}: {left:?}");
        }
        ground.polder_in("p", &NEW).ok();
        assert_eq!(files(&ground.path(".")), whole, "{size}");
    }
}
