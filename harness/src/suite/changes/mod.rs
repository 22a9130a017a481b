//! Changes of machines in scenarios: what they are (`change`, with `rows` that they are repeated over), doing one (`apply`), and
//! those of a suite, which are undone when it ends unless they are to stay (`all`).

mod all;
mod apply;
mod change;
mod rows;
#[cfg(test)]
mod tests;

pub use all::Changes;
pub(crate) use all::Tell;
pub use apply::{Applying, ChangeError, Target};
pub use change::Change;
