//! The cache of built images: `images/NAME-DIGEST/` below one folder, made by one process at a time and never half.
//! Does not know what is in an image.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    build::{self, Progress},
    error::{ImageError, IoContext},
    info::ImageInfo,
    recipe::Recipe,
    recipes::recipes,
};
use crate::base::{
    sandbox::Sandbox,
    take::{NotTaken, take},
};

/// How long somebody else's build of the same image is waited for.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// File in the folder of an image that says in which file its recipe stands.
const RECIPE: &str = "recipe";

const LOCK: &str = ".lock-";
pub(super) const PARTIAL: &str = ".partial-";

/// The cache.
#[derive(Debug, Clone)]
pub struct ImageStore {
    root: PathBuf,
}

/// One image of the cache, or one that could be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name of the recipe.
    pub name: String,
    /// The recipe's digest; for an image without a recipe, the part of it in the folder's name.
    pub digest: String,
    /// The image's folder, whether it exists or not.
    pub path: PathBuf,
    /// What is there.
    pub state: State,
    /// What it takes on disk, in bytes.
    pub size: u64,
}

/// What is at an image's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The finished image.
    Built,
    /// Nothing yet.
    Missing,
    /// An image no current recipe makes; `prune` removes it.
    Stale,
}

/// What [`ImageStore::prune`] did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Removed folders with the bytes they took.
    pub removed: Vec<(PathBuf, u64)>,
    /// What could not be removed.
    pub errors: Vec<ImageError>,
}

impl ImageStore {
    /// The cache in `root`, which need not exist.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The cache's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The image `recipe` makes, when it has been built.
    #[must_use]
    pub fn find(&self, recipe: &Recipe) -> Option<ImageInfo> {
        let dir = self.place(recipe);
        let text = fs::read(dir.join("image.json")).ok()?;
        // One that cannot be read or lacks a file is built again.
        let info = ImageInfo { dir, ..serde_json::from_slice(&text).ok()? };
        let whole = [&info.disk, &info.kernel, &info.initrd].iter().all(|file| info.dir.join(file).is_file());
        (whole && info.digest == recipe.digest()).then_some(info)
    }

