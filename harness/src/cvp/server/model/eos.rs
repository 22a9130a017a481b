//! Configurations in the style of EOS: lines with lines below them. Parsed, added up, compared, looked over.
//! Not who has which configuration.

use std::collections::{BTreeMap, HashMap, HashSet};

/// A line with all lines it stands below, outermost first: what tells it from others.
type Path = Vec<String>;

/// What a text says: its lines in order, each once. Comments, blank lines and `end` say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<Path>);

/// What is designed, against what runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Every line of what is designed.
    pub(crate) designed: Vec<Row>,
    /// Every line of what runs.
    pub(crate) running: Vec<Row>,
}

/// A line of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// How many lines it stands below.
    pub(crate) depth: usize,
    /// The line itself.
    pub(crate) command: String,
    pub(crate) kind: Kind,
}

/// How a line compares with the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is on the other side, too.
    Same,
    /// The same command with another value is.
    Mismatch,
    /// It is not.
    Alone,
}

/// A line that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) word: String,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, text, word } = self;
        write!(f, "> {text}% Invalid input (at token 0: '{word}') at line {line}")
    }
}

impl Lines {
    /// Reads a text.
    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = Self::default();
        lines.add(text);
        lines
    }

    /// Adds what another text says.
    pub(crate) fn add(&mut self, text: &str) {
        let mut known: HashSet<Path> = self.0.iter().cloned().collect();
        let mut above: Vec<(usize, String)> = vec![];
        let mut banner = false;
        for line in text.lines() {
            let words = line.trim();
            let depth = if banner { usize::MAX } else { line.len() - line.trim_start().len() };
            if banner {
                banner = words != "EOF";
            } else if words.is_empty() || words.starts_with('!') || words == "end" {
                continue;
            } else {
                banner = depth == 0 && words.starts_with("banner ");
                above.retain(|(at, _)| *at < depth);
            }
            let mut path: Path = above.iter().map(|(_, line)| line.clone()).collect();
            path.push(words.to_owned());
            // Of a banner each line counts, also when two are alike.
            if depth == usize::MAX || known.insert(path.clone()) {
                self.0.push(path);
            }
            if depth != usize::MAX {
                above.push((depth, words.to_owned()));
            }
        }
    }

    /// As a device prints it: what stands below the same line comes together.
    pub(crate) fn render(&self) -> String {
        let mut below: HashMap<&[String], Vec<&Path>> = HashMap::new();
        for path in &self.0 {
            let above = path.split_last().map(|(_, above)| above).unwrap_or_default();
            below.entry(above).or_default().push(path);
        }
        let mut text = String::new();
        render(&below, &[], &mut text);
        text
    }

    /// Whether every line is in `other`, or in one of both.
    pub(crate) fn within(&self, other: &Self, or: &Self) -> bool {
        let known: HashSet<&Path> = other.0.iter().chain(&or.0).collect();
        self.0.iter().all(|path| known.contains(path))
    }

    /// The lines that `other` does not have, with those they stand below.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let known: HashSet<&Path> = other.0.iter().collect();
        let alone: Vec<&Path> = self.0.iter().filter(|path| !known.contains(path)).collect();
        let needed = |path: &Path| alone.iter().any(|deeper| deeper.starts_with(path));
        Self(self.0.iter().filter(|path| needed(path)).cloned().collect())
    }

    /// What `designed` has that does not run, and the other way round.
    pub(crate) fn compare(designed: &Self, running: &Self) -> Comparison {
        let mut places: BTreeMap<Place<'_>, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        let (there, here): (HashSet<&Path>, HashSet<&Path>) =
            (running.0.iter().collect(), designed.0.iter().collect());
        let mut kinds = (vec![Kind::Same; designed.0.len()], vec![Kind::Same; running.0.len()]);
        for (index, path) in designed.0.iter().enumerate().filter(|(_, path)| !there.contains(path)) {
            set(&mut kinds.0, index, Kind::Alone);
            places.entry(place(path)).or_default().0.push(index);
        }
        for (index, path) in running.0.iter().enumerate().filter(|(_, path)| !here.contains(path)) {
            set(&mut kinds.1, index, Kind::Alone);
            places.entry(place(path)).or_default().1.push(index);
        }
        for (ours, theirs) in places.values() {
            for (a, b) in ours.iter().zip(theirs) {
                set(&mut kinds.0, *a, Kind::Mismatch);
                set(&mut kinds.1, *b, Kind::Mismatch);
            }
        }
        Comparison { designed: rows(designed, &kinds.0), running: rows(running, &kinds.1) }
    }
}

fn render(below: &HashMap<&[String], Vec<&Path>>, above: &[String], text: &mut String) {
    for path in below.get(above).into_iter().flatten() {
        text.extend(std::iter::repeat_n("   ", above.len()));
        text.push_str(path.last().map(String::as_str).unwrap_or_default());
        text.push('\n');
        render(below, path, text);
    }
}

