//! Types of machines: what all machines of a type have, and when they are up. `default` adds nothing; those of oVirt are
//! the example to follow for types of one's own, which [`Extensions`](crate::cli::Extensions) add to the command.

mod machine_type;
pub mod ovirt;
mod set_up;

pub use machine_type::MachineType;
pub(super) use machine_type::{builtin, shape};
