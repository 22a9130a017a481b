//! The messages between owner, warden and process 1, and how they travel: one JSON value per packet, descriptors beside.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::spec::LabSpec;
use crate::event::Usage;

/// What the owner says to the warden.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// First: make this.
    Make { folder: PathBuf, spec: Box<LabSpec> },
    /// Stop watching the owner; the lab stays.
    Detach,
    /// End the lab.
    End,
}

/// What warden and process 1 say to the owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Report {
    /// A step failed; the lab ends.
    Failed(StepError),
    /// The payload runs (and, for a daemon, listens).
    Ready,
    /// The owner is no longer watched.
    Detached,
    /// The payload ended with this status; the lab's files are still there.
    PayloadEnded(i32),
    /// Process 1 is gone; the lab's files are still there.
    Gone(i32),
}

/// A failed step of making a boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StepError {
    pub(super) step: String,
    pub(super) error: String,
    pub(super) advice: Option<String>,
}

impl StepError {
    pub(super) fn new(step: impl Into<String>, error: impl ToString) -> Self {
        Self { step: step.into(), error: error.to_string(), advice: None }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// What process 1 is asked; one request a connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Connect to an address inside; the connected socket comes back with the answer.
    Dial { addr: SocketAddr, limit_ms: u64 },
    /// Listen at an address inside; the socket comes back with the answer.
    Listen { addr: SocketAddr },
    /// Run a command inside on the three descriptors sent along; ends when the asker goes away.
    Exec { argv: Vec<String>, env: Vec<(String, String)> },
    /// Kill the daemon: the one way to get calls back that it does not answer.
    KillDaemon,
    /// What the processes of the lab used so far.
    Usage,
}

/// What process 1 answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Dialled,
    Listening,
    Killed,
    Exited(i32),
    Usage(Usage),
    /// The error's number, when it has one, and text.
    Refused(Option<i32>, String),
}

impl Answer {
    pub(super) fn refused(error: &io::Error) -> Self {
        Self::Refused(error.raw_os_error(), error.to_string())
    }

    pub(super) fn into_error(self) -> io::Error {
        match self {
            Self::Refused(Some(code), _) => io::Error::from_raw_os_error(code),
            Self::Refused(None, text) => io::Error::other(text),
            other => io::Error::other(format!("unexpected answer {other:?}")),
        }
    }
}

/// The longest packet; an order carries every bind of an environment.
const LONGEST: usize = 160 * 1024;

/// A connected pair of packet sockets.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// A new packet socket, not yet bound or connected.
pub(super) fn socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one value and up to three descriptors.
pub(super) fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too long for the lab"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(fds));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one value and its descriptors; `None` when the other side is gone.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let fds = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    if got.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::other("message of the lab was cut short"));
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let message = bytes.get(..got.bytes).map(serde_json::from_slice).transpose()?;
    Ok(message.map(|m| (m, fds)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn values_and_descriptors_travel_together_and_a_closed_side_is_seen() {
        let (a, b) = pair().unwrap();
        send(&a, &Request::Usage, &[a.as_fd()]).unwrap();
        let (request, fds) = receive::<Request>(&b).unwrap().unwrap();
        assert!(matches!(request, Request::Usage) && fds.len() == 1);
        drop((a, fds));
        assert!(receive::<Request>(&b).unwrap().is_none());
    }

    #[test]
    fn an_oversized_message_is_refused_before_it_is_sent() {
        let (a, _b) = pair().unwrap();
        let request = Request::Exec { argv: vec!["x".repeat(LONGEST)], env: vec![] };
        assert!(send(&a, &request, &[]).is_err());
    }
}
