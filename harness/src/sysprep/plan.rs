//! What is changed on the disk of a machine so that it is itself when it boots first: from its distribution, name and keys
//! to changes of files. Pure, and the same for everybody who carries it out.

use serde::{Deserialize, Serialize};

use crate::image::{Address6, Identity, NicAddress, NicIdentity};

/// A change of files. What is new belongs to root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A folder is there.
    Folder {
        /// Its path.
        path: String,
        /// Permissions it has if it was not there.
        mode: u32,
    },
    /// A file has this content, whatever it had.
    File {
        /// Its path.
        path: String,
        /// Its permissions.
        mode: u32,
        /// All of its text, in whole lines.
        content: String,
    },
    /// A file has this line at its end; it is made when it is not there.
    Line {
        /// Its path.
        path: String,
        /// Its permissions, if it was not there.
        mode: u32,
        /// The line, without its end.
        line: String,
    },
    /// In each line that begins with `after`, behind blanks or not, what follows becomes `text`.
    Edit {
        /// Path of the file.
        path: String,
        /// How the lines begin.
        after: String,
        /// Where what is replaced ends; absent: with the line.
        until: Option<char>,
        /// What stands there then.
        text: String,
        /// Whether there has to be such a line; else a file without one, or that is not there, is left alone.
        needed: bool,
    },
    /// A file is not there.
    Remove {
        /// Its path.
        path: String,
    },
}

/// Distributions that have changes of their own. Of what is not among them, only what all have in common is changed.
pub const DISTROS: [&str; 6] = ["el6", "el7", "fc24", "fc25", "fc26", "debian"];

/// What is changed for `machine`, in this order.
#[must_use]
pub fn actions(distro: Option<&str>, machine: &Identity) -> Vec<Action> {
    let distro = distro.unwrap_or_default();
    let (el6, el7, debian) = (distro == "el6", distro == "el7", distro == "debian");
    let fedora = matches!(distro, "fc24" | "fc25" | "fc26");
    let mut actions = base(distro, machine);
    if el6 || el7 || fedora {
        actions.extend(iscsi(machine.hostname.as_str()));
    }
    if el6 || el7 {
        actions.push(folder("/etc/sysconfig/network-scripts", 0o755));
        actions.extend((0..).zip(&machine.nics).map(|(index, nic)| ifcfg(index, nic, machine)));
    }
    if debian {
        actions.extend(interfaces(&machine.nics));
    }
    if el7 || fedora {
        let wants = "/etc/systemd/system/multi-user.target.wants";
        actions.extend(["kdump", "postfix"].map(|unit| remove(format!("{wants}/{unit}.service"))));
        actions.extend(no_menu("/boot/grub2/grub.cfg"));
    }
    if debian {
        actions.extend(no_menu("/boot/grub/grub.cfg"));
    }
    actions
}

/// Whether a machine of this distribution has the host key it is given: very old ones do not know its kind.
#[must_use]
pub fn takes_host_key(distro: Option<&str>) -> bool {
    distro != Some("el6")
}

/// For all: name, passwords, keys, and nothing that two machines must not have in common.
fn base(distro: &str, machine: &Identity) -> Vec<Action> {
    let mut actions = match distro {
        "el6" => vec![edit("/etc/sysconfig/network", "HOSTNAME=", None, machine.hostname.as_str(), false)],
        _ => vec![
            file("/etc/hostname", 0o644, format!("{}\n", machine.hostname)),
            file("/etc/machine-id", 0o444, String::new()),
        ],
    };
    for user in &machine.users {
        let line = format!("{}:", user.name);
        actions.extend(user.password.as_ref().map(|hash| edit("/etc/shadow", &line, Some(':'), hash, true)));
        if user.name != "root" {
            // Whom a folder belongs to is not known; to root it may.
            let home = format!("/home/{}/.ssh", user.name);
            actions.extend([folder(&home, 0o755), key(&home, 0o644, machine)]);
        }
    }
    actions.extend([folder("/root/.ssh", 0o700), key("/root/.ssh", 0o600, machine)]);
    if takes_host_key(Some(distro)) {
        // Another one that is left could be shown instead of that which is expected.
        let kinds = ["rsa", "dsa", "ecdsa"];
        let all = kinds.into_iter().map(|kind| format!("/etc/ssh/ssh_host_{kind}_key"));
        actions.extend(all.flat_map(|key| [remove(format!("{key}.pub")), remove(key)]));
        actions.push(remove("/etc/ssh/ssh_host_ed25519_key.pub".to_owned()));
        actions.push(file("/etc/ssh/ssh_host_ed25519_key", 0o600, lines(&machine.host_key)));
    }
    // Names of NICs, by the addresses of those of another machine.
    actions.push(remove("/etc/udev/rules.d/70-persistent-net.rules".to_owned()));
    if distro != "debian" {
        actions.push(file("/.autorelabel", 0o644, String::new()));
    }
    actions
}

