//! Who has which subnet of a shared host: a folder with a file for each, in the directory and format Lago uses, so that
//! both see each other's. Knows files only; what else uses a subnet is told by the caller.
//!
//! | file | what |
//! | --- | --- |
//! | `<third octet>.lease` | JSON: path of the holder's `uuid` file, and the id in it |
//! | `<third octet>.owner` | JSON, ours: the process that took it, and whether the lease outlives it |
//! | `subnet-lease.lock` | locked by whoever changes anything |
//!
//! A lease holds as long as the `uuid` file is there with that id in it and, if it does not outlive its process, as long
//! as that runs. What does not hold any more is removed by the next one who looks for a subnet.

use std::{
    collections::BTreeMap,
    fs, io,
    net::Ipv4Addr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{
    address::pooled6,
    spec::{Family, NetAsk, NetKind, OCTETS, PlannedNet},
};
use crate::base::owner::Owner;

/// How long anybody waits for the lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried meanwhile.
const TICK: Duration = Duration::from_millis(10);

/// A subnet could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It is not one of those that are leased.
    #[error("192.168.{octet}.0/24 is none of the subnets that are leased: they go from 192.168.{} to 192.168.{}", OCTETS.start(), OCTETS.end())]
    OutOfRange {
        /// Its third octet.
        octet: u8,
    },
    /// Somebody else has it.
    #[error("192.168.{octet}.0/24 is leased to the environment of {}{}", holder.display(), owner.as_ref().map(|o| format!(" ({o})")).unwrap_or_default())]
    Taken {
        /// Its third octet.
        octet: u8,
        /// The holder's `uuid` file.
        holder: PathBuf,
        /// The process that took it.
        owner: Option<Owner>,
    },
    /// It is not leased, yet something of this host uses it.
    #[error("192.168.{octet}.0/24 is used on this host by {user}")]
    InUse {
        /// Its third octet.
        octet: u8,
        /// What uses it.
        user: String,
    },
    /// There are no more.
    #[error("no subnet is left: {leased} are leased (see {}), {used} are used on this host otherwise", dir.display())]
    Full {
        /// How many are leased.
        leased: usize,
        /// How many are used without a lease.
        used: usize,
        /// The folder of leases.
        dir: PathBuf,
    },
    /// Somebody kept the lock.
    #[error("the lock {} was not free within {} s; {holder}", path.display(), PATIENCE.as_secs())]
    Locked {
        /// The lock.
        path: PathBuf,
        /// Who has it, as far as that is known.
        holder: String,
    },
    /// The file system would not.
    #[error("cannot {what} {}{}", path.display(), advice(source))]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; the folder of leases is shared by all who use this host: join the group it belongs to, or set `lease_dir`"
        }
        _ => "",
    }
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LeaseError + use<> {
    let path = path.to_owned();
    move |source| LeaseError::File { what, path, source }
}

/// For whom a subnet is leased.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The environment's `uuid` file, absolute.
    pub uuid_file: PathBuf,
    /// The id in it.
    pub uuid: String,
    /// The process that takes it.
    pub owner: Owner,
    /// Whether the lease outlives that process, as an environment in a prefix does.
    pub lasting: bool,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Any subnet.
    Any,
    /// The one with this third octet.
    Octet(u8),
}

/// What a plan of these nets needs: what is then leased is the pool the plan is made with.
#[must_use]
pub fn wanted(nets: &[NetAsk]) -> Vec<Want> {
    let mut wants = Vec::new();
    for net in nets.iter().filter(|net| net.kind != NetKind::Bridge) {
        match (net.ipv4, net.ipv6) {
            (Family::Given(gateway, len), _) => wants.extend(within(gateway, len).map(Want::Octet)),
            (Family::Auto, _) | (Family::Off, Family::Auto) => wants.push(Want::Any),
            (Family::Off, _) => {}
        }
    }
    wants
}

/// What a plan took of it: leased again, by number.
#[must_use]
pub fn taken(nets: &[PlannedNet]) -> Vec<Want> {
    let mut wants = Vec::new();
    for net in nets {
        match (net.gateway, net.gateway6) {
            (Some(gateway), _) => wants.extend(within(gateway, net.prefix).map(Want::Octet)),
            // One that was chosen for a net without IPv4 has its number of the same pool.
            (None, Some((gateway6, _))) => {
                wants.extend(OCTETS.filter(|octet| pooled6(*octet) == gateway6).map(Want::Octet));
            }
            (None, None) => {}
        }
    }
    wants
}

/// Third octets of the subnets that are leased and have addresses in common with that of a gateway.
fn within(gateway: Ipv4Addr, len: u8) -> impl Iterator<Item = u8> {
    let mask = u32::MAX.checked_shl(32 - u32::from(len.min(24))).unwrap_or(0);
    OCTETS.filter(move |octet| (Ipv4Addr::new(192, 168, *octet, 0).to_bits() ^ gateway.to_bits()) & mask == 0)
}

