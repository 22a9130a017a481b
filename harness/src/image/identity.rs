//! What makes a machine made from a shared image itself: its name, keys and addresses, as SMBIOS type 11 strings
//! which the initrd of every recipe-built image reads (`guest/initrd/init`). Pure; putting them into a domain is
//! the provider's business.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::recipe::INITRD_INIT;
use crate::base::id::{Mac, MachineName};

/// Version of the format; the initrd refuses a newer one than its own.
const VERSION: u32 = 1;

/// What the initrd does with an identity, once more in a machine that runs.
const AGAIN: &str = include_str!("guest/initrd/again");

/// A shell script for a machine of a recipe-built image that runs and is somewhere else than it was: it is given the strings
/// of its new identity on standard input, a line each, and returns when its NICs have their addresses. Keys and users stay.
pub(crate) fn again() -> String {
    INITRD_INIT.trim_end().trim_end_matches("main").to_owned() + AGAIN
}

/// What is a machine's own.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Host name.
    pub hostname: MachineName,
    /// The line of `authorized_keys` that lets the harness in as root.
    pub authorized_key: String,
    /// The ssh host key: an ed25519 private key in OpenSSH's PEM form, without a pass phrase.
    pub host_key: String,
    /// Who else gets in than root by key, and who by password.
    pub users: Vec<User>,
    /// NICs in order: the first becomes `eth0`, whatever the bus says.
    pub nics: Vec<NicIdentity>,
    /// Name server; absent: DHCP's, if any.
    pub dns: Option<IpAddr>,
    /// DNS search domain.
    pub search: Option<String>,
}

/// Somebody who may log in, by the same key as root. One who is not there is made.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The hash of the password; absent: by key only.
    pub password: Option<String>,
}

/// One NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicIdentity {
    /// Its Ethernet address, by which it is found.
    pub mac: Mac,
    /// Its IPv4 address.
    pub address: NicAddress,
    /// Its IPv6 address; absent: it has none but the link's.
    pub address6: Option<Address6>,
    /// MTU in bytes; absent: what the driver says.
    pub mtu: Option<u32>,
}

/// How a NIC gets its IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicAddress {
    /// It is told.
    Static {
        /// The address.
        ip: Ipv4Addr,
        /// Length of the network's prefix in bits.
        prefix: u8,
        /// Default gateway.
        gateway: Option<Ipv4Addr>,
    },
    /// By DHCP.
    Dhcp,
    /// It has none; the link is up.
    None,
}

/// A static IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address6 {
    /// The address.
    pub ip: Ipv6Addr,
    /// Length of the network's prefix in bits.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Option<Ipv6Addr>,
}

impl Identity {
    /// The strings, in the order in which they have to stand.
    ///
    /// The host key's is the longest, some 350 bytes; 30 000 were seen to pass through libvirt 9.0, QEMU 7.2 and
    /// Linux 6.1 whole, quotes, commas and angle brackets included.
    #[must_use]
    pub fn oem_strings(&self) -> Vec<String> {
        let mut strings = vec![format!("polder.identity={VERSION}")];
        let mut put = |key: &str, value: &str| {
            let clean: String = value.chars().filter(|c| !c.is_control()).collect();
            strings.push(format!("polder.{key}={clean}"));
        };
        put("host", self.hostname.as_str());
        put("key", self.authorized_key.trim());
        let body = self.host_key.lines().filter(|line| !line.starts_with("-----"));
        put("hostkey", &body.collect::<String>());
        for User { name, password } in &self.users {
            put("user", &format!("{name}:{}", password.as_deref().unwrap_or_default()));
        }
        for nic in &self.nics {
            put("nic", &nic.to_string());
            if let Some(Address6 { ip, prefix, gateway }) = nic.address6 {
                let gateway = gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
                put("nic6", &format!("{},{ip}/{prefix},{gateway}", nic.mac));
            }
        }
        if let Some(dns) = self.dns {
            put("dns", &dns.to_string());
        }
        if let Some(search) = &self.search {
            put("search", search);
        }
        strings
    }
}

/// Keys stay out of logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("hostname", &self.hostname)
            .field("nics", &self.nics)
            .field("dns", &self.dns)
            .field("search", &self.search)
            .finish_non_exhaustive()
    }
}

