//! Every path of a workdir and of a prefix. Pure.

use std::path::{Component, Path, PathBuf};

/// A workdir's folder in a project.
pub const FOLDER: &str = ".polder";
/// The same, as Lago calls it; it is found, too.
pub const LAGO_FOLDER: &str = ".lago";
/// The init file that is taken when none is named.
pub const INIT_FILE: &str = "LagoInitFile";
/// The name of the link to the prefix that is meant when none is named.
pub const CURRENT: &str = "current";
/// The name of a prefix that was not given one.
pub const DEFAULT: &str = "default";

/// Paths in a workdir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkdirPaths {
    /// The folder itself.
    pub root: PathBuf,
}

impl WorkdirPaths {
    /// The relative link to the prefix that is meant when none is named.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.root.join(CURRENT)
    }
    /// A prefix's folder.
    #[must_use]
    pub fn prefix(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Paths in a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixPaths {
    /// The folder itself.
    pub root: PathBuf,
}

/// Folders every prefix has.
const FOLDERS: &[&str] = &["images", "scripts", "logs", "consoles", "saves"];

/// Any of these in a folder says that it is a prefix, whatever else is missing.
pub(super) const MARKS: &[&str] = &["uuid", "initialized", "journal.jsonl", "state.json", "virt/env"];

impl PrefixPaths {
    /// Its name, which is its folder's.
    #[must_use]
    pub fn name(&self) -> String {
        self.root.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
    /// An empty file; marks a prefix that can be used.
    #[must_use]
    pub fn initialized(&self) -> PathBuf {
        self.root.join("initialized")
    }
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn uuid(&self) -> PathBuf {
        self.root.join("uuid")
    }
    /// The key that opens the machines.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.root.join("id_ed25519")
    }
    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> PathBuf {
        self.root.join("id_ed25519.pub")
    }
    /// The key of a prefix made by Lago.
    #[must_use]
    pub fn lago_key(&self) -> PathBuf {
        self.root.join("id_rsa")
    }
    /// Who made the prefix.
    #[must_use]
    pub fn metadata(&self) -> PathBuf {
        self.root.join("metadata")
    }
    /// What is decided and known of the environment.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }
    /// What was made outside the prefix.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }
    /// Held by whoever changes the prefix; says who that is.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
    /// Says why the prefix must not be destroyed.
    #[must_use]
    pub fn locked(&self) -> PathBuf {
        self.root.join("locked")
    }
    /// A copy of the init file.
    #[must_use]
    pub fn init_file(&self) -> PathBuf {
        self.root.join("init-file")
    }
    /// Disks.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    /// Repositories of packages that machines install from.
    #[must_use]
    pub fn repo(&self) -> PathBuf {
        self.root.join("repo")
    }
    /// Those of a prefix made by Lago.
    #[must_use]
    pub fn lago_repo(&self) -> PathBuf {
        self.root.join("internal_repo")
    }
    /// Copies of deploy scripts.
    #[must_use]
    pub fn scripts(&self) -> PathBuf {
        self.root.join("scripts")
    }
    /// Logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    /// What every verb did here.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.logs().join("polder.log")
    }
    /// The log of the verb that makes the prefix, beside it so that it survives a failure.
    #[must_use]
    pub fn init_log(&self) -> PathBuf {
        self.root.with_file_name(format!("{}.init.log", self.name()))
    }
    /// What machines print while they boot.
    #[must_use]
    pub fn consoles(&self) -> PathBuf {
        self.root.join("consoles")
    }
    /// Memory of machines, saved with snapshots.
    #[must_use]
    pub fn saves(&self) -> PathBuf {
        self.root.join("saves")
    }
    /// What Lago wrote about networks and machines.
    #[must_use]
    pub fn virt(&self) -> PathBuf {
        self.root.join("virt")
    }
    /// The folders made with it.
    #[must_use]
    pub fn made(&self) -> Vec<PathBuf> {
        FOLDERS.iter().map(|name| self.root.join(name)).collect()
    }
}

/// Whether `folder` has one of the names a project's workdir has; all folders in such a one are prefixes.
pub(super) fn is_ours(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == FOLDER || name == LAGO_FOLDER)
}

/// Where a workdir is looked for, from `start` (absolute) upwards: in `start` itself, then in the folders beside it and
/// all folders above. One directly in the root of the file system is taken only when that is where one stands.
pub(super) fn candidates(start: &Path) -> Vec<PathBuf> {
    let level = |dir: &Path| [dir.join(FOLDER), dir.join(LAGO_FOLDER)];
    let above = start.ancestors().skip(1).filter(|dir| dir.parent().is_some());
    std::iter::once(start).chain(above).flat_map(level).collect()
}

/// `path` as seen from `cwd` (absolute), without `.` and `..`; links are not looked at.
pub(super) fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            _ => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/a/b", &["/a/b/.polder", "/a/b/.lago", "/a/.polder", "/a/.lago"])]
    #[case("/a", &["/a/.polder", "/a/.lago"])]
    #[case("/", &["/.polder", "/.lago"])]
    fn the_walk_goes_upwards_and_stops_below_the_root(#[case] start: &str, #[case] expected: &[&str]) {
        let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(candidates(Path::new(start)), expected);
    }

    #[rstest::rstest]
    #[case("", "/a/b")]
    #[case("c/./d/", "/a/b/c/d")]
    #[case("../c", "/a/c")]
    #[case("../../../..", "/")]
    #[case("/x/../y", "/y")]
    fn paths_become_absolute(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(absolute(Path::new("/a/b"), Path::new(path)), Path::new(expected));
    }

    #[test]
    fn the_log_of_init_lies_beside_its_prefix() {
        let paths = PrefixPaths { root: "/w/.polder/a.b".into() };
        assert_eq!(paths.init_log(), Path::new("/w/.polder/a.b.init.log"));
    }
}
