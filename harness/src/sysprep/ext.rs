//! Changes of files in an ext2, ext3 or ext4 file system, without mounting it: nobody needs to be root for it. Knows raw images
//! only, with the file system at some place in them.

use std::{
    collections::BTreeMap,
    io::Write,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{MemfdFlags, memfd_create};

use super::{
    error::SysprepError,
    plan::{Action, edited},
};
use crate::base::process;

/// For one look, change or check.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Carries out `actions` in the file system that begins at the byte `offset` of `image`.
///
/// # Errors
/// The file system is not one, is full or damaged, or lacks a file that has to be there; what became of it then is not
/// to be used.
pub async fn apply(image: &Path, offset: u64, actions: &[Action]) -> Result<(), SysprepError> {
    let system = FileSystem::at(image, offset);
    // What was not written back yet when the image was made is not to be lost.
    system.check().await?;
    let mut change = Change::begin(&system, actions).await?;
    for action in actions {
        change.add(action).await?;
    }
    change.write().await?;
    system.check().await
}

/// Where a file system is.
pub(super) struct FileSystem {
    image: PathBuf,
    /// As the programs for it take it.
    place: String,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode {
    is_file: bool,
    mode: u32,
    user: u32,
    group: u32,
}

impl FileSystem {
    pub(super) fn at(image: &Path, offset: u64) -> Self {
        let place = format!("{}?offset={offset}", image.display());
        Self { image: image.to_owned(), place }
    }

    /// Those of `paths` that are there.
    pub(super) async fn stat(&self, paths: &[String]) -> Result<BTreeMap<String, Inode>, SysprepError> {
        let script: String = paths.iter().map(|path| format!("stat \"{path}\"\n")).collect();
        let script = Memory::of(script.as_bytes())?;
        let output = process::output(&[&tool("debugfs"), "-f", &script.path(), &self.place], LIMIT).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !text.contains("debugfs: ") {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(self.error("read", said));
        }
        let parts = text.split("debugfs: stat ").skip(1);
        Ok(parts.zip(paths).filter_map(|(part, path)| Some((path.clone(), inode(part)?))).collect())
    }

    /// The content of a file.
    pub(super) async fn read(&self, path: &str) -> Result<Vec<u8>, SysprepError> {
        let cat = format!("cat \"{path}\"");
        Ok(process::output(&[&tool("debugfs"), "-R", &cat, &self.place], LIMIT).await?.stdout)
    }

    /// Mends what can be mended without a question.
    async fn check(&self) -> Result<(), SysprepError> {
        let output = process::output(&[&tool("e2fsck"), "-fp", &self.place], LIMIT).await?;
        match output.status.code() {
            Some(0 | 1) => Ok(()),
            _ => {
                let said = [output.stdout, output.stderr]
                    .map(|text| String::from_utf8_lossy(&text).trim().to_owned());
                Err(self.error("checked", said.join(" ").trim().to_owned()))
            }
        }
    }

    fn error(&self, what: &'static str, said: String) -> SysprepError {
        SysprepError::FileSystem { image: self.image.clone(), what, said }
    }
}

/// What `stat` of debugfs says of a file.
fn inode(said: &str) -> Option<Inode> {
    let mut words = said.split_whitespace();
    let mut after = |word: &str| {
        words.by_ref().find(|have| *have == word)?;
        words.next().map(str::to_owned)
    };
    let is_file = after("Type:")? == "regular";
    let mode = u32::from_str_radix(&after("Mode:")?, 8).ok()?;
    let (user, group) = (after("User:")?.parse().ok()?, after("Group:")?.parse().ok()?);
    Some(Inode { is_file, mode: mode & 0o7777, user, group })
}

/// A change that is being put together: everything is looked up before anything is written.
struct Change<'a> {
    system: &'a FileSystem,
    there: BTreeMap<String, Inode>,
    folders: Vec<(String, u32)>,
    /// Contents of files when it is done; nothing for those that are removed.
    files: BTreeMap<String, Option<(Inode, Vec<u8>)>>,
}

impl<'a> Change<'a> {
    async fn begin(system: &'a FileSystem, actions: &[Action]) -> Result<Self, SysprepError> {
        let mut paths: Vec<String> = actions.iter().flat_map(|action| above(path(action))).collect();
        paths.sort_unstable();
        paths.dedup();
        let there = system.stat(&paths).await?;
        Ok(Self { system, there, folders: Vec::new(), files: BTreeMap::new() })
    }

    async fn add(&mut self, action: &Action) -> Result<(), SysprepError> {
        match action {
            Action::Folder { path, mode } => self.folder(path, *mode),
            Action::File { path, mode, content } => self.put(path, new(*mode), content.clone().into_bytes()),
            Action::Line { path, mode, line } => {
                let (inode, mut content) = self.now(path).await?.unwrap_or((new(*mode), Vec::new()));
                if !content.is_empty() && !content.ends_with(b"\n") {
                    content.push(b'\n');
                }
                content.extend(line.bytes().chain([b'\n']));
                self.put(path, inode, content);
            }
            Action::Edit { path, after, until, text, needed } => {
                let found = self.now(path).await?.and_then(|(inode, content)| {
                    let content = edited(std::str::from_utf8(&content).ok()?, after, *until, text)?;
                    Some((inode, content))
                });
                match found {
                    Some((inode, content)) => self.put(path, inode, content.into_bytes()),
                    None if *needed => {
                        let what = format!("line `{after}` in {path}");
                        return Err(SysprepError::Missing { image: self.system.image.clone(), what });
                    }
                    None => {}
                }
            }
            Action::Remove { path } => drop(self.files.insert(path.clone(), None)),
        }
        Ok(())
    }

    /// A file as it will be.
    async fn now(&self, path: &str) -> Result<Option<(Inode, Vec<u8>)>, SysprepError> {
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        match self.there.get(path).filter(|inode| inode.is_file) {
            Some(inode) => Ok(Some((*inode, self.system.read(path).await?))),
            None => Ok(None),
        }
    }

    fn folder(&mut self, path: &str, mode: u32) {
        let missing: Vec<String> =
            above(path).into_iter().filter(|path| !self.there.contains_key(path)).collect();
        for folder in missing {
            // Those on the way to it are everybody's.
            let mode = if folder == path { mode } else { 0o755 };
            self.there.insert(folder.clone(), Inode { is_file: false, ..new(mode) });
            self.folders.push((folder, mode));
        }
    }

    fn put(&mut self, path: &str, inode: Inode, content: Vec<u8>) {
        if let Some((folder, _)) = path.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) {
            self.folder(folder, 0o755);
        }
        self.files.insert(path.to_owned(), Some((inode, content)));
    }

    async fn write(self) -> Result<(), SysprepError> {
        let mut script = String::new();
        let mut contents = Vec::new();
        let mut line = |text: String| script += &format!("{text}\n");
        for (folder, mode) in &self.folders {
            line(format!("mkdir \"{folder}\""));
            line(format!("set_inode_field \"{folder}\" mode 04{mode:04o}"));
        }
        for (path, file) in &self.files {
            if self.there.contains_key(path) {
                line(format!("rm \"{path}\""));
            }
            let Some((Inode { mode, user, group, .. }, content)) = file else { continue };
            let memory = Memory::of(content)?;
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            // It writes into the folder it is in, whatever the path says.
            line(format!("cd \"{folder}/\""));
            line(format!("write {} \"{name}\"", memory.path()));
            let fields =
                [("mode", format!("010{mode:04o}")), ("uid", user.to_string()), ("gid", group.to_string())];
            fields
                .iter()
                .for_each(|(field, value)| line(format!("set_inode_field \"{path}\" {field} {value}")));
            contents.push(memory);
        }
        let script = Memory::of(script.as_bytes())?;
        let argv = [&tool("debugfs"), "-w", "-f", &script.path(), &self.system.place];
        let output = process::output(&argv, LIMIT).await?;
        drop(contents);
        // It goes on after a failure, and says nothing else there but its version.
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("debugfs 1.")).collect();
        if said.is_empty() && output.status.success() {
            Ok(())
        } else {
            Err(self.system.error("changed", said.join("; ")))
        }
    }
}

