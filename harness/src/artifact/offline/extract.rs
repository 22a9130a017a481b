//! The root file system among the disks of a machine, and what is wanted of it.

use std::{
    io,
    path::{Path, PathBuf},
};

use ext4_view::{Ext4, Ext4Error};

use super::{
    copy::{Copied, Copying},
    disk::{Disk, Opened},
    guestfish::Guestfish,
    partitions::{self, SECTOR},
    tree::Tree,
};
use crate::{artifact::Part, base::text::flat_names};

/// Bytes that tell what a partition holds.
const START: usize = 0x1_0050;
/// Paths a pattern may stand for.
const MOST: usize = 10_000;

/// Why nothing can be read from the disks of a machine.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// An image cannot be read.
    #[error("cannot read the disk {}", disk.display())]
    Image {
        /// The image.
        disk: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// No root file system that can be read without the machine.
    #[error("no disk has a root file system that can be read without the machine: {}", found.join(", "))]
    NoRoot {
        /// What there is instead, for people.
        found: Vec<String>,
        /// Why there is none for `guestfish` either.
        #[source]
        guestfish: io::Error,
    },
    /// A machine without disks.
    #[error("there are no disks")]
    NoDisks,
}

/// The root file system of a machine, without the machine.
pub struct RootDisk {
    tree: Box<dyn Tree>,
    how: String,
}

impl RootDisk {
    /// Finds it: the first file system of the ext family with a folder `/etc`, else what `guestfish` takes for the root of
    /// a system. `kvm` is whether that may start machines with hardware acceleration. To be called where it may block,
    /// within a runtime.
    ///
    /// # Errors
    /// There is none that can be read; what there is.
    pub fn find(disks: &[Disk], kvm: bool) -> Result<Self, OfflineError> {
        if disks.is_empty() {
            return Err(OfflineError::NoDisks);
        }
        let mut found = Vec::new();
        for disk in disks {
            let failed = |source| OfflineError::Image { disk: disk.image.clone(), source };
            if let Some(root) = Self::on(disk, &mut found).map_err(failed)? {
                return Ok(root);
            }
        }
        match Guestfish::open(disks, kvm) {
            Ok(fish) => {
                let found = found.join(", ");
                let how = format!("read by guestfish, without the machine, because we cannot: {found}");
                Ok(Self { tree: Box::new(fish), how })
            }
            Err(guestfish) => Err(OfflineError::NoRoot { found, guestfish }),
        }
    }

    /// The one on this disk; what there is instead is added to `found`.
    fn on(disk: &Disk, found: &mut Vec<String>) -> io::Result<Option<Self>> {
        let opened = disk.open()?;
        let sector = |at: u64| {
            let mut sector = [0; SECTOR as usize];
            opened.read(at.saturating_mul(SECTOR), &mut sector).map(|()| sector)
        };
        let offsets = partitions::offsets(sector)?;
        let name = disk.image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (number, &offset) in offsets.iter().enumerate() {
            let part = if number == 0 { name.clone() } else { format!("partition {number} of {name}") };
            match Ext4::load(Box::new(opened.from(offset))) {
                Ok(fs) if fs.metadata("/etc").is_ok_and(|meta| meta.is_dir()) => {
                    let how = format!("read from {part}, without the machine");
                    return Ok(Some(Self { tree: Box::new(fs), how }));
                }
                Ok(_) => found.push(format!("{part} has no /etc")),
                // The disk itself, where it is divided.
                Err(_) if number == 0 && offsets.len() > 1 => {}
                Err(error) => found.push(format!("{part}: {}", contents(&opened, offset, &error))),
            }
        }
        Ok(None)
    }

