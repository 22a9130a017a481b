//! Everything that can go wrong with a guest, told with the machine, what was tried, and its last console lines.

use std::{fmt, io, sync::Arc, time::Duration};

use super::{
    agent::AgentError, command::CommandError, link::SshError, machine::Standstill, output::Output,
    run::Stage, serial::ConsoleError, spec::Channel,
};
use crate::{
    base::{id::MachineName, wait::WaitError},
    event::Fault,
    image::info::Unsupported,
};

/// Lines of each output shown in a message.
const SHOWN_LINES: usize = 60;
/// Lines of the console shown in a message.
pub(super) const CONSOLE_LINES: usize = 12;

/// Something a guest was asked for did not work.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The image cannot do it; nothing was tried.
    #[error("cannot {what} on {machine}")]
    Unsupported {
        /// The machine.
        machine: MachineName,
        /// What was asked for.
        what: String,
        /// What the image lacks.
        #[source]
        source: Unsupported,
    },
    /// No guest can be given this command; nothing was tried.
    #[error("cannot give `{command}` to {machine}")]
    Command {
        /// The machine.
        machine: MachineName,
        /// The command.
        command: String,
        /// What is wrong with it.
        #[source]
        source: CommandError,
    },
    /// No server answers this question; nothing was asked.
    #[error("cannot ask {machine} for {what}: {why}")]
    Question {
        /// The machine.
        machine: MachineName,
        /// The question.
        what: String,
        /// What is wrong with it, and where it was made.
        why: String,
    },
    /// There was no way to the guest; nothing was run.
    #[error("cannot {what} on {machine}: it cannot be reached{}{console}", because(*standstill))]
    Unreachable {
        /// The machine.
        machine: MachineName,
        /// What was asked for.
        what: String,
        /// Why nothing in the machine can answer, where that is known.
        standstill: Option<Standstill>,
        /// The end of its console.
        console: ConsoleTail,
        /// Why it cannot be reached.
        #[source]
        source: TransportError,
    },
    /// The way to the guest was lost while the command ran; it may or may not have ended.
    #[error("lost {} while it ran `{}`{ran}", ran.machine, ran.command)]
    Lost {
        /// The command, with its output so far.
        ran: Box<Ran>,
        /// How it was lost.
        #[source]
        source: TransportError,
    },
    /// The command failed.
    #[error("`{}` failed on {} with {}{ran}", .0.command, .0.machine, .0.output.status, ran = .0)]
    Failed(Box<Ran>),
    /// The command succeeded and should not have.
    #[error("`{}` succeeded on {} but was expected to fail{ran}", .0.command, .0.machine, ran = .0)]
    Succeeded(Box<Ran>),
    /// The command did not end in time.
    #[error(
        "`{}` did not end on {} within {:.1} s; at that time {stage}{}{ran}",
        ran.command, ran.machine, limit.as_secs_f64(),
        if *killed { "" } else { "; what it started may still run" }
    )]
    Deadline {
        /// The command, with its output so far.
        ran: Box<Ran>,
        /// The deadline it really had.
        limit: Duration,
        /// How far it got.
        stage: String,
        /// Whether it ran, so that the guest was there.
        started: bool,
        /// Whether nothing of it is left in the guest.
        killed: bool,
    },
    /// The guest's kernel stopped.
    #[error("{machine} stopped with a kernel panic, asked to {what}: {line}{console}")]
    Panicked {
        /// The machine.
        machine: MachineName,
        /// What it was asked for.
        what: String,
        /// The line of its console that says so.
        line: String,
        /// The end of its console.
        console: ConsoleTail,
    },
    /// Something waited for did not happen.
    #[error("gave up waiting on {machine}{console}")]
    Wait {
        /// The machine.
        machine: MachineName,
        /// The end of its console.
        console: ConsoleTail,
        /// Whether the guest answered when it was looked at last.
        answered: bool,
        /// What was waited for and what was seen.
        #[source]
        source: WaitError,
    },
    /// A job's files are gone, and with them what it said and how it ended.
    #[error(
        "the job `{command}` is gone from {machine}: it was killed together with what watched it, or {machine} has started anew"
    )]
    JobGone {
        /// The machine.
        machine: MachineName,
        /// The command.
        command: String,
    },
    /// The guest has no such file or folder.
    #[error("{machine} has no file or folder `{path}`")]
    NoSuchPath {
        /// The machine.
        machine: MachineName,
        /// The path.
        path: String,
    },
    /// Files did not arrive whole.
    #[error("cannot copy {from} to {to}; {left}")]
    Copy {
        /// Where from.
        from: String,
        /// Where to.
        to: String,
        /// What is at the target now.
        left: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This host failed, not the guest.
    #[error("cannot {what} for {machine} on this host")]
    Local {
        /// The machine.
        machine: MachineName,
        /// What this host did.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// None of the ways to the guest worked.
    #[error("cannot {what} on {machine} in any way: {}", list(tried))]
    NoWay {
        /// The machine.
        machine: MachineName,
        /// What was asked for.
        what: String,
        /// Each way and why it did not work.
        tried: Vec<(Channel, GuestError)>,
    },
}

/// Why a way to a guest does not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// Over ssh.
    #[error(transparent)]
    Ssh(#[from] Arc<SshError>),
    /// Over the guest agent.
    #[error(transparent)]
    Agent(#[from] Arc<AgentError>),
    /// On the console.
    #[error(transparent)]
    Console(#[from] Arc<ConsoleError>),
}

impl TransportError {
    /// Whether what is there is not the machine that is meant.
    pub(super) fn is_another_machine(&self) -> bool {
        matches!(self, Self::Ssh(error) if matches!(**error, SshError::HostKey { .. }))
    }

    /// Whether another attempt on the same way cannot end otherwise.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Ssh(error) => matches!(**error, SshError::HostKey { .. } | SshError::Auth { .. }),
            Self::Agent(error) => error.is_final(),
            Self::Console(error) => error.is_final(),
        }
    }
}

/// A command that was run, for an error: shows both outputs and the end of the console.
#[derive(Debug)]
pub struct Ran {
    /// The machine.
    pub machine: MachineName,
    /// The command, as typed.
    pub command: String,
    /// How it was run.
    pub over: Channel,
    /// Why not in a better way, if there is one.
    pub because: Option<String>,
    /// What it left.
    pub output: Output,
    /// The end of the console.
    pub console: ConsoleTail,
}

/// The last lines of a console, for an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleTail(pub Vec<String>);

impl GuestError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Deadline { started: false, .. }
            | Self::Wait { answered: false, .. }
            | Self::Local { .. }
            | Self::NoWay { .. } => Fault::Environment,
            Self::Copy { source, .. } => {
                source.downcast_ref::<Self>().map_or(Fault::Environment, Self::fault)
            }
            _ => Fault::Product,
        }
    }

    /// The error and its causes in one line, without outputs and consoles: for a status.
    pub(crate) fn brief(&self) -> String {
        brief(self)
    }
}

