//! Many paths at once: what comes, what is cut, what is told when something goes wrong in the middle.

use super::*;

const ALL: Caps = Caps { path: u64::MAX, machine: u64::MAX };

/// What became of each, by the ends of their paths in the guest.
fn results(gathered: &[Gathered]) -> Vec<(String, Option<u64>, String)> {
    let name = |one: &Gathered| one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    gathered.iter().map(|one| (name(one), one.bytes, one.missing.clone().unwrap_or_default())).collect()
}

fn wanted(base: &Path, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{}/{name}", base.display())).collect()
}

#[tokio::test]
async fn patterns_folders_and_links_come_each_to_a_place_of_its_own() {
    for busybox in [false, true] {
        let rig = rig!();
        if busybox {
            let bin = rig.dir.path().join("bin");
            let installed =
                std::process::Command::new("busybox").arg("--install").arg("-s").arg(bin).status();
            assert!(installed.unwrap().success());
        }
        let guest = rig.guest();
        let base = rig.dir.path().canonicalize().unwrap();
        let source = base.join("so urce");
        fs::create_dir_all(source.join("deep/nested")).unwrap();
        for (name, text) in
            [("a.log", "a"), ("b [1].log", "bb"), ("deep/f", "fff"), ("deep/nested/-n", "n"), ("-x", "x")]
        {
            fs::write(source.join(name), text).unwrap();
        }
        fs::write(source.join("deep/long"), [[b'o'; 90], [b'n'; 90]].concat()).unwrap();
        fs::write(source.join("deep/closed"), "closed").unwrap();
        fs::set_permissions(source.join("deep/closed"), fs::Permissions::from_mode(0o000)).unwrap();
        symlink("/nowhere", source.join("deep/dangling")).unwrap();
        symlink("deep", source.join("link")).unwrap();
        let root = rustix::process::getuid().is_root();
        if !root {
            fs::set_permissions(source.join("deep/closed"), fs::Permissions::from_mode(0o400)).unwrap();
        }
        let asked = wanted(&source, &["*.log", "deep/", "link", "deep/nested", "-x", "none", "no*ne"]);
        let out = base.join("out");
        let caps = Caps { path: 150, machine: 10_000 };
        let mut asked = asked;
        asked.push("/proc/version".to_owned());
        let gathered = guest.gather(&asked, &out, caps, LONG).await.unwrap();
        let long = format!("of the 180 bytes of {}, the last 150", source.join("deep/long").display());
        let told = results(&gathered);
        let version = fs::read("/proc/version").unwrap();
        let expected = [
            ("a.log", Some(1), ""),
            ("b [1].log", Some(2), ""),
            ("deep", Some(160), long.as_str()),
            ("link", Some(160), long.as_str()),
            ("nested", Some(1), ""),
            ("-x", Some(1), ""),
            ("none", None, "there is no such file or folder"),
            ("no*ne", None, "nothing fits the pattern"),
            ("version", Some(version.len() as u64), ""),
        ];
        let expected = expected.map(|(name, bytes, why)| (name.to_owned(), bytes, why.to_owned()));
        assert_eq!(told, expected, "busybox: {busybox}");

        let flat = |name: &str| out.join(source.join(name).to_string_lossy().replace('/', "_"));
        assert_eq!(fs::read(flat("b [1].log")).unwrap(), b"bb");
        assert_eq!(fs::read(flat("deep/nested").join("-n")).unwrap(), b"n");
        for deep in [flat("deep"), flat("link")] {
            assert_eq!(fs::read(deep.join("nested/-n")).unwrap(), b"n");
            assert_eq!(fs::read_link(deep.join("dangling")).unwrap(), Path::new("/nowhere"));
            let end = [[b'o'; 60].as_slice(), &[b'n'; 90]].concat();
            assert_eq!(fs::read(deep.join("long")).unwrap(), end);
            assert_eq!(fs::metadata(deep.join("closed")).unwrap().mode() & 0o777, 0o400);
        }
        assert_eq!(fs::read(out.join("_proc_version")).unwrap(), version);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 7, "nothing else lies there");
    }
}

