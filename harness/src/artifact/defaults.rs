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

    #[rstest::rstest]
    #[case("ID=polder-minimal\nID_LIKE=debian\n", "/etc/inittab", "kernel")]
    #[case("PRETTY_NAME=\"x\"\nID=debian\n", "/var/log/syslog", "packages")]
    #[case("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "/var/log/messages", "selinux")]
    #[case("ID=linuxmint\nID_LIKE='ubuntu debian'", "/var/log/dpkg.log", "coredumps")]
    #[case("", "/etc/hosts", "mounts")]
    fn a_system_has_its_own(#[case] os_release: &str, #[case] path: &str, #[case] command: &str) {
        let defaults = Defaults::of(os_release);
        assert!(defaults.paths.iter().any(|p| p == path) && defaults.commands.contains_key(command));
        assert!(defaults.commands.contains_key("addresses"), "what all have");
        let foreign = defaults.paths.iter().any(|p| p == "/var/log/messages");
        assert_eq!(foreign, os_release.contains("rhel"));
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
