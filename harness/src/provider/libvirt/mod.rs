//! libvirt as provider: the one door for its blocking calls, and the calls themselves. No decisions.

mod auth;
mod connection;
mod domain;
mod interim;
mod network;
pub mod xml;

pub use connection::Connection;
pub use domain::DomainState;
pub use network::{NetworkChange, NetworkPart};