impl Ran {
    /// How it was run, and why.
    pub(super) fn way(&self) -> String {
        let because = self.because.as_ref().map(|why| format!(", because {why}")).unwrap_or_default();
        format!("over {}{because}", self.over)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Output { stdout, stderr, took, .. } = &self.output;
        write!(f, " ({}, after {:.1} s)", self.way(), took.as_secs_f64())?;
        for (name, stream) in [("stdout", stdout), ("stderr", stderr)] {
            let text = stream.tail(SHOWN_LINES);
            if !text.trim().is_empty() {
                write!(f, "\n--- {name} ---\n{}", text.trim_end())?;
            }
        }
        write!(f, "{}", self.console)
    }
}

impl fmt::Display for ConsoleTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "\n--- console ---\n{}", self.0.join("\n")) }
    }
}

fn because(standstill: Option<Standstill>) -> String {
    standstill.map(|standstill| format!(", {standstill}")).unwrap_or_default()
}

/// `error` and its causes in one line.
pub(super) fn brief(error: &dyn std::error::Error) -> String {
    let mut text = first_line(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {}", first_line(error));
        cause = error.source();
    }
    text
}

fn first_line(error: &dyn std::error::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn list(tried: &[(Channel, GuestError)]) -> String {
    let tried: Vec<String> =
        tried.iter().map(|(over, error)| format!("over {over}: {}", error.brief())).collect();
    tried.join("; ")
}

impl Stage {
    /// Whether the guest was there and did something.
    pub(super) fn started(&self) -> bool {
        matches!(self, Self::Running | Self::Draining(_) | Self::Queueing)
    }
}
