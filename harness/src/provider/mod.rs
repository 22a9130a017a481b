//! Makes machines and networks from finished values; knows no labs, init files or guests' insides.

mod error;
pub mod libvirt;
mod machine;
mod memory;
pub mod spec;
mod ssh;

pub use error::ProviderError;
pub use machine::Answer;
pub use machine::Deed;
pub use machine::MachineError;
pub use machine::MachineOrder;
pub use machine::MachineProvider;
pub use machine::MachineState;
pub use machine::ProviderCx;
pub use memory::Memory;
pub use ssh::Ssh;
