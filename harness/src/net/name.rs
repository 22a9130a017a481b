//! Names that libvirt and the kernel know nets and NICs by. Where others share the daemon they begin with the
//! environment's id.

use std::fmt::Write;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::spec::Scope;
use crate::base::id::{Mac, MachineName, NetName, uuid};

/// The longest name of a network interface.
const LONGEST: usize = 15;

/// The name by which a thing of the environment `uuid` goes where others have things, too: the first digits of the
/// id (four if less than 16 characters are allowed, else eight), `-` and the name. A name that makes it longer than
/// `max` characters (0: any length) is replaced by the first digits of its SHA-1, as Lago does it.
///
/// `None` when `max` leaves no room for a name.
#[must_use]
pub fn prefixed_name(uuid: &str, name: &str, max: usize) -> Option<String> {
    let digits = if (1..16).contains(&max) { 4 } else { 8 };
    let id: String = uuid.chars().take(digits).collect();
    let room = match max {
        0 => usize::MAX,
        max => max.checked_sub(digits + 1).filter(|room| *room > 0)?,
    };
    let name = if name.len() <= room { name.to_owned() } else { hex(&Sha1::digest(name), room) };
    Some(format!("{id}-{name}"))
}

/// What libvirt calls a net.
pub(super) fn libvirt_name(scope: &Scope, net: &NetName) -> String {
    let prefixed = scope.uuid.as_deref().and_then(|uuid| prefixed_name(uuid, net.as_str(), LONGEST));
    prefixed.unwrap_or_else(|| net.to_string())
}

/// A net's UUID in libvirt.
pub(super) fn libvirt_uuid(scope: &Scope, net: &NetName) -> String {
    match &scope.uuid {
        Some(id) => uuid("network", &format!("{id} {net}")),
        None => uuid("network", net.as_str()),
    }
}

/// A bridge's name, which differs for nets whose names begin alike.
pub(super) fn bridge(scope: &Scope, net: &NetName) -> String {
    match &scope.uuid {
        Some(_) => libvirt_name(scope, net),
        None => format!("pd-{}", hex(&Sha256::digest(net.as_str()), LONGEST - 3)),
    }
}

/// Name of the interface at the host's end of a NIC's cable.
pub(super) fn tap(scope: &Scope, machine: &MachineName, index: usize) -> String {
    format!("pt-{}", hex(&nic_digest(scope, machine, index), LONGEST - 3))
}

/// A locally administered Ethernet address for a NIC without IPv4 address, or for a bridge; `attempt` tells apart
/// those that happen to meet.
pub(super) fn mac(scope: &Scope, machine: &str, index: usize, attempt: u8) -> Mac {
    let text = format!("{} mac {machine} {index} {attempt}", scope.uuid.as_deref().unwrap_or_default());
    let digest = Sha256::digest(text);
    let mut bytes = digest.iter().copied();
    let mut byte = || bytes.next().unwrap_or_default();
    Mac([0x56, 0x52, byte(), byte(), byte(), byte()])
}

fn nic_digest(scope: &Scope, machine: &MachineName, index: usize) -> Vec<u8> {
    let id = scope.uuid.as_deref().unwrap_or_default();
    Sha256::digest(format!("{id} nic {machine} {index}")).to_vec()
}

/// The first `len` hexadecimal digits.
fn hex(bytes: &[u8], len: usize) -> String {
    let mut text = String::new();
    for byte in bytes {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(len);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("vm0", 0, Some("fe689d3c-vm0"))]
    #[case("n0", 15, Some("fe68-n0"))]
    #[case("ten-chars1", 15, Some("fe68-ten-chars1"))]
    #[case("net-management", 15, Some("fe68-7e3c5ade68"))]
    #[case("net-management", 16, Some("fe689d3c-7e3c5ad"))]
    #[case("ab", 6, Some("fe68-d"))]
    #[case("a", 5, None)]
    fn names_are_prefixed_as_lago_does_it(
        #[case] name: &str,
        #[case] max: usize,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(prefixed_name("fe689d3c0000", name, max).as_deref(), expected);
    }

    #[test]
    fn what_shares_a_host_shares_no_name() {
        let scope = |id: Option<&str>| Scope { uuid: id.map(str::to_owned), ..Scope::hermetic() };
        let [none, a, b] = [scope(None), scope(Some("aaaaaaaaaaaa")), scope(Some("bbbbbbbbbbbb"))];
        let (net, machine) = ("a-very-long-net-name".parse().unwrap(), "r1".parse().unwrap());
        for (one, other) in [(&none, &a), (&a, &b)] {
            assert_ne!(libvirt_name(one, &net), libvirt_name(other, &net));
            assert_ne!(libvirt_uuid(one, &net), libvirt_uuid(other, &net));
            assert_ne!(bridge(one, &net), bridge(other, &net));
            assert_ne!(tap(one, &machine, 0), tap(other, &machine, 0));
            assert_ne!(mac(one, "r1", 0, 0), mac(other, "r1", 0, 0));
        }
        for scope in [&none, &a] {
            assert!(bridge(scope, &net).len() <= 15 && tap(scope, &machine, 0).len() == 15);
            assert_ne!(tap(scope, &machine, 0), tap(scope, &machine, 1));
        }
        assert_eq!(libvirt_name(&none, &net), "a-very-long-net-name");
    }
}
