//! The one way to reach an address of a lab: a stream, wherever the socket had to be opened.

use std::{fmt::Debug, future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::{net::TcpStream, time::timeout};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens connections to addresses that may exist only inside a lab.
pub trait Dial: Debug + Send + Sync {
    /// Connects to `addr`, giving up after `limit`.
    ///
    /// # Errors
    /// What `connect(2)` said inside the lab, `TimedOut` after `limit`, or the failure of the lab itself.
    fn dial(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<TcpStream>>;
}

/// The way to addresses that are in no lab.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

impl Dial for Plain {
    fn dial(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let connected = timeout(limit, TcpStream::connect(addr)).await;
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}
