//! Which keys there are and what they mean; names that Lago's files and variables have for them. Pure.

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its section; empty for the root section, else a verb's name.
    pub section: String,
    /// Its name, in lower case with `_`.
    pub name: String,
    /// What it means, one sentence or a few.
    pub help: String,
    /// What holds when nobody says it, where the shipped defaults do not say that.
    pub default: Option<String>,
}

/// Keys of the root section: name and meaning.
const ROOT: &[(&str, &str)] = &[
    (
        "lab",
        "Where environments live: `hermetic` (a boundary with a private libvirt, leaves nothing behind) or `system` (the libvirt of libvirt_url).",
    ),
    ("accel", "How guests run: `kvm`, `tcg`, or `auto` for KVM where it really works."),
    (
        "checkpoints",
        "Whether machines of suites go on from an earlier state of the same instead of booting: `auto`, `off`, or `refresh` to keep new ones in place of what there is.",
    ),
    (
        "cache_dir",
        "Where guest images and downloads are kept; `auto` is `$XDG_CACHE_HOME/polder`, else `~/.cache/polder`.",
    ),
    ("runtime_dir", "Where hermetic labs have their folders while they live; `auto` is below `/var/tmp`."),
    ("out_format", "How results are printed: `default`, `flat`, `json` or `yaml`."),
    ("loglevel", "What is told on standard error: `debug`, `info`, `warning` or `error`."),
    ("logdepth", "How deep the tree of tasks is told; -1 for all of it."),
    ("prefix_path", "A path in the prefix to use, instead of looking for it."),
    ("workdir_path", "The workdir to use, instead of looking for it upwards."),
    ("prefix_name", "The prefix in the workdir; `current` follows the link."),
    ("ssh_user", "Who logs in to machines whose init file does not say it."),
    ("ssh_password", "Their password, which machines get and which is tried where no key opens one."),
    ("ssh_tries", "How often a machine is tried to be reached."),
    ("ssh_timeout", "How long each try lasts, in seconds."),
    ("libvirt_url", "The libvirt that system labs use, `qemu:///system` or `qemu:///session`."),
    ("libvirt_username", "Who one is to that libvirt, if it asks."),
    ("libvirt_password", "With which password."),
    ("default_vm_type", "The `vm-type` of machines whose init file does not say it."),
    ("default_vm_provider", "The `vm-provider` of machines whose init file does not say it."),
    ("root_password", "The root password of machines whose init file does not say it."),
    (
        "lease_dir",
        "Where system labs lease subnets; `auto` is Lago's `/var/lib/lago/subnets` where that can be written, else a folder of this user.",
    ),
    ("template_repo_path", "The template repository: a file or a URL."),
    ("template_repo_name", "The template repository, by its name among those in template_repos."),
    (
        "template_repos",
        "Where template repositories are kept; `auto` is Lago's `/var/lib/lago/repos` where that can be written, else a folder of this user.",
    ),
    (
        "template_store",
        "Where template images are kept; `auto` is Lago's `/var/lib/lago/store` where that can be written, else a folder in cache_dir.",
    ),
    (
        "budget_memory",
        "How much memory the machines of all suites of this host may have at once, in MiB; `auto` is the host's, `unlimited` never has a suite wait.",
    ),
    (
        "budget_cpus",
        "How many processors the machines of all suites of this host may have at once; `auto` is 32 for each of the host's, `unlimited` never has a suite wait.",
    ),
    (
        "budget_seats",
        "How many suites of this host may have sessions at the same portal at once; `unlimited` never has a suite wait.",
    ),
    (
        "budget_dir",
        "Where those who use this host note what their suites have; `auto` is `/var/tmp/polder-budget`, for all users.",
    ),
    (
        "checkpoint_limit_gib",
        "How much the checkpoints in cache_dir may take, in GiB; those that nobody has used for longest go first.",
    ),
    ("repo_port", "The port at which repositories of packages are served to machines."),
    ("lock_timeout", "How long a verb waits for another one that changes the same prefix, in seconds."),
    ("shutdown_timeout", "How long a machine has to shut down before it is switched off, in seconds."),
];

/// Keys that Lago has and we know, but that have no effect here: they belong to parts that do not exist.
const WITHOUT_EFFECT: &[(&str, &str)] = &[("", "reposync_dir")];

/// Keys that stand in another section in Lago's files: those of `[init]` that concern more than the verb.
const MOVED: &[&str] = &["template_repo_path", "template_repo_name", "template_repos", "template_store"];

/// What a name in a file or variable stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<'a> {
    /// This key.
    Key(&'a Key),
    /// A key without effect.
    Idle,
    /// Nothing we know.
    No,
}

/// All keys of one program.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    pub(super) keys: Vec<Key>,
}

impl Schema {
    /// The keys of the root section and `verbs`, the options of verbs.
    pub(super) fn new(verbs: &[Key]) -> Self {
        let root = ROOT.iter().map(|(name, help)| Key {
            section: String::new(),
            name: (*name).into(),
            help: (*help).into(),
            default: None,
        });
        Self { keys: root.chain(verbs.iter().cloned()).collect() }
    }

    /// Section and name as they are compared: lower case, `_` for `-`, the root section's two names as none.
    pub(super) fn plain(section: &str, name: &str) -> (String, String) {
        let plain = |text: &str| text.trim().to_lowercase().replace('-', "_");
        let (section, name) = (plain(section), plain(name));
        let root = matches!(section.as_str(), "lago" | "polder")
            || section == "init" && MOVED.contains(&name.as_str());
        (if root { String::new() } else { section }, name)
    }

    /// What `name` in `section` is, both as [`plain`](Self::plain) made them.
    pub(super) fn find(&self, section: &str, name: &str) -> Known<'_> {
        if let Some(key) = self.keys.iter().find(|k| k.section == section && k.name == name) {
            return Known::Key(key);
        }
        if WITHOUT_EFFECT.contains(&(section, name)) { Known::Idle } else { Known::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("lago", "SSH-User", "", "ssh_user")]
    #[case("polder", "lab", "", "lab")]
    #[case("init", "template_store", "", "template_store")]
    #[case("Ansible-Hosts", "keys", "ansible_hosts", "keys")]
    fn names_are_compared_plainly(
        #[case] section: &str,
        #[case] name: &str,
        #[case] plain_section: &str,
        #[case] plain_name: &str,
    ) {
        assert_eq!(Schema::plain(section, name), (plain_section.into(), plain_name.into()));
    }
}
