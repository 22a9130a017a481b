//! Addresses, names and links of an environment, decided as a pure function; and which subnets of a shared host are
//! free. Knows no init file and no libvirt.

mod address;
mod error;
pub mod lease;
pub mod live;
mod name;
pub mod spec;
pub mod topology;

#[cfg(test)]
mod tests;

pub use error::NetError;
pub use name::prefixed_name;
pub use spec::{
    DhcpPlan, DnsPlan, DnsRecord, Extra, Family, Impairment, LinkPlan, MachineAsk, NetAsk, NetKind, NetPlan,
    NicAsk, Outward, PlannedHost, PlannedNet, PlannedNic, Scope, Vlan,
};
pub use topology::{another, plan};
