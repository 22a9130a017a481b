//! What `polder cvp` takes.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as Group, Subcommand};

use crate::cvp::server::Imitated;

/// What to do with `CloudVision` portals.
#[derive(Debug, Subcommand)]
pub(super) enum Cvp {
    /// Run a portal of our own until SIGTERM; when it answers, one line of JSON says where and for whom.
    Serve(CvpServe),
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
