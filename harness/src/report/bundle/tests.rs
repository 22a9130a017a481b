//! Bundles: the same bytes for the same run, nothing secret in them, and nothing believed that others made.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::{
    BundleError,
    open::{Limits, open_within},
    *,
};

const RUN: &str = "20261121T051505Z-7";

/// A run that failed, as it lies in a folder.
fn run(root: &Path) -> PathBuf {
    let folder = root.join(RUN);
    let at = folder.display();
    let events = [
        json!({"kind": "run_started", "version": 1, "polder": "0.1.0", "run": RUN, "suites": ["net"], "scenarios": 1}),
        json!({"kind": "suite_started", "suite": "net"}),
        json!({"kind": "scenario_started", "suite": "net", "scenario": "boots", "prerequisite": false}),
        json!({"kind": "change_reported", "suite": "net", "scenario": "boots", "change": "mtu", "state": "success",
               "report": format!("{at}/net/changes/1-mtu/report.html")}),
        json!({"kind": "log", "suite": "net", "scenario": "boots", "text": "logging in with hunter2"}),
        json!({"kind": "scenario_finished", "suite": "net", "scenario": "boots", "seconds": 1.0,
               "outcome": {"outcome": "failed", "fault": "product", "error": "1 != 2"}}),
        json!({"kind": "run_finished", "passed": 0, "failed": 1, "not_run": 0, "ignored": 0, "seconds": 1.0}),
    ];
    let lines = events
        .map(|event| format!("{}\n", json!({"time": 1_795_238_105.0, "since_start": 0.5, "event": event})));
    let files = [
        ("events.jsonl", lines.concat()),
        ("net/boots/error.txt", "1 != 2\n".into()),
        (
            "net/boots/web/journal.txt",
            format!("hunter2\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n{at}/x\n"),
        ),
        ("net/environment/lab.yaml", "domains: { web: { root-password: hunter2 } }\n".into()),
        ("net/changes/1-mtu/report.html", "<p>done</p>".into()),
        ("net/portal.env", "export CVP_PASS=hunter2\n".into()),
        ("net/portal.json", "{}".into()),
        ("net/boots/id_ed25519", "key".into()),
        ("net/boots/tls.key", "key".into()),
        ("net/.polder/default/disk", "machine".into()),
    ];
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", folder.join("net/boots/link")).unwrap();
    folder
}

fn none() -> impl Iterator<Item = (String, String)> {
    std::iter::empty()
}

fn texts(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        all += &match path.is_dir() {
            true => texts(&path),
            false => format!("{}\n{}", path.display(), fs::read_to_string(&path).unwrap()),
        };
    }
    all
}

#[test]
fn a_run_goes_into_a_file_and_comes_out_without_what_is_secret() {
    let root = tempfile::tempdir().unwrap();
    let folder = run(root.path());
    let file = root.path().join("run.tar.gz");
    let variables = [("POLDER_VAR_token".to_owned(), "1 != 2".to_owned())];
    let bundled = write(&folder, &json!({"kernel": "6.1"}), variables.into_iter(), &file).unwrap();
    let left_out: Vec<&str> = bundled.left_out.keys().map(String::as_str).collect();
    let expected = [
        "net/.polder",
        "net/boots/id_ed25519",
        "net/boots/link",
        "net/boots/tls.key",
        "net/portal.env",
        "net/portal.json",
    ];
    assert_eq!(left_out, expected);
    assert!(matches!(write(&folder, &json!({}), none(), &file), Err(BundleError::Exists(_))));

    let into = root.path().join("opened");
    let written = open(&file, &into).unwrap();
    assert_eq!(written.page, into.join("report.html"));
    let all = texts(&into);
    for secret in ["hunter2", "AAAA", "1 != 2", "BEGIN PRIVATE"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    assert!(!all.contains(&folder.display().to_string()), "{all}");
    assert!(fs::read_to_string(into.join("host.json")).unwrap().contains("6.1"));
    assert_eq!(fs::read_to_string(into.join("net/boots/web/journal.txt")).unwrap(), "***\n***\n./x\n");
    assert!(matches!(open(&file, &into), Err(BundleError::Exists(_))));
    let mut there: Vec<_> =
        fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, [RUN, "opened", "run.tar.gz"], "nothing else is left");
}

