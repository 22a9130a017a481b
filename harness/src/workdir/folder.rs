//! A workdir: which prefixes it has, which one is current, and how both change.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{
    Prefix, WorkdirError,
    error::file,
    judge::{Current, Listing, NOT_A_LINK, Verdict, bad_name, judge},
    paths::{CURRENT, DEFAULT, MARKS, PrefixPaths, WorkdirPaths, is_ours},
    prefix::absent,
};

/// A folder that holds prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workdir {
    paths: WorkdirPaths,
}

impl Workdir {
    /// The workdir at `path` (absolute). When its link `current` leads nowhere, it is set anew. Of a malformed one,
    /// prefixes can still be had by their names.
    ///
    /// # Errors
    /// That is no workdir ([`WorkdirError::NoWorkdir`]), or cannot be read.
    pub fn at(path: &Path) -> Result<Self, WorkdirError> {
        let workdir = Self { paths: WorkdirPaths { root: path.to_owned() } };
        match judge(&workdir.listing()?) {
            Verdict::Sound(_) | Verdict::Malformed(_) => Ok(workdir),
            Verdict::Mend(name) => {
                // Only a convenience: a workdir that cannot be written can still be looked at.
                let _ = workdir.link(&name);
                Ok(workdir)
            }
            Verdict::No => Err(WorkdirError::NoWorkdir {
                start: path.to_owned(),
                searched: vec![path.to_owned()],
                hints: vec![],
            }),
        }
    }

    /// The folder at `path` (absolute), made if need be, for prefixes to be added to.
    ///
    /// # Errors
    /// It cannot be made, or is a malformed workdir.
    pub fn create(path: &Path) -> Result<Self, WorkdirError> {
        fs::create_dir_all(path).map_err(file("make", path))?;
        let workdir = Self { paths: WorkdirPaths { root: path.to_owned() } };
        workdir.require_link()?;
        match Self::at(path) {
            Err(WorkdirError::NoWorkdir { .. }) => Ok(workdir),
            other => other,
        }
    }

    /// Refuses a folder whose entry `current` is somebody else's: it must not be replaced.
    fn require_link(&self) -> Result<(), WorkdirError> {
        match self.listing()?.current {
            Current::NotALink => {
                Err(WorkdirError::Malformed { path: self.paths.root.clone(), why: NOT_A_LINK })
            }
            Current::Missing | Current::Link(_) => Ok(()),
        }
    }

    /// Whether somebody who stands in `path` stands in a workdir. Outside folders called `.polder` or `.lago` the link
    /// `current` must be there, too: a project whose folders happen to look like prefixes is no workdir.
    pub(super) fn is_one(path: &Path) -> bool {
        let workdir = Self { paths: WorkdirPaths { root: path.to_owned() } };
        workdir.listing().is_ok_and(|listing| {
            judge(&listing) != Verdict::No && (is_ours(path) || matches!(listing.current, Current::Link(_)))
        })
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.paths.root
    }

