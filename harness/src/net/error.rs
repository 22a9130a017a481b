//! Why networks cannot be as asked.

use std::net::IpAddr;

use crate::base::id::{Mac, MachineName, NetName};

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
    /// Two nets have addresses in common.
    #[error("the subnets of the nets `{net}` ({subnet}) and `{other}` ({others}) overlap")]
    SubnetClash {
        /// The later net.
        net: NetName,
        /// Its gateway and prefix.
        subnet: String,
        /// The earlier net.
        other: NetName,
        /// Its gateway and prefix.
        others: String,
    },
    /// A prefix that leaves no room for machines, or an address that cannot be a gateway's.
    #[error("the net `{net}` cannot have the gateway {subnet}: {why}")]
    BadSubnet {
        /// The net.
        net: NetName,
        /// Gateway and prefix.
        subnet: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Neither IPv4 nor IPv6.
    #[error("the net `{net}` has neither IPv4 nor IPv6")]
    NoFamily {
        /// The net.
        net: NetName,
    },
    /// Every subnet of the pool is taken.
    #[error(
        "no subnet is left for the net `{net}`: each of the {pool} that were free has been given to a net"
    )]
    NoSubnetLeft {
        /// The net.
        net: NetName,
        /// How many there were.
        pool: usize,
    },
    /// The dynamic range reaches beyond the subnet.
    #[error("the DHCP range {start} to {end} of the net `{net}` is not within {subnet}")]
    BadRange {
        /// The net.
        net: NetName,
        /// Its first address.
        start: IpAddr,
        /// Its last address.
        end: IpAddr,
        /// Gateway and prefix.
        subnet: String,
    },
    /// An address that no machine of its net can have.
    #[error("{ip} of machine `{machine}` is not an address for a machine in the net `{net}` ({subnet})")]
    BadAddress {
        /// The machine.
        machine: MachineName,
        /// The net.
        net: NetName,
        /// The address asked for.
        ip: IpAddr,
        /// The net's gateway and prefix.
        subnet: String,
    },
    /// An address of a family its net does not have.
    #[error("machine `{machine}` cannot have {ip}: the net `{net}` has no {family}")]
    WrongFamily {
        /// The machine.
        machine: MachineName,
        /// The net.
        net: NetName,
        /// The address asked for.
        ip: IpAddr,
        /// What it does not have.
        family: &'static str,
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
        ip: IpAddr,
    },
    /// A net has no address left.
    #[error("the net `{net}` has no address left for machine `{machine}`")]
    NoAddressLeft {
        /// The net.
        net: NetName,
        /// The machine.
        machine: MachineName,
    },
    /// Two NICs, or a NIC and a net's gateway, would have one Ethernet address.
    #[error("NIC {index} of machine `{machine}` cannot have the Ethernet address {mac}: {owner} has it")]
    MacClash {
        /// The machine.
        machine: MachineName,
        /// Number of its NIC.
        index: usize,
        /// The address.
        mac: Mac,
        /// Who has it.
        owner: String,
    },
    /// An Ethernet address that means more than one NIC.
    #[error("NIC {index} of machine `{machine}` cannot have {mac}: it is no address of a single NIC")]
    BadMac {
        /// The machine.
        machine: MachineName,
        /// Number of its NIC.
        index: usize,
        /// The address.
        mac: Mac,
    },
    /// A VLAN that is none.
    #[error("NIC {index} of machine `{machine}` cannot be in VLAN {vlan}: they go from 1 to 4094")]
    BadVlan {
        /// The machine.
        machine: MachineName,
        /// Number of its NIC.
        index: usize,
        /// The number asked for.
        vlan: u16,
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
