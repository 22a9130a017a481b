//! What system is on a disk, without starting it. Sees ext file systems, with or without a partition table around them.

use std::{fs::File, os::unix::fs::FileExt, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{error::SysprepError, ext::FileSystem};
use crate::base::process;

/// For reading a partition table.
const LIMIT: Duration = Duration::from_secs(60);
/// Where an ext file system has its mark, in bytes from its beginning, and the mark.
const MARK: (u64, [u8; 2]) = (1080, [0x53, 0xef]);

/// What was seen of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Where the root file system begins, in bytes; absent: it is not one that can be looked into.
    pub root: Option<u64>,
    /// Whether cloud-init runs when the system starts, where that can be seen.
    pub cloud_init: Option<bool>,
    /// The distribution, in the words of init files.
    pub distro: Option<String>,
    /// Whether it has the QEMU guest agent.
    pub agent: bool,
    /// Whether it has systemd.
    pub systemd: bool,
}

const CLOUD_INIT: &str = "/usr/bin/cloud-init";
const SWITCHED_OFF: &str = "/etc/cloud/cloud-init.disabled";
const AGENTS: [&str; 2] = ["/usr/sbin/qemu-ga", "/usr/bin/qemu-ga"];
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];

/// Looks at a raw image.
///
/// # Errors
/// It cannot be read.
pub async fn look(image: &Path) -> Result<Found, SysprepError> {
    for offset in places(image).await? {
        if !is_ext(image, offset)? {
            continue;
        }
        let system = FileSystem::at(image, offset);
        let paths = ["/etc/passwd", CLOUD_INIT, SWITCHED_OFF].into_iter().chain(AGENTS).chain(SYSTEMD);
        let paths: Vec<String> = paths.map(str::to_owned).collect();
        let there = system.stat(&paths).await?;
        let has = |path: &str| there.contains_key(path);
        if !has("/etc/passwd") {
            continue;
        }
        return Ok(Found {
            root: Some(offset),
            cloud_init: Some(has(CLOUD_INIT) && !has(SWITCHED_OFF)),
            distro: distro(&system).await?,
            agent: AGENTS.into_iter().any(has),
            systemd: SYSTEMD.into_iter().any(has),
        });
    }
    Ok(Found::default())
}

/// Where a file system may begin: at once, and where partitions do.
async fn places(image: &Path) -> Result<Vec<u64>, SysprepError> {
    let name = image.display().to_string();
    let argv = ["partx", "--raw", "--noheadings", "--output", "START", &name];
    let output = process::output(&argv, LIMIT).await?;
    // It fails where there is no table.
    let text = String::from_utf8_lossy(&output.stdout);
    let starts = text.lines().filter_map(|line| line.trim().parse::<u64>().ok()).map(|sector| sector * 512);
    Ok(std::iter::once(0).chain(starts).collect())
}

fn is_ext(image: &Path, offset: u64) -> Result<bool, SysprepError> {
    let cannot = |source| SysprepError::Io { what: "read", path: image.to_owned(), source };
    let mut mark = [0; 2];
    match File::open(image).map_err(cannot)?.read_exact_at(&mut mark, offset + MARK.0) {
        Ok(()) => Ok(mark == MARK.1),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(cannot(error)),
    }
}

async fn distro(system: &FileSystem) -> Result<Option<String>, SysprepError> {
    // The first is a link to one of the others on most systems.
    for path in ["/usr/lib/os-release", "/etc/os-release", "/etc/redhat-release"] {
        let text = system.read(path).await?;
        if let Some(name) = named(&String::from_utf8_lossy(&text)) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The name that init files have for a system which says this of itself.
fn named(release: &str) -> Option<String> {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches('"').to_owned())
    };
    let Some(id) = value("ID") else {
        return release.contains("release 6").then(|| "el6".to_owned());
    };
    let version = value("VERSION_ID").unwrap_or_default();
    let major = version.split('.').next().unwrap_or_default();
    Some(match id.as_str() {
        "centos" | "rhel" | "rocky" | "almalinux" | "ol" | "scientific" => format!("el{major}"),
        "fedora" => format!("fc{major}"),
        _ => id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("NAME=\"CentOS\"\nVERSION_ID=\"7\"\nID=\"centos\"\n", Some("el7"))]
    #[case("ID=rhel\nVERSION_ID=8.4\n", Some("el8"))]
    #[case("ID=fedora\nVERSION_ID=25\n", Some("fc25"))]
    #[case("ID=debian\nVERSION_ID=\"12\"\n", Some("debian"))]
    #[case("CentOS release 6.10 (Final)\n", Some("el6"))]
    #[case("", None)]
    fn systems_have_the_names_of_init_files(#[case] release: &str, #[case] name: Option<&str>) {
        assert_eq!(named(release).as_deref(), name);
    }
}
