//! A portal of our own, for those who have none: it keeps what it is told, makes tasks that take their time and may fail, and
//! answers as the real one does, so that clients of others work on it unchanged.
//!
//! `model` is what a portal is, without any outside; `routes` is what is asked and answered; `engine` lets time pass and
//! does what the model wants done; `serve` is the sockets; `wire` the shapes of what goes through them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> polder::Result {
//! use polder::cvp::server::{DeviceSpec, Portal, PortalSpec};
//!
//! let spec = PortalSpec { devices: DeviceSpec::demo(2), ..PortalSpec::default() };
//! let portal = Portal::start(spec).await?;
//! println!("{} as {}", portal.url(), portal.username());
//! portal.faults().devices("leaf-2").unreachable(true)?;
//! portal.stop().await;
//! # Ok(())
//! # }
//! ```

mod driver;
mod engine;
mod error;
mod faults;
mod machines;
mod model;
mod portal;
mod routes;
mod serve;
mod spec;
mod tls;
mod wire;
mod zone;

#[cfg(test)]
mod tests;

pub use driver::Driver;
pub use driver::Memory;
pub use driver::PushError;
pub use driver::Target;
pub use error::PortalError;
pub use faults::DeviceFaults;
pub use faults::Fault;
pub use faults::Faults;
pub use machines::Adapter;
pub use machines::Machines;
pub use model::Imitated;
pub use model::NotImitated;
pub use model::Unmanaged;
pub use portal::Devices;
pub use portal::Portal;
pub use portal::PortalMoment;
pub use portal::check_state;
pub use spec::DeviceSpec;
pub use spec::PortalSpec;
pub use spec::SavedState;
