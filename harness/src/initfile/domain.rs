//! One entry of `domains` to a [`MachineSpec`]. What machines are to one another and to nets is `check.rs`.

use std::{collections::BTreeMap, time::Duration};

use quick_xml::{Reader, events::Event};
use russh::keys::PublicKey;
use serde_json::{Map, Value as Json};

use super::{
    disk,
    files::Files,
    nic::NicDraft,
    parse::{Node, Value},
    problems::Problems,
    reader::{self, Fields, json},
    shape::{shown, suggest},
    spec::{CloudInit, CpuSpec, DeployScript, Firmware, KernelBoot, MachineSpec, OvaSource, Topology},
};
use crate::base::id::MachineName;

/// Memory in MiB of a machine that does not say: enough for a Debian without a desktop.
const DEFAULT_MEMORY_MIB: u32 = 512;
/// Virtual CPUs of a machine that does not say.
const DEFAULT_VCPUS: u32 = 2;
/// Virtual CPUs at most.
const MOST_VCPUS: u32 = 255;

/// A machine as far as it could be read.
pub(crate) struct DomainDraft<'n> {
    pub(crate) key: &'n Node,
    pub(crate) nics: Vec<NicDraft<'n>>,
    /// The machine from which it is reached.
    pub(crate) jump: Option<&'n Node>,
    /// Without its NICs; not there for want of a usable name.
    pub(crate) spec: Option<MachineSpec>,
}

impl<'n> DomainDraft<'n> {
    pub(crate) fn read(key: &'n Node, node: &'n Node, files: &Files<'_>, problems: &mut Problems) -> Self {
        let name = reader::parsed(key, "the machine's name", "init::bad-name", problems);
        let fields = Fields::of(node);
        let nics = fields.list("nics").iter().map(|item| NicDraft::read(item, problems)).collect();
        let spec = machine(name, key, fields, files, problems);
        Self { key, nics, jump: fields.get("ssh-jump").filter(|node| reader::text(node).is_some()), spec }
    }
}

fn machine(
    name: Option<MachineName>,
    key: &Node,
    fields: Fields<'_>,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<MachineSpec> {
    let (cpu, vcpus) = cpu(fields, problems);
    let (deploy_scripts, metadata) = metadata(fields, files, problems);
    let (capabilities, vm_type) = ovirt(fields, problems);
    let artifacts = fields.list("artifacts").iter();
    let listed = |key| fields.texts(key).into_iter().map(|node| node.text().to_owned());
    // Everything is read before the name decides, so that all problems are found.
    let boot = boot(fields, files, problems);
    let cloud_init = cloud_init(fields, files, problems);
    let ova = ova(key, fields, files, problems);
    let xml = fields.get("xml").and_then(|node| overlay(node, files, problems));
    let disks = disk::read_all(fields.list("disks"), files, problems);
    let artifacts = artifacts.filter_map(|item| guest_path(item, problems)).collect();
    machine_type(fields, problems);
    let ssh_address = fields.get("ssh-address");
    let ssh_address =
        ssh_address.and_then(|node| reader::parsed(node, "`ssh-address`", "init::bad-address", problems));
    let ssh_key = fields.get("ssh-key").and_then(|node| files.existing(node, problems));
    let ssh_host_key = fields.get("ssh-host-key").and_then(|node| host_key(node, files, problems));
    Some(MachineSpec {
        name: name?,
        at: problems.place(&key.span),
        places: fields.places(problems),
        vm_type: fields.owned("vm-type").or(vm_type),
        provider: fields.owned("vm-provider"),
        memory_mib: fields.parsed("memory").unwrap_or(DEFAULT_MEMORY_MIB),
        vcpus,
        cpu,
        machine: fields.owned("machine"),
        firmware: if fields.text("firmware") == Some("uefi") { Firmware::Uefi } else { Firmware::Bios },
        boot,
        cloud_init,
        ova,
        xml,
        graphics: fields.flag("graphics").unwrap_or_default(),
        nics: Vec::new(),
        disks,
        artifacts,
        groups: listed("groups").collect(),
        roles: listed("roles").collect(),
        capabilities: listed("capabilities").chain(capabilities).collect(),
        awaited: true,
        deploy_scripts,
        distro: fields.owned("distro"),
        bootstrap: fields.flag("bootstrap").unwrap_or(true),
        root_password: fields.owned("root-password"),
        ssh_user: fields.owned("ssh-user"),
        ssh_password: fields.owned("ssh-password"),
        ssh_address,
        ssh_port: fields.parsed("ssh-port"),
        ssh_key,
        ssh_host_key,
        ssh_jump: fields.owned("ssh-jump"),
        boot_time: fields.parsed("boot_time_sec").map(Duration::from_secs),
        service_provider: fields.owned("service_provider"),
        guest_agent: fields.owned("guest-agent"),
        skip_export: fields.flag("skip-export").unwrap_or_default(),
        metadata,
    })
}

