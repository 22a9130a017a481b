//! What can go wrong with a portal as a whole. What is wrong with a request is answered to whoever made it.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::base::store::StoreError;

/// A portal could not be started, or what was asked of its handle cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// Its port is not to be had.
    #[error(
        "cannot listen at {listen}; another program may have the port, and those below 1024 are for root"
    )]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make the portal's certificate: {0}")]
    Certificate(String),
    /// The system gives no random numbers.
    #[error("cannot make a secret")]
    Secret(#[source] io::Error),
    /// The state is not one.
    #[error("cannot use the state of the portal")]
    State(#[from] StoreError),
    /// The state cannot be written down.
    #[error("cannot write the state of the portal as JSON")]
    Dump(#[source] serde_json::Error),
    /// The state contradicts itself.
    #[error("{} contradicts itself: {}", state.display(), wrong.join("; "))]
    Contradiction {
        /// The state's file.
        state: PathBuf,
        /// What is wrong.
        wrong: Vec<String>,
    },
    /// A device that is not there, or is there already.
    #[error("device `{device}`: {why}")]
    Device {
        /// Which.
        device: String,
        /// What is wrong.
        why: String,
    },
}