fn set(kinds: &mut [Kind], index: usize, kind: Kind) {
    if let Some(place) = kinds.get_mut(index) {
        *place = kind;
    }
}

fn rows(lines: &Lines, kinds: &[Kind]) -> Vec<Row> {
    let row = |(path, kind): (&Path, &Kind)| {
        let command = path.last().cloned().unwrap_or_default();
        Row { depth: path.len().saturating_sub(1), command, kind: *kind }
    };
    lines.0.iter().zip(kinds).map(row).collect()
}

/// Where a line stands, and which command it is.
type Place<'a> = (&'a [String], String);

/// The place of a line: two of the same place differ in their values.
fn place(path: &Path) -> Place<'_> {
    let Some((line, above)) = path.split_last() else {
        return (&[], String::new());
    };
    let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "no").collect();
    let count = match words.as_slice() {
        ["hostname" | "description" | "name", ..] => 1,
        words => {
            let value = words.iter().position(|word| word.chars().any(|c| c.is_ascii_digit()));
            value.unwrap_or(words.len().saturating_sub(1)).max(1)
        }
    };
    (above, words.into_iter().take(count).collect::<Vec<_>>().join(" "))
}

impl Comparison {
    /// Lines designed that do not run.
    pub(crate) fn new_count(&self) -> usize {
        count(&self.designed, Kind::Alone)
    }
    /// Lines that run with another value.
    pub(crate) fn mismatch_count(&self) -> usize {
        count(&self.designed, Kind::Mismatch)
    }
    /// Lines that run and are not designed.
    pub(crate) fn reconcile_count(&self) -> usize {
        count(&self.running, Kind::Alone)
    }
    /// All lines of both sides, each once.
    pub(crate) fn total(&self) -> usize {
        self.designed.len() + self.reconcile_count()
    }
}

fn count(rows: &[Row], kind: Kind) -> usize {
    rows.iter().filter(|row| row.kind == kind).count()
}

/// What a device says to lines that it takes and that may be a mistake.
pub(crate) fn warnings(text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| line.trim() == "spanning-tree portfast");
    let warning = |(number, _): (usize, &str)| {
        format!(
            "! portfast should only be enabled on ports connected to a single host. Connecting hubs, concentrators, \
             switches, bridges, etc. to this interface when portfast is enabled can cause temporary bridging loops. \
             Use with CAUTION. at line {}",
            number + 1
        )
    };
    lines.map(warning).collect()
}

/// The lines a device would refuse: their first word begins no command. Below lines that open a mode this is looked at
/// for interfaces only; the words of the many other modes are not known here.
pub(crate) fn validate(text: &str) -> Vec<Invalid> {
    let mut invalid = vec![];
    let (mut banner, mut interface) = (false, false);
    for (number, line) in text.lines().enumerate() {
        if banner {
            banner = line.trim() != "EOF";
            continue;
        }
        let below = line.starts_with([' ', '\t']);
        if below && !interface {
            continue;
        }
        let mut words = line.split_whitespace().filter(|word| !matches!(*word, "no" | "default"));
        let Some(word) = words.next().filter(|word| !word.starts_with('!')) else { continue };
        if !below {
            banner = word == "banner";
            interface = word.len() > 2 && "interface".starts_with(word);
        }
        let known = begins_command(word, FIRST_WORDS) || below && begins_command(word, INTERFACE_WORDS);
        if !known {
            let text = line.trim().to_owned();
            invalid.push(Invalid { line: number + 1, text, word: word.to_owned() });
        }
    }
    invalid
}

/// Commands may be shortened, as on a device.
fn begins_command(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| *known == word || (word.len() > 2 && known.starts_with(word)))
}

/// What commands of interfaces begin with, besides those that others begin with, too.
const INTERFACE_WORDS: &[&str] = &[
    "bandwidth",
    "channel-group",
    "description",
    "encapsulation",
    "error-correction",
    "evpn",
    "flowcontrol",
    "link-debounce",
    "mtu",
    "multicast",
    "name",
    "negotiation",
    "neighbor",
    "ospf",
    "pim",
    "phy",
    "profile",
    "pvlan",
    "rate-limit",
    "service-policy",
    "service-profile",
    "shape",
    "shutdown",
    "source",
    "speed",
    "storm-control",
    "traffic-engineering",
    "traffic-loopback",
    "transmit",
    "tx-queue",
    "uc-tx-queue",
    "unidirectional",
    "untagged",
    "weight",
];

