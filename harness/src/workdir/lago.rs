//! Prefixes made by Lago: what it wrote about networks and machines, as it wrote it. Not what it means for us.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{Prefix, WorkdirError};

/// Everything a prefix made by Lago says about its environment.
#[derive(Debug, Clone)]
pub struct LagoPrefix {
    /// 32 hexadecimal digits.
    pub uuid: String,
    /// Its networks, in the order of its index.
    pub nets: Vec<LagoNet>,
    /// Its machines, in the order of its index.
    pub vms: Vec<LagoVm>,
}

/// `virt/net-NAME`.
#[derive(Debug, Clone, Deserialize)]
pub struct LagoNet {
    /// The name in the init file.
    pub name: String,
    /// `nat` or `bridge`.
    #[serde(rename = "type", default = "nat")]
    pub kind: String,
    /// Whether machines are reached on it.
    #[serde(default)]
    pub management: bool,
    /// The gateway's address; bridges have none.
    pub gw: Option<IpAddr>,
    /// The dynamic range, as last octets.
    pub dhcp: Option<LagoDhcp>,
    /// The domain of its names.
    pub dns_domain_name: Option<String>,
    /// Addresses that were given to names.
    #[serde(default)]
    pub mapping: BTreeMap<String, IpAddr>,
    /// Names its DNS server knows.
    #[serde(default)]
    pub dns_records: BTreeMap<String, IpAddr>,
    /// Where its DNS server sends other questions.
    pub dns_forward: Option<IpAddr>,
    /// In bytes.
    #[serde(default, deserialize_with = "number")]
    pub mtu: Option<u32>,
    /// All of it, also keys that are not above.
    #[serde(skip)]
    pub raw: Map<String, Value>,
}

/// A dynamic range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct LagoDhcp {
    /// Its first last octet.
    pub start: u8,
    /// Its last last octet.
    pub end: u8,
}

/// `virt/vm-NAME`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LagoVm {
    /// The name in the init file.
    pub name: String,
    /// In MiB.
    #[serde(default, deserialize_with = "number")]
    pub memory: Option<u32>,
    /// Number of processors.
    #[serde(default, deserialize_with = "number")]
    pub vcpu: Option<u32>,
    /// Processor model.
    #[serde(rename = "cpu_model")]
    pub cpu_model: Option<String>,
    /// Extension that knows the machine.
    #[serde(default = "default_type")]
    pub vm_type: String,
    /// Extension that makes the machine.
    #[serde(default = "default_provider")]
    pub vm_provider: String,
    /// Distribution in it.
    pub distro: Option<String>,
    /// Who logs in.
    pub ssh_user: Option<String>,
    /// With which password.
    #[serde(default, deserialize_with = "text")]
    pub ssh_password: Option<String>,
    /// The password of root.
    #[serde(default, deserialize_with = "text")]
    pub root_password: Option<String>,
    /// The network it is reached on.
    #[serde(rename = "mgmt_net")]
    pub mgmt_net: Option<String>,
    /// Its NICs, in order.
    #[serde(default)]
    pub nics: Vec<LagoNic>,
    /// Its disks, in order.
    #[serde(default)]
    pub disks: Vec<LagoDisk>,
    /// Free.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// What is collected from it.
    #[serde(default)]
    pub artifacts: Vec<String>,
    /// Groups of the inventory.
    #[serde(default, deserialize_with = "one_or_many")]
    pub groups: Vec<String>,
    /// How its services are managed.
    #[serde(rename = "service_provider")]
    pub service_provider: Option<String>,
    /// Name of the guest agent's service.
    pub guest_agent: Option<String>,
    /// Frozen disks by snapshot.
    #[serde(default)]
    pub snapshots: BTreeMap<String, Vec<LagoDisk>>,
    /// All of it, also keys that are not above.
    #[serde(skip)]
    pub raw: Map<String, Value>,
}

/// A NIC.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LagoNic {
    /// Its network.
    pub net: String,
    /// Its address; none on bridges.
    pub ip: Option<IpAddr>,
}

/// A disk, or the frozen disk of a snapshot.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LagoDisk {
    /// Its name.
    pub name: String,
    /// The file, as written: `$LAGO_PREFIX_PATH` may stand in it.
    pub path: String,
    /// `qcow2`, `raw` or `iso`.
    pub format: String,
    /// The device in the guest.
    pub dev: Option<String>,
    /// `template`, `empty` or `file`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The template it was made from.
    pub template_name: Option<String>,
    /// Facts about its content.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// `virt/env`.
#[derive(Debug, Deserialize)]
struct Index {
    nets: Vec<String>,
    vms: Vec<String>,
}

fn nat() -> String {
    "nat".into()
}
fn default_type() -> String {
    "default".into()
}
fn default_provider() -> String {
    "local-libvirt".into()
}

/// A number, also when it was written as text.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    use serde::de::Error;
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::String(text) => {
            text.trim().parse().map(Some).map_err(|_| Error::custom(format!("`{text}` is not a number")))
        }
        other => other
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .map(Some)
            .ok_or_else(|| Error::custom(format!("`{other}` is not a number from 0 to {}", u32::MAX))),
    }
}

/// A text, also when it was written as a number.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(serde::de::Error::custom(format!("`{other}` is not a text"))),
    }
}

/// A list of texts, also when there is but one and no list.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::String(one) => Ok(vec![one]),
        other => serde_json::from_value(other).map_err(serde::de::Error::custom),
    }
}

