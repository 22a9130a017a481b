//! Building one image: stages the recipe's files, runs `build.sh` in a sandbox, and puts a failure into words.
//! Knows nothing of the cache around the folder it is given.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    error::{ImageError, IoContext},
    info::ImageInfo,
    recipe::{BUILD_SCRIPT, Content, INITRD_INIT, INITRD_LOADED, INITRD_SCSI, Recipe, Userland},
    sources,
};
use crate::base::sandbox::{BoxedCommand, Sandbox, tail};

/// A build that takes longer hangs: on two slow cores it takes about a minute.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// No file of an image is newer than this (seconds since the epoch), so that builds differ less.
const NEWEST_FILE: &str = "1735689600";

/// Lines of the log quoted in an error.
const QUOTED: usize = 15;

/// Where progress goes, a few words at a time.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Builds `recipe` inside the empty folder `work`; the image is then in `work/out`, ready to be moved to `place`.
pub(super) async fn build(
    recipe: &Recipe,
    work: &Path,
    place: &Path,
    sandbox: &dyn Sandbox,
    progress: Progress<'_>,
) -> Result<ImageInfo, ImageError> {
    let (input, out, log) = (work.join("in"), work.join("out"), work.join("build.log"));
    for dir in [&input, &out] {
        fs::create_dir(dir).or_cannot("create", dir)?;
    }
    stage(recipe, &input, Path::new("/etc/apt"))?;
    let script = input.join("build.sh");
    let command = BoxedCommand {
        argv: ["/bin/sh".into(), script, input.clone(), out.clone()]
            .map(|p: PathBuf| p.display().to_string())
            .into(),
        env: vec![
            ("DISK_SIZE".into(), recipe.disk_size.to_string()),
            ("SOURCE_DATE_EPOCH".into(), NEWEST_FILE.into()),
        ],
        writable: vec![work.to_owned()],
        log: log.clone(),
        limit: LIMIT,
    };
    let built = match run(recipe, command, sandbox, progress).await {
        Ok(()) => finish(recipe, &out, place),
        Err(error) => Err(error),
    };
    fs::remove_dir_all(&input).or_cannot("remove", &input)?;
    if built.is_err() {
        // The log stays for people; a disk image that is not whole is of no use to them.
        fs::remove_dir_all(&out).or_cannot("remove", &out)?;
    } else {
        fs::rename(&log, out.join("build.log")).or_cannot("move", &log)?;
    }
    built
}

async fn run(
    recipe: &Recipe,
    command: BoxedCommand,
    sandbox: &dyn Sandbox,
    progress: Progress<'_>,
) -> Result<(), ImageError> {
    let log = command.log.clone();
    let mut told = String::new();
    let mut running = sandbox.run(command);
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = tokio::time::sleep(Duration::from_millis(300)) => {
                let step = last_step(&read(&log));
                if step != told {
                    progress(&format!("image {}: {step}", recipe.name));
                    told = step;
                }
            }
        }
    };
    let image = recipe.name.clone();
    match ended {
        Ok(0) => Ok(()),
        Ok(status) => Err(diagnose(image, status, log)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(ImageError::TimedOut { image, step: last_step(&read(&log)), limit: LIMIT, log })
        }
        Err(source) => Err(ImageError::Sandbox { image, source }),
    }
}

/// Writes everything the script reads.
fn stage(recipe: &Recipe, input: &Path, etc_apt: &Path) -> Result<(), ImageError> {
    let kept: &[String] = match &recipe.userland {
        Userland::Busybox(kept) => kept,
        Userland::Debian => &[],
    };
    let lines = |words: &[String]| words.iter().map(|word| format!("{word}\n")).collect::<String>();
    let texts = [
        ("build.sh", BUILD_SCRIPT.to_owned()),
        ("init", INITRD_INIT.to_owned()),
        ("debian.sources", sources::of_host(etc_apt)),
        ("packages", lines(&recipe.packages)),
        ("keep", lines(kept)),
        ("modules", lines(&recipe.modules)),
        ("initrd-loaded", INITRD_LOADED.join("\n") + "\n"),
        ("initrd-scsi", INITRD_SCSI.join("\n") + "\n"),
    ];
    for (name, text) in texts {
        let path = input.join(name);
        fs::write(&path, text).or_cannot("write", path)?;
    }
    let root = input.join("root");
    fs::create_dir(&root).or_cannot("create", &root)?;
    for file in &recipe.files {
        let path = root.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).or_cannot("create", parent)?;
        }
        let written = match &file.content {
            Content::Text(text) => write_with_mode(&path, text, 0o644),
            Content::Program(text) => write_with_mode(&path, text, 0o755),
            Content::Link(target) => symlink(target, &path),
        };
        written.or_cannot("write", path)?;
    }
    Ok(())
}