/// What commands of configurations begin with.
const FIRST_WORDS: &[&str] = &[
    "aaa",
    "action",
    "address-family",
    "agent",
    "alias",
    "aliases",
    "arp",
    "as-path",
    "banner",
    "bfd",
    "bgp",
    "boot",
    "bridge",
    "class-map",
    "clock",
    "code",
    "comment",
    "community-set",
    "control-plane",
    "cvx",
    "daemon",
    "dcbx",
    "dhcp",
    "diagnostics",
    "dns",
    "domain",
    "dot1x",
    "dynamic",
    "email",
    "enable",
    "end",
    "environment",
    "errdisable",
    "ethernet",
    "event-handler",
    "event-monitor",
    "exit",
    "fips",
    "flow",
    "forwarding",
    "generate",
    "group",
    "hardware",
    "hostname",
    "igmp",
    "interface",
    "ip",
    "ipv6",
    "ip-domain",
    "isis",
    "kernel",
    "key",
    "l2",
    "l2-protocol",
    "lacp",
    "ldap",
    "link",
    "lldp",
    "load-balance",
    "load-interval",
    "logging",
    "mac",
    "mac-address-table",
    "mac-sec",
    "maintenance",
    "management",
    "match-list",
    "mcs",
    "mirror",
    "mlag",
    "monitor",
    "mpls",
    "msrp",
    "mvrp",
    "ntp",
    "openflow",
    "patch",
    "peer-filter",
    "permit",
    "platform",
    "policy-map",
    "poe",
    "port",
    "port-channel",
    "power",
    "priority-flow-control",
    "privilege",
    "process",
    "prompt",
    "ptp",
    "qos",
    "queue-monitor",
    "radius",
    "radius-server",
    "redundancy",
    "rib",
    "role",
    "route-map",
    "router",
    "router-id",
    "rsvp",
    "schedule",
    "security",
    "service",
    "service-routing",
    "sflow",
    "snmp",
    "snmp-server",
    "spanning-tree",
    "ssh",
    "stun",
    "switch",
    "switchport",
    "system",
    "tacacs",
    "tacacs-server",
    "tap",
    "tcam",
    "tech-support",
    "terminal",
    "terminattr",
    "traffic",
    "traffic-policies",
    "traffic-policy",
    "transceiver",
    "trident",
    "tunnel",
    "unsupported",
    "username",
    "vlan",
    "vmtracer",
    "vpws",
    "vrf",
    "vrrp",
    "vxlan",
    "watchdog",
    "xmpp",
    "zerotouch",
];

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "hostname a\n!\ninterface Ethernet1\n   mtu 1500\n   no shutdown\n!\nend\n";

    #[rstest::rstest]
    #[case(BASE, BASE, [0, 0, 0])]
    #[case("interface Ethernet1\n mtu 1500\n no shutdown\nhostname a", BASE, [0, 0, 0])]
    #[case("hostname b\ninterface Ethernet1\n   mtu 9000\n   no shutdown\n", BASE, [0, 2, 0])]
    #[case("ntp server 1.2.3.4\n", BASE, [1, 0, 4])]
    #[case("", BASE, [0, 0, 4])]
    #[case(BASE, "", [4, 0, 0])]
    #[case("interface Ethernet2\n   mtu 1500\n", "interface Ethernet1\n   mtu 1500\n", [1, 1, 1])]
    #[case("ip routing\n", "ip multicast-routing\n", [0, 1, 0])]
    #[case("ip address 10.0.0.1/24\n", "ip mtu 9000\n", [1, 0, 1])]
    fn lines_are_compared_where_they_stand(
        #[case] designed: &str,
        #[case] running: &str,
        #[case] expected: [usize; 3],
    ) {
        let found = Lines::compare(&Lines::parse(designed), &Lines::parse(running));
        let counts = [found.new_count(), found.mismatch_count(), found.reconcile_count()];
        assert_eq!(counts, expected, "{found:#?}");
    }

    #[rstest::rstest]
    #[case(BASE, "hostname a\ninterface Ethernet1\n   mtu 1500\n   no shutdown\n")]
    #[case("a\n b\nc\na\n  d\n  b\n", "a\n   b\n   d\nc\n")]
    #[case(
        "banner motd\n  two  \n\n! no comment\n! no comment\nEOF\nip routing\n",
        "banner motd\n   two\n   \n   ! no comment\n   ! no comment\n   EOF\nip routing\n"
    )]
    fn what_is_said_twice_is_said_once(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Lines::parse(text).render(), expected);
    }

    #[test]
    fn what_is_taken_away_keeps_what_it_stands_below() {
        let rest = Lines::parse("a\n b\n c\nd\n").without(&Lines::parse("a\n b\nd\n"));
        assert_eq!(rest.render(), "a\n   c\n");
    }

    #[rstest::rstest]
    #[case(BASE, &[])]
    #[case("router bgp 1\n   anything goes\nno ip routing\n", &[])]
    #[case("int Et1\n mtu 9000\n no shutdown\n typo x\n", &["> typo x% Invalid input (at token 0: 'typo') at line 4"])]
    #[case("vlan 5\ntypocommand 7\n", &["> typocommand 7% Invalid input (at token 0: 'typocommand') at line 2"])]
    #[case("banner login\nhi there\nEOF\nno hi\n", &["> no hi% Invalid input (at token 0: 'hi') at line 4"])]
    fn first_words_are_known(#[case] text: &str, #[case] expected: &[&str]) {
        let found: Vec<_> = validate(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }
}
