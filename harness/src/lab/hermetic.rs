//! The owner's side of a hermetic lab: start it, reach into it, notice its end, end it.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{fs::DirBuilderExt, fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::FlockOperation,
    process::{Pid, PidfdFlags, Signal},
};
use tokio::{net::TcpStream, sync::watch};

use super::{
    door,
    error::LabError,
    paths::{LONGEST_FOLDER, LabPaths, cache_root, runtime_root},
    spec::{Bind, LabSpec, Payload},
    warden::{self, WardenId},
    wire::{self, Answer, Order, Report, Request, StepError},
};
use crate::{
    base::{
        dial::{BoxFuture, Dial},
        sandbox::{BoxedCommand, Sandbox},
        sys,
    },
    event::Usage,
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

    /// Makes the folder of all labs, private to this user, and refuses one that is somebody else's.
    fn prepare_root(&self) -> Result<(), LabError> {
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

fn host(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LabError + use<> {
    let path = path.to_owned();
    move |source| LabError::Host { what, path, source }
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
    let mut removed = Vec::new();
    for entry in fs::read_dir(root).map_err(host("list", root))?.flatten() {
        let paths = LabPaths { folder: entry.path() };
        if entry.file_type().is_ok_and(|t| t.is_dir()) && abandoned(&paths) {
            warden::remove_folder(&paths.folder);
            removed.push(paths.folder);
        }
    }
    Ok(removed)
}

/// Whether nobody holds the lab's lock. A folder without one was never locked: its maker died with the root's lock.
fn abandoned(paths: &LabPaths) -> bool {
    match fs::File::open(paths.lock()) {
        Ok(lock) => rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_ok(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

/// How a lab fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabState {
    /// Being made.
    Starting,
    /// Its payload runs.
    Running,
    /// Its payload (the daemon, or the command) ended with this status; files and other processes are still there.
    PayloadEnded(i32),
    /// It could not be made.
    Failed {
        /// The step.
        step: String,
        /// What the system said.
        error: String,
        /// What to do about it.
        advice: Option<String>,
    },
    /// Process 1 is gone, and everything inside with it; files are still there.
    Gone,
    /// Nothing is left of it.
    Ended,
}

/// A hermetic lab; the last clone to go ends it, unless it was detached.
#[derive(Debug, Clone)]
pub struct Hermetic(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    paths: LabPaths,
    warden: OwnedFd,
    /// The control socket of the lab's maker; a lab that was joined has none.
    orders: Option<OwnedFd>,
    state: watch::Receiver<LabState>,
    detached: std::sync::atomic::AtomicBool,
}

impl Hermetic {
    /// Starts a lab and waits, at most `limit`, until its payload runs.
    ///
    /// # Errors
    /// The step that failed, with advice; or that it took too long.
    pub async fn start(on: &LabHost, spec: LabSpec, limit: Duration) -> Result<Self, LabError> {
        on.prepare_root()?;
        sweep(&on.root)?;
        let folder = on.root.join(format!("{:08x}", random()?));
        if folder.as_os_str().len() > LONGEST_FOLDER {
            return Err(LabError::PathTooLong { path: folder, max: LONGEST_FOLDER });
        }
        let lab = Self::spawn(on, LabPaths { folder }, spec)?;
        let mut state = lab.state();
        let started = state.wait_for(|s| *s != LabState::Starting);
        // Owned at once: the reference holds a lock that must not be kept across an await.
        let started = tokio::time::timeout(limit, started).await.map(|state| state.map(|s| s.clone()));
        match started {
            Ok(Ok(LabState::Running | LabState::PayloadEnded(_))) => {}
            Ok(Ok(other)) => return Err(other.as_error()),
            Ok(Err(_)) => return Err(LabError::Ended { why: "its warden vanished".into() }),
            Err(_) => {
                let _ = lab.end(Duration::from_secs(2)).await;
                return Err(LabError::TimedOut { what: "start".into(), limit });
            }
        }
        Ok(lab)
    }

    fn spawn(on: &LabHost, paths: LabPaths, spec: LabSpec) -> Result<Self, LabError> {
        let launch = |what| host(what, &on.launcher);
        let (orders, orders_warden) = wire::pair().map_err(launch("open a channel for"))?;
        let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
            .map_err(|e| launch("watch ourselves for")(e.into()))?;
        let mut command = Command::new(&on.launcher);
        command
            .arg0("polder-warden")
            .env(door::VARIABLE, format!("{},{}", orders_warden.as_raw_fd(), own.as_raw_fd()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sys::own_session(&mut command, &[orders_warden.as_raw_fd(), own.as_raw_fd()]);
        let mut child = command.spawn().map_err(launch("start the warden from"))?;
        drop((orders_warden, own));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| launch("watch the warden from")(io::ErrorKind::InvalidData.into()))?;
        let warden = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .map_err(|e| launch("watch the warden from")(e.into()))?;
        let order = Order::Make { folder: paths.folder.clone(), spec: Box::new(spec) };
        wire::send(&orders, &order, &[]).map_err(launch("instruct the warden from"))?;
        let (sender, state) = watch::channel(LabState::Starting);
        let reports = orders.try_clone().map_err(launch("listen to the warden from"))?;
        let folder = paths.folder.clone();
        let listen = move || {
            while let Ok(Some((report, _))) = wire::receive::<Report>(&reports) {
                let Some(next) = LabState::after(report) else { continue };
                sender.send_if_modified(|now| {
                    // How the payload ended says more than that process 1 is gone, too.
                    let news = !matches!((&*now, &next), (LabState::PayloadEnded(_), LabState::Gone));
                    if news {
                        *now = next;
                    }
                    news
                });
            }
            let _ = child.wait();
            // A warden that was killed could not do it; a lab that failed keeps saying why.
            warden::remove_folder(&folder);
            sender.send_if_modified(|s| {
                let over = !matches!(s, LabState::Failed { .. });
                if over {
                    *s = LabState::Ended;
                }
                over
            });
        };
        std::thread::Builder::new()
            .name("lab reports".into())
            .spawn(listen)
            .map_err(launch("listen to the warden from"))?;
        let detached = false.into();
        Ok(Self(Arc::new(Inner { paths, warden, orders: Some(orders), state, detached })))
    }

    /// Joins a lab that somebody detached.
    ///
    /// # Errors
    /// [`LabError::Ended`] when its warden is gone.
    pub fn join(folder: &Path) -> Result<Self, LabError> {
        let paths = LabPaths { folder: folder.to_owned() };
        let ended = |why: String| LabError::Ended { why };
        let id = fs::read(paths.warden()).map_err(host("read", &paths.warden()))?;
        let id: WardenId =
            serde_json::from_slice(&id).map_err(|e| ended(format!("its warden.json is damaged: {e}")))?;
        let pid = Pid::from_raw(id.pid).ok_or_else(|| ended("its warden.json names no process".into()))?;
        let gone = || ended(format!("its warden (process {}) is gone", id.pid));
        let warden = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
        if warden::start_time(id.pid) != Some(id.started) {
            return Err(gone());
        }
        let (_, state) = watch::channel(LabState::Running);
        Ok(Self(Arc::new(Inner { paths, warden, orders: None, state, detached: true.into() })))
    }

    /// Its paths, as seen outside.
    #[must_use]
    pub fn paths(&self) -> &LabPaths {
        &self.0.paths
    }

    /// How it fares, from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LabState> {
        self.0.state.clone()
    }

    /// Why it cannot be used any more, if that is so, with the last words of its daemon.
    #[must_use]
    pub fn failure(&self) -> Option<LabError> {
        let state = self.0.state.borrow().clone();
        match &state {
            LabState::Starting | LabState::Running => None,
            LabState::PayloadEnded(status) => {
                let last = crate::base::sandbox::tail(&self.0.paths.libvirtd_log(), 1);
                Some(LabError::Ended {
                    why: format!("its daemon ended with status {status}; its log ends with: {last}"),
                })
            }
            other => Some(other.as_error()),
        }
    }

    /// Where its libvirt daemon is reached.
    #[must_use]
    pub fn libvirt_uri(&self) -> String {
        format!("qemu:///system?socket={}", self.0.paths.libvirt_sock().display())
    }

    /// What its processes used so far.
    ///
    /// # Errors
    /// The lab does not answer.
    pub async fn usage(&self) -> Result<Usage, LabError> {
        match self.ask("say what it used", Request::Usage, vec![], Duration::from_secs(5)).await?.0 {
            Answer::Usage(usage) => Ok(usage),
            other => Err(LabError::Request { what: "say what it used".into(), source: other.into_error() }),
        }
    }

    /// Kills its daemon, so that every call it did not answer comes back with an error. The lab is of no use then but
    /// for what can be collected.
    ///
    /// # Errors
    /// The lab does not answer.
    pub async fn kill_daemon(&self) -> Result<(), LabError> {
        self.ask("kill its daemon", Request::KillDaemon, vec![], Duration::from_secs(1)).await.map(drop)
    }

    /// Runs a command inside on the given standard streams; it is killed, with its process group, after `limit`.
    ///
    /// # Errors
    /// It could not be started, or took too long.
    pub async fn exec(
        &self,
        argv: &[&str],
        streams: [OwnedFd; 3],
        env: Vec<(String, String)>,
        limit: Duration,
    ) -> Result<i32, LabError> {
        let what = format!("run `{}`", argv.join(" "));
        let argv = argv.iter().map(|&a| a.to_owned()).collect();
        match self.ask(&what, Request::Exec { argv, env }, streams.into(), limit).await?.0 {
            Answer::Exited(status) => Ok(status),
            other => Err(LabError::Request { what, source: other.into_error() }),
        }
    }

    async fn ask(
        &self,
        what: &str,
        request: Request,
        fds: Vec<OwnedFd>,
        limit: Duration,
    ) -> Result<(Answer, Vec<OwnedFd>), LabError> {
        let path = self.0.paths.control_sock();
        let asked = tokio::task::spawn_blocking(move || ask(&path, &request, &fds, limit)).await;
        let failed = |source| LabError::Request { what: what.to_owned(), source };
        match asked.map_err(|e| failed(io::Error::other(e)))? {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(LabError::Ended { why: format!("it went away when asked to {what}") }),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(LabError::TimedOut { what: what.to_owned(), limit })
            }
            Err(source) => Err(failed(source)),
        }
    }

    /// Leaves the lab running when this process ends.
    ///
    /// # Errors
    /// The warden is gone.
    pub fn detach(&self) -> Result<(), LabError> {
        if let Some(orders) = &self.0.orders {
            wire::send(orders, &Order::Detach, &[]).map_err(|e| LabError::Ended { why: e.to_string() })?;
        }
        self.0.detached.store(true, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    /// Ends the lab and waits until nothing is left of it; a warden that does not end within `limit` is killed.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn end(&self, limit: Duration) -> Result<(), LabError> {
        let inner = Arc::clone(&self.0);
        let ended = tokio::task::spawn_blocking(move || inner.end(limit)).await;
        ended.map_err(|e| LabError::Ended { why: e.to_string() })?
    }
}

impl Inner {
    fn end(&self, limit: Duration) -> Result<(), LabError> {
        let gone = |limit: Duration| {
            let mut fds = [PollFd::new(&self.warden, PollFlags::IN)];
            let limit = Timespec::try_from(limit).ok();
            rustix::event::poll(&mut fds, limit.as_ref()).is_ok_and(|n| n > 0)
        };
        // Errors mean it is gone already.
        let _ = rustix::process::pidfd_send_signal(&self.warden, Signal::TERM);
        if !gone(limit) {
            let _ = rustix::process::pidfd_send_signal(&self.warden, Signal::KILL);
            gone(Duration::from_secs(2));
        }
        warden::remove_folder(&self.paths.folder);
        if self.paths.folder.exists() {
            let left = io::Error::other("it could not be removed");
            return Err(host("leave nothing behind in", &self.paths.folder)(left));
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let (Some(orders), false) = (&self.orders, *self.detached.get_mut()) {
            let _ = wire::send(orders, &Order::End, &[]);
        }
    }
}

impl LabState {
    fn after(report: Report) -> Option<Self> {
        match report {
            Report::Ready => Some(Self::Running),
            Report::Failed(StepError { step, error, advice }) => Some(Self::Failed { step, error, advice }),
            Report::PayloadEnded(status) => Some(Self::PayloadEnded(status)),
            Report::Gone(_) => Some(Self::Gone),
            Report::Detached => None,
        }
    }

    /// What this state means for somebody who needs the lab.
    #[must_use]
    pub fn as_error(&self) -> LabError {
        match self.clone() {
            Self::Failed { step, error, advice } => LabError::Step { step, error, advice },
            Self::PayloadEnded(status) => {
                LabError::Ended { why: format!("its daemon ended with status {status}") }
            }
            Self::Gone => LabError::Ended { why: "its process 1 is gone".into() },
            Self::Starting | Self::Running | Self::Ended => {
                LabError::Ended { why: "its warden is gone".into() }
            }
        }
    }
}

/// One request, blocking.
fn ask(
    path: &Path,
    request: &Request,
    fds: &[OwnedFd],
    limit: Duration,
) -> io::Result<Option<(Answer, Vec<OwnedFd>)>> {
    let socket = wire::socket()?;
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(limit))?;
    rustix::net::connect(&socket, &rustix::net::SocketAddrUnix::new(path)?)?;
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    wire::send(&socket, request, &fds)?;
    wire::receive(&socket)
}

fn random() -> Result<u32, LabError> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| host("read", Path::new("/dev/urandom"))(e.into()))?;
    Ok(u32::from_ne_bytes(bytes))
}

impl Dial for Hermetic {
    fn dial(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let path = self.0.paths.control_sock();
            let request =
                Request::Dial { addr, limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) };
            // Process 1 keeps the limit; ours is for a process 1 that does not answer at all.
            let patience = limit + Duration::from_secs(1);
            let answer = tokio::task::spawn_blocking(move || ask(&path, &request, &[], patience)).await?;
            let Some((answer, fds)) = answer? else { return Err(io::ErrorKind::ConnectionAborted.into()) };
            match (answer, fds.into_iter().next()) {
                (Answer::Dialled, Some(fd)) => {
                    let stream = std::net::TcpStream::from(fd);
                    stream.set_nonblocking(true)?;
                    TcpStream::from_std(stream)
                }
                (other, _) => Err(other.into_error()),
            }
        })
    }
}

impl Sandbox for LabHost {
    fn run(&self, command: BoxedCommand) -> BoxFuture<'_, io::Result<i32>> {
        Box::pin(async move {
            let BoxedCommand { argv, env, writable, log, limit } = command;
            let binds =
                writable.into_iter().map(|dir| Bind { from: dir.clone(), to: dir, writable: true }).collect();
            let spec = LabSpec { payload: Payload::Command { argv, env, log, offline: false }, binds };
            let lab = Hermetic::start(self, spec, limit).await.map_err(io::Error::other)?;
            let mut state = lab.state();
            let over = state.wait_for(|s| !matches!(s, LabState::Starting | LabState::Running));
            let over = tokio::time::timeout(limit, over).await.map(|state| state.map(|s| s.clone()));
            let result = match over {
                Ok(Ok(LabState::PayloadEnded(status))) => Ok(status),
                Ok(Ok(other)) => Err(io::Error::other(other.as_error())),
                Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let ended = lab.end(Duration::from_secs(5)).await.map_err(io::Error::other);
            result.and_then(|status| ended.map(|()| status))
        })
    }
}
