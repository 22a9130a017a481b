//! Repositories of packages that are built from folders, packages and mirrors, also by who is killed meanwhile.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use polder::{
    repo::{Builder, Format, Order, Source},
    template,
};

use crate::{
    arena,
    serving::TWO,
    typed::{Ground, Said},
};

/// A Debian package without anything in it.
pub(crate) fn deb(folder: &Path, name: &str, version: &str) {
    let tree = folder.join(format!(".tree-{name}-{version}"));
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Ada <ada@example.test>\nDescription: {name}\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "--build"]).arg(&tree).arg(folder).stdout(Stdio::null());
    assert!(build.status().unwrap().success());
    fs::remove_dir_all(tree).unwrap();
}

/// Files of a folder, without those only apt looks at.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn repositories_are_built_from_folders_packages_and_mirrors() {
    let ground = Ground::new(&TWO.replace("internet: true", "management: false"));
    let folder = |name: &str| {
        fs::create_dir_all(ground.path(name)).unwrap();
        ground.path(name)
    };
    let build = |args: &[&str]| ground.polder(&[&["repo", "build"], args].concat());
    build(&["ours"]).fails(2, "looked for:");
    ground.polder(&["init"]).ok();
    for (name, version) in [("tool", "1.0"), ("tool", "1.0~rc1"), ("helper", "2:1-1")] {
        deb(&folder("ours/deep"), name, version);
    }
    for (name, version) in [("tool", "9"), ("more", "1"), ("unwanted", "1")] {
        deb(&folder("mirror"), name, version);
    }
    deb(&folder("single"), "single", "3");

    // All that is wrong is said at once, and nothing is made.
    fs::write(folder("bad").join("x.deb"), "no package").unwrap();
    fs::write(ground.path("bad/odd.rpm"), "").unwrap();
    fs::write(ground.path("note.txt"), "").unwrap();
    let wrong = build(&["bad", "absent", "note.txt"]);
    for part in [
        "bad/x.deb: it is no Debian package",
        "bad/odd.rpm: its name",
        "/absent: No such",
        "note.txt is neither",
    ] {
        assert!(wrong.err.contains(part), "no word of {part}: {wrong:?}");
    }
    assert_eq!(wrong.code, Some(2));
    build(&["--name", "../x", "ours"]).fails(2, "cannot be called `../x`");
    build(&["--only", "nosuch", "--", "ours"]).fails(2, "no source has the package `nosuch`");
    let repo = ground.path(".polder/default/repo");
    assert_eq!(names(&repo), Vec::<String>::new());

    // A mirror is a folder with an index, which is one we have built and serve.
    ground.polder(&["repo", "build", "--name", "mirror", "mirror"]).ok();
    let mirror = serve_here(&repo);
    let single = ground.path("single/single_3_all.deb").display().to_string();
    let args = ["--only", "more", "tool", "--", "ours", &single, &format!("{mirror}/mirror")];
    let built = build(&args).ok();
    assert!(built.starts_with("default: 4 packages in "), "{built}");
    let mine = repo.join("default");
    let files = ["helper_1-1_all.deb", "more_1_all.deb", "single_3_all.deb", "tool_1.0_all.deb"];
    assert_eq!(names(&mine), [&["Packages", "Packages.gz", "Release"], &files[..]].concat());
    let index = fs::read_to_string(mine.join("Packages")).unwrap();
    let version = "Package: helper\nVersion: 2:1-1\n";
    assert!(index.contains(version) && index.contains("Filename: ./helper_1-1_all.deb\n"), "{index}");
    // As Debian's own tool sees them; it is asked for the same fields.
    let sum = Command::new("sha256sum").arg(mine.join(files[3])).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert!(index.contains(&format!("SHA256: {}", &sum[..64])), "{index}");

    // What a mirror's index says is held to, and a failed build changes nothing.
    let package = repo.join("mirror/more_1_all.deb");
    fs::write(&package, [fs::read(&package).unwrap(), b"x".to_vec()].concat()).unwrap();
    let before = names(&mine);
    build(&args).ok();
    fs::remove_file(mine.join("more_1_all.deb")).unwrap();
    build(&args).fails(5, "is not what the index of its mirror says");
    assert_eq!(names(&mine), before.iter().filter(|n| !n.starts_with("more")).cloned().collect::<Vec<_>>());
    let url = format!("{mirror}/absent");
    build(&[&url]).fails(2, "there is no index of packages; tried ");
    build(&[&format!("{mirror}/x_1_all.deb")]).fails(2, "there is no package at ");
    assert_eq!(names(&ground.path(".polder/default")).iter().filter(|n| n.starts_with(".repo")).count(), 0);

    let json = ground.json(&["repo", "build", "ours"]);
    assert_eq!(
        (&json["packages"][0]["name"], &json["packages"][1]["version"]),
        (&"helper".into(), &"1.0".into())
    );
    rpms(&ground, &build);
}

