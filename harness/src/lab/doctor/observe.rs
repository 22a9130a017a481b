//! Looks at the host; says nothing about it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::lab::{
    Hermetic, Lab, LabHost, LabSpec, Payload,
    boundary::{subordinate_range, user_name},
    paths::DAEMON_CONFIG,
};

/// The programs a lab or an image build runs, and Debian's package of each.
pub(super) const TOOLS: [(&str, &str); 10] = [
    ("libvirtd", "libvirt-daemon"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("dnsmasq", "dnsmasq-base"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("newuidmap", "uidmap"),
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("lz4", "lz4"),
];

/// Programs that a part of labs runs, Debian's package of each, and what that part is, with and without them.
pub(super) const WISHED: [(&str, &str, [&str; 2]); 2] = [
    (
        "pasta",
        "passt",
        [
            "nets can have a way out (`internet: true`)",
            "no net of a lab can have a way out (`internet: true`)",
        ],
    ),
    (
        "nft",
        "nftables",
        ["machines can be kept apart (`partition`)", "machines cannot be kept apart (`partition`)"],
    ),
];

/// What was seen on the host.
#[derive(Debug, Clone)]
pub struct Observations {
    /// Name of the user.
    pub user: String,
    /// Whether it is root.
    pub root: bool,
    /// Programs looked for, and where they are.
    pub tools: BTreeMap<String, Option<PathBuf>>,
    /// Whether the user has subordinate user and group ids.
    pub subordinate: (bool, bool),
    /// Limits on user namespaces that are set: path below `/proc/sys` and value.
    pub sysctls: BTreeMap<String, String>,
    /// Whether there is a folder over which a lab mounts its daemon's configuration.
    pub config_folder: bool,
    /// Whether a network tunnel device can be opened, or why not.
    pub tun: Result<(), String>,
    /// Whether `/dev/kvm` can be opened, or why not.
    pub kvm: Result<(), String>,
    /// Free space where labs and images live, in MiB.
    pub free_mib: Vec<(PathBuf, u64)>,
    /// What became of an attempt to make a boundary.
    pub boundary: Sandboxed,
}

/// What became of an attempt to make a boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandboxed {
    /// It worked.
    Works,
    /// It failed: message and advice as one line.
    Fails(String),
}

/// Looks at everything; the boundary is tried for real.
pub async fn observe(host: &LabHost) -> Observations {
    let uid = rustix::process::geteuid().as_raw();
    let range = |file| subordinate_range(file, uid).is_some();
    let open =
        |path| fs::File::options().read(true).write(true).open(path).map(drop).map_err(|e| e.to_string());
    let sysctl = |name: &str| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let sysctls = [
        "kernel/unprivileged_userns_clone",
        "user/max_user_namespaces",
        "kernel/apparmor_restrict_unprivileged_userns",
    ];
    Observations {
        user: user_name(uid),
        root: uid == 0,
        tools: TOOLS
            .iter()
            .map(|(tool, _)| tool)
            .chain(WISHED.iter().map(|(tool, ..)| tool))
            .map(|tool| ((*tool).to_owned(), find(tool)))
            .collect(),
        subordinate: (range("/etc/subuid"), range("/etc/subgid")),
        sysctls: sysctls.into_iter().filter_map(sysctl).collect(),
        config_folder: Path::new(DAEMON_CONFIG).is_dir(),
        tun: open("/dev/net/tun"),
        kvm: open("/dev/kvm"),
        free_mib: [&host.root, &host.cache].into_iter().filter_map(|dir| free_mib(dir)).collect(),
        boundary: try_boundary(host).await,
    }
}

/// Where a program is: the user's path, and the folders of system programs that an ordinary user's path lacks.
pub(in crate::lab) fn find(tool: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(tool))
        .find(|path| path.is_file())
}

fn free_mib(dir: &Path) -> Option<(PathBuf, u64)> {
    let existing = dir.ancestors().find(|d| d.is_dir())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some((dir.to_owned(), stat.f_bavail * stat.f_frsize / (1024 * 1024)))
}

async fn try_boundary(host: &LabHost) -> Sandboxed {
    let payload = Payload::Command { argv: vec!["true".into()], env: vec![], log: None, offline: true };
    let spec = LabSpec { payload, env: None, binds: vec![] };
    let result = match Hermetic::start(host, spec, Duration::from_secs(20)).await {
        Ok(lab) => lab.end(Duration::from_secs(5)).await,
        Err(error) => Err(error),
    };
    result.map_or_else(|error| Sandboxed::Fails(error.to_string()), |()| Sandboxed::Works)
}
