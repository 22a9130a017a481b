//! The requests process 1 answers: connections to addresses inside and from them, commands inside, what the lab used.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{AddressFamily, SocketFlags, SocketType},
    process::{Pid, Signal},
};

use super::wire::{self, Answer, Request};
use crate::{base::sys, event::Usage};

/// The listening socket and everything under way.
pub(super) struct Control {
    listener: OwnedFd,
    daemon: u32,
    clients: Vec<Client>,
    meter: Meter,
}

struct Client {
    socket: OwnedFd,
    work: Work,
}

enum Work {
    /// Connected, has not asked yet.
    Asking,
    /// Its connection is being made.
    Dialling { stream: OwnedFd, until: Instant },
    /// Its command runs.
    Running(Pid),
    /// Answered; goes with the next turn.
    Done,
}

impl Control {
    /// Listens at `path`, for the lab whose daemon is the child `daemon`.
    pub(super) fn open(path: &Path, daemon: u32) -> io::Result<Self> {
        let listener = wire::socket()?;
        rustix::net::bind(&listener, &rustix::net::SocketAddrUnix::new(path)?)?;
        rustix::net::listen(&listener, 128)?;
        Ok(Self { listener, daemon, clients: Vec::new(), meter: Meter::default() })
    }

    /// Waits at most `tick` for something to do and does it; `false` when the warden is gone.
    pub(super) fn turn(
        &mut self,
        signals: BorrowedFd<'_>,
        warden: BorrowedFd<'_>,
        tick: Duration,
    ) -> io::Result<bool> {
        let now = Instant::now();
        let next = self.clients.iter().filter_map(|c| match c.work {
            Work::Dialling { until, .. } => Some(until.saturating_duration_since(now)),
            _ => None,
        });
        let wait = next.chain([tick]).min().unwrap_or(tick) + Duration::from_micros(500);
        let mut fds = vec![
            PollFd::from_borrowed_fd(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(warden, PollFlags::empty()),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        for client in &self.clients {
            match &client.work {
                Work::Asking => fds.push(PollFd::new(&client.socket, PollFlags::IN)),
                Work::Dialling { stream, .. } => fds.push(PollFd::new(stream, PollFlags::OUT)),
                Work::Running(_) | Work::Done => fds.push(PollFd::new(&client.socket, PollFlags::empty())),
            }
        }
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        match rustix::event::poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let seen: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let mut seen = seen.into_iter().skip(1);
        if seen.next().unwrap_or(PollFlags::empty()).contains(PollFlags::HUP) {
            return Ok(false);
        }
        let newcomer = !seen.next().unwrap_or(PollFlags::empty()).is_empty();
        for (client, flags) in self.clients.iter_mut().zip(seen) {
            client.proceed(flags, self.daemon, &mut self.meter);
        }
        self.clients.retain(|client| !matches!(client.work, Work::Done));
        if newcomer && let Ok(socket) = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) {
            self.clients.push(Client { socket, work: Work::Asking });
        }
        self.meter.sample();
        Ok(true)
    }

    /// A child of process 1 was reaped; whoever asked for it is told.
    pub(super) fn child_ended(&mut self, pid: Pid, status: i32) {
        for client in &mut self.clients {
            if matches!(client.work, Work::Running(running) if running == pid) {
                client.answer(&Answer::Exited(status), &[]);
            }
        }
    }
}

impl Client {
    fn answer(&mut self, answer: &Answer, fds: &[BorrowedFd<'_>]) {
        let _ = wire::send(&self.socket, answer, fds);
        self.work = Work::Done;
    }

    fn refuse(&mut self, error: &io::Error) {
        self.answer(&Answer::refused(error), &[]);
    }

    fn proceed(&mut self, flags: PollFlags, daemon: u32, meter: &mut Meter) {
        match &self.work {
            Work::Asking if !flags.is_empty() => match wire::receive(&self.socket) {
                Ok(Some((request, fds))) => self.start(request, fds, daemon, meter),
                Ok(None) => self.work = Work::Done,
                Err(error) => self.refuse(&error),
            },
            Work::Dialling { stream, until } => {
                if flags.is_empty() {
                    if Instant::now() >= *until {
                        self.refuse(&io::ErrorKind::TimedOut.into());
                    }
                    return;
                }
                match rustix::net::sockopt::socket_error(stream) {
                    Ok(Ok(())) => {
                        let _ = wire::send(&self.socket, &Answer::Dialled, &[stream.as_fd()]);
                        self.work = Work::Done;
                    }
                    Ok(Err(errno)) | Err(errno) => self.refuse(&errno.into()),
                }
            }
            Work::Running(pid) if flags.intersects(PollFlags::HUP | PollFlags::ERR) => {
                let _ = rustix::process::kill_process_group(*pid, Signal::KILL);
                self.work = Work::Done;
            }
            _ => {}
        }
    }

    fn start(&mut self, request: Request, fds: Vec<OwnedFd>, daemon: u32, meter: &mut Meter) {
        match request {
            Request::Dial { addr, limit_ms } => match dial(addr) {
                Ok(stream) => {
                    self.work =
                        Work::Dialling { stream, until: Instant::now() + Duration::from_millis(limit_ms) };
                }
                Err(error) => self.refuse(&error),
            },
            Request::Listen { addr } => match listen(addr) {
                Ok(listener) => self.answer(&Answer::Listening, &[listener.as_fd()]),
                Err(error) => self.refuse(&error),
            },
            Request::Exec { argv, env } => match exec(&argv, &env, fds) {
                Ok(pid) => self.work = Work::Running(pid),
                Err(error) => self.refuse(&error),
            },
            Request::KillDaemon => {
                sys::kill(daemon);
                self.answer(&Answer::Killed, &[]);
            }
            Request::Usage => {
                let usage = meter.read();
                self.answer(&Answer::Usage(usage), &[]);
            }
        }
    }
}

fn dial(addr: std::net::SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let stream = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&stream, &addr) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(stream),
        Err(errno) => Err(errno.into()),
    }
}

