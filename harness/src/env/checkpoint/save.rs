//! Keeps the state of an environment that runs, for others of the same key. Its machines stand still for as long as their
//! memory is written; what is left to do is done while they go on.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    Documents, Origin, Stage,
    restore::FIRST,
    saved::{self, Image, Saved},
};
use crate::{
    base::{id::MachineName, process},
    checkpoint::{CheckpointError, Draft, Entry, Key, Level},
    env::{
        Env, EnvError, Vm, deploy, disk,
        error::{chain, file},
        host::limits,
        keys::Keys,
        moment::{go_on, pause},
        parallel,
        plan::ImagePlan,
        site::Running,
        turn::Turn,
    },
    provider::{
        libvirt::{
            DomainState,
            xml::{SnapshotSpec, disks_of},
        },
        spec::{Boot, ImageFormat},
    },
};

/// Copying an image.
const COPY: Duration = Duration::from_secs(600);

/// A checkpoint whose files are all there, to be looked through and put in place.
struct Written {
    draft: Draft,
    key: Key,
}

impl Env {
    /// Keeps the state in which the machines are now, at the end of `stage`, with what else is to be known by who begins there;
    /// without one, as that in which they have booted. Returns when they go on; the rest is done beside them, and waited for by
    /// [`Env::down`].
    ///
    /// # Errors
    /// It cannot be kept, and why; or something failed. All machines go on.
    pub async fn keep_for_others(&self, stage: Option<(&Stage, &Documents)>) -> Result<(), EnvError> {
        let Some(origin) = self.origin() else {
            return Err(EnvError::NotKept { why: "there are no checkpoints here".to_owned() });
        };
        let start = Instant::now();
        let written = self.write(origin, stage).await?;
        tracing::debug!(target: "polder", "memory and disks are kept after {:.2} s", start.elapsed().as_secs_f64());
        let old = origin.is_refreshed.then(|| origin.store.clone());
        let finish = move || {
            let Written { draft, key } = written;
            let replaced = old.map_or(Ok(()), |store| store.forget(&key));
            match replaced.and_then(|()| draft.finish(&key)) {
                Ok(_) => tracing::debug!(target: "polder", "checkpoint {} is there", key.digest()),
                Err(error) => tracing::warn!(target: "polder", "a checkpoint was not kept: {error}"),
            }
        };
        self.finishing(tokio::task::spawn_blocking(finish)).await;
        Ok(())
    }

    /// Keeps the state in which the machines are now for people to look at: in the folder `to`, which is a store of its own.
    ///
    /// # Errors
    /// As [`Env::keep_for_others`].
    pub async fn keep_instant(&self, stage: &Stage, to: &Path) -> Result<(), EnvError> {
        let Some(origin) = self.origin() else {
            return Err(EnvError::NotKept { why: "there are no checkpoints here".to_owned() });
        };
        let (written, to) = (self.write(origin, Some((stage, &Documents::new()))).await?, to.to_owned());
        let finish = move || {
            let Written { draft, key } = written;
            let moved = draft.finish(&key).map_err(EnvError::from).and_then(|entry| hand_over(&entry, &to));
            if let Err(error) = moved {
                tracing::warn!(target: "polder", "a state was not kept in {}: {}", to.display(), chain(&error));
            }
        };
        self.finishing(tokio::task::spawn_blocking(finish)).await;
        Ok(())
    }

