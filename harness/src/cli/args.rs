//! The command line as typed: global options and verbs.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args as Group, Parser, Subcommand};
use clap_complete::Shell;

use super::{
    change_args::Change,
    cmd::{
        attach::{AttachDisk, AttachNic, DetachDisk, DetachNic},
        checkpoints::Checkpoints,
        fault::{FaultArgs, PartitionArgs},
        new::NewArgs,
        repo::RepoArgs,
        templates::TemplatesArgs,
    },
    cvp_args::Cvp,
    init_args::{InitArgs, PlanArgs, ValidateArgs},
    machine_args::{
        Collect, CopyFrom, CopyTo, ExecArgs, Screenshot, ScriptArgs, SendKey, ServiceArgs, Shell_,
    },
};
use crate::workdir::paths::INIT_FILE;

/// Real machines and networks from an init file, in a lab that leaves nothing behind.
///
/// Environments are prefixes in a workdir, `.polder` in the project. Where no prefix is named, verbs use the current one
/// of the workdir found upwards from where one stands.
#[derive(Debug, Parser)]
#[command(name = "polder", version, arg_required_else_help = true, infer_long_args = true)]
#[command(allow_external_subcommands = true)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Options of all verbs. Those that are keys of the configuration are read from the matches, by their names
/// (`flags.rs`); they stand here for the help and the parser.
#[derive(Debug, Group)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// What is told on standard error: debug, info, warning, error [default: info].
    #[arg(short, long)]
    loglevel: Option<String>,
    /// How deep the tree of tasks is told; -1 for all of it [default: 3].
    #[arg(long, global = true, allow_negative_numbers = true)]
    logdepth: Option<String>,
    /// How the result is printed: default, flat, json, yaml.
    #[arg(short = 'f', long, global = true, value_name = "FORMAT")]
    out_format: Option<String>,
    /// Tell nothing but results and errors.
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Do not tell warnings.
    #[arg(long, global = true)]
    pub(super) ignore_warnings: bool,
    /// A path in the prefix to use, instead of a workdir and a name.
    #[arg(short, long, global = true, value_name = "PATH")]
    prefix_path: Option<PathBuf>,
    /// The workdir to use, instead of looking for it upwards.
    #[arg(short, long, global = true, value_name = "PATH")]
    workdir_path: Option<PathBuf>,
    /// The prefix in the workdir [default: current].
    #[arg(short = 'P', long, global = true, value_name = "NAME")]
    prefix_name: Option<String>,
    /// Who logs in to machines whose init file does not say it [default: root].
    #[arg(long, global = true, value_name = "USER", hide_short_help = true)]
    ssh_user: Option<String>,
    /// With which password, where no key opens the machine.
    #[arg(long, global = true, value_name = "PASSWORD", hide_short_help = true)]
    ssh_password: Option<String>,
    /// How often a machine is tried to be reached [default: 100].
    #[arg(long, global = true, value_name = "NUMBER", hide_short_help = true)]
    ssh_tries: Option<String>,
    /// How long each try lasts, in seconds [default: 10].
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true)]
    ssh_timeout: Option<String>,
    /// Refused: configure `libvirt_url`.
    #[arg(long, alias = "libvirt_url", global = true, value_name = "URI", hide = true)]
    libvirt_url: Option<String>,
    /// Refused: configure `libvirt_username`.
    #[arg(long, global = true, value_name = "USER", hide = true)]
    libvirt_user: Option<String>,
    /// Refused: configure `libvirt_password`, which keeps it from other users' eyes.
    #[arg(long, global = true, value_name = "PASSWORD", hide = true)]
    libvirt_password: Option<String>,
    /// The vm-type of machines whose init file does not say it.
    #[arg(long, alias = "default_vm_type", global = true, value_name = "NAME", hide_short_help = true)]
    default_vm_type: Option<String>,
    /// The vm-provider of machines whose init file does not say it.
    #[arg(long, alias = "default_vm_provider", global = true, value_name = "NAME", hide_short_help = true)]
    default_vm_provider: Option<String>,
    /// The root password of machines whose init file does not say it.
    #[arg(
        long,
        alias = "default_root_password",
        global = true,
        value_name = "PASSWORD",
        hide_short_help = true
    )]
    default_root_password: Option<String>,
    /// Where system labs lease subnets.
    #[arg(long, alias = "lease_dir", global = true, value_name = "DIR", hide_short_help = true)]
    lease_dir: Option<PathBuf>,
    /// Has no effect: packages of mirrors are kept in the repositories they are for.
    #[arg(long, global = true, value_name = "DIR", hide = true)]
    reposync_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a suite: a package that can be tested at once, or one more test of the package one stands in.
    New(NewArgs),
    /// Make a prefix from an init file: disks, addresses, keys. Nothing runs yet.
    Init(InitArgs),
    /// Init, start, wait until every machine answers, and deploy.
    Up(InitArgs),
    /// Destroy without asking.
    Down,
    /// Start machines and the networks they need.
    Start(Machines),
    /// Switch machines off, and stop the networks nobody uses any more.
    Stop(Machines),
    /// Let machines shut down, and switch off those that do not in time.
    Shutdown(Shutdown),
    /// Let machines restart.
    Reboot(Machines),
    /// Have the kernels of machines panic: told to, by SysRq on the keyboard, or by an NMI, whatever works first.
    Crash(Machines),
    /// Cut the power of machines and give it back at once: they boot with what had reached their disks.
    PowerCut(Machines),
    /// Halt the processors of machines.
    Pause(Machines),
    /// Let paused machines go on.
    Resume(Machines),
    /// Stop everything and mark the prefix as one that is not in use; its files stay.
    Cleanup,
    /// Remove a prefix and everything it made, whatever is damaged.
    Destroy(Destroy),
    /// Show the environment and how it fares.
    Status,
    /// List the prefixes of the workdir.
    List {
        /// The workdir, or a folder from where to look for it.
        workdir: Option<PathBuf>,
    },
    /// Make another prefix the current one.
    SetCurrent {
        /// Its name.
        name: String,
    },
    /// Protect a prefix from being destroyed.
    Lock {
        /// Why, to be shown to whoever tries.
        reason: Vec<String>,
    },
    /// Allow a prefix to be destroyed again.
    Unlock,
    /// Keep the state of machines, to come back to it.
    Snapshot(Snapshot),
    /// Bring machines back to a snapshot.
    Revert(Revert),
    /// Run the deploy scripts of machines in them.
    Deploy(Deploy),
    /// Write disks and an init file that make the same environment elsewhere.
    Export(Export),
    /// Open a shell in a machine, or run a command or script there; its exit status becomes ours.
    Shell(Shell_),
    /// Run a program in a machine, its streams connected with ours; its exit status becomes ours.
    Exec(ExecArgs),
    /// Run a script of this host in a machine, by what its first line names; its exit status becomes ours.
    Script(ScriptArgs),
    /// Connect this terminal with a machine's serial console; Control-] leaves it.
    Console {
        /// The machine, or the end of its name.
        #[arg(value_name = "VM")]
        host: String,
    },
    /// Copy files and folders of this host into a machine.
    CopyToVm(CopyTo),
    /// Copy a file or folder of a machine to this host.
    CopyFromVm(CopyFrom),
    /// Collect what the init file asks for, logs and the state of machines, whether they run or not.
    Collect(Collect),
    /// Press keys of a machine's keyboard, or type on it.
    SendKey(SendKey),
    /// Send a non-maskable interrupt (NMI) to a machine; whether it panics at that is up to its kernel.
    InjectNmi {
        /// The machine, or the end of its name.
        #[arg(value_name = "VM")]
        host: String,
    },
    /// Have something wrong with a machine until Ctrl-C; then it is set back.
    Fault(FaultArgs),
    /// Keep groups of machines apart on all nets until Ctrl-C; then they reach one another again.
    Partition(PartitionArgs),
    /// Plug a disk into a machine that runs; it stays until it is detached or the machine switched off.
    AttachDisk(AttachDisk),
    /// Take a disk that was attached out of a machine, and remove its image.
    DetachDisk(DetachDisk),
    /// Give a machine that runs one more NIC, until it is detached or the machine switched off.
    AttachNic(AttachNic),
    /// Take a NIC out of a machine that runs.
    DetachNic(DetachNic),
    /// Write what a machine's screen shows into a file, as PNG; the machine needs `graphics: true`.
    Screenshot(Screenshot),
    /// Ask for, start, stop or restart a service in a machine, or read its log.
    Service(ServiceArgs),
    /// Serve files to machines over HTTP, at the gateway of the management net, until stopped.
    Serve {
        /// The folder [default: the repositories of the prefix].
        dir: Option<PathBuf>,
        /// At which port [default: repo_port, which is 8585].
        #[arg(id = "repo_port", long = "port", value_name = "PORT")]
        port: Option<String>,
    },
    /// Repositories of packages for machines without internet.
    Repo(RepoArgs),
    /// Print an inventory for Ansible.
    #[command(alias = "ansible_hosts")]
    AnsibleHosts(AnsibleHosts),
    /// Connect standard input and output with a machine's ssh server; for `ProxyCommand` of ssh, and Ansible.
    Proxy {
        /// The machine.
        #[arg(value_name = "VM")]
        machine: String,
    },
    /// Start, stop and look at oVirt: what can be done without the engine's own SDK.
    Ovirt {
        #[command(subcommand)]
        what: Ovirt,
    },
    /// Print the configuration that holds, and where each value came from.
    GenerateConfig {
        /// Also keys without a value.
        #[arg(long)]
        verbose: bool,
        /// As TOML instead of INI.
        #[arg(long)]
        toml: bool,
    },
    /// Print what would be made of an init file.
    Plan(PlanArgs),
    /// Say what is wrong with an init file, all at once.
    Validate(ValidateArgs),
    /// Print the JSON Schema of init files, for editors.
    Schema,
    /// Guest images: build them ahead, find them, remove old ones.
    Images {
        #[command(subcommand)]
        what: Images,
    },
    /// Checkpoints: states of environments that are kept for later runs.
    Checkpoints {
        #[command(subcommand)]
        what: Checkpoints,
    },
    /// Templates: what there is, fetch it ahead, verify and prune the store, add images, register repositories.
    Templates(TemplatesArgs),
    /// CloudVision portals.
    Cvp {
        #[command(subcommand)]
        what: Cvp,
    },
    /// Changes of many devices from files, undone when they fail.
    Change {
        #[command(subcommand)]
        what: Change,
    },
    /// Enter the environment that a run of suites has left (`POLDER_KEEP`): a shell of a machine, or one of this host where all verbs
    /// find it.
    Enter(Enter),
    /// Make junit.xml and report.html of a run of suites again, from its events; make one file of the run for somebody else, or
    /// open such a file.
    Report(Report),
    /// Say whether labs work on this host, what is missing, and the command that mends it.
    Doctor,
    /// Find what environments left whose folders are gone, in labs and on the daemon, and remove it; set back what a killed
    /// `fault` left in the prefix, and what killed suites did at the portal of `POLDER_CVP_URL`.
    Gc(Gc),
    /// Print a script that completes this command in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write manual pages.
    Man {
        /// The folder to write them to.
        dir: PathBuf,
    },
    /// A program `polder-NAME` on the path.
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