    /// The image `recipe` makes, built now if need be; waits when another process is at it.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub async fn ensure(
        &self,
        recipe: &Recipe,
        sandbox: &dyn Sandbox,
        progress: Progress<'_>,
    ) -> Result<ImageInfo, ImageError> {
        if let Some(info) = self.find(recipe) {
            return Ok(info);
        }
        let lock = self.lock_recipe(recipe, progress).await?;
        match self.find(recipe) {
            Some(info) => Ok(info),
            None => self.build_locked(&lock, recipe, sandbox, progress).await,
        }
    }

    /// The image of the recipe in the file at `path`, as [`ensure`](Self::ensure) has it. It is noted that it is of that file.
    ///
    /// # Errors
    /// As [`Recipe::load`] and [`build`](Self::build).
    pub async fn ensure_file(
        &self,
        path: &Path,
        sandbox: &dyn Sandbox,
        progress: Progress<'_>,
    ) -> Result<ImageInfo, ImageError> {
        let info = self.ensure(&Recipe::load(path)?, sandbox, progress).await?;
        let path = fs::canonicalize(path).or_cannot("find", path)?;
        let note = info.dir.join(RECIPE);
        if fs::read(&note).ok().as_deref() != Some(path.as_os_str().as_encoded_bytes()) {
            fs::write(&note, path.as_os_str().as_encoded_bytes()).or_cannot("write", note)?;
        }
        Ok(info)
    }

    /// The recipes there are: those that come with Polder, and those in files from which images were made here, as far as they
    /// can still be read.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn recipes(&self) -> Result<Vec<Recipe>, ImageError> {
        let mut all = recipes().to_vec();
        for folder in self.folders()? {
            let note = fs::read(self.folder().join(folder).join(RECIPE)).ok();
            let found = note.and_then(|path| Recipe::load(Path::new(OsStr::from_bytes(&path))).ok());
            all.extend(found.filter(|found| !all.contains(found)));
        }
        Ok(all)
    }

    /// Builds the image, also when it is there already (with today's packages, say).
    ///
    /// # Errors
    /// [`ImageError`], naming the image, the step and the log, which stays until the next build.
    pub async fn build(
        &self,
        recipe: &Recipe,
        sandbox: &dyn Sandbox,
        progress: Progress<'_>,
    ) -> Result<ImageInfo, ImageError> {
        let lock = self.lock_recipe(recipe, progress).await?;
        self.build_locked(&lock, recipe, sandbox, progress).await
    }

    /// What is there, and what could be: the recipes in their order, then what belongs to none of them.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn list(&self, recipes: &[Recipe]) -> Result<Vec<Listed>, ImageError> {
        let mut listed: Vec<Listed> = recipes
            .iter()
            .map(|recipe| {
                let path = self.place(recipe);
                let state = if self.find(recipe).is_some() { State::Built } else { State::Missing };
                Listed { name: recipe.name.clone(), digest: recipe.digest(), size: size(&path), path, state }
            })
            .collect();
        for folder in self.folders()? {
            if folder.starts_with('.') || recipes.iter().any(|recipe| recipe.folder() == folder) {
                continue;
            }
            let path = self.folder().join(&folder);
            let (name, digest) = folder.rsplit_once('-').unwrap_or((&folder, ""));
            let (name, digest) = (name.to_owned(), digest.to_owned());
            let state = if self.is_used(&folder) { State::Built } else { State::Stale };
            listed.push(Listed { name, digest, size: size(&path), path, state });
        }
        Ok(listed)
    }

    /// Removes images that none of `recipes` makes, layers that no environment uses, and what killed or failed builds left; leaves alone what somebody
    /// is building at this moment.
    ///
    /// # Errors
    /// The cache cannot be read; what cannot be removed is in the result.
    pub fn prune(&self, recipes: &[Recipe]) -> Result<Pruned, ImageError> {
        let mut pruned = Pruned::default();
        for name in self.folders()? {
            let path = self.folder().join(&name);
            let (folder, gone) = if let Some(folder) = name.strip_prefix(PARTIAL) {
                (folder, true)
            } else if let Some(folder) = name.strip_prefix(LOCK) {
                (folder, !recipes.iter().any(|recipe| recipe.folder() == folder))
            } else {
                (name.as_str(), !recipes.iter().any(|recipe| recipe.folder() == name))
            };
            let gone = gone && !self.is_used(&name);
            if !gone {
                continue;
            }
            match self.try_lock(folder) {
                Ok(Ok(_lock)) => {
                    let bytes = size(&path);
                    match remove(&path) {
                        Ok(()) if name.starts_with(LOCK) => {}
                        Ok(()) => pruned.removed.push((path, bytes)),
                        Err(error) => pruned.errors.push(error),
                    }
                }
                Ok(Err(_busy)) => {}
                Err(error) => pruned.errors.push(error),
            }
        }
        Ok(pruned)
    }

    async fn build_locked(
        &self,
        _lock: &BuildLock,
        recipe: &Recipe,
        sandbox: &dyn Sandbox,
        progress: Progress<'_>,
    ) -> Result<ImageInfo, ImageError> {
        let work = self.folder().join(format!("{PARTIAL}{}", recipe.folder()));
        remove(&work)?;
        fs::create_dir(&work).or_cannot("create", &work)?;
        progress(&format!("building image {}", recipe.name));
        let place = self.place(recipe);
        let info = build::build(recipe, &work, &place, sandbox, progress).await?;
        remove(&place)?;
        fs::rename(work.join("out"), &place).or_cannot("create", &place)?;
        remove(&work)?;
        Ok(info)
    }

    async fn lock_recipe(&self, recipe: &Recipe, progress: Progress<'_>) -> Result<BuildLock, ImageError> {
        if let Some(problem) = recipe.problem() {
            return Err(ImageError::Recipe { image: recipe.name.clone(), problem });
        }
        self.lock(&recipe.name, &recipe.folder(), progress).await
    }

    /// The lock on the folder of an image that is called `image`.
    pub(super) async fn lock(
        &self,
        image: &str,
        folder: &str,
        progress: Progress<'_>,
    ) -> Result<BuildLock, ImageError> {
        let images = self.folder();
        fs::create_dir_all(&images).or_cannot("create", images)?;
        let what = format!("the build of image {image}");
        let tell = |holder: &str| progress(&format!("waiting for {holder}, which builds image {image}"));
        let taken = take(&what, PATIENCE, Duration::from_millis(200), || self.try_lock(folder), tell);
        taken.await.map_err(|not| match not {
            NotTaken::Failed(error) => error,
            NotTaken::Held { holder, source } => ImageError::Busy { image: image.to_owned(), holder, source },
        })
    }

    /// The lock on an image's folder, or who holds it.
    fn try_lock(&self, folder: &str) -> Result<Result<BuildLock, String>, ImageError> {
        let path = self.folder().join(format!("{LOCK}{folder}"));
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .or_cannot("open", &path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).or_cannot("read", &path)?;
                return Ok(Err(if holder.is_empty() { "another process".to_owned() } else { holder }));
            }
            Err(errno) => return Err(io::Error::from(errno)).or_cannot("lock", &path),
        }
        // Whoever pruned may have removed the file between our opening and locking it.
        if file.metadata().or_cannot("look at", &path)?.nlink() == 0 {
            return Ok(Err("another process".to_owned()));
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "process {}", std::process::id()))
            .or_cannot("write", &path)?;
        Ok(Ok(BuildLock { file }))
    }

    /// Names below `images`, sorted.
    fn folders(&self) -> Result<Vec<String>, ImageError> {
        let images = self.folder();
        let entries = match fs::read_dir(&images) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error).or_cannot("read", images),
        };
        let mut names = vec![];
        for entry in entries {
            let entry = entry.or_cannot("read", &images)?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// The folder that holds the images.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.root.join("images")
    }

    fn place(&self, recipe: &Recipe) -> PathBuf {
        self.folder().join(recipe.folder())
    }
}

/// The right to build one image; the kernel takes it back when its holder dies.
#[derive(Debug)]
pub(super) struct BuildLock {
    file: File,
}

/// By name: a child that was forked meanwhile has the file, too, until it becomes another program.
impl Drop for BuildLock {
    fn drop(&mut self) {
        // Whatever comes of it, nothing holds the file longer than that child.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Removes a file or folder, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), ImageError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).or_cannot("remove", path),
        _ => Ok(()),
    }
}

/// What the files of a folder take on disk; folders of ours are flat.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.blocks() * 512)).sum()
}
