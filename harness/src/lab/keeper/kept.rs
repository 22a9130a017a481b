//! The asker's side: starts a keeper and lets go of it.

use std::{
    io::{self, Seek},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

use tokio::io::AsyncReadExt;

use super::{super::door::KEEPER, spec::Keep};
use crate::lab::{Lab, LabError};

/// How long a keeper may take to begin, and to set things back.
const LIMIT: Duration = Duration::from_secs(15);

/// Something that is kept until it is released or dropped. Dropping does not wait: things are set back at once, but
/// perhaps a few milliseconds after the drop.
#[derive(Debug)]
pub struct Kept {
    line: UnixStream,
}

/// Has `asked` done where the daemon of `lab` runs; `out` is the keeper's standard output.
///
/// # Errors
/// It cannot be done; nothing of it is left then.
pub async fn keep(lab: &dyn Lab, asked: &Keep, out: Option<OwnedFd>) -> Result<Kept, LabError> {
    let failed = |source| LabError::Request { what: "keep something of its network".into(), source };
    let (line, theirs) = UnixStream::pair().map_err(failed)?;
    let mut said = tempfile::tempfile().map_err(failed)?;
    let out = match out {
        Some(out) => out,
        None => said.try_clone().map_err(failed)?.into(),
    };
    let streams = [theirs.into(), out, said.try_clone().map_err(failed)?.into()];
    let asked = serde_json::to_string(asked).map_err(|error| failed(error.into()))?;
    // This binary, whatever its name is where the daemon runs.
    let status = lab.exec(&["/proc/self/exe"], streams, vec![(KEEPER.to_owned(), asked)], LIMIT).await?;
    if status == 0 {
        return Ok(Kept { line });
    }
    said.rewind().map_err(failed)?;
    let said = io::read_to_string(&said).unwrap_or_default();
    Err(failed(io::Error::other(format!("status {status}: {}", said.trim()))))
}

impl Kept {
    /// Has it set back, and waits until it is.
    ///
    /// # Errors
    /// Something could not be set back, or not in time.
    pub async fn release(self) -> Result<(), LabError> {
        let what = "set back what was kept of its network";
        let failed = |source| LabError::Request { what: what.into(), source };
        self.line.shutdown(Shutdown::Write).map_err(failed)?;
        self.line.set_nonblocking(true).map_err(failed)?;
        let mut line = tokio::net::UnixStream::from_std(self.line).map_err(failed)?;
        let mut said = Vec::new();
        let gone = async { line.read_to_end(&mut said).await };
        match tokio::time::timeout(LIMIT, gone).await {
            // A line that breaks is as good as one that ends: the keeper is gone.
            Ok(_) if said.is_empty() => Ok(()),
            Ok(_) => Err(failed(io::Error::other(String::from_utf8_lossy(&said).into_owned()))),
            Err(_) => Err(LabError::TimedOut { what: what.into(), limit: LIMIT }),
        }
    }
}