fn key(folder: &str, mode: u32, machine: &Identity) -> Action {
    Action::Line {
        path: format!("{folder}/authorized_keys"),
        mode,
        line: machine.authorized_key.trim().to_owned(),
    }
}

fn iscsi(hostname: &str) -> [Action; 2] {
    let name = format!("InitiatorName=iqn.2014-07.org.lago:{hostname}\n");
    [folder("/etc/iscsi", 0o755), file("/etc/iscsi/initiatorname.iscsi", 0o644, name)]
}

fn ifcfg(index: usize, nic: &NicIdentity, machine: &Identity) -> Action {
    let mut text = format!("HWADDR={}\nONBOOT=yes\nTYPE=Ethernet\nNAME=eth{index}\n", nic.mac);
    let mut put = |key: &str, value: Option<String>| {
        text += &value.map(|value| format!("{key}={value}\n")).unwrap_or_default();
    };
    match nic.address {
        NicAddress::Dhcp => put("BOOTPROTO", Some("dhcp".into())),
        NicAddress::None => put("BOOTPROTO", Some("none".into())),
        NicAddress::Static { ip, prefix, gateway } => {
            put("BOOTPROTO", Some("none".into()));
            put("IPADDR", Some(ip.to_string()));
            put("PREFIX", Some(prefix.to_string()));
            put("GATEWAY", gateway.map(|gateway| gateway.to_string()));
            put("DNS1", machine.dns.map(|dns| dns.to_string()));
        }
    }
    if let Some(Address6 { ip, prefix, gateway }) = nic.address6 {
        put("IPV6INIT", Some("yes".into()));
        put("IPV6ADDR", Some(format!("{ip}/{prefix}")));
        put("IPV6_DEFAULTGW", gateway.map(|gateway| gateway.to_string()));
    }
    put("MTU", nic.mtu.map(|mtu| mtu.to_string()));
    file(format!("/etc/sysconfig/network-scripts/ifcfg-eth{index}"), 0o644, text)
}

/// The names are those of the files, whatever the bus calls the NICs.
fn interfaces(nics: &[NicIdentity]) -> Vec<Action> {
    let all = "auto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/*.cfg\n".to_owned();
    let mut actions = vec![
        folder("/etc/network/interfaces.d", 0o755),
        file("/etc/network/interfaces", 0o644, all),
        folder("/etc/systemd/network", 0o755),
    ];
    for (index, nic) in nics.iter().enumerate() {
        let name = format!("eth{index}");
        let gateway =
            |gateway: Option<String>| gateway.map(|ip| format!("    gateway {ip}\n")).unwrap_or_default();
        let mut text = format!("auto {name}\n");
        text += &match nic.address6 {
            None => format!("iface {name} inet6 auto\n"),
            Some(Address6 { ip, prefix, gateway: to }) => {
                let to = gateway(to.map(|ip| ip.to_string()));
                format!("iface {name} inet6 static\n    address {ip}/{prefix}\n{to}")
            }
        };
        text += &match nic.address {
            NicAddress::Dhcp => format!("iface {name} inet dhcp\n"),
            NicAddress::None => format!("iface {name} inet manual\n"),
            NicAddress::Static { ip, prefix, gateway: to } => {
                let to = gateway(to.map(|ip| ip.to_string()));
                format!("iface {name} inet static\n    address {ip}/{prefix}\n{to}")
            }
        };
        text += &format!("    hwaddress ether {}\n", nic.mac);
        text += &nic.mtu.map(|mtu| format!("    mtu {mtu}\n")).unwrap_or_default();
        let link = format!("[Match]\nMACAddress={}\n[Link]\nName={name}\n", nic.mac);
        actions.push(file(format!("/etc/network/interfaces.d/ifcfg-{name}.cfg"), 0o644, text));
        actions.push(file(format!("/etc/systemd/network/10-{name}.link"), 0o644, link));
    }
    actions
}

