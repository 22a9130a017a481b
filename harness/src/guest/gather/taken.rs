//! What comes of a guest, path by path: unpacked aside, counted, cut, and put into place at the end. Blocking.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use tokio::sync::mpsc;

use super::plan::{self, Caps, Found, Gathered, Kind, Plan};
use crate::{
    base::text::flat_names,
    guest::{
        Channel,
        run::Chunk,
        tarball::{self, Folders},
    },
};

/// Troubles of one path that are told.
const TOLD: usize = 5;

/// What was taken of an archive.
pub(super) enum Took {
    All,
    /// All that is allowed.
    Full,
}

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Where it is kept until all of it is there; below it as below the guest's root.
    pub(super) dest: PathBuf,
    pub(super) caps: Caps,
    /// Bytes of all paths.
    pub(super) total: u64,
    paths: Vec<PathBuf>,
    roots: Vec<Root>,
    index: HashMap<PathBuf, usize>,
    /// The one to which the last entry belonged.
    current: Option<usize>,
    long: BTreeMap<PathBuf, u64>,
}

/// What has come of a path that is fetched by itself.
#[derive(Debug, Default)]
struct Root {
    seen: bool,
    /// Nothing more of it will come in an archive.
    over: bool,
    bytes: u64,
    left_out: (u64, u64),
    troubles: Vec<String>,
}

impl Taken {
    pub(super) fn new(plan: &Plan, dest: PathBuf, caps: Caps) -> Self {
        let mut paths = plan.roots.clone();
        let made = plan.found.iter().filter(|found| found.kind == Kind::Made);
        paths.extend(made.map(|found| found.real.clone()));
        // Neither those nor files that are too long go through an archive.
        let alone = |(at, path): (usize, &PathBuf)| at >= plan.roots.len() || plan.long.contains_key(path);
        let over = paths.iter().enumerate().map(alone);
        let roots = over.map(|over| Root { over, ..Root::default() }).collect();
        let index = paths.iter().cloned().zip(0..).collect();
        Self { dest, caps, total: 0, paths, roots, index, current: None, long: plan.long.clone() }
    }

