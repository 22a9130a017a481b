//! An inventory for Ansible: hosts in groups by what their machines are, and how each is reached.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Env, EnvError, Vm, plan::SSH, snapshot::Chains, state::LabState};
use crate::{
    initfile::spec::{DiskFormat, DiskSource, DiskSpec, MachineSpec},
    net::PlannedNic,
    workdir::Prefix,
};

/// Keys that make groups when none are given.
const KEYS: &[&str] = &["vm-type", "groups", "vm-provider"];

/// How an inventory is written.
#[derive(Debug, Clone, Default)]
pub struct InventoryOptions {
    /// Paths into the machines' specs, their parts separated by `/`; every value found makes a group. Numbers index
    /// lists, negative ones from their end. Empty: `vm-type`, `groups` and `vm-provider`.
    pub keys: Vec<String>,
    /// Whether groups are called exactly as keys and values are. Else their names have only letters, digits and `_`, as
    /// Ansible wants them.
    pub raw_names: bool,
    /// The command `polder`: it leads to machines of hermetic labs, whose addresses mean nothing outside.
    pub polder: PathBuf,
}

/// A machine as the inventory shows it.
#[derive(Debug, Clone)]
struct Host {
    /// Its name.
    name: String,
    /// Variables of the host, in order: name and value.
    variables: Vec<(&'static str, String)>,
    /// What is known of it, for keys to be looked up in; its `groups` are groups, too.
    spec: Value,
}

impl Env {
    /// The inventory of its machines, as INI text.
    ///
    /// # Errors
    /// What was asked for when the environment was made cannot be read.
    pub fn inventory(&self, options: &InventoryOptions) -> Result<String, EnvError> {
        let state = self.state();
        let inside = matches!(state.lab, LabState::Hermetic { .. });
        let host = |machine: &MachineSpec| {
            let vm = self.vm(machine.name.as_str())?;
            let proxy = (inside && vm.is_made() || vm.plan().login.jump.is_some())
                .then(|| proxy(&options.polder, self.folder(), vm.name().as_str()));
            let spec = spec_of(machine, &vm, &state.chains);
            Some(Host { name: vm.name().to_string(), variables: variables(&vm, self.folder(), proxy), spec })
        };
        let hosts: Vec<Host> = self.spec()?.machines.iter().filter_map(host).collect();
        Ok(inventory(&hosts, &options.keys, options.raw_names))
    }
}

fn variables(vm: &Vm, folder: &Path, proxy: Option<String>) -> Vec<(&'static str, String)> {
    let paths = Prefix::at(folder).paths().clone();
    let key = if paths.key().exists() { paths.key() } else { paths.lago_key() };
    let login = &vm.plan().login;
    let key = login.key.clone().unwrap_or(key);
    let port = (login.port != SSH).then(|| ("ansible_port", login.port.to_string()));
    let user = vm.spec().ssh.as_ref().map_or_else(|| "root".to_owned(), |ssh| ssh.user.clone());
    let address = vm.ip().map(|ip| ("ansible_host", ip.to_string()));
    let access = [("ansible_user", user), ("ansible_ssh_private_key_file", key.display().to_string())];
    let proxy = proxy.map(|args| ("ansible_ssh_common_args", args));
    address.into_iter().chain(port).chain(access).chain(proxy).collect()
}

/// Options of ssh that lead to a machine in a lab of its own. Labs use the same addresses over and over, so that what
/// was noted of a host key at one says nothing.
fn proxy(polder: &Path, folder: &Path, machine: &str) -> String {
    let word = |path: &Path| quoted(&path.display().to_string());
    // ssh has a meaning for per cent signs of its own.
    let command =
        format!("{} --prefix-path {} proxy {machine}", word(polder), word(folder)).replace('%', "%%");
    let proxy = quoted(&format!("ProxyCommand={command}"));
    format!("-o {proxy} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR")
}

/// The inventory of `hosts`.
fn inventory(hosts: &[Host], keys: &[String], raw: bool) -> String {
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

/// What was asked for and decided of a machine, under the keys of init files.
fn spec_of(machine: &MachineSpec, vm: &Vm, chains: &Chains) -> Value {
    let plan = vm.plan();
    let nics: Vec<Value> = plan.nics.iter().map(|nic| self::nic(machine, nic)).collect();
    let images: Vec<_> = plan.disks.iter().map(|disk| disk.image.as_ref().map(|image| &image.path)).collect();
    let disks = machine.disks.iter().enumerate();
    let disks: Vec<Value> =
        disks.map(|(number, spec)| disk(spec, images.get(number).copied().flatten())).collect();
    let snapshots = chains.snapshots.iter().filter(|snapshot| snapshot.machines.contains_key(vm.name()));
    let mut metadata = plan.metadata.clone();
    metadata.insert("deploy-scripts".into(), super::deploy::paths(plan));
    let domain = plan.domain.as_ref();
    let entries = [
        ("name", json!(machine.name)),
        ("vm-type", json!(plan.vm_type)),
        ("vm-provider", json!(plan.provider)),
        ("memory", json!(domain.map_or(machine.memory_mib, |domain| domain.memory_mib))),
        ("vcpu", json!(domain.map_or(machine.vcpus, |domain| domain.vcpus))),
        ("cpu_model", json!(machine.cpu.model)),
        ("cpu_custom", json!(machine.cpu.custom)),
        ("cpu_topology", json!(machine.cpu.topology)),
        ("machine", json!(machine.machine)),
        ("firmware", json!(machine.firmware)),
        ("graphics", json!(machine.graphics)),
        ("kernel", json!(machine.boot.as_ref().map(|boot| &boot.kernel))),
        ("initrd", json!(machine.boot.as_ref().and_then(|boot| boot.initrd.as_ref()))),
        ("cmdline", json!(machine.boot.as_ref().map(|boot| &boot.cmdline))),
        ("ova", json!(machine.ova.as_ref().map(|ova| &ova.url))),
        ("distro", json!(plan.distro)),
        ("groups", json!(machine.groups)),
        ("roles", json!(plan.roles)),
        ("capabilities", json!(plan.capabilities)),
        ("artifacts", json!(machine.artifacts)),
        ("bootstrap", json!(machine.bootstrap)),
        ("ssh-user", json!(plan.login.user)),
        ("boot_time_sec", json!(plan.boot_time.map(|time| time.as_secs()))),
        ("service_provider", json!(plan.service_provider)),
        ("guest-agent", json!(plan.guest_agent)),
        ("skip-export", json!(plan.skip_export)),
        ("mgmt_net", json!(plan.nics.iter().find(|nic| is_at(nic, plan.management_ip)).map(|nic| &nic.net))),
        ("nics", json!(nics)),
        ("disks", json!(disks)),
        ("metadata", Value::Object(metadata)),
        ("snapshots", json!(snapshots.map(|snapshot| &snapshot.name).collect::<Vec<_>>())),
    ];
    let known = entries.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(known.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

fn is_at(nic: &PlannedNic, address: Option<std::net::IpAddr>) -> bool {
    address.is_some_and(|address| nic.addresses().any(|ip| ip == address))
}

fn nic(machine: &MachineSpec, nic: &PlannedNic) -> Value {
    let asked = machine.nics.get(nic.index);
    json!({
        "net": nic.net, "ip": nic.ip, "ip6": nic.ip6, "mac": nic.mac,
        "model": asked.and_then(|nic| nic.model.as_ref()),
        "mtu": asked.and_then(|nic| nic.mtu),
        "dns": asked.and_then(|nic| nic.dns.as_ref()),
    })
}

fn disk(disk: &DiskSpec, image: Option<&PathBuf>) -> Value {
    let (kind, from) = match &disk.source {
        DiskSource::Template { .. } if disk.recipe.is_some() => ("template", json!({"recipe": disk.recipe})),
        DiskSource::Template { name, version } => {
            ("template", json!({"template_name": name, "template_version": version}))
        }
        DiskSource::Qcow2 { path } => ("template", json!({"template_type": "qcow2", "path": path})),
        DiskSource::Empty { size } => ("empty", json!({"size": size})),
        DiskSource::File { path, url, copy } => {
            ("file", json!({"path": path, "url": url, "make_a_copy": copy}))
        }
    };
    let format = match disk.format {
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Raw => "raw",
        DiskFormat::Iso => "iso",
    };
    let mut all = json!({
        "name": disk.name, "dev": disk.dev, "type": kind, "format": format, "bus": disk.bus,
        "serial": disk.serial, "boot": disk.boot, "metadata": disk.metadata, "skip-export": disk.skip_export,
    });
    if let (Value::Object(all), Value::Object(from)) = (&mut all, from) {
        all.extend(from);
        // The file the machine writes to, once there is one.
        all.extend(image.map(|image| ("path".to_owned(), json!(image))));
    }
    all
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

/// A value as Ansible's INI reader takes it, which splits lines as a shell does; and so for a shell.
fn quoted(value: &str) -> String {
    shlex::try_quote(value).map_or_else(|_| value.to_owned(), std::borrow::Cow::into_owned)
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
        // The words Lago prints for them.
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
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
            "up": if kind == "big" { Value::Null } else { true.into() }, "disks": [{"name": "root"}, {"name": kind}]})
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
    #[case("up", &["[up=True]"])]
    #[case("disks/-3/name", &[])]
    #[case("disks/0", &[r#"[disks/0={"name":"root"}]"#])]
    #[case("vm-type", &["[vm-type=default]", "[vm-type=big]"])]
    fn keys_are_paths_and_raw_names_are_lagos(#[case] key: &str, #[case] expected: &[&str]) {
        let text = inventory(&hosts(), &[key.into()], true);
        let groups: Vec<_> = text.lines().filter(|line| line.starts_with('[')).collect();
        assert_eq!(groups[..groups.len() - 2], *expected);
        assert_eq!(groups[groups.len() - 2..], ["[front-end]", "[all-web]"]);
    }

    #[test]
    fn the_way_into_a_lab_survives_two_shells() {
        let args = proxy(Path::new("/a b/polder"), Path::new("/it's/100%"), "web");
        let words = shlex::split(&args).unwrap();
        assert_eq!(words[..1], ["-o"]);
        let command = words[1].strip_prefix("ProxyCommand=").unwrap().replace("%%", "%");
        assert_eq!(
            shlex::split(&command).unwrap(),
            ["/a b/polder", "--prefix-path", "/it's/100%", "proxy", "web"]
        );
        // Ansible takes the value off a line as a shell would.
        let host = Host { name: "web".into(), variables: vec![("args", args.clone())], spec: json!({}) };
        assert_eq!(shlex::split(&line(&host)).unwrap(), ["web".to_owned(), format!("args={args}")]);
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
    #[case("it's", "\"it's\"")]
    fn values_are_quoted(#[case] value: &str, #[case] expected: &str) {
        assert_eq!(quoted(value), expected);
    }
}