fn listen(addr: std::net::SocketAddr) -> io::Result<OwnedFd> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

fn exec(argv: &[String], env: &[(String, String)], fds: Vec<OwnedFd>) -> io::Result<Pid> {
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut fds = fds.into_iter();
    let (Some(stdin), Some(stdout), Some(stderr)) = (fds.next(), fds.next(), fds.next()) else {
        return Err(io::Error::other("a command needs three descriptors"));
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(env.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr));
    sys::fresh_session(&mut command);
    let child = command.spawn()?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Measures all processes of the lab: process 1 sees them all in its `/proc`.
#[derive(Default)]
struct Meter {
    peak_kib: u64,
    last: Option<Instant>,
}

impl Meter {
    /// Looks at the memory, at most once a second.
    fn sample(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            self.last = Some(Instant::now());
            self.peak_kib = self.peak_kib.max(processes().map(|pid| own_kib(&pid)).sum());
        }
    }

    fn read(&mut self) -> Usage {
        self.last = None;
        self.sample();
        let ticks: u64 = processes().map(|pid| cpu_ticks(&pid)).sum();
        let per_second = rustix::param::clock_ticks_per_second();
        Usage {
            cpu_seconds: ticks as f64 / per_second as f64 + sys::reaped_cpu_seconds(),
            peak_memory_mib: self.peak_kib as f64 / 1024.0,
        }
    }
}

fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

/// Memory a process has of its own: what the kernel counts anyway. To have the proportional set size told, it would walk
/// all pages, which takes milliseconds for each machine.
fn own_kib(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    field("RssAnon:") + field("RssShmem:")
}

/// User and system time of a process; for others than process 1 (whose children are counted by itself) its reaped
/// children's as well.
fn cpu_ticks(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let own_only = if pid == "1" { 2 } else { 4 };
    after_name.split_whitespace().skip(11).take(own_only).filter_map(|n| n.parse::<u64>().ok()).sum()
}