    async fn write(&self, origin: &Origin, stage: Option<(&Stage, &Documents)>) -> Result<Written, EnvError> {
        let _turn = Turn::begin(self, "snapshot").await?;
        let running = self.site().running()?;
        self.require_keepable(&running, origin).await?;
        let key = origin.boot.at(stage.map_or(Level::Boot, |(stage, _)| stage.level()));
        let store = origin.store.clone();
        let draft = blocking(move || store.begin()).await?;
        let wakes = self.made_wakeable(self.vms()).await?;
        let vms = self.vms();
        let kept = async {
            pause(&running, &vms).await?;
            self.write_machines(&running, origin, draft.folder()).await
        };
        let kept = tokio::select! {
            biased;
            kept = kept => kept,
            error = running.hangs() => return Err(error),
        };
        let resumed = go_on(&running, &vms).await;
        let disks = match (kept, resumed) {
            (Ok(disks), Ok(())) => disks,
            (kept, resumed) => {
                let all = kept.err().into_iter().chain(resumed.err()).collect();
                return Err(EnvError::several(all));
            }
        };
        let saved = Saved { asked: origin.asked.clone(), state: self.state(), wakes, disks };
        let keys = Keys::load(self.folder(), saved.state.host_keys.clone())?;
        saved.write(&keys, draft.folder())?;
        if let Some((_, documents)) = stage {
            saved::write_documents(documents, draft.folder())?;
        }
        Ok(Written { draft, key })
    }

    /// Writes memory, disks, consoles and variables of all machines, which stand still.
    async fn write_machines(
        &self,
        running: &Arc<Running>,
        origin: &Origin,
        folder: &Path,
    ) -> Result<BTreeMap<MachineName, BTreeMap<String, Vec<Image>>>, EnvError> {
        let limit = self.scaled(limits::SAVE);
        let name = folder.file_name().unwrap_or_default().to_owned();
        let each = |vm: Vm| {
            let (env, running) = (self.clone(), Arc::clone(running));
            let below = below(self, origin, &vm);
            let (folder, inside) = (folder.to_owned(), running.lab.view().checkpoints.join(&name));
            async move {
                let connection = running.connection.another(limits::CONNECT).await?;
                let disks = vm.plan().domain.iter().flat_map(|domain| &domain.disks);
                let spec = SnapshotSpec {
                    disks: Vec::new(),
                    untouched: disks.map(|disk| disk.dev.clone()).collect(),
                    memory: Some(inside.join(saved::memory(vm.name()))),
                };
                let kept = connection.snapshot_domain(vm.domain(), &spec, false, limit).await;
                kept.map_err(|error| running.explain(error))?;
                let mut images = BTreeMap::new();
                for (dev, image) in disk::own(&vm) {
                    images.insert(dev.to_owned(), write_disk(&env, &vm, dev, image, &below, &folder).await?);
                }
                let console = env.folder().join(&vm.plan().console);
                if console.exists() {
                    copy(&console, &folder.join(saved::console(vm.name()))).await?;
                }
                for path in deploy::printed(env.folder(), vm.name()) {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    copy(&path, &folder.join(saved::printed(vm.name()) + &name)).await?;
                }
                if let Some(Boot::Uefi { nvram }) = vm.plan().domain.as_ref().map(|domain| &domain.boot) {
                    let nvram = disk::outside(&env, nvram);
                    copy(&nvram, &folder.join(saved::variables(vm.name()))).await?;
                }
                Ok((vm.name().clone(), images))
            }
        };
        Ok(parallel::each(self.vms(), each).await?.into_iter().collect())
    }

    /// That nothing of it is where no checkpoint would have it.
    async fn require_keepable(&self, running: &Running, origin: &Origin) -> Result<(), EnvError> {
        let not = |why: String| EnvError::NotKept { why };
        let state = self.state();
        // What it writes to lies over what the plan says, or over what it went on from.
        let laid = if origin.went_on.load(Ordering::Relaxed) { FIRST } else { 0 };
        if state.chains.serial != laid || state.chains.is_unsettled() {
            return Err(not("snapshots of it were taken".to_owned()));
        }
        if let Some((what, _)) = self.unhealed().first() {
            return Err(not(format!("a fault is not healed: {what}")));
        }
        if running.repo.lock().await.is_some() {
            return Err(not("packages are served into it".to_owned()));
        }
        for vm in self.vms() {
            let name = vm.name();
            let current = self.state_of(&vm).await?;
            if current != DomainState::Running {
                return Err(not(format!("{name} does not run: {current:?}")));
            }
            if vm.has_something_under_way() {
                return Err(not(format!("a command of ours still runs in {name}")));
            }
            let planned = vm.plan().domain.as_ref().map_or(0, |domain| domain.disks.len());
            let xml = running.connection.domain_xml(vm.domain(), limits::COMMAND).await;
            if disks_of(&xml.map_err(|error| running.explain(error))?).len() != planned {
                return Err(not(format!("{name} has a disk that was plugged in")));
            }
            if state.attached.get(name).is_some_and(|nics| !nics.is_empty()) {
                return Err(not(format!("{name} has a NIC that was plugged in")));
            }
        }
        Ok(())
    }
}

