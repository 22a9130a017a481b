//! The one table of the keys of an init file: what each takes and means. Who makes values of them is `domain.rs`,
//! `nic.rs`, `disk.rs` and `network.rs`.

use super::table::{
    Key,
    Kind::{self, Any, Bool, Default, Each, Either, Form, Map, Object, Open, Percent, Text, Whole, Word},
    Mapping,
    Status::{Computed, Historic},
};

/// An IPv4 address.
const IPV4: Kind = Form(r"^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$");
/// An IPv6 address.
const IPV6: Kind = Form(r"^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$");
const ETHERNET_MTU: Kind = Whole { min: 68, max: 65535, unit: "bytes" };
const CPUS: Kind = Whole { min: 1, max: 255, unit: "" };
const OCTET: Kind = Whole { min: 1, max: 254, unit: "" };
const MILLISECONDS: Kind = Whole { min: 0, max: 60_000, unit: "ms" };
const VLAN: Kind = Whole { min: 1, max: 4094, unit: "" };
/// One text, or several.
const TEXTS: Kind = Either(&[Text, Each(&Text)]);
/// Text, or a mapping to be written out as text.
const DOCUMENT: Kind = Either(&[Text, Map(&Any)]);

/// The whole file.
pub(crate) static FILE: Mapping = Mapping {
    name: "file",
    of: "the init file",
    keys: &[
        Key::new("domains", Map(&Object(&DOMAIN)), "The machines by name.").required(),
        Key::new("nets", Map(&Object(&NET)), "The networks by name.").required(),
        Key::new("prototypes", Map(&Object(&DOMAIN)), "Partial machines that `based-on` refers to."),
        Key::new(
            "include",
            TEXTS,
            "Files this one builds upon, relative to it. Mappings are united key by key, anything else is replaced; a later file wins over an earlier one, this one over all.",
        ),
        Key::new(
            "variables",
            Map(&Default),
            "Values for `${NAME}` in any text of the file. Those of the command line and of the environment win; one without a value has to come from there.",
        ),
    ],
};