    /// A file of it that is a text, if it is there.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        self.tree.text(Path::new(path)).ok()
    }

    /// Copies `wanted`, paths or patterns, to `dest`: `/a/b` is called `_a_b` there. Of each path at most `cap` bytes,
    /// of all of them `all`. Each has a result; `dest` has nothing of a path before all of it is there.
    #[must_use]
    pub fn extract(&self, wanted: &[String], dest: &Path, (cap, all): (u64, u64)) -> Vec<Part> {
        let mut paths = Vec::new();
        for wanted in wanted {
            let found = self.expand(wanted.trim_end_matches('/'));
            if found.is_empty() {
                paths.push((wanted, None));
            }
            paths.extend(found.into_iter().map(|path| (wanted, Some(path))));
        }
        let mut known = std::collections::BTreeSet::new();
        paths.retain(|(_, path)| path.as_ref().is_none_or(|path| known.insert(path.clone())));
        let shown = |(wanted, path): &(&String, Option<PathBuf>)| {
            path.clone().unwrap_or_else(|| PathBuf::from(wanted))
        };
        let names: Vec<PathBuf> = paths.iter().map(shown).collect();
        let places = flat_names(names.iter().map(PathBuf::as_path));
        let mut left = all;
        let mut parts = Vec::new();
        for (((wanted, path), shown), place) in paths.iter().zip(&names).zip(places) {
            let (bytes, missing) = match path {
                None => (None, Some("there is no such file or folder on its root file system".to_owned())),
                Some(path) => {
                    let copied = self.copy(path, &dest.join(&place), cap.min(left));
                    left = left.saturating_sub(copied.bytes);
                    (copied.came.then_some(copied.bytes), copied.trouble())
                }
            };
            let how = bytes.map(|_| self.how.clone());
            let (path, source) = (place.into(), shown.display().to_string());
            parts.push(Part { path, source, wanted: Some((*wanted).clone()), how, bytes, missing });
        }
        parts
    }

    fn copy(&self, path: &Path, place: &Path, cap: u64) -> Copied {
        let Some(folder) = place.parent() else { return Copied::default() };
        let staging = std::fs::create_dir_all(folder)
            .and_then(|()| tempfile::Builder::new().prefix(".gathering-").tempdir_in(folder));
        let mut copied = match &staging {
            Ok(staging) => Copying::new(&*self.tree, cap).all(path, &staging.path().join("x")),
            Err(error) => return Copied::failed(format!("cannot keep it: {error}")),
        };
        if let (true, Ok(staging)) = (copied.came, &staging)
            && let Err(error) = std::fs::rename(staging.path().join("x"), place)
        {
            copied = Copied::failed(format!("cannot keep it: {error}"));
        }
        copied
    }

    /// What there is of a path whose parts may be patterns, as a shell would find it.
    fn expand(&self, wanted: &str) -> Vec<PathBuf> {
        if self.exists(Path::new(wanted)) {
            return vec![PathBuf::from(wanted)];
        }
        let options =
            glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
        let mut found = vec![PathBuf::from("/")];
        for part in wanted.split('/').filter(|part| !part.is_empty()) {
            let pattern = glob::Pattern::new(part).ok().filter(|_| part.contains(['*', '?', '[']));
            let mut next = Vec::new();
            for folder in found {
                let Some(pattern) = &pattern else {
                    next.push(folder.join(part));
                    continue;
                };
                let names = self.tree.names(&folder).unwrap_or_default().into_iter();
                let fits = |name: &PathBuf| pattern.matches_with(&name.to_string_lossy(), options);
                next.extend(names.filter(fits).map(|name| folder.join(name)));
            }
            next.sort();
            next.truncate(MOST);
            found = next;
        }
        found.retain(|path| self.exists(path));
        found
    }

    fn exists(&self, path: &Path) -> bool {
        self.tree.look(path).is_ok()
    }
}