/// A lease as it is on disk.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Third octet of its subnet.
    pub octet: u8,
    /// The holder's `uuid` file.
    pub uuid_file: PathBuf,
    /// The id that should be in it.
    pub uuid: String,
    /// The process that took it, if that was written down.
    pub owner: Option<Owner>,
    /// Whether it still holds.
    pub holds: bool,
}

/// The `.owner` file. The id tells whether it belongs to the lease beside it: Lago writes a lease without one, and
/// leaves ours where it is.
#[derive(Serialize, Deserialize)]
struct OwnerFile {
    uuid: String,
    owner: Owner,
    lasting: bool,
}

/// A folder of leases.
#[derive(Debug, Clone)]
pub struct LeaseStore {
    dir: PathBuf,
}

impl LeaseStore {
    /// The leases in `dir`, which is made when the first one is taken.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Takes everything that is wanted, or nothing; returns the third octets in the order wanted. `used` are those that
    /// something of this host uses, and what that is; a subnet the holder has already is not held against it.
    ///
    /// Waits up to five seconds, blocking, for others to let go of the lock.
    ///
    /// # Errors
    /// The first one that cannot be had, and why.
    pub fn acquire(
        &self,
        wants: &[Want],
        holder: &Holder,
        used: &BTreeMap<u8, String>,
    ) -> Result<Vec<u8>, LeaseError> {
        fs::create_dir_all(&self.dir).map_err(file("make the folder of leases", &self.dir))?;
        let _lock = self.lock()?;
        let leases = self.read()?;
        let mut chosen: Vec<u8> = Vec::new();
        // What is asked for by number goes first: it cannot be anything else.
        for want in wants {
            if let Want::Octet(octet) = want
                && !chosen.contains(octet)
            {
                allowed(*octet, &leases, holder, used)?;
                chosen.push(*octet);
            }
        }
        let mut octets = Vec::new();
        for want in wants {
            octets.push(match want {
                Want::Octet(octet) => *octet,
                Want::Any => {
                    let held = |octet: &u8| leases.get(octet).is_some_and(|lease| lease.holds);
                    let free =
                        |octet: &u8| !chosen.contains(octet) && !held(octet) && !used.contains_key(octet);
                    let mut all = OCTETS;
                    let octet = all.find(free).ok_or_else(|| LeaseError::Full {
                        leased: OCTETS.filter(held).count(),
                        used: OCTETS.filter(|o| !held(o) && used.contains_key(o)).count(),
                        dir: self.dir.clone(),
                    })?;
                    chosen.push(octet);
                    octet
                }
            });
        }
        for (written, octet) in chosen.iter().enumerate() {
            let made = match leases.get(octet) {
                // Else, were we killed now, our owner beside somebody else's lease would make it a lasting one.
                Some(lease) if lease.uuid != holder.uuid => self.remove(*octet),
                _ => Ok(()),
            };
            if let Err(error) = made.and_then(|()| self.write(*octet, holder)) {
                for octet in chosen.iter().take(written + 1) {
                    let _ = self.remove(*octet);
                }
                return Err(error);
            }
        }
        Ok(octets)
    }

    /// Gives back the leases `which` is true of; returns their third octets.
    ///
    /// # Errors
    /// The folder cannot be locked, or a file not be removed; the others are removed all the same.
    pub fn release(&self, which: impl Fn(&Lease) -> bool) -> Result<Vec<u8>, LeaseError> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let mut released = Vec::new();
        let mut failure = None;
        for lease in self.read()?.values().filter(|lease| which(lease)) {
            match self.remove(lease.octet) {
                Ok(()) => released.push(lease.octet),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(released), Err)
    }

