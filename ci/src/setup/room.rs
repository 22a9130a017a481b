//! Room on disks. Where one is full in the middle, whatever comes next fails, in words of its own.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{For, is_root};
use crate::{rootless, workspace};

/// A folder, and how far it grows.
struct Growth {
    folder: PathBuf,
    gib: u64,
}

impl Growth {
    /// Of a folder that has `gib` in it in the end.
    fn to(gib: u64, folder: PathBuf) -> Self {
        Self { gib: gib.saturating_sub(taken(&folder) >> 30), folder }
    }
}

/// What the files below a folder take, in bytes; what cannot be looked at counts as nothing.
fn taken(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { taken(&entry.path()) } else { metadata.blocks() * 512 })
    });
    sizes.sum()
}

/// What is said of disks with less room than what is to run takes beside what it finds.
pub(super) fn lacking(what: For) -> Result<Vec<String>> {
    let target = workspace::metadata()?.target_directory;
    // As measured, and a quarter more.
    let (built, kept) = match what {
        For::Suites => (3, 3),
        For::Tests => (18, 4),
    };
    let mut growths = vec![Growth::to(built, target)];
    growths.extend(workspace::cache().map(|cache| Growth::to(kept, cache)));
    if what == For::Tests && is_root() {
        // The cache of the ordinary user who has the tests once more.
        growths.push(Growth::to(5, Path::new("/home").join(rootless::USER).join(".cache/polder")));
    }
    Ok(told(&growths, disk))
}

/// Which disk a folder is on, or will be, and what is free there, in GiB.
fn disk(folder: &Path) -> Option<(u64, u64)> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    let space = rustix::fs::statvfs(existing).ok()?;
    Some((fs::metadata(existing).ok()?.dev(), space.f_bavail.saturating_mul(space.f_frsize) >> 30))
}

fn told(growths: &[Growth], disk: impl Fn(&Path) -> Option<(u64, u64)>) -> Vec<String> {
    let mut disks: Vec<(u64, u64, Vec<&Growth>)> = vec![];
    for growth in growths.iter().filter(|growth| growth.gib > 0) {
        let Some((number, free)) = disk(&growth.folder) else { continue };
        match disks.iter_mut().find(|(other, ..)| *other == number) {
            Some((.., on_it)) => on_it.push(growth),
            None => disks.push((number, free, vec![growth])),
        }
    }
    let need = |on_it: &[&Growth]| on_it.iter().map(|growth| growth.gib).sum::<u64>();
    disks.retain(|(_, free, on_it)| *free < need(on_it));
    disks
        .iter()
        .map(|(_, free, on_it)| {
            let folders: Vec<_> =
                on_it.iter().map(|Growth { folder, gib }| format!("{gib} in {}", folder.display())).collect();
            format!(
                "{free} GiB are free on a disk of which this takes up to {} more ({}); \
                 free some, or have that elsewhere by CARGO_TARGET_DIR and POLDER_CACHE_DIR",
                need(on_it),
                folders.join(", ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_with_too_little_room_are_told() {
        let growths = [("/a/target", 6), ("/b/cache", 3), ("/nowhere", 1)]
            .map(|(folder, gib)| Growth { folder: folder.into(), gib });
        let with = |a: (u64, u64), b: (u64, u64)| {
            told(&growths, |folder| match folder.ancestors().nth(1)?.to_str()? {
                "/a" => Some(a),
                "/b" => Some(b),
                _ => None,
            })
        };
        assert_eq!(with((1, 6), (2, 3)), [""; 0]);
        assert_eq!(with((1, 9), (1, 9)), [""; 0]);
        let [ref both] = with((1, 8), (1, 8))[..] else { panic!("of one disk, it says one thing") };
        assert!(both.starts_with("8 GiB are free on a disk of which this takes up to 9 "), "{both}");
        assert!(both.contains(" (6 in /a/target, 3 in /b/cache); free some,"), "{both}");
        let [ref one] = with((1, 6), (2, 2))[..] else { panic!("the other has room") };
        assert!(one.contains("2 GiB are free") && one.contains("(3 in /b/cache);"), "{one}");
    }

    #[test]
    fn what_is_there_already_takes_no_more_room() {
        let dir = std::env::temp_dir().join(format!("polder-room-{}", std::process::id()));
        fs::create_dir_all(dir.join("below")).unwrap();
        fs::write(dir.join("below/file"), vec![1; 100_000]).unwrap();
        let found = taken(&dir);
        let of_none = Growth::to(7, dir.join("nowhere")).gib;
        fs::remove_dir_all(&dir).unwrap();
        assert!((100_000..300_000).contains(&found), "{found}");
        assert_eq!(of_none, 7);
    }

    #[test]
    fn folders_that_are_not_there_yet_have_a_disk() {
        let dir = std::env::temp_dir();
        assert_eq!(
            disk(&dir.join("not/there")).map(|(number, _)| number),
            disk(&dir).map(|(number, _)| number)
        );
        assert!(disk(&dir).is_some());
    }
}
