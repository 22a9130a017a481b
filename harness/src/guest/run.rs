//! What running a command over any transport has in common: the trait, the streams, and the ways in which it does not
//! end.

use std::{fmt, future::Future, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
};

use super::{
    error::TransportError,
    output::{Capture, Captured, Status},
};
use crate::base::{dial::BoxFuture, wait::Deadline};

/// A way to a guest on which command lines are run.
pub(super) trait Transport: Send + Sync {
    /// Runs a line to its end. Everything it starts carries the call's mark and is killed when the deadline passes, or
    /// when the future is dropped.
    ///
    /// # Errors
    /// [`RunError::Before`] only when nothing of it can have begun, and then within `call.opening`, with all of the
    /// input still in `streams`.
    fn run<'a>(&'a self, call: &'a Call, streams: &'a mut Streams)
    -> BoxFuture<'a, Result<Status, RunError>>;
}

/// A command line on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) line: String,
    /// What everything the line starts is found by, see [`call_mark`].
    pub(super) mark: String,
    /// How long it may take until the guest takes the line.
    pub(super) opening: Duration,
    pub(super) deadline: Deadline,
}

/// Pieces of a stream that are read ahead.
const AHEAD: usize = 16;
/// Bytes of a piece.
const PIECE: usize = 64 * 1024;

/// A piece of a stream, or why there is no more of it.
pub(super) type Chunk = io::Result<Vec<u8>>;

/// The streams of a command; they stay with the caller, who has what arrived whatever happens.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) stdin: Source,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
}

/// Where standard input comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a producer; an error among the chunks means that the command must not take what came for the whole.
    Chunks(mpsc::Receiver<Chunk>),
}

impl Source {
    /// What `reader` gives, read as it is needed.
    pub(super) fn reading(mut reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (to, chunks) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                let mut bytes = Vec::with_capacity(PIECE);
                let piece = match reader.read_buf(&mut bytes).await {
                    Ok(0) => return,
                    Ok(_) => Ok(bytes),
                    Err(error) => Err(error),
                };
                let broken = piece.is_err();
                if to.send(piece).await.is_err() || broken {
                    return;
                }
            }
        });
        Self::Chunks(chunks)
    }

    /// All of it.
    pub(super) async fn whole(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await {
            all.extend(chunk?);
        }
        Ok(all)
    }

    pub(super) async fn next(&mut self) -> Option<Chunk> {
        match self {
            Self::Bytes(bytes) if bytes.is_empty() => None,
            Self::Bytes(bytes) => Some(Ok(std::mem::take(bytes))),
            Self::Chunks(chunks) => chunks.recv().await,
        }
    }
}

/// Where an output goes.
#[expect(
    clippy::large_enum_variant,
    reason = "there are two for each command that runs, and most are the large one"
)]
pub(super) enum Sink {
    /// Into memory, or a file where it is too long.
    Capture(Capture),
    /// To a consumer.
    Chunks(mpsc::Sender<Chunk>),
    /// To whoever reads along.
    Writer(Box<dyn AsyncWrite + Send + Unpin>),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture(_) => "Capture",
            Self::Chunks(_) => "Chunks",
            Self::Writer(_) => "Writer",
        })
    }
}

impl Sink {
    /// What of it was kept.
    pub(super) async fn taken(self) -> io::Result<Captured> {
        match self {
            Self::Capture(mut capture) => capture.take().await,
            Self::Chunks(_) | Self::Writer(_) => Ok(Captured::default()),
        }
    }

    pub(super) async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Capture(capture) => capture.write(data).await,
            Self::Chunks(chunks) => {
                let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the output any more");
                chunks.send(Ok(data.to_vec())).await.map_err(gone)
            }
            Self::Writer(writer) => {
                writer.write_all(data).await?;
                writer.flush().await
            }
        }
    }
}

/// A command that did not run to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// It was not started.
    #[error("it was not started")]
    Before(#[source] TransportError),
    /// The way to the guest was lost while it ran.
    #[error("the way to the guest was lost while it ran")]
    During(#[source] TransportError),
    /// The deadline passed.
    #[error("the deadline passed while {stage}")]
    Deadline {
        stage: Stage,
        /// Whether what it started in the guest is known to be gone.
        killed: bool,
    },
    /// This host could not provide its input or take its output.
    #[error("this host could not provide its input or take its output")]
    Local(#[source] io::Error),
}

/// How far a command got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// The way to the guest was being opened.
    Connecting,
    /// All sessions the guest's ssh server allows were in use.
    Queueing,
    /// The guest was asked to start it.
    Starting,
    /// It ran.
    Running,
    /// It had ended, but something it started held its output open.
    Draining(Status),
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Queueing => f.write_str("all sessions its ssh server allows were in use"),
            Self::Starting => f.write_str("the guest was asked to start it"),
            Self::Running => f.write_str("it ran"),
            Self::Draining(status) => {
                write!(f, "a process it left in the background held its output open (it ended with {status})")
            }
        }
    }
}

/// A mark for everything one command starts, unlike any other on this guest.
pub(super) fn call_mark() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}-{next:x}", std::process::id(), now.as_nanos())
}

/// A command under way: what it started in the guest is killed when this goes before it is over.
pub(super) struct Running(Option<BoxFuture<'static, bool>>);

impl Running {
    /// `kill` answers whether nothing is left.
    pub(super) fn new(kill: impl Future<Output = bool> + Send + 'static) -> Self {
        Self(Some(Box::pin(kill)))
    }

    /// It has ended by itself.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }

    /// Kills it; false when that is not certain. Goes on when nobody waits for it any more.
    pub(super) async fn kill(mut self) -> bool {
        match self.start_to_kill() {
            Some(killing) => killing.await.unwrap_or(false),
            None => false,
        }
    }

    fn start_to_kill(&mut self) -> Option<JoinHandle<bool>> {
        let kill = self.0.take()?;
        tokio::runtime::Handle::try_current().ok().map(|runtime| runtime.spawn(kill))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.start_to_kill();
    }
}

/// A script that kills everything started under `mark`; it succeeds when nothing of it is left.
pub(super) fn kill_script(mark: &str) -> String {
    let sign = super::command::CALL_VARIABLE;
    // The status of grep says nothing here: processes vanish under it.
    format!(
        "i=0; while found=$(grep -ls '{sign}={mark}' /proc/[0-9]*/environ); [ -n \"$found\" ]; do \
         for p in $found; do p=${{p#/proc/}}; kill -9 \"${{p%/environ}}\" 2>/dev/null; done; \
         i=$((i+1)); [ $i -lt 20 ] || exit 1; done"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kill_script_ends_a_family_and_nothing_else() {
        let mark = call_mark();
        let mut other =
            std::process::Command::new("sleep").arg("1000").env("POLDER_CALL", "other").spawn().unwrap();
        let mut family = std::process::Command::new("sh")
            .args(["-c", "setsid sleep 1000 & sleep 1000; :"])
            .env(super::super::command::CALL_VARIABLE, &mark)
            .spawn()
            .unwrap();
        let kill = std::process::Command::new("sh").args(["-c", &kill_script(&mark)]).status().unwrap();
        assert!(kill.success());
        assert!(!family.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