fn write_with_mode(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Describes the image and sees to it that it survives a crash of the host once it has its name.
fn finish(recipe: &Recipe, out: &Path, place: &Path) -> Result<ImageInfo, ImageError> {
    let info = ImageInfo {
        name: recipe.name.clone(),
        digest: recipe.digest(),
        dir: place.to_owned(),
        disk: "disk".into(),
        disk_size: recipe.disk_size,
        kernel: "kernel".into(),
        initrd: "initrd".into(),
        cmdline: recipe.cmdline.clone(),
        min_memory_mib: recipe.min_memory_mib,
        abilities: recipe.abilities.clone(),
    };
    let json = out.join("image.json");
    let text = serde_json::to_vec_pretty(&info).map_err(io::Error::from).or_cannot("describe", &json)?;
    fs::write(&json, text).or_cannot("write", &json)?;
    for name in ["disk", "kernel", "initrd", "files.txt", "image.json"] {
        let path = out.join(name);
        fs::File::open(&path).and_then(|file| file.sync_all()).or_cannot("finish", path)?;
    }
    Ok(info)
}

/// The kind of failure, from what the log says.
fn diagnose(image: String, status: i32, log: PathBuf) -> ImageError {
    const NO_NETWORK: [&str; 6] = [
        "Temporary failure resolving",
        "Could not resolve",
        "Could not connect",
        "Unable to connect",
        "Failed to fetch",
        "Some index files failed to download",
    ];
    let text = read(&log);
    let step = last_step(&text);
    if let Some(tool) = text.lines().find_map(|line| line.strip_prefix("missing-tool: ")) {
        ImageError::MissingTool { image, tool: tool.to_owned() }
    } else if text.contains("No space left on device") {
        let dir = log.parent().and_then(Path::parent).unwrap_or(&log).to_owned();
        ImageError::Full { image, step, dir, log }
    } else if NO_NETWORK.iter().any(|sign| text.contains(sign)) {
        ImageError::Fetch { image, tail: tail(&log, QUOTED), log }
    } else {
        ImageError::Build { image, step, status, tail: tail(&log, QUOTED), log }
    }
}

fn read(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn last_step(log: &str) -> String {
    log.lines().rev().find_map(|line| line.strip_prefix("==> ")).unwrap_or("start").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("build.log");
        fs::write(&path, log).unwrap();
        diagnose("tiny".into(), 1, path).to_string().replace(&dir.path().display().to_string(), "DIR")
    }

    #[rstest::rstest]
    #[case("==> look for tools\nmissing-tool: mke2fs\n", "`mke2fs` is not installed")]
    #[case(
        "==> make the disk\nqemu-img: No space left on device\n",
        "no space left while building image `tiny` (step: make the disk)"
    )]
    #[case(
        "==> fetch\nErr:1 http://m Temporary failure resolving 'm'\n",
        "cannot fetch the packages of image `tiny`"
    )]
    #[case("==> a\nfine\n==> b\nE: Unable to locate package frrr\n", "failed (step: b, exit status 1)")]
    #[case("", "failed (step: start, exit status 1)")]
    fn failures_are_told_apart(#[case] log: &str, #[case] expected: &str) {
        let message = check(log);
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn the_last_lines_are_quoted() {
        let log: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let message = check(&log);
        assert!(message.contains("DIR/build.log") && message.ends_with("line 99"), "{message}");
        assert!(message.contains("\nline 85\n") && !message.contains("line 84\n"), "{message}");
    }

    #[test]
    fn stages_files_with_modes_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let minimal = super::super::recipe("minimal").unwrap();
        stage(minimal, dir.path(), Path::new("/nowhere")).unwrap();
        let mode = |path: &str| {
            fs::metadata(dir.path().join("root").join(path)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("etc/inittab"), mode("etc/init.d/rcS")), (0o644, 0o755));
        assert!(fs::read_to_string(dir.path().join("packages")).unwrap().contains("dropbear-bin\n"));
        assert_eq!(fs::read_to_string(dir.path().join("debian.sources")).unwrap(), "");
    }
}
