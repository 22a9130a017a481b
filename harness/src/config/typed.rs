//! The configuration as the program uses it: every value of the root section checked and typed.

use std::{path::PathBuf, str::FromStr, time::Duration};

use super::{ConfigError, Entry, Key, Problem, Setting, Settings, schema::Schema};
use crate::base::text::did_you_mean;

/// Where environments live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lab {
    /// In a boundary with a private libvirt.
    Hermetic,
    /// On a libvirt of the host.
    System,
}

/// Whether environments go on from earlier states of the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoints {
    /// Where there is one of the same key; else they boot, and are kept.
    Auto,
    /// They boot, and are not kept.
    Off,
    /// They boot, and are kept in place of what there is.
    Refresh,
}

impl Checkpoints {
    /// What is called so in the configuration.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "off" => Self::Off,
            "refresh" => Self::Refresh,
            _ => Self::Auto,
        }
    }
}

/// How much of something there is for suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Whoever uses it finds out.
    Auto,
    /// As much as anybody wants.
    Unlimited,
    /// So much.
    Of(u64),
}

/// What suites may take of this host together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetConfig {
    /// Memory of their machines, in MiB.
    pub memory: Share,
    /// Processors of their machines.
    pub cpus: Share,
    /// Sessions at one portal.
    pub seats: Share,
    /// The folder in which those who use the host note what they have.
    pub folder: Option<PathBuf>,
}

/// Everything that can be configured. Paths that are `None` are chosen by whoever uses them.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where environments live.
    pub lab: Lab,
    /// `auto`, `kvm` or `tcg`.
    pub accel: String,
    /// Whether environments go on from earlier states of the same.
    pub checkpoints: Checkpoints,
    /// Where guest images and downloads are kept.
    pub cache_dir: Option<PathBuf>,
    /// Where hermetic labs have their folders.
    pub runtime_dir: Option<PathBuf>,
    /// Name of the output format.
    pub out_format: String,
    /// `debug`, `info`, `warning` or `error`.
    pub loglevel: String,
    /// How deep the tree of tasks is told; `None` for all of it.
    pub logdepth: Option<usize>,
    /// A path in the prefix to use.
    pub prefix_path: Option<PathBuf>,
    /// The workdir to use.
    pub workdir_path: Option<PathBuf>,
    /// The prefix in the workdir.
    pub prefix_name: String,
    /// Who logs in to machines.
    pub ssh_user: String,
    /// With which password, where no key opens the machine.
    pub ssh_password: Option<String>,
    /// How often a machine is tried to be reached.
    pub ssh_tries: u32,
    /// How long each try lasts.
    pub ssh_timeout: Duration,
    /// The libvirt of system labs.
    pub libvirt_url: String,
    /// Who one is to it.
    pub libvirt_username: Option<String>,
    /// With which password.
    pub libvirt_password: Option<String>,
    /// The `vm-type` of machines that have none.
    pub default_vm_type: String,
    /// The `vm-provider` of machines that have none.
    pub default_vm_provider: String,
    /// The root password of machines that have none.
    pub root_password: Option<String>,
    /// Where system labs lease subnets.
    pub lease_dir: Option<PathBuf>,
    /// The template repository: a file or a URL.
    pub template_repo_path: Option<String>,
    /// The template repository, by name.
    pub template_repo_name: Option<String>,
    /// Where template repositories are kept.
    pub template_repos: Option<PathBuf>,
    /// Where template images are kept.
    pub template_store: Option<PathBuf>,
    /// What suites may take of this host together.
    pub budget: BudgetConfig,
    /// How much checkpoints may take, in bytes.
    pub checkpoint_limit: u64,
    /// The port at which repositories of packages are served.
    pub repo_port: u16,
    /// How long a verb waits for another one on the same prefix.
    pub lock_timeout: Duration,
    /// How long a machine has to shut down.
    pub shutdown_timeout: Duration,
    /// Every value and where it came from.
    pub settings: Settings,
}

