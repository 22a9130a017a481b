//! Environments of prefixes that Lago made: what it wrote down of machines and nets is in the words of an init file, so
//! it is read and planned as one; only disks, identities and snapshots are there already. The first verb that changes
//! anything writes our own state, and from then on the prefix is one of ours.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{
    Destroyed, EnvError, Host, Progress,
    daemon::{self, Identity},
    error::chain,
    host::limits,
    keys::HostKeys,
    plan::{self, EnvPlan, ImagePlan, MachinePlan, Made, PlanInputs, TYPE},
    snapshot::{Chains, Frozen, Snapshot},
    state::{EnvState, LabState},
    types,
};
use crate::{
    base::id::MachineName,
    initfile::{self, EnvSpec, Options},
    lab::accel::Accel,
    net::Scope,
    provider::{
        libvirt::{Connection, Cpus, xml},
        spec::{DomainDisk, ImageFormat},
    },
    workdir::{
        Prefix,
        lago::{self, LagoDisk, LagoPrefix, LagoVm},
    },
};

/// By how much deadlines are stretched where nobody has measured.
const UNMEASURED: f64 = 4.0;

/// The state of an environment that Lago made.
pub(super) fn state(host: &Host, prefix: &Prefix) -> Result<EnvState, EnvError> {
    let lago = lago::read(prefix)?;
    let who = Identity::of(prefix.path(), &lago.uuid)?;
    let folder = who.folder.as_path();
    let mut spec = spec_of(&lago, folder)?;
    // It runs as it is: what does not go with its type is nobody's error any more.
    let _ = types::shape(&mut spec, &host.types);
    let known: Vec<String> =
        spec.machines.iter().filter_map(|machine| machine.vm_type.clone()).chain([TYPE.to_owned()]).collect();
    let kvm = match host.accel.as_str() {
        "auto" => fs::File::options().read(true).write(true).open("/dev/kvm").is_ok(),
        other => other == "kvm",
    };
    let host_keys: HostKeys =
        spec.machines.iter().map(|machine| (machine.name.clone(), String::new())).collect();
    let inputs = PlanInputs {
        view: &daemon::view(host, folder),
        accel: if kvm { Accel::Kvm } else { Accel::Tcg },
        cpus: &Cpus::of_host(),
        uuid: &lago.uuid,
        scope: &Scope { uuid: Some(lago.uuid.clone()), ..Scope::hermetic() },
        owner: Some(&who.label("")?),
        images: &BTreeMap::new(),
        image_store: &host.images.folder(),
        templates: &BTreeMap::new(),
        template_store: host.templates.store_dir(),
        template_names: &[],
        downloads: &BTreeMap::new(),
        backing: &BTreeMap::new(),
        found: &BTreeMap::new(),
        prints: &BTreeMap::new(),
        authorized_key: "",
        host_keys: &host_keys,
        vm_types: &known.iter().map(String::as_str).collect::<Vec<_>>(),
        providers: &host.providers,
        service_managers: &host.service_names(),
    };
    let mut plan = plan::plan(&spec, &inputs)?;
    for (machine, vm) in plan.machines.iter_mut().zip(&lago.vms) {
        settle(machine, vm, folder);
    }
    let chains = Chains { snapshots: snapshots(&lago, &plan, folder), ..Chains::default() };
    let lab = LabState::System { uri: host.daemon.uri.clone(), folder: folder.to_owned() };
    let factor = if kvm { 1.0 } else { UNMEASURED };
    Ok(EnvState { chains, ..EnvState::new(lago.uuid, lab, plan, HostKeys::new(), factor) })
}

/// What was asked for when Lago made a prefix: as it wrote that down, with the disks as they are.
pub(super) fn spec(prefix: &Prefix) -> Result<EnvSpec, EnvError> {
    let lago = lago::read(prefix)?;
    let who = Identity::of(prefix.path(), &lago.uuid)?;
    spec_of(&lago, &who.folder)
}

fn spec_of(lago: &LagoPrefix, folder: &Path) -> Result<EnvSpec, EnvError> {
    let env = |name: &str| match name {
        "LAGO_PREFIX_PATH" => Some(folder.display().to_string()),
        _ => None,
    };
    let options = Options { allow_unknown: true, ..Options::new(&env) };
    let text = init_file(lago, folder).to_string();
    Ok(initfile::load_text(&folder.join("virt"), &text, &options)?.spec)
}

