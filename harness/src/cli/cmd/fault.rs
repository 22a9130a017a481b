//! `polder fault` and `partition`: something is wrong with machines, until the operator has seen enough.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand, ValueEnum};

use super::shell::{find, require_running};
use crate::{
    cli::{context::Cx, exit::BadInput},
    env::{DiskErrors, Env, Fault, Link, Net, Vm},
    net::Impairment,
};

/// Options of `fault`.
#[derive(Debug, Args)]
pub(in crate::cli) struct FaultArgs {
    /// The machine, or the end of its name.
    host: String,
    #[command(subcommand)]
    what: What,
}

/// Options of `partition`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PartitionArgs {
    /// Groups of machines, such as `web,db cache`: machines of different groups do not reach one another. One in no group
    /// reaches everybody.
    #[arg(value_name = "VM[,VM...]", required = true, num_args = 2..)]
    groups: Vec<String>,
}

/// What is wrong.
#[derive(Debug, Subcommand)]
enum What {
    /// The link of its first NIC on a net is worse, in each direction.
    Link {
        /// The net.
        net: String,
        #[command(flatten)]
        how: Worse,
    },
    /// It stands still.
    Pause,
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

/// How a link is worse.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Worse {
    /// Packets are held back for so many milliseconds.
    #[arg(long, value_name = "MS")]
    delay: Option<u64>,
    /// The delay varies by so many milliseconds, both ways.
    #[arg(long, value_name = "MS", requires = "delay")]
    jitter: Option<u64>,
    /// So many packets in a hundred are lost.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    loss: Option<f64>,
    /// So many in a hundred come twice.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    duplicate: Option<f64>,
    /// So many in a hundred have a wrong bit.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    corrupt: Option<f64>,
    /// The link carries so many kbit a second.
    #[arg(long, value_name = "KBIT")]
    rate: Option<u32>,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse().ok();
    number.filter(|number| (0.0..=100.0).contains(number)).ok_or_else(|| "a number from 0 to 100".to_owned())
}

impl Worse {
    fn impairment(&self) -> Impairment {
        let millis = |ms: Option<u64>| Duration::from_millis(ms.unwrap_or_default());
        Impairment {
            delay: millis(self.delay),
            jitter: millis(self.jitter),
            loss: self.loss.unwrap_or_default(),
            duplicate: self.duplicate.unwrap_or_default(),
            corrupt: self.corrupt.unwrap_or_default(),
            rate_kbit: self.rate,
        }
    }
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
    until_stopped(cx, fault).await
}

pub(in crate::cli) async fn partition(cx: &Cx, args: &PartitionArgs) -> anyhow::Result<()> {
    let env = cx.env().await?;
    let mut groups: Vec<Vec<Vm>> = Vec::new();
    for group in &args.groups {
        groups.push(group.split(',').map(|name| find(&env, name)).collect::<Result<_, _>>()?);
    }
    let borrowed: Vec<Vec<&Vm>> = groups.iter().map(|group| group.iter().collect()).collect();
    let borrowed: Vec<&[&Vm]> = borrowed.iter().map(Vec::as_slice).collect();
    let fault = env.partition(&borrowed).await?;
    until_stopped(cx, fault).await
}

async fn until_stopped(cx: &Cx, fault: Fault) -> anyhow::Result<()> {
    // From here on it is there; who stopped us before has to wait for it.
    tracing::info!(target: "polder", "{} until you stop this", fault.what());
    let _ = cx.stop.clone().wait_for(|stop| *stop).await;
    Ok(fault.heal().await?)
}

/// The net of that name.
pub(super) fn net_of(env: &Env, name: &str) -> Result<Net, BadInput> {
    env.net(name).ok_or_else(|| {
        let names: Vec<_> = env.plan().nets.iter().map(|net| net.name.to_string()).collect();
        BadInput(format!("no net `{name}`; there are: {}", names.join(", ")))
    })
}

/// The link of a machine's first NIC on a net.
fn link_of(env: &Env, vm: &Vm, net: &str) -> Result<Link, BadInput> {
    let none = || BadInput(format!("{} has no NIC on the net `{net}`", vm.name()));
    net_of(env, net)?.link(vm).ok_or_else(none)
}

async fn begin(env: &Env, vm: &Vm, what: &What) -> anyhow::Result<Fault> {
    Ok(match what {
        What::Link { net, how } => link_of(env, vm, net)?.impair(how.impairment()).await?,
        What::Pause => vm.pause().await?,
        What::Cable { net } => link_of(env, vm, net)?.down().await?,
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
