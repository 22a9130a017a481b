//! Changes of machines in scenarios: what they are (`change`, with `rows` that they are repeated over), doing one (`apply`), the
//! file that a suite has some in (`file`), and all that were made, which are undone when it ends unless they are to stay (`all`).

mod all;
mod apply;
mod change;
pub(crate) mod file;
mod rows;
#[cfg(test)]
mod tests;

pub use all::Changes;
pub(crate) use all::{Source, Tell};
pub use apply::{Applying, ChangeError, Target};
pub use change::Change;
pub use file::NamedChange;