/// Why a part of a disk cannot be read, for people.
fn contents(disk: &Opened, offset: u64, error: &Ext4Error) -> String {
    if let Ext4Error::Incompatible(_) | Ext4Error::Corrupt(_) = error {
        let mut magic = [0; 2];
        let is_ext = disk.read(offset + 0x438, &mut magic).is_ok() && magic == [0x53, 0xef];
        if is_ext {
            return error.to_string();
        }
    }
    let mut start = vec![0; START];
    match disk.read(offset, &mut start) {
        Ok(()) => format!("{} cannot be read without the machine", partitions::other_contents(&start)),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, process::Command};

    use super::*;
    use crate::artifact::offline::DiskFormat;

    fn run(program: &str, args: &[&str]) {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A file system of `kind` with what lies in `from`, written from `offset` on.
    fn file_system(kind: &str, from: &Path, image: &Path, offset: u64) {
        let options = format!("offset={offset}");
        let (from, image) = (from.display().to_string(), image.display().to_string());
        run("mke2fs", &["-q", "-t", kind, "-d", &from, "-E", &options, &image, "20m"]);
    }

    fn tree(base: &Path) -> PathBuf {
        let tree = base.join("tree");
        for folder in ["etc", "var/log/app/deep", "var/log/empty"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        fs::write(tree.join("etc/os-release"), "ID=debian\n").unwrap();
        for (name, text) in [("a.log", "a"), ("b c.log", "bb"), (".hidden.log", "h"), ("app/deep/ü f", "fff")]
        {
            fs::write(tree.join("var/log").join(name), text).unwrap();
        }
        let big: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(tree.join("var/log/big"), &big).unwrap();
        fs::File::create(tree.join("var/log/holes")).unwrap().set_len(5_000_000).unwrap();
        std::os::unix::fs::symlink("/var/log/app", tree.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", tree.join("var/log/app/out")).unwrap();
        tree
    }

    fn told(parts: &[Part]) -> BTreeMap<&str, (Option<u64>, &str)> {
        let told = |part: &'_ Part| {
            (part.bytes, part.missing.as_deref().unwrap_or_default().to_owned().leak() as &str)
        };
        parts.iter().map(|part| (part.path.to_str().unwrap(), told(part))).collect()
    }

    #[test]
    fn wanted_paths_come_from_a_chain_of_images_on_a_divided_disk() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        let tree = tree(base);
        // The first partition has no /etc; the second is the root.
        let raw = base.join("disk.raw");
        fs::File::create(&raw).unwrap().set_len(64 << 20).unwrap();
        file_system("ext4", &tree.join("var"), &raw, 1 << 20);
        file_system("ext4", &tree, &raw, 32 << 20);
        let mut boot = [0; 66];
        for (at, start) in [(0, 2048_u32), (16, 65_536)] {
            boot[at + 4] = 0x83;
            boot[at + 8..][..4].copy_from_slice(&start.to_le_bytes());
        }
        boot[64..].copy_from_slice(&[0x55, 0xaa]);
        std::os::unix::fs::FileExt::write_all_at(
            &fs::File::options().write(true).open(&raw).unwrap(),
            &boot,
            446,
        )
        .unwrap();
        // Compressed below, a layer above it that names it as the emulator would see it, one more beside that.
        let name = |name: &str| base.join(name).display().to_string();
        fs::create_dir(base.join("store")).unwrap();
        run("qemu-img", &["convert", "-c", "-O", "qcow2", &name("disk.raw"), &name("store/base.qcow2")]);
        let create = ["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b"];
        run("qemu-img", &[&create[..], &["/run/seen/base.qcow2", &name("one.qcow2"), "64M"]].concat());
        run("qemu-img", &[&create[..], &["one.qcow2", &name("two.qcow2"), "64M"]].concat());
        let seen = vec![(PathBuf::from("/run/seen"), base.join("store"))];
        let disk = Disk { image: base.join("two.qcow2"), format: DiskFormat::Qcow2, seen };

        let root = RootDisk::find(std::slice::from_ref(&disk), false).unwrap();
        assert_eq!(root.text("/etc/os-release").as_deref(), Some("ID=debian\n"));
        let wanted =
            ["/var/log/*.log", "/var/log/app/", "/link", "/var/log/big", "/var/log/holes", "/no", "/v*/x*"];
        let wanted = wanted.map(str::to_owned);
        let out = base.join("out");
        let parts = root.extract(&wanted, &out, (8_000_000, 100_000_000));
        let none = "there is no such file or folder on its root file system";
        let expected = [
            ("_var_log_a.log", (Some(1), "")),
            ("_var_log_b c.log", (Some(2), "")),
            ("_var_log_app", (Some(3), "")),
            ("_link", (Some(3), "")),
            ("_var_log_big", (Some(8_000_000), "of the 12000000 bytes of /var/log/big, the last 8000000")),
            ("_var_log_holes", (Some(5_000_000), "")),
            ("_no", (None, none)),
            ("_v*_x*", (None, none)),
        ];
        assert_eq!(told(&parts), BTreeMap::from(expected));
        assert_eq!(parts[0].how.as_deref(), Some("read from partition 2 of two.qcow2, without the machine"));
        assert_eq!(fs::read(out.join("_link/deep/ü f")).unwrap(), b"fff");
        assert_eq!(fs::read_link(out.join("_var_log_app/out")).unwrap(), Path::new("/etc/shadow"));
        let big = fs::read(tree.join("var/log/big")).unwrap();
        assert!(fs::read(out.join("_var_log_big")).unwrap() == big[4_000_000..]);
        let holes = fs::metadata(out.join("_var_log_holes")).unwrap();
        assert_eq!((holes.len(), holes.blocks() < 100), (5_000_000, true));
        let time = |path: PathBuf| fs::metadata(path).unwrap().mtime();
        assert_eq!(time(out.join("_var_log_a.log")), time(tree.join("var/log/a.log")));
        assert_eq!(fs::read_dir(&out).unwrap().count(), 6, "nothing else lies there");

        // All of it together is limited, too.
        let parts =
            root.extract(&["/var/log".to_owned(), "/etc".to_owned()], &base.join("less"), (u64::MAX, 20));
        assert!(parts[0].missing.as_ref().unwrap().contains("beyond the limit"), "{parts:?}");
        // A layer is missing.
        fs::remove_file(base.join("one.qcow2")).unwrap();
        let error = RootDisk::find(&[disk], false).map(drop).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("one.qcow2: "), "{error:?}");
    }

    #[rstest::rstest]
    #[case("ext2")]
    #[case("ext3")]
    #[case("ext4")]
    fn each_kind_of_ext_is_read(#[case] kind: &str) {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("disk.raw");
        file_system(kind, &tree(dir.path()), &image, 0);
        let disk = Disk { image, format: DiskFormat::Raw, seen: vec![] };
        let parts = RootDisk::find(&[disk], false).unwrap().extract(
            &["/var/log/big".to_owned()],
            &dir.path().join("out"),
            (u64::MAX, u64::MAX),
        );
        assert_eq!((parts[0].bytes, parts[0].missing.as_deref()), (Some(12_000_000), None));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let disk = |name: &str, offset: usize, magic: &[u8]| {
            let image = dir.path().join(name);
            let mut bytes = vec![0; 1 << 20];
            bytes[offset..][..magic.len()].copy_from_slice(magic);
            fs::write(&image, bytes).unwrap();
            Disk { image, format: DiskFormat::Raw, seen: vec![] }
        };
        let disks = [
            disk("x", 0, b"XFSB"),
            disk("b", 0x1_0040, b"_BHRfS_M"),
            disk("l", 512, b"LABELONE"),
            disk("n", 0, b""),
        ];
        let mut found = Vec::new();
        assert!(disks.iter().all(|disk| RootDisk::on(disk, &mut found).unwrap().is_none()));
        let text = found.join(", ");
        for part in
            ["x: xfs cannot be read", "b: btrfs cannot", "l: a volume of LVM cannot", "n: nothing cannot"]
        {
            assert!(text.contains(part), "{text}");
        }
        let text = RootDisk::find(&[], false).map(drop).unwrap_err().to_string();
        assert_eq!(text, "there are no disks");
    }
}
