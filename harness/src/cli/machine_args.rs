//! Arguments of the verbs that do something in or with one machine.

use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

/// Options of `shell`.
#[derive(Debug, Group)]
pub(super) struct Shell_ {
    /// The machine, or the end of its name.
    pub(super) host: String,
    /// One word: a local file to run as a script, or a command line for the machine's shell. Several: a program and its
    /// arguments, taken as they are. None: a login shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) args: Vec<String>,
}

/// Options of `copy-to-vm`.
#[derive(Debug, Group)]
pub(super) struct CopyTo {
    /// The machine.
    #[arg(value_name = "VM")]
    pub(super) host: String,
    /// Files and folders of this host.
    #[arg(value_name = "LOCAL", required = true)]
    pub(super) local: Vec<PathBuf>,
    /// Where to in the machine; below it, where that is a folder or several are copied.
    #[arg(value_name = "REMOTE")]
    pub(super) remote: String,
}

/// Options of `copy-from-vm`.
#[derive(Debug, Group)]
pub(super) struct CopyFrom {
    /// The machine.
    #[arg(value_name = "VM")]
    pub(super) host: String,
    /// The file or folder in the machine.
    #[arg(value_name = "REMOTE")]
    pub(super) remote: String,
    /// Where to on this host; below it, where that is a folder.
    #[arg(value_name = "LOCAL")]
    pub(super) local: PathBuf,
}

/// Options of `collect`.
#[derive(Debug, Group)]
pub(super) struct Collect {
    /// The folder to write to; one that is there already is renamed, with the time after its name.
    #[arg(short, long, value_name = "DIR", default_value = "collected")]
    pub(super) output: PathBuf,
    /// Only these machines.
    #[arg(short = 'n', long, alias = "machines", value_name = "VM", num_args = 1..)]
    pub(super) vm_names: Vec<String>,
    /// Fail when something is missing that the init file asks for.
    #[arg(long)]
    pub(super) no_skip: bool,
    /// How many MiB are taken of each path; of longer files the end.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(super) max_path: u32,
    /// How many MiB are taken of all paths of a machine.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(super) max_machine: u32,
}

/// Options of `send-key`.
#[derive(Debug, Group)]
pub(super) struct SendKey {
    /// The machine, or the end of its name.
    pub(super) host: String,
    /// Keys, one after the other, such as `ctrl-alt-delete` or `ret`; those with `-` between them together.
    #[arg(required = true)]
    pub(super) keys: Vec<String>,
    /// Type the words instead, as on an American keyboard.
    #[arg(short, long)]
    pub(super) text: bool,
}

/// Options of `screenshot`.
#[derive(Debug, Group)]
pub(super) struct Screenshot {
    /// The machine, or the end of its name.
    pub(super) host: String,
    /// The file.
    pub(super) file: PathBuf,
}

/// Options of `exec`.
#[derive(Debug, Group)]
pub(super) struct ExecArgs {
    /// The machine, or the end of its name.
    #[arg(value_name = "VM")]
    pub(super) host: String,
    #[command(flatten)]
    pub(super) how: How,
    /// The program and its arguments, taken as they are: no shell evaluates them.
    #[arg(value_name = "ARGV", required = true, trailing_var_arg = true)]
    pub(super) argv: Vec<String>,
}

/// Options of `script`.
#[derive(Debug, Group)]
pub(super) struct ScriptArgs {
    /// The machine, or the end of its name.
    #[arg(value_name = "VM")]
    pub(super) host: String,
    #[command(flatten)]
    pub(super) how: How,
    /// The script, a file of this host; it is a file of the machine while it runs.
    pub(super) file: PathBuf,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) args: Vec<String>,
}

/// How something is run in a machine.
#[derive(Debug, Group)]
pub(super) struct How {
    /// As this user of the machine, instead of who logs in.
    #[arg(long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// With this variable in its environment.
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::init_args::assignment)]
    pub(super) env: Vec<(String, String)>,
    /// In this folder of the machine.
    #[arg(long, value_name = "DIR")]
    pub(super) cwd: Option<String>,
    /// Killed with everything it started after so many seconds [default: never].
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout: Option<u32>,
    /// Over ssh only, instead of the first way that answers.
    #[arg(long, group = "over")]
    pub(super) ssh: bool,
    /// Over the guest agent only: what it prints comes when it has ended.
    #[arg(long, group = "over")]
    pub(super) agent: bool,
    /// On the serial console only, where somebody is let in.
    #[arg(long, group = "over")]
    pub(super) console: bool,
}

/// Options of `service`.
#[derive(Debug, Group)]
pub(super) struct ServiceArgs {
    /// The machine, or the end of its name.
    pub(super) host: String,
    /// The service.
    pub(super) name: String,
    /// What to do; its state is printed afterwards, or with `logs` what it wrote lately.
    #[arg(default_value = "status")]
    pub(super) what: ServiceVerb,
}

/// What is done to a service.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ServiceVerb {
    Status,
    Start,
    Stop,
    Restart,
    Logs,
}
