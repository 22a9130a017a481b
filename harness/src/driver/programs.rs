//! A program of this machine for each command: the command itself, or one that carries it. No shell has a part in it.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{io::AsyncReadExt, net::unix::pipe};

use super::known::Known;
use crate::{
    base::{
        dial::BoxFuture,
        process::{self, ProcessError},
        text::chain,
        wait::Deadline,
    },
    change::{Driver, DriverError, Heard, Request, Said, Session, Target, Text},
};

/// For the last words of a program that has ended: others may have its output open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Starts programs.
#[derive(Debug)]
pub(super) struct Programs {
    /// The beginning of the command line; empty: what is sent is all of it.
    pub(super) argv: Vec<Text>,
}

impl Driver for Programs {
    fn open<'a>(
        &'a self,
        target: Target<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async move {
            let known = Known::of(target, self.argv.iter(), deadline).await?;
            Ok(Box::new(Running { known, argv: self.argv.clone() }) as Box<dyn Session>)
        })
    }
}

struct Running {
    known: Known,
    argv: Vec<Text>,
}

impl Session for Running {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.known.device)?;
            let Some(send) = request.send else { return Ok(Said::default()) };
            let words = self.known.words(&self.argv, send)?;
            run(&self.known, &words, deadline).await
        })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A pipe: the end that is read here, and the one that is written by others.
fn pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, theirs) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(ours.into())?, theirs.into()))
}

async fn run(known: &Known, words: &[String], deadline: Deadline) -> Result<Said, DriverError> {
    let here = |error: io::Error| known.refused(format!("this machine has no pipe for it: {error}"));
    let nothing: OwnedFd = std::fs::File::open("/dev/null").map_err(here)?.into();
    let ((mut stdout, out), (mut stderr, err)) = (pipe().map_err(here)?, pipe().map_err(here)?);
    let argv: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut heard = Heard::default();
    let ended = {
        let ending = process::run_to_end(&argv, [nothing, out, err], vec![], deadline.left());
        let hearing = hear(&mut stdout, &mut stderr, &mut heard);
        tokio::pin!(ending, hearing);
        tokio::select! {
            ended = &mut ending => {
                let _ = tokio::time::timeout(LAST_WORDS, hearing).await;
                ended
            }
            () = &mut hearing => ending.await,
        }
    };
    let said = heard.said();
    match ended {
        Ok(status) => {
            use std::os::unix::process::ExitStatusExt;
            let mut said = said.ended(status.code());
            if let Some(signal) = status.signal() {
                said.failure = Some(format!("signal {signal}"));
            }
            Ok(said)
        }
        Err(ProcessError::TimedOut { command, .. }) => Err(DriverError::TimedOut {
            device: known.device.clone(),
            what: format!("`{command}` did not end, and was killed"),
            said: Box::new(said),
        }),
        Err(error) => Err(known.refused(chain(&error))),
    }
}

/// Hears both streams to their ends.
async fn hear(stdout: &mut pipe::Receiver, stderr: &mut pipe::Receiver, heard: &mut Heard) {
    let (mut out, mut err) = ([0; 16 * 1024], [0; 16 * 1024]);
    let (mut out_is_open, mut err_is_open) = (true, true);
    while out_is_open || err_is_open {
        tokio::select! {
            read = stdout.read(&mut out), if out_is_open => match out.get(..read.unwrap_or_default()) {
                Some([]) | None => out_is_open = false,
                Some(piece) => heard.stdout(piece),
            },
            read = stderr.read(&mut err), if err_is_open => match err.get(..read.unwrap_or_default()) {
                Some([]) | None => err_is_open = false,
                Some(piece) => heard.stderr(piece),
            },
        }
    }
}
