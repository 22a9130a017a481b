//! What manages services in a guest: command lines go out, answers come in. Nothing here runs anything, and nothing knows
//! how a guest is reached.

mod container;
mod spec;
mod systemd;
mod sysvinit;

pub use container::SystemdContainer;
pub use spec::Answer;
pub use spec::ServiceManager;
pub use spec::ServiceState;
pub use systemd::Systemd;
pub use sysvinit::SysVInit;
