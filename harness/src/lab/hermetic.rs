//! The owner's side of a hermetic lab: start it, reach into it, notice its end, end it.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    Lab, LabHost, LabKind, door,
    error::{LabError, host},
    paths::{LONGEST_FOLDER, LabPaths, View},
    spec::LabSpec,
    state::LabState,
    warden::{self, WardenId},
    wire::{self, Answer, Order, Report, Request},
};
use crate::{
    base::{
        credentials::Credentials,
        dial::{BoxFuture, Dial},
        owner, sys,
    },
    event::Usage,
};

/// How often a joined lab is looked at by who waits for its end.
const LOOK: Duration = Duration::from_secs(1);

/// How long process 1 may take to open a socket.
const LISTEN: Duration = Duration::from_secs(5);

/// A hermetic lab; the last clone to go ends it, unless it was detached.
#[derive(Debug, Clone)]
pub struct Hermetic(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    paths: LabPaths,
    env: PathBuf,
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
    pub async fn start(on: &LabHost, mut spec: LabSpec, limit: Duration) -> Result<Self, LabError> {
        if let Some(env) = &mut spec.env {
            // The warden works elsewhere than we do.
            *env = std::path::absolute(&env).map_err(host("find", env))?;
        }
        if let Some(path) = spec.paths().find(|path| path.to_str().is_none()) {
            return Err(LabError::NotUtf8 { path: path.to_owned() });
        }
        let paths = on.new_paths().await?;
        if paths.folder.as_os_str().len() > LONGEST_FOLDER {
            return Err(LabError::PathTooLong { path: paths.folder, max: LONGEST_FOLDER });
        }
        let lab = Self::spawn(on, paths, spec)?;
        let mut state = lab.state();
        let started = state.wait_for(|s| *s != LabState::Starting);
        // Owned at once: the reference holds a lock that must not be kept across an await.
        let started = tokio::time::timeout(limit, started).await.map(|state| state.map(|s| s.clone()));
        match started {
            Ok(Ok(LabState::Running | LabState::PayloadEnded(_))) => {}
            Ok(Ok(other)) => {
                // Its warden says why first and cleans up then.
                let _ = lab.end(Duration::from_secs(2)).await;
                return Err(other.as_error());
            }
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
        let env = spec.env.clone().unwrap_or_else(|| paths.env());
        let order = Order::Make { folder: paths.folder.clone(), spec: Box::new(spec) };
        wire::send(&orders, &order, &[]).map_err(launch("instruct the warden from"))?;
        let (sender, state) = watch::channel(LabState::Starting);
        let reports = orders.try_clone().map_err(launch("listen to the warden from"))?;
        let folder = paths.folder.clone();
        let detached = false.into();
        let inner = Arc::new(Inner { paths, env, warden, orders: Some(orders), state, detached });
        let owned = Arc::downgrade(&inner);
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
            // A warden that was killed could not do it. Who still has the lab wants what is in there, and removes it then.
            if owned.upgrade().is_none() {
                warden::remove_folder(&folder);
            }
            // A lab that failed keeps saying why.
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
        Ok(Self(inner))
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
        if owner::start_time(id.pid) != Some(id.started) {
            return Err(gone());
        }
        let (_, state) = watch::channel(LabState::Running);
        let env = id.env.unwrap_or_else(|| paths.env());
        Ok(Self(Arc::new(Inner { paths, env, warden, orders: None, state, detached: true.into() })))
    }

    /// Whether its environment is in the folder `env`, by whatever path.
    #[must_use]
    pub fn serves(&self, env: &Path) -> bool {
        let id = |path: &Path| fs::metadata(path).map(|is| (is.dev(), is.ino())).ok();
        id(env).is_some_and(|ours| id(&self.0.env) == Some(ours))
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

    /// Waits, at most `limit`, until its payload or itself has ended, and says how.
    pub(super) async fn over(&self, limit: Duration) -> Option<LabState> {
        let mut state = self.state();
        let over = state.wait_for(|s| !matches!(s, LabState::Starting | LabState::Running));
        match tokio::time::timeout(limit, over).await {
            Ok(Ok(state)) => Some(state.clone()),
            // Nobody is left who could say more.
            Ok(Err(_)) => Some(LabState::Ended),
            Err(_) => None,
        }
    }

    /// The failure of a lab that was joined: nobody tells us how it fares, so it is looked at.
    fn looked_at(&self) -> Option<LabError> {
        if self.0.is_gone(Duration::ZERO) {
            return Some(LabState::Ended.as_error());
        }
        match std::os::unix::net::UnixStream::connect(self.0.paths.libvirt_sock()) {
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                let last = crate::base::sandbox::tail(&self.0.paths.libvirtd_log(), 1);
                Some(LabError::Ended {
                    why: format!("its daemon does not listen any more; its log ends with: {last}"),
                })
            }
            _ => None,
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
}

impl Lab for Hermetic {
    fn kind(&self) -> LabKind {
        LabKind::Hermetic
    }

    fn libvirt_uri(&self) -> String {
        format!("qemu:///system?socket={}", in_query(&self.0.paths.libvirt_sock()))
    }

    fn credentials(&self) -> Option<&Credentials> {
        None
    }

    fn view(&self) -> View {
        View::hermetic()
    }

    fn env(&self) -> &Path {
        &self.0.env
    }

    fn runtime(&self) -> Option<&LabPaths> {
        Some(&self.0.paths)
    }

    fn exec<'a>(
        &'a self,
        argv: &'a [&'a str],
        streams: [OwnedFd; 3],
        env: Vec<(String, String)>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<i32, LabError>> {
        Box::pin(async move {
            let what = format!("run `{}`", argv.join(" "));
            let argv = argv.iter().map(|&a| a.to_owned()).collect();
            match self.ask(&what, Request::Exec { argv, env }, streams.into(), limit).await?.0 {
                Answer::Exited(status) => Ok(status),
                other => Err(LabError::Request { what, source: other.into_error() }),
            }
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, Result<TcpListener, LabError>> {
        Box::pin(async move {
            let what = format!("listen at {addr}");
            let (answer, fds) = self.ask(&what, Request::Listen { addr }, vec![], LISTEN).await?;
            let failed = |source| LabError::Request { what: what.clone(), source };
            match (answer, fds.into_iter().next()) {
                (Answer::Listening, Some(fd)) => TcpListener::from_std(fd.into()).map_err(failed),
                (other, _) => Err(failed(other.into_error())),
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, LabError>> {
        Box::pin(async {
            match self.ask("say what it used", Request::Usage, vec![], Duration::from_secs(5)).await?.0 {
                Answer::Usage(usage) => Ok(usage),
                other => {
                    Err(LabError::Request { what: "say what it used".into(), source: other.into_error() })
                }
            }
        })
    }

    fn failure(&self) -> Option<LabError> {
        if self.0.orders.is_none() {
            return self.looked_at();
        }
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

    fn broken(&self) -> BoxFuture<'_, LabError> {
        Box::pin(async {
            if self.0.orders.is_none() {
                loop {
                    if let Some(failure) = self.looked_at() {
                        return failure;
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
            let mut state = self.state();
            let _ = state.wait_for(|s| !matches!(s, LabState::Starting | LabState::Running)).await;
            self.failure().unwrap_or_else(|| LabState::Gone.as_error())
        })
    }

    fn kill_daemon(&self) -> BoxFuture<'_, Result<(), LabError>> {
        Box::pin(async {
            self.ask("kill its daemon", Request::KillDaemon, vec![], Duration::from_secs(1)).await.map(drop)
        })
    }

    fn detach(&self) -> Result<(), LabError> {
        if let Some(orders) = &self.0.orders {
            wire::send(orders, &Order::Detach, &[]).map_err(|e| LabError::Ended { why: e.to_string() })?;
        }
        self.0.detached.store(true, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    /// A warden that does not end within `limit` is killed.
    fn end(&self, limit: Duration) -> BoxFuture<'_, Result<(), LabError>> {
        Box::pin(async move {
            let inner = Arc::clone(&self.0);
            let ended = tokio::task::spawn_blocking(move || inner.end(limit)).await;
            ended.map_err(|e| LabError::Ended { why: e.to_string() })?
        })
    }
}

impl Inner {
    /// Whether its warden has ended, or does so within `limit`.
    fn is_gone(&self, limit: Duration) -> bool {
        let mut fds = [PollFd::new(&self.warden, PollFlags::IN)];
        let limit = Timespec::try_from(limit).ok();
        rustix::event::poll(&mut fds, limit.as_ref()).is_ok_and(|n| n > 0)
    }

    fn end(&self, limit: Duration) -> Result<(), LabError> {
        let gone = |limit| self.is_gone(limit);
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
        // One that was killed has left it.
        if self.orders.is_some() && self.is_gone(Duration::ZERO) {
            warden::remove_folder(&self.paths.folder);
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

/// A path as a value in the query of a URI.
fn in_query(path: &Path) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.map(|&b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
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
