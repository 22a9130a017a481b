//! A program that is talked to: one of this machine in a terminal of its own, or a shell over ssh; by waiting for texts and
//! sending others.

use std::{process::ExitStatus, time::Duration};

use tokio::task::JoinHandle;

use super::known::Known;
use crate::{
    base::{
        dial::BoxFuture,
        dialogue::{Dialogue, DialogueError},
        process::{self, ProcessError},
        terminal,
        text::chain,
        wait::Deadline,
    },
    change::{Driver, DriverError, Request, Said, Session, Target, Text},
    guest::Host,
};

/// For a program to end when its terminal is gone; then it is killed.
const HANG_UP: Duration = Duration::from_secs(2);
/// No program of a session ends because of its age: sessions are closed.
const FOREVER: Duration = Duration::from_secs(366 * 86_400);

/// Starts a program for each session.
#[derive(Debug)]
pub(super) struct Programs {
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
            let words = self.argv.iter().map(|text| known.fill(text)).collect::<Result<Vec<_>, _>>()?;
            let opened = terminal::open()
                .and_then(|(ours, theirs)| Ok((ours, [theirs.try_clone()?, theirs.try_clone()?, theirs])));
            let (terminal, streams) = opened.map_err(|error| {
                known.unconnected(format!("this machine has no terminal for it: {error}"))
            })?;
            let program = Program::start(words, streams);
            Ok(Box::new(Talk { known, dialogue: Dialogue::new(terminal), end: End::Program(program) }) as _)
        })
    }
}

/// A program that runs. It is killed when this goes.
pub(super) struct Program {
    task: JoinHandle<Result<ExitStatus, ProcessError>>,
    /// How it ended, once somebody has asked.
    ended: Option<String>,
}

impl Program {
    fn start(words: Vec<String>, streams: [std::os::fd::OwnedFd; 3]) -> Self {
        let env = vec![("TERM".to_owned(), "dumb".to_owned())];
        let task = tokio::spawn(async move {
            let argv: Vec<&str> = words.iter().map(String::as_str).collect();
            process::run_to_end(&argv, streams, env, FOREVER).await
        });
        Self { task, ended: None }
    }

    /// How it ended; that it has not by then.
    async fn end(&mut self, limit: Duration) -> String {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let ended = match tokio::time::timeout(limit, &mut self.task).await {
            Ok(Ok(Ok(status))) => format!("the program ended ({status})"),
            Ok(Ok(Err(error))) => chain(&error),
            Ok(Err(error)) => error.to_string(),
            Err(_) => return "the program left its terminal".to_owned(),
        };
        self.ended.insert(ended).clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The other end of a talk.
pub(super) enum End {
    Program(Program),
    Host(Box<Host>),
}

/// A talk.
pub(super) struct Talk {
    pub(super) known: Known,
    pub(super) dialogue: Dialogue,
    pub(super) end: End,
}

impl Talk {
    async fn failed(&mut self, error: DialogueError, what: String) -> DriverError {
        let device = self.known.device.clone();
        let heard = self.dialogue.unread().to_owned();
        let said = Box::new(Said { stdout: heard.clone(), output: heard, ..Said::default() });
        if matches!(error, DialogueError::Late) {
            return DriverError::TimedOut { device, what, said };
        }
        let why = match &mut self.end {
            End::Program(program) => program.end(HANG_UP).await,
            End::Host(_) => error.to_string(),
        };
        DriverError::Lost { device, why, said }
    }
}

impl Session for Talk {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            let mut heard = String::new();
            if let Some(expect) = request.expect {
                match self.dialogue.expect(expect, deadline).await {
                    Ok(found) => heard = found,
                    Err(error) => return Err(self.failed(error, format!("`{expect}` did not come")).await),
                }
            }
            if let Some(send) = request.send
                && let Err(error) = self.dialogue.send(&format!("{send}\n"), deadline).await
            {
                return Err(self.failed(error, "what was sent was not taken".to_owned()).await);
            }
            Ok(Said { stdout: heard.clone(), output: heard, exitcode: Some(0), ..Said::default() })
        })
    }

    fn close(self: Box<Self>, deadline: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async move {
            let Self { dialogue, end, .. } = *self;
            // Who has its terminal taken away is told to end.
            drop(dialogue);
            match end {
                End::Program(mut program) => {
                    program.end(HANG_UP.min(deadline.left())).await;
                }
                End::Host(host) => host.leave().await,
            }
            Ok(())
        })
    }
}
