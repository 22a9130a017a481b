//! The cache with a make-believe builder, and images built for real in a stand-in for the lab's sandbox.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::base::{
    dial::BoxFuture,
    sandbox::{BoxedCommand, Sandbox},
};

/// Writes what a build would, or fails as it would, after a moment.
#[derive(Debug, Default)]
struct Fake {
    builds: AtomicUsize,
    status: i32,
    log: &'static str,
    /// Never ends.
    hangs: bool,
}

impl Fake {
    /// Comes back when a build is under way.
    async fn begun(&self) {
        while self.builds.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Sandbox for Fake {
    fn run(&self, command: BoxedCommand) -> BoxFuture<'_, io::Result<i32>> {
        self.builds.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let out = PathBuf::from(command.argv.last().unwrap());
            fs::write(&command.log, self.log)?;
            for name in ["disk", "kernel", "initrd", "files.txt"] {
                fs::write(out.join(name), name)?;
            }
            if self.hangs {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
            Ok(self.status)
        })
    }
}

struct Cache {
    dir: tempfile::TempDir,
    store: ImageStore,
}

impl Cache {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::new(dir.path().join("cache"));
        Self { dir, store }
    }

    /// What is in the cache, locks aside.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("cache/images")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with(".lock-"));
        names.sort();
        names
    }
}

fn minimal() -> &'static Recipe {
    recipe("minimal").unwrap()
}

const SILENT: Progress<'_> = &|_| {};

#[tokio::test]
async fn an_image_is_built_once_and_then_found() {
    let (cache, fake) = (Cache::new(), Fake::default());
    assert_eq!(cache.store.find(minimal()), None);
    let built = cache.store.ensure(minimal(), &fake, SILENT).await.unwrap();
    assert_eq!(cache.store.ensure(minimal(), &fake, SILENT).await.unwrap(), built);
    assert_eq!(fake.builds.load(Ordering::SeqCst), 1);
    assert_eq!(cache.names(), [minimal().folder()]);
    let json = fs::read(built.dir.join("image.json")).unwrap();
    assert_eq!(serde_json::from_slice::<ImageInfo>(&json).unwrap(), built);
    assert_eq!(fs::read_to_string(built.dir.join(&built.kernel)).unwrap(), "kernel");
}

#[tokio::test]
async fn who_comes_second_waits_visibly_and_finds_it() {
    let (cache, fake) = (Cache::new(), Fake::default());
    let said = Mutex::new(vec![]);
    let say = |text: &str| said.lock().unwrap().push(text.to_owned());
    let (one, two) =
        tokio::join!(cache.store.ensure(minimal(), &fake, &say), cache.store.ensure(minimal(), &fake, &say));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(fake.builds.load(Ordering::SeqCst), 1);
    let wait = format!("waiting for process {}, which builds image minimal", std::process::id());
    assert_eq!(said.lock().unwrap().iter().filter(|text| **text == wait).count(), 1, "{said:?}");
}

#[tokio::test]
async fn a_failed_build_leaves_its_log_and_no_image() {
    let cache = Cache::new();
    let fake = Fake { status: 2, log: "==> make the disk\nmke2fs: no\n", ..Fake::default() };
    let error = cache.store.ensure(minimal(), &fake, SILENT).await.unwrap_err();
    let ImageError::Build { image, step, status: 2, log, tail } = &error else { panic!("{error}") };
    assert_eq!((image.as_str(), step.as_str()), ("minimal", "make the disk"));
    assert!(tail.ends_with("mke2fs: no") && log.is_file(), "{error}");
    assert_eq!(cache.store.find(minimal()), None);
    assert_eq!(cache.names(), [format!(".partial-{}", minimal().folder())]);
    assert!(!log.with_file_name("out").exists());
    // The next one clears the wreck away.
    cache.store.ensure(minimal(), &Fake::default(), SILENT).await.unwrap();
    assert_eq!(cache.names(), [minimal().folder()]);
}