fn new(mode: u32) -> Inode {
    Inode { is_file: true, mode, user: 0, group: 0 }
}

fn path(action: &Action) -> &str {
    match action {
        Action::Folder { path, .. }
        | Action::File { path, .. }
        | Action::Line { path, .. }
        | Action::Edit { path, .. }
        | Action::Remove { path } => path,
    }
}

/// A path and all folders on the way to it, from the root on, which is not among them.
fn above(path: &str) -> Vec<String> {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    ends.filter_map(|end| path.get(..end)).map(str::to_owned).collect()
}

/// Programs for file systems are where the search path of ordinary users does not lead.
fn tool(name: &str) -> String {
    let places = ["/usr/sbin", "/sbin"].map(|folder| format!("{folder}/{name}"));
    places.into_iter().find(|place| Path::new(place).exists()).unwrap_or_else(|| name.to_owned())
}

/// A file that is nowhere but in memory, for other programs of this user to read while it is held.
pub(super) struct Memory(std::fs::File);

impl Memory {
    pub(super) fn of(content: &[u8]) -> Result<Self, SysprepError> {
        let made = memfd_create("polder", MemfdFlags::CLOEXEC).map_err(std::io::Error::from).and_then(|fd| {
            let mut file = std::fs::File::from(fd);
            file.write_all(content).map(|()| Self(file))
        });
        made.map_err(|source| SysprepError::Io { what: "make", path: "a file in memory".into(), source })
    }

    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    use super::*;
    use crate::{
        base::id::Mac,
        image::{Identity, NicAddress, NicIdentity, User},
        sysprep::{actions, look},
    };

