//! A short host command: argv, captured output, a deadline, and death with this process.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// A host command that could not be run to success.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start `{command}`")]
    Start {
        /// The command line, for people.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command line, for people.
        command: String,
        /// Exit status or signal.
        status: std::process::ExitStatus,
        /// Its standard error, trimmed.
        stderr: String,
    },
    /// It did not end in time and was killed.
    #[error("`{command}` did not end within {} s and was killed", limit.as_secs_f64())]
    TimedOut {
        /// The command line, for people.
        command: String,
        /// The limit.
        limit: Duration,
    },
}

/// Runs `argv` to its end and returns its output, success or not.
///
/// The child is spawned and awaited on one thread, so that the parent-death signal (which follows the *thread*)
/// kills it when this process dies.
///
/// # Errors
/// [`ProcessError::Start`] or [`ProcessError::TimedOut`].
pub async fn output(argv: &[&str], limit: Duration) -> Result<Output, ProcessError> {
    let command = argv.join(" ");
    let owned: Vec<String> = argv.iter().map(|&s| s.to_owned()).collect();
    let (pid_sender, pid) = tokio::sync::oneshot::channel();
    let thread = tokio::task::spawn_blocking(move || {
        let (program, args) = owned.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        super::sys::die_with_parent(&mut command);
        let child = command.spawn()?;
        let _ = pid_sender.send(child.id());
        child.wait_with_output()
    });
    match tokio::time::timeout(limit, thread).await {
        Ok(Ok(Ok(output))) => Ok(output),
        Ok(Ok(Err(source))) => Err(ProcessError::Start { command, source }),
        Ok(Err(join)) => Err(ProcessError::Start { command, source: io::Error::other(join) }),
        Err(_) => {
            if let Ok(pid) = pid.await {
                super::sys::kill(pid);
            }
            Err(ProcessError::TimedOut { command, limit })
        }
    }
}

/// Runs `argv` and returns its standard output as text.
///
/// # Errors
/// As [`output`], and [`ProcessError::Failed`] with the standard error when it does not succeed.
pub async fn stdout(argv: &[&str], limit: Duration) -> Result<String, ProcessError> {
    let output = output(argv, limit).await?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(ProcessError::Failed {
            command: argv.join(" "),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

/// Runs `argv` on the given standard streams, `env` added to our environment, and returns its exit status (128 + signal
/// for a signal).
///
/// It is killed, with its process group, after `limit` and when the future is dropped; it dies with this process.
///
/// # Errors
/// [`ProcessError::Start`] or [`ProcessError::TimedOut`].
pub async fn run(
    argv: &[&str],
    streams: [OwnedFd; 3],
    env: Vec<(String, String)>,
    limit: Duration,
) -> Result<i32, ProcessError> {
    let status = run_to_end(argv, streams, env, limit).await?;
    Ok(status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(255))
}

/// The same, and tells how it ended. Where its standard input is a terminal that nobody else has, it is its terminal.
///
/// # Errors
/// As for [`run`].
pub async fn run_to_end(
    argv: &[&str],
    streams: [OwnedFd; 3],
    env: Vec<(String, String)>,
    limit: Duration,
) -> Result<ExitStatus, ProcessError> {
    let line = argv.join(" ");
    let owned: Vec<String> = argv.iter().map(|&s| s.to_owned()).collect();
    let life = Killer(Arc::new(Mutex::new(Life::New)));
    let shared = Arc::clone(&life.0);
    let thread = tokio::task::spawn_blocking(move || {
        let (program, args) = owned.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let [stdin, stdout, stderr] = streams.map(Stdio::from);
        let mut command = Command::new(program);
        command.args(args).envs(env).stdin(stdin).stdout(stdout).stderr(stderr);
        super::sys::die_with_parent(&mut command);
        super::sys::fresh_session(&mut command);
        live(&mut command, &shared)
    });
    match tokio::time::timeout(limit, thread).await {
        Ok(Ok(Ok(status))) => Ok(status),
        Ok(Ok(Err(source))) => Err(ProcessError::Start { command: line, source }),
        Ok(Err(join)) => Err(ProcessError::Start { command: line, source: io::Error::other(join) }),
        Err(_) => Err(ProcessError::TimedOut { command: line, limit }),
    }
}

/// Where the life of a process group stands. Its number may be signalled only while nobody can have reaped it.
enum Life {
    New,
    Running(Pid),
    Over,
}

/// Kills the group when it goes.
struct Killer(Arc<Mutex<Life>>);

impl Drop for Killer {
    fn drop(&mut self) {
        end(&self.0);
    }
}

fn end(life: &Mutex<Life>) {
    let mut life = life.lock().unwrap_or_else(PoisonError::into_inner);
    if let Life::Running(leader) = std::mem::replace(&mut *life, Life::Over) {
        let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    }
}

fn live(command: &mut Command, life: &Mutex<Life>) -> io::Result<ExitStatus> {
    let (mut child, leader) = {
        let mut life = life.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*life, Life::Over) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let child = command.spawn()?;
        let leader = number(&child)?;
        *life = Life::Running(leader);
        (child, leader)
    };
    // Not reaped by this: until the group is killed, the number is nobody else's.
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(leader), ended) {}
    end(life);
    child.wait()
}

fn number(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    /// Runs a script of the shell's, with its output in a file.
    async fn script(text: &str, limit: Duration) -> (Result<i32, ProcessError>, String) {
        let out = tempfile::tempfile().unwrap();
        let streams = [null(), out.try_clone().unwrap().into(), out.try_clone().unwrap().into()];
        let result = run(&["sh", "-c", text], streams, vec![("X".into(), "y z".into())], limit).await;
        std::io::Seek::rewind(&mut &out).unwrap();
        (result, std::io::read_to_string(out).unwrap())
    }

    /// Waits until a killed process is seen to be gone.
    async fn gone(pid: &str) {
        let stat = format!("/proc/{}/stat", pid.trim());
        for _ in 0..500 {
            if std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{pid} still runs");
    }

    #[tokio::test]
    async fn status_streams_and_environment_are_passed_on() {
        let (status, out) = script("echo \"$X\"; echo e >&2; exit 7", LIMIT).await;
        assert_eq!((status.unwrap(), out.as_str()), (7, "y z\ne\n"));
        assert_eq!(script("kill -9 $$", LIMIT).await.0.unwrap(), 137);
        let error = run(&["/nowhere/x"], [null(), null(), null()], vec![], LIMIT).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot start `/nowhere/x`");
    }

    #[tokio::test]
    async fn what_it_leaves_in_its_group_ends_with_it() {
        let (status, pid) = script("sleep 1000 & echo $!", LIMIT).await;
        assert_eq!(status.unwrap(), 0);
        gone(&pid).await;
    }

    #[tokio::test]
    async fn it_is_killed_with_its_children_when_time_is_up() {
        let (status, pid) = script("sleep 1000 & echo $!; wait", Duration::from_millis(300)).await;
        assert!(status.unwrap_err().to_string().contains("did not end within 0.3 s"));
        gone(&pid).await;
    }
}
