//! What can go wrong with an environment.

use std::{io, net::SocketAddr, path::PathBuf};

use super::plan::PlanErrors;
use crate::{
    base::{
        id::{DiskName, MachineName, NetName},
        process::ProcessError,
        store::StoreError,
        wait::WaitError,
    },
    checkpoint::CheckpointError,
    guest::GuestError,
    image::ImageError,
    initfile::InitFileError,
    lab::LabError,
    net::{lease::LeaseError, live::LiveError},
    provider::{MachineError, ProviderError},
    repo::RepoError,
    sysprep::SysprepError,
    template::TemplateError,
    workdir::WorkdirError,
};

/// An environment could not be made, reached or ended.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// The init file is not one.
    #[error(transparent)]
    InitFile(#[from] InitFileError),
    /// An image could not be had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What the file asks for does not fit together.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// A disk could not be prepared for its machine.
    #[error("cannot prepare the disk {disk} of machine {machine}")]
    Prepare {
        /// Which.
        machine: MachineName,
        /// Its disk.
        disk: DiskName,
        /// Why.
        #[source]
        source: SysprepError,
    },
    /// What disks are prepared with is not there.
    #[error(transparent)]
    Sysprep(#[from] SysprepError),
    /// The lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// libvirt; with the lab's last words when its daemon has ended.
    #[error("{}{}", error, daemon.as_ref().map(|d| format!("; the daemon: {d}")).unwrap_or_default())]
    Provider {
        /// What happened.
        error: ProviderError,
        /// What became of the daemon, if that is known.
        daemon: Option<String>,
    },
    /// A machine did not become ready.
    #[error("machine {machine} is not ready")]
    NotReady {
        /// Which.
        machine: MachineName,
        /// Why.
        #[source]
        source: Box<GuestError>,
    },
    /// A machine ended while it was needed.
    #[error("machine {machine} {what}")]
    MachineEnded {
        /// Which.
        machine: MachineName,
        /// What was seen.
        what: String,
    },
    /// A verb needs an environment that is up.
    #[error("the environment is not started; `polder start` starts it")]
    NotStarted,
    /// A machine has outlived the [`Env`](super::Env) it is of.
    #[error("nobody holds the environment of machine {machine} any more")]
    Gone {
        /// Which machine.
        machine: MachineName,
    },
    /// A machine cannot be controlled like that.
    #[error("cannot {what} machine {machine}: {why}")]
    Control {
        /// What was tried, as a verb.
        what: &'static str,
        /// Which machine.
        machine: MachineName,
        /// Why not.
        why: String,
    },
    /// Something could not be done in a machine.
    #[error("cannot {what} machine {machine}")]
    Inside {
        /// What was tried, as a verb.
        what: &'static str,
        /// Which machine.
        machine: MachineName,
        /// Why not.
        #[source]
        source: Box<GuestError>,
    },
    /// Its state cannot be kept for later environments.
    #[error("this state cannot be kept as a checkpoint: {why}")]
    NotKept {
        /// What of it cannot.
        why: String,
    },
    /// A state that was kept for people cannot be gone back to.
    #[error("the state in {} cannot be gone back to: {why}", states.display())]
    NotReopened {
        /// The store it is in.
        states: PathBuf,
        /// What keeps it from that.
        why: String,
    },
    /// The store of checkpoints.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its lab is there but does not answer.
    #[error("the environment's lab is broken: {why}; `polder stop` ends what is left of it")]
    Broken {
        /// What is wrong with it.
        why: String,
    },
    /// The daemon an environment is on does not answer.
    #[error("the daemon at {uri} does not answer: {why}; `polder doctor` looks at it")]
    Unanswered {
        /// Where it should be.
        uri: String,
        /// Why it does not.
        why: String,
    },
    /// A name cannot be added to the DNS of a network, or not be taken away.
    #[error("the network {net} cannot {what}: {why}")]
    Name {
        /// Which.
        net: NetName,
        /// What was tried, with which name.
        what: String,
        /// Why not.
        why: String,
    },
    /// A folder cannot be served.
    #[error("cannot serve {} at {at}", folder.display())]
    Serve {
        /// The folder.
        folder: PathBuf,
        /// Where.
        at: SocketAddr,
        /// What the system or the lab said.
        #[source]
        source: io::Error,
    },
    /// No net has an address at which something could be served.
    #[error("no management net has an address of the host's, at which files could be served")]
    NowhereToServe,
    /// A network has no address left for another NIC.
    #[error("the network {net} has no address left for machine {machine}")]
    NoAddress {
        /// Which.
        net: NetName,
        /// For whom it would have been.
        machine: MachineName,
    },
    /// A device was given up by libvirt, but not by the machine.
    #[error("machine {machine} did not let go of its {device}")]
    NotLetGo {
        /// Which.
        machine: MachineName,
        /// The NIC or disk.
        device: String,
        /// How long it was waited.
        #[source]
        source: Box<WaitError>,
    },
    /// Machines were named that there are not.
    #[error("{what}")]
    NoMachine {
        /// Which, and what may have been meant.
        what: String,
    },
    /// A network was made but does not serve.
    #[error("network {net} does not serve")]
    NoService {
        /// Which.
        net: NetName,
        /// What was seen.
        #[source]
        source: WaitError,
    },
    /// A moment cannot be gone back to.
    #[error(
        "disks have moved to other images since this state was kept: a snapshot was taken, or gone back to; a suite uses \
         either `from(..)` or snapshots"
    )]
    MomentMoved,
    /// Something failed, and what had been done before could not be undone.
    #[error("{}; what it had started could not be ended: {left}", chain(error))]
    NotUndone {
        /// What failed.
        error: Box<EnvError>,
        /// Why the rest is still there.
        left: String,
    },
    /// Machines run that must not.
    #[error("machines that run cannot be {what}: {}; `polder stop` or `polder shutdown` ends them", machines.join(", "))]
    Running {
        /// What was to be done with them, such as `exported`.
        what: &'static str,
        /// Which.
        machines: Vec<String>,
    },
    /// Disks cannot be exported as asked; all reasons.
    #[error("{}", .0.join("\n"))]
    Export(Vec<String>),
    /// Several things failed.
    #[error("{}", .0.iter().map(|e| chain(e)).collect::<Vec<_>>().join("\n"))]
    Several(Vec<EnvError>),
    /// Whoever makes a machine failed.
    #[error("machine {machine}")]
    Machine {
        /// Which.
        machine: String,
        /// What happened.
        #[source]
        source: MachineError,
    },
    /// A suite is to have a machine that nobody would remove if the suite were killed.
    #[error(
        "machine {machine}: suites cannot have machines that the vm-provider `{provider}` makes; `polder init` can"
    )]
    NotForSuites {
        /// Which.
        machine: MachineName,
        /// Who makes it.
        provider: String,
    },
    /// Whoever makes a machine is not part of this binary.
    #[error("machine {machine} is made by the vm-provider `{provider}`, which this command does not have")]
    NoProvider {
        /// The provider.
        provider: String,
        /// The machine.
        machine: String,
    },
    /// A service could not be managed.
    #[error("machine {machine}: {why}")]
    Service {
        /// On which machine.
        machine: MachineName,
        /// Which, and what happened.
        why: String,
    },
    /// A deploy script failed.
    #[error("the deploy script {} {what} on machine {machine}; its output is in {}{tail}", script.display(), output.display())]
    Deploy {
        /// The machine.
        machine: MachineName,
        /// The script, on the host.
        script: PathBuf,
        /// What became of it, such as `ended with exit status 3`.
        what: String,
        /// The file of its standard output; that of its standard error lies beside it.
        output: PathBuf,
        /// The end of its output, on lines of its own.
        tail: String,
    },
    /// A repository of packages could not be built.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Deploy scripts were named that there are not.
    #[error("{what}")]
    NoScript {
        /// Which, and what there is.
        what: String,
    },
    /// Machines are needed that do not run.
    #[error("machines that are off cannot be {what}: {}; `polder start` starts them", machines.join(", "))]
    NotRunning {
        /// What was to be done with them, such as `deployed`.
        what: &'static str,
        /// Which.
        machines: Vec<String>,
    },
    /// A machine is not what its type says.
    #[error("machine {machine} of the vm-type `{vm_type}` is not {what}")]
    NotUp {
        /// Which.
        machine: MachineName,
        /// Its type.
        vm_type: String,
        /// What it is not: `set up`, or `up`.
        what: &'static str,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
    /// The type of a machine is not part of this binary.
    #[error("machine {machine} is of the vm-type `{vm_type}`, which this command does not have")]
    NoType {
        /// The machine.
        machine: MachineName,
        /// The type.
        vm_type: String,
    },
    /// A snapshot has that name already.
    #[error("there is a snapshot `{name}` already; take another name, or delete it first")]
    SnapshotExists {
        /// The name.
        name: String,
    },
    /// A snapshot cannot be called that.
    #[error(
        "a snapshot cannot be called `{name}`: use letters, digits, `-`, `_` and `.`, a letter or digit first, at most 64"
    )]
    BadSnapshotName {
        /// The name.
        name: String,
    },
    /// There is no snapshot of that name.
    #[error("no snapshot `{name}`; {help}")]
    NoSnapshot {
        /// The name.
        name: String,
        /// What there is.
        help: String,
    },
    /// Files of a snapshot are gone.
    #[error("the snapshot `{name}` is damaged: {gone} cannot be found")]
    SnapshotDamaged {
        /// The snapshot.
        name: String,
        /// The files.
        gone: String,
    },
    /// What is in a file of memory does not fit the machine.
    #[error("the saved memory of machine {machine} does not fit: {error}")]
    SavedXml {
        /// The machine.
        machine: MachineName,
        /// What is wrong.
        error: String,
    },
    /// A subnet could not be leased.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// What uses the host's network could not be found out.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// A daemon of an ordinary user's own makes no networks.
    #[error(
        "the daemon at {uri} runs as an ordinary user and may not make networks; set lab = \"hermetic\", which needs no root either, or libvirt_url = \"qemu:///system\""
    )]
    Session {
        /// Where it is reached.
        uri: String,
    },
    /// A network cannot have IPv6 on this host.
    #[error("the net `{net}` cannot have IPv6: {why}")]
    Ipv6 {
        /// Which.
        net: NetName,
        /// Why not, and what to do about it.
        why: String,
    },
    /// The operator asked us to stop.
    #[error("stopped by a signal")]
    Stopped,
    /// The daemon's emulators cannot reach an environment's files.
    #[error("user {uid}, as whom the daemon runs emulators, has no search permission on {0}; `chmod o+x {0}` gives it",
        folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" "))]
    Unreachable {
        /// That user's number.
        uid: u32,
        /// The folders on the way that are closed to it.
        folders: Vec<PathBuf>,
    },
    /// A command on the host failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A document of the environment could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A template, an archive or a file could not be had.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The prefix could not be used.
    #[error(transparent)]
    Workdir(#[from] WorkdirError),
    /// A command inside the lab failed.
    #[error("`{command}` failed in the lab with status {status}: {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: i32,
        /// What it printed.
        output: String,
    },
    /// A file of the environment could not be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A key could not be made or read.
    #[error("cannot {what}: {error}")]
    Key {
        /// What was tried.
        what: &'static str,
        /// What the key library said.
        error: String,
    },
}

impl EnvError {
    /// Whether it is the daemon that did not answer.
    pub(super) fn hangs(&self) -> bool {
        match self {
            Self::Provider { error, .. } => error.hangs(),
            Self::Several(all) => all.iter().any(Self::hangs),
            _ => false,
        }
    }

    /// One error of one or several.
    pub(super) fn several(mut errors: Vec<Self>) -> Self {
        match (errors.pop(), errors.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                errors.extend(last);
                Self::Several(errors)
            }
        }
    }

    /// Nothing, when nothing failed.
    pub(super) fn all(errors: Vec<Self>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self::several(errors)) }
    }
}

impl From<ProviderError> for EnvError {
    fn from(error: ProviderError) -> Self {
        Self::Provider { error, daemon: None }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Names the file in an input or output error.
pub(super) fn file(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> EnvError + use<> {
    let path = path.to_owned();
    move |source| EnvError::File { what, path, source }
}
