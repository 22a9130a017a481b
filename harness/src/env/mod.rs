//! Environments: from a checked init file to running machines and back to nothing.
//! The one place that connects lab, provider, guests and artifacts; knows no suites and no reports.
//!
//! `EnvSpec` --[`plan`]--> `EnvPlan` --`exec`--> [`Env`] --`state`--> `state.json` in the lab's folder.

mod agent;
mod error;
mod evidence;
mod exec;
mod handle;
mod host;
mod keys;
pub mod plan;
mod state;

pub use error::EnvError;
pub use exec::UpFailure;
pub use handle::Env;
pub use handle::Names;
pub use handle::Net;
pub use handle::Vm;
pub use host::Host;
pub use host::Progress;
pub use plan::EnvPlan;
