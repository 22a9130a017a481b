//! Addresses, names and links of an environment, decided as a pure function.
//! Knows no init file and no libvirt.

mod address;
mod error;
pub mod spec;
pub mod topology;

pub use error::NetError;
pub use spec::{
    DhcpPlan, DnsPlan, DnsRecord, MachineAsk, NetAsk, NetKind, NetPlan, NicAsk, PlannedHost, PlannedNet,
    PlannedNic,
};
pub use topology::plan;
