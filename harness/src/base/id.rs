//! Names and small identifiers, parsed once at the edge.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing in it.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than the system underneath takes.
    #[error("`{name}` has {len} characters, at most {max} are allowed")]
    TooLong {
        /// The name as given.
        name: String,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed length in bytes.
        max: usize,
    },
    /// A character that host names, file names or domains do not take.
    #[error(
        "`{name}` contains {found:?}; letters, digits, `-`, `_` and `.` are allowed, beginning with a letter or digit"
    )]
    BadCharacter {
        /// The name as given.
        name: String,
        /// The first offending character.
        found: char,
    },
}

fn check_name(name: &str, max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > max {
        return Err(NameError::TooLong { name: name.to_owned(), len: name.len(), max });
    }
    let bad = name
        .char_indices()
        .find(|&(i, c)| !(c.is_ascii_alphanumeric() || (i > 0 && matches!(c, '-' | '_' | '.'))));
    match bad {
        Some((_, found)) => Err(NameError::BadCharacter { name: name.to_owned(), found }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                check_name(s, $max).map(|()| Self(s.to_owned()))
            }
        }
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(s: String) -> Result<Self, NameError> {
                s.parse()
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A machine's name: key in the init file, libvirt domain and host name (hence at most 63 characters).
    MachineName, 63
}
name! {
    /// A network's name: key in the init file and libvirt network.
    NetName, 63
}
name! {
    /// A disk's name within its machine; also a file name.
    DiskName, 63
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The address a NIC gets from its IPv4 address: `54:52:` and the four octets, as Lago does it.
    #[must_use]
    pub fn from_ip(ip: Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        Self([0x54, 0x52, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let mut bytes = [0; 6];
        let mut parts = s.split(':');
        for byte in &mut bytes {
            let part = parts.next().unwrap_or_default();
            *byte = u8::from_str_radix(part, 16).map_err(|_| format!("`{s}` is not an Ethernet address"))?;
        }
        if parts.next().is_some() {
            return Err(format!("`{s}` is not an Ethernet address"));
        }
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The UUID of a thing: a function of what it is and its name alone, so that a saved machine fits into every lab.
pub(crate) fn uuid(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("polder {kind} {name}"));
    let mut bytes = digest.iter().copied();
    let mut group = |len: usize| bytes.by_ref().take(len).map(|b| format!("{b:02x}")).collect::<String>();
    let (low, mid) = (group(4), group(2));
    let (version, variant, node) = (group(2), group(2), group(6));
    // Version 8 is RFC 9562's for hashes of one's own; variant 1 is written as `8`.
    format!(
        "{low}-{mid}-8{}-8{}-{node}",
        version.get(1..).unwrap_or_default(),
        variant.get(1..).unwrap_or_default()
    )
}

/// A random UUID (version 4).
pub fn random_uuid() -> String {
    let mut bytes = [0_u8; 16];
    let random = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if random.is_err() {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        bytes = (now.as_nanos() ^ u128::from(std::process::id()) << 64).to_be_bytes();
    }
    let mut number = u128::from_be_bytes(bytes);
    number = (number & !(0xf << 76)) | (4 << 76);
    number = (number & !(0x3 << 62)) | (2 << 62);
    let hex = format!("{number:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("", NameError::Empty)]
    #[case("a/b", NameError::BadCharacter { name: "a/b".into(), found: '/' })]
    #[case("-a", NameError::BadCharacter { name: "-a".into(), found: '-' })]
    fn bad_names_are_refused(#[case] name: &str, #[case] error: NameError) {
        assert_eq!(name.parse::<MachineName>(), Err(error));
    }

    #[test]
    fn a_long_name_says_how_long() {
        let error = "x".repeat(64).parse::<NetName>().unwrap_err();
        assert!(error.to_string().contains("has 64 characters, at most 63"), "{error}");
    }

    #[test]
    fn mac_comes_from_the_address_and_reads_back() {
        let mac = Mac::from_ip(Ipv4Addr::new(192, 168, 201, 2));
        assert_eq!(mac.to_string(), "54:52:c0:a8:c9:02");
        assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
        assert!("54:52:c0".parse::<Mac>().is_err());
    }

    #[test]
    fn uuids_are_a_function_of_kind_and_name() {
        insta::assert_snapshot!(uuid("domain", "r1"), @"c298c7b6-8473-865c-8f0d-8811e2c954c3");
        assert_ne!(uuid("domain", "r1"), uuid("network", "r1"));
        assert_ne!(uuid("domain", "r1"), uuid("domain", "r2"));
    }

    #[test]
    fn ids_are_random_uuids() {
        let (one, other) = (random_uuid(), random_uuid());
        assert_ne!(one, other);
        for id in [one, other] {
            let bytes = id.as_bytes();
            assert_eq!((id.len(), bytes[14], bytes[8]), (36, b'4', b'-'), "{id}");
            assert!(b"89ab".contains(&bytes[19]), "{id}");
        }
    }
}