/// The CPU and how many there are: a topology says it, too.
fn cpu(fields: Fields<'_>, problems: &mut Problems) -> (CpuSpec, u32) {
    if let (Some(_), Some(custom)) = (fields.get("cpu_model"), fields.key("cpu_custom")) {
        let message = "`cpu_model` and `cpu_custom` exclude each other".to_owned();
        let help = Some("name the model inside `cpu_custom`, or remove one of them".to_owned());
        problems.add("init::cpu-conflict", &custom.span, message, help);
    }
    let topology = fields.get("cpu_topology").map(|node| {
        let count = |key| Fields::of(node).parsed(key).unwrap_or(1);
        Topology { sockets: count("sockets"), cores: count("cores"), threads: count("threads") }
    });
    let product =
        topology.map(|t| t.sockets.saturating_mul(t.cores).saturating_mul(t.threads)).unwrap_or_default();
    let wanted: Option<u32> = fields.parsed("vcpu");
    if let Some(node) = fields.get("cpu_topology") {
        if product > MOST_VCPUS {
            let message = format!("this is {product} CPUs, {MOST_VCPUS} are allowed");
            problems.add("init::cpu-topology", &node.span, message, None);
        } else if wanted.is_some_and(|wanted| wanted != product) {
            let message = format!("this is {product} CPUs, `vcpu` asks for {}", wanted.unwrap_or_default());
            let help = Some(format!("write `vcpu: {product}`, or leave `vcpu` out"));
            problems.add("init::cpu-topology", &node.span, message, help);
        }
    }
    let vcpus = wanted.or(topology.map(|_| product)).unwrap_or(DEFAULT_VCPUS);
    let custom = fields.get("cpu_custom").map(|_| fields.free("cpu_custom"));
    (CpuSpec { model: fields.owned("cpu_model"), custom, topology }, vcpus)
}

fn machine_type(fields: Fields<'_>, problems: &mut Problems) {
    let known = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    if let (Some(node), Some(text)) = (fields.get("machine"), fields.text("machine"))
        && !known(text)
    {
        let message = format!("`machine` must be a QEMU machine type, this is `{}`", shown(text));
        problems.add("init::bad-machine", &node.span, message, Some("such as `q35` or `pc`".to_owned()));
    }
}

fn boot(fields: Fields<'_>, files: &Files<'_>, problems: &mut Problems) -> Option<KernelBoot> {
    let Some(kernel) = fields.get("kernel") else {
        for key in ["initrd", "cmdline"].into_iter().filter_map(|key| fields.key(key)) {
            let message = format!("`{}` needs the key `kernel` beside it", key.text());
            problems.add("init::missing-key", &key.span, message, None);
        }
        return None;
    };
    if let Some(firmware) = fields.get("firmware").filter(|node| node.text() == "uefi") {
        let message = "`kernel` and `firmware: uefi` exclude each other".to_owned();
        let help =
            Some("a `kernel` is started without firmware looking for one; remove one of them".to_owned());
        problems.add("init::boot-conflict", &firmware.span, message, help);
    }
    let kernel = files.existing(kernel, problems);
    let initrd = fields.get("initrd").and_then(|node| files.existing(node, problems));
    Some(KernelBoot { kernel: kernel?, initrd, cmdline: fields.owned("cmdline").unwrap_or_default() })
}