/// Where there is a tool that indexes them, they are; where not, that is said.
fn rpms(ground: &Ground, build: &dyn Fn(&[&str]) -> Said) {
    let name = "tool-1.0-1.noarch.rpm";
    fs::create_dir(ground.path("rpms")).unwrap();
    fs::copy(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR")), ground.path("rpms").join(name))
        .unwrap();
    if Command::new("createrepo_c").arg("--version").output().is_err() {
        build(&["rpms"]).fails(5, "install the package `createrepo-c`");
        eprintln!("NOT TESTED: an index of RPMs; there is no `createrepo_c`");
        return;
    }
    let built = build(&["--name", "mixed", "rpms", "single"]).ok();
    assert!(built.contains(name) && built.contains("single_3_all.deb"), "{built}");
    let mixed = ground.path(".polder/default/repo/mixed");
    assert_eq!(fs::read_to_string(mixed.join("Packages")).unwrap().matches("Package: ").count(), 1);
    assert!(names(&mixed.join("repodata")).iter().any(|file| file == "repomd.xml"));
    // A mirror of RPMs is what we have built and serve.
    build(&["--name", "rpms", "rpms"]).ok();
    let mirror = format!("{}/rpms", serve_here(&ground.path(".polder/default/repo")));
    for source in [mirror.clone(), format!("{mirror}/repodata/repomd.xml")] {
        let built = build(&["--only", "tool", "--name", "mirrored", "--", &source]).ok();
        assert!(built.starts_with("mirrored: 1 packages in ") && built.contains(name), "{built}");
    }
    build(&["--name", "mirrored", "--only", "nosuch", "--", &mirror]).fails(2, "no source has the package");
    let rpm = |repo: &str| ground.path(".polder/default/repo").join(repo).join(name);
    fs::write(rpm("rpms"), [fs::read(rpm("rpms")).unwrap(), b"x".to_vec()].concat()).unwrap();
    fs::remove_file(rpm("mirrored")).unwrap();
    build(&["--name", "mirrored", &mirror]).fails(5, "is not what the index of its mirror says");
    fs::write(ground.path("rpms/broken-1.0-1.noarch.rpm"), "").unwrap();
    build(&["--name", "mixed", "rpms"]).fails(5, "`createrepo_c ");
    assert!(mixed.join("single_3_all.deb").exists(), "the old one stays");
}

/// Serves a folder outside of labs, for as long as the test runs, as far as mirrors are asked for it.
fn serve_here(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, folder) = (format!("http://{}", listener.local_addr().unwrap()), folder.to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let _server = polder::repo::Server::start(listener, &folder, std::future::pending()).unwrap();
        std::future::pending::<()>().await;
    });
    std::mem::forget(runtime);
    url
}

/// Builds the same repository until it is killed.
#[tokio::test]
#[ignore = "a process of `a_killed_build_leaves_the_old_repository_or_the_new_one`"]
async fn builds_for_ever() {
    let root = std::path::PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    loop {
        builder(&root).build(&order(&root)).await.unwrap();
    }
}

fn builder(root: &Path) -> Builder {
    let progress = template::Progress::new(|_| {});
    Builder { folder: root.join("prefix/repo"), patience: Duration::from_secs(10), progress }
}

fn order(root: &Path) -> Order {
    Order { name: "default".into(), sources: vec![Source::Path(root.join("debs"))], only: vec![] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_build_leaves_the_old_repository_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for folder in ["debs", "prefix"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    let packages = 8;
    for number in 0..packages {
        deb(&root.join("debs"), &format!("tool{number}"), "1");
    }
    let vars = [("POLDER_TEST_ROOT", root.display().to_string())];
    let whole = || {
        let folder = root.join("prefix/repo/default");
        let index = fs::read_to_string(folder.join("Packages")).unwrap();
        assert_eq!(index.matches("Package: ").count(), packages);
        assert_eq!(names(&folder).len(), packages + 3);
    };
    builder(root).build(&order(root)).await.unwrap();
    let (rounds, mut dice) = arena::campaign(5);
    for _ in 0..rounds {
        let mut command = arena::ours("repositories::builds_for_ever", &vars);
        let mut victim = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let lock = root.join("prefix/repo.lock");
        let busy = || fs::read_to_string(&lock).unwrap().contains(&format!("process {} ", victim.id()));
        while !busy() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(dice.below(30_000)));
        victim.kill().unwrap();
        victim.wait().unwrap();
        whole();
    }
    // Two at once take turns, and who waits is told for whom.
    let held = fs::File::open(root.join("prefix/repo.lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let impatient = Builder { patience: Duration::from_millis(200), ..builder(root) };
    let error = impatient.build(&order(root)).await.unwrap_err();
    let error = format!("{:#}", anyhow::Error::from(error));
    assert!(error.contains("process "), "{error}");
    drop(held);
    let built = builder(root).build(&order(root)).await.unwrap();
    assert!(built.packages.iter().all(|package| package.format == Format::Deb));
    whole();
    assert_eq!(names(&root.join("prefix")), ["repo", "repo.lock"], "what was left is gone");
}