/// Nobody chooses from the boot loader's menu.
fn no_menu(menu: &str) -> [Action; 2] {
    [
        edit(menu, "set timeout=", None, "0", false),
        edit("/etc/default/grub", "GRUB_TIMEOUT=", None, "0", false),
    ]
}

fn folder(path: &str, mode: u32) -> Action {
    Action::Folder { path: path.to_owned(), mode }
}

fn file(path: impl Into<String>, mode: u32, content: String) -> Action {
    Action::File { path: path.into(), mode, content }
}

fn edit(path: &str, after: &str, until: Option<char>, text: &str, needed: bool) -> Action {
    let [path, after, text] = [path, after, text].map(str::to_owned);
    Action::Edit { path, after, until, text, needed }
}

fn remove(path: String) -> Action {
    Action::Remove { path }
}

fn lines(text: &str) -> String {
    text.lines().map(|line| format!("{line}\n")).collect()
}

/// What an [`Action::Edit`] makes of a text; nothing, when no line of it is meant.
#[must_use]
pub fn edited(content: &str, after: &str, until: Option<char>, text: &str) -> Option<String> {
    let mut found = false;
    let line = |line: &str| {
        let begin = line.len() - line.trim_start_matches([' ', '\t']).len();
        let (blanks, rest) = line.split_at(begin);
        let Some(rest) = rest.strip_prefix(after) else { return line.to_owned() };
        found = true;
        let end = until.and_then(|until| rest.find(until)).or_else(|| rest.find('\n')).unwrap_or(rest.len());
        format!("{blanks}{after}{text}{}", rest.get(end..).unwrap_or_default())
    };
    let edited: String = content.split_inclusive('\n').map(line).collect();
    found.then_some(edited)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn shown(distro: Option<&str>) -> String {
        let mut text = String::new();
        for action in actions(distro, &Identity::example()) {
            match action {
                Action::Folder { path, mode } => writeln!(text, "{path}/ {mode:o}"),
                Action::File { path, mode, content } => writeln!(text, "{path} {mode:o} {content:?}"),
                Action::Line { path, mode, line } => writeln!(text, "{path} {mode:o} + {line}"),
                Action::Edit { path, after, until, text: to, needed } => {
                    writeln!(
                        text,
                        "{path} {after}{to}{} needed: {needed}",
                        until.map(String::from).unwrap_or_default()
                    )
                }
                Action::Remove { path } => writeln!(text, "no {path}"),
            }
            .unwrap();
        }
        text
    }

    #[test]
    fn every_system_gets_its_name_and_keys_and_has_none_of_its_template() {
        insta::assert_snapshot!(shown(None));
        for distro in ["el8", "fc27", "ubuntu", "sles", "opensuse-leap", "alpine", "arch", "cirros"] {
            assert_eq!(shown(Some(distro)), shown(None), "nothing is known of {distro}");
        }
    }

    #[test]
    fn distributions_have_changes_of_their_own() {
        for distro in DISTROS {
            insta::assert_snapshot!(format!("of_{distro}"), shown(Some(distro)));
        }
    }

    #[rstest::rstest]
    #[case("root:*:1:\nroots:x:\n", "root:", Some(':'), "$6$h", Some("root:$6$h:1:\nroots:x:\n"))]
    #[case(
        "a\n  set timeout=5\nset timeout=7",
        "set timeout=",
        None,
        "0",
        Some("a\n  set timeout=0\nset timeout=0")
    )]
    #[case("# HOSTNAME=x\n", "HOSTNAME=", None, "web", None)]
    #[case("root:", "root:", Some(':'), "h", Some("root:h"))]
    #[case("", "x", None, "y", None)]
    fn lines_are_edited(
        #[case] content: &str,
        #[case] after: &str,
        #[case] until: Option<char>,
        #[case] text: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(edited(content, after, until, text).as_deref(), expected);
    }
}