#[test]
fn whoever_only_unpacks_it_has_a_page_whose_links_lead_to_files() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("run.tar.gz");
    write(&run(root.path()), &json!({}), none(), &file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let out = root.path().join("out");
    tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice())).unpack(&out).unwrap();
    let junit = fs::read_to_string(out.join(RUN).join("junit.xml")).unwrap();
    let attached = junit.lines().filter_map(|line| line.split_once("[[ATTACHMENT|")?.1.split_once("]]"));
    let attached: Vec<&str> = attached.map(|(path, _)| path).collect();
    assert!(attached.len() >= 3, "{junit}");
    for path in attached {
        assert!(Path::new(path).is_relative() && out.join(RUN).join(path).is_file(), "{path}");
    }
    let page = fs::read_to_string(out.join(RUN).join("report.html")).unwrap();
    assert!(page.contains("./net/changes/1-mtu/report.html"), "{page}");
    assert!(page.contains("net/boots/web/journal.txt") && !page.contains("id_ed25519"), "{page}");
}

#[test]
fn the_same_run_is_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let folder = run(root.path());
    let bundle = |name: &str| {
        let file = root.path().join(name);
        write(&folder, &json!({"b": 1, "a": 2}), none(), &file).unwrap();
        fs::read(file).unwrap()
    };
    let first = bundle("first");
    // Also when it was read, and its files are touched.
    fs::write(folder.join("net/boots/error.txt"), "1 != 2\n").unwrap();
    assert!(first == bundle("second"));
}

/// A file with an archive of these entries.
fn archive(root: &TempDir, entries: &[(&str, EntryType, &[u8])]) -> PathBuf {
    let file = root.path().join("bundle.tar.gz");
    let mut archive = Builder::new(GzEncoder::new(fs::File::create(&file).unwrap(), Compression::fast()));
    for (path, kind, content) in entries {
        let mut header = Header::new_gnu();
        // As they are: a careful program would refuse to write them.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap().flush().unwrap();
    file
}

const FILE: EntryType = EntryType::Regular;
const X: &[u8] = b"x";
const NOTHING: &[u8] = b"";
const MUCH: &[u8] = &[0; 3000];

#[rstest::rstest]
#[case::out(&[("run/../../evil", FILE, X)], "leads out of its folder")]
#[case::absolute(&[("/tmp/evil", FILE, X)], "leads out of its folder")]
#[case::symlink(&[("run/link", EntryType::Symlink, NOTHING)], "is neither a file nor a folder")]
#[case::hard_link(&[("run/link", EntryType::Link, NOTHING)], "is neither a file nor a folder")]
#[case::device(&[("run/null", EntryType::Char, NOTHING)], "is neither a file nor a folder")]
#[case::fifo(&[("run/pipe", EntryType::Fifo, NOTHING)], "is neither a file nor a folder")]
#[case::no_folder(&[("events.jsonl", FILE, X)], "is in no folder")]
#[case::two_folders(&[("run/a", FILE, X), ("other/b", FILE, X)], "another folder")]
#[case::twice(&[("run/a", FILE, X), ("run/a", FILE, X)], "is there twice")]
#[case::deep(&[("r/a/b/c/d/e", FILE, X)], "is too deep")]
#[case::many(&[("r/1", FILE, NOTHING), ("r/2", FILE, NOTHING), ("r/3", FILE, NOTHING), ("r/4", FILE, NOTHING)], "more than 3 files")]
#[case::bomb(&[("r/1", FILE, MUCH), ("r/2", FILE, MUCH)], "it has more than 0 MiB")]
#[case::no_events(&[("r/1", FILE, X)], "there are no events in it")]
#[case::empty(&[], "there is nothing in it")]
fn what_leads_elsewhere_or_is_too_much_is_refused(
    #[case] entries: &[(&str, EntryType, &[u8])],
    #[case] expected: &str,
) {
    let root = tempfile::tempdir().unwrap();
    let file = archive(&root, entries);
    let limits = Limits { whole: 5000, files: 3, depth: 5 };
    // One that is good but for what is wrong fits into these.
    let error = open_within(&file, &root.path().join("opened"), limits).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    assert!(matches!(error, BundleError::Strange { .. }));
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bundle.tar.gz"], "nothing is left");
}

#[test]
fn a_file_that_is_torn_or_something_else_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("run.tar.gz");
    write(&run(root.path()), &json!({}), none(), &file).unwrap();
    let whole = fs::read(&file).unwrap();
    let into = root.path().join("opened");
    let mut wrong = whole.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 0xff;
    for bytes in [&b""[..], b"no archive", &whole[..whole.len() / 2], &whole[..10], &wrong] {
        fs::write(&file, bytes).unwrap();
        let error = open(&file, &into).unwrap_err();
        assert!(matches!(error, BundleError::Strange { .. }), "{} bytes: {error}", bytes.len());
        assert!(!into.exists());
    }
    assert!(matches!(open(&root.path().join("none"), &into), Err(BundleError::File { .. })));
}