    /// Names of its prefixes, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn prefixes(&self) -> Result<Vec<String>, WorkdirError> {
        Ok(self.listing()?.prefixes)
    }

    /// Name of the prefix that is meant when none is named.
    ///
    /// # Errors
    /// There is none, or nobody can say which.
    pub fn current(&self) -> Result<String, WorkdirError> {
        let path = || self.paths.root.clone();
        match judge(&self.listing()?) {
            Verdict::Sound(name) | Verdict::Mend(name) => Ok(name),
            Verdict::Malformed(why) => Err(WorkdirError::Malformed { path: path(), why }),
            Verdict::No => Err(WorkdirError::Malformed { path: path(), why: "it holds no prefix" }),
        }
    }

    /// Makes another prefix the one that is meant when none is named.
    ///
    /// # Errors
    /// There is no such prefix, or the link cannot be made.
    pub fn set_current(&self, name: &str) -> Result<(), WorkdirError> {
        self.prefix(name)?;
        self.require_link()?;
        self.link(name)
    }

    /// The prefix of that name; `current` means the current one.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn prefix(&self, name: &str) -> Result<Prefix, WorkdirError> {
        let name = if name == CURRENT { self.current()? } else { name.to_owned() };
        let known = self.prefixes()?;
        if known.contains(&name) {
            return Ok(Prefix::at(&self.paths.prefix(&name)));
        }
        Err(WorkdirError::NoSuchPrefix { name, workdir: self.paths.root.clone(), known })
    }

    /// Makes an empty prefix with a uuid; the first one becomes current. `current` as a name means `default`.
    ///
    /// # Errors
    /// The name is taken or cannot be one, or a file cannot be made.
    pub fn add(&self, name: &str) -> Result<Prefix, WorkdirError> {
        let name = self.new_name(name)?;
        let prefix = Prefix::at(&self.paths.prefix(name));
        let path = prefix.path();
        match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.may_become(path) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(self.exists(name)),
            made => made.map_err(file("make", path))?,
        }
        // Two may have found it empty.
        if !prefix.claim()? {
            return Err(self.exists(name));
        }
        prefix.furnish()?;
        if matches!(judge(&self.listing()?), Verdict::Mend(_)) {
            self.link(name)?;
        }
        Ok(prefix)
    }

    /// The path a prefix of that name will have, before it is made.
    ///
    /// # Errors
    /// The name is taken or cannot be one.
    pub fn planned(&self, name: &str) -> Result<PrefixPaths, WorkdirError> {
        let name = self.new_name(name)?;
        let root = self.paths.prefix(name);
        let taken = root.symlink_metadata().is_ok() && !self.may_become(&root);
        if taken { Err(self.exists(name)) } else { Ok(PrefixPaths { root }) }
    }

    /// Whether a folder that is there may become a prefix: an empty one that is none, such as one whose making was cut
    /// short at once.
    fn may_become(&self, folder: &Path) -> bool {
        let is_folder = folder.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        !is_ours(&self.paths.root)
            && is_folder
            && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
    }

    fn new_name<'a>(&self, name: &'a str) -> Result<&'a str, WorkdirError> {
        let name = if name == CURRENT { DEFAULT } else { name };
        match bad_name(name) {
            Some(why) => Err(WorkdirError::BadName { name: name.into(), why }),
            None => Ok(name),
        }
    }

    fn exists(&self, name: &str) -> WorkdirError {
        WorkdirError::PrefixExists { name: name.into(), workdir: self.paths.root.clone() }
    }

    /// Puts the workdir in order after a prefix has gone: another one becomes current; without any, the link and then
    /// the folder go, unless something of somebody else's lies in it.
    ///
    /// # Errors
    /// The link or the folder cannot be changed.
    pub fn removed(&self) -> Result<(), WorkdirError> {
        let listing = match self.listing() {
            Err(WorkdirError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            other => other?,
        };
        match judge(&listing) {
            Verdict::Sound(_) | Verdict::Malformed(_) => Ok(()),
            Verdict::Mend(name) => self.link(&name),
            Verdict::No => {
                if matches!(listing.current, Current::Link(_)) {
                    let link = self.paths.current();
                    fs::remove_file(&link).map_err(file("remove", &link))?;
                }
                match fs::remove_dir(&self.paths.root) {
                    Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => {
                        Err(file("remove", &self.paths.root)(e))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// Removes the log that a failed init of `name` left.
    ///
    /// # Errors
    /// The log or the folder cannot be removed.
    pub fn forget_log(&self, name: &str) -> Result<(), WorkdirError> {
        absent(&PrefixPaths { root: self.paths.prefix(name) }.init_log())?;
        self.removed()
    }

    /// Removes the logs of all failed inits, once no prefix is left in a project's own workdir. Elsewhere files of that
    /// name may be somebody else's.
    ///
    /// # Errors
    /// A log or the folder cannot be removed.
    pub fn forget_logs(&self) -> Result<(), WorkdirError> {
        let root = &self.paths.root;
        if is_ours(root) && self.prefixes().is_ok_and(|left| left.is_empty()) {
            for entry in fs::read_dir(root).map_err(file("read", root))?.flatten() {
                if entry.file_name().to_string_lossy().ends_with(".init.log") {
                    absent(&entry.path())?;
                }
            }
        }
        self.removed()
    }

    /// Replaces the link in one step, so that no other process sees none.
    fn link(&self, name: &str) -> Result<(), WorkdirError> {
        let link = self.paths.current();
        let new = self.paths.root.join(format!(".current-{}", std::process::id()));
        let _ = fs::remove_file(&new);
        symlink(name, &new).and_then(|()| fs::rename(&new, &link)).map_err(file("make", &link))
    }

    fn listing(&self) -> Result<Listing, WorkdirError> {
        let root = &self.paths.root;
        let mut prefixes = vec![];
        for entry in fs::read_dir(root).map_err(file("read", root))? {
            let entry = entry.map_err(file("read", root))?;
            // A link to a prefix elsewhere is one of this workdir's; the link `current` is not another one.
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if name != CURRENT && !hidden && entry.path().is_dir() && looks_like_one(root, &entry.path()) {
                prefixes.push(name.to_string_lossy().into_owned());
            }
        }
        prefixes.sort();
        let link = self.paths.current();
        let current = match (fs::read_link(&link), link.symlink_metadata()) {
            (Ok(target), _) => {
                let name = last(&target);
                // Ours lead to a prefix, or to where one was; others have links of that name, too.
                let led_to_one = !link.exists() && target.as_os_str() == name.as_str();
                if prefixes.contains(&name) || led_to_one || is_ours(root) {
                    Current::Link(name)
                } else {
                    Current::NotALink
                }
            }
            (Err(_), Ok(_)) => Current::NotALink,
            (Err(_), Err(_)) => Current::Missing,
        };
        Ok(Listing { current, prefixes })
    }
}

fn last(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

/// Whether a folder of `workdir` is a prefix. In a project's own `.polder` every folder is one, however damaged; a
/// workdir elsewhere may hold folders of other people.
fn looks_like_one(workdir: &Path, folder: &Path) -> bool {
    is_ours(workdir) || has_marks(folder)
}

/// Whether a folder has something that only prefixes have.
pub(super) fn has_marks(folder: &Path) -> bool {
    MARKS.iter().any(|mark| folder.join(mark).symlink_metadata().is_ok())
}

/// Prefixes in the folders of `folder`, to point at when nothing was found: their paths.
pub(super) fn prefixes_below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| Workdir::is_one(path) || prefixes_in_project(path))
        .collect();
    found.sort();
    found
}

fn prefixes_in_project(folder: &Path) -> bool {
    super::paths::candidates(folder).iter().take(2).any(|path| Workdir::is_one(path))
}
