//! The one way to reach an address of a lab: a stream, wherever the socket had to be opened.

use std::{fmt::Debug, future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::net::TcpStream;

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
