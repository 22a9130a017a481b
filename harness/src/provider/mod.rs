//! Makes machines and networks from finished values; knows no labs, init files or guests' insides.

mod error;
pub mod libvirt;
pub mod spec;

pub use error::ProviderError;
