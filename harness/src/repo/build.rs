//! Builds a repository: reads its sources, merges, brings the files together, writes the index, and puts all of it in
//! the place of the old one at once.

use std::{
    collections::BTreeSet,
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::{CWD, RenameFlags};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    RepoError,
    error::file,
    index::{self, FileFacts},
    merge::merge,
    mirror::Mirrors,
    read,
    spec::{At, Format, Order, Package, Source},
};
use crate::{
    base::process::{self, ProcessError},
    template::{FileLock, Progress},
};

/// For indexing packages of the format RPM.
const INDEXING: Duration = Duration::from_secs(600);
/// How the names of folders begin in which repositories are built.
const BUILDING: &str = ".repo-";

/// Builds repositories below one folder.
#[derive(Debug, Clone)]
pub struct Builder {
    /// The folder in which each repository is a folder, served as a whole.
    pub folder: PathBuf,
    /// How long another process that builds here is waited for.
    pub patience: Duration,
    /// Receives what is told.
    pub progress: Progress,
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct Built {
    /// The repository's name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its packages, by name.
    pub packages: Vec<BuiltPackage>,
}

/// A package of a repository that was built.
#[derive(Debug, Serialize)]
pub struct BuiltPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub arch: String,
    /// Its format.
    pub format: Format,
    /// Its file in the repository.
    pub file: String,
}

impl Builder {
    /// Builds what is ordered. A repository of that name is replaced as a whole, or stays as it is.
    ///
    /// # Errors
    /// Every reason why it cannot be built; nothing is left of it then.
    pub async fn build(&self, order: &Order) -> Result<Built, RepoError> {
        let mut problems = wrong_order(order);
        if !problems.is_empty() {
            return Err(RepoError::Input(problems));
        }
        let place = self.folder.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(&self.folder).map_err(file("make", &self.folder))?;
        let what = format!("the repositories in {}", self.folder.display());
        let lock = self.folder.with_extension("lock");
        let _lock = FileLock::wait(&lock, &what, self.patience, &self.progress).await?;
        sweep(place).map_err(file("remove what killed builds left in", place))?;
        let scratch = tempfile::Builder::new().prefix(BUILDING).tempdir_in(place);
        let scratch = scratch.map_err(file("make a folder in", place))?;
        let (new, downloads) = (scratch.path().join("new"), scratch.path().join("downloads"));
        for folder in [&new, &downloads] {
            fs::create_dir(folder).map_err(file("make", folder))?;
        }
        let mirrors = Mirrors::new(self.progress.clone());
        let mut sources = Vec::new();
        for (number, source) in order.sources.iter().enumerate() {
            let found = match source {
                Source::Path(path) => {
                    let path = path.clone();
                    let (found, wrong) = blocking(move || {
                        let mut wrong = Vec::new();
                        Ok((read::packages(&path, &mut wrong), wrong))
                    })
                    .await?;
                    problems.extend(wrong);
                    found
                }
                Source::Url(url) => {
                    let own = downloads.join(number.to_string());
                    fs::create_dir(&own).map_err(file("make", &own))?;
                    mirrors.packages(url, &order.only, &own, &mut problems).await?
                }
            };
            if found.is_empty() {
                self.progress.note(format!("warning: there is no package in {source}"));
            }
            sources.push(found);
        }
        problems.extend(missing(order, &sources));
        if !problems.is_empty() {
            return Err(RepoError::Input(problems));
        }
        let packages = merge(sources);
        require_indexer(&packages).await?;
        let old = self.folder.join(&order.name);
        let mut facts = Vec::new();
        for package in &packages {
            let to = new.join(package.file_name());
            facts.push(match &package.at {
                At::File(from) => {
                    let (from, to) = (from.clone(), to.clone());
                    blocking(move || copy(&from, &to)).await?
                }
                At::Mirror { url, size, sha256 } => {
                    let expected =
                        FileFacts { name: package.file_name(), size: *size, sha256: sha256.clone() };
                    if !reuse(&old, &to, &expected).await? {
                        fetch(&mirrors, url, &downloads, &to, &expected).await?;
                    }
                    expected
                }
            });
        }
        let (name, of_packages, to) = (order.name.clone(), packages.clone(), new.clone());
        blocking(move || write_index(&name, &of_packages, &facts, &to)).await?;
        if packages.iter().any(|package| package.format == Format::Rpm) {
            // Else it leaves out what it cannot read, and says nothing of it.
            let index = ["createrepo_c", "--quiet", "--error-exit-val", &new.display().to_string()];
            process::stdout(&index, INDEXING).await?;
        }
        replace(&new, &old)?;
        let built = |package: &Package| BuiltPackage {
            file: package.file_name(),
            name: package.name.clone(),
            version: package.version.clone(),
            arch: package.arch.clone(),
            format: package.format,
        };
        let packages = packages.iter().map(built).collect();
        Ok(Built { name: order.name.clone(), folder: old, packages })
    }
}

