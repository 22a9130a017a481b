//! What differs between two folders.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// How folders are made the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncOptions {
    /// Compare what is in files of the same size and time, too.
    pub digest: bool,
    /// Remove what is not in the source.
    pub delete: bool,
}

/// What was done to make two folders the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Synced {
    /// Files and links that were sent.
    pub sent: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Files and links that were the same already.
    pub same: u64,
    /// Files, links and folders that were removed, not counting what was in those folders.
    pub removed: u64,
}

/// What is in a folder, by paths below it.
pub(super) type Listing = BTreeMap<PathBuf, Listed>;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) kind: Kind,
    /// Permissions.
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Seconds.
    pub(super) mtime: i64,
    /// Of a link.
    pub(super) target: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// Neither sent nor removed.
    Other,
}

impl Kind {
    /// By the mode that the system gives it.
    pub(super) fn of(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Folder,
            0o120_000 => Self::Link,
            _ => Self::Other,
        }
    }
}

/// What has to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be removed first: they are in the way, or not in the source.
    pub(super) remove: Vec<PathBuf>,
    /// To be made, or given another mode.
    pub(super) folders: Vec<PathBuf>,
    /// Files and links to be sent.
    pub(super) send: Vec<PathBuf>,
    /// Files that are the same by size and time.
    pub(super) alike: Vec<PathBuf>,
    /// Links that are the same.
    pub(super) links: u64,
}

/// Lists a folder of a guest: of all in it name, mode, size and time; then links and where they lead.
pub(super) const LIST: &str = r#"
[ -e "$1" ] || exit 66
cd -- "$1" || exit 73
find . -exec stat -c '%n//%f %s %Y' {} +
printf '\0'
find . -type l -exec sh -c 'for f; do printf "%s\0%s\0" "$f" "$(readlink -- "$f")"; done' sh {} +
exit 0
"#;

/// The listing that [`LIST`] printed; what cannot be understood is not in it.
pub(super) fn listing(said: &[u8]) -> Listing {
    let mut parts = said.split(|&byte| byte == 0);
    let mut listing = Listing::new();
    let mut rest = parts.next().unwrap_or_default();
    // A name may hold line ends, but never two slashes.
    while let Some(at) = rest.windows(2).position(|pair| pair == b"//") {
        let (name, after) = rest.split_at(at);
        let end = after.iter().position(|&byte| byte == b'\n').unwrap_or(after.len());
        let (facts, next) = after.split_at(end);
        if let Some(listed) = listed(facts.get(2..).unwrap_or_default()) {
            listing.insert(below(name), listed);
        }
        rest = next.get(1..).unwrap_or_default();
    }
    while let (Some(name), Some(target)) = (parts.next(), parts.next()) {
        if let Some(link) = listing.get_mut(&below(name)) {
            link.target = Some(path(target));
        }
    }
    listing.remove(Path::new(""));
    listing
}

fn listed(facts: &[u8]) -> Option<Listed> {
    let mut words = std::str::from_utf8(facts).ok()?.split(' ');
    let mode = u32::from_str_radix(words.next()?, 16).ok()?;
    let (size, mtime) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Listed { kind: Kind::of(mode), mode: mode & 0o777, size, mtime, target: None })
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// A path that `find .` printed, without the dot.
fn below(bytes: &[u8]) -> PathBuf {
    path(bytes.strip_prefix(b"./").unwrap_or(if bytes == b"." { b"" } else { bytes }))
}

/// What makes `to` the same as `from`.
pub(super) fn plan(from: &Listing, to: &Listing, delete: bool) -> Plan {
    let mut plan = Plan::default();
    for (path, there) in to {
        let gone = match from.get(path) {
            None => delete && there.kind != Kind::Other,
            Some(here) => here.kind != there.kind && here.kind != Kind::Other,
        };
        if gone && !plan.remove.last().is_some_and(|last| path.starts_with(last)) {
            plan.remove.push(path.clone());
        }
    }
    let removed = |path: &Path| path.ancestors().any(|above| plan.remove.iter().any(|gone| gone == above));
    for (path, here) in from {
        let there = to.get(path).filter(|_| plan.remove.is_empty() || !removed(path));
        match (here.kind, there) {
            (Kind::Other, _) => {}
            (Kind::Folder, Some(there)) if there.mode == here.mode => {}
            (Kind::Folder, _) => plan.folders.push(path.clone()),
            (Kind::Link, Some(there)) if there.target == here.target => plan.links += 1,
            (Kind::File, Some(there))
                if (there.size, there.mtime, there.mode) == (here.size, here.mtime, here.mode) =>
            {
                plan.alike.push(path.clone());
            }
            (Kind::Link | Kind::File, _) => plan.send.push(path.clone()),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64, mtime: i64) -> Listed {
        Listed { kind: Kind::File, mode: 0o644, size, mtime, target: None }
    }

    fn folder() -> Listed {
        Listed { kind: Kind::Folder, mode: 0o755, size: 4096, mtime: 7, target: None }
    }

    fn link(target: &str) -> Listed {
        Listed { kind: Kind::Link, mode: 0o777, size: 1, mtime: 7, target: Some(target.into()) }
    }

    fn all<const N: usize>(entries: [(&str, Listed); N]) -> Listing {
        entries.into_iter().map(|(path, listed)| (PathBuf::from(path), listed)).collect()
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn only_what_differs_is_sent() {
        let from = all([
            ("a", file(1, 1)),
            ("b", file(2, 1)),
            ("c", file(1, 2)),
            ("d", Listed { mode: 0o600, ..file(1, 1) }),
            ("l", link("x")),
            ("m", link("y")),
            ("new", folder()),
            ("new/f", file(1, 1)),
            ("old", folder()),
            ("turned", folder()),
            ("turned/in", file(1, 1)),
            ("was-folder", file(1, 1)),
        ]);
        let to = all([
            ("a", file(1, 1)),
            ("b", file(1, 1)),
            ("c", file(1, 1)),
            ("d", file(1, 1)),
            ("extra", folder()),
            ("extra/deep", file(1, 1)),
            ("l", Listed { mtime: 99, ..link("x") }),
            ("m", link("x")),
            ("old", folder()),
            ("socket", Listed { kind: Kind::Other, ..file(0, 0) }),
            ("turned", file(1, 1)),
            ("was-folder", folder()),
            ("was-folder/in", file(1, 1)),
        ]);
        let mut expected = Plan {
            remove: paths(&["turned", "was-folder"]),
            folders: paths(&["new", "turned"]),
            send: paths(&["b", "c", "d", "m", "new/f", "turned/in", "was-folder"]),
            alike: paths(&["a"]),
            links: 1,
        };
        assert_eq!(plan(&from, &to, false), expected);
        expected.remove.insert(0, "extra".into());
        assert_eq!(plan(&from, &to, true), expected);
        let none = plan(&from, &from, true);
        assert_eq!((none.send, none.folders, none.remove), (vec![], vec![], vec![]));
    }

    #[test]
    fn a_listing_survives_odd_names() {
        let said = b".//41ed 4096 7\n./a\n81a4 1 1//81a4 5 9\n./sub//41ed 4096 7\n./sub/l//a1ff 1 7\n./bad//zz\n\0./sub/l\0x\ny\0";
        let listing = listing(said);
        let target = Listed { mode: 0o777, ..link("x\ny") };
        assert_eq!(listing, all([("a\n81a4 1 1", file(5, 9)), ("sub", folder()), ("sub/l", target)]));
        assert_eq!(self::listing(b""), Listing::new());
    }
}
