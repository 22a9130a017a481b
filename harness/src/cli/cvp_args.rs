//! What `polder cvp` takes.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as Group, Subcommand};

use crate::cvp::server::Imitated;

/// What to do with `CloudVision` portals.
#[derive(Debug, Subcommand)]
pub(super) enum Cvp {
    /// Run a portal of our own until SIGTERM; when it answers, one line of JSON says where and for whom.
    Serve(CvpServe),
    /// Do the jobs of a file at a portal: a list, as Arista's configlet uploader takes it.
    Apply(CvpApply),
    /// List devices, and the containers they are in.
    Inventory(CvpInventory),
    /// List configlets, and who holds them.
    Configlets(CvpConfiglets),
    /// List tasks, or execute those that are pending.
    Tasks(CvpTasks),
    /// Change controls.
    Cc {
        #[command(subcommand)]
        what: Cc,
    },
    /// Log in, and say where and as whom, or what keeps us out.
    LoginCheck {
        #[command(flatten)]
        reach: Reach,
    },
    /// Write all configlets into a folder, each as a file with its text and one with what else is known of it.
    Backup(CvpBackup),
}

/// Which portal, and who we are there. What is not said is taken from the environment, in the names that Arista's configlet
/// uploader knows.
#[derive(Debug, Group)]
#[command(next_help_heading = "Portal")]
pub(super) struct Reach {
    /// The portal, by its name, address or URL; several nodes of one portal with commas between them [env: CVP_HOST].
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub(super) host: Vec<String>,
    /// At which port [env: CVP_PORT; default: 443].
    #[arg(long)]
    pub(super) port: Option<String>,
    /// https, or http [env: CVP_PROTO; default: https].
    #[arg(long)]
    pub(super) proto: Option<String>,
    /// The user [env: CVP_USER].
    #[arg(long)]
    pub(super) user: Option<String>,
    /// The file whose first line is the password; `-` is standard input [env: CVP_PASS, the password itself; default: it is
    /// asked for].
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// The file whose first line is the token of a service account; `-` is standard input [env: CVP_TOKEN, the token itself].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "password_file"])]
    pub(super) token_file: Option<PathBuf>,
    /// Refused: others see it.
    #[arg(long, hide = true)]
    pub(super) password: Option<String>,
    /// Refused: others see it.
    #[arg(long, hide = true)]
    pub(super) token: Option<String>,
    /// The authorities that vouch for the portal, as PEM [env: CVP_CA_FILE; default: those this host trusts].
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The SHA-256 of the portal's certificate, whoever vouches for it.
    #[arg(long, value_name = "SHA256", conflicts_with = "ca_file")]
    pub(super) pin: Option<String>,
    /// Take any certificate, also that of somebody in between [env: CERT_VALIDATION=false].
    #[arg(long, conflicts_with_all = ["ca_file", "pin"])]
    pub(super) insecure: bool,
}

/// Options of `cvp apply`.
#[derive(Debug, Group)]
pub(super) struct CvpApply {
    /// The job file [env: CVP_JSON; default: actions.json].
    pub(super) file: Option<PathBuf>,
    /// Only say what would be changed.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How long the tasks of a job may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(super) timeout: u32,
    /// The time zone of schedules that name none [env: CVP_TZ].
    #[arg(long, value_name = "ZONE")]
    pub(super) timezone: Option<String>,
    /// The country the oldest portals show beside a schedule [env: CVP_COUNTRY, TZ_COUNTRY].
    #[arg(long, value_name = "NAME")]
    pub(super) country: Option<String>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Options of `cvp inventory`.
#[derive(Debug, Group)]
pub(super) struct CvpInventory {
    /// Only devices with this in their names, or with this serial number, MAC or address.
    pub(super) names: Vec<String>,
    /// Only devices in this container, or below it.
    #[arg(long, value_name = "NAME")]
    pub(super) container: Option<String>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Options of `cvp configlets`.
#[derive(Debug, Group)]
pub(super) struct CvpConfiglets {
    /// Only those with this in their names.
    pub(super) names: Vec<String>,
    /// Only those this device holds, in the order in which it holds them.
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// The states a task can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum State {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// Options of `cvp tasks`.
#[derive(Debug, Group)]
pub(super) struct CvpTasks {
    /// Only tasks of these devices.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(super) device: Vec<String>,
    /// Only tasks in this state.
    #[arg(long, value_name = "STATE")]
    pub(super) state: Option<State>,
    /// Execute those that are pending, and wait for their end.
    #[arg(long, conflicts_with = "state")]
    pub(super) run: bool,
    /// How long they may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(super) timeout: u32,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// What to do with change controls.
#[derive(Debug, Subcommand)]
pub(super) enum Cc {
    /// List them.
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Show one with its stages.
    Show(CvpChange),
    /// Approve one as it is now, unless a device would refuse a task of it.
    Approve(CvpChange),
    /// Start one that is approved; it goes on by itself.
    Start(CvpChange),
    /// Stop one that runs: what has not begun never will.
    Stop(CvpChange),
    /// Remove one that does not run; its tasks stay.
    Delete(CvpChange),
}

/// One change control.
#[derive(Debug, Group)]
pub(super) struct CvpChange {
    /// Its id, or its name if no other one has it.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Options of `cvp backup`.
#[derive(Debug, Group)]
pub(super) struct CvpBackup {
    /// The folder, which is made unless it is there [env: CVP_BACKUP; default: configlets_backup].
    pub(super) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) reach: Reach,
}

/// Options of `cvp serve`.
#[derive(Debug, Group)]
pub(super) struct CvpServe {
    /// Where to listen; port 0 is any that is free.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(super) listen: SocketAddr,
    /// Without TLS.
    #[arg(long)]
    pub(super) plain_http: bool,
    /// Who may do everything.
    #[arg(long, value_name = "U", default_value = "cvpadmin")]
    pub(super) user: String,
    /// With which password [default: one that is made].
    #[arg(long, value_name = "P")]
    pub(super) password: Option<String>,
    /// What it knows is read from this file, if it is there, and written to it at the end.
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
    /// How many devices to play with it has [default: 4; with a state that was read, none more].
    #[arg(long, value_name = "N")]
    pub(super) devices: Option<u16>,
    /// The version whose ways it has [default: 2024.3.0].
    #[arg(long, value_name = "VERSION")]
    pub(super) imitate: Option<Imitated>,
    /// How long a device takes for its configuration, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub(super) task_delay: u64,
}
