//! What captured packets tell in short: how many there were, of which protocols, and who talked with whom. Reads files of the format
//! `pcap` as the lab writes them; whoever wants to see single packets opens the file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use serde::Serialize;

/// How files begin: in this byte order, with times in microseconds or nanoseconds.
const MAGIC: [(u32, f64); 2] = [(0xa1b2_c3d4, 1e6), (0xa1b2_3c4d, 1e9)];
/// The link type of Ethernet.
const ETHERNET: u32 = 1;
/// A packet longer than this is none.
const LONGEST: u32 = 1 << 18;
/// Packets that are looked at.
const MOST: usize = 200_000;
/// Talks that are told.
const TALKS: usize = 10;

/// A file of packets, in short.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Packets {
    /// Below the run's folder.
    pub(super) path: String,
    pub(super) packets: usize,
    /// As they were on the link.
    pub(super) bytes: u64,
    /// From the first to the last, in seconds.
    pub(super) seconds: f64,
    /// Whether there are more than were looked at, or the file ends within a packet.
    pub(super) is_cut: bool,
    /// Protocols and their numbers of packets, the most frequent first.
    pub(super) protocols: Vec<(String, usize)>,
    /// Who sent what to whom, and how often; the most frequent first.
    pub(super) talks: Vec<(String, usize)>,
    /// How many more talks there are.
    pub(super) more: usize,
}

impl Packets {
    /// Of a file, which is called `name` in the run's folder; nothing where it is no such file.
    pub(super) fn read(path: &Path, name: String) -> Option<Self> {
        Self::of(BufReader::new(File::open(path).ok()?), name)
    }

    fn of(mut from: impl Read, path: String) -> Option<Self> {
        let [magic, _, _, _, _, link] = words::<6>(&mut from)?;
        let (_, parts) = MAGIC.iter().find(|(known, _)| *known == magic)?;
        let mut found = Self { path, ..Self::default() };
        let (mut protocols, mut talks) = (BTreeMap::new(), BTreeMap::new());
        let mut first = None;
        let mut data = Vec::new();
        while let Some([whole, part, length, on_link]) = words::<4>(&mut from) {
            data.clear();
            let is_whole = length <= LONGEST
                && from
                    .by_ref()
                    .take(length.into())
                    .read_to_end(&mut data)
                    .is_ok_and(|n| n == length as usize);
            if !is_whole || found.packets == MOST {
                found.is_cut = true;
                break;
            }
            found.packets += 1;
            found.bytes += u64::from(on_link);
            let at = f64::from(whole) + f64::from(part) / parts;
            found.seconds = at - *first.get_or_insert(at);
            let (protocol, talk) = if link == ETHERNET { told(&data) } else { ("other", None) };
            *protocols.entry(protocol.to_owned()).or_default() += 1;
            if let Some(talk) = talk {
                *talks.entry(talk).or_default() += 1;
            }
        }
        found.protocols = most_first(protocols);
        found.talks = most_first(talks);
        found.more = found.talks.len().saturating_sub(TALKS);
        found.talks.truncate(TALKS);
        Some(found)
    }
}

/// The next numbers of a file, if it has them.
fn words<const N: usize>(from: &mut impl Read) -> Option<[u32; N]> {
    let mut words = [0; N];
    for word in &mut words {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).ok()?;
        *word = u32::from_le_bytes(bytes);
    }
    Some(words)
}

