//! An inventory for Ansible: hosts in groups by what their machines are. Pure.

use serde_json::{Value, json};

use crate::initfile::spec::{DiskSource, DiskSpec, MachineSpec};

/// A machine as the inventory shows it.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// Its name.
    pub(super) name: String,
    /// Variables of the host, in order: name and value.
    pub(super) variables: Vec<(&'static str, String)>,
    /// What is known of it, for keys to be looked up in; its `groups` are groups, too.
    pub(super) spec: Value,
}

/// Keys that make groups when none are given.
pub(super) const KEYS: &[&str] = &["vm-type", "groups", "vm-provider"];

/// The inventory as INI text. A key is a path into a machine's spec, its parts separated by `/`; every value found makes
/// a group. Names of groups have only letters, digits and `_`, unless `raw`.
pub(super) fn inventory(hosts: &[Host], keys: &[String], raw: bool) -> String {
    let keys: Vec<&str> =
        if keys.is_empty() { KEYS.to_vec() } else { keys.iter().map(String::as_str).collect() };
    let mut groups: Vec<(String, Vec<&Host>)> = vec![];
    for key in &keys {
        for host in hosts {
            let values = look_up(&host.spec, key).map(elements).unwrap_or_default();
            values
                .iter()
                .for_each(|value| join(&mut groups, group_name(&format!("{key}={value}"), raw), host));
        }
    }
    for host in hosts {
        let named = host.spec.get("groups").map(elements).unwrap_or_default();
        named.iter().for_each(|name| join(&mut groups, group_name(name, raw), host));
    }
    let group = |(name, mut hosts): (String, Vec<&Host>)| {
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let lines: String = hosts.iter().map(|host| line(host) + "\n").collect();
        format!("[{name}]\n{lines}")
    };
    groups.into_iter().map(group).collect::<Vec<_>>().join("\n")
}

/// A machine's spec under the keys of init files, where paths of keys lead to.
pub(super) fn lago_spec(machine: &MachineSpec) -> Value {
    let disk = |disk: &DiskSpec| {
        let template = match &disk.source {
            DiskSource::Template { name, .. } => Some(name),
            _ => None,
        };
        json!({"name": disk.name, "dev": disk.dev, "template_name": template, "metadata": disk.metadata})
    };
    let nics: Vec<_> = machine.nics.iter().map(|nic| json!({"net": nic.net, "ip": nic.ip})).collect();
    json!({
        "name": machine.name,
        "vm-type": machine.vm_type,
        "vm-provider": machine.provider,
        "memory": machine.memory_mib,
        "vcpu": machine.vcpus,
        "distro": machine.distro,
        "groups": machine.groups,
        "artifacts": machine.artifacts,
        "metadata": machine.metadata,
        "service_provider": machine.service_provider,
        "nics": nics,
        "disks": machine.disks.iter().map(disk).collect::<Vec<_>>(),
    })
}

fn join<'a>(groups: &mut Vec<(String, Vec<&'a Host>)>, name: String, host: &'a Host) {
    match groups.iter_mut().find(|(known, _)| *known == name) {
        Some((_, members)) if members.iter().any(|member| member.name == host.name) => {}
        Some((_, members)) => members.push(host),
        None => groups.push((name, vec![host])),
    }
}

fn line(host: &Host) -> String {
    let variables = host.variables.iter().map(|(name, value)| format!(" {name}={}", quoted(value)));
    host.name.clone() + &variables.collect::<String>()
}

/// A value as Ansible's INI reader takes it: quoted where it would end at a blank or begin a comment.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@+,%=~".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// What stands at a path of keys; numbers index lists, negative ones from their end.
fn look_up<'a>(spec: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').filter(|part| !part.is_empty()).try_fold(spec, |value, part| match value {
        Value::Array(items) => {
            let index: isize = part.parse().ok()?;
            let back = index.unsigned_abs();
            items.get(if index < 0 { items.len().checked_sub(back)? } else { back })
        }
        other => other.get(part),
    })
}

/// The values of a list, or the one that is none.
fn elements(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Null => vec![],
        Value::Array(items) => items.iter().map(text).collect(),
        other => vec![text(other)],
    }
}

/// A name that Ansible takes without warning: `vm-type=default` becomes `vm_type_default`.
fn group_name(name: &str, raw: bool) -> String {
    if raw {
        return name.to_owned();
    }
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, spec: Value) -> Host {
        let variables =
            vec![("ansible_host", format!("192.168.200.{}", name.len())), ("ansible_user", "root".into())];
        Host { name: name.into(), variables, spec }
    }

    fn hosts() -> Vec<Host> {
        let spec = |kind: &str, groups: Value| {
            json!({"vm-type": kind, "vm-provider": "local-libvirt", "groups": groups,
            "disks": [{"name": "root"}, {"name": kind}]})
        };
        vec![
            host("web", spec("default", json!(["front-end", "all-web"]))),
            host("db", spec("big", json!([]))),
        ]
    }

    #[test]
    fn groups_come_in_order_of_first_use_and_hosts_by_name() {
        let expected = "\
[vm_type_default]
web ansible_host=192.168.200.3 ansible_user=root

[vm_type_big]
db ansible_host=192.168.200.2 ansible_user=root

[groups_front_end]
web ansible_host=192.168.200.3 ansible_user=root

[groups_all_web]
web ansible_host=192.168.200.3 ansible_user=root

[vm_provider_local_libvirt]
db ansible_host=192.168.200.2 ansible_user=root
web ansible_host=192.168.200.3 ansible_user=root

[front_end]
web ansible_host=192.168.200.3 ansible_user=root

[all_web]
web ansible_host=192.168.200.3 ansible_user=root
";
        assert_eq!(inventory(&hosts(), &[], false), expected);
    }

    #[rstest::rstest]
    #[case("disks/0/name", &["[disks/0/name=root]"])]
    #[case("/disks/-1/name", &["[/disks/-1/name=default]", "[/disks/-1/name=big]"])]
    #[case("disks/7/name", &[])]
    #[case("nonsense", &[])]
    #[case("vm-type", &["[vm-type=default]", "[vm-type=big]"])]
    fn keys_are_paths_and_raw_names_are_lagos(#[case] key: &str, #[case] expected: &[&str]) {
        let text = inventory(&hosts(), &[key.into()], true);
        let groups: Vec<_> = text.lines().filter(|line| line.starts_with('[')).collect();
        assert_eq!(groups[..groups.len() - 2], *expected);
        assert_eq!(groups[groups.len() - 2..], ["[front-end]", "[all-web]"]);
    }

    #[rstest::rstest]
    #[case("1st", "_1st")]
    #[case("a b", "a_b")]
    fn group_names_are_made_plain(#[case] name: &str, #[case] plain: &str) {
        assert_eq!(group_name(name, false), plain);
    }

    #[rstest::rstest]
    #[case("/a/b-c.d", "/a/b-c.d")]
    #[case("/a b", "'/a b'")]
    #[case("it's", "'it\\'s'")]
    fn values_are_quoted(#[case] value: &str, #[case] expected: &str) {
        assert_eq!(quoted(value), expected);
    }
}
