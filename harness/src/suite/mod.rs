//! Suites: what the macro registers, which scenarios are run in which order, and running them.
//! Emits events; does not format or print them.

mod attempt;
pub(crate) mod budget;
mod chance;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod extract;
pub(crate) mod failure;
mod held;
pub(crate) mod leaks;
pub(crate) mod needs;
pub(crate) mod order;
pub(crate) mod pause;
mod points;
mod portal;
pub(crate) mod registry;
mod reserve;
pub(crate) mod runner;
mod session;
mod skip;
mod stages;
pub(crate) mod stop;
pub(crate) mod task;

pub use chance::Chance;
pub use changes::Applying;
pub use changes::Change;
pub use changes::ChangeError;
pub use changes::Changes;
pub use changes::NamedChange;
pub use changes::Target as ChangeTarget;
pub use context::Artifacts;
pub use context::ArtifactsError;
pub use context::SuiteCx;
pub use extract::FromSuite;
pub use extract::Need;
pub use extract::OnReturn;
pub use extract::Scope;
pub use extract::Verdict;
pub use extract::Vms;
pub use registry::Param;
pub use skip::Skipped;
pub use task::block_on;
