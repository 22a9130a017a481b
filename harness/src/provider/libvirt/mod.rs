//! libvirt as provider: the one door for its blocking calls, and the calls themselves. No decisions.

mod auth;
mod connection;
mod console;
mod cpu;
mod domain;
mod emulator;
mod host;
mod network;
mod save_image;
mod screen;
mod snapshot;
pub mod xml;

pub use connection::CLOSING;
pub use connection::Connection;
pub use connection::wait_closed;
pub use cpu::Cpus;
pub use domain::AddressSource;
pub use domain::DomainState;
pub use domain::Found;
pub use domain::Interface;
pub use emulator::Drive;
pub use emulator::Refusal;
pub use host::Daemon;
pub use network::{NetworkChange, NetworkPart};
pub use save_image::SaveImage;
pub use save_image::SaveImageError;