/// Reads a prefix made by Lago.
///
/// # Errors
/// Files are missing or damaged: everything that is wrong, each with its file and line.
pub fn read(prefix: &Prefix) -> Result<LagoPrefix, WorkdirError> {
    let virt = prefix.paths().virt();
    let mut problems = vec![];
    let uuid = prefix.uuid().map_err(|e| problems.push(format!("{:#}", anyhow::Error::from(e)))).ok();
    let index: Option<Index> = load(&virt.join("env"), &mut problems);
    let Index { nets, vms } = index.unwrap_or(Index { nets: vec![], vms: vec![] });
    let nets: Vec<_> =
        nets.iter().filter_map(|name| load_net(&virt.join(format!("net-{name}")), &mut problems)).collect();
    let vms: Vec<_> =
        vms.iter().filter_map(|name| load_vm(&virt.join(format!("vm-{name}")), &mut problems)).collect();
    match uuid {
        Some(uuid) if problems.is_empty() => Ok(LagoPrefix { uuid, nets, vms }),
        _ => Err(WorkdirError::Lago { prefix: prefix.path().to_owned(), problems }),
    }
}

fn load_net(path: &Path, problems: &mut Vec<String>) -> Option<LagoNet> {
    let mut net: LagoNet = load(path, problems)?;
    net.raw = load(path, problems)?;
    Some(net)
}

fn load_vm(path: &Path, problems: &mut Vec<String>) -> Option<LagoVm> {
    let mut vm: LagoVm = load(path, problems)?;
    vm.raw = load(path, problems)?;
    Some(vm)
}

fn load<T: DeserializeOwned>(path: &Path, problems: &mut Vec<String>) -> Option<T> {
    let bytes = fs::read(path).map_err(|e| e.to_string());
    let parsed = bytes.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
    parsed.map_err(|e| problems.push(format!("{}: {e}", path.display()))).ok()
}

pub(super) fn fuzz(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Index>(bytes);
    let _ = serde_json::from_slice::<LagoNet>(bytes);
    let _ = serde_json::from_slice::<LagoVm>(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: &str = r#"{
        "type": "nat", "management": true, "dhcp": {"start": 100, "end": 254}, "name": "office",
        "gw": "192.168.203.1", "dns_domain_name": "lago.local",
        "mapping": {"db": "192.168.203.2", "db-eth0": "192.168.203.2"},
        "dns_records": {"db": "192.168.203.2"}, "colour": "blue"
    }"#;
    const VM: &str = r#"{
        "name": "db", "memory": "2048", "vm-type": "default", "vm-provider": "local-libvirt",
        "ssh-user": "root", "ssh-password": 123456, "mgmt_net": "office", "groups": "dbs",
        "nics": [{"net": "office", "ip": "192.168.203.2"}],
        "disks": [{
            "name": "root", "type": "template", "template_name": "el-base", "dev": "vda", "format": "qcow2",
            "path": "$LAGO_PREFIX_PATH/images/db_root.qcow2",
            "metadata": {"distro": "el7", "root-partition": "/dev/sda3"}
        }],
        "metadata": {"deploy-scripts": []}, "service_provider": "systemd", "guest-agent": "qemu-guest-agent",
        "snapshots": {"clean": [{"name": "root", "dev": "vda", "format": "qcow2", "path": "/x/db_root.qcow2", "metadata": {}}]}
    }"#;

    fn prefix(files: &[(&str, &str)]) -> (tempfile::TempDir, Prefix) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("virt")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let prefix = Prefix::at(dir.path());
        (dir, prefix)
    }

    #[test]
    fn what_lago_wrote_is_read() {
        let (_dir, prefix) = prefix(&[
            ("uuid", "0d2c1a36e1f411ea9a0b525400aabbcc"),
            ("virt/env", r#"{"nets": ["office"], "vms": ["db"]}"#),
            ("virt/net-office", NET),
            ("virt/vm-db", VM),
        ]);
        assert_eq!(prefix.maker(), super::super::Maker::Lago);
        let LagoPrefix { uuid, nets, vms } = read(&prefix).unwrap();
        assert_eq!(uuid, "0d2c1a36e1f411ea9a0b525400aabbcc");
        let (net, vm) = (&nets[0], &vms[0]);
        assert_eq!((net.dhcp.unwrap().end, net.raw["colour"].as_str()), (254, Some("blue")));
        assert_eq!((vm.memory, vm.ssh_password.as_deref()), (Some(2048), Some("123456")));
        assert_eq!(
            (vm.groups.as_slice(), vm.guest_agent.as_deref()),
            (["dbs".to_owned()].as_slice(), Some("qemu-guest-agent"))
        );
        assert_eq!(vm.disks[0].metadata["distro"], "el7");
        assert_eq!(vm.snapshots["clean"][0].path, "/x/db_root.qcow2");
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let (_dir, prefix) = prefix(&[
            ("uuid", "short"),
            ("virt/env", r#"{"nets": ["a", "b"], "vms": ["c"]}"#),
            ("virt/net-a", "{\"name\": \"a\",\n\"gw\": \"1.2.3\"}"),
            ("virt/vm-c", "{\"name\": \"c\", \"memory\": true"),
        ]);
        let error = read(&prefix).unwrap_err().to_string();
        for part in [
            "uuid does not hold 32",
            "net-a: invalid IP address syntax at line 2",
            "net-b: No such file",
            "vm-c: `true` is not a number",
        ] {
            assert!(error.contains(part), "no `{part}` in {error}");
        }
    }
}