    /// All leases, those that do not hold any more included.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<Lease>, LeaseError> {
        match self.dir.exists() {
            true => Ok(self.read()?.into_values().collect()),
            false => Ok(Vec::new()),
        }
    }

    fn lock(&self) -> Result<fs::File, LeaseError> {
        let path = self.dir.join("subnet-lease.lock");
        let lock = fs::File::options().create(true).truncate(false).write(true).mode(0o660).open(&path);
        let lock = lock.map_err(file("open the lock", &path))?;
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(lock),
                Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => std::thread::sleep(TICK),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let holder = lock_holder(&lock).unwrap_or_else(|| {
                        "who has it cannot be told: it may be on another host or in a container".to_owned()
                    });
                    return Err(LeaseError::Locked { path, holder });
                }
                Err(errno) => return Err(file("lock", &path)(errno.into())),
            }
        }
    }

    fn read(&self) -> Result<BTreeMap<u8, Lease>, LeaseError> {
        let mut leases = BTreeMap::new();
        for entry in fs::read_dir(&self.dir).map_err(file("list the folder of leases", &self.dir))?.flatten()
        {
            let path = entry.path();
            let name = entry.file_name();
            let octet = name.to_str().and_then(|n| n.strip_suffix(".lease")).and_then(|n| n.parse().ok());
            if let Some(octet) = octet {
                leases.insert(octet, read_lease(octet, &path));
            }
        }
        Ok(leases)
    }

    fn path(&self, octet: u8, kind: &str) -> PathBuf {
        self.dir.join(format!("{octet}.{kind}"))
    }

    /// The owner first: a lease without one would count as lasting.
    fn write(&self, octet: u8, holder: &Holder) -> Result<(), LeaseError> {
        let owner =
            OwnerFile { uuid: holder.uuid.clone(), owner: holder.owner.clone(), lasting: holder.lasting };
        let lease = (&holder.uuid_file, &holder.uuid);
        self.replace(&self.path(octet, "owner"), serde_json::to_vec(&owner))?;
        self.replace(&self.path(octet, "lease"), serde_json::to_vec(&lease))
    }

    /// Writes a file at once; a reader sees the old one or the new one.
    fn replace(&self, path: &Path, text: serde_json::Result<Vec<u8>>) -> Result<(), LeaseError> {
        let new = self.dir.join("new");
        let text = text.map_err(|e| file("write", path)(e.into()))?;
        // Others of the group must be able to see whose it is.
        let mut options = fs::File::options();
        let open = options.create(true).truncate(true).write(true).mode(0o664).open(&new);
        let mut out = open.map_err(file("write", &new))?;
        io::Write::write_all(&mut out, &text).map_err(file("write", &new))?;
        fs::rename(&new, path).map_err(file("write", path))
    }

    fn remove(&self, octet: u8) -> Result<(), LeaseError> {
        for kind in ["lease", "owner"] {
            let path = self.path(octet, kind);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether `holder` may have a subnet it names.
fn allowed(
    octet: u8,
    leases: &BTreeMap<u8, Lease>,
    holder: &Holder,
    used: &BTreeMap<u8, String>,
) -> Result<(), LeaseError> {
    if !OCTETS.contains(&octet) {
        return Err(LeaseError::OutOfRange { octet });
    }
    match leases.get(&octet).filter(|lease| lease.holds) {
        Some(lease) if lease.uuid_file == holder.uuid_file => Ok(()),
        Some(lease) => {
            let (holder, owner) = (lease.uuid_file.clone(), lease.owner.clone());
            Err(LeaseError::Taken { octet, holder, owner })
        }
        None => match used.get(&octet) {
            Some(user) => Err(LeaseError::InUse { octet, user: user.clone() }),
            None => Ok(()),
        },
    }
}

/// A lease, whatever is in its file: one that says nothing does not hold, one that cannot be read does.
fn read_lease(octet: u8, path: &Path) -> Lease {
    let nobody = |uuid_file: &Path, holds| Lease {
        octet,
        uuid_file: uuid_file.to_owned(),
        uuid: String::new(),
        owner: None,
        holds,
    };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => return nobody(path, error.kind() != io::ErrorKind::NotFound),
    };
    let Ok((uuid_file, uuid)) = serde_json::from_slice::<(PathBuf, String)>(&text) else {
        return nobody(path, false);
    };
    let owner = fs::read(path.with_extension("owner")).ok();
    let owner: Option<OwnerFile> = owner.and_then(|text| serde_json::from_slice(&text).ok());
    let owner = owner.filter(|owner| owner.uuid == uuid);
    let there = match fs::read_to_string(&uuid_file) {
        Ok(text) => text.trim() == uuid,
        // Somebody else's folder: it is not for us to say that it is gone.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    let lives = owner.as_ref().is_none_or(|o| o.lasting || o.owner.is_alive());
    Lease { octet, uuid_file, uuid, holds: there && lives, owner: owner.map(|o| o.owner) }
}

/// Who holds a lock, from the kernel's list of them.
fn lock_holder(lock: &fs::File) -> Option<String> {
    let is = lock.metadata().ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = holder_of(&locks, is.ino())?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("process {pid} ({}) has it", name.trim()))
}

/// The process that holds the lock on this inode: lines are `1: FLOCK  ADVISORY  WRITE 123 08:01:456 0 EOF`, those of who
/// waits have `->` behind the number.
fn holder_of(locks: &str, inode: u64) -> Option<i32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, "FLOCK", _, _, pid, file, ..] if file.rsplit(':').next()?.parse() == Ok(inode) => {
                pid.parse().ok().filter(|pid| *pid > 0)
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;