/// The images below what the disks of a machine write to, that are of the state it went on from: by device, the lowest first.
fn below(env: &Env, origin: &Origin, vm: &Vm) -> BTreeMap<String, Vec<(PathBuf, Image)>> {
    let from = origin.from.as_ref().filter(|_| origin.went_on.load(Ordering::Relaxed));
    let Some(from) = from else { return BTreeMap::new() };
    let disks = from.saved.disks.get(vm.name()).into_iter().flatten();
    let images = |(dev, images): (&String, &Vec<Image>)| {
        let file = |(number, image): (usize, &Image)| {
            let name = saved::image(vm.name(), dev, number);
            let own = saved::copied(env.folder(), &name);
            (if own.exists() { own } else { from.entry.folder.join(name) }, image.clone())
        };
        (dev.clone(), images.iter().enumerate().map(file).collect())
    };
    disks.map(images).collect()
}

/// Copies all images of a disk but those of the plan; they lie over one another where they are now.
async fn write_disk(
    env: &Env,
    vm: &Vm,
    dev: &str,
    first: &ImagePlan,
    below: &BTreeMap<String, Vec<(PathBuf, Image)>>,
    folder: &Path,
) -> Result<Vec<Image>, EnvError> {
    let mut images = Vec::new();
    for (number, (file, image)) in below.get(dev).into_iter().flatten().enumerate() {
        copy(file, &folder.join(saved::image(vm.name(), dev, number))).await?;
        images.push(image.clone());
    }
    let (top, format) = match env.state().chains.top(vm.name(), dev) {
        Some(top) => (env.folder().join(top), ImageFormat::Qcow2),
        None => (env.folder().join(&first.path), first.format),
    };
    let file = folder.join(saved::image(vm.name(), dev, images.len()));
    copy(&top, &file).await?;
    if let (Some(number), Some(over)) = (images.len().checked_sub(1), images.last()) {
        disk::relay(&file, &saved::image(vm.name(), dev, number), over.format).await?;
    }
    images.push(Image { format, size: disk::virtual_size(&file).await? });
    Ok(images)
}

/// Moves an entry into another store; copies it where that is on another file system.
fn hand_over(entry: &Entry, to: &Path) -> Result<(), EnvError> {
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(file("make", to))?;
    let at = to.join(&entry.manifest.key);
    match fs::rename(&entry.folder, &at) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let mut copy = Command::new("cp");
            let copied = copy.args(["-a", "--"]).arg(&entry.folder).arg(&at).status();
            let is_copied = copied.map_err(file("copy", &entry.folder))?.success();
            fs::remove_dir_all(&entry.folder).map_err(file("remove", &entry.folder))?;
            if is_copied { Ok(()) } else { Err(file("write", &at)(io::ErrorKind::Other.into())) }
        }
        moved => moved.map_err(file("move a state to", &at)),
    }
}

/// Copies a file with its holes, or shares what is in it where the file system can do that.
pub(super) async fn copy(from: &Path, to: &Path) -> Result<(), EnvError> {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    let argv = ["cp", "--reflink=auto", "--sparse=auto", "--", &from, &to];
    Ok(process::stdout(&argv, COPY).await.map(drop)?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CheckpointError> + Send + 'static,
) -> Result<T, EnvError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(EnvError::NotKept { why: error.to_string() }),
    }
}