    /// Paths that are to come in an archive and of which nothing was seen yet.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().zip(&self.roots).filter(|(_, root)| !root.seen && !root.over).map(|(path, _)| path)
    }

    /// Takes an archive as it comes.
    ///
    /// # Errors
    /// It breaks off, or this host cannot keep it.
    pub(super) fn take(&mut self, from: mpsc::Receiver<Chunk>) -> io::Result<Took> {
        self.current = None;
        let mut archive = tarball::reader(from);
        let mut folders = Folders::default();
        let mut broken = None;
        for entry in archive.entries()? {
            // When the archive itself broke off, that is the trouble.
            let entry = entry?;
            self.note(broken.take());
            let parts = entry.path()?;
            let name: PathBuf = parts.components().filter(|part| *part != Component::CurDir).collect();
            drop(parts);
            let Some(at) = self.root_of(&name) else { continue };
            self.current = Some(at);
            let (caps, total, is_long) = (self.caps, self.total, self.long.contains_key(&name));
            let Some(root) = self.roots.get_mut(at) else { continue };
            root.seen = true;
            let (kind, size, mode) = (entry.header().entry_type(), entry.size(), entry.header().mode()?);
            let is_file = kind.is_file() || kind.is_gnu_sparse() || kind.is_contiguous();
            if is_long || !(is_file || kind.is_dir() || kind.is_symlink() || kind.is_hard_link()) {
                continue;
            }
            if root.bytes.saturating_add(size) > caps.path {
                root.left_out = (root.left_out.0 + 1, root.left_out.1.saturating_add(size));
                continue;
            }
            if total.saturating_add(size) > caps.machine {
                return Ok(Took::Full);
            }
            match folders.unpack(entry, &self.dest) {
                Ok(()) => {
                    if is_file && mode & 0o400 == 0 {
                        // People shall read it.
                        let mode = fs::Permissions::from_mode((mode | 0o400) & 0o777);
                        fs::set_permissions(self.dest.join(&name), mode)?;
                    }
                    root.bytes += size;
                    self.total += size;
                }
                Err(error) if ends_it(&error) => return Err(error),
                Err(error) => broken = Some((at, format!("cannot keep {}: {error}", name.display()))),
            }
        }
        self.note(broken);
        tarball::rest(archive)?;
        folders.finish(0o700)?;
        Ok(Took::All)
    }

    fn note(&mut self, trouble: Option<(usize, String)>) {
        if let Some((at, why)) = trouble
            && let Some(root) = self.roots.get_mut(at)
        {
            root.troubles.push(why);
        }
    }

    /// What `tar` said in the guest.
    pub(super) fn complain(&mut self, line: &str) {
        if let Some((at, words)) = plan::complaint(line, &self.paths)
            && let Some(root) = self.roots.get_mut(at)
        {
            root.troubles.push(words.to_owned());
        }
    }

    /// All of `paths` was asked for, and the archive has ended as it should.
    pub(super) fn done(&mut self, paths: &[PathBuf]) {
        for path in paths {
            if let Some(root) = self.index.get(path).and_then(|&at| self.roots.get_mut(at)) {
                root.over = true;
            }
        }
    }

    /// The archive broke off: where it was, more may have been.
    pub(super) fn broke_off(&mut self, why: &str) {
        if let Some(root) = self.current.and_then(|at| self.roots.get_mut(at)) {
            root.over = true;
            root.troubles.push(why.to_owned());
        }
    }

    /// No more will come of anything.
    pub(super) fn give_up(&mut self, why: &str) {
        self.broke_off(why);
        for root in self.roots.iter_mut().filter(|root| !root.seen && !root.over) {
            root.over = true;
            root.troubles.push(why.to_owned());
        }
    }

    /// The end of a file that is `size` bytes long came, or did not; without a size, all of it should have come.
    pub(super) fn end(&mut self, path: &Path, size: Option<u64>, result: Result<u64, String>) {
        let Some(root) = self.root_of(path).and_then(|at| self.roots.get_mut(at)) else { return };
        match (result, size) {
            (Ok(bytes), size) => {
                root.seen = true;
                root.bytes += bytes;
                self.total += bytes;
                let part = match size {
                    Some(size) => format!("of the {size} bytes of /{}, the last {bytes}", path.display()),
                    None if bytes < self.caps.path => return,
                    None => format!("of /{}, the first {bytes} bytes", path.display()),
                };
                root.troubles.push(part);
            }
            (Err(why), _) => root.troubles.push(format!("/{}: {why}", path.display())),
        }
    }

    /// Moves everything to its place in `dest` and tells what has become of all that was wanted.
    pub(super) fn place(self, over: Channel, wanted: &[String], plan: &Plan, dest: &Path) -> Vec<Gathered> {
        // What lies in another path, or is one that has another name, is copied before that moves away.
        let mut known = HashSet::new();
        let moves = |found: &&Found| self.index.contains_key(&found.real) && known.insert(found.real.clone());
        let (moved, copied): (Vec<&Found>, Vec<&Found>) = plan.found.iter().partition(moves);
        let mut told: Vec<(usize, Gathered)> = Vec::new();
        let all = copied
            .into_iter()
            .map(|found| (found, false))
            .chain(moved.into_iter().map(|found| (found, true)));
        for (found, moves) in all {
            let (bytes, missing) = self.put(found, &dest.join(&found.place), moves);
            let wanted = wanted.get(found.wanted).cloned().unwrap_or_default();
            let (path, place) = (found.path.clone(), found.place.clone().into());
            told.push((found.wanted, Gathered { wanted, path, place, bytes, missing, over }));
        }
        for (at, wanted) in plan.nothing.iter().filter_map(|&at| Some((at, wanted.get(at)?))) {
            let path = PathBuf::from(wanted);
            let is_pattern = wanted.contains(['*', '?', '[']);
            let missing =
                if is_pattern { "nothing fits the pattern" } else { "there is no such file or folder" };
            let place = flat_names([path.as_path()]).concat().into();
            let missing = Some(missing.to_owned());
            told.push((at, Gathered { wanted: wanted.clone(), path, place, bytes: None, missing, over }));
        }
        told.sort_by(|(a, one), (b, other)| (a, &one.path).cmp(&(b, &other.path)));
        told.into_iter().map(|(_, gathered)| gathered).collect()
    }

    /// Puts what has come of a path into its place: how many bytes, and what is missing.
    fn put(&self, found: &Found, place: &Path, moves: bool) -> (Option<u64>, Option<String>) {
        if found.kind == Kind::Dangling {
            return (None, Some("it is a link to nothing".to_owned()));
        }
        let staged = self.dest.join(&found.real);
        let own = self.index.get(&found.real).copied();
        let Some(root) = own.or_else(|| self.root_of(&found.real)).and_then(|at| self.roots.get(at)) else {
            return (None, Some("it lies in nothing that was fetched".to_owned()));
        };
        let mut troubles = root.troubles.clone();
        if own.is_none() {
            let name = found.real.display().to_string();
            troubles.retain(|trouble| trouble.contains(&name));
        } else if root.left_out.0 > 0 {
            let (files, bytes) = root.left_out;
            let cap = self.caps.path;
            troubles.push(format!("{files} files with {bytes} bytes are beyond the limit of {cap} bytes"));
        }
        let came = staged.symlink_metadata().is_ok();
        if !came && troubles.is_empty() {
            troubles.push("it was not there any more".to_owned());
        }
        let put = match (came, moves) {
            (false, _) => Ok(None),
            (true, true) => fs::rename(&staged, place).map(|()| Some(root.bytes)),
            (true, false) => copy(&staged, place).map(Some),
        };
        let bytes = put.unwrap_or_else(|error| {
            troubles.push(format!("cannot keep it: {error}"));
            None
        });
        let more = troubles.len().saturating_sub(TOLD);
        troubles.truncate(TOLD);
        if more > 0 {
            troubles.push(format!("and {more} more"));
        }
        (bytes, (!troubles.is_empty()).then(|| troubles.join("; ")))
    }

    fn root_of(&self, name: &Path) -> Option<usize> {
        let current =
            self.current.filter(|&at| self.paths.get(at).is_some_and(|path| name.starts_with(path)));
        current.or_else(|| name.ancestors().find_map(|above| self.index.get(above).copied()))
    }
}

/// Whether an error is not of one file alone.
fn ends_it(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, QuotaExceeded, ReadOnlyFilesystem, StorageFull, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | QuotaExceeded | ReadOnlyFilesystem | StorageFull | UnexpectedEof)
}

/// Copies what has come; files become further names of the same ones. Returns their size.
fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let meta = from.symlink_metadata()?;
    if meta.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if !meta.is_dir() {
        fs::hard_link(from, to)?;
        return Ok(meta.len());
    } else {
        fs::create_dir(to)?;
        let mut bytes = 0;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            bytes += copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(bytes);
    }
    Ok(0)
}
