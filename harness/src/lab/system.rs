//! A lab without a boundary: an existing libvirt daemon, the host's network, the host's paths. Nothing here is ours to
//! end; what environments make on the daemon carries their labels.

use std::{io, net::SocketAddr, os::fd::OwnedFd, path::Path, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use super::{
    Lab, LabError, LabKind,
    paths::{LabPaths, View},
};
use crate::{
    base::{
        credentials::Credentials,
        dial::{BoxFuture, Dial},
        process::{self, ProcessError},
    },
    event::Usage,
};

/// A libvirt daemon that is there anyway.
#[derive(Debug, Clone)]
pub struct SystemLab {
    uri: String,
    credentials: Option<Credentials>,
    view: View,
}

impl SystemLab {
    /// The daemon at `uri`, for the environment whose paths are `view`.
    #[must_use]
    pub fn new(uri: String, credentials: Option<Credentials>, view: View) -> Self {
        Self { uri, credentials, view }
    }

    fn not_ours(what: &'static str) -> LabError {
        LabError::NotOurs { what }
    }
}

impl Dial for SystemLab {
    fn dial(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let connected = tokio::time::timeout(limit, TcpStream::connect(addr)).await;
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

impl Lab for SystemLab {
    fn kind(&self) -> LabKind {
        LabKind::System
    }

    fn libvirt_uri(&self) -> String {
        self.uri.clone()
    }

    fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    fn view(&self) -> View {
        self.view.clone()
    }

    fn env(&self) -> &Path {
        &self.view.env
    }

    fn runtime(&self) -> Option<&LabPaths> {
        None
    }

    fn exec<'a>(
        &'a self,
        argv: &'a [&'a str],
        streams: [OwnedFd; 3],
        env: Vec<(String, String)>,
        limit: Duration,
    ) -> BoxFuture<'a, Result<i32, LabError>> {
        Box::pin(async move {
            process::run(argv, streams, env, limit).await.map_err(|error| match error {
                ProcessError::Start { command, source } => {
                    LabError::Request { what: format!("run `{command}`"), source }
                }
                ProcessError::TimedOut { command, limit } => {
                    LabError::TimedOut { what: format!("run `{command}`"), limit }
                }
                failed @ ProcessError::Failed { .. } => {
                    LabError::Request { what: "run a command".into(), source: io::Error::other(failed) }
                }
            })
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, Result<TcpListener, LabError>> {
        Box::pin(async move {
            let bound = TcpListener::bind(addr).await;
            bound.map_err(|source| LabError::Request { what: format!("listen at {addr}"), source })
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, LabError>> {
        Box::pin(async { Err(Self::not_ours("say what its processes used")) })
    }

    fn failure(&self) -> Option<LabError> {
        None
    }

    fn broken(&self) -> BoxFuture<'_, LabError> {
        Box::pin(std::future::pending())
    }

    fn kill_daemon(&self) -> BoxFuture<'_, Result<(), LabError>> {
        Box::pin(async { Err(Self::not_ours("kill its daemon")) })
    }

    fn detach(&self) -> Result<(), LabError> {
        Ok(())
    }

    fn end(&self, _: Duration) -> BoxFuture<'_, Result<(), LabError>> {
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn lab() -> SystemLab {
        let view = View::host(Path::new("/e"), Path::new("/i"), Path::new("/t"), Path::new("/c"));
        SystemLab::new("test:///default".into(), None, view)
    }

    #[tokio::test]
    async fn it_dials_plainly_and_keeps_the_limit() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        lab().dial(addr, LIMIT).await.unwrap();
        drop(listener);
        assert_eq!(lab().dial(addr, LIMIT).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn what_is_not_ours_stays() {
        let error = lab().kill_daemon().await.unwrap_err();
        assert_eq!(error.to_string(), "a system lab cannot kill its daemon: that is not ours");
        lab().end(LIMIT).await.unwrap();
        assert!(lab().failure().is_none() && lab().runtime().is_none());
    }

    #[tokio::test]
    async fn commands_that_do_not_exist_are_named() {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let error = lab().exec(&["/no/such"], [null(), null(), null()], vec![], LIMIT).await.unwrap_err();
        assert_eq!(error.to_string(), "the lab cannot run `/no/such`");
        let status = lab().exec(&["false"], [null(), null(), null()], vec![], LIMIT).await.unwrap();
        assert_eq!(status, 1);
    }
}