impl Config {
    /// Checks `settings` with `flags` laid over them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(mut settings: Settings, flags: Vec<Entry>) -> Result<Self, ConfigError> {
        let keys = settings.all.iter().map(|s| s.key.clone()).filter(|k| !k.section.is_empty());
        let schema = Schema::new(&keys.collect::<Vec<Key>>());
        settings.overlay(&schema, flags);
        let mut check = Check { settings: &settings, problems: settings.problems.clone() };
        let lab = match check.choice("lab", &["hermetic", "system"]).as_str() {
            "system" => Lab::System,
            _ => Lab::Hermetic,
        };
        let mut config = Self {
            lab,
            accel: check.choice("accel", &["auto", "kvm", "tcg"]),
            checkpoints: Checkpoints::named(&check.choice("checkpoints", &["auto", "off", "refresh"])),
            cache_dir: check.folder("cache_dir"),
            runtime_dir: check.folder("runtime_dir"),
            out_format: check.text("out_format"),
            loglevel: check.choice("loglevel", &["debug", "info", "warning", "error"]),
            logdepth: usize::try_from(check.number::<i64>("logdepth")).ok(),
            prefix_path: check.optional("prefix_path").map(Into::into),
            workdir_path: check.optional("workdir_path").map(Into::into),
            prefix_name: check.text("prefix_name"),
            ssh_user: check.text("ssh_user"),
            ssh_password: check.optional("ssh_password"),
            ssh_tries: check.number("ssh_tries"),
            ssh_timeout: check.seconds("ssh_timeout"),
            libvirt_url: check.text("libvirt_url"),
            libvirt_username: check.optional("libvirt_username"),
            libvirt_password: check.optional("libvirt_password"),
            default_vm_type: check.text("default_vm_type"),
            default_vm_provider: check.text("default_vm_provider"),
            root_password: check.optional("root_password"),
            lease_dir: check.folder("lease_dir"),
            template_repo_path: check.optional("template_repo_path"),
            template_repo_name: check.optional("template_repo_name"),
            template_repos: check.folder("template_repos"),
            template_store: check.folder("template_store"),
            budget: BudgetConfig {
                memory: check.share("budget_memory"),
                cpus: check.share("budget_cpus"),
                seats: check.share("budget_seats"),
                folder: check.folder("budget_dir"),
            },
            checkpoint_limit: check.gibibytes("checkpoint_limit_gib"),
            repo_port: check.number("repo_port"),
            lock_timeout: check.seconds("lock_timeout"),
            shutdown_timeout: check.seconds("shutdown_timeout"),
            settings: Settings { all: vec![], problems: vec![], warnings: vec![] },
        };
        let problems = check.problems;
        config.settings = settings;
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }
}

/// Reads values and collects what is wrong with them; what cannot be read stands for nothing.
struct Check<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn setting(&self, name: &str) -> Option<&'a Setting> {
        self.settings.get("", name)
    }

    fn wrong(&mut self, name: &str, what: &str, help: Option<String>) {
        if let Some(setting) = self.setting(name) {
            let text = setting.text.as_deref().unwrap_or_default();
            let message = format!("`{name}` is `{text}`{what}");
            self.problems.push(Problem { origin: setting.origin.clone(), message, help });
        }
    }

    fn optional(&self, name: &str) -> Option<String> {
        self.setting(name)?.text.clone()
    }

    /// A value that must be there.
    fn text(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.wrong(name, ", which says nothing", None);
            String::new()
        })
    }

    fn choice(&mut self, name: &str, choices: &[&str]) -> String {
        let text = self.text(name);
        if !text.is_empty() && !choices.contains(&text.as_str()) {
            let near = did_you_mean(&text, choices.iter().copied());
            let help = near.map_or_else(
                || format!("it can be: {}", choices.join(", ")),
                |n| format!("did you mean `{n}`?"),
            );
            self.wrong(name, "", Some(help));
        }
        text
    }

    fn number<T: FromStr + Default>(&mut self, name: &str) -> T {
        let text = self.text(name);
        text.trim().parse().unwrap_or_else(|_| {
            if !text.is_empty() {
                self.wrong(name, ", which is not a whole number that fits", None);
            }
            T::default()
        })
    }

    fn share(&mut self, name: &str) -> Share {
        match self.text(name).trim() {
            "auto" | "" => Share::Auto,
            "unlimited" => Share::Unlimited,
            text => match text.parse() {
                Ok(number) if number > 0 => Share::Of(number),
                _ => {
                    let help = "write a whole number above 0, `auto`, or `unlimited`";
                    self.wrong(name, "", Some(help.into()));
                    Share::Auto
                }
            },
        }
    }

    fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(self.number::<u32>(name).into())
    }

    /// A size, in bytes.
    fn gibibytes(&mut self, name: &str) -> u64 {
        u64::from(self.number::<u32>(name)) << 30
    }

    /// A folder; `auto` leaves the choice to whoever uses it.
    fn folder(&mut self, name: &str) -> Option<PathBuf> {
        let path =
            Some(self.text(name)).filter(|text| !text.is_empty() && text != "auto").map(PathBuf::from)?;
        if !path.is_absolute() {
            self.wrong(name, "", Some("write an absolute path, or `auto`".into()));
        }
        Some(path)
    }
}
