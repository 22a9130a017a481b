//! Lets the user whom an existing daemon runs emulators as reach an environment's files, and nobody else: an entry of
//! its own in the access list of each. Where the file system has no such lists, everybody is let in, as the plain mode
//! can say no less.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::XattrFlags, io::Errno};

use super::{
    acl::{Acl, READ, SEARCH, Subject, WRITE},
    boundary::user_name,
    error::{LabError, host},
};

const LIST: &str = "system.posix_acl_access";

/// Whom a daemon runs emulators as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulatorUser {
    /// Its number.
    pub uid: u32,
    /// Its groups' numbers.
    pub groups: Vec<u32>,
}

impl EmulatorUser {
    /// The user `uid` with group `gid` and what `/etc/group` says.
    #[must_use]
    pub fn new(uid: u32, gid: u32) -> Self {
        let all = fs::read_to_string("/etc/group").unwrap_or_default();
        let mut groups = vec![gid];
        groups.extend(groups_of(&all, &user_name(uid)));
        Self { uid, groups }
    }

    fn reaches(&self, path: &Path, rights: u16) -> io::Result<bool> {
        let meta = fs::metadata(path)?;
        let who = Subject { uid: self.uid, groups: &self.groups };
        Ok(self.uid == 0 || list(path, meta.mode())?.allows(&who, (meta.uid(), meta.gid()), rights))
    }

    /// The folders on the way to `path` which it may not pass, the outermost first.
    ///
    /// # Errors
    /// A folder cannot be looked at.
    pub fn kept_out_by(&self, path: &Path) -> Result<Vec<PathBuf>, LabError> {
        let mut closed = Vec::new();
        for folder in path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
            if !self.reaches(folder, SEARCH).map_err(host("look at", folder))? {
                closed.insert(0, folder.to_owned());
            }
        }
        Ok(closed)
    }

    /// Lets it read and write `file`, and us too, whomever the daemon makes its owner.
    ///
    /// # Errors
    /// The file is somebody else's, or gone.
    pub fn admit(&self, file: &Path) -> Result<(), LabError> {
        let us = rustix::process::geteuid().as_raw();
        self.grant(file, &[self.uid, us], READ | WRITE)
    }

    /// Lets it pass `folder`.
    ///
    /// # Errors
    /// As [`EmulatorUser::admit`].
    pub fn let_pass(&self, folder: &Path) -> Result<(), LabError> {
        self.grant(folder, &[self.uid], SEARCH)
    }

    fn grant(&self, path: &Path, users: &[u32], rights: u16) -> Result<(), LabError> {
        if self.uid == rustix::process::geteuid().as_raw() || self.uid == 0 {
            return Ok(());
        }
        let failed = |e: io::Error| host("open for the emulator's user", path)(e);
        let mode = fs::metadata(path).map_err(failed)?.mode();
        let mut acl = list(path, mode).map_err(failed)?;
        let before = acl.clone();
        users.iter().for_each(|&uid| acl.grant(uid, rights));
        if acl == before {
            return Ok(());
        }
        match rustix::fs::setxattr(path, LIST, &acl.bytes(), XattrFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP) => {
                let open = fs::Permissions::from_mode((mode & 0o7777) | u32::from(rights));
                fs::set_permissions(path, open).map_err(failed)
            }
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

fn list(path: &Path, mode: u32) -> io::Result<Acl> {
    let mut bytes = vec![0; 64 * 1024];
    match rustix::fs::getxattr(path, LIST, &mut bytes) {
        Ok(len) => {
            let bytes = bytes.get(..len).unwrap_or_default();
            Acl::parse(bytes).ok_or_else(|| io::Error::other("its access list cannot be read"))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(Acl::of_mode(mode)),
        Err(errno) => Err(errno.into()),
    }
}

fn groups_of(group: &str, name: &str) -> Vec<u32> {
    let member = |line: &str| {
        let mut parts = line.split(':').skip(2);
        let gid = parts.next()?.parse().ok()?;
        parts.next()?.split(',').any(|member| member == name).then_some(gid)
    };
    group.lines().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    #[test]
    fn groups_are_read() {
        let group = "kvm:x:106:\ndisk:x:6:libvirt-qemu,ada\nodd\nnames:x:7:libvirt-qemu2\n";
        assert_eq!(groups_of(group, "libvirt-qemu"), [6]);
    }

    /// Whether the user really can: asked of the kernel by a process of that user. Only root can ask.
    fn can(uid: u32, script: &str) -> bool {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]).uid(uid).gid(uid).current_dir("/");
        command.status().unwrap().success()
    }

    #[test]
    fn the_emulators_user_is_let_in_and_nobody_else() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let images = dir.path().join("prefix/images");
        fs::create_dir_all(&images).unwrap();
        let disk = images.join("disk");
        fs::write(&disk, "x").unwrap();
        for path in [dir.path(), &dir.path().join("prefix"), &images] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::set_permissions(&disk, fs::Permissions::from_mode(0o600)).unwrap();
        let emulator = EmulatorUser { uid: 64_055, groups: vec![64_055] };
        let closed = emulator.kept_out_by(&disk).unwrap();
        assert_eq!(closed, [dir.path().to_owned(), dir.path().join("prefix"), images.clone()]);
        for folder in &closed {
            emulator.let_pass(folder).unwrap();
        }
        assert_eq!(emulator.kept_out_by(&disk).unwrap(), Vec::<PathBuf>::new());
        emulator.admit(&disk).unwrap();
        emulator.admit(&disk).unwrap();
        assert!(emulator.reaches(&disk, READ | WRITE).unwrap());
        if rustix::process::geteuid().is_root() {
            let script = format!("echo y >> {}", disk.display());
            assert!(can(64_055, &script) && !can(64_056, &script));
        }
    }
}
