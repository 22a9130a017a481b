//! `polder fault`: something is wrong with a machine, until the operator has seen enough.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand, ValueEnum};

use super::shell::{find, require_running};
use crate::{
    cli::{context::Cx, exit::BadInput},
    env::{DiskErrors, Env, Fault, Vm},
};

/// Options of `fault`.
#[derive(Debug, Args)]
pub(in crate::cli) struct FaultArgs {
    /// The machine, or the end of its name.
    host: String,
    #[command(subcommand)]
    what: What,
}

/// What is wrong.
#[derive(Debug, Subcommand)]
enum What {
    /// The cable of its first NIC on a net is unplugged.
    Cable {
        /// The net.
        net: String,
    },
    /// Its clock is wrong.
    Clock {
        /// By so many seconds: ahead of this host's, or behind with a minus.
        #[arg(allow_negative_numbers = true)]
        seconds: i32,
    },
    /// It has less memory.
    Memory {
        /// By so many MiB.
        mib: u32,
    },
    /// A file system of it is full.
    DiskFull {
        /// A folder in it.
        folder: PathBuf,
        /// What is left, in KiB.
        #[arg(default_value_t = 0)]
        left: u64,
    },
    /// A disk is slow.
    DiskSlow {
        /// The disk, such as `vda`.
        dev: String,
        /// What it carries, in bytes a second.
        bytes: u64,
    },
    /// A disk answers with errors.
    DiskErrors {
        /// The disk, such as `vda`.
        dev: String,
        /// What fails.
        #[arg(default_value = "all")]
        what: Failing,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Failing {
    Reads,
    Writes,
    All,
}

pub(in crate::cli) async fn run(cx: &Cx, args: &FaultArgs) -> anyhow::Result<()> {
    let env = cx.env().await?;
    let vm = find(&env, &args.host)?;
    require_running(&env, &vm).await?;
    let fault = begin(&env, &vm, &args.what).await?;
    // From here on it is there; who stopped us before has to wait for it.
    tracing::info!(target: "polder", "{} until you stop this", fault.what());
    let _ = cx.stop.clone().wait_for(|stop| *stop).await;
    Ok(fault.heal().await?)
}

async fn begin(env: &Env, vm: &Vm, what: &What) -> anyhow::Result<Fault> {
    Ok(match what {
        What::Cable { net } => {
            let link = env.net(net).and_then(|net| net.link(vm));
            let none = || BadInput(format!("{} has no NIC on a net `{net}`", vm.name()));
            link.ok_or_else(none)?.down().await?
        }
        What::Clock { seconds } => {
            let (by, now) = (Duration::from_secs(seconds.unsigned_abs().into()), SystemTime::now());
            vm.set_time(if *seconds < 0 { now - by } else { now + by }).await?
        }
        What::Memory { mib } => vm.take_memory(*mib).await?,
        What::DiskFull { folder, left } => vm.fill_disk(&folder.display().to_string(), *left).await?,
        What::DiskSlow { dev, bytes } => vm.slow_disk(dev, *bytes).await?,
        What::DiskErrors { dev, what } => {
            let what = match what {
                Failing::Reads => DiskErrors::Reads,
                Failing::Writes => DiskErrors::Writes,
                Failing::All => DiskErrors::All,
            };
            vm.break_disk(dev, what).await?
        }
    })
}
