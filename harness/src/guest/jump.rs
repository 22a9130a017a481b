//! A way to machines that only another machine reaches: connections that are opened there, over its ssh server.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream};

use super::{spec::SshSpec, ssh::Ssh};
use crate::base::dial::{BoxFuture, Dial};

/// Opens connections from a machine that is reached over ssh. It may be reached by another jump in turn.
pub struct SshJump {
    ssh: Arc<Ssh>,
}

impl SshJump {
    /// Jumps from the machine of `spec`; nothing is opened before it is needed. Deadlines on the way there are multiplied
    /// by `time_factor`.
    #[must_use]
    pub fn new(spec: SshSpec, time_factor: f64) -> Self {
        Self { ssh: Arc::new(Ssh::new(spec, time_factor)) }
    }

    async fn open(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let link = self.ssh.link().await.map_err(io::Error::other)?;
        let mut there = link.forward(addr).await.map_err(|error| {
            let kind = match error {
                russh::Error::ChannelOpenFailure(_) => io::ErrorKind::ConnectionRefused,
                _ => io::ErrorKind::ConnectionAborted,
            };
            io::Error::new(kind, error)
        })?;
        let (near, mut far) = pair().await?;
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut there).await });
        Ok(near)
    }
}

impl fmt::Debug for SshJump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SshJump({:?})", self.ssh.spec())
    }
}

impl Dial for SshJump {
    fn dial(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let opened = tokio::time::timeout(limit, self.open(addr)).await;
            opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

/// Two ends of a connection within this host, of which nobody else has one.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    loop {
        let (far, from) = listener.accept().await?;
        if from == near.local_addr()? {
            return Ok((near, far));
        }
    }
}
