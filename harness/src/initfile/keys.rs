//! The one table of keys of each mapping of an init file. What a key means is `domain.rs` and `network.rs`.

/// The keys a mapping may have. `comment` and `x-...` are allowed, and ignored, everywhere.
pub(crate) struct Keys {
    /// What has them, for messages.
    pub(crate) of: &'static str,
    /// Those with a meaning.
    pub(crate) known: &'static [&'static str],
    /// Those of Lago's that mean nothing here yet.
    pub(crate) later: &'static [&'static str],
}

/// The whole file.
pub(crate) const FILE: Keys =
    Keys { of: "the init file", known: &["domains", "nets"], later: &["prototypes"] };

/// An entry of `domains`.
pub(crate) const DOMAIN: Keys = Keys {
    of: "a domain",
    known: &["memory", "vcpu", "nics", "disks", "metadata", "artifacts", "groups"],
    later: &[
        "vm-type",
        "vm-provider",
        "cpu",
        "cpu_model",
        "cpu_custom",
        "bootstrap",
        "distro",
        "root-password",
        "ssh-user",
        "ssh-password",
        "boot_time_sec",
        "service_provider",
        "service_class",
        "guest-agent",
        "snapshots",
        "skip-export",
        "based-on",
        "type",
        "url",
        "name",
        "mgmt_net",
    ],
};

/// An entry of a domain's `nics`.
pub(crate) const NIC: Keys = Keys { of: "a NIC", known: &["net", "ip"], later: &["mtu"] };

/// An entry of a domain's `disks`; which of them fit depends on its `type`.
pub(crate) const DISK: Keys = Keys {
    of: "a disk",
    known: &["name", "type", "format", "dev", "size", "template_type", "template_name", "path"],
    later: &["template_version", "url", "make_a_copy", "metadata", "build", "skip-export"],
};

/// A domain's `metadata` is free; these keys of Lago's act, and must not be taken for free text.
pub(crate) const METADATA_LATER: &[&str] = &["deploy-scripts", "ovirt-scripts"];

/// An entry of `nets`.
pub(crate) const NET: Keys = Keys {
    of: "a net",
    known: &["type", "dhcp", "management", "gw", "dns_domain_name", "dns_records", "mtu"],
    later: &["main_dns", "dns_forward", "mapping", "name"],
};

/// A net's `dhcp`.
pub(crate) const DHCP: Keys = Keys { of: "`dhcp`", known: &["start", "end"], later: &[] };
