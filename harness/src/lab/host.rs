//! Where labs live on this host: their folder, what is kept between them, and what is removed of those that were left.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::FlockOperation;

use super::{
    Bind, Hermetic, Lab, LabSpec, LabState, Payload,
    error::{LabError, host},
    paths::{LabPaths, cache_root, runtime_root},
    warden::{self, WardenId},
};
use crate::base::{
    dial::BoxFuture,
    sandbox::{BoxedCommand, Sandbox},
};

/// Where labs of this user live on this host, and which binary serves as their warden.
#[derive(Debug, Clone)]
pub struct LabHost {
    /// Folder of all runtime folders.
    pub root: PathBuf,
    /// Folder of what is kept between runs.
    pub cache: PathBuf,
    /// The binary re-executed as warden.
    pub launcher: PathBuf,
}

impl LabHost {
    /// The host as the environment (`POLDER_RUNTIME_DIR`, `POLDER_CACHE_DIR`, `POLDER_LAUNCHER`) describes it.
    ///
    /// # Errors
    /// [`LabError::Host`] when this executable's own path cannot be had.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, LabError> {
        let launcher = match env("POLDER_LAUNCHER") {
            Some(path) if !path.is_empty() => PathBuf::from(path),
            _ => std::env::current_exe()
                .map_err(host("find the running executable", Path::new("/proc/self/exe")))?,
        };
        // The warden works elsewhere than we do: paths must not depend on where one stands.
        let absolute = |path: PathBuf| std::path::absolute(&path).map_err(host("find", &path));
        let root = absolute(runtime_root(env, rustix::process::geteuid().as_raw()))?;
        Ok(Self { root, cache: absolute(cache_root(env))?, launcher })
    }

    /// The paths of a new lab, after what others have left is removed.
    pub(super) async fn new_paths(&self) -> Result<LabPaths, LabError> {
        let ground = self.clone();
        let swept = tokio::task::spawn_blocking(move || {
            ground.prepare_root()?;
            sweep(&ground.root)
        });
        swept.await.map_err(|error| host("sweep", &self.root)(io::Error::other(error)))??;
        Ok(LabPaths { folder: self.root.join(format!("{:08x}", random()?)) })
    }

    /// Makes the folder of all labs, private to this user, and refuses one that is somebody else's.
    pub(super) fn prepare_root(&self) -> Result<(), LabError> {
        match fs::DirBuilder::new().mode(0o700).create(&self.root) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(host("make the folder of labs", &self.root)(e));
            }
            _ => {}
        }
        let is = fs::symlink_metadata(&self.root).map_err(host("look at", &self.root))?;
        if !is.is_dir() || is.uid() != rustix::process::geteuid().as_raw() {
            let foreign = io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to somebody else");
            return Err(host("use", &self.root)(foreign));
        }
        Ok(())
    }
}

fn random() -> Result<u32, LabError> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| host("read", Path::new("/dev/urandom"))(e.into()))?;
    Ok(u32::from_ne_bytes(bytes))
}

/// A lab's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabFolder {
    /// The folder.
    pub folder: PathBuf,
    /// The environment it was made for, where that is not in the folder.
    pub env: Option<PathBuf>,
    /// Whether its warden is gone, and everything that ran in it.
    pub abandoned: bool,
}

/// All labs of this user.
///
/// # Errors
/// [`LabError::Host`] when the folder of labs cannot be read.
pub fn labs(root: &Path) -> Result<Vec<LabFolder>, LabError> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let _busy = warden::lock_root(root).map_err(host("lock", root))?;
    list(root)
}

/// The process that is the warden of a lab, as it has noted itself.
#[must_use]
pub fn warden_of(lab: &LabPaths) -> Option<i32> {
    let id = fs::read(lab.warden()).ok()?;
    serde_json::from_slice::<WardenId>(&id).ok().map(|id| id.pid)
}

/// The labs that run for the environment in the folder `env`, whatever is left of what that says itself.
#[must_use]
pub fn serving(root: &Path, env: &Path) -> Vec<Hermetic> {
    let labs = labs(root).unwrap_or_default();
    let alive = labs.iter().filter(|lab| !lab.abandoned);
    alive.filter_map(|lab| Hermetic::join(&lab.folder).ok()).filter(|lab| lab.serves(env)).collect()
}

/// Removes what labs left whose warden was killed; returns the folders removed.
///
/// # Errors
/// [`LabError::Host`] when the folder of labs cannot be read.
pub fn sweep(root: &Path) -> Result<Vec<PathBuf>, LabError> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let _busy = warden::lock_root(root).map_err(host("lock", root))?;
    let left: Vec<_> = list(root)?.into_iter().filter(|lab| lab.abandoned).map(|lab| lab.folder).collect();
    left.iter().for_each(|folder| warden::remove_folder(folder));
    Ok(left)
}

/// The root's lock is held, so that none is half made.
fn list(root: &Path) -> Result<Vec<LabFolder>, LabError> {
    let entries = fs::read_dir(root).map_err(host("list", root))?.flatten();
    let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
    let lab = |folder: PathBuf| {
        let paths = LabPaths { folder };
        let id = fs::read(paths.warden()).ok().and_then(|id| serde_json::from_slice::<WardenId>(&id).ok());
        LabFolder { abandoned: abandoned(&paths), env: id.and_then(|id| id.env), folder: paths.folder }
    };
    Ok(folders.map(lab).collect())
}

/// Whether nobody holds the lab's lock. A folder without one was never locked: its maker died with the root's lock.
fn abandoned(paths: &LabPaths) -> bool {
    match fs::File::open(paths.lock()) {
        Ok(lock) => rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_ok(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

impl Sandbox for LabHost {
    fn run(&self, command: BoxedCommand) -> BoxFuture<'_, io::Result<i32>> {
        Box::pin(async move {
            let BoxedCommand { argv, env, writable, log, limit } = command;
            let binds =
                writable.into_iter().map(|dir| Bind { from: dir.clone(), to: dir, writable: true }).collect();
            let payload = Payload::Command { argv, env, log: Some(log), offline: false };
            let spec = LabSpec { payload, env: None, binds };
            let lab = Hermetic::start(self, spec, limit).await.map_err(io::Error::other)?;
            let result = match lab.over(limit).await {
                Some(LabState::PayloadEnded(status)) => Ok(status),
                Some(other) => Err(io::Error::other(other.as_error())),
                None => Err(io::ErrorKind::TimedOut.into()),
            };
            let ended = lab.end(Duration::from_secs(5)).await.map_err(io::Error::other);
            result.and_then(|status| ended.map(|()| status))
        })
    }
}