/// An entry of `domains` or `prototypes`.
pub(crate) static DOMAIN: Mapping = Mapping {
    name: "domain",
    of: "a domain",
    keys: &[
        Key::new("memory", Whole { min: 64, max: 1 << 20, unit: "MiB" }, "Memory in MiB."),
        Key::new("vcpu", CPUS, "Number of virtual CPUs; 2 if absent."),
        Key::new("cpu_model", Text, "Exactly this CPU model of libvirt's, such as `Westmere`."),
        Key::new(
            "cpu_custom",
            Map(&Any),
            "libvirt's `cpu` element as a mapping: `@key` is an attribute, `#text` text, a list repeats an element.",
        ),
        Key::new("cpu_topology", Object(&TOPOLOGY), "How the virtual CPUs are grouped."),
        Key::new("machine", Form("^[A-Za-z0-9._-]+$"), "QEMU machine type, such as `q35`."),
        Key::new(
            "firmware",
            Word(&["bios", "uefi"]),
            "What runs before the operating system; not with `kernel`.",
        ),
        Key::new("kernel", Text, "A kernel file to boot instead of what the root disk brings."),
        Key::new("initrd", Text, "The initial RAM disk of `kernel`."),
        Key::new("cmdline", Text, "The command line of `kernel`."),
        Key::new("cloud-init", Object(&CLOUD_INIT), "What cloud-init in the guest is given."),
        Key::new(
            "xml",
            Text,
            "Domain XML to lay over the XML that is made, as text or as a file: a last resort.",
        ),
        Key::new(
            "graphics",
            Bool,
            "Whether it has a screen, served as VNC on a Unix socket that `polder status` names.",
        ),
        Key::new("nics", Each(&Object(&NIC)), "Network cards; their order makes eth0, eth1, ..."),
        Key::new("disks", Each(&Object(&DISK)), "Disks; the first is the root disk."),
        Key::new(
            "metadata",
            Open(&METADATA),
            "Free-form, but for the scripts to deploy, and `ovirt-capabilities`, which are `capabilities`.",
        ),
        Key::new("artifacts", Each(&Text), "Absolute guest paths to collect."),
        Key::new("groups", TEXTS, "Inventory groups."),
        Key::new(
            "roles",
            TEXTS,
            "What it is there for, such as `server`: suites ask for machines by role. Those of its `vm-type` come on top.",
        ),
        Key::new("capabilities", TEXTS, "What can be tested with it: suites leave out what needs more."),
        Key::new(
            "bootstrap",
            Bool,
            "Whether a disk that is not of our images is prepared, so that the machine has its name, keys and addresses.",
        ),
        Key::new("distro", Text, "Operating system, such as `el8`."),
        Key::new(
            "root-password",
            Text,
            "Password of root in the guest, where only the key opens it otherwise.",
        ),
        Key::new(
            "ssh-user",
            Text,
            "Who logs in; made in the guest where that can be done, with the same key as root.",
        ),
        Key::new("ssh-password", Text, "Password of that user in the guest; without it, by key only."),
        Key::new(
            "ssh-address",
            Either(&[IPV4, IPV6]),
            "Where it is reached; its address on a management net if absent. Machines of the provider `ssh` have it from here, or from the `ip` of a NIC.",
        ),
        Key::new(
            "ssh-port",
            Whole { min: 1, max: 65_535, unit: "" },
            "The port of its ssh server; 22 if absent.",
        ),
        Key::new(
            "ssh-key",
            Text,
            "A file with the private key of `ssh-user`; a key made for the environment if absent.",
        ),
        Key::new(
            "ssh-host-key",
            Text,
            "The public key it shows, such as `ssh-ed25519 AAAA...`, or a file with it. Of a machine that is there anyway, the one it shows first is kept if absent.",
        ),
        Key::new(
            "ssh-jump",
            Text,
            "Another machine of the file, from which it is reached where this host does not reach it: as `ssh -J` does, over that machine's ssh server.",
        ),
        Key::new(
            "boot_time_sec",
            Whole { min: 1, max: 86_400, unit: "seconds" },
            "How long it may take until the machine answers, in seconds; 60 for images of our own, else 600.",
        ),
        Key::new(
            "service_provider",
            Text,
            "What manages services in the guest: `systemd`, `sysvinit`, `openrc` or `systemdcontainer`; what process 1 is tells if absent.",
        ),
        Key::new("guest-agent", Text, "Service name of the guest agent; says that the image has one."),
        Key::new("skip-export", Bool, "Whether export leaves the machine out."),
        Key::new(
            "vm-type",
            Text,
            "Type of machine: `default`, one of `ovirt-engine`, `ovirt-host`, `ovirt-he-host`, `ovirt-node`, or an extension.",
        ),
        Key::new(
            "vm-provider",
            Text,
            "Who makes the machine: `local-libvirt`, `ssh`, `memory`, or an extension.",
        ),
        Key::new(
            "based-on",
            Either(&[Text, Object(&DOMAIN)]),
            "Name of a prototype, or an alias of one: every key this machine does not have comes from there.",
        ),
        Key::new("type", Word(&["ova", "template"]), "`ova`: memory, CPUs and root disk come from `url`."),
        Key::new("url", Text, "Where the appliance is: a URL or a file."),
        Key::idle("name", Computed, "Is its key."),
        Key::idle("mgmt_net", Computed, "Is found from the nets."),
        Key::idle("snapshots", Computed, "Belongs to a running environment."),
        Key::idle("cpu", Historic, "Use `vcpu`."),
        Key::idle("service_class", Historic, "Use `service_provider`."),
    ],
};

const DEPLOY_SCRIPTS: Kind = Each(&Either(&[Text, Object(&DEPLOY_SCRIPT)]));

/// What means something in a domain's `metadata`.
pub(crate) static METADATA: Mapping = Mapping {
    name: "metadata",
    of: "`metadata`",
    keys: &[
        Key::new(
            "deploy-scripts",
            DEPLOY_SCRIPTS,
            "Scripts to run in the machine, in order, by `deploy`, `up` and suites: files of the host, or mappings that say more.",
        ),
        Key::new("ovirt-scripts", DEPLOY_SCRIPTS, "Old name of `deploy-scripts`."),
    ],
};