fn most_first(counts: BTreeMap<String, usize>) -> Vec<(String, usize)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// The protocol of a packet, and who sends it to whom, with the port of the side that waits for others: the lower one.
fn told(data: &[u8]) -> (&'static str, Option<String>) {
    let Ok(packet) = SlicedPacket::from_ethernet(data) else { return ("other", None) };
    let (net, [from, to]) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let ip = ip.header();
            ("ip", [ip.source_addr().to_string(), ip.destination_addr().to_string()])
        }
        Some(NetSlice::Ipv6(ip)) => {
            let ip = ip.header();
            ("ip6", [ip.source_addr().to_string(), ip.destination_addr().to_string()])
        }
        Some(NetSlice::Arp(_)) => return ("arp", None),
        None => return ("other", None),
    };
    let (protocol, detail) = match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let port = tcp.source_port().min(tcp.destination_port());
            ("tcp", format!("tcp {port}{}", if tcp.rst() { " reset" } else { "" }))
        }
        Some(TransportSlice::Udp(udp)) => {
            ("udp", format!("udp {}", udp.source_port().min(udp.destination_port())))
        }
        Some(TransportSlice::Icmpv4(_)) => ("icmp", "icmp".to_owned()),
        Some(TransportSlice::Icmpv6(_)) => ("icmp6", "icmp6".to_owned()),
        Some(TransportSlice::Igmp(_)) => ("igmp", "igmp".to_owned()),
        None => (net, net.to_owned()),
    };
    (protocol, Some(format!("{from} to {to}: {detail}")))
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn file(magic: u32, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file: Vec<u8> = [magic, 0x0004_0002, 0, 0, 65_535, ETHERNET].map(u32::to_le_bytes).concat();
        for (second, packet) in (10..).zip(packets) {
            let length = u32::try_from(packet.len()).unwrap();
            file.extend([second, 500_000, length, length + 100].map(u32::to_le_bytes).concat());
            file.extend(packet);
        }
        file
    }

    fn packets() -> Vec<Vec<u8>> {
        let ip = || PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = Vec::new();
            write(&mut packet);
            packet
        };
        let ping = written(&|to| ip().icmpv4_echo_request(1, 1).write(to, b"abc").unwrap());
        let ssh = written(&|to| ip().tcp(40_000, 22, 1, 1024).write(to, b"").unwrap());
        let refused = written(&|to| ip().tcp(80, 40_001, 1, 0).rst().write(to, b"").unwrap());
        let name = written(&|to| ip().udp(53, 5353).write(to, b"?").unwrap());
        vec![ping.clone(), ssh, ping, refused, name, vec![0; 7]]
    }

    #[test]
    fn who_talked_with_whom_is_told() {
        let whole = file(0xa1b2_c3d4, &packets());
        let found = Packets::of(whole.as_slice(), "a.pcap".to_owned()).unwrap();
        let length: usize = packets().iter().map(Vec::len).sum();
        assert_eq!((found.packets, found.bytes, found.is_cut), (6, length as u64 + 600, false));
        assert!((found.seconds - 5.0).abs() < 1e-6, "{found:?}");
        let told: Vec<String> =
            found.protocols.iter().map(|(name, count)| format!("{count} {name}")).collect();
        assert_eq!(told, ["2 icmp", "2 tcp", "1 other", "1 udp"]);
        let told: Vec<String> = found.talks.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let between = "10.0.0.1 to 10.0.0.2:";
        let expected = ["2 {} icmp", "1 {} tcp 22", "1 {} tcp 80 reset", "1 {} udp 53"];
        assert_eq!(told, expected.map(|one| one.replace("{}", between)));
    }

    #[test]
    fn what_is_cut_or_strange_is_told_or_nothing() {
        let whole = file(0xa1b2_3c4d, &packets());
        for length in 0..whole.len() {
            let found = Packets::of(whole.get(..length).unwrap(), String::new());
            assert_eq!(found.is_some(), length >= 24, "{length}");
            assert!(found.is_none_or(|found| found.packets < 6), "{length}");
        }
        let mut huge = file(0xa1b2_c3d4, &[]);
        huge.extend([1, 1, u32::MAX, 1].map(u32::to_le_bytes).concat());
        assert!(Packets::of(huge.as_slice(), String::new()).unwrap().is_cut);
        assert_eq!(Packets::of(&b"not a capture at all, is it?"[..], String::new()), None);
        let many = vec![vec![]; MOST + 1];
        let found = Packets::of(file(0xa1b2_c3d4, &many).as_slice(), String::new()).unwrap();
        assert_eq!((found.packets, found.is_cut), (MOST, true));
    }
}