#[tokio::test]
async fn limits_cut_and_say_so() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path().canonicalize().unwrap();
    for folder in ["one", "two", "three"] {
        fs::create_dir(base.join(folder)).unwrap();
        for n in 0..10 {
            fs::write(base.join(folder).join(n.to_string()), [b'x'; 100]).unwrap();
        }
    }
    let asked = wanted(&base, &["one", "two", "three"]);
    let gathered =
        guest.gather(&asked, &base.join("out"), Caps { path: 750, machine: 1_000 }, LONG).await.unwrap();
    let told = results(&gathered);
    assert_eq!(told[0].1, Some(700));
    assert_eq!(told[0].2, "3 files with 300 bytes are beyond the limit of 750 bytes");
    assert_eq!(
        (told[1].1, told[1].2.as_str()),
        (Some(300), "the limit of 1000 bytes for the machine was reached")
    );
    assert_eq!(
        (told[2].1, told[2].2.as_str()),
        (None, "the limit of 1000 bytes for the machine was reached")
    );
}

#[tokio::test]
async fn files_that_vanish_and_change_do_not_keep_the_rest_away() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path().canonicalize().unwrap();
    let busy = base.join("busy");
    fs::create_dir(&busy).unwrap();
    for n in 0..3_000 {
        fs::write(busy.join(format!("{n:04}")), noise(2_000)).unwrap();
    }
    fs::write(base.join("after"), "after").unwrap();
    // Files vanish and shrink after a part of them was sent.
    let harm = format!("cd '{}'; rm -f 1*; for f in 2*; do : > \"$f\"; done", busy.display());
    fs::write(base.join("harm"), harm).unwrap();
    let fake = format!(
        "exec /usr/bin/tar --checkpoint=100 --checkpoint-action=exec='sh {}' \"$@\"",
        base.join("harm").display()
    );
    rig.fake("tar", &fake);
    let asked = wanted(&base, &["busy", "after"]);
    let gathered = guest.gather(&asked, &base.join("out"), ALL, LONG).await.unwrap();
    let told = results(&gathered);
    assert_eq!((told[1].1, told[1].2.as_str()), (Some(5), ""));
    let copy = base.join("out").join(&gathered[0].place);
    assert!((0..1_000).all(|n| fs::read(copy.join(format!("{n:04}"))).unwrap().len() == 2_000));
    assert!(told[0].2.contains("File removed before we read it"), "{}", told[0].2);
}

#[tokio::test]
async fn a_tar_that_gives_up_is_asked_for_the_rest() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path().canonicalize().unwrap();
    for name in ["a", "b", "c"] {
        fs::create_dir(base.join(name)).unwrap();
        fs::write(base.join(name).join("f"), noise(100_000)).unwrap();
    }
    // Ends in the middle of the second one, the first time.
    rig.fake(
        "tar",
        &r#"
case $1 in --version) exec /usr/bin/tar "$@";; esac
if [ -e BASE/once ]; then exec /usr/bin/tar "$@"; fi
touch BASE/once
/usr/bin/tar "$@" | head -c 150000; exit 1"#
            .replace("BASE", base.to_str().unwrap()),
    );
    let asked = wanted(&base, &["a", "b", "c"]);
    let gathered = guest.gather(&asked, &base.join("out"), ALL, LONG).await.unwrap();
    let told = results(&gathered);
    assert_eq!((told[0].2.as_str(), told[2].2.as_str()), ("", ""));
    assert_eq!(told[1].2, "tar ended with exit status 1 in the middle of it");
    for (at, name) in [(0, "a"), (2, "c")] {
        let copy = base.join("out").join(&gathered[at].place).join("f");
        assert!(fs::read(copy).unwrap() == fs::read(base.join(name).join("f")).unwrap());
    }
}

#[tokio::test]
async fn a_guest_that_dies_in_the_middle_leaves_results_of_all() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path().canonicalize().unwrap();
    fs::write(base.join("small"), "small").unwrap();
    fs::write(base.join("big"), noise(8 << 20).repeat(50)).unwrap();
    fs::write(base.join("never"), "never").unwrap();
    let asked = wanted(&base, &["small", "big", "never"]);
    let out = base.join("out");
    let killing = async {
        let has_begun = || walk(&out).iter().any(|path| path.ends_with("big"));
        while !has_begun() {
            tokio::time::sleep(SECOND / 100).await;
        }
        rig.server.kill();
    };
    let (gathered, ()) = tokio::join!(guest.gather(&asked, &out, ALL, LONG), killing);
    let told = results(&gathered.unwrap());
    assert_eq!((told[0].1, told[0].2.as_str()), (Some(5), ""));
    assert!(told[1].2.contains("lost web while it ran"), "{}", told[1].2);
    assert!(told[2].1.is_none() && told[2].2.contains("lost web while it ran"), "{}", told[2].2);
}

/// All files below a folder.
fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
