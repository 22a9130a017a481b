//! Changes to the files of a disk before its machine boots for the first time: what is done as data, and who does it. Knows
//! no labs, init files or environments: it gets a disk image and what is to be changed.

pub mod plan;
pub mod step;

mod customize;
mod error;
mod ext;
mod look;

pub use customize::customize;
pub use customize::require;
pub use error::SysprepError;
pub use ext::apply;
pub use look::Found;
pub use look::look;
pub use plan::Action;
pub use plan::DISTROS;
pub use plan::actions;
pub use plan::takes_host_key;
pub use step::Meaning;
pub use step::Step;
pub use step::steps;
