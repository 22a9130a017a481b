//! What was done to a machine and is to be set back, as a value that is written down before it is done: when the process is
//! killed that would have set it back, another one finds the note and does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{
    Env, EnvError, Fault, Vm,
    error::file,
    fault::Told,
    host::limits,
    mishap::{scripts, tell},
};
use crate::{
    base::{
        id::MachineName,
        owner::Owner,
        store::{self, Document},
    },
    provider::{
        libvirt::{DomainState, xml},
        spec::DomainNic,
    },
};

/// Where notes are, in the environment's folder.
const FOLDER: &str = "faults";

/// How something is set back that was done to a machine. Doing it again does nothing more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Undo {
    /// It is paused.
    Resume,
    /// Its clock is wrong.
    Clock,
    /// Its memory is taken by a file system at `folder`.
    Memory { folder: String },
    /// The file system of `folder` is full of files whose names begin with `name`.
    Disk { folder: String, name: String },
    /// The disk `dev` is slow.
    Slow { dev: String },
    /// The disk `dev` answers with errors.
    Broken { dev: String },
    /// A cable is unplugged.
    Cable { nic: DomainNic },
}

impl Undo {
    /// Sets it back. What ends with the machine needs nothing when that is off.
    async fn run(&self, vm: &Vm) -> Result<(), EnvError> {
        let domain = vm.domain();
        let (lab, mut state) = (vm.site().running(), DomainState::Running);
        if vm.is_made() {
            let Ok(running) = &lab else { return Ok(()) };
            state = running.connection.domain_state(domain, limits::COMMAND).await?;
        }
        match self {
            _ if state == DomainState::Absent => Ok(()),
            Self::Clock => vm.turn_clock(SystemTime::now()).await,
            Self::Memory { folder } => tell(vm, scripts::GIVE_MEMORY, &[folder]).await,
            Self::Disk { folder, name } => tell(vm, scripts::EMPTY_DISK, &[folder, name]).await,
            Self::Resume if state != DomainState::Paused => Ok(()),
            Self::Resume => Ok(lab?.connection.resume_domain(domain, limits::DOMAIN).await?),
            Self::Slow { dev } => {
                let connection = &lab?.connection;
                let drive = connection.drive(domain, dev, limits::COMMAND).await?;
                Ok(connection.limit_drive(domain, &drive, 0, limits::COMMAND).await?)
            }
            Self::Broken { dev } => {
                let connection = &lab?.connection;
                let drive = connection.drive(domain, dev, limits::COMMAND).await?;
                Ok(connection.mend_drive(domain, &drive, limits::COMMAND).await?)
            }
            Self::Cable { nic } => {
                let cable = xml::nic_xml(nic);
                Ok(lab?.connection.update_device(domain, cable, limits::DOMAIN).await?)
            }
        }
    }

    /// Whether it is still there when the machine was off meanwhile.
    fn outlives_power(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

/// What is written down of it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Who is to set it back.
    owner: Owner,
    machine: MachineName,
    /// What is wrong, in words.
    what: String,
    undo: Undo,
}

impl Document for Note {
    const VERSION: u32 = 1;
}

impl Vm {
    /// Does something to it that `undo` sets back; `what` follows its name.
    pub(super) async fn fault(
        &self,
        what: &str,
        undo: Undo,
        act: impl Future<Output = Result<(), EnvError>>,
    ) -> Result<Fault, EnvError> {
        let what = format!("{} {what}", self.name());
        let path = self.note(&what, &undo)?;
        if let Err(error) = act.await {
            forget(&path)?;
            return Err(error);
        }
        let vm = self.clone();
        let told = Told { what, machine: Some(self.name().to_string()), seed: None };
        Ok(Fault::new(told, self.site().healing(), async move {
            undo.run(&vm).await?;
            forget(&path)
        }))
    }

    fn note(&self, what: &str, undo: &Undo) -> Result<PathBuf, EnvError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = self.env()?.folder().join(FOLDER);
        fs::create_dir_all(&folder).map_err(file("make the folder", &folder))?;
        let owner = Owner::current().map_err(file("read", Path::new("/proc/self/stat")))?;
        let name = format!("{}-{}.json", owner.pid, NEXT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        let (machine, what, undo) = (self.name().clone(), what.to_owned(), undo.clone());
        store::write(&path, &Note { owner, machine, what, undo })?;
        Ok(path)
    }
}

fn forget(path: &Path) -> Result<(), EnvError> {
    match fs::remove_file(path) {
        // The environment is gone with all it had.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A fault that nobody is left to set back: the process that had it was killed.
#[derive(Debug)]
pub struct LeftFault {
    path: PathBuf,
    note: Note,
}

impl LeftFault {
    /// What is wrong, in words.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.note.what
    }

    /// Sets it back. What cannot be set back while its machine is off is left.
    ///
    /// # Errors
    /// It could not be set back; it is still left then.
    pub async fn heal(&self, env: &Env) -> Result<(), EnvError> {
        if let Some(vm) = env.vm(self.note.machine.as_str()) {
            if self.note.undo.outlives_power() && env.state_of(&vm).await? != DomainState::Running {
                let why = format!("{} and has to run for that to be set back", self.note.what);
                return Err(vm.refuse("heal", why));
            }
            self.note.undo.run(&vm).await?;
        }
        forget(&self.path)
    }
}

impl Env {
    /// Faults whose processes are gone, and which they did not set back.
    ///
    /// # Errors
    /// What was written down of one cannot be read.
    pub fn left_faults(&self) -> Result<Vec<LeftFault>, EnvError> {
        let entries = fs::read_dir(self.folder().join(FOLDER)).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
        paths.sort();
        let mut left = Vec::new();
        for path in paths {
            // Who sets it back may do so while we look.
            let Some(note) = store::read::<Note>(&path)? else { continue };
            if !note.owner.is_alive() {
                left.push(LeftFault { path, note });
            }
        }
        Ok(left)
    }
}