#[tokio::test]
async fn a_killed_build_is_no_image_and_is_pruned() {
    let (cache, fake) = (Cache::new(), Fake { hangs: true, ..Fake::default() });
    tokio::select! {
        () = fake.begun() => {}
        _ = cache.store.ensure(minimal(), &fake, SILENT) => panic!("ended"),
    }
    assert_eq!(cache.store.find(minimal()), None);
    let pruned = cache.store.prune(recipes()).unwrap();
    assert!(pruned.errors.is_empty() && pruned.removed.len() == 1, "{pruned:?}");
    assert!(cache.names().is_empty());
}

#[tokio::test]
async fn prune_leaves_current_images_and_running_builds_alone() {
    let (cache, fake) = (Cache::new(), Fake::default());
    let old = Recipe { cmdline: "old".into(), ..minimal().clone() };
    let mine = Recipe { name: "mine".into(), ..minimal().clone() };
    for recipe in [minimal(), &old] {
        cache.store.ensure(recipe, &fake, SILENT).await.unwrap();
    }
    let hanging = Fake { hangs: true, ..Fake::default() };
    let prune = async {
        hanging.begun().await;
        cache.store.prune(recipes()).unwrap()
    };
    let pruned = tokio::select! {
        pruned = prune => pruned,
        _ = cache.store.ensure(&mine, &hanging, SILENT) => panic!("ended"),
    };
    let removed: Vec<&Path> = pruned.removed.iter().map(|(path, _)| path.as_path()).collect();
    assert_eq!(removed, [cache.dir.path().join("cache/images").join(old.folder())]);
    assert_eq!(cache.names(), [format!(".partial-{}", mine.folder()), minimal().folder()]);
}

#[tokio::test]
async fn a_damaged_image_is_not_found_and_built_again() {
    let (cache, fake) = (Cache::new(), Fake::default());
    let info = cache.store.ensure(minimal(), &fake, SILENT).await.unwrap();
    for damage in ["disk", "image.json"] {
        fs::remove_file(info.dir.join(damage)).unwrap();
        assert_eq!(cache.store.find(minimal()), None, "{damage}");
        cache.store.ensure(minimal(), &fake, SILENT).await.unwrap();
    }
    fs::write(info.dir.join("image.json"), "{\"name\": 1").unwrap();
    assert_eq!(cache.store.find(minimal()), None);
}

#[tokio::test]
async fn lists_what_is_there_what_could_be_and_what_is_stale() {
    let (cache, fake) = (Cache::new(), Fake::default());
    assert!(cache.store.list(recipes()).unwrap().iter().all(|image| image.state == State::Missing));
    let old = Recipe { cmdline: "old".into(), ..minimal().clone() };
    for recipe in [minimal(), &old] {
        cache.store.ensure(recipe, &fake, SILENT).await.unwrap();
    }
    let listed = cache.store.list(recipes()).unwrap();
    let states: Vec<_> =
        listed.iter().map(|image| (image.name.as_str(), image.state, image.size > 0)).collect();
    let expected = [
        ("minimal", State::Built, true),
        ("debian12", State::Missing, false),
        ("minimal", State::Stale, true),
    ];
    assert_eq!(states, expected);
}

#[tokio::test]
async fn images_of_files_are_current_as_long_as_their_file_says_the_same() {
    let (cache, fake) = (Cache::new(), Fake::default());
    let file = cache.dir.path().join("router.yaml");
    fs::write(&file, "extends: debian12\npackages: [frr]\n").unwrap();
    let info = cache.store.ensure_file(&file, &fake, SILENT).await.unwrap();
    assert_eq!(info.name, "router");
    let again = cache.store.ensure_file(&file, &fake, SILENT).await.unwrap();
    assert_eq!((again, fake.builds.load(Ordering::SeqCst)), (info.clone(), 1));
    let states = || {
        let listed = cache.store.list(&cache.store.recipes().unwrap()).unwrap();
        let routers = listed.into_iter().filter(|image| image.name == "router");
        routers.map(|image| image.state).collect::<Vec<_>>()
    };
    assert_eq!(states(), [State::Built]);
    assert!(cache.store.prune(&cache.store.recipes().unwrap()).unwrap().removed.is_empty());

    fs::write(&file, "extends: debian12\npackages: [bird2]\n").unwrap();
    assert_eq!(states(), [State::Missing, State::Stale]);
    fs::write(&file, "extends: nothing\n").unwrap();
    assert_eq!(states(), [State::Stale]);
    let error = cache.store.ensure_file(&file, &fake, SILENT).await.unwrap_err().to_string();
    assert!(error.contains("router.yaml") && error.contains("no image `nothing`"), "{error}");
    assert_eq!(cache.store.prune(&cache.store.recipes().unwrap()).unwrap().removed[0].0, info.dir);
    assert!(states().is_empty());
}

