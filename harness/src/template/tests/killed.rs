//! The process that fetches is killed, at any moment; the next one works all the same.

use std::{env, process::Child, time::Instant};

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
    Command::new(env::current_exe().unwrap())
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

#[tokio::test]
async fn in_the_middle_of_a_conversion() {
    let body = content(1, 60_000_000);
    let image = qcow2(&body);
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
    let url = server.url("/repo.metadata");
    let converted = world.path("store/corp:el:v1.tmp.raw");
    assert!(kill_when(start(&world, &url), || length(&converted) > 0).await);
    assert!(!world.path("store/corp:el:v1").exists());
    let disk = world.at(&url).resolve("el", None, None).await.unwrap();
    assert!(fs::read(&disk.path).unwrap() == body);
    assert_eq!(server.asked("/images/el.qcow2"), 1, "it had arrived");
    assert!(!converted.exists());
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
