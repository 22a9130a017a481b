//! Deploy scripts: which of them are run, and in which order (`plan`), and how one is run in its machine (`script`).

mod copies;
mod exec;
mod output;
mod plan;
mod script;

pub(super) use copies::copy;
pub use exec::Deployed;
pub(super) use exec::run;
pub(super) use output::{folder_of, printed};
pub use plan::DeployOptions;
pub(super) use plan::{all, paths};