/// What Lago wrote, as an init file: disks are files that are there, and nothing is to be prepared.
fn init_file(lago: &LagoPrefix, folder: &Path) -> Value {
    let domain = |vm: &LagoVm| {
        let mut domain = vm.raw.clone();
        let disks = vm.disks.iter().map(|disk| {
            json!({
                "name": disk.name, "dev": disk.dev, "format": disk.format, "metadata": disk.metadata,
                "type": "file", "path": place(disk, folder),
            })
        });
        domain.insert("disks".into(), disks.collect());
        domain.insert("bootstrap".into(), false.into());
        domain.remove("snapshots");
        (vm.name.clone(), Value::Object(domain))
    };
    let domains: Map<String, Value> = lago.vms.iter().map(domain).collect();
    let nets: Map<String, Value> =
        lago.nets.iter().map(|net| (net.name.clone(), Value::Object(net.raw.clone()))).collect();
    json!({ "domains": domains, "nets": nets })
}

/// Where a disk is. Live snapshots of Lago wrote paths as they were then.
fn place(disk: &LagoDisk, folder: &Path) -> PathBuf {
    let path = disk.path.replace("$LAGO_PREFIX_PATH", &folder.display().to_string());
    let path = PathBuf::from(path);
    match path.file_name() {
        Some(name) if !path.exists() && folder.join("images").join(name).exists() => {
            folder.join("images").join(name)
        }
        _ => path,
    }
}

fn format(disk: &LagoDisk) -> ImageFormat {
    if disk.format == "qcow2" { ImageFormat::Qcow2 } else { ImageFormat::Raw }
}

/// Gives a planned machine the disks it has, instead of new ones over them.
fn settle(machine: &mut MachinePlan, vm: &LagoVm, folder: &Path) {
    let domains = machine.domain.iter_mut().flat_map(|domain| &mut domain.disks);
    for ((plan, domain), disk) in machine.disks.iter_mut().zip(domains).zip(&vm.disks) {
        let path = place(disk, folder);
        if plan.image.is_some() {
            plan.image = path.strip_prefix(folder).ok().map(|path| ImagePlan {
                path: path.to_owned(),
                format: format(disk),
                made: Made::Empty { size: 0 },
            });
            let DomainDisk { path: used, format: of, .. } = domain;
            (*used, *of) = (path, format(disk));
        }
    }
}

/// Its snapshots: by name, of all machines that have one called so.
fn snapshots(lago: &LagoPrefix, plan: &EnvPlan, folder: &Path) -> Vec<Snapshot> {
    let mut all: BTreeMap<&str, BTreeMap<MachineName, Frozen>> = BTreeMap::new();
    for (vm, machine) in lago.vms.iter().zip(&plan.machines) {
        for (name, disks) in &vm.snapshots {
            let mut frozen = Frozen::default();
            for disk in disks {
                let (Some(dev), Ok(path)) =
                    (disk.dev.clone(), place(disk, folder).strip_prefix(folder).map(Path::to_owned))
                else {
                    continue;
                };
                if format(disk) == ImageFormat::Raw {
                    frozen.raw.insert(dev.clone());
                }
                frozen.disks.insert(dev, path);
            }
            all.entry(name).or_default().insert(machine.name.clone(), frozen);
        }
    }
    let snapshot = |(name, machines): (&str, _)| Snapshot {
        name: name.to_owned(),
        time: 0,
        description: "made by Lago".to_owned(),
        parent: None,
        machines,
    };
    all.into_iter().map(snapshot).collect()
}

/// Ends what runs for a prefix that Lago made, whatever is left of it: Lago marks nothing, so things are known by their
/// names and by what they use of the prefix.
pub(super) async fn clear(host: &Host, prefix: &Prefix, destroyed: &mut Destroyed, progress: &Progress) {
    if !prefix.paths().virt().exists() {
        return;
    }
    let Ok(folder) = prefix.path().canonicalize() else { return };
    let daemon = &host.daemon;
    let connection =
        match Connection::open_as(&daemon.uri, daemon.credentials.as_ref(), limits::CONNECT).await {
            Ok(connection) => connection,
            Err(error) if is_used(&folder) => return destroyed.try_to(Err(error.into())),
            // With no machine that runs there is nothing a daemon would be needed for.
            Err(error) => {
                let why = chain(&EnvError::from(error));
                let note = format!("no machine that runs; its networks cannot be asked for: {why}");
                return destroyed.found(progress, note);
            }
        };
    let cleared = clear_daemon(&connection, prefix, &folder, destroyed, progress).await;
    destroyed.try_to(cleared);
}

