//! What a guest image is made of, as data, and the digest that names the result. Does not know how it is built.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::info::Abilities;

/// Changes when the layout of a built image or the meaning of its files does.
const FORMAT: u32 = 1;

/// The script that builds every image; part of every digest.
pub(crate) const BUILD_SCRIPT: &str = include_str!("build.sh");
/// First process of every guest; part of every digest.
pub(crate) const INITRD_INIT: &str = include_str!("guest/initrd/init");
/// Kernel modules the initrd always loads, in this order (their dependencies come by themselves).
pub(crate) const INITRD_LOADED: [&str; 5] =
    ["virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng"];
/// Kernel modules the initrd loads when the root disk is a scsi one.
pub(crate) const INITRD_SCSI: [&str; 2] = ["virtio_scsi", "sd_mod"];

/// How to make a guest image from Debian packages.
///
/// Projects make their own by changing a copy of one of ours:
///
/// ```
/// use polder::image::{Recipe, recipe};
/// let debian = recipe("debian12").unwrap();
/// let mut router = Recipe { name: "debian12-frr".into(), ..debian.clone() };
/// router.packages.push("frr".into());
/// assert_ne!(router.digest(), debian.digest());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Name, such as `debian12`.
    pub name: String,
    /// Debian packages; what they depend on comes with them, what they recommend does not.
    pub packages: Vec<String>,
    /// What of the packages gets into the image, and how.
    pub userland: Userland,
    /// Kernel modules in the image, as paths below `/lib/modules/VERSION` (folders or files).
    pub modules: Vec<String>,
    /// Files added to, or replacing, what the packages brought.
    pub files: Vec<GuestFile>,
    /// Kernel command line; a machine's own parameters are appended.
    pub cmdline: String,
    /// Least memory in MiB with which it boots.
    pub min_memory_mib: u32,
    /// Size of the root disk in bytes, as the guest sees it.
    pub disk_size: u64,
    /// What its guests can do.
    pub abilities: Abilities,
}

/// What of a recipe's packages gets into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Userland {
    /// A busybox system: only these paths (without leading `/`) and the libraries of the programs among them.
    Busybox(Vec<String>),
    /// A Debian system: the packages are installed the way Debian does it.
    Debian,
}

/// One file of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFile {
    /// Path in the guest without leading `/`, below `usr/` where Debian has moved things there.
    pub path: String,
    /// What is there.
    pub content: Content,
}

impl GuestFile {
    /// A file everyone may read.
    #[must_use]
    pub fn text(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), content: Content::Text(text.to_owned()) }
    }

    /// A file everyone may run.
    #[must_use]
    pub fn program(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), content: Content::Program(text.to_owned()) }
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(path: &str, target: &str) -> Self {
        Self { path: path.to_owned(), content: Content::Link(target.to_owned()) }
    }
}

/// What a [`GuestFile`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// A file of mode 0644.
    Text(String),
    /// A file of mode 0755.
    Program(String),
    /// A symbolic link to this target.
    Link(String),
}

impl Recipe {
    /// Digest over the recipe and everything else of ours that decides what is built; 64 hexadecimal digits.
    ///
    /// The versions of the packages are not in it: an image stays what it was until the recipe changes or it is pruned.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(FORMAT.to_le_bytes());
        for part in [BUILD_SCRIPT, INITRD_INIT, &INITRD_LOADED.join(" "), &INITRD_SCSI.join(" ")] {
            hasher.update(part);
            hasher.update([0]);
        }
        // Debug is used rather than a serialization because it cannot fail.
        hasher.update(format!("{self:?}"));
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The name of the image's folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("{}-{}", self.name, self.digest().get(..12).unwrap_or_default())
    }

    /// The first thing wrong with the recipe, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        let word = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_alphanumeric())
                && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-._:=~/".contains(c))
        };
        let inside = |path: &str| {
            !path.is_empty()
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !path.contains(|c: char| c.is_control())
        };
        let kept: &[String] = match &self.userland {
            Userland::Busybox(kept) if kept.is_empty() => {
                return Some("nothing is kept of its packages".to_owned());
            }
            Userland::Busybox(kept) => kept,
            Userland::Debian => &[],
        };
        if !word(&self.name) || self.name.contains('/') {
            return Some(format!("`{}` is not a name for an image", self.name));
        }
        if self.packages.is_empty() {
            return Some("it has no packages".to_owned());
        }
        if let Some(package) = self.packages.iter().find(|package| !word(package)) {
            return Some(format!("`{package}` is not the name of a package"));
        }
        let paths = self.files.iter().map(|file| &file.path).chain(kept).chain(&self.modules);
        if let Some(path) = paths.into_iter().find(|path| !inside(path)) {
            return Some(format!("`{path}` is not a path inside the guest, without the leading slash"));
        }
        if self.disk_size < 16 << 20 || !self.disk_size.is_multiple_of(4096) {
            return Some(format!(
                "a disk of {} bytes is too small or not a multiple of 4096",
                self.disk_size
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            name: "tiny".into(),
            packages: vec!["dropbear-bin".into()],
            userland: Userland::Busybox(vec!["usr/sbin/dropbear".into()]),
            modules: vec!["kernel/net".into()],
            files: vec![GuestFile::text("etc/motd", "hello\n")],
            cmdline: "quiet".into(),
            min_memory_mib: 64,
            disk_size: 64 << 20,
            abilities: Abilities::default(),
        }
    }

    #[test]
    fn every_part_changes_the_digest_and_nothing_else_does() {
        let digest = recipe().digest();
        assert_eq!(digest.len(), 64);
        assert_eq!(digest, recipe().digest());
        let changes: [fn(&mut Recipe); 6] = [
            |r| r.name.push('x'),
            |r| r.packages.push("frr".into()),
            |r| r.userland = Userland::Debian,
            |r| r.files = vec![GuestFile::program("etc/motd", "hello\n")],
            |r| r.cmdline.push('x'),
            |r| r.disk_size += 4096,
        ];
        for change in changes {
            let mut changed = recipe();
            change(&mut changed);
            assert_ne!(changed.digest(), digest, "{changed:?}");
        }
    }

    #[rstest::rstest]
    #[case(|r: &mut Recipe| r.name = "../x".into(), "`../x` is not a name")]
    #[case(|r: &mut Recipe| r.name = "a/b".into(), "`a/b` is not a name")]
    #[case(|r: &mut Recipe| r.packages = vec!["--config=x".into()], "`--config=x` is not the name of a package")]
    #[case(|r: &mut Recipe| r.packages = vec!["a,b".into()], "`a,b` is not the name of a package")]
    #[case(|r: &mut Recipe| r.packages.clear(), "no packages")]
    #[case(|r: &mut Recipe| r.files[0].path = "/etc/motd".into(), "`/etc/motd` is not a path inside")]
    #[case(|r: &mut Recipe| r.files[0].path = "etc/../../x".into(), "is not a path inside")]
    #[case(|r: &mut Recipe| r.modules = vec!["a\nb".into()], "is not a path inside")]
    #[case(|r: &mut Recipe| r.userland = Userland::Busybox(vec![]), "nothing is kept")]
    #[case(|r: &mut Recipe| r.disk_size = 1000, "a disk of 1000 bytes")]
    fn wrong_recipes_say_what_is_wrong(#[case] change: fn(&mut Recipe), #[case] expected: &str) {
        let mut wrong = recipe();
        assert_eq!(wrong.problem(), None);
        change(&mut wrong);
        let problem = wrong.problem().unwrap();
        assert!(problem.contains(expected), "{problem}");
    }
}