#[tokio::test]
async fn a_wrong_recipe_is_refused_before_anything_is_made() {
    let (cache, fake) = (Cache::new(), Fake::default());
    let wrong = Recipe { name: "../../evil".into(), ..minimal().clone() };
    let error = cache.store.ensure(&wrong, &fake, SILENT).await.unwrap_err();
    assert!(error.to_string().contains("`../../evil` is not a name"), "{error}");
    assert!(!cache.dir.path().join("cache").exists());
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let store = ImageStore::new(dir.path().join("file"));
    let error = store.ensure(minimal(), &Fake::default(), SILENT).await.unwrap_err();
    assert!(
        error.to_string().starts_with("cannot create") && error.to_string().contains("/file/images"),
        "{error}"
    );
}

/// Gives `/tmp` a fresh tmpfs in which the writable folder `$1` is still there, and runs the rest.
const FRESH_TMP: &str = r#"
    exec 9<"$1" && mount -t tmpfs tmp /tmp && mkdir -p "$1" &&
    mount --no-canonicalize --bind /proc/self/fd/9 "$1" && exec 9<&- && shift && exec "$@""#;

/// `unshare(1)` with the promises of [`Sandbox`] that a build needs.
#[derive(Debug)]
struct Unshare;

impl Sandbox for Unshare {
    fn run(&self, command: BoxedCommand) -> BoxFuture<'_, io::Result<i32>> {
        Box::pin(async move {
            let log = fs::File::create(&command.log)?;
            let mut unshare = tokio::process::Command::new("unshare");
            if !rustix::process::geteuid().is_root() {
                unshare.args(["--user", "--map-root-user", "--map-auto"]);
            }
            unshare
                .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c"])
                .args([FRESH_TMP, "sh"])
                .args(command.writable)
                .args(command.argv)
                .env_clear()
                .envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")])
                .envs([("HOME", "/root"), ("LC_ALL", "C.UTF-8")])
                .envs(command.env)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .kill_on_drop(true);
            let status = tokio::time::timeout(command.limit, unshare.status())
                .await
                .map_err(|_| io::ErrorKind::TimedOut)??;
            Ok(status.code().unwrap_or(137))
        })
    }
}

/// Builds for real, or says loudly that it cannot.
async fn build(recipe: &Recipe, cache: &Cache) -> Option<ImageInfo> {
    match cache.store.build(recipe, &Unshare, SILENT).await {
        Ok(info) => Some(info),
        Err(error @ ImageError::MissingTool { .. }) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn two_builds_of_a_recipe_have_the_same_files() {
    let (first, second) = (Cache::new(), Cache::new());
    let Some(one) = build(minimal(), &first).await else {
        return;
    };
    let Some(two) = build(minimal(), &second).await else {
        return;
    };
    let files = |info: &ImageInfo| fs::read_to_string(info.dir.join("files.txt")).unwrap();
    assert_eq!(files(&one), files(&two));
    for line in
        ["755 0:0 - ./usr/bin", "777 0:0 >usr/bin ./bin", "700 0:0 - ./root", "644 0:0 0 ./etc/machine-id"]
    {
        assert!(files(&one).lines().any(|have| have == line), "{line} is missing");
    }
    assert!(!files(&one).contains("ssh_host_"), "an image with host keys");
    assert!(fs::metadata(one.dir.join(&one.disk)).unwrap().len() < 64 << 20);
}

#[tokio::test]
async fn a_package_that_does_not_exist_is_named() {
    let cache = Cache::new();
    let mut wrong = minimal().clone();
    wrong.packages.push("polder-no-such-package".into());
    match cache.store.build(&wrong, &Unshare, SILENT).await {
        Err(ImageError::MissingTool { tool, .. }) => eprintln!("SKIPPED: no {tool}"),
        Err(error @ ImageError::Build { .. }) => {
            assert!(error.to_string().contains("polder-no-such-package"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