/// Which machines.
#[derive(Debug, Group)]
pub(super) struct Machines {
    /// The machines; all of them when none is named.
    #[arg(value_name = "VM")]
    pub(super) vms: Vec<String>,
}

/// Options of `shutdown`.
#[derive(Debug, Group)]
pub(super) struct Shutdown {
    #[command(flatten)]
    pub(super) machines: Machines,
    /// Restart instead.
    #[arg(short, long)]
    pub(super) reboot: bool,
    /// How long they have, in seconds, before they are switched off [default: shutdown_timeout].
    #[arg(long, value_name = "SECONDS", conflicts_with = "reboot")]
    pub(super) timeout: Option<u32>,
}

/// Options of `destroy`.
#[derive(Debug, Group)]
pub(super) struct Destroy {
    /// Do not ask.
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Also what is locked.
    #[arg(long)]
    pub(super) force: bool,
    /// All prefixes of the workdir.
    #[arg(long)]
    pub(super) all_prefixes: bool,
}

/// Options of `report`.
#[derive(Debug, Group)]
pub(super) struct Report {
    /// The run's folder or name, or a bundle that somebody made [default: the newest run].
    pub(super) run: Option<String>,
    /// Write this file, a tar.gz, with everything that the run left, but for what is secret.
    #[arg(long, value_name = "FILE")]
    pub(super) bundle: Option<PathBuf>,
    /// The folder that becomes of a bundle [default: its name without .tar.gz, here].
    #[arg(long, value_name = "FOLDER", conflicts_with = "bundle")]
    pub(super) into: Option<PathBuf>,
}