/// An item of `deploy-scripts`, where it is more than a file.
pub(crate) static DEPLOY_SCRIPT: Mapping = Mapping {
    name: "deploy-script",
    of: "a deploy script",
    keys: &[
        Key::new("path", Text, "The script, a file of the host.").required(),
        Key::new("args", Each(&Text), "Its arguments."),
        Key::new("env", Map(&Text), "Variables of its environment."),
        Key::new(
            "timeout",
            Whole { min: 1, max: 86_400, unit: "seconds" },
            "How long it may take; 1800 if absent.",
        ),
        Key::new("once", Bool, "Whether it is left out once it was done as it is."),
    ],
};

/// A domain's `cpu_topology`.
pub(crate) static TOPOLOGY: Mapping = Mapping {
    name: "topology",
    of: "`cpu_topology`",
    keys: &[
        Key::new("sockets", CPUS, "Sockets; 1 if absent."),
        Key::new("cores", CPUS, "Cores of a socket; 1 if absent."),
        Key::new("threads", CPUS, "Threads of a core; 1 if absent."),
    ],
};

/// A domain's `cloud-init`.
pub(crate) static CLOUD_INIT: Mapping = Mapping {
    name: "cloud-init",
    of: "`cloud-init`",
    keys: &[
        Key::new("user-data", DOCUMENT, "A mapping, a text beginning with `#`, or a file."),
        Key::new("meta-data", DOCUMENT, "A mapping, a text of several lines, or a file; made if absent."),
        Key::new("network-config", DOCUMENT, "A mapping, a text of several lines, or a file."),
    ],
};

/// An entry of a domain's `nics`.
pub(crate) static NIC: Mapping = Mapping {
    name: "nic",
    of: "a NIC",
    keys: &[
        Key::new("net", Text, "The net it is on.").required(),
        Key::new("ip", IPV4, "Its address; on a net without `gw` only the last number counts."),
        Key::new("ip6", IPV6, "Its IPv6 address; on a net with `ipv6: true` only the last 64 bits count."),
        Key::new(
            "mac",
            Form("^[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2}){5}$"),
            "Its Ethernet address; made from the IP address if absent.",
        ),
        Key::new(
            "model",
            Word(&["virtio", "e1000", "e1000e", "igb", "rtl8139", "ne2k_pci", "pcnet", "vmxnet3"]),
            "Device model; virtio if absent.",
        ),
        Key::new("mtu", ETHERNET_MTU, "MTU in bytes; that of the net if absent."),
        Key::new(
            "vlan",
            Either(&[VLAN, Each(&VLAN)]),
            "One VLAN, untagged towards the machine, or a list of VLANs, tagged.",
        ),
        Key::new("link", Object(&LINK), "How good its link is at first."),
        Key::new("dns", TEXTS, "Its names in DNS instead of those every NIC gets; `[]` for none."),
    ],
};

/// A NIC's `link`.
pub(crate) static LINK: Mapping = Mapping {
    name: "link",
    of: "`link`",
    keys: &[
        Key::new("up", Bool, "Whether the cable is plugged in."),
        Key::new("delay_ms", MILLISECONDS, "Delay of each packet."),
        Key::new("jitter_ms", MILLISECONDS, "By how much the delay varies."),
        Key::new("loss_percent", Percent, "Packets lost."),
        Key::new("duplicate_percent", Percent, "Packets that come twice."),
        Key::new("corrupt_percent", Percent, "Packets with a wrong bit."),
        Key::new(
            "rate_kbit",
            Whole { min: 1, max: 4_000_000, unit: "kbit/s" },
            "The most it carries, in kbit/s.",
        ),
    ],
};

