//! What manages services in a guest: command lines go out, answers come in. Nothing here runs anything, and nothing knows
//! how a guest is reached. Which of them a guest has, its process 1 tells.
//!
//! systemd and process 1 of our small image are tested for real. No image of ours has OpenRC, SysV scripts or containers:
//! stand-ins for `rc-service`, `service` and `docker` answer for them in a real guest.

mod container;
mod openrc;
mod spec;
mod systemd;
mod sysvinit;

pub use container::SystemdContainer;
pub use openrc::OpenRc;
pub use spec::Answer;
pub use spec::ServiceManager;
pub use spec::ServiceState;
pub use systemd::Systemd;
pub use sysvinit::SysVInit;
