//! The keeper's process: starts, says that it is ready or why not, waits to be let go, sets everything back.

use std::{
    fs,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags},
    process::Signal,
};

use super::{relay::Link, spec::Keep};
use crate::base::sys::{self, Fork};

/// How long a program that captures may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(5);

/// Entered through the door, before `main`, with what is asked as JSON; returns the exit code, that of a process which
/// ends as soon as the one that keeps is at work.
pub(in crate::lab) fn main(asked: &str) -> i32 {
    sys::ignore_sigpipe();
    sys::close_all_but(&[]);
    match begin(asked) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

fn begin(asked: &str) -> io::Result<()> {
    let asked: Keep = serde_json::from_str(asked)?;
    let (mut news, tell) = io::pipe()?;
    match sys::fork()? {
        Fork::Parent(_) => {
            drop(tell);
            let mut said = String::new();
            news.read_to_string(&mut said)?;
            if said == "ready" { Ok(()) } else { Err(io::Error::other(said)) }
        }
        Fork::Child => {
            drop(news);
            rustix::process::setsid()?;
            let _ = rustix::thread::set_name(c"polder-keeper");
            let mut tell = Some(tell);
            let code = match keep(asked, &mut tell) {
                Ok(()) => 0,
                Err(error) => {
                    let said = error.to_string();
                    let _ = tell.map(|mut tell| tell.write_all(said.as_bytes()));
                    1
                }
            };
            sys::exit_now(code)
        }
    }
}

/// Does what is asked until it is let go.
fn keep(asked: Keep, tell: &mut Option<io::PipeWriter>) -> io::Result<()> {
    let signals = sys::signal_fd(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
    let mut ready = || tell.take().map_or(Ok(()), |mut tell| tell.write_all(b"ready"));
    match asked {
        Keep::Hold { before, after } => {
            let done = before.iter().try_for_each(|argv| run(argv)).and_then(|()| ready());
            if done.is_ok() {
                wait(&signals)?;
            }
            let left: Vec<_> = after.iter().filter_map(|argv| run(argv).err()).collect();
            complain(&io::stdin(), &left);
            done
        }
        Keep::Relay(relay) => {
            let mut link = Link::open(relay)?;
            let done = ready().and_then(|()| link.carry(&signals));
            link.close();
            done
        }
        Keep::Capture { interface } => {
            let mut capture = Capture::start(&interface)?;
            let done = ready().and_then(|()| wait(&signals));
            capture.end();
            done
        }
    }
}

/// Tells the asker, who is told nothing when everything was set back.
pub(super) fn complain(asker: impl AsFd, left: &[io::Error]) {
    let said: Vec<_> = left.iter().map(ToString::to_string).collect();
    if !said.is_empty() {
        // One that is gone does not care.
        let _ = rustix::io::write(asker, said.join("; ").as_bytes());
    }
}

/// Waits until the asker is gone or somebody sends a signal.
fn wait(signals: &OwnedFd) -> io::Result<()> {
    let stdin = io::stdin();
    loop {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Runs a command to its end.
pub(super) fn run(argv: &[String]) -> io::Result<()> {
    let line = argv.join(" ");
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Ours are blocked for the descriptor that reports them; a command has its own way with signals.
    sys::fresh_session(&mut command);
    let output =
        command.output().map_err(|error| io::Error::other(format!("cannot run `{line}`: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("`{line}` failed ({}): {}", output.status, said.trim())))
}

/// A program that writes packets to our standard output.
struct Capture(Child);

impl Capture {
    fn start(interface: &str) -> io::Result<Self> {
        let mut command = Command::new("tcpdump");
        command
            .args(["-i", interface, "-w", "-", "-U", "--immediate-mode", "-s", "0", "-Z", "root"])
            .stdin(Stdio::null())
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped());
        sys::fresh_session(&mut command);
        let child = command.spawn().map_err(|error| {
            io::Error::other(format!("cannot run `tcpdump`: {error}; install the package `tcpdump`"))
        })?;
        let mut capture = Self(child);
        let start = Instant::now();
        // The file's header is written when packets are being taken.
        while written(io::stdout().as_fd()) == 0 {
            if let Some(status) = capture.0.try_wait()? {
                let mut said = String::new();
                let _ = capture.0.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
                return Err(io::Error::other(format!("`tcpdump` failed ({status}): {}", said.trim())));
            }
            if start.elapsed() > PATIENCE {
                capture.end();
                return Err(io::Error::other("`tcpdump` did not begin to capture"));
            }
            std::thread::sleep(TICK);
        }
        Ok(capture)
    }

    /// Lets it write what it has, and waits for it.
    fn end(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, Signal::INT);
        }
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) {
            if start.elapsed() > PATIENCE {
                let _ = self.0.kill();
            }
            std::thread::sleep(TICK);
        }
    }
}

fn written(file: BorrowedFd<'_>) -> i64 {
    rustix::fs::fstat(file).map_or(0, |is| is.st_size)
}

/// Whether there is an interface of that name, and its number.
pub(super) fn interface(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}
