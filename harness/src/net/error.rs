//! Why networks cannot be as asked.

use std::net::Ipv4Addr;

use super::address::POOL;
use crate::base::id::{MachineName, NetName};

/// Why the networks cannot be as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// A NIC names a net that is not there.
    #[error("NIC {index} of machine `{machine}` is on `{net}`, which is no net of this environment")]
    UnknownNet {
        /// The machine.
        machine: MachineName,
        /// Number of its NIC.
        index: usize,
        /// What it names.
        net: NetName,
    },
    /// Two gateways are in one /24.
    #[error("the nets `{net}` and `{other}` both want the /24 of {gateway}")]
    SubnetClash {
        /// The later net.
        net: NetName,
        /// The earlier net.
        other: NetName,
        /// The later gateway.
        gateway: Ipv4Addr,
    },
    /// Every /24 of the pool is taken.
    #[error("no /24 is left for the net `{net}`: 192.168.{} to 192.168.{} are taken", POOL.start(), POOL.end())]
    NoSubnetLeft {
        /// The net.
        net: NetName,
    },
    /// An address that no machine of its net can have.
    #[error("{ip} of machine `{machine}` is not an address for a machine in the net `{net}` ({gateway}/24)")]
    BadAddress {
        /// The machine.
        machine: MachineName,
        /// The net.
        net: NetName,
        /// The address asked for.
        ip: Ipv4Addr,
        /// The net's gateway.
        gateway: Ipv4Addr,
    },
    /// Two NICs ask for one address.
    #[error("{ip} in the net `{net}` is asked for by machine `{machine}` and by `{other}`")]
    AddressClash {
        /// The later machine.
        machine: MachineName,
        /// The earlier machine.
        other: MachineName,
        /// The net.
        net: NetName,
        /// The address.
        ip: Ipv4Addr,
    },
    /// A net has no address left.
    #[error("the net `{net}` has no address left for machine `{machine}`")]
    NoAddressLeft {
        /// The net.
        net: NetName,
        /// The machine.
        machine: MachineName,
    },
    /// Two NICs would have one name in DNS.
    #[error("two NICs would have the DNS name `{name}`, one of machine `{machine}` and one of `{other}`")]
    NameClash {
        /// The name.
        name: String,
        /// The later machine.
        machine: MachineName,
        /// The earlier machine.
        other: MachineName,
    },
}
