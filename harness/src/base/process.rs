//! A short host command: argv, captured output, a deadline, and death with this process.

use std::{
    io,
    process::{Command, Output, Stdio},
    time::Duration,
};

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
