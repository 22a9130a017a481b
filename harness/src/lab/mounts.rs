//! What process 1 mounts, in order: the view of the file system everything inside a lab has.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::CWD,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags},
};

use super::{
    paths::{DAEMON_CONFIG, INSIDE, LabPaths},
    spec::{Bind, LabSpec, Payload},
    wire::StepError,
};

/// Device nodes of the host that a lab sees.
const DEVICES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "net/tun"];

/// Mounts everything `spec` needs.
pub(super) fn mount_all(spec: &LabSpec, paths: &LabPaths) -> Result<(), StepError> {
    // Opened before anything is hidden: what they name may lie below `/run` or `/tmp`.
    let binds = spec.all_binds();
    let trees = open_binds(&binds)?;
    match &spec.payload {
        Payload::Libvirtd { kvm, capability_cache, .. } => {
            let own = open_tree(&paths.folder)?;
            let cache = open_tree(capability_cache)?;
            let devices = open_devices(*kvm)?;
            fresh("proc", "/proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC)?;
            // The old sysfs shows the network of whoever mounted it: without this a lab of root would change the
            // host's bridges through it.
            fresh("sysfs", "/sys", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC)?;
            memory("/run")?;
            memory("/tmp")?;
            memory(DAEMON_CONFIG).map_err(|e| e.advise("install the package `libvirt-clients`"))?;
            // Whole, because libvirt's own folders need not exist on the host and nothing inside needs the others.
            for hidden in ["/var/lib", "/var/log", "/var/cache"] {
                memory(hidden)?;
            }
            attach(own, Path::new(INSIDE), true)?;
            attach(cache, Path::new("/var/cache/libvirt"), false)?;
            attach(
                open_tree(&Path::new(INSIDE).join("log/qemu"))?,
                Path::new("/var/log/libvirt/qemu"),
                false,
            )?;
            dev(devices)?;
        }
        Payload::Command { offline, .. } => {
            fresh("proc", "/proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC)?;
            if *offline {
                fresh("sysfs", "/sys", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC)?;
                // With a network, its resolver's configuration may be in there.
                memory("/run")?;
            }
            memory("/tmp")?;
        }
    }
    for (bind, tree) in binds.iter().zip(trees) {
        attach(tree, &bind.to, fs::metadata(&bind.to).is_err())?;
        if !bind.writable {
            read_only(&bind.to)?;
        }
    }
    Ok(())
}

fn open_binds(binds: &[Bind]) -> Result<Vec<OwnedFd>, StepError> {
    binds.iter().map(|bind| open_tree(&bind.from)).collect()
}

fn open_tree(path: &Path) -> Result<OwnedFd, StepError> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, path, flags)
        .map_err(|e| StepError::new(format!("open {}", path.display()), e))
}

fn open_devices(kvm: bool) -> Result<Vec<(PathBuf, OwnedFd)>, StepError> {
    let names = DEVICES.into_iter().chain(kvm.then_some("kvm"));
    names
        .map(|name| {
            let path = Path::new("/dev").join(name);
            let tree = open_tree(&path).map_err(|e| match name {
                "net/tun" => e.advise("load the module: modprobe tun"),
                _ => e,
            })?;
            Ok((path, tree))
        })
        .collect()
}

fn step(what: &'static str, target: &Path) -> impl FnOnce(io::Error) -> StepError {
    let name = format!("{what} {}", target.display());
    move |e| StepError::new(name, e)
}

fn fresh(kind: &str, target: &str, flags: MountFlags) -> Result<(), StepError> {
    rustix::mount::mount(kind, target, kind, flags, None)
        .map_err(|e| step("mount", Path::new(target))(e.into()))
        .map_err(|e| {
            e.advise(
                "in a container, /proc and /sys must not be masked (run it with `--privileged` or its like)",
            )
        })
}

fn memory(target: &str) -> Result<(), StepError> {
    rustix::mount::mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755"))
        .map_err(|e| step("mount a memory file system on", Path::new(target))(e.into()))
}

/// Puts `tree` at `target`, which is made first when `make` says so or a parent is missing.
fn attach(tree: OwnedFd, target: &Path, make: bool) -> Result<(), StepError> {
    if make {
        let is_dir =
            rustix::fs::fstat(&tree).is_ok_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir());
        let made = if is_dir {
            fs::create_dir_all(target)
        } else {
            target
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::File::create(target).map(drop))
        };
        made.map_err(step("make the mount point", target))?;
    } else if fs::metadata(target).is_err() {
        fs::create_dir_all(target).map_err(step("make the mount point", target))?;
    }
    rustix::mount::move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|e| step("bind", target)(e.into()))
}

/// Makes a bind read-only, keeping the flags a user namespace may not take away.
fn read_only(target: &Path) -> Result<(), StepError> {
    let now = rustix::fs::statvfs(target).map_err(|e| step("look at", target)(e.into()))?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (has, flag) in [
        (rustix::fs::StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (rustix::fs::StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (rustix::fs::StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (rustix::fs::StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (rustix::fs::StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if now.contains(has) {
            flags |= flag;
        }
    }
    rustix::mount::mount_remount(target, flags, c"").map_err(|e| step("make read-only", target)(e.into()))
}

/// A `/dev` with nothing in it but what the daemon and the emulator need.
fn dev(devices: Vec<(PathBuf, OwnedFd)>) -> Result<(), StepError> {
    memory("/dev")?;
    for (path, tree) in devices {
        attach(tree, &path, true)?;
    }
    for (dir, kind, options) in
        [("/dev/pts", "devpts", c"newinstance,ptmxmode=0666,mode=620"), ("/dev/shm", "tmpfs", c"mode=1777")]
    {
        let made = fs::create_dir_all(dir);
        made.map_err(step("make the mount point", Path::new(dir)))?;
        rustix::mount::mount(kind, dir, kind, MountFlags::NOSUID | MountFlags::NOEXEC, Some(options))
            .map_err(|e| step("mount", Path::new(dir))(e.into()))?;
    }
    for (link, to) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        let link = Path::new("/dev").join(link);
        std::os::unix::fs::symlink(to, &link).map_err(step("link", &link))?;
    }
    Ok(())
}