/// Whether Lago made a prefix, and none of its machines runs.
pub(super) fn is_idle(prefix: &Prefix) -> bool {
    let folder = prefix.path().canonicalize().unwrap_or_else(|_| prefix.path().to_owned());
    prefix.paths().virt().exists() && !is_used(&folder)
}

/// Whether an emulator of this host uses images of the prefix in `folder`, whoever started it.
fn is_used(folder: &Path) -> bool {
    let images = format!("{}/images/", folder.display()).into_bytes();
    let uses = |process: fs::DirEntry| {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        let emulator = words.next().is_some_and(|program| has(program, b"qemu"));
        emulator && words.any(|word| has(word, &images))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().any(uses)
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

async fn clear_daemon(
    connection: &Connection,
    prefix: &Prefix,
    folder: &Path,
    destroyed: &mut Destroyed,
    progress: &Progress,
) -> Result<(), EnvError> {
    let uuid = prefix.uuid().ok();
    let files = || fs::read_dir(folder.join("virt")).into_iter().flatten().flatten();
    let machines: Vec<String> =
        files().filter_map(|file| Some(file.file_name().to_str()?.strip_prefix("vm-")?.to_owned())).collect();
    let images = format!("{}/images/", folder.display());
    for domain in connection.list_domains(limits::COMMAND).await? {
        let named = is_named(&domain.name, uuid.as_deref(), 8, machines.iter().map(String::as_str));
        let unmarked = domain.label.is_none() && named;
        if unmarked && connection.domain_xml(&domain.name, limits::COMMAND).await?.contains(&images) {
            destroyed.found(progress, format!("the domain {}", domain.name));
            connection.destroy_domain(&domain.name, limits::DOMAIN).await?;
        }
    }
    let active = connection.networks(limits::NETWORK).await?;
    for file in files() {
        // A name alone can be another prefix's: with its gateway, or the bridge it is for, it is this one's.
        let text = fs::read(file.path()).unwrap_or_default();
        let net: Option<Value> = serde_json::from_slice(&text).ok();
        let known = |key: &str| net.as_ref().and_then(|net| net.get(key)?.as_str()).map(str::to_owned);
        let (Some(name), Some(_)) = (known("name"), known("type")) else { continue };
        let proof = match known("gw") {
            Some(gateway) => format!("address='{gateway}'"),
            None => format!("<bridge name='{name}'"),
        };
        let ours = |(called, xml): &&(String, String)| {
            let named = match &uuid {
                Some(uuid) => crate::net::prefixed_name(uuid, &name, 15).is_some_and(|name| name == *called),
                None => is_named(called, None, 4, [name.as_str()].into_iter()),
            };
            named && xml::label_of(xml).is_none() && xml.replace('"', "'").contains(&proof)
        };
        if let Some((name, _)) = active.iter().find(ours) {
            destroyed.found(progress, format!("the network {name}"));
            connection.destroy_network(name, limits::NETWORK).await?;
        }
    }
    Ok(())
}

/// Whether something is called as Lago calls what it makes: the beginning of the uuid, of `len` digits, and one of these
/// names. Any digits will do when the uuid is not known any more.
fn is_named<'a>(
    called: &str,
    uuid: Option<&str>,
    len: usize,
    mut names: impl Iterator<Item = &'a str>,
) -> bool {
    match (uuid.and_then(|uuid| uuid.get(..len)), called.split_once('-')) {
        (Some(start), Some((digits, _))) => digits == start,
        (None, Some((digits, name))) => {
            digits.len() == len && digits.bytes().all(|b| b.is_ascii_hexdigit()) && names.any(|n| n == name)
        }
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workdir::Maker;

    const NET: &str = r#"{"type": "nat", "management": true, "dhcp": {"start": 100, "end": 254}, "name": "office",
        "gw": "192.168.203.1", "dns_domain_name": "lago.local", "mapping": {"db": "192.168.203.2"},
        "dns_records": {"db": "192.168.203.2"}}"#;
    const VM: &str = r#"{"name": "db", "memory": 2048, "vm-type": "default", "vm-provider": "local-libvirt",
        "ssh-user": "root", "ssh-password": "123456", "mgmt_net": "office", "distro": "el7",
        "nics": [{"net": "office", "ip": "192.168.203.2"}],
        "disks": [{"name": "root", "type": "template", "template_name": "el-base", "dev": "vda", "format": "qcow2",
            "path": "/was/elsewhere/images/db_root.1600000000", "metadata": {"distro": "el7"}},
            {"name": "data", "type": "empty", "size": "1G", "dev": "vdb", "format": "raw",
            "path": "$LAGO_PREFIX_PATH/images/db_data.raw"}],
        "metadata": {}, "snapshots": {"clean": [{"name": "root", "dev": "vda", "format": "qcow2",
            "path": "$LAGO_PREFIX_PATH/images/db_root.qcow2", "metadata": {}}, {"name": "data", "dev": "vdb",
            "format": "raw", "path": "$LAGO_PREFIX_PATH/images/db_data.raw", "metadata": {}}]}}"#;

    #[test]
    fn what_lago_wrote_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap();
        for sub in ["virt", "images"] {
            fs::create_dir(folder.join(sub)).unwrap();
        }
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("uuid", "fe689d3c000011e69d3c525400aabbcc");
        write("virt/env", r#"{"nets": ["office"], "vms": ["db"]}"#);
        write("virt/net-office", NET);
        write("virt/vm-db", VM);
        for image in ["db_root.1600000000", "db_root.qcow2", "db_data.raw"] {
            write(&format!("images/{image}"), "");
        }
        let prefix = Prefix::at(&folder);
        assert_eq!(prefix.maker(), Maker::Lago);
        let vars = |name: &str| (name == "POLDER_ACCEL").then(|| "tcg".to_owned());
        let state = state(&Host::from_env(&vars).unwrap(), &prefix).unwrap();
        let (machine, net) = (&state.plan.machines[0], &state.plan.nets[0]);
        let domain = machine.domain.as_ref().unwrap();
        assert_eq!((domain.name.as_str(), domain.memory_mib), ("fe689d3c-db", 2048));
        assert_eq!((net.libvirt_name.as_str(), net.gateway), ("fe68-office", "192.168.203.1".parse().ok()));
        assert_eq!(domain.nics[0].mac.to_string(), "54:52:c0:a8:cb:02");
        assert_eq!(machine.management_ip, "192.168.203.2".parse().ok());
        let disks: Vec<_> = domain.disks.iter().map(|disk| (disk.path.clone(), disk.format)).collect();
        let image = |name: &str| folder.join("images").join(name);
        assert_eq!(
            disks,
            [(image("db_root.1600000000"), ImageFormat::Qcow2), (image("db_data.raw"), ImageFormat::Raw)]
        );
        assert!(domain.oem_strings.is_empty());
        let clean = &state.chains.snapshots[0];
        let frozen = clean.machines.values().next().unwrap();
        assert_eq!(
            (clean.name.as_str(), frozen.disks["vda"].as_path()),
            ("clean", Path::new("images/db_root.qcow2"))
        );
        assert!(frozen.raw.contains("vdb") && !frozen.raw.contains("vda"));
        let spec = spec(&prefix).unwrap();
        assert_eq!(spec.machines[0].ssh_password.as_deref(), Some("123456"));
        assert_eq!(spec.machines[0].disks[0].format, crate::initfile::spec::DiskFormat::Qcow2);
        assert!(!is_used(&folder));
    }

    #[rstest::rstest]
    #[case("fe689d3c-db", Some("fe689d3c000011e69d3c525400aabbcc"), true)]
    #[case("fe689d3c-x", Some("fe689d3c000011e69d3c525400aabbcc"), true)]
    #[case("0e689d3c-db", Some("fe689d3c000011e69d3c525400aabbcc"), false)]
    #[case("0e689d3c-db", None, true)]
    #[case("0e689d3c-web", None, false)]
    #[case("production-db", None, false)]
    #[case("db", None, false)]
    fn what_lago_made_is_known_by_its_name(
        #[case] called: &str,
        #[case] uuid: Option<&str>,
        #[case] ours: bool,
    ) {
        assert_eq!(is_named(called, uuid, 8, ["db"].into_iter()), ours);
    }
}