fn wrong_order(order: &Order) -> Vec<String> {
    let mut problems = Vec::new();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = &order.name;
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) || name.len() > 64 {
        problems.push(format!(
            "a repository cannot be called `{name}`: use letters, digits, `-`, `_` and `.`, a letter or digit first, at most 64"
        ));
    }
    if order.sources.is_empty() {
        problems.push("a repository needs packages: name a folder, a package or a URL".to_owned());
    }
    problems
}

/// Packages that are wanted and that no source has.
fn missing(order: &Order, sources: &[Vec<Package>]) -> Vec<String> {
    let names: BTreeSet<&str> = sources.iter().flatten().map(|package| package.name.as_str()).collect();
    let missing = order.only.iter().filter(|name| !names.contains(name.as_str()));
    missing.map(|name| format!("no source has the package `{name}`")).collect()
}

async fn require_indexer(packages: &[Package]) -> Result<(), RepoError> {
    let rpms = packages.iter().filter(|package| package.format == Format::Rpm).count();
    if rpms == 0 {
        return Ok(());
    }
    match process::output(&["createrepo_c", "--version"], INDEXING).await {
        Err(ProcessError::Start { .. }) => Err(RepoError::NoIndexer { packages: rpms }),
        other => Ok(other.map(drop)?),
    }
}

/// Takes a file of the repository that is to be replaced, if it is the one that is wanted.
async fn reuse(old: &Path, to: &Path, expected: &FileFacts) -> Result<bool, RepoError> {
    let (from, to, expected) = (old.join(&expected.name), to.to_owned(), expected.clone());
    blocking(move || {
        if fs::metadata(&from).is_ok_and(|meta| meta.len() == expected.size) && copy(&from, &to)? == expected
        {
            return Ok(true);
        }
        match fs::remove_file(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", &to)(error)),
            _ => Ok(false),
        }
    })
    .await
}

async fn fetch(
    mirrors: &Mirrors,
    url: &str,
    downloads: &Path,
    to: &Path,
    expected: &FileFacts,
) -> Result<(), RepoError> {
    let here = downloads.join(&expected.name);
    if !mirrors.get(url, &here).await? {
        return Err(RepoError::Input(vec![format!("the mirror lists {url}, but does not have it")]));
    }
    let to = to.to_owned();
    let found = blocking(move || copy(&here, &to)).await?;
    if found == *expected {
        return Ok(());
    }
    let shown = |facts: &FileFacts| format!("{} bytes with SHA-256 {}", facts.size, facts.sha256);
    Err(RepoError::Mismatch { url: url.to_owned(), found: shown(&found), expected: shown(expected) })
}

/// Copies a file and says what it is.
fn copy(from: &Path, to: &Path) -> Result<FileFacts, RepoError> {
    let mut source = fs::File::open(from).map_err(file("read", from))?;
    let mut target = fs::File::create(to).map_err(file("write", to))?;
    let (mut hash, mut size, mut chunk) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let got = source.read(&mut chunk).map_err(file("read", from))?;
        let Some(bytes) = chunk.get(..got).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        size += bytes.len() as u64;
        target.write_all(bytes).map_err(file("write", to))?;
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(FileFacts { name, size, sha256: hex(hash) })
}

/// Writes what apt reads, where there is a package for it.
fn write_index(name: &str, packages: &[Package], facts: &[FileFacts], to: &Path) -> Result<(), RepoError> {
    let debs = packages.iter().zip(facts).filter(|(package, _)| package.format == Format::Deb);
    let text: String = debs.clone().map(|(package, facts)| index::entry(package, facts)).collect();
    if text.is_empty() && !packages.is_empty() {
        return Ok(());
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let path = to.join("Packages.gz");
    let packed = packed.write_all(text.as_bytes()).and_then(|()| packed.finish());
    let packed = packed.map_err(file("write", &path))?;
    let mut files = Vec::new();
    for (name, bytes) in [("Packages", text.as_bytes()), ("Packages.gz", packed.as_slice())] {
        let path = to.join(name);
        fs::write(&path, bytes).map_err(file("write", &path))?;
        let sha256 = hex(Sha256::new_with_prefix(bytes));
        files.push(FileFacts { name: name.to_owned(), size: bytes.len() as u64, sha256 });
    }
    let debs: Vec<Package> = debs.map(|(package, _)| package.clone()).collect();
    let path = to.join("Release");
    fs::write(&path, index::release(name, &debs, &files, SystemTime::now())).map_err(file("write", &path))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a folder in the place of another one, or where there is none; the other one is then where the first one was.
fn replace(new: &Path, old: &Path) -> Result<(), RepoError> {
    let exchanged = rustix::fs::renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE);
    let done = match exchanged {
        Err(rustix::io::Errno::NOENT) => {
            rustix::fs::renameat_with(CWD, new, CWD, old, RenameFlags::NOREPLACE)
        }
        other => other,
    };
    done.map_err(|errno| file("replace", old)(errno.into()))
}

/// Removes what builds that were killed left. The lock is held.
fn sweep(place: &Path) -> io::Result<()> {
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(BUILDING) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Work that would keep others from going on.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RepoError> + Send + 'static,
) -> Result<T, RepoError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(file("work on", Path::new("the repository"))(io::Error::other(error))))
}