fn cloud_init(fields: Fields<'_>, files: &Files<'_>, problems: &mut Problems) -> Option<CloudInit> {
    let own = Fields::of(fields.get("cloud-init")?);
    let mut document = |key: &str, head: &str| {
        let node = own.get(key)?;
        match node.value() {
            // JSON is YAML.
            Value::Map(_) => Some(format!("{head}{:#}\n", json(node))),
            _ => files.document(node, &|text| text.starts_with('#') || text.contains('\n'), problems),
        }
    };
    Some(CloudInit {
        user_data: document("user-data", "#cloud-config\n"),
        meta_data: document("meta-data", ""),
        network_config: document("network-config", ""),
    })
}

/// `type: ova` and `url` belong together.
fn ova(key: &Node, fields: Fields<'_>, files: &Files<'_>, problems: &mut Problems) -> Option<OvaSource> {
    let is_ova = fields.text("type") == Some("ova");
    match fields.get("url") {
        Some(url) if is_ova => Some(OvaSource { url: files.url_or_file(url, problems)? }),
        Some(url) => {
            let message = "a domain takes `url` with `type: ova` alone".to_owned();
            problems.unknown("init::misplaced-key", &url.span, message, None);
            None
        }
        None if is_ova => {
            let at = fields.get("type").map_or(key.span, |node| node.span);
            problems.add("init::missing-key", &at, "`type: ova` needs the key `url`".to_owned(), None);
            None
        }
        None => None,
    }
}

/// The text of an XML overlay, which must be XML of a domain.
fn overlay(node: &Node, files: &Files<'_>, problems: &mut Problems) -> Option<String> {
    let text = files.document(node, &|text| text.trim_start().starts_with('<'), problems)?;
    match domain_xml(&text) {
        Ok(()) => Some(text),
        Err(why) => {
            let message = format!("this is not XML of a domain: {why}");
            let help = Some("write `<domain>...</domain>`, or the name of a file with that".to_owned());
            problems.add("init::bad-xml", &node.span, message, help);
            None
        }
    }
}

/// Whether a text is one well-formed element `domain`.
fn domain_xml(text: &str) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    let (mut depth, mut roots) = (0_usize, 0_usize);
    loop {
        let (name, opens) = match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(element) => (element.name().as_ref().to_owned(), true),
            Event::Empty(element) => (element.name().as_ref().to_owned(), false),
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Event::Text(text) if depth == 0 && !text.trim().is_empty() => {
                return Err("there is text outside it".to_owned());
            }
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Eof if depth > 0 => return Err("it is not closed".to_owned()),
            Event::Eof if roots == 0 => return Err("there is no element in it".to_owned()),
            Event::Eof => return Ok(()),
            _ => continue,
        };
        if depth == 0 {
            roots += 1;
            if roots > 1 {
                return Err("there is more than one element".to_owned());
            }
            if name != "domain" {
                return Err(format!("its root is `{}`", shown(&name)));
            }
        }
        depth += usize::from(opens);
    }
}

/// A path to collect from the guest.
fn guest_path(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = reader::text(node)?;
    if !text.starts_with('/') {
        let message = format!("an artifact must be an absolute path in the guest, this is `{}`", shown(text));
        problems.add("init::bad-artifact", &node.span, message, None);
        return None;
    }
    Some(text.to_owned())
}

/// A public key as OpenSSH writes it, in the file or beside it.
fn host_key(node: &Node, files: &Files<'_>, problems: &mut Problems) -> Option<String> {
    let text = files.document(node, &|text| text.contains(' '), problems)?;
    match text.parse::<PublicKey>() {
        Ok(_) => Some(text.trim().to_owned()),
        Err(error) => {
            let message = format!("`ssh-host-key` must be a public key: {error}");
            let help = "write it such as `ssh-ed25519 AAAA...`, or the name of a file with that".to_owned();
            problems.add("init::bad-host-key", &node.span, message, Some(help));
            None
        }
    }
}

/// Capabilities and the type of machine as Lago's suites say them, in `metadata`.
fn ovirt(fields: Fields<'_>, problems: &mut Problems) -> (Vec<String>, Option<String>) {
    let (mut capabilities, mut vm_type) = (Vec::new(), None);
    for (key, value) in fields.get("metadata").map(reader::entries).unwrap_or_default() {
        match key.text() {
            "ovirt-capabilities" => capabilities = words(value, problems),
            "ovirt-role" => vm_type = old_role(key, value, fields, problems),
            _ => {}
        }
    }
    (capabilities, vm_type)
}

