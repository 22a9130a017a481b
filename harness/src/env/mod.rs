//! Environments: machines and nets of an init file, running.

mod handle;

pub use handle::Env;
pub use handle::EnvError;
pub use handle::Manifest;
pub use handle::Names;
pub use handle::Net;
pub use handle::UpOptions;
pub use handle::Vm;
