//! Every path of a hermetic lab, and who deletes it after a SIGKILL. Pure.
//!
//! | path | what | deleted by |
//! | --- | --- | --- |
//! | `ROOT/<id>/` | the lab's runtime folder, outside | the warden; when it was killed too, the owner or the next start |
//! | `ROOT/<id>/lock` | held by the warden while it lives | with the folder |
//! | `ROOT/<id>/log/`, `sock/`, `env/` | logs, sockets, disks and consoles; inside at `/run/polder` | with the folder |
//! | `ROOT/<id>/network` | where `pasta` alone sees the lab's network | with the folder; what is mounted there, the kernel |
//! | a prefix's folder, when the lab was given one | bound over `/run/polder/env` | nobody: it outlives labs; the verb `destroy` |
//! | `/run/polder/store`, `/run/polder/templates`, `/run/polder/checkpoints`, `/run/polder/files/*` | binds inside | the kernel, with the mount namespace |
//! | `/run`, `/etc/libvirt`, `/var/lib/libvirt`, `/var/log/libvirt`, `/dev`, `/tmp` inside | memory file systems | the kernel |
//! | `CACHE/capabilities-*/` | the emulator's capabilities, shared between labs | kept on purpose |

use std::path::{Path, PathBuf};

/// Where the daemon looks for its configuration: a lab mounts its own over it.
pub(super) const DAEMON_CONFIG: &str = "/etc/libvirt";
/// Inside a lab: the runtime folder.
pub const INSIDE: &str = "/run/polder";
/// Inside a lab: disks, consoles and keys of the environment.
pub const INSIDE_ENV: &str = "/run/polder/env";
/// Inside a lab: the image store, read-only.
pub const INSIDE_STORE: &str = "/run/polder/store";
/// Inside a lab: the template store, read-only.
pub const INSIDE_TEMPLATES: &str = "/run/polder/templates";
/// Inside a lab: the store of checkpoints.
pub const INSIDE_CHECKPOINTS: &str = "/run/polder/checkpoints";
/// Inside a lab: single files of the host that machines use.
pub const INSIDE_FILES: &str = "/run/polder/files";

/// The longest runtime folder that leaves room for `/sock/libvirt-admin-sock` in the 107 bytes of a Unix socket path.
pub const LONGEST_FOLDER: usize = 107 - "/sock/libvirt-admin-sock".len();

/// A lab's runtime folder as seen outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabPaths {
    /// The folder itself.
    pub folder: PathBuf,
}

impl LabPaths {
    /// The lock its warden holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }
    /// Who the warden is.
    #[must_use]
    pub fn warden(&self) -> PathBuf {
        self.folder.join("warden.json")
    }
    /// Logs of warden, process 1, daemon and domains.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
    /// The daemon's log.
    #[must_use]
    pub fn libvirtd_log(&self) -> PathBuf {
        self.log().join("libvirtd.log")
    }
    /// What leads out of the lab says here why it cannot.
    #[must_use]
    pub fn way_out_log(&self) -> PathBuf {
        self.log().join("pasta.log")
    }
    /// The log of a domain's emulator.
    #[must_use]
    pub fn emulator_log(&self, domain: &str) -> PathBuf {
        self.log().join("qemu").join(format!("{domain}.log"))
    }
    /// The name by which what leads out finds the lab's network: seen by that alone, empty for all others.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        self.folder.join("network")
    }
    /// Sockets.
    #[must_use]
    pub fn sock(&self) -> PathBuf {
        self.folder.join("sock")
    }
    /// The daemon's socket.
    #[must_use]
    pub fn libvirt_sock(&self) -> PathBuf {
        self.sock().join("libvirt-sock")
    }
    /// The socket on which process 1 answers.
    #[must_use]
    pub fn control_sock(&self) -> PathBuf {
        self.sock().join("lab.sock")
    }
    /// Disks, consoles and keys of the environment.
    #[must_use]
    pub fn env(&self) -> PathBuf {
        self.folder.join("env")
    }
    /// Standard output of a command that has no log elsewhere.
    #[must_use]
    pub fn command_out(&self) -> PathBuf {
        self.log().join("command.out")
    }
    /// Standard error of a command that has no log elsewhere.
    #[must_use]
    pub fn command_err(&self) -> PathBuf {
        self.log().join("command.err")
    }
    /// The folders made with it, parents first.
    #[must_use]
    pub fn made(&self) -> Vec<PathBuf> {
        let dirs = ["log", "log/qemu", "sock", "env", "store", "templates", "checkpoints", "files"];
        dirs.iter().map(|d| self.folder.join(d)).collect()
    }
}

/// Paths as the emulator of a lab sees them, known before the lab is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The environment's folder.
    pub env: PathBuf,
    /// The store of guest images.
    pub images: PathBuf,
    /// The store of templates.
    pub templates: PathBuf,
    /// The store of checkpoints.
    pub checkpoints: PathBuf,
    /// Folder of the single files of the host that machines use; absent: they are seen where they are.
    pub files: Option<PathBuf>,
}

impl View {
    /// As every hermetic lab has it.
    #[must_use]
    pub fn hermetic() -> Self {
        Self {
            env: INSIDE_ENV.into(),
            images: INSIDE_STORE.into(),
            templates: INSIDE_TEMPLATES.into(),
            checkpoints: INSIDE_CHECKPOINTS.into(),
            files: Some(INSIDE_FILES.into()),
        }
    }

    /// The paths of the host as they are.
    #[must_use]
    pub fn host(env: &Path, images: &Path, templates: &Path, checkpoints: &Path) -> Self {
        Self {
            env: env.into(),
            images: images.into(),
            templates: templates.into(),
            checkpoints: checkpoints.into(),
            files: None,
        }
    }
}

/// The folder of all labs of a user: `POLDER_RUNTIME_DIR`, else one below `/var/tmp`, which is on disk.
#[must_use]
pub fn runtime_root(env: &dyn Fn(&str) -> Option<String>, uid: u32) -> PathBuf {
    match env("POLDER_RUNTIME_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => Path::new("/var/tmp").join(format!("polder-{uid}")),
    }
}

/// The folder for everything kept between runs: `POLDER_CACHE_DIR`, else `polder` in the user's cache folder.
#[must_use]
pub fn cache_root(env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name: &str| env(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    set("POLDER_CACHE_DIR")
        // A relative one is to be ignored, says the specification of these variables.
        .or_else(|| set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).map(|dir| dir.join("polder")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/polder")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/polder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(&[], "/var/cache/polder")]
    #[case(&[("HOME", "/h")], "/h/.cache/polder")]
    #[case(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/x/polder")]
    #[case(&[("HOME", "/h"), ("XDG_CACHE_HOME", "x")], "/h/.cache/polder")]
    #[case(&[("HOME", "/h"), ("POLDER_CACHE_DIR", "/p")], "/p")]
    #[case(&[("HOME", "/h"), ("POLDER_CACHE_DIR", "")], "/h/.cache/polder")]
    fn cache_root_follows_the_environment(#[case] vars: &[(&str, &str)], #[case] expected: &str) {
        let env = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        assert_eq!(cache_root(&env), Path::new(expected));
    }

    #[test]
    fn sockets_fit() {
        let folder = PathBuf::from("/".repeat(LONGEST_FOLDER));
        let longest = folder.into_os_string().len() + "/sock/libvirt-admin-sock".len();
        assert_eq!(longest, 107);
    }
}
