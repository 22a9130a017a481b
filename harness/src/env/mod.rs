//! Environments: from a checked init file to machines that run, in whatever way one wants them, and back to nothing.
//! The one place that connects lab, provider, guests and artifacts; knows no suites and no reports.
//!
//! `EnvSpec` --[`plan`]--> `EnvPlan` --`init`--> a prefix with disks, keys and `state.json` --`start`--> machines that
//! run. A suite's environment is the same with its folder in the lab's own, which goes with the lab.
//!
//! Everything the command does is here for programs, too:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use polder::{
//!     env::{Env, Host, Progress, Selection},
//!     initfile::{self, Options},
//!     workdir::Workdir,
//! };
//!
//! # async fn example() -> anyhow::Result<()> {
//! let env = |name: &str| std::env::var(name).ok();
//! let (host, progress) = (Host::from_env(&env)?, Progress::new(|line| eprintln!("{line}")));
//! let asked = initfile::load(Path::new("LagoInitFile"), &Options::new(&env))?;
//! let workdir = Workdir::create(&std::env::current_dir()?.join(".polder"))?;
//! let env = Env::create(&host, &workdir, "default", &asked, &progress).await?;
//!
//! env.start(&Selection::All, &progress).await?;
//! env.wait_ready(&Selection::All, &progress).await?;
//! for vm in env.vms() {
//!     println!("{} at {:?}: {}", vm.name(), vm.all_ips(), vm.succeed("uname -r").await?);
//!     vm.service("sshd").restart().await?;
//! }
//! // Some other day, in some other process:
//! let env = Env::load(&host, &workdir.prefix(&workdir.current()?)?).await?;
//! Env::destroy(&host, &workdir.prefix("default")?, false, &progress).await?;
//! # let _ = env; Ok(())
//! # }
//! ```

mod agent;
mod asked;
mod attached;
mod bootstrap;
mod checkpoint;
mod collect;
mod console;
mod control;
mod daemon;
mod defaults;
mod deploy;
mod destroy;
mod disk;
mod doctor;
mod elsewhere;
mod emulator;
mod error;
mod evidence;
mod export;
mod fault;
mod fetch;
mod handle;
mod health;
mod held;
mod host;
mod ingredients;
mod init;
mod inventory;
mod keys;
mod lago;
mod lease;
mod link;
mod machine;
mod mishap;
mod moment;
mod names;
mod needed;
mod net;
mod network;
mod ordered;
mod parallel;
mod places;
pub mod plan;
mod prepare;
mod ready;
mod rows;
mod select;
mod serve;
mod service;
mod site;
mod snapshot;
mod start;
mod state;
mod status;
mod stop;
mod turn;
pub mod types;

pub use attached::AttachedDisk;
pub use attached::NewDisk;
pub use checkpoint::Began;
pub use checkpoint::Documents;
pub use checkpoint::Stage;
pub use checkpoint::Stages;
pub use collect::CollectOptions;
pub use daemon::Daemon;
pub use defaults::Defaults;
pub use deploy::DeployOptions;
pub use deploy::Deployed;
pub use destroy::Destroyed;
pub use doctor::look_at_daemon;
pub use elsewhere::Elsewhere;
pub use error::EnvError;
pub use export::ExportOptions;
pub use export::Exported;
pub use fault::Capture;
pub use fault::Fault;
pub(crate) use fault::{forget_partition, partitions};
pub use handle::Env;
pub use health::Watch;
pub use held::LeftFault;
pub use host::Host;
pub use host::Progress;
pub use inventory::InventoryOptions;
pub use link::Link;
pub use machine::Vm;
pub use mishap::DiskErrors;
pub use moment::Moment;
pub use names::Names;
pub use net::Net;
pub use places::Places;
pub use plan::EnvPlan;
pub(crate) use rows::rows_of;
pub use select::Selection;
pub use serve::Served;
pub(crate) use serve::repo_folder;
pub use service::Service;
pub use snapshot::Frozen;
pub use snapshot::Snapshot;
pub use snapshot::SnapshotOptions;
pub use start::UpFailure;
pub use status::LabStatus;
pub use status::MachineStatus;
pub use status::NetStatus;
pub use status::NicStatus;
pub use status::PrefixStatus;
pub use status::Status;
pub use stop::How;
pub use stop::Stopped;
pub use types::MachineType;
