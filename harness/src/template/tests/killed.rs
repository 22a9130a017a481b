//! The process that fetches is killed, at any moment; the next one works all the same.

use std::{env, os::unix::fs::PermissionsExt, process::Child, time::Instant};

use super::*;

const WORLD: &str = "POLDER_TEST_TEMPLATES_WORLD";
const REPO: &str = "POLDER_TEST_TEMPLATES_REPO";

/// The process that is killed; nothing when it is run as a test.
#[tokio::test]
async fn child() {
    let (Ok(root), Ok(repo)) = (env::var(WORLD), env::var(REPO)) else { return };
    let root = PathBuf::from(root);
    let config = TemplatesConfig {
        repo: Some(Repo::At(repo)),
        repos: root.join("repos"),
        store: root.join("store"),
        limits: limits(),
    };
    Templates::new(config, |_| None, Progress::new(|_| {})).resolve("el", None, None).await.unwrap();
}

fn start(world: &World, url: &str) -> Child {
    start_in(world, url, None)
}

/// Starts the process that is killed, with another `PATH` if one is given.
fn start_in(world: &World, url: &str, path: Option<std::ffi::OsString>) -> Child {
    Command::new(env::current_exe().unwrap())
        .envs(path.map(|path| ("PATH", path)))
        .args(["--exact", "template::tests::killed::child", "--quiet"])
        .env(WORLD, world.dir.path())
        .env(REPO, url)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child as soon as `seen` holds; says whether it was still at work then.
async fn kill_when(mut child: Child, seen: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !seen() && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing to be seen");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let at_work = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    at_work
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[tokio::test]
async fn in_the_middle_of_a_download() {
    let body = content(1, 700_000);
    let image = qcow2(&body);
    let how = [How::Slow(50_000, Duration::from_millis(200)), How::Good];
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &how).await);
    let url = server.url("/repo.metadata");
    let part = world.path("store/corp:el:v1.tmp");
    assert!(kill_when(start(&world, &url), || length(&part) > 100_000).await);
    assert!(!world.path("store/corp:el:v1").exists());
    let disk = world.at(&url).resolve("el", None, None).await.unwrap();
    assert!(fs::read(&disk.path).unwrap().starts_with(&body));
    let asked = server.ranges("/images/el.qcow2");
    assert!(asked[1].is_some(), "what had arrived was not asked for again: {asked:?}");
}

/// A `qemu-img` that gets half-way through conversions, first in the `PATH` it returns.
fn stuck_qemu_img(world: &World) -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap();
    let real = env::split_paths(&path).map(|dir| dir.join("qemu-img")).find(|file| file.is_file()).unwrap();
    let (pid, real) = (world.path("qemu-img.pid"), real.display().to_string());
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = convert ] || exec '{real}' \"$@\"\n\
         for last; do :; done\necho half >\"$last\"\necho $$ >'{}'\nexec sleep 600\n",
        pid.display()
    );
    let stub = world.write("bin/qemu-img", script);
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
    env::join_paths([stub.parent().unwrap().to_owned()].into_iter().chain(env::split_paths(&path))).unwrap()
}

#[tokio::test]
async fn in_the_middle_of_a_conversion() {
    let body = content(1, 300_000);
    let image = qcow2(&body);
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
    let url = server.url("/repo.metadata");
    let pid = world.path("qemu-img.pid");
    let child = start_in(&world, &url, Some(stuck_qemu_img(&world)));
    assert!(kill_when(child, || length(&pid) > 0).await);
    let pid: u32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let gone = || fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    let start_of = Instant::now();
    while !gone() {
        assert!(start_of.elapsed() < Duration::from_secs(60), "qemu-img outlives us");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fs::read_to_string(world.path("store/corp:el:v1.tmp.raw")).unwrap(), "half\n");
    assert!(!world.path("store/corp:el:v1").exists());
    let disk = world.at(&url).resolve("el", None, None).await.unwrap();
    assert!(fs::read(&disk.path).unwrap().starts_with(&body));
    assert_eq!(server.asked("/images/el.qcow2"), 1, "it had arrived");
    assert_eq!(world.stored().len(), 5, "{:?}", world.stored());
}

#[tokio::test]
async fn when_all_was_done_but_tidying_up() {
    let body = content(1, 300_000);
    let image = qcow2(&body);
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
    let url = server.url("/repo.metadata");
    world.at(&url).resolve("el", None, None).await.unwrap();
    for end in [".tmp", ".tmp.resume", ".tmp.unpacked", ".tmp.raw"] {
        fs::write(world.path(&format!("store/corp:el:v1{end}")), "half").unwrap();
    }
    let disk = world.at(&url).resolve("el", None, None).await.unwrap();
    assert!(fs::read(&disk.path).unwrap().starts_with(&body));
    assert_eq!(server.asked("/images/el.qcow2"), 1, "it is there");
    assert_eq!(world.stored().len(), 5, "{:?}", world.stored());
}

#[tokio::test]
async fn at_any_moment() {
    let body = content(1, 3_000_000);
    let image = qcow2(&body);
    let how = [How::Slow(400_000, Duration::from_millis(2))];
    let packed = xz(&image);
    for milliseconds in [20, 45, 60, 75, 90, 110, 140, 180] {
        let (world, server) = (World::new(), one_image("el.qcow2.xz", &image, &packed, &how).await);
        let url = server.url("/repo.metadata");
        let start_of = Instant::now();
        let soon = || start_of.elapsed() > Duration::from_millis(milliseconds);
        kill_when(start(&world, &url), soon).await;
        let disk = world.at(&url).resolve("el", None, None).await.unwrap();
        assert!(fs::read(&disk.path).unwrap().starts_with(&body), "killed after {milliseconds} ms");
        assert_eq!(world.stored().len(), 5, "{:?}", world.stored());
    }
}
