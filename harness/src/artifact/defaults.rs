//! What is worth having of any machine, by its system; the lists themselves are `defaults.toml`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

/// What is collected of a machine besides what its init file asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Paths and patterns.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Lines for its shell, by the names of the files for their outputs.
    #[serde(default)]
    pub commands: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    common: Defaults,
    systems: Vec<System>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct System {
    ids: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    commands: BTreeMap<String, String>,
}

impl Defaults {
    /// Those of a system, by its `os-release` as far as that could be had.
    #[must_use]
    pub fn of(os_release: &str) -> Self {
        static LISTS: LazyLock<Result<Lists, toml::de::Error>> =
            LazyLock::new(|| toml::from_str(include_str!("defaults.toml")));
        let Ok(lists) = &*LISTS else { return Self::default() };
        let ids = ids(os_release);
        let mut defaults = lists.common.clone();
        // What a system is comes before what it is like.
        let system =
            |id: &&str| lists.systems.iter().find(|system| system.ids.iter().any(|known| known == id));
        if let Some(system) = ids.iter().find_map(system) {
            defaults.paths.extend(system.paths.iter().cloned());
            defaults.commands.extend(system.commands.clone());
        }
        defaults
    }
}

/// The words of `ID`, then those of `ID_LIKE`.
fn ids(os_release: &str) -> Vec<&str> {
    let value = |key: &str| {
        let mut lines = os_release.lines();
        let value = lines.find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches(['"', '\'']).split_whitespace()
    };
    value("ID").chain(value("ID_LIKE")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What systems say of themselves, with the logs, packages and services that are theirs.
    #[test]
    fn every_family_has_its_own() {
        let systems = [
            ("minimal", "ID=polder-minimal\nID_LIKE=debian\n"),
            ("Debian 12", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n"),
            ("Ubuntu 24.04", "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n"),
            ("Mint", "ID=linuxmint\nID_LIKE='ubuntu debian'"),
            ("RHEL 9", "ID=\"rhel\"\nID_LIKE=\"fedora\"\n"),
            ("CentOS 7", "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\n"),
            ("Rocky 9", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            ("Fedora 41", "ID=fedora\nVERSION_ID=41\n"),
            ("SLES 15", "ID=\"sles\"\nID_LIKE=\"suse\"\n"),
            ("openSUSE Leap", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"),
            ("Alpine 3.20", "ID=alpine\nVERSION_ID=3.20.0\n"),
            ("Arch", "ID=arch\n"),
            ("Manjaro", "ID=manjaro\nID_LIKE=arch\n"),
            ("unknown", ""),
        ];
        let common = Defaults::of("");
        let mut table = String::new();
        for (name, os_release) in systems {
            let defaults = Defaults::of(os_release);
            assert!(common.paths.iter().all(|path| defaults.paths.contains(path)), "what all have");
            assert!(common.commands.iter().all(|(name, line)| defaults.commands.get(name) == Some(line)));
            let own = defaults.paths.iter().filter(|path| !common.paths.contains(path)).map(String::as_str);
            let logs: Vec<_> = own.filter_map(|path| path.strip_prefix("/var/log")).collect();
            let commands = defaults.commands.iter().filter(|(name, _)| !common.commands.contains_key(*name));
            let shown = |(name, line): (&'_ String, &'_ String)| match name.as_str() {
                "packages" => line.clone(),
                name => name.to_owned(),
            };
            let commands: Vec<_> = commands.map(shown).collect();
            table += &format!("{name}: {} ({})\n", logs.join(" "), commands.join(", "));
        }
        insta::assert_snapshot!(table, @r"
        minimal:  ()
        Debian 12: /syslog /auth.log /kern.log /cloud-init*.log /dpkg.log /apt (boot, coredumps, failed-units, dpkg-query -W, units)
        Ubuntu 24.04: /syslog /auth.log /kern.log /cloud-init*.log /dpkg.log /apt (boot, coredumps, failed-units, dpkg-query -W, units)
        Mint: /syslog /auth.log /kern.log /cloud-init*.log /dpkg.log /apt (boot, coredumps, failed-units, dpkg-query -W, units)
        RHEL 9: /messages /secure /audit/audit.log /cron /cloud-init*.log /dnf*.log /yum.log /boot.log /anaconda (boot, coredumps, failed-units, rpm -qa, selinux, units)
        CentOS 7: /messages /secure /audit/audit.log /cron /cloud-init*.log /dnf*.log /yum.log /boot.log /anaconda (boot, coredumps, failed-units, rpm -qa, selinux, units)
        Rocky 9: /messages /secure /audit/audit.log /cron /cloud-init*.log /dnf*.log /yum.log /boot.log /anaconda (boot, coredumps, failed-units, rpm -qa, selinux, units)
        Fedora 41: /messages /secure /audit/audit.log /cron /cloud-init*.log /dnf*.log /yum.log /boot.log /anaconda (boot, coredumps, failed-units, rpm -qa, selinux, units)
        SLES 15: /messages /audit/audit.log /boot.log /cloud-init*.log /zypper.log /zypp/history /YaST2/y2log (apparmor, boot, coredumps, failed-units, rpm -qa, units)
        openSUSE Leap: /messages /audit/audit.log /boot.log /cloud-init*.log /zypper.log /zypp/history /YaST2/y2log (apparmor, boot, coredumps, failed-units, rpm -qa, units)
        Alpine 3.20: /messages /dmesg /rc.log /cloud-init*.log (apk info -v, services)
        Arch: /cloud-init*.log /pacman.log (boot, coredumps, failed-units, pacman -Q, units)
        Manjaro: /cloud-init*.log /pacman.log (boot, coredumps, failed-units, pacman -Q, units)
        unknown:  ()
        ");
    }

    #[test]
    fn names_of_outputs_are_names_of_files() {
        let lists: Lists = toml::from_str(include_str!("defaults.toml")).unwrap();
        let all = lists.systems.iter().map(|s| &s.commands).chain([&lists.common.commands]);
        let is_name = |name: &String| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(all.flat_map(BTreeMap::keys).all(is_name));
        let mut paths = lists.systems.iter().flat_map(|s| &s.paths).chain(&lists.common.paths);
        assert!(paths.all(|path| path.starts_with('/')));
    }
}