/// `MAC,KIND,ADDRESS/PREFIX,GATEWAY,MTU`, with what is absent left empty.
impl fmt::Display for NicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},", self.mac)?;
        match self.address {
            NicAddress::Static { ip, prefix, gateway } => {
                write!(f, "static,{ip}/{prefix},{}", gateway.map(|g| g.to_string()).unwrap_or_default())?;
            }
            NicAddress::Dhcp => f.write_str("dhcp,,")?,
            NicAddress::None => f.write_str("none,,")?,
        }
        write!(f, ",{}", self.mtu.map(|mtu| mtu.to_string()).unwrap_or_default())
    }
}

#[cfg(test)]
impl Identity {
    /// A machine with everything one may have: a NIC of each kind, users of each kind, names.
    pub(crate) fn example() -> Self {
        Self {
            hostname: "web".parse().unwrap(),
            authorized_key: "ssh-ed25519 AAAAC3 polder\n".into(),
            host_key: "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBB\n-----END OPENSSH PRIVATE KEY-----\n"
                .into(),
            users: vec![
                User { name: "root".into(), password: Some("$6$AA$BB".into()) },
                User { name: "joe".into(), password: None },
            ],
            nics: vec![
                NicIdentity {
                    mac: Mac::from_ip(Ipv4Addr::new(10, 0, 0, 2)),
                    address: NicAddress::Static {
                        ip: Ipv4Addr::new(10, 0, 0, 2),
                        prefix: 24,
                        gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
                    },
                    address6: None,
                    mtu: Some(9000),
                },
                NicIdentity {
                    mac: Mac([2, 0, 0, 0, 0, 0xab]),
                    address: NicAddress::Dhcp,
                    address6: Some(Address6 {
                        ip: "fd00::2".parse().unwrap(),
                        prefix: 64,
                        gateway: Some("fd00::1".parse().unwrap()),
                    }),
                    mtu: None,
                },
                NicIdentity {
                    mac: Mac([2, 0, 0, 0, 0, 1]),
                    address: NicAddress::None,
                    address6: None,
                    mtu: None,
                },
            ],
            dns: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
            search: Some("lab.test".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_carry_everything_in_order() {
        insta::assert_snapshot!(Identity::example().oem_strings().join("\n"), @r"
        polder.identity=1
        polder.host=web
        polder.key=ssh-ed25519 AAAAC3 polder
        polder.hostkey=AAAABB
        polder.user=root:$6$AA$BB
        polder.user=joe:
        polder.nic=54:52:0a:00:00:02,static,10.0.0.2/24,10.0.0.1,9000
        polder.nic=02:00:00:00:00:ab,dhcp,,,
        polder.nic6=02:00:00:00:00:ab,fd00::2/64,fd00::1
        polder.nic=02:00:00:00:00:01,none,,,
        polder.dns=10.0.0.1
        polder.search=lab.test
        ");
    }

    #[test]
    fn a_nic_without_gateway_has_an_empty_place() {
        let nic = NicIdentity {
            mac: Mac([2, 0, 0, 0, 0, 1]),
            address: NicAddress::Static { ip: Ipv4Addr::LOCALHOST, prefix: 8, gateway: None },
            address6: None,
            mtu: None,
        };
        assert_eq!(nic.to_string(), "02:00:00:00:00:01,static,127.0.0.1/8,,");
    }

    #[test]
    fn a_key_cannot_smuggle_strings() {
        let mut identity = Identity::example();
        identity.authorized_key = "ssh-ed25519 AAAA\npolder.host=evil\0polder.dns=1.2.3.4".into();
        let strings = identity.oem_strings();
        assert!(strings.iter().all(|s| !s.contains(|c: char| c.is_control())), "{strings:?}");
        assert_eq!(strings.iter().filter(|s| s.starts_with("polder.host=")).count(), 1);
    }

    #[test]
    fn debug_shows_no_keys() {
        let text = format!("{:?}", Identity::example());
        assert!(text.contains("web") && !text.contains("AAAA") && !text.contains("$6$"), "{text}");
    }

    proptest! {
        #[test]
        fn whatever_the_key_is_it_stays_one_string(key in any::<String>()) {
            let strings = Identity { authorized_key: key, ..Identity::example() }.oem_strings();
            prop_assert_eq!(strings.len(), 12);
            prop_assert!(strings.iter().all(|s| s.starts_with("polder.") && !s.contains(char::is_control)));
        }
    }
}