/// Options of `enter`.
#[derive(Debug, Group)]
pub(super) struct Enter {
    /// The run's folder or name [default: the newest one].
    pub(super) run: Option<String>,
    /// A machine to enter, or the end of its name; else the operator's own shell is started where all verbs find it.
    pub(super) vm: Option<String>,
    /// The suite, when several left their environments.
    #[arg(long)]
    pub(super) suite: Option<String>,
    /// Of the states that were kept at failures (`POLDER_KEEP=state`) that of this step: its machines go on from there.
    #[arg(long)]
    pub(super) scenario: Option<String>,
}

/// Options of `gc`.
#[derive(Debug, Group)]
pub(super) struct Gc {
    /// Only say what would be removed.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Options of `snapshot`.
#[derive(Debug, Group)]
pub(super) struct Snapshot {
    /// Its name.
    #[arg(required_unless_present = "list")]
    pub(super) name: Option<String>,
    /// List the snapshots there are.
    #[arg(short, long)]
    pub(super) list: bool,
    /// Delete that snapshot.
    #[arg(long, conflicts_with_all = ["list", "memory", "description", "vm_names"])]
    pub(super) delete: bool,
    /// With the memory of running machines: going back, they run on.
    #[arg(short, long)]
    pub(super) memory: bool,
    /// What it is, for people.
    #[arg(short, long, value_name = "TEXT")]
    pub(super) description: Option<String>,
    /// Only these machines.
    #[arg(short = 'n', long, value_name = "VM", num_args = 1..)]
    pub(super) vm_names: Vec<String>,
}

/// Options of `revert`.
#[derive(Debug, Group)]
pub(super) struct Revert {
    /// The snapshot; its machines go back.
    pub(super) name: String,
}

/// Options of `deploy`.
#[derive(Debug, Group)]
pub(super) struct Deploy {
    /// Only the scripts of this machine, or only this one of them, by its file name.
    #[arg(long, value_name = "VM[/SCRIPT]", num_args = 1..)]
    pub(super) only: Vec<String>,
    /// Also those that are to run once and were done before.
    #[arg(long)]
    pub(super) again: bool,
}

/// Options of `export`.
#[derive(Debug, Group)]
pub(super) struct Export {
    /// Only these machines.
    #[arg(short = 'n', long, value_name = "VM", num_args = 1..)]
    pub(super) vm_names: Vec<String>,
    /// Images that stand alone, instead of layers over their templates.
    #[arg(short, long)]
    pub(super) standalone: bool,
    /// Compress images with xz.
    #[arg(short, long)]
    pub(super) compress: bool,
    /// The folder to write to.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) dst_dir: PathBuf,
    /// What the init file is called; it is YAML, or JSON with `--out-format json`.
    #[arg(long, value_name = "NAME", default_value = INIT_FILE)]
    pub(super) init_file_name: String,
    /// Write down the addresses machines have, instead of leaving them to be chosen anew.
    #[arg(long)]
    pub(super) pin: bool,
    /// Only say what would be written.
    #[arg(long)]
    pub(super) collect_only: bool,
    /// Has no effect: disks take turns where the host has no processors to spare.
    #[arg(long, hide = true)]
    without_threads: bool,
}

/// What to do with oVirt.
#[derive(Debug, Subcommand)]
pub(super) enum Ovirt {
    /// Start all machines, and wait until the engine runs, and vdsm on its hosts; print how one gets in.
    Start {
        /// Refused: it takes the engine's SDK.
        #[arg(long, hide = true)]
        with_vms: bool,
        /// Refused as well.
        #[arg(long, hide = true, value_name = "SECONDS", requires = "with_vms")]
        vms_timeout: Option<u32>,
    },
    /// Shut all machines down; the engine is told nothing.
    Stop,
    /// Show how the engine and its hosts are, and how one gets in.
    Status,
    /// Other verbs of Lago's, to say where they went.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// Options of `ansible-hosts`.
#[derive(Debug, Group)]
pub(super) struct AnsibleHosts {
    /// Paths into the machines' specs that make groups [default: vm-type groups vm-provider].
    #[arg(short, long = "keys", value_name = "KEY", num_args = 1..)]
    pub(super) keys: Vec<String>,
    /// Name groups as they are, also where Ansible warns about it.
    #[arg(long)]
    pub(super) raw_names: bool,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(super) enum Images {
    /// List all recipes and whether they are built.
    List,
    /// Build an image unless it is there.
    Build {
        /// Its name, or the file with its recipe, whose name ends with `.yaml`.
        name: String,
    },
    /// Print the folder of a built image.
    Path {
        /// Its name, or the file with its recipe.
        name: String,
    },
    /// Remove images no recipe makes any more, and what interrupted builds left.
    Prune,
}