    /// A root file system as somebody else may have made it, behind `offset` bytes of something else.
    struct Disk {
        dir: tempfile::TempDir,
        offset: u64,
    }

    impl Disk {
        fn make(files: &[(&str, &str)], offset: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("root");
            for (path, content) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            }
            let disk = Self { dir, offset };
            let mut raw = fs::File::create(disk.image()).unwrap();
            if offset > 0 {
                raw.write_all(&partition_table(offset)).unwrap();
            }
            raw.set_len(offset + (16 << 20)).unwrap();
            let place = format!("offset={offset},root_owner=0:0,assume_storage_prezeroed=1");
            let (root, image) = (root.display().to_string(), disk.image().display().to_string());
            let argv = ["-q", "-t", "ext4", "-E", &place, "-d", &root, &image, "16m"];
            assert!(Command::new(tool("mke2fs")).args(argv).status().unwrap().success());
            disk
        }

        fn image(&self) -> PathBuf {
            self.dir.path().join("disk.raw")
        }

        /// Everything on the disk but what was there before the actions: paths, modes, owners and contents.
        async fn shown(&self, paths: &[&str]) -> String {
            let system = FileSystem::at(&self.image(), self.offset);
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            let there = system.stat(&paths).await.unwrap();
            let mut text = String::new();
            for path in &paths {
                let Some(Inode { is_file, mode, user, group }) = there.get(path) else {
                    text += &format!("{path}: not there\n");
                    continue;
                };
                // What was there before is of whoever made the disk.
                let ours = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
                let (user, group) = if (*user, *group) == ours { (0, 0) } else { (*user, *group) };
                text += &format!("{path}: {mode:o} {user}:{group}");
                if *is_file {
                    text += &format!(" {:?}", String::from_utf8(system.read(path).await.unwrap()).unwrap());
                }
                text += "\n";
            }
            text
        }
    }

    /// One Linux partition that begins at `offset`.
    fn partition_table(offset: u64) -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[446 + 4] = 0x83;
        sector[446 + 8..446 + 12].copy_from_slice(&u32::try_from(offset / 512).unwrap().to_le_bytes());
        sector[446 + 12..446 + 16].copy_from_slice(&(32_768_u32).to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    const EL7: &[(&str, &str)] = &[
        ("etc/os-release", "NAME=x\nID=\"centos\"\nVERSION_ID=\"7\"\n"),
        ("etc/passwd", "root:x:0:0::/root:/bin/bash\n"),
        ("etc/shadow", "root:!!:1::::::\nbin:*:1::::::\n"),
        ("etc/ssh/ssh_host_rsa_key", "old"),
        ("etc/ssh/ssh_host_rsa_key.pub", "old"),
        ("etc/udev/rules.d/70-persistent-net.rules", "old"),
        ("etc/systemd/system/multi-user.target.wants/postfix.service", "x"),
        ("boot/grub2/grub.cfg", "if x; then\n  set timeout=5\nfi\n"),
        ("root/.ssh/authorized_keys", "ssh-rsa theirs"),
        ("usr/lib/systemd/systemd", ""),
    ];

    const LOOKED_AT: &[&str] = &[
        "/etc/hostname",
        "/etc/machine-id",
        "/etc/shadow",
        "/root/.ssh",
        "/root/.ssh/authorized_keys",
        "/etc/ssh/ssh_host_rsa_key",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/udev/rules.d/70-persistent-net.rules",
        "/etc/iscsi",
        "/etc/iscsi/initiatorname.iscsi",
        "/etc/sysconfig",
        "/etc/sysconfig/network-scripts/ifcfg-eth0",
        "/home/bin/.ssh/authorized_keys",
        "/etc/systemd/system/multi-user.target.wants/postfix.service",
        "/boot/grub2/grub.cfg",
        "/etc/default/grub",
        "/.autorelabel",
    ];

    fn newcomer(passwords: &[(&str, &str)]) -> Identity {
        let user =
            |(name, hash): &(&str, &str)| User { name: (*name).into(), password: Some((*hash).into()) };
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        Identity {
            hostname: "web".parse().unwrap(),
            authorized_key: "ssh-ed25519 AAAA".into(),
            host_key: "KEY\n".into(),
            users: passwords.iter().map(user).collect(),
            nics: vec![NicIdentity { mac, address: NicAddress::Dhcp, address6: None, mtu: None }],
            dns: None,
            search: None,
        }
    }

    #[tokio::test]
    async fn actions_are_carried_out_wherever_the_file_system_is() {
        let mut shown = Vec::new();
        for offset in [0, 1 << 20] {
            let disk = Disk::make(EL7, offset);
            let found = look(&disk.image()).await.unwrap();
            assert_eq!(
                (found.root, found.cloud_init, found.distro.as_deref()),
                (Some(offset), Some(false), Some("el7"))
            );
            let todo = actions(found.distro.as_deref(), &newcomer(&[("root", "$6$a$b"), ("bin", "$6$c$d")]));
            apply(&disk.image(), offset, &todo).await.unwrap();
            shown.push(disk.shown(LOOKED_AT).await);
        }
        assert_eq!(shown[0], shown[1]);
        insta::assert_snapshot!(shown[0]);
    }

    #[tokio::test]
    async fn what_has_to_be_there_and_is_not_is_named() {
        let disk = Disk::make(&[("etc/shadow", "bin:*:1\n")], 0);
        let todo = actions(None, &newcomer(&[("root", "$6$a$b")]));
        let error = apply(&disk.image(), 0, &todo).await.unwrap_err().to_string();
        assert!(
            error.ends_with("there is no line `root:` in /etc/shadow") && error.contains("disk.raw"),
            "{error}"
        );
        assert_eq!(look(&disk.image()).await.unwrap().root, None, "no system without users");
    }

    #[tokio::test]
    async fn a_file_system_that_is_full_or_none_is_refused() {
        let disk = Disk::make(&[("etc/x", "")], 0);
        let huge = Action::File { path: "/huge".into(), mode: 0o600, content: "x".repeat(20 << 20) };
        let error = apply(&disk.image(), 0, &[huge]).await.unwrap_err().to_string();
        assert!(error.contains("cannot be changed"), "{error}");
        fs::write(disk.image(), vec![7; 1 << 20]).unwrap();
        let error = apply(&disk.image(), 0, &[]).await.unwrap_err().to_string();
        assert!(error.contains("cannot be checked") && error.contains("disk.raw"), "{error}");
        let nothing = look(&disk.image()).await.unwrap();
        assert_eq!((nothing.root, nothing.cloud_init), (None, None));
    }

    #[tokio::test]
    async fn cloud_init_counts_unless_it_is_switched_off() {
        let system = [("etc/passwd", "x"), ("usr/bin/cloud-init", "x"), ("usr/sbin/qemu-ga", "x")];
        let found = look(&Disk::make(&system, 0).image()).await.unwrap();
        assert_eq!((found.cloud_init, found.agent, found.systemd), (Some(true), true, false));
        let off = [system.as_slice(), &[("etc/cloud/cloud-init.disabled", "")]].concat();
        assert_eq!(look(&Disk::make(&off, 0).image()).await.unwrap().cloud_init, Some(false));
    }
}