fn words(value: &Node, problems: &mut Problems) -> Vec<String> {
    let items = match value.value() {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let mut words = Vec::new();
    for item in items {
        match reader::text(item) {
            Some(word) => words.push(word.to_owned()),
            None => {
                let message =
                    format!("an item of `ovirt-capabilities` must be a word, this is {}", item.kind());
                problems.add("init::bad-capability", &item.span, message, None);
            }
        }
    }
    words
}

/// The type that `ovirt-role` meant before there was `vm-type`, where that says nothing.
fn old_role(key: &Node, value: &Node, fields: Fields<'_>, problems: &mut Problems) -> Option<String> {
    let Some(role) = reader::text(value) else {
        let message = format!("`ovirt-role` must be a word, this is {}", value.kind());
        problems.add("init::bad-role", &value.span, message, None);
        return None;
    };
    let (message, help, meant) = match fields.text("vm-type") {
        Some(own) => (
            format!("`ovirt-role` does nothing beside `vm-type: {}`", shown(own)),
            "remove it".to_owned(),
            None,
        ),
        None => (
            "`ovirt-role` in `metadata` is deprecated".to_owned(),
            format!("write `vm-type: ovirt-{}` instead", shown(role)),
            Some(format!("ovirt-{role}")),
        ),
    };
    problems.warn("init::historic-key", &key.span, message, Some(help));
    meant
}

/// Scripts to run in the guest, and what else `metadata` says.
fn metadata(
    fields: Fields<'_>,
    files: &Files<'_>,
    problems: &mut Problems,
) -> (Vec<DeployScript>, Map<String, Json>) {
    const SCRIPTS: &str = "deploy-scripts";
    const OLD_SCRIPTS: &str = "ovirt-scripts";
    let mut free = fields.free("metadata");
    let mut scripts = Vec::new();
    for (key, value) in fields.get("metadata").map(reader::entries).unwrap_or_default() {
        let name = key.text();
        if name != SCRIPTS && name != OLD_SCRIPTS {
            // A near miss would silently deploy nothing.
            if let Some(help) = suggest(name, &[SCRIPTS]) {
                let message = format!("`{}` in `metadata` means nothing", shown(name));
                problems.warn("init::unknown-metadata", &key.span, message, Some(help));
            }
            continue;
        }
        free.shift_remove(name);
        if name == OLD_SCRIPTS {
            let message = format!("`{OLD_SCRIPTS}` is the old name of `{SCRIPTS}`");
            problems.warn("init::historic-key", &key.span, message, Some(format!("write `{SCRIPTS}`")));
        }
        scripts.extend(reader::items(value).iter().filter_map(|item| deploy_script(item, files, problems)));
    }
    (scripts, free)
}

/// A script: a file, or a mapping that says more of it.
fn deploy_script(item: &Node, files: &Files<'_>, problems: &mut Problems) -> Option<DeployScript> {
    if reader::text(item).is_some() {
        return Some(DeployScript { path: files.existing(item, problems)?, ..DeployScript::default() });
    }
    let fields = Fields::of(item);
    let mut env = BTreeMap::new();
    for (name, value) in fields.get("env").map(reader::entries).unwrap_or_default() {
        if !is_variable(name.text()) {
            let message = format!("`{}` is not a name for a variable", shown(name.text()));
            let help = Some("letters, digits and `_`, no digit first".to_owned());
            problems.add("init::bad-variable", &name.span, message, help);
        }
        env.extend(reader::text(value).map(|value| (name.text().to_owned(), value.to_owned())));
    }
    let path = fields.get("path").and_then(|path| files.existing(path, problems));
    Some(DeployScript {
        path: path?,
        args: fields.texts("args").into_iter().map(|node| node.text().to_owned()).collect(),
        env,
        timeout: fields.parsed("timeout").map(Duration::from_secs),
        once: fields.flag("once").unwrap_or_default(),
    })
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