/// An entry of a domain's `disks`; which of them fit depends on its `type`.
pub(crate) static DISK: Mapping = Mapping {
    name: "disk",
    of: "a disk",
    keys: &[
        Key::new("name", Text, "Its name, used in file names.").required(),
        Key::new("type", Word(&["template", "empty", "file"]), "What it is made from.").required(),
        Key::new("format", Word(&["qcow2", "raw", "iso"]), "Image format; `iso` is a CD-ROM.").required(),
        Key::new("dev", Form("^(vd|sd|hd)[a-z]$"), "Guest device, such as `vda`.").required(),
        Key::new("size", Form("^[0-9]+[KkMGT]?$"), "Size of an `empty` disk, such as `20G`."),
        Key::new("template_name", Text, "The image of a `template` disk."),
        Key::new(
            "recipe",
            Text,
            "The file with the recipe of the image of a `template` disk, instead of `template_name`.",
        ),
        Key::new("template_version", Text, "Its version; the newest if absent."),
        Key::new(
            "template_type",
            Word(&["lago", "qcow2"]),
            "`lago`: `template_name` is in a repository or the image store; `qcow2`: `path` is the image.",
        ),
        Key::new(
            "path",
            Text,
            "The image of a `file` disk or of a `template` disk of `template_type` `qcow2`.",
        ),
        Key::new("url", Text, "Where to download a `file` disk from."),
        Key::new("make_a_copy", Bool, "Whether the machine gets a copy of the `file` of its own."),
        Key::new(
            "bus",
            Word(&["virtio", "scsi", "sata", "ide"]),
            "How it is attached; `dev` tells if absent.",
        ),
        Key::new("serial", Form("^[A-Za-z0-9_.+ -]{1,20}$"), "Serial number the guest sees."),
        Key::new(
            "boot",
            Whole { min: 1, max: 99, unit: "" },
            "Its turn among what the firmware tries to boot.",
        ),
        Key::new("metadata", Map(&Any), "What is known about its contents, such as `root-partition`."),
        Key::new(
            "build",
            Each(&Any),
            "Steps that change its contents before the first boot: each `virt-customize` with its options.",
        ),
        Key::new("skip-export", Bool, "Whether export leaves it out."),
    ],
};

/// An entry of `nets`.
pub(crate) static NET: Mapping = Mapping {
    name: "net",
    of: "a net",
    keys: &[
        Key::new(
            "type",
            Word(&["nat", "isolated", "bridge"]),
            "How it is connected: leading out, not leading out, or a bridge without addresses.",
        ),
        Key::new("management", Bool, "Whether machines are reached on it and DNS is served on it."),
        Key::new("dhcp", Object(&DHCP), "Dynamic range; without it addresses are static."),
        Key::new(
            "gw",
            Form(r"^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(/[0-9]+)?$"),
            "Gateway, which decides the subnet: a /24 unless it says otherwise, as in `10.0.0.1/20`.",
        ),
        Key::new("ipv4", Bool, "Whether it has IPv4."),
        Key::new(
            "ipv6",
            Either(&[Bool, IPV6_NET]),
            "Whether it has IPv6 (a private /64 is chosen then), or its gateway, as in `fd00:1::1/64`.",
        ),
        Key::new(
            "internet",
            Bool,
            "Whether it leads out to where the host leads; machines on it have their default route and names by it.",
        ),
        Key::new("dns_domain_name", Text, "DNS domain of a management net."),
        Key::new("dns_records", Map(&Text), "Extra DNS records of a management net: names and addresses."),
        Key::new("main_dns", Bool, "Lago's; does nothing: machines ask the management net they are on."),
        Key::new("dns_forward", Either(&[IPV4, IPV6]), "Who answers what the net itself cannot."),
        Key::new("mtu", ETHERNET_MTU, "MTU in bytes."),
        Key::idle("name", Computed, "Is its key."),
        Key::idle("mapping", Computed, "Is made of the machines."),
    ],
};

const IPV6_NET: Kind = Form("^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*/64$");

/// A net's `dhcp`.
pub(crate) static DHCP: Mapping = Mapping {
    name: "dhcp",
    of: "`dhcp`",
    keys: &[
        Key::new("start", OCTET, "Last number of its first address.").required(),
        Key::new("end", OCTET, "Last number of its last address.").required(),
    ],
};
